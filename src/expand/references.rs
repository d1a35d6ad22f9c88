//! Which other objects a Kubernetes object names.
//!
//! Pure. Called by `expand::edges`. Tolerant: what has another shape than Kubernetes' names nothing.

use serde_json::Value;

use crate::plan::StepId;

/// The pod template of a workload, or the pod itself.
pub(super) fn pod_template<'a>(group: &str, kind: &str, manifest: &'a Value) -> Option<&'a Value> {
    match (group, kind) {
        ("", "Pod") => Some(manifest),
        ("", "ReplicationController")
        | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("batch", "Job") => manifest.pointer("/spec/template"),
        ("batch", "CronJob") => manifest.pointer("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// The ServiceAccount of a pod.
pub(super) fn account(spec: &Value) -> &str {
    let named = ["serviceAccountName", "serviceAccount"].iter().find_map(|key| spec.get(key).and_then(Value::as_str));
    named.filter(|name| !name.is_empty()).unwrap_or("default")
}

/// Everything that a pod names in its own namespace, and its classes.
pub(super) fn of_pod(spec: &Value, namespace: &str) -> Vec<StepId> {
    let mut found = vec![StepId::object("", "ServiceAccount", Some(namespace), account(spec))];
    let mut add = |kind: &str, name: Option<&Value>| {
        if let Some(name) = name.and_then(Value::as_str).filter(|name| !name.is_empty()) {
            found.push(StepId::object("", kind, Some(namespace), name));
        }
    };
    for secret in list(spec, "imagePullSecrets") {
        add("Secret", secret.get("name"));
    }
    for volume in list(spec, "volumes") {
        add("ConfigMap", volume.pointer("/configMap/name"));
        add("Secret", volume.pointer("/secret/secretName"));
        add("PersistentVolumeClaim", volume.pointer("/persistentVolumeClaim/claimName"));
        for source in volume.get("projected").into_iter().flat_map(|projected| list(projected, "sources")) {
            add("ConfigMap", source.pointer("/configMap/name"));
            add("Secret", source.pointer("/secret/name"));
        }
    }
    for container in ["initContainers", "containers"].iter().flat_map(|key| list(spec, key)) {
        for source in list(container, "envFrom") {
            add("ConfigMap", source.pointer("/configMapRef/name"));
            add("Secret", source.pointer("/secretRef/name"));
        }
        for variable in list(container, "env") {
            add("ConfigMap", variable.pointer("/valueFrom/configMapKeyRef/name"));
            add("Secret", variable.pointer("/valueFrom/secretKeyRef/name"));
        }
    }
    let class = |key: &str| spec.get(key).and_then(Value::as_str);
    found.extend(
        class("priorityClassName").map(|name| StepId::object("scheduling.k8s.io", "PriorityClass", None, name)),
    );
    found.extend(class("runtimeClassName").map(|name| StepId::object("node.k8s.io", "RuntimeClass", None, name)));
    found
}

/// (namespace, name) of every ServiceAccount that a binding binds.
pub(super) fn bound_accounts(manifest: &Value, namespace: &str) -> Vec<(String, String)> {
    let accounts = list(manifest, "subjects").iter().filter(|subject| text(subject, "/kind") == Some("ServiceAccount"));
    accounts
        .filter_map(|subject| {
            let of = text(subject, "/namespace").unwrap_or(namespace);
            Some((of.to_owned(), text(subject, "/name")?.to_owned()))
        })
        .collect()
}

/// The role that a binding names.
pub(super) fn role(manifest: &Value, namespace: &str) -> Option<StepId> {
    let (kind, name) = (text(manifest, "/roleRef/kind")?, text(manifest, "/roleRef/name")?);
    Some(StepId::object("rbac.authorization.k8s.io", kind, (kind == "Role").then_some(namespace), name))
}

/// What an autoscaler scales.
pub(super) fn scaled(manifest: &Value, namespace: &str) -> Option<StepId> {
    let target = manifest.pointer("/spec/scaleTargetRef")?;
    let group = text(target, "/apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    Some(StepId::object(group, text(target, "/kind")?, Some(namespace), text(target, "/name")?))
}

/// The Services that a webhook configuration or an APIService calls.
pub(super) fn called_services(manifest: &Value) -> Vec<StepId> {
    let hooks = list(manifest, "webhooks").iter().filter_map(|hook| hook.pointer("/clientConfig/service"));
    hooks
        .chain(manifest.pointer("/spec/service"))
        .filter_map(|service| {
            Some(StepId::object("", "Service", Some(text(service, "/namespace")?), text(service, "/name")?))
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}
