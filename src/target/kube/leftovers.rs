//! Compares the answer of an apply with what was sent: what an apply may leave behind although it said 200.
//!
//! Pure. Called by `apply`.

use serde_json::{Value, json};

use super::managed::{self, Paths};

/// Whether the server stored a null where something else was sent: emptying a map of a kind with unknown fields does
/// that once; a second apply heals it.
#[must_use]
pub(super) fn has_null_leftover(sent: &Value, got: &Value) -> bool {
    match (sent, got) {
        (Value::Null, _) => false,
        (_, Value::Null) => true,
        (Value::Object(sent), Value::Object(got)) => {
            sent.iter().any(|(key, value)| got.get(key).is_some_and(|got| has_null_leftover(value, got)))
        }
        // Lists may be merged by key and so be longer than what was sent.
        (Value::Array(sent), Value::Array(got)) if sent.len() == got.len() => {
            sent.iter().zip(got).any(|(sent, got)| has_null_leftover(sent, got))
        }
        _ => false,
    }
}

/// Paths that we held before an apply (by their short hashes), do not hold after it, and that another manager keeps in
/// place.
#[must_use]
pub(super) fn kept_by_others(before: &[u32], got: &Value, manager: &str) -> Paths {
    let now = managed::own(got, manager).map(managed::paths).unwrap_or_default();
    let theirs = managed::foreign(got, manager).flat_map(|(_, paths)| paths);
    theirs.filter(|path| !now.contains(path) && before.contains(&managed::short(path))).collect()
}

/// The pointers (RFC 6901) of empty maps and lists in what was sent, at places that a refusal for a null names: a typed
/// schema refuses the null that emptying a map makes of it, unless the map is dropped first and set after.
#[must_use]
pub(super) fn emptied(sent: &Value, causes: &[super::wire::Cause]) -> Vec<String> {
    let named = causes.iter().filter(|cause| cause.message.contains("\"null\""));
    named
        .map(|cause| format!("/{}", cause.field.replace('[', ".").replace(']', "").replace('.', "/")))
        .filter(|pointer| match sent.pointer(pointer) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            _ => false,
        })
        .collect()
}

/// One JSON patch that empties maps and lists in the live object, so that the apply after it removes nothing there and
/// so writes no null. None if nothing has to be emptied.
#[must_use]
pub(super) fn emptying(live: &Value, sent: &Value, pointers: &[String]) -> Option<Value> {
    let full = |value: &Value| match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    let mut patch = vec![json!({
        "op": "test",
        "path": "/metadata/resourceVersion",
        "value": live.pointer("/metadata/resourceVersion")?,
    })];
    for pointer in pointers {
        if live.pointer(pointer).is_some_and(full) {
            patch.push(json!({ "op": "replace", "path": pointer, "value": sent.pointer(pointer) }));
        }
    }
    (patch.len() > 1).then_some(Value::Array(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::kube::wire::Cause;

    #[test]
    fn a_null_where_a_map_was_sent_is_a_leftover() {
        assert!(has_null_leftover(&json!({"spec": {"b": {}}}), &json!({"spec": {"b": null}})));
        assert!(!has_null_leftover(&json!({"spec": {"b": {}}}), &json!({"spec": {"b": {}}})));
        assert!(!has_null_leftover(&json!({"spec": {"b": null}}), &json!({"spec": {"b": null}})));
        assert!(!has_null_leftover(&json!({"spec": {"b": {}}}), &json!({"spec": {}, "status": null})));
    }

    #[test]
    fn what_we_dropped_and_another_manager_holds_is_kept_by_others() {
        let entry = |name: &str, operation: &str, fields: Value| json!({"manager": name, "operation": operation, "fieldsV1": fields});
        let got = json!({"metadata": {"managedFields": [
            entry("me", "Apply", json!({"f:a": {}})),
            entry("kubectl-create", "Update", json!({"f:b": {}, "f:c": {}})),
        ]}});
        let before = ["f:a", "f:b", "f:d"].map(|path| managed::short(&[path.to_owned()]));
        assert_eq!(kept_by_others(&before, &got, "me"), Paths::from([vec!["f:b".to_owned()]]));
    }

    #[test]
    fn an_emptied_map_is_found_by_the_refusal_of_its_null() {
        let sent = json!({"spec": {"b": {}, "c": [{"d": {}}], "e": {"f": 1}}});
        let cause =
            |field: &str, message: &str| Cause { field: field.into(), message: message.into(), ..Cause::default() };
        let null = "Invalid value: \"null\": must be of type object";
        let causes =
            [cause("spec.b", null), cause("spec.c[0].d", null), cause("spec.e", null), cause("spec.x", "other")];
        assert_eq!(emptied(&sent, &causes), ["/spec/b", "/spec/c/0/d"]);
        let live = json!({"metadata": {"resourceVersion": "7"}, "spec": {"b": {"x": "1"}, "c": [{"d": {}}]}});
        assert_eq!(
            emptying(&live, &sent, &["/spec/b".into(), "/spec/c/0/d".into()]),
            Some(json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "replace", "path": "/spec/b", "value": {}},
            ]))
        );
        assert_eq!(emptying(&live, &sent, &[]), None);
    }
}
