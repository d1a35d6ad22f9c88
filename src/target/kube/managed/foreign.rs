//! What other hands did to an object of ours: fields beside ours, fields that were ours, and who it was.
//!
//! Pure. Told by the paths of managedFields alone, so that no value is ever named. Called by `observe` and `apply`.

use serde_json::Value;

use super::ignored::Ignored;
use super::{Paths, by_hand, entries, names, own, paths, text};
use crate::diff::seen::Addition;
use crate::target::kube::normalise::pod_spec;

/// So many additions of one object are told.
const TOLD: usize = 6;

/// In which fields of a kind foreign additions are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::target::kube) enum Strict {
    /// In none.
    Nowhere,
    /// In all but metadata and status.
    Everywhere,
    /// Below this path.
    Below(Vec<String>),
}

impl Strict {
    /// By `spec.strict`, or by default: RBAC, NetworkPolicy, and the pod templates of built-in kinds.
    #[must_use]
    pub(in crate::target::kube) fn of(listed: Option<&[String]>, group: &str, version: &str, kind: &str) -> Self {
        if let Some(listed) = listed {
            let full = format!("{kind}.{group}");
            let named = listed.iter().any(|it| it == kind || *it == full);
            return if named { Self::Everywhere } else { Self::Nowhere };
        }
        if group == "rbac.authorization.k8s.io" || (group, kind) == ("networking.k8s.io", "NetworkPolicy") {
            return Self::Everywhere;
        }
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        match pod_spec(&api_version, kind).and_then(|path| path.strip_suffix("/spec")) {
            // A Pod has no template, and the scheduler, the kubelet and people with `kubectl debug` write to it.
            None | Some("") => Self::Nowhere,
            Some(template) => Self::Below(template.split('/').skip(1).map(|key| format!("f:{key}")).collect()),
        }
    }

    fn covers(&self, path: &[String]) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Everywhere => true,
            Self::Below(root) => path.starts_with(root),
        }
    }
}

/// Paths that people hold by hand beside ours; those to remove are marked.
#[must_use]
pub(in crate::target::kube) fn added(
    object: &Value,
    manager: &str,
    strict: &Strict,
    ignored: Option<&Ignored>,
) -> Vec<(String, Vec<String>, bool)> {
    let Some(own) = own(object, manager) else { return Vec::new() };
    let mut ours: Option<Paths> = None;
    let mut found = Vec::new();
    for (name, _, _, fields) in entries(object).filter(|(name, ..)| *name != manager && by_hand(name)) {
        let ours = ours.get_or_insert_with(|| paths(own));
        let theirs: Vec<Vec<String>> = paths(fields).into_iter().collect();
        let restarts: Vec<&Vec<String>> = theirs.iter().filter(|path| is_restart(path)).collect();
        for path in &theirs {
            let beside = !ours.contains(path)
                && !matches!(path.first().map(String::as_str), Some("f:metadata" | "f:status") | None)
                && !ignored.is_some_and(|ignored| ignored.covers(path));
            if beside {
                // `kubectl rollout restart` asks for something once; to take it back would restart everything again.
                let asks = restarts.iter().any(|restart| restart.starts_with(path));
                found.push((name.to_owned(), path.clone(), strict.covers(path) && !asks));
            }
        }
    }
    found
}

/// The same, short and readable, what is to be removed first.
#[must_use]
pub(in crate::target::kube) fn additions(
    object: &Value,
    manager: &str,
    strict: &Strict,
    ignored: Option<&Ignored>,
) -> Vec<Addition> {
    let all = added(object, manager, strict, ignored);
    let below_another = |path: &[String], by: &str| {
        all.iter().any(|(name, other, _)| name == by && other.len() < path.len() && path.starts_with(other))
    };
    let mut told: Vec<Addition> = all
        .iter()
        .filter(|(name, path, _)| !below_another(path, name))
        .map(|(name, path, strict)| Addition { manager: name.clone(), field: readable(path), strict: *strict })
        .collect();
    told.sort_by_key(|it| !it.strict);
    told.truncate(TOLD);
    told
}

fn is_restart(path: &[String]) -> bool {
    path.last().is_some_and(|key| key == "f:kubectl.kubernetes.io/restartedAt")
}

/// Fields of a manifest that are ours no more, each with who holds it now; without one, it was removed.
#[must_use]
pub(in crate::target::kube) fn lost(
    manifest: &Value,
    object: &Value,
    manager: &str,
    ignored: Option<&Ignored>,
) -> Vec<(String, Option<String>)> {
    fn walk(manifest: &Value, own: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        let Some(children) = own.as_object().filter(|children| !children.is_empty()) else { return };
        match manifest {
            Value::Object(fields) => {
                for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                    let identity = at.is_empty() && matches!(key.as_str(), "apiVersion" | "kind")
                        || at.len() == 1 && at[0] == "f:metadata" && matches!(key.as_str(), "name" | "namespace");
                    if identity {
                        continue;
                    }
                    at.push(format!("f:{key}"));
                    match children.get(&format!("f:{key}")) {
                        Some(child) => walk(value, child, at, found),
                        None => match value.as_object().filter(|below| !below.is_empty()) {
                            // All keys of a map were changed: they are told one by one.
                            Some(below) => {
                                found.extend(below.keys().map(|key| [at.as_slice(), &[format!("f:{key}")]].concat()));
                            }
                            None => found.push(at.clone()),
                        },
                    }
                    at.pop();
                }
            }
            Value::Array(items) => {
                for item in items {
                    let child = children.iter().find(|(key, _)| names(key, item) || **key == format!("v:{item}"));
                    let key = match (child, item.get("name").and_then(Value::as_str)) {
                        (Some((key, _)), _) => key.clone(),
                        (None, Some(name)) => format!("k:{{\"name\":{name:?}}}"),
                        (None, None) => "k:{}".to_owned(),
                    };
                    at.push(key);
                    match child {
                        Some((_, child)) => walk(item, child, at, found),
                        None => found.push(at.clone()),
                    }
                    at.pop();
                }
            }
            _ => {}
        }
    }
    let Some(own) = own(object, manager) else { return Vec::new() };
    let mut found = Vec::new();
    walk(manifest, own, &mut Vec::new(), &mut found);
    let all = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let others: Vec<(&str, Paths)> = all
        .filter(|entry| text(entry, "manager") != manager && text(entry, "subresource") != "status")
        .filter_map(|entry| Some((text(entry, "manager"), paths(entry.get("fieldsV1")?))))
        .collect();
    let held = |path: &Vec<String>| {
        others.iter().find(|(_, held)| held.iter().any(|it| it.starts_with(path))).map(|(name, _)| (*name).to_owned())
    };
    let told = found.iter().filter(|path| !ignored.is_some_and(|ignored| ignored.covers(path)));
    told.map(|path| (readable(path), held(path))).collect()
}

/// A path as people write it: `spec.template.spec.containers[name=main].image`. A value of a set is not named.
#[must_use]
pub(in crate::target::kube) fn readable(path: &[String]) -> String {
    let mut shown = String::new();
    for key in path {
        if let Some(name) = key.strip_prefix("f:") {
            if name.contains('.') || name.contains('/') {
                shown.push_str(&format!("[{name}]"));
            } else {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(name);
            }
        } else if let Some(keys) = key.strip_prefix("k:") {
            let keys: serde_json::Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().map_or(value.to_string(), Into::into)))
                .collect();
            shown.push_str(&format!("[{}]", keys.join(",")));
        } else {
            shown.push_str("[…]");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ME: &str = "windlass-1";

    fn object(entries: Value) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    fn entry(manager: &str, time: &str, fields: Value) -> Value {
        let operation = if manager == ME { "Apply" } else { "Update" };
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": time, "fieldsV1": fields})
    }

    fn told(found: Vec<Addition>) -> Vec<String> {
        found
            .into_iter()
            .map(|it| format!("{} {}{}", it.manager, it.field, if it.strict { " !" } else { "" }))
            .collect()
    }

    #[test]
    fn strict_is_the_default_for_rights_networks_and_templates_and_the_list_replaces_it() {
        let below = |keys: &[&str]| Strict::Below(keys.iter().map(|key| format!("f:{key}")).collect());
        let default = |group, kind| Strict::of(None, group, "v1", kind);
        assert_eq!(default("rbac.authorization.k8s.io", "RoleBinding"), Strict::Everywhere);
        assert_eq!(default("networking.k8s.io", "NetworkPolicy"), Strict::Everywhere);
        assert_eq!(default("networking.k8s.io", "Ingress"), Strict::Nowhere);
        assert_eq!(default("apps", "Deployment"), below(&["spec", "template"]));
        assert_eq!(default("batch", "CronJob"), below(&["spec", "jobTemplate", "spec", "template"]));
        assert_eq!(default("", "Pod"), Strict::Nowhere);
        assert_eq!(default("example.com", "Deployment"), Strict::Nowhere);
        let list = |names: &[&str], group, kind| {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            Strict::of(Some(&names), group, "v1", kind)
        };
        assert_eq!(list(&[], "networking.k8s.io", "NetworkPolicy"), Strict::Nowhere);
        assert_eq!(list(&["Ingress.networking.k8s.io"], "networking.k8s.io", "Ingress"), Strict::Everywhere);
        assert_eq!(list(&["Service"], "", "Service"), Strict::Everywhere);
        assert_eq!(list(&["Deployment.apps"], "example.com", "Deployment"), Strict::Nowhere);
    }

    #[test]
    fn what_people_add_is_told_and_what_controllers_hold_is_not() {
        let container = "k:{\"name\":\"evil\"}";
        let live = object(json!([
            entry(
                ME,
                "1",
                json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}}}}}}})
            ),
            entry(
                "kubectl-edit",
                "2",
                json!({"f:metadata": {"f:labels": {"f:theirs": {}}}, "f:spec": {"f:replicas": {}, "f:minReadySeconds": {},
                "f:template": {"f:spec": {"f:hostPID": {}, "f:containers": {container: {".": {}, "f:image": {}, "f:name": {}}}}}}})
            ),
            entry(
                "kube-controller-manager",
                "3",
                json!({"f:metadata": {"f:annotations": {"f:x": {}}}, "f:spec": {"f:paused": {}}})
            ),
        ]));
        let strict = Strict::of(None, "apps", "v1", "Deployment");
        assert_eq!(
            told(additions(&live, ME, &strict, None)),
            [
                "kubectl-edit spec.template.spec.containers[name=evil] !",
                "kubectl-edit spec.template.spec.hostPID !",
                "kubectl-edit spec.minReadySeconds",
            ]
        );
        let ignored = Ignored::new(&json!({}), &["/spec/template".to_owned()]);
        assert_eq!(told(additions(&live, ME, &strict, Some(&ignored))), ["kubectl-edit spec.minReadySeconds"]);
        assert_eq!(added(&live, "windlass-2", &strict, None), [], "it is not ours");
    }

    #[test]
    fn a_restart_that_somebody_asked_for_is_told_and_left() {
        let restart = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}});
        let live = object(json!([
            entry(ME, "1", json!({"f:spec": {"f:replicas": {}}})),
            entry("kubectl-rollout", "2", restart)
        ]));
        let strict = Strict::of(None, "apps", "v1", "Deployment");
        assert_eq!(told(additions(&live, ME, &strict, None)), ["kubectl-rollout spec.template.metadata.annotations"]);
        assert!(added(&live, ME, &strict, None).iter().all(|(.., strict)| !strict));
    }

    #[test]
    fn what_is_ours_no_more_is_named_with_who_holds_it() {
        let manifest = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "a"}},
            "spec": {"replicas": 1, "image": "i", "list": [{"name": "a", "v": 1}, {"name": "b"}], "atomic": [1], "set": ["x"]}});
        let own = json!({"f:metadata": {"f:labels": {}}, "f:spec": {"f:image": {}, "f:list": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}}},
            "f:atomic": {}, "f:set": {"v:\"x\"": {}}}});
        let mut scaled = entry("kubectl", "2", json!({"f:spec": {"f:replicas": {}}}));
        scaled["subresource"] = json!("scale");
        let live = object(json!([entry(ME, "1", own), scaled]));
        let told: Vec<(String, Option<String>)> = lost(&manifest, &live, ME, None);
        assert_eq!(
            told,
            [
                ("spec.list[name=a].v".to_owned(), None),
                ("spec.list[name=b]".to_owned(), None),
                ("spec.replicas".to_owned(), Some("kubectl".to_owned())),
            ]
        );
        assert_eq!(readable(&["f:metadata".into(), "f:labels".into(), "f:a.b/c".into()]), "metadata.labels[a.b/c]");
    }
}
