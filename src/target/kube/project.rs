//! The part of a live object that a sync answers for: what its Apply entry holds, and what its manifest sets.
//!
//! Pure. Stands in for a rehearsed apply where the server may not be asked for one: defaults and other people's fields
//! are left out, a field that left the manifest is there. Called by `reader`.

use serde_json::{Map, Value};

use super::managed;
use crate::diff::render::keys;

/// Projects. `like` is the manifest, `fields` the `fieldsV1` of our Apply entry, if there is one.
#[must_use]
pub(super) fn project(live: &Value, like: &Value, fields: Option<&Value>) -> Value {
    part("", live, Some(like), fields).unwrap_or(Value::Null)
}

fn part(field: &str, live: &Value, like: Option<&Value>, fields: Option<&Value>) -> Option<Value> {
    if like.is_none() && fields.is_none() {
        return None;
    }
    // Held as a whole.
    if fields.and_then(Value::as_object).is_some_and(Map::is_empty) {
        return Some(live.clone());
    }
    match live {
        Value::Object(map) => {
            let like = like.filter(|like| like.is_object());
            if like.is_none() && fields.is_none() {
                return Some(live.clone());
            }
            let one = |(key, value): (&String, &Value)| {
                let (like, fields) =
                    (like.and_then(|it| it.get(key)), fields.and_then(|it| it.get(format!("f:{key}"))));
                Some((key.clone(), part(key, value, like, fields)?))
            };
            Some(Value::Object(map.iter().filter_map(one).collect()))
        }
        Value::Array(items) => {
            let wanted = like.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let entries: Vec<(&String, &Value)> = fields.and_then(Value::as_object).into_iter().flatten().collect();
            let keyed = keys::of(field, items, wanted);
            if entries.iter().all(|(key, _)| *key == ".") && keyed.is_none() {
                return Some(live.clone());
            }
            let one = |item: &Value| {
                let held = entries.iter().find(|(key, _)| managed::names_item(key, item)).map(|(_, fields)| *fields);
                let like = keyed.and_then(|keys| {
                    let name = keys::text(item, keys);
                    wanted.iter().find(|other| keys::text(other, keys) == name)
                });
                part("", item, like, held)
            };
            Some(Value::Array(items.iter().filter_map(one).collect()))
        }
        other => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_other_peoples_fields_are_left_out_and_removed_ones_are_not() {
        let live = json!({
            "metadata": {"name": "a", "labels": {"ours": "1", "theirs": "2"}},
            "spec": {
                "replicas": 2, "paused": true, "strategy": {"type": "RollingUpdate"},
                "containers": [
                    {"name": "injected", "image": "proxy"},
                    {"name": "web", "image": "web:1", "terminationMessagePath": "/dev/termination-log"},
                ],
                "args": ["a", "b"], "finalizers": ["x", "y"],
            },
        });
        let like = json!({
            "metadata": {"name": "a", "labels": {"ours": "1"}},
            "spec": {"replicas": 3, "containers": [{"name": "web", "image": "web:2"}], "args": ["a"]},
        });
        let fields = json!({"f:spec": {
            "f:paused": {}, "f:args": {}, "f:finalizers": {"v:\"x\"": {}},
            "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}},
        }});
        assert_eq!(
            project(&live, &like, Some(&fields)),
            json!({
                "metadata": {"name": "a", "labels": {"ours": "1"}},
                "spec": {
                    "replicas": 2, "paused": true, "containers": [{"name": "web", "image": "web:1"}],
                    "args": ["a", "b"], "finalizers": ["x"],
                },
            })
        );
    }
}
