//! Service account and rights of the agent, from the kind registry.
//!
//! Pure. Least rights by default: no Secret outside the agent's namespace is read, and no Secret but the one with the key
//! for hashes is written. Of RBAC objects only those that a family of the registry makes: Kubernetes lets nobody write a
//! role that grants more than the writer holds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{NAME, metadata};
use crate::kinds;
use crate::sync;
use crate::target::kube::HASH_KEY;

/// Plain objects that repositories hold beside high-level kinds. Secrets, RBAC objects, CRDs and admission webhooks are
/// left out on purpose: whoever writes them may well own the cluster. `--rights cluster-admin`, or a role of one's own bound to
/// the same account, adds them.
const PLAIN: &[(&str, &[&str])] = &[
    ("", &["configmaps", "namespaces", "persistentvolumeclaims", "serviceaccounts", "services"]),
    ("apps", &["daemonsets", "deployments", "statefulsets"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
];

/// Left out even where a family writes them: a right to these is a right to those of everybody, in every namespace.
const SECRETS: (&str, &str) = ("", "secrets");

/// All it takes to read, apply (a server-side apply that creates needs `create` as well as `patch`), watch and prune.
const KEEP: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

/// Service account, cluster role, role in the agent's namespace, and their bindings.
pub(super) fn objects(namespace: &str, cluster_admin: bool) -> Vec<Value> {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(Some(namespace)) });
    let rbac = "rbac.authorization.k8s.io";
    let subjects = json!([{ "kind": "ServiceAccount", "name": NAME, "namespace": namespace }]);
    let cluster_role = if cluster_admin { "cluster-admin" } else { NAME };
    let mut objects = vec![account];
    if !cluster_admin {
        objects.push(json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": metadata(None), "rules": rules(),
        }));
    }
    objects.extend([
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(None),
            "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": cluster_role }, "subjects": subjects,
        }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": metadata(Some(namespace)), "rules": [
                // Credentials of sources. A GitSync elsewhere needs a role like this one in its own namespace.
                { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] },
                // The key for hashes of secret values: this one Secret, made once.
                { "apiGroups": [""], "resources": ["secrets"], "resourceNames": [HASH_KEY],
                  "verbs": ["create", "patch"] },
            ],
        }),
        json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": metadata(Some(namespace)),
            "roleRef": { "apiGroup": rbac, "kind": "Role", "name": NAME }, "subjects": subjects,
        }),
    ]);
    objects
}

fn rules() -> Vec<Value> {
    let all = || kinds::FAMILIES.iter().flat_map(|family| family.kinds);
    let mut kept: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (group, resources) in PLAIN {
        kept.entry(group).or_default().extend(resources.iter());
    }
    let mut statuses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for kind in all() {
        kept.entry(kind.group).or_default().insert(kind.plural);
        statuses.entry(kind.group).or_default().insert(format!("{}/status", kind.plural));
        for (group, plural) in kind.writes.iter().filter(|writes| **writes != SECRETS) {
            kept.entry(group).or_default().insert(plural);
        }
    }
    let crds: Vec<Option<String>> =
        sync::crds().into_iter().chain(kinds::crds()).map(|crd| crd.metadata.name).collect();
    let group = sync::GROUP;
    let mut rules = vec![
        json!({ "apiGroups": [group], "resources": ["gitsyncs"], "verbs": ["get", "list", "watch", "patch"] }),
        json!({ "apiGroups": [group], "resources": ["gitsyncs/status"], "verbs": ["get", "patch", "update"] }),
        json!({ "apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] }),
        // One Lease a sync, beside it: two agents never write at once.
        json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "verbs": ["get", "create", "patch", "delete"] }),
        json!({ "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
                "verbs": ["get", "list", "watch"] }),
        // Not to change them: what they change in objects is applied again when they change.
        json!({ "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["mutatingwebhookconfigurations", "mutatingadmissionpolicies",
                    "mutatingadmissionpolicybindings"],
                "verbs": ["list", "watch"] }),
        // Its own CRDs only: the agent applies them when it starts.
        json!({ "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
                "resourceNames": crds, "verbs": ["create", "patch"] }),
    ];
    rules.extend(
        kept.iter().map(|(group, resources)| json!({ "apiGroups": [group], "resources": resources, "verbs": KEEP })),
    );
    rules.extend(statuses.iter().map(
        |(group, resources)| json!({ "apiGroups": [group], "resources": resources, "verbs": ["get", "patch", "update"] }),
    ));
    rules
}
