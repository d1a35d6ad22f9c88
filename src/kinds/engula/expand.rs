//! Cluster → rights and components; component → headless Service and StatefulSet.
//!
//! Pure.

use serde_json::{Map, Value, json};

use super::part::Part;
use super::types::{ClusterSpec, GROUP, PartSpec, Peer, Peers, VERSION};
use crate::kinds::{After, Child, Cr, Expansion, schema};
use crate::plan::{Policy, StepId};

/// Labels as selectors and pods have carried them since the first operator; `managed-by` is part of that list there,
/// while an object's own is Windlass'.
const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
/// Component label of the resources that a Cluster makes.
const OF_CLUSTER: &str = "cluster";

pub(super) fn cluster(cr: &Cr<'_>) -> Expansion {
    let spec = match schema::spec::<ClusterSpec>(cr.manifest) {
        Ok(spec) => spec,
        Err(problem) => return Expansion { children: Vec::new(), problems: vec![problem] },
    };
    let mut objects = Vec::new();
    if spec.parts().next().is_some() {
        objects.extend(rights(cr));
    }
    objects.extend(spec.parts().map(|(part, _)| component(cr, &spec, part)));
    Expansion { children: objects.into_iter().map(Child::object).collect(), problems: Vec::new() }
}

/// An account without any right, which all pods run as.
fn rights(cr: &Cr<'_>) -> [Value; 3] {
    let rbac = "rbac.authorization.k8s.io";
    let (account, role) = (account(cr.name), format!("{}-role", cr.name));
    let named = |name: &str| json!({"name": name, "namespace": cr.namespace});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(&account)}),
        json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": named(&role), "rules": []}),
        json!({
            "apiVersion": format!("{rbac}/v1"),
            "kind": "RoleBinding",
            "metadata": named(&format!("{}-binding", cr.name)),
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        }),
    ]
}

fn account(cluster: &str) -> String {
    format!("{cluster}-sa")
}

/// The component's fields as they stand in the Cluster, with the image to fall back on and what it cannot know by itself:
/// the ports of others that are not the default ones.
fn component(cr: &Cr<'_>, spec: &ClusterSpec, part: Part) -> Value {
    let pointer = |field: &str| cr.manifest.pointer(&format!("/spec/{field}")).cloned();
    let mut fields = match pointer(part.name()) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    if !fields.contains_key("image")
        && let Some(image) = pointer("image")
    {
        fields.insert("image".to_owned(), image);
    }
    let mut peers = Map::new();
    for told in Part::TOLD.into_iter().filter(|told| *told != part) {
        let port = spec.part(told).and_then(|fields| fields.port).filter(|port| *port != told.port());
        if let Some(port) = port {
            peers.insert(told.name().to_owned(), json!({"port": port}));
        }
    }
    if !peers.is_empty() {
        fields.insert("peers".to_owned(), Value::Object(peers));
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": part.kind(),
        "metadata": {
            "name": format!("{}-{}", cr.name, part.name()),
            "namespace": cr.namespace,
            "labels": {NAME: "engula", INSTANCE: cr.name, COMPONENT: OF_CLUSTER},
        },
        "spec": fields,
    })
}

pub(super) fn part(part: Part, cr: &Cr<'_>) -> Expansion {
    let spec = match schema::spec::<PartSpec>(cr.manifest) {
        Ok(spec) => spec,
        Err(problem) => return Expansion { children: Vec::new(), problems: vec![problem] },
    };
    let pods = Pods::new(part, cr, &spec);
    let set = Child {
        after: part.waits_for().iter().map(|other| pods.after(*other)).collect(),
        policy: Policy { hold_scale_down: true, ..Policy::default() },
        ..Child::object(pods.stateful_set())
    };
    Expansion { children: vec![Child::object(pods.service()), set], problems: Vec::new() }
}

/// What a component's objects are made of.
struct Pods<'a> {
    part: Part,
    cr: &'a Cr<'a>,
    spec: &'a PartSpec,
    /// Name of the Cluster.
    cluster: String,
    /// A Cluster made the component, and an account with it.
    of_cluster: bool,
    port: i32,
    labels: Value,
}

impl<'a> Pods<'a> {
    fn new(part: Part, cr: &'a Cr<'a>, spec: &'a PartSpec) -> Self {
        let label = |key: &str| cr.manifest.pointer("/metadata/labels").and_then(|all| all.get(key)?.as_str());
        // Declared by itself, a component belongs to the Cluster that its label names, or that its own name begins with.
        let by_name = cr.name.strip_suffix(part.name()).and_then(|stem| stem.strip_suffix('-'));
        let cluster = label(INSTANCE).or(by_name).unwrap_or(cr.name).to_owned();
        let labels = json!({
            NAME: "engula",
            INSTANCE: cluster,
            COMPONENT: part.name(),
            "app.kubernetes.io/managed-by": "engula-operator",
        });
        let of_cluster = label(COMPONENT) == Some(OF_CLUSTER) && label(NAME) == Some("engula");
        Self { part, cr, spec, cluster, of_cluster, port: spec.port.unwrap_or(part.port()), labels }
    }

    fn metadata(&self) -> Value {
        json!({"name": self.cr.name, "namespace": self.cr.namespace})
    }

    /// Service and port of a component, itself included.
    fn peer(&self, part: Part) -> (String, i32) {
        if part == self.part {
            return (self.cr.name.to_owned(), self.port);
        }
        let said: Option<&Peer> = self.spec.peers.as_ref().and_then(|peers: &Peers| peers.of(part));
        let service = said.and_then(|peer| peer.service.clone());
        let port = said.and_then(|peer| peer.port).unwrap_or(part.port());
        (service.unwrap_or_else(|| format!("{}-{}", self.cluster, part.name())), port)
    }

    /// A component that has to be ready first. Its StatefulSet has the name of its Service.
    fn after(&self, part: Part) -> After {
        let (name, _) = self.peer(part);
        let id = |group, kind| StepId::object(group, kind, Some(self.cr.namespace), &name);
        After { step: id("apps", "StatefulSet"), by: Some(id(GROUP, part.kind())) }
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(),
            "spec": {
                "clusterIP": "None",
                // Nodes find one another before they are ready.
                "publishNotReadyAddresses": true,
                "ports": [{"name": "service", "port": self.port, "protocol": "TCP"}],
                "selector": self.labels,
            },
        })
    }

    fn stateful_set(&self) -> Value {
        let mut spec = json!({
            "replicas": self.spec.replicas,
            "serviceName": self.cr.name,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "selector": {"matchLabels": self.labels},
            "template": {"metadata": {"labels": self.labels}, "spec": self.pod()},
        });
        let volume = self.spec.volume.as_ref();
        if let (Some(claim), Some(fields)) = (volume.and_then(|volume| volume.spec.as_ref()), spec.as_object_mut()) {
            let template = json!({"metadata": {"name": "data", "labels": self.labels}, "spec": claim});
            fields.insert("volumeClaimTemplates".to_owned(), json!([template]));
            let retention = volume.and_then(|volume| volume.retention).unwrap_or_default();
            fields.insert(
                "persistentVolumeClaimRetentionPolicy".to_owned(),
                json!({
                    "whenDeleted": retention.when_deleted.unwrap_or_default(),
                    "whenScaled": retention.when_scaled.unwrap_or_default(),
                }),
            );
        }
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": self.metadata(), "spec": spec})
    }

    fn pod(&self) -> Value {
        let mut pod = json!({
            // Nothing in a pod asks the API server for anything.
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 60,
            "containers": [self.container()],
        });
        let Some(fields) = pod.as_object_mut() else { return pod };
        if self.of_cluster {
            fields.insert("serviceAccountName".to_owned(), account(&self.cluster).into());
        }
        if let Some(source) = self.spec.volume.as_ref().and_then(|volume| volume.source.as_ref()) {
            let claim = json!({"claimName": source.claim_name, "readOnly": source.read_only.unwrap_or_default()});
            fields.insert("volumes".to_owned(), json!([{"name": "data", "persistentVolumeClaim": claim}]));
        }
        pod
    }

    fn container(&self) -> Value {
        let image = self.spec.image.clone().unwrap_or_default();
        let mut container = json!({
            "name": "unit",
            "image": image.name,
            "imagePullPolicy": image.pull_policy.unwrap_or_default(),
            "command": self.part.command(self.port),
            "ports": [{"name": "service", "containerPort": self.port, "protocol": "TCP"}],
            "env": self.environment(),
            "readinessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 5},
        });
        let Some(fields) = container.as_object_mut() else { return container };
        if let Some(resource) = &self.spec.resource {
            fields.insert("resources".to_owned(), resource.clone());
        }
        if self.spec.volume.as_ref().is_some_and(|volume| volume.spec.is_some() || volume.source.is_some()) {
            fields.insert("volumeMounts".to_owned(), json!([{"name": "data", "mountPath": "/data"}]));
        }
        container
    }

    /// Where the others are: names without separators, as the program reads them.
    fn environment(&self) -> Vec<Value> {
        let mut variables = vec![
            json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
            json!({"name": "kubecluster", "value": self.cluster}),
        ];
        for part in Part::TOLD {
            let (service, port) = self.peer(part);
            variables.push(json!({"name": format!("{}service", part.name()), "value": service}));
            variables.push(json!({"name": format!("{}port", part.name()), "value": port.to_string()}));
        }
        variables.push(json!({"name": "RUST_BACKTRACE", "value": "1"}));
        variables
    }
}
