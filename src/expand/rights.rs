//! The rights that applying a plan needs, as a ClusterRole with its binding (`render --rbac`).
//!
//! Pure. Called by `cli`; the verbs are those of the Kubernetes target.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::declared::scope;
use crate::kinds;
use crate::plan::{Plan, yaml};

/// What an object's whole life takes: read, watch, server-side apply (`patch`, and `create` for what is not there yet),
/// prune.
const VERBS: [&str; 6] = ["create", "delete", "get", "list", "patch", "watch"];
/// What reporting on a CR takes.
const STATUS_VERBS: [&str; 2] = ["get", "patch"];

/// The ClusterRole with one rule an API group, and one for the status of CRs.
#[must_use]
pub fn cluster_role(name: &str, plan: &Plan) -> Value {
    let defined = defined(plan);
    let mut objects: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut statuses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for parts in plan.steps.iter().filter_map(|step| step.id.object_parts()) {
        let known = kinds::find(parts.group, parts.kind);
        let plural = scope::plural(parts.group, parts.kind)
            .map(str::to_owned)
            .or_else(|| defined.get(&(parts.group.to_owned(), parts.kind.to_owned())).cloned())
            .unwrap_or_else(|| plural(parts.kind));
        if known.is_some() {
            statuses.entry(parts.group).or_default().insert(format!("{plural}/status"));
        }
        objects.entry(parts.group).or_default().insert(plural);
    }
    let rule = |(group, resources): (&&str, &BTreeSet<String>), verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let rules: Vec<Value> = objects
        .iter()
        .map(|entry| rule(entry, &VERBS))
        .chain(statuses.iter().map(|entry| rule(entry, &STATUS_VERBS)))
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    })
}

/// The ClusterRole and its binding as YAML. Who applies roles has to hold what they grant, which a comment says where it matters.
#[must_use]
pub fn yaml(name: &str, plan: &Plan) -> String {
    let mut text = "# What the agent may do to apply this revision. Its own needs (inventory, events) come with\n\
                    # `windlass install`.\n"
        .to_owned();
    let grants = |kind: &str| matches!(kind, "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding");
    let parts = plan.steps.iter().filter_map(|step| step.id.object_parts());
    if parts.into_iter().any(|parts| parts.group == "rbac.authorization.k8s.io" && grants(parts.kind)) {
        text.push_str(
            "# The revision declares roles or bindings: Kubernetes lets the agent apply them only if it holds every right\n\
             # that they grant itself, or the verbs `escalate` and `bind` on them.\n",
        );
    }
    let parts = [cluster_role(name, plan), binding(name)];
    text + &parts.each_ref().map(yaml::text).join("---\n")
}

/// Gives the role to the agent of the default installation.
fn binding(name: &str) -> Value {
    let rbac = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": format!("{rbac}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "windlass", "namespace": crate::sync::DEFAULT_NAMESPACE}],
    })
}

/// Plurals of the kinds that CRDs of the plan define, by (group, kind).
fn defined(plan: &Plan) -> BTreeMap<(String, String), String> {
    let crds = plan
        .steps
        .iter()
        .filter(|step| step.id.object_parts().is_some_and(|parts| parts.kind == "CustomResourceDefinition"));
    crds.filter_map(|step| {
        let manifest = step.want.object()?.value();
        let text = |pointer| Some(manifest.pointer(pointer)?.as_str()?.to_owned());
        Some(((text("/spec/group")?, text("/spec/names/kind")?), text("/spec/names/plural")?))
    })
    .collect()
}

/// The plural by the rule that Kubernetes itself uses where nothing else is known.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.as_bytes() {
        [.., b's'] | [.., b'x'] | [.., b'c', b'h'] | [.., b's', b'h'] => format!("{lower}es"),
        [stem @ .., b'y'] if stem.last().is_some_and(|before| !b"aeiou".contains(before)) => {
            format!("{}ies", &lower[..stem.len()])
        }
        _ => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_has_the_plural_of_its_word() {
        for (kind, wanted) in [
            ("Widget", "widgets"),
            ("CertificatePolicy", "certificatepolicies"),
            ("VirtualAddress", "virtualaddresses"),
            ("Gateway", "gateways"),
        ] {
            assert_eq!(plural(kind), wanted);
        }
    }
}
