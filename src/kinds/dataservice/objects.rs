//! The Kubernetes objects of a DataService.
//!
//! Pure. Labels stand on objects and pods as published; selectors hold `app` alone.

use std::collections::BTreeMap;

use serde_json::{Map as Fields, Value, json};

use super::configuration::Rendered;
use super::spec::{Port, Retention, Storage};
use super::table::{DATA, Map, Part};
use crate::kinds::Cr;

/// Annotation of a pod template: changes when the configuration of its containers does.
const CONFIG_HASH: &str = "windlass.dev/config-hash";
/// Size of MySQL's volume where the CR names none.
const SIZE: &str = "10Gi";

/// What a part's workload is made of.
pub(super) struct Workload<'a> {
    pub(super) part: &'a Part,
    /// Deployment, StatefulSet or DaemonSet.
    pub(super) kind: &'a str,
    pub(super) image: &'a str,
    pub(super) replicas: i32,
    pub(super) ports: &'a [Port],
    pub(super) env: BTreeMap<String, Value>,
    /// The ConfigMaps that there are, by name.
    pub(super) maps: &'a BTreeMap<&'static str, Rendered>,
    /// Requests and limits: processor, memory.
    pub(super) resources: Option<[(&'a str, &'a str); 2]>,
    /// MySQL's volume.
    pub(super) storage: Option<&'a Storage>,
}

/// An object's head: apiVersion, kind and metadata.
pub(super) fn head(cr: &Cr<'_>, api_version: &str, kind: &str, name: &str, app: &str) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": cr.namespace, "labels": {"dataservice": cr.name, "app": app}},
    })
}

pub(super) fn config_map(cr: &Cr<'_>, part: &Part, map: &Map, rendered: &Rendered) -> Value {
    let mut object = head(cr, "v1", "ConfigMap", map.name, part.name);
    object["data"] = json!(rendered.data);
    object
}

pub(super) fn service(cr: &Cr<'_>, part: &Part, ports: &[Port]) -> Value {
    let mut object = head(cr, "v1", "Service", part.name, part.name);
    let outside = ports.iter().any(|port| port.node_port.is_some());
    let ports: Vec<Value> = ports
        .iter()
        .map(|port| {
            let mut one = json!({"name": port.name, "port": port.port, "targetPort": port.port, "protocol": "TCP"});
            if let Some(number) = port.node_port {
                one["nodePort"] = number.into();
            }
            one
        })
        .collect();
    let kind = if outside { "NodePort" } else { "ClusterIP" };
    object["spec"] = json!({"type": kind, "selector": {"app": part.name}, "ports": ports});
    object
}

/// A claim of MySQL's for a workload that has no templates for claims.
pub(super) fn claim(cr: &Cr<'_>, part: &Part, storage: &Storage) -> Value {
    let mut object = head(cr, "v1", "PersistentVolumeClaim", part.name, part.name);
    object["spec"] = claim_spec(storage);
    object
}

fn claim_spec(storage: &Storage) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size.as_deref().unwrap_or(SIZE)}},
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = class.as_str().into();
    }
    spec
}

pub(super) fn workload(cr: &Cr<'_>, made: &Workload<'_>) -> Value {
    let name = made.part.name;
    let mut object = head(cr, "apps/v1", made.kind, name, name);
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template(cr, made)});
    match made.kind {
        "DaemonSet" => {}
        "StatefulSet" => {
            spec["replicas"] = made.replicas.into();
            spec["serviceName"] = name.into();
            // A pod that never became ready would otherwise never be replaced, whatever a later commit says.
            spec["podManagementPolicy"] = "Parallel".into();
            if let Some(storage) = made.storage {
                spec["volumeClaimTemplates"] = json!([{"metadata": {"name": DATA}, "spec": claim_spec(storage)}]);
                spec["persistentVolumeClaimRetentionPolicy"] =
                    json!({"whenDeleted": storage.retention.as_str(), "whenScaled": Retention::Retain.as_str()});
            }
        }
        _ => {
            spec["replicas"] = made.replicas.into();
            if made.storage.is_some() {
                // Two pods cannot hold the volume at once.
                spec["strategy"] = json!({"type": "Recreate"});
            }
        }
    }
    object["spec"] = spec;
    object
}

fn template(cr: &Cr<'_>, made: &Workload<'_>) -> Value {
    let name = made.part.name;
    let env: Vec<Value> = made
        .env
        .iter()
        .map(|(variable, value)| {
            let mut one = Fields::from_iter([("name".to_owned(), variable.as_str().into())]);
            let field = if value.is_object() { "valueFrom" } else { "value" };
            one.insert(field.to_owned(), value.clone());
            Value::Object(one)
        })
        .collect();
    let ports: Vec<Value> = made
        .ports
        .iter()
        .map(|port| json!({"name": port.name, "containerPort": port.port, "protocol": "TCP"}))
        .collect();
    let (mounts, volumes) = mounts(made);
    let mut container = json!({
        "name": name,
        "image": made.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": ports,
    });
    if let Some(first) = made.ports.first() {
        container["readinessProbe"] = json!({"tcpSocket": {"port": first.name}});
    }
    if let Some([requests, limits]) = made.resources {
        let both = |(cpu, memory): (&str, &str)| json!({"cpu": cpu, "memory": memory});
        container["resources"] = json!({"requests": both(requests), "limits": both(limits)});
    }
    for (field, list) in [("env", env), ("volumeMounts", mounts)] {
        if !list.is_empty() {
            container[field] = list.into();
        }
    }
    let mut metadata = json!({"labels": {"dataservice": cr.name, "app": name}});
    if let Some(hash) = config_hash(made) {
        metadata["annotations"] = json!({CONFIG_HASH: hash});
    }
    let mut pod = json!({"containers": [container]});
    if !volumes.is_empty() {
        pod["volumes"] = volumes.into();
    }
    json!({"metadata": metadata, "spec": pod})
}

/// Changes when a file does that a running container has read.
fn config_hash(made: &Workload<'_>) -> Option<String> {
    let read: BTreeMap<&str, String> = made
        .part
        .maps
        .iter()
        .filter(|map| map.rolls)
        .filter_map(|map| Some((map.name, made.maps.get(map.name)?.hash())))
        .collect();
    (!read.is_empty()).then(|| crate::plan::canonical::hash(&json!(read)))
}

fn mounts(made: &Workload<'_>) -> (Vec<Value>, Vec<Value>) {
    let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
    for map in made.part.maps {
        let Some(rendered) = made.maps.get(map.name) else { continue };
        volumes.push(json!({"name": map.name, "configMap": {"name": map.name}}));
        if map.key.is_none() {
            mounts.push(json!({"name": map.name, "mountPath": map.folder}));
            continue;
        }
        // Each by itself, so that what else lies in the folder stays.
        for key in rendered.data.keys() {
            mounts.push(json!({"name": map.name, "mountPath": format!("{}/{key}", map.folder), "subPath": key}));
        }
    }
    if made.storage.is_some() {
        mounts.push(json!({"name": DATA, "mountPath": "/var/lib/mysql"}));
        match made.kind {
            "StatefulSet" => {}
            "DaemonSet" => volumes.push(json!({"name": DATA, "emptyDir": {}})),
            _ => volumes.push(json!({"name": DATA, "persistentVolumeClaim": {"claimName": made.part.name}})),
        }
    }
    (mounts, volumes)
}
