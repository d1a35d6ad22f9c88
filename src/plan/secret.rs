//! Secret values are masked wherever a plan is shown.
//!
//! Pure. Called by everything that shows a manifest: `plan::render`, `diff::render`, `dashboard`.

use serde_json::Value;

/// What stands in place of a secret value.
pub const MASK: &str = "***";

/// Annotation in which `kubectl apply` keeps a copy of the whole object, secret values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Top-level fields of a Secret that hold no value. Any other may: `stringdata` is a slip that a server refuses, and a
/// secret all the same.
const SHOWN: &[&str] = &["apiVersion", "kind", "metadata", "type", "immutable"];

/// The manifest with the values of a Secret's `data`, `stringData` and unknown fields replaced by `***`. Keys stay.
#[must_use]
pub fn masked(manifest: &Value) -> Value {
    let mut masked = manifest.clone();
    if is_secret(manifest) {
        let fields = masked.as_object_mut().into_iter().flatten();
        for (_, value) in fields.filter(|(field, _)| !SHOWN.contains(&field.as_str()) && *field != "items") {
            match value {
                Value::Object(values) => values.values_mut().for_each(|value| *value = MASK.into()),
                Value::Null => {}
                // Malformed, but it may hold the value all the same.
                other => *other = MASK.into(),
            }
        }
        if let Some(copy) = masked.pointer_mut("/metadata/annotations").and_then(|all| all.get_mut(LAST_APPLIED)) {
            *copy = MASK.into();
        }
    }
    // A list object may carry Secrets as its items.
    if let Some(items) = masked.get_mut("items").and_then(Value::as_array_mut) {
        for item in items {
            *item = self::masked(item);
        }
    }
    masked
}

/// Whether a manifest is a Secret, or a list that has one among its items.
#[must_use]
pub fn holds_secret(manifest: &Value) -> bool {
    let items = manifest.get("items").and_then(Value::as_array);
    is_secret(manifest) || items.into_iter().flatten().any(holds_secret)
}

/// Whether a manifest is a core Secret, or meant to be one: `kind: secret` is refused by a server, and no less secret.
#[must_use]
pub fn is_secret(manifest: &Value) -> bool {
    let text = |field| manifest.get(field).and_then(Value::as_str);
    let group = text("apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    text("kind").is_some_and(|kind| kind.eq_ignore_ascii_case("Secret")) && matches!(group, "" | "core")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_a_secret_are_masked_and_its_keys_are_not() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "eA=="}, "stringData": {"b": "x"}});
        assert_eq!(
            masked(&secret),
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "***"}, "stringData": {"b": "***"}})
        );
    }

    #[test]
    fn a_copy_of_the_secret_in_an_annotation_is_masked() {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"annotations": {LAST_APPLIED: "{data}"}}});
        assert_eq!(masked(&secret)["metadata"]["annotations"][LAST_APPLIED], "***");
    }

    #[test]
    fn a_slip_of_the_pen_does_not_show_a_value() {
        for secret in [
            json!({"apiVersion": "v1", "kind": "Secret", "stringdata": {"a": "hunter2"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "stringData": ["hunter2"]}),
            json!({"apiVersion": "v1", "kind": "secret", "data": "hunter2"}),
            json!({"apiVersion": "core/v1", "kind": "Secret", "data": {"a": {"b": "hunter2"}}}),
            json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "data": {"a": "hunter2"}}]}),
        ] {
            assert!(holds_secret(&secret), "{secret}");
            assert!(!masked(&secret).to_string().contains("hunter2"), "{secret}");
        }
    }

    #[test]
    fn data_of_a_config_map_is_shown() {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x"}});
        assert_eq!(masked(&map), map);
    }
}
