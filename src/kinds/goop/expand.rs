//! Goop → Jobs.
//!
//! Pure.

use serde_json::{Value, json};

use super::{BACKOFF_LIMIT, GoopSpec};
use crate::kinds::{Child, Cr, Expansion, image, schema};
use crate::plan::Policy;

pub(super) fn expand(cr: &Cr<'_>) -> Expansion {
    let spec = match schema::spec::<GoopSpec>(cr.manifest) {
        Ok(spec) => spec,
        Err(problem) => return Expansion { children: Vec::new(), problems: vec![problem] },
    };
    let children = (0..spec.jobs()).map(|index| child(job(cr, &spec, index))).collect();
    Expansion { children, problems: Vec::new() }
}

/// A Job's template is immutable, so a change is a new run; a Job that ran is not missing when it is gone.
fn child(job: Value) -> Child {
    let policy = Policy { replace: true, once_done: true, ..Policy::default() };
    Child { policy, ..Child::object(job) }
}

fn job(cr: &Cr<'_>, spec: &GoopSpec, index: i32) -> Value {
    let image = spec.image();
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": format!("{}-{index}", cr.name), "namespace": cr.namespace},
        "spec": {
            "backoffLimit": spec.backoff_limit.unwrap_or(BACKOFF_LIMIT),
            "template": {
                // On pods only; a Job's selector is made by Kubernetes.
                "metadata": {"labels": {
                    "app.kubernetes.io/name": "Goop",
                    "app.kubernetes.io/instance": cr.name,
                    "app.kubernetes.io/version": image::version(&image),
                    "app.kubernetes.io/part-of": "goop-operator",
                    "app.kubernetes.io/created-by": "controller-manager",
                }},
                "spec": {
                    "restartPolicy": "Never",
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "goop-job",
                        "image": image,
                        "command": spec.command(),
                        "resources": {
                            "limits": {"cpu": "100m", "memory": "128Mi"},
                            "requests": {"cpu": "10m", "memory": "64Mi"},
                        },
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
    })
}
