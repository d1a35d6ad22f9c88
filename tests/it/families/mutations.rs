//! No field of any kind is silently ignored: whatever a spec may say, saying something else there changes what it expands
//! to, or the field stands below with the reason why it does not.
//!
//! The fields come from the schemas of the CRDs, so that a new field is held to this without being named here. Each is set
//! to values that its schema allows, in every sample of its kind that then still has no problem.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use windlass::kinds::{FAMILIES, Kind};
use windlass::plan::{StepId, yaml};
use windlass::problem::Severity;

use super::plan;

/// Fields that change nothing, and why that is as it should be.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("Cluster", "/name", "the published CRD requires it, and every object is named after the resource")];

/// Samples of a kind, one for each way it may go; a field is held to one of them at least.
fn samples(kind: &str) -> Vec<Value> {
    let claim = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let source = json!({"source": {"claimName": "mine"}});
    let part = |volume: &Value| json!({"replicas": 3, "image": {"name": "i:1"}, "volume": volume});
    let bare = json!({"replicas": 3, "image": {"name": "i:1"}});
    match kind {
        "Cluster" => [&claim, &source]
            .map(|volume| {
                let part = || json!({"replicas": 3, "volume": volume});
                json!({
                    "name": "n", "image": {"name": "i:1"}, "journal": part(), "storage": part(), "kernel": part(),
                    "engine": part(), "background": {"replicas": 3},
                })
            })
            .into(),
        "Journal" | "Storage" | "Kernel" | "Engine" => vec![part(&claim), part(&source)],
        "Background" => vec![bare],
        "Goop" => vec![json!({}), json!({"mode": "PerNode"}), json!({"schedule": "0 4 * * *"})],
        // Of a kind without samples here the fields are tried on what its schema requires.
        _ => Vec::new(),
    }
}

/// Everything but resources of our own kinds, which hold every field anyway; none if there is a problem.
fn objects(kind: &Kind, spec: &Value) -> Option<BTreeMap<StepId, String>> {
    let manifest = json!({
        "apiVersion": format!("{}/{}", kind.group, kind.version), "kind": kind.kind,
        "metadata": {"name": "sample", "namespace": "web"}, "spec": spec,
    });
    let text = yaml::text(&manifest);
    let (plan, problems) = plan([("sample.yaml", text.as_bytes())]);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return None;
    }
    let own =
        |id: &StepId| id.object_parts().is_some_and(|parts| windlass::kinds::find(parts.group, parts.kind).is_some());
    Some(plan.steps.iter().filter(|step| !own(&step.id)).map(|step| (step.id.clone(), step.hash.clone())).collect())
}

/// Values that a schema allows, or may: what is not allowed is found out.
fn values(schema: &Value, depth: usize) -> Vec<Value> {
    if let Some(allowed) = schema["enum"].as_array() {
        return allowed.clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return vec![json!("1Gi"), json!("2Gi"), json!(7)];
    }
    match schema["type"].as_str() {
        Some("boolean") => vec![json!(true), json!(false)],
        Some("integer" | "number") => [1, 3, 5, 8080, 60].map(Value::from).to_vec(),
        Some("string") => {
            ["one", "two", "Filesystem", "Block", "*/5 * * * *", "30 6 * * 1", "Europe/Berlin", "Asia/Tokyo", "one:1"]
                .map(Value::from)
                .to_vec()
        }
        Some("array") => values(&schema["items"], depth + 1).into_iter().map(|item| json!([item])).collect(),
        Some("object") if schema["additionalProperties"].is_object() => {
            let of = values(&schema["additionalProperties"], depth + 1);
            of.into_iter().map(|value| json!({"storage": value})).collect()
        }
        Some("object") => {
            let required: BTreeSet<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let part = |index: usize| {
                let fields = required.iter().map(|name| {
                    let of = values(&schema["properties"][*name], depth + 1);
                    ((*name).to_owned(), of.get(index.min(of.len().saturating_sub(1))).cloned().unwrap_or_default())
                });
                Value::Object(fields.collect::<Map<_, _>>())
            };
            if depth > 8 { Vec::new() } else { vec![part(0), part(1)] }
        }
        _ => vec![json!({"a": 1}), json!({"a": 2})],
    }
}

/// Every field below a schema, as a path of names; `*` is an item of a list or an entry of a map.
fn fields(schema: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        // A mapping is as good as its fields.
        if field["properties"].is_null() {
            found.push((path.clone(), field.clone()));
        }
        fields(field, &path, found);
    }
    if schema["items"].is_object() {
        fields(&schema["items"], &format!("{path}/*"), found);
    }
    if schema["additionalProperties"].is_object() {
        found.push((format!("{path}/*"), schema["additionalProperties"].clone()));
        fields(&schema["additionalProperties"], &format!("{path}/*"), found);
    }
}

/// A copy with a value at a path; what is missing on the way is made as its schema wants it.
fn with(root: &Value, schema: &Value, path: &[&str], value: &Value) -> Option<Value> {
    let Some((name, rest)) = path.split_first() else { return Some(value.clone()) };
    let mut root = root.clone();
    if *name == "*" && schema["items"].is_object() {
        let list = root.as_array_mut()?;
        let item = list.first().cloned().or_else(|| values(&schema["items"], 0).into_iter().next())?;
        let item = with(&item, &schema["items"], rest, value)?;
        list.clear();
        list.push(item);
        return Some(root);
    }
    let (key, of) = match *name {
        "*" => ("storage", &schema["additionalProperties"]),
        name => (name, &schema["properties"][name]),
    };
    let child = root.get(key).cloned().or_else(|| match of["type"].as_str() {
        Some("array") => Some(json!([])),
        _ => values(of, 0).into_iter().next(),
    })?;
    root.as_object_mut()?.insert(key.to_owned(), with(&child, of, rest, value)?);
    Some(root)
}

#[test]
fn every_field_of_every_kind_changes_what_it_expands_to() {
    let mut ignored = Vec::new();
    let mut needless: BTreeSet<(&str, &str)> = EXCEPTIONS.iter().map(|(kind, path, _)| (*kind, *path)).collect();
    for kind in FAMILIES.iter().flat_map(|family| family.kinds) {
        // Names of its parts are fixed, and half of its fields show in files only: its own test holds them.
        if kind.kind == "DataService" {
            continue;
        }
        let crd = serde_json::to_value((kind.crd)()).unwrap();
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
        let mut bases = samples(kind.kind);
        if bases.is_empty() {
            bases = values(schema, 0);
        }
        assert!(bases.iter().all(|base| objects(kind, base).is_some()), "{}: a sample has a problem", kind.kind);
        let mut found = Vec::new();
        fields(schema, "", &mut found);
        assert!(!found.is_empty(), "{} has no field", kind.kind);
        for (path, of) in found {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let matters = bases.iter().any(|base| {
                let tried = values(&of, 0).into_iter().filter_map(|value| with(base, schema, &parts, &value));
                let mut plans = tried.filter_map(|spec| objects(kind, &spec));
                let first = plans.next();
                plans.any(|other| Some(other) != first)
            });
            let excepted = EXCEPTIONS.iter().find(|(of, at, _)| *of == kind.kind && *at == path);
            match excepted {
                Some((of, at, _)) if !matters => _ = needless.remove(&(*of, *at)),
                None if !matters => ignored.push(format!("{}.spec{path}", kind.kind)),
                _ => {}
            }
        }
    }
    assert!(ignored.is_empty(), "nothing depends on these fields: {ignored:#?}");
    assert!(needless.is_empty(), "these are no exceptions: {needless:?}");
}
