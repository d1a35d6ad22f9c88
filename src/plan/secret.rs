//! Secret values are masked wherever a plan is shown.
//!
//! Pure. Called by everything that shows a manifest: `plan::render`, `diff::render`, `dashboard`.

use serde_json::Value;

/// What stands in place of a secret value.
pub const MASK: &str = "***";

/// Annotation in which `kubectl apply` keeps a copy of the whole object, secret values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manifest with the values of a Secret's `data` and `stringData` replaced by `***`. Keys stay.
#[must_use]
pub fn masked(manifest: &Value) -> Value {
    let mut masked = manifest.clone();
    if is_secret(manifest) {
        for field in ["data", "stringData"] {
            match masked.get_mut(field) {
                Some(Value::Object(values)) => values.values_mut().for_each(|value| *value = MASK.into()),
                // Malformed, but it may hold the value all the same.
                Some(other) if !other.is_null() => *other = MASK.into(),
                _ => {}
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

/// Whether a manifest is a core Secret.
#[must_use]
pub fn is_secret(manifest: &Value) -> bool {
    manifest.get("kind").and_then(Value::as_str) == Some("Secret")
        && manifest.get("apiVersion").and_then(Value::as_str).is_some_and(|version| !version.contains('/'))
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
    fn data_of_a_config_map_is_shown() {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x"}});
        assert_eq!(masked(&map), map);
    }
}
