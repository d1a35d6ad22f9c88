//! By which fields the items of a list are told apart, as Kubernetes merges them.
//!
//! Pure. So an inserted container is one addition, not a change of every container after it. Called by `fields`, and by
//! `target` to find an item again.

use serde_json::Value;

/// Merge keys of the lists of built-in kinds, by the list's field name; tried in this order.
const KNOWN: &[(&str, &[&str])] = &[
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("conditions", &["type"]),
    ("ownerReferences", &["uid"]),
    ("versions", &["name"]),
];

/// Keys that lists of other kinds mostly have.
const USUAL: &[&[&str]] = &[&["name"], &["id"]];

/// The fields that tell the items of two lists apart; none if the items are no objects, lack them, or share them.
#[must_use]
pub fn of(field: &str, one: &[Value], other: &[Value]) -> Option<&'static [&'static str]> {
    let known = KNOWN.iter().filter(|(name, _)| *name == field).map(|(_, keys)| *keys);
    known.chain(USUAL.iter().copied()).find(|keys| apart(one, keys) && apart(other, keys))
}

/// The item's key as one text, as in `web` or `80/TCP`.
#[must_use]
pub fn text(item: &Value, keys: &[&str]) -> Option<String> {
    let parts: Option<Vec<String>> = keys
        .iter()
        .map(|key| match item.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
            // The server fills it in, and it is part of the key.
            None if *key == "protocol" => Some("TCP".to_owned()),
            _ => None,
        })
        .collect();
    parts.map(|parts| parts.join("/"))
}

fn apart(items: &[Value], keys: &[&str]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    items.iter().all(|item| text(item, keys).is_some_and(|key| seen.insert(key)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(value: &Value) -> &[Value] {
        value.as_array().unwrap()
    }

    #[test]
    fn items_are_told_apart_as_kubernetes_does() {
        let two = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]);
        assert_eq!(of("ports", list(&two), &[]), Some(&["containerPort", "protocol"][..]));
        assert_eq!(text(&two[0], &["containerPort", "protocol"]).as_deref(), Some("80/TCP"));
        let named = json!([{"name": "a", "image": "x"}, {"name": "b"}]);
        assert_eq!(of("containers", list(&named), list(&named)), Some(&["name"][..]));
        assert_eq!(of("anything", list(&named), list(&json!([{"name": "a"}, {"name": "a"}]))), None);
        assert_eq!(of("args", list(&json!(["a", "b"])), &[]), None);
        assert_eq!(of("rules", list(&json!([{"verbs": ["get"]}])), &[]), None);
    }
}
