//! Tests that hold for every family.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn kinds() -> impl Iterator<Item = &'static Kind> {
    FAMILIES.iter().flat_map(|family| family.kinds)
}

#[test]
fn a_kind_and_its_crd_say_the_same() {
    for kind in kinds() {
        let crd = (kind.crd)();
        assert_eq!(crd.spec.group, kind.group);
        assert_eq!(crd.spec.names.kind, kind.kind);
        assert_eq!(crd.spec.names.plural, kind.plural);
        assert_eq!(crd.spec.scope == "Namespaced", kind.namespaced);
        let versions: Vec<&str> = crd.spec.versions.iter().map(|version| version.name.as_str()).collect();
        assert_eq!(versions, [kind.version]);
        let version = &crd.spec.versions[0];
        assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{} has no status", kind.kind);
        assert!(version.additional_printer_columns.as_ref().is_some_and(|columns| !columns.is_empty()));
    }
}

#[test]
fn no_two_kinds_have_the_same_name() {
    let names: BTreeSet<_> = kinds().map(|kind| (kind.group, kind.kind)).collect();
    assert_eq!(names.len(), kinds().count());
}

#[test]
fn the_schemas_are_structural() {
    // What a structural schema may not hold: types inside of junctors, and values without a type.
    fn walk(schema: &Value, path: &str) {
        let Some(map) = schema.as_object() else { panic!("{path} is not a schema") };
        let open =
            map.contains_key("x-kubernetes-int-or-string") || map.contains_key("x-kubernetes-preserve-unknown-fields");
        assert!(map.contains_key("type") || open, "{path} has no type");
        for junctor in ["anyOf", "oneOf", "allOf", "not"] {
            assert!(!map.contains_key(junctor), "{path} has {junctor}");
        }
        for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            walk(property, &format!("{path}.{name}"));
        }
        if let Some(items) = map.get("items") {
            walk(items, &format!("{path}[]"));
        }
    }
    for kind in kinds() {
        walk(&schema::of(&(kind.crd)()), kind.kind);
    }
}

#[test]
fn every_field_of_every_spec_is_described() {
    fn walk(schema: &Value, path: &str) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(property.get("description").is_some(), "{path} has no description");
            walk(property, &path);
        }
    }
    for kind in kinds() {
        walk(&schema::of(&(kind.crd)())["properties"]["spec"], kind.kind);
    }
}

#[test]
fn problems_are_the_same_from_run_to_run() {
    for kind in kinds() {
        let manifest = serde_json::json!({"metadata": {"name": "n"}, "spec": {"zz": 1, "aa": 2, "mode": 3}});
        assert_eq!((kind.check)(&manifest), (kind.check)(&manifest));
        assert!(!(kind.check)(&manifest).is_empty());
    }
}
