//! Memcached → Deployment.
//!
//! Pure.

use serde_json::json;

use super::MemcachedSpec;
use crate::kinds::{Child, Cr, Expansion, image, schema};
use crate::plan::Policy;

pub(super) fn expand(cr: &Cr<'_>) -> Expansion {
    let spec = match schema::spec::<MemcachedSpec>(cr.manifest) {
        Ok(spec) => spec,
        Err(problem) => return Expansion { children: Vec::new(), problems: vec![problem] },
    };
    // On selector and pods only: the object's own labels are Windlass'.
    let labels = json!({
        "app.kubernetes.io/name": "Memcached",
        "app.kubernetes.io/instance": cr.name,
        "app.kubernetes.io/version": image::version(spec.image()),
        "app.kubernetes.io/part-of": "memcached-operator",
        "app.kubernetes.io/created-by": "controller-manager",
    });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": cr.name, "namespace": cr.namespace},
        "spec": {
            "replicas": spec.size(),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "memcached",
                        "image": spec.image(),
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["memcached", "-m=64", "-o", "modern", "-v", "-p", spec.port().to_string()],
                        "ports": [{"name": "memcached", "containerPort": spec.port(), "protocol": "TCP"}],
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": 1001,
                            "allowPrivilegeEscalation": false,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }],
                },
            },
        },
    });
    // The version label makes the selector, which is immutable, change with the image. A new image empties every cache
    // anyway, so deleting and creating loses nothing more.
    let policy = Policy { recreate: true, ..Policy::default() };
    Expansion { children: vec![Child { policy, ..Child::object(deployment) }], problems: Vec::new() }
}
