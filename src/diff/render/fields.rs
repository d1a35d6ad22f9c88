//! Two values of one object compared, field by field.
//!
//! Pure. Compares the values as they are and keeps them as they may be shown: a secret value that differs is a change
//! from `***` to `***`. Called by `compare`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::keys;
use crate::plan::secret;

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// As in `spec.template.spec.containers[web].image`, `data[nginx.conf]`, `spec.ports[80/TCP]`: an item of a list is
    /// named by its merge key, or by its index if it has none.
    pub path: String,
    /// Masked; none if it was not there.
    pub before: Option<Value>,
    /// Masked; none if it is not there any more.
    pub after: Option<Value>,
    /// Values differ that are not shown.
    pub secret: bool,
    /// The items are the same and stand in another order; `before` and `after` list their keys.
    pub order: bool,
}

/// Every field in which two objects differ, in the order of their paths.
#[must_use]
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let (masked_before, masked_after) = (secret::masked(before), secret::masked(after));
    let mut found = Vec::new();
    let (one, two) = (Side { raw: before, shown: &masked_before }, Side { raw: after, shown: &masked_after });
    walk(&Path::default(), Some(one), Some(two), &mut found);
    found
}

/// A value as it is, and as it may be shown.
#[derive(Clone, Copy)]
struct Side<'a> {
    raw: &'a Value,
    shown: &'a Value,
}

impl<'a> Side<'a> {
    /// What was masked as a whole hides all below it.
    fn key(self, key: &str) -> Option<Self> {
        Some(Self { raw: self.raw.get(key)?, shown: self.shown.get(key).unwrap_or(self.shown) })
    }

    fn item(self, index: usize) -> Option<Self> {
        Some(Self { raw: self.raw.get(index)?, shown: self.shown.get(index).unwrap_or(self.shown) })
    }

    fn items(self) -> &'a [Value] {
        self.raw.as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// A path, with the name of its last field.
#[derive(Clone, Default)]
struct Path {
    text: String,
    field: String,
}

impl Path {
    fn key(&self, key: &str) -> Self {
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$'));
        let text = match (plain, self.text.is_empty()) {
            (true, true) => key.to_owned(),
            (true, false) => format!("{}.{key}", self.text),
            (false, _) => format!("{}[{key}]", self.text),
        };
        Self { text, field: key.to_owned() }
    }

    fn item(&self, name: &str) -> Self {
        Self { text: format!("{}[{name}]", self.text), field: String::new() }
    }
}

fn walk(path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>, found: &mut Vec<FieldChange>) {
    let (Some(one), Some(two)) = (before, after) else {
        if before.or(after).is_some() {
            leaf(path, before, after, found);
        }
        return;
    };
    if one.raw == two.raw {
        return;
    }
    match (one.raw, two.raw) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                walk(&path.key(key), one.key(key), two.key(key), found);
            }
        }
        (Value::Array(_), Value::Array(_)) => match keys::of(&path.field, one.items(), two.items()) {
            Some(keys) => keyed(path, one, two, keys, found),
            None => in_order(path, one, two, found),
        },
        _ => leaf(path, before, after, found),
    }
}

fn leaf(path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>, found: &mut Vec<FieldChange>) {
    let hidden = |side: Option<Side<'_>>| side.is_some_and(|side| side.raw != side.shown);
    found.push(FieldChange {
        path: path.text.clone(),
        before: before.map(|side| side.shown.clone()),
        after: after.map(|side| side.shown.clone()),
        secret: hidden(before) || hidden(after),
        order: false,
    });
}

fn keyed(path: &Path, one: Side<'_>, two: Side<'_>, keys: &[&str], found: &mut Vec<FieldChange>) {
    let names = |side: Side<'_>| -> Vec<String> {
        side.items().iter().map(|item| keys::text(item, keys).unwrap_or_default()).collect()
    };
    let (old, new) = (names(one), names(two));
    let places = |names: &[String]| -> BTreeMap<String, usize> {
        names.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect()
    };
    let (was, is) = (places(&old), places(&new));
    for name in old.iter().chain(new.iter().filter(|name| !was.contains_key(*name))) {
        let before = was.get(name).and_then(|index| one.item(*index));
        let after = is.get(name).and_then(|index| two.item(*index));
        walk(&path.item(name), before, after, found);
    }
    let kept = |names: &[String], others: &BTreeMap<String, usize>| -> Vec<Value> {
        names.iter().filter(|name| others.contains_key(*name)).map(|name| name.as_str().into()).collect()
    };
    let (before, after) = (kept(&old, &is), kept(&new, &was));
    if before != after {
        let (before, after) = (Some(Value::Array(before)), Some(Value::Array(after)));
        found.push(FieldChange { path: path.text.clone(), before, after, secret: false, order: true });
    }
}

/// Lists whose items have no key: what stays is found, what differs between is compared pair by pair.
fn in_order(path: &Path, one: Side<'_>, two: Side<'_>, found: &mut Vec<FieldChange>) {
    let texts = |side: Side<'_>| -> Vec<String> { side.items().iter().map(Value::to_string).collect() };
    for op in capture_diff_slices(Algorithm::Myers, &texts(one), &texts(two)) {
        let (old, new) = match op {
            DiffOp::Equal { .. } => continue,
            DiffOp::Delete { old_index, old_len, new_index } => (old_index..old_index + old_len, new_index..new_index),
            DiffOp::Insert { old_index, new_index, new_len } => (old_index..old_index, new_index..new_index + new_len),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                (old_index..old_index + old_len, new_index..new_index + new_len)
            }
        };
        for step in 0..old.len().max(new.len()) {
            let before = Some(old.start + step).filter(|index| old.contains(index));
            let after = Some(new.start + step).filter(|index| new.contains(index));
            let index = after.or(before).unwrap_or_default();
            let path = path.item(&index.to_string());
            let (before, after) = (before.and_then(|index| one.item(index)), after.and_then(|index| two.item(index)));
            walk(&path, before, after, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(before: &Value, after: &Value) -> Vec<String> {
        let text = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        changes(before, after)
            .iter()
            .map(|it| {
                let mark = if it.order {
                    " (order)"
                } else if it.secret {
                    " (secret)"
                } else {
                    ""
                };
                format!("{}: {} → {}{mark}", it.path, text(&it.before), text(&it.after))
            })
            .collect()
    }

    #[test]
    fn an_inserted_container_is_one_addition() {
        let pod = |containers: Value| json!({"spec": {"containers": containers}});
        let (a, b) = (json!({"name": "a", "image": "x:1"}), json!({"name": "b", "image": "y:1"}));
        let newer = json!({"name": "b", "image": "y:2"});
        assert_eq!(
            shown(&pod(json!([a, b])), &pod(json!([{"name": "first"}, a, newer]))),
            [r#"spec.containers[b].image: "y:1" → "y:2""#, r#"spec.containers[first]: - → {"name":"first"}"#]
        );
        assert_eq!(
            shown(&pod(json!([a, b])), &pod(json!([b, a]))),
            [r#"spec.containers: ["a","b"] → ["b","a"] (order)"#]
        );
    }

    #[test]
    fn items_without_a_key_are_compared_in_order() {
        let rules = |rules: Value| json!({"rules": rules});
        let (get, list) = (json!({"verbs": ["get"]}), json!({"verbs": ["list"]}));
        assert_eq!(
            shown(&rules(json!([get, list])), &rules(json!([get, {"verbs": ["list", "watch"]}, get]))),
            [r#"rules[1].verbs[1]: - → "watch""#, r#"rules[2]: - → {"verbs":["get"]}"#]
        );
        assert_eq!(shown(&json!({"args": ["a", "b", "c"]}), &json!({"args": ["a", "c"]})), [r#"args[1]: "b" → -"#]);
    }

    #[test]
    fn keys_with_dots_are_in_brackets() {
        assert_eq!(
            shown(&json!({"data": {"a.conf": "1"}}), &json!({"data": {"a.conf": "2"}})),
            [r#"data[a.conf]: "1" → "2""#]
        );
    }

    #[test]
    fn a_secret_value_is_a_change_that_is_not_shown() {
        let secret = |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data});
        assert_eq!(
            shown(&secret(json!({"a": "b25l", "c": "dHdv", "d": "eA=="})), &secret(json!({"a": "dHdv", "c": "dHdv"}))),
            [r#"data.a: "***" → "***" (secret)"#, r#"data.d: "***" → - (secret)"#]
        );
        let broken = changes(&secret(json!("hunter1")), &secret(json!({"a": "hunter2"})));
        assert!(!format!("{broken:?}").contains("hunter"), "{broken:?}");
        assert!(broken.iter().all(|change| change.secret));
        let (gone, made) = (secret(json!(["hunter1"])), secret(json!(["hunter2", "hunter3"])));
        assert!(!format!("{:?}", changes(&gone, &made)).contains("hunter"));
    }
}
