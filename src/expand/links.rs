//! What one object says about order: which steps it names, and what it is to others.
//!
//! Pure. Found once, when a document is expanded; `edges` makes the order of all of it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use super::ids::{Ids, Number};
use super::references;
use crate::kinds::After;
use crate::plan::StepId;

const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// What an object names, and what names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Links {
    /// Steps that it waits for, if they are in the plan.
    pub(super) names: Box<[Number]>,
    /// Its own kind, as the step `object/<group>/<Kind>/-/` would be numbered.
    pub(super) kind: Number,
    /// Hardly any object has more.
    pub(super) more: Option<Box<More>>,
}

/// What few objects say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct More {
    /// The kind that a CRD defines.
    pub(super) defines: Option<Number>,
    /// The ServiceAccounts that a binding binds.
    pub(super) binds: Vec<Number>,
    /// The Namespace whose workloads wait for it: a NetworkPolicy, ResourceQuota or LimitRange.
    pub(super) limits: Option<Number>,
    /// What a workload waits for without naming it.
    pub(super) workload: Option<Workload>,
    /// The labels that a Service selects.
    pub(super) selects: Vec<u64>,
    /// The Services that a webhook or APIService calls.
    pub(super) calls: Vec<Number>,
    /// What its family asks for where the plan holds it: the step, and the CR that expands to it.
    pub(super) after: Vec<(Number, Option<Number>)>,
    /// What a Service asks of every node: port and protocol.
    pub(super) node_ports: Vec<(i64, String)>,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Workload {
    /// Its Namespace.
    pub(super) namespace: Number,
    /// The ServiceAccount of its pods.
    pub(super) account: Number,
    /// The labels of its pods.
    pub(super) labels: Vec<u64>,
}

impl Links {
    /// Adds what a family asks for where the plan holds it.
    pub(super) fn come_after(&mut self, after: &[After], ids: &mut Ids) {
        if !after.is_empty() {
            let numbers = after
                .iter()
                .map(|after| (ids.number(after.step.clone()), after.by.as_ref().map(|by| ids.number(by.clone()))));
            self.more.get_or_insert_default().after = numbers.collect();
        }
    }
}

/// Looks into an object.
pub(super) fn of(id: &StepId, manifest: &Value, ids: &mut Ids) -> Links {
    let Some(parts) = id.object_parts() else { return Links::default() };
    let (group, kind, namespace) = (parts.group, parts.kind, parts.namespace.unwrap_or_default());
    let mut names = Vec::new();
    let mut more = More::default();
    if !namespace.is_empty() {
        names.push(of_namespace(namespace));
    }
    match (group, kind) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let defines = (text(manifest, "/spec/group"), text(manifest, "/spec/names/kind"));
            if let (Some(group), Some(kind)) = defines {
                more.defines = Some(ids.number(of_kind(group, kind)));
            }
        }
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
            names.extend(references::role(manifest, namespace));
            let accounts = references::bound_accounts(manifest, namespace);
            let accounts: Vec<StepId> =
                accounts.iter().map(|(of, name)| StepId::object("", "ServiceAccount", Some(of), name)).collect();
            more.binds = accounts.iter().map(|account| ids.number(account.clone())).collect();
            names.extend(accounts);
        }
        ("networking.k8s.io", "NetworkPolicy") | ("", "ResourceQuota" | "LimitRange") => {
            more.limits = Some(ids.number(of_namespace(namespace)));
        }
        ("", "Service") => {
            more.selects = labels(manifest.pointer("/spec/selector"));
            more.node_ports = node_ports(manifest);
        }
        ("", "PersistentVolumeClaim" | "PersistentVolume") => {
            let class = text(manifest, "/spec/storageClassName");
            names.extend(class.map(|name| StepId::object(STORAGE, "StorageClass", None, name)));
            let volume = text(manifest, "/spec/volumeName");
            names.extend(volume.map(|name| StepId::object("", "PersistentVolume", None, name)));
        }
        ("autoscaling", "HorizontalPodAutoscaler") => names.extend(references::scaled(manifest, namespace)),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration")
        | ("apiregistration.k8s.io", "APIService") => {
            let services = references::called_services(manifest);
            more.calls = services.iter().map(|service| ids.number(service.clone())).collect();
            names.extend(services);
        }
        _ => {}
    }
    if let Some(template) = references::pod_template(group, kind, manifest) {
        let spec = template.get("spec").unwrap_or(&Value::Null);
        names.extend(references::of_pod(spec, namespace));
        more.workload = Some(Workload {
            namespace: ids.number(of_namespace(namespace)),
            account: ids.number(StepId::object("", "ServiceAccount", Some(namespace), references::account(spec))),
            labels: labels(template.pointer("/metadata/labels")),
        });
        let service = text(manifest, "/spec/serviceName").filter(|_| kind == "StatefulSet");
        names.extend(service.map(|name| StepId::object("", "Service", Some(namespace), name)));
    }
    names.retain(|name| name != id);
    let mut names: Vec<Number> = names.into_iter().map(|name| ids.number(name)).collect();
    names.sort_unstable();
    names.dedup();
    let more = (more != More::default()).then(|| Box::new(more));
    Links { names: names.into(), kind: ids.number(of_kind(group, kind)), more }
}

fn of_namespace(namespace: &str) -> StepId {
    StepId::object("", "Namespace", None, namespace)
}

fn of_kind(group: &str, kind: &str) -> StepId {
    StepId::object(group, kind, None, "")
}

/// One number a label; two labels of one number would only add an edge.
fn labels(of: Option<&Value>) -> Vec<u64> {
    let mut labels: Vec<u64> = of
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let mut hasher = DefaultHasher::new();
            (key, value.to_string()).hash(&mut hasher);
            hasher.finish()
        })
        .collect();
    labels.sort_unstable();
    labels
}

fn text<'a>(manifest: &'a Value, pointer: &str) -> Option<&'a str> {
    manifest.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn node_ports(service: &Value) -> Vec<(i64, String)> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let claim = |port: &Value| {
        let number = port.get("nodePort")?.as_i64().filter(|number| *number != 0)?;
        Some((number, text(port, "/protocol").unwrap_or("TCP").to_owned()))
    };
    ports.into_iter().flatten().filter_map(claim).collect()
}
