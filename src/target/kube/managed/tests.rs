//! Paths, fingerprints and takeovers.

use super::*;

fn live(entries: Value) -> Value {
    json!({"metadata": {"resourceVersion": "7", "managedFields": entries}, "spec": {"containers": [{"name": "a"}, {"name": "b", "x": 1}]}})
}

fn entry(manager: &str, operation: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": "t", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

#[test]
fn paths_and_fields_are_each_others_inverse() {
    let some = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}}}});
    assert_eq!(fields(&paths(&some)), some);
    assert_eq!(paths(&some).len(), 4);
}

#[test]
fn our_entry_is_the_apply_on_the_main_resource() {
    let status = json!({"manager": "me", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}});
    let object =
        live(json!([status, entry("me", "Update", json!({"f:a": {}})), entry("me", "Apply", json!({"f:b": {}}))]));
    assert_eq!(own(&object, "me"), Some(&json!({"f:b": {}})));
    assert_eq!(own(&object, "you"), None);
}

#[test]
fn a_fingerprint_does_not_depend_on_the_order_of_keys() {
    let a: Value = serde_json::from_str(r#"{"f:b":{},"f:a":{}}"#).unwrap();
    let b: Value = serde_json::from_str(r#"{"f:a":{},"f:b":{}}"#).unwrap();
    assert_eq!(fingerprint(&a), fingerprint(&b));
    assert_eq!(fingerprint(&a).len(), 16);
}

#[test]
fn a_takeover_moves_only_what_is_chosen_and_tests_the_version_that_was_read() {
    let object = live(json!([
        entry("me", "Apply", json!({"f:spec": {"f:a": {}}})),
        entry("kubectl-edit", "Update", json!({"f:spec": {"f:b": {}}})),
        entry("injector", "Update", json!({"f:spec": {"f:caBundle": {}, "f:c": {}}})),
    ]));
    let patch = takeover(&object, "me", "v1", |who, path| by_hand(who) || path[1] == "f:c", &Paths::new()).unwrap();
    assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}));
    assert_eq!(
        patch[1]["value"],
        json!([
            entry("me", "Apply", json!({"f:spec": {"f:a": {}, "f:b": {}, "f:c": {}}})),
            entry("injector", "Update", json!({"f:spec": {"f:caBundle": {}}})),
        ])
    );
}

#[test]
fn a_takeover_of_nothing_is_none() {
    let object = live(json!([entry("me", "Apply", json!({"f:a": {}})), entry("x", "Update", json!({"f:b": {}}))]));
    assert_eq!(takeover(&object, "me", "v1", |_, _| false, &Paths::new()), None);
}

#[test]
fn other_sync_tools_apply_entries_are_never_taken() {
    let object = live(json!([entry("kustomize-controller", "Apply", json!({"f:a": {}}))]));
    assert_eq!(takeover(&object, "me", "v1", |_, _| true, &Paths::new()), None);
}

#[test]
fn a_cause_is_found_in_lists_by_the_keys_of_managed_fields() {
    let object =
        live(json!([entry("me", "Apply", json!({"f:spec": {"f:containers": {"k:{\"name\":\"b\"}": {".": {}}}}}))]));
    assert_eq!(
        locate(&object, "spec.containers[1].x"),
        Some(vec!["f:spec".into(), "f:containers".into(), "k:{\"name\":\"b\"}".into(), "f:x".into()])
    );
    assert_eq!(locate(&object, "spec.containers[0].x"), None);
    assert_eq!(field_path("spec.ports[1].name"), (vec!["f:spec".into(), "f:ports".into()], false));
}

#[test]
fn another_controller_shows_by_its_finalizer_or_its_status() {
    let status =
        |manager: &str| json!([{"manager": manager, "operation": "Update", "subresource": "status", "fieldsV1": {}}]);
    for (finalizers, managed, shown) in [
        (json!([]), json!([]), None),
        (json!(["windlass.dev/external", "foregroundDeletion"]), status("me-status"), None),
        (json!([]), status("kubectl-edit"), None),
        (json!(["cache.example.com/finalizer"]), json!([]), Some("its finalizer is cache.example.com/finalizer")),
        (json!([]), status("memcached-operator"), Some("memcached-operator writes its status")),
        (json!([]), json!([entry("memcached-operator", "Update", json!({"f:spec": {}}))]), None),
    ] {
        let object = json!({"metadata": {"finalizers": finalizers, "managedFields": managed}});
        assert_eq!(acting(&object, "me").as_deref(), shown, "{object}");
    }
}
