//! The agent's Deployment, the Service of its dashboard, and who may reach it.
//!
//! Pure.

use serde_json::{Value, json};

use super::{NAME, metadata};

const PORT: u16 = 8480;
/// No user of the image: any number that is not root's will do.
const USER: u32 = 65532;

/// Deployment, Service and NetworkPolicy.
pub(super) fn objects(namespace: &str, image: &str) -> Vec<Value> {
    let selector = json!({ "app.kubernetes.io/name": NAME });
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(Some(namespace)),
            "spec": {
                "type": "ClusterIP", "selector": selector,
                "ports": [{ "name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP" }],
            },
        }),
        // The dashboard has no login: only its own namespace reaches it (and kubectl port-forward).
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(Some(namespace)),
            "spec": {
                "podSelector": { "matchLabels": selector }, "policyTypes": ["Ingress"],
                "ingress": [{ "from": [{ "podSelector": {} }], "ports": [{ "port": PORT, "protocol": "TCP" }] }],
            },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(Some(namespace)),
            "spec": {
                "replicas": 1,
                // Never two agents at once.
                "strategy": { "type": "Recreate" },
                "selector": { "matchLabels": selector },
                "template": { "metadata": { "labels": selector }, "spec": pod(image) },
            },
        }),
    ]
}

fn pod(image: &str) -> Value {
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 10 });
    json!({
        "serviceAccountName": NAME,
        // Long enough for a write in flight; nothing is lost by a shorter one.
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": "agent", "image": image,
            "args": ["agent", "--listen", format!("0.0.0.0:{PORT}"), "--state", "/state"],
            "env": [{ "name": "HOME", "value": "/state" }, { "name": "TMPDIR", "value": "/tmp" }],
            "ports": [{ "name": "http", "containerPort": PORT, "protocol": "TCP" }],
            "livenessProbe": probe("/healthz"),
            "readinessProbe": probe("/readyz"),
            "resources": {
                "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "512Mi" },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "state", "mountPath": "/state" }, { "name": "tmp", "mountPath": "/tmp" }],
        }],
        "volumes": [{ "name": "state", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }],
    })
}
