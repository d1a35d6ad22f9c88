//! Fields that others may change, seen from the live object: left out of the fingerprint, and sent back as they are.
//!
//! Pure. A pointer into a list means the item that the manifest has at that index, wherever it stands in the live list.
//! Called by `observe` and `apply`.

use serde_json::{Map, Value};

use super::{Paths, names};

/// The ignored fields of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::target::kube) struct Ignored {
    paths: Vec<Vec<Part>>,
}

/// One part of a pointer.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// A key of a map.
    Key(String),
    /// An item of a list: its index in the manifest, and its plain values, by which it is found again.
    Item(usize, Map<String, Value>),
}

/// Keys by which Kubernetes' lists tell their items apart.
const KEYS: &[&str] =
    &["name", "containerPort", "port", "key", "mountPath", "devicePath", "ip", "topologyKey", "type", "uid"];

impl Ignored {
    /// Of a manifest and JSON pointers into it.
    #[must_use]
    pub(in crate::target::kube) fn new(manifest: &Value, pointers: &[String]) -> Self {
        Self { paths: pointers.iter().map(|pointer| parts(manifest, pointer)).filter(|it| !it.is_empty()).collect() }
    }

    /// Our `fieldsV1` without the ignored fields.
    #[must_use]
    pub(in crate::target::kube) fn strip(&self, fields: &Value) -> Value {
        let mut fields = fields.clone();
        for path in &self.paths {
            remove(&mut fields, path);
        }
        fields
    }

    /// Whether a path of managedFields is one of these or below one.
    #[must_use]
    pub(in crate::target::kube) fn covers(&self, path: &[String]) -> bool {
        self.paths
            .iter()
            .any(|ignored| ignored.len() <= path.len() && ignored.iter().zip(path).all(|(part, key)| part.is(key)))
    }

    /// Puts the live values into a manifest that is about to be applied: what was left out would be removed or
    /// defaulted, since its owner are we. A field that nobody declares is sent only while it is `ours`.
    pub(in crate::target::kube) fn carry(&self, body: &mut Value, live: &Value, ours: &Paths) {
        for path in &self.paths {
            let Some((last, parents)) = path.split_last() else { continue };
            let declared = find(body, path, false).is_some();
            let held =
                ours.iter().any(|own| own.len() >= path.len() && path.iter().zip(own).all(|(part, key)| part.is(key)));
            if !declared && !held {
                continue;
            }
            match find(live, path, true) {
                Some(value) => {
                    if let Some(parent) = reach(body, parents) {
                        put(parent, last, value.clone());
                    }
                }
                // Whoever may change it has taken it away.
                None => {
                    if let (Some(Value::Object(parent)), Part::Key(key)) = (reach(body, parents), last) {
                        parent.remove(key);
                    }
                }
            }
        }
    }
}

impl Part {
    /// Whether a key of managedFields is this part.
    fn is(&self, key: &str) -> bool {
        match self {
            Self::Key(name) => key.strip_prefix("f:") == Some(name),
            Self::Item(_, plain) => names(key, &Value::Object(plain.clone())),
        }
    }
}

fn parts(manifest: &Value, pointer: &str) -> Vec<Part> {
    let mut at = Some(manifest);
    let tokens = pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
    tokens
        .map(|token| match (at, token.parse::<usize>()) {
            (Some(Value::Array(items)), Ok(index)) => {
                at = items.get(index);
                let plain = |value: &Value| !value.is_object() && !value.is_array();
                let item = at.and_then(Value::as_object).cloned().unwrap_or_default();
                Part::Item(index, item.into_iter().filter(|(_, value)| plain(value)).collect())
            }
            _ => {
                at = at.and_then(|at| at.get(&token));
                Part::Key(token)
            }
        })
        .collect()
}

/// Removes a path, and whatever is empty because of that.
fn remove(node: &mut Value, path: &[Part]) {
    let (Some(children), Some((first, rest))) = (node.as_object_mut(), path.split_first()) else { return };
    let Some(key) = children.keys().find(|key| first.is(key)).cloned() else { return };
    if rest.is_empty() {
        children.remove(&key);
    } else if let Some(child) = children.get_mut(&key) {
        let was_empty = child.as_object().is_some_and(Map::is_empty);
        remove(child, rest);
        if !was_empty && child.as_object().is_some_and(Map::is_empty) {
            children.remove(&key);
        }
    }
}

/// Finds a value; in a live object, items of lists by what tells them apart.
fn find<'a>(object: &'a Value, path: &[Part], live: bool) -> Option<&'a Value> {
    path.iter().try_fold(object, |at, part| match part {
        Part::Key(key) => at.get(key),
        Part::Item(index, plain) => {
            let items = at.as_array()?;
            if !live {
                return items.get(*index);
            }
            match KEYS.iter().find(|key| plain.contains_key(**key)) {
                Some(key) => items.iter().find(|item| {
                    item.get(*key) == plain.get(*key)
                        && plain.get("protocol").is_none_or(|protocol| item.get("protocol") == Some(protocol))
                }),
                None => items.get(*index),
            }
        }
    })
}

/// The value at a path of a manifest; maps on the way are made.
fn reach<'a>(body: &'a mut Value, path: &[Part]) -> Option<&'a mut Value> {
    path.iter().try_fold(body, |at, part| match part {
        Part::Key(key) => {
            let map = at.as_object_mut()?;
            Some(map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())))
        }
        Part::Item(index, _) => at.as_array_mut()?.get_mut(*index),
    })
}

fn put(parent: &mut Value, part: &Part, value: Value) {
    match (parent, part) {
        (Value::Object(map), Part::Key(key)) => _ = map.insert(key.clone(), value),
        (Value::Array(items), Part::Item(index, _)) => {
            if let Some(item) = items.get_mut(*index) {
                *item = value;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::kube::managed::paths;

    fn ignored(pointers: &[&str]) -> (Value, Ignored) {
        let manifest =
            json!({"spec": {"replicas": 1, "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
        let pointers: Vec<String> = pointers.iter().map(|it| (*it).to_owned()).collect();
        let ignored = Ignored::new(&manifest, &pointers);
        (manifest, ignored)
    }

    #[test]
    fn a_field_that_somebody_took_leaves_the_same_fingerprint_as_one_that_we_hold() {
        let (_, ignored) = ignored(&["/spec/replicas", "/spec/containers/1/image"]);
        let b = "k:{\"name\":\"b\"}";
        let held = json!({"f:spec": {"f:replicas": {}, "f:containers": {b: {".": {}, "f:image": {}}}}});
        let lost = json!({"f:spec": {"f:containers": {b: {".": {}}}}});
        assert_eq!(ignored.strip(&held), ignored.strip(&lost));
        let (_, all) = super::tests::ignored(&["/spec/replicas"]);
        assert_eq!(all.strip(&json!({"f:spec": {"f:replicas": {}}})), json!({}), "nothing empty is left behind");
        assert!(ignored.covers(&["f:spec".into(), "f:replicas".into()]));
        assert!(!ignored.covers(&["f:spec".into()]));
    }

    #[test]
    fn the_live_value_is_sent_wherever_its_item_stands_now() {
        let (mut body, ignored) = ignored(&["/spec/replicas", "/spec/containers/1/image"]);
        let live = json!({"spec": {"replicas": 7, "containers": [{"name": "b", "image": "new"}, {"name": "a", "image": "z"}]}});
        ignored.carry(&mut body, &live, &Paths::new());
        assert_eq!(
            body,
            json!({"spec": {"replicas": 7, "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "new"}]}})
        );
    }

    #[test]
    fn what_left_git_is_sent_as_long_as_it_is_ours_and_what_is_gone_is_not() {
        let (_, ignored) = ignored(&["/spec/replicas"]);
        let live = json!({"spec": {"replicas": 7}});
        let mut body = json!({"spec": {}});
        ignored.carry(&mut body, &live, &Paths::new());
        assert_eq!(body, json!({"spec": {}}), "somebody else's");
        let ours = paths(&json!({"f:spec": {"f:replicas": {}}}));
        ignored.carry(&mut body, &live, &ours);
        assert_eq!(body, json!({"spec": {"replicas": 7}}));
        ignored.carry(&mut body, &json!({"spec": {}}), &ours);
        assert_eq!(body, json!({"spec": {}}));
    }
}
