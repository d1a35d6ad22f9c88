//! What a manifest has to lose or gain before server-side apply accepts it as `kubectl` would (design §4.3).
//!
//! Pure. Called by `apply` on the stamped manifest; the content hash is taken before, of the manifest as declared.

use base64::Engine as _;
use serde_json::{Map, Value};

/// Normalises.
#[must_use]
pub(super) fn normalise(mut manifest: Value) -> Value {
    let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = manifest.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(object) = manifest.as_object_mut() {
        object.remove("status");
        object.retain(|_, value| !value.is_null());
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            // Written by the server; a manifest saved from a cluster carries them.
            for key in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"] {
                metadata.remove(key);
            }
            metadata.retain(|_, value| !value.is_null());
        }
        match (version.as_str(), kind.as_str()) {
            ("v1", "Secret") => encode_string_data(object),
            ("v1", "Service") => default_protocol(object.get_mut("spec").and_then(|spec| spec.get_mut("ports"))),
            ("rbac.authorization.k8s.io/v1", "ClusterRole") if object.contains_key("aggregationRule") => {
                // The controller fills them in; to own them would be to fight it for ever.
                object.remove("rules");
            }
            _ => {}
        }
    }
    if let Some(pod) = pod_spec(&version, &kind).and_then(|path| manifest.pointer_mut(path)) {
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for container in pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                default_protocol(container.get_mut("ports"));
            }
        }
    }
    manifest
}

/// Where a built-in kind keeps its pod spec.
#[must_use]
pub(super) fn pod_spec(version: &str, kind: &str) -> Option<&'static str> {
    match (version, kind) {
        ("v1", "Pod") => Some("/spec"),
        ("v1", "PodTemplate") => Some("/template/spec"),
        ("v1", "ReplicationController")
        | ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch/v1", "Job") => Some("/spec/template/spec"),
        ("batch/v1", "CronJob") => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

/// `protocol` is a key of the list: without it two ports of one number are one entry to the API server.
fn default_protocol(ports: Option<&mut Value>) {
    for port in ports.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            match port.get("protocol") {
                None | Some(Value::Null) => _ = port.insert("protocol".to_owned(), "TCP".into()),
                Some(_) => {}
            }
        }
    }
}

/// `stringData` is write-only: the server keeps `data`, and a key dropped from `stringData` would stay there.
fn encode_string_data(secret: &mut Map<String, Value>) {
    let Some(Value::Object(plain)) = secret.get("stringData").cloned() else {
        return;
    };
    // Something that is no string is left where it is: the server says what is wrong with it.
    if !plain.values().all(Value::is_string) {
        return;
    }
    let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else {
        return;
    };
    for (key, value) in &plain {
        let text = value.as_str().unwrap_or_default();
        data.insert(key.clone(), base64::engine::general_purpose::STANDARD.encode(text).into());
    }
    secret.remove("stringData");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_without_protocol_is_tcp() {
        let service = normalise(json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [
            {"port": 53}, {"port": 53, "protocol": "UDP"}, {"port": 54, "protocol": null}]}}));
        assert_eq!(
            service["spec"]["ports"],
            json!([{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {"port": 54, "protocol": "TCP"}])
        );
        let cron = normalise(json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {
            "template": {"spec": {"initContainers": [{"ports": [{"containerPort": 1}]}]}}}}}}));
        assert_eq!(
            cron.pointer("/spec/jobTemplate/spec/template/spec/initContainers/0/ports/0/protocol"),
            Some(&json!("TCP"))
        );
    }

    #[test]
    fn ports_of_a_custom_resource_are_left_alone() {
        let custom = json!({"apiVersion": "example.com/v1", "kind": "Service", "spec": {"ports": [{"port": 1}]}});
        assert_eq!(normalise(custom.clone()), custom);
    }

    #[test]
    fn string_data_wins_over_data_and_becomes_it() {
        let secret = normalise(json!({"apiVersion": "v1", "kind": "Secret",
            "data": {"a": "eA==", "b": "eA=="}, "stringData": {"b": "y", "c": "z"}}));
        assert_eq!(secret["data"], json!({"a": "eA==", "b": "eQ==", "c": "eg=="}));
        assert_eq!(secret.get("stringData"), None);
    }

    #[test]
    fn string_data_that_is_no_string_is_left_for_the_server_to_refuse() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"b": 1}});
        assert_eq!(normalise(secret.clone()), secret);
    }

    #[test]
    fn rules_of_an_aggregated_cluster_role_are_the_controllers() {
        let role = |more: Value| {
            let mut role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": []});
            role.as_object_mut().unwrap().append(more.clone().as_object_mut().unwrap());
            normalise(role)
        };
        assert_eq!(role(json!({"aggregationRule": {}})).get("rules"), None);
        assert_eq!(role(json!({})).get("rules"), Some(&json!([])));
    }

    #[test]
    fn what_only_the_server_writes_is_dropped() {
        let map = normalise(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": null, "status": {},
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "1", "managedFields": [],
            "creationTimestamp": null, "annotations": null}}));
        assert_eq!(map, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    }

    #[test]
    fn nulls_below_the_top_stay() {
        let custom = json!({"apiVersion": "example.com/v1", "kind": "X", "spec": {"a": null}});
        assert_eq!(normalise(custom.clone()), custom);
    }
}
