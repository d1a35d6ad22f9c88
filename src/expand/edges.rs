//! The default order: which steps wait for which without being asked to.
//!
//! Pure. Called by `expand` on steps that already have the edges their families and users asked for.
//!
//! Every rule follows a reference or a name, so that the number of edges grows with the number of references, not with
//! the square of the objects. An edge leads only to a step of the same plan; what is referred to but not declared here is
//! somebody else's and is not waited for.
//!
//! | a step | waits for |
//! |---|---|
//! | everything in a namespace | the Namespace |
//! | a custom resource | its CustomResourceDefinition |
//! | a workload | the ServiceAccount, ConfigMaps, Secrets, PersistentVolumeClaims, PriorityClass and RuntimeClass it names; the bindings of its ServiceAccount; NetworkPolicies, ResourceQuotas and LimitRanges of its namespace (of each at most 16); a StatefulSet also its Service |
//! | a RoleBinding or ClusterRoleBinding | its role and its ServiceAccounts |
//! | a PersistentVolumeClaim or PersistentVolume | its StorageClass; a claim also its volume |
//! | a HorizontalPodAutoscaler | what it scales |
//! | a webhook configuration or APIService | its Service and the workloads behind that (at most 16) |
//!
//! None of these rules alone can close a circle: nothing waits for a webhook or an autoscaler, workloads wait for no
//! workloads, and the rest waits only for what stands above it in the list.

use std::collections::BTreeMap;

use serde_json::Value;

use super::references;
use crate::plan::{Step, StepId};

/// How many steps of one rule a step waits for, where the rule follows no single name.
const MOST: usize = 16;

const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// Adds the edges.
pub fn add(steps: &mut [Step]) {
    let index = Index::of(steps);
    let found: Vec<Vec<StepId>> = steps.iter().map(|step| index.needs(step)).collect();
    for (step, needs) in steps.iter_mut().zip(found) {
        step.needs.extend(needs);
    }
}

#[derive(Default)]
struct Index {
    /// Every id, for references by name.
    ids: std::collections::BTreeSet<StepId>,
    /// CRDs by the (group, kind) they define.
    crds: BTreeMap<(String, String), StepId>,
    /// Bindings by the (namespace, name) of a ServiceAccount they bind.
    bindings: BTreeMap<(String, String), Vec<StepId>>,
    /// What limits workloads, by namespace.
    limits: BTreeMap<String, Vec<StepId>>,
    /// Workloads by namespace, with their pods' labels.
    workloads: BTreeMap<String, Vec<(StepId, Value)>>,
    /// Selectors of Services.
    selectors: BTreeMap<StepId, Value>,
}

impl Index {
    fn of(steps: &[Step]) -> Self {
        let mut index = Self::default();
        for step in steps {
            index.ids.insert(step.id.clone());
            let (Some(parts), Some(manifest)) = (step.id.object_parts(), step.want.object()) else { continue };
            let manifest = &manifest.value();
            let namespace = parts.namespace.unwrap_or_default().to_owned();
            match (parts.group, parts.kind) {
                ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                    let defines = (text(manifest, "/spec/group"), text(manifest, "/spec/names/kind"));
                    if let (Some(group), Some(kind)) = defines {
                        index.crds.insert((group.to_owned(), kind.to_owned()), step.id.clone());
                    }
                }
                (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
                    for account in references::bound_accounts(manifest, &namespace) {
                        index.bindings.entry(account).or_default().push(step.id.clone());
                    }
                }
                ("networking.k8s.io", "NetworkPolicy") | ("", "ResourceQuota" | "LimitRange") => {
                    index.limits.entry(namespace).or_default().push(step.id.clone());
                }
                ("", "Service") => {
                    let selector = manifest.pointer("/spec/selector").cloned().unwrap_or_default();
                    index.selectors.insert(step.id.clone(), selector);
                }
                _ => {}
            }
            if let Some(template) = references::pod_template(parts.group, parts.kind, manifest) {
                let labels = template.pointer("/metadata/labels").cloned().unwrap_or_default();
                let namespace = parts.namespace.unwrap_or_default().to_owned();
                index.workloads.entry(namespace).or_default().push((step.id.clone(), labels));
            }
        }
        // Which ones a bound keeps must not depend on the order of files.
        index.bindings.values_mut().chain(index.limits.values_mut()).for_each(|ids| ids.sort_unstable());
        index.workloads.values_mut().for_each(|of| of.sort_unstable_by(|a, b| a.0.cmp(&b.0)));
        index
    }

    /// What a step waits for by the rules above.
    fn needs(&self, step: &Step) -> Vec<StepId> {
        let (Some(parts), Some(manifest)) = (step.id.object_parts(), step.want.object()) else { return Vec::new() };
        let manifest = &manifest.value();
        let mut needs = Vec::new();
        let namespace = parts.namespace.unwrap_or_default();
        if !namespace.is_empty() {
            needs.push(StepId::object("", "Namespace", None, namespace));
        }
        needs.extend(self.crds.get(&(parts.group.to_owned(), parts.kind.to_owned())).cloned());
        match (parts.group, parts.kind) {
            (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
                needs.extend(references::role(manifest, namespace));
                let accounts = references::bound_accounts(manifest, namespace);
                needs.extend(accounts.iter().map(|(of, name)| StepId::object("", "ServiceAccount", Some(of), name)));
            }
            ("", "PersistentVolumeClaim" | "PersistentVolume") => {
                let class = text(manifest, "/spec/storageClassName");
                needs.extend(class.map(|name| StepId::object(STORAGE, "StorageClass", None, name)));
                let volume = text(manifest, "/spec/volumeName");
                needs.extend(volume.map(|name| StepId::object("", "PersistentVolume", None, name)));
            }
            ("autoscaling", "HorizontalPodAutoscaler") => needs.extend(references::scaled(manifest, namespace)),
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration")
            | ("apiregistration.k8s.io", "APIService") => {
                for service in references::called_services(manifest) {
                    needs.extend(self.behind(&service));
                    needs.push(service);
                }
            }
            _ => {}
        }
        if let Some(template) = references::pod_template(parts.group, parts.kind, manifest) {
            self.workload(&mut needs, template, namespace);
            let service = text(manifest, "/spec/serviceName").filter(|_| parts.kind == "StatefulSet");
            needs.extend(service.map(|name| StepId::object("", "Service", Some(namespace), name)));
        }
        needs.retain(|id| *id != step.id && self.ids.contains(id));
        needs
    }

    fn workload(&self, needs: &mut Vec<StepId>, template: &Value, namespace: &str) {
        let spec = template.get("spec").unwrap_or(&Value::Null);
        needs.extend(references::of_pod(spec, namespace));
        let account = (namespace.to_owned(), references::account(spec).to_owned());
        needs.extend(self.bindings.get(&account).into_iter().flatten().take(MOST).cloned());
        needs.extend(self.limits.get(namespace).into_iter().flatten().take(MOST).cloned());
    }

    /// The workloads that a Service leads to.
    fn behind(&self, service: &StepId) -> Vec<StepId> {
        let namespace = service.object_parts().and_then(|parts| parts.namespace).unwrap_or_default();
        let Some(selector) = self.selectors.get(service).and_then(Value::as_object).filter(|map| !map.is_empty())
        else {
            return Vec::new();
        };
        let matches = |labels: &Value| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let of_namespace = self.workloads.get(namespace).into_iter().flatten();
        of_namespace.filter(|(_, labels)| matches(labels)).take(MOST).map(|(id, _)| id.clone()).collect()
    }
}

fn text<'a>(manifest: &'a Value, pointer: &str) -> Option<&'a str> {
    manifest.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}
