//! managedFields as sets of paths: our entry, its fingerprint, and *takeover*, the patch that moves other managers'
//! fields into our entry (design §4.3, §4.4).
//!
//! Pure. Called by `observe`, `apply` and `remove`.

pub(super) mod foreign;
pub(super) mod ignored;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::plan::canonical;

/// Paths of a `fieldsV1`, each as its keys (`f:spec`, `k:{"name":"x"}`, …).
pub(super) type Paths = BTreeSet<Vec<String>>;

/// Every entry on the main resource: (manager, operation, apiVersion, fieldsV1).
fn entries(object: &Value) -> impl Iterator<Item = (&str, &str, &str, &Value)> {
    let all = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    all.filter(|entry| text(entry, "subresource").is_empty()).filter_map(|entry| {
        Some((text(entry, "manager"), text(entry, "operation"), text(entry, "apiVersion"), entry.get("fieldsV1")?))
    })
}

/// `fieldsV1` of our own Apply entry.
#[must_use]
pub(super) fn own<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    entries(object).find(|(name, operation, ..)| *name == manager && *operation == "Apply").map(|(.., fields)| fields)
}

/// First 8 bytes in hex of the sha-256 of key-sorted `fieldsV1`.
#[must_use]
pub(super) fn fingerprint(fields: &Value) -> String {
    let mut hash = canonical::hash(fields);
    hash.truncate(16);
    hash
}

/// The paths of a `fieldsV1`.
#[must_use]
pub(super) fn paths(fields: &Value) -> Paths {
    fn walk(node: &Value, at: &mut Vec<String>, found: &mut Paths) {
        let Some(children) = node.as_object() else { return };
        if children.is_empty() && !at.is_empty() {
            found.insert(at.clone());
        }
        for (key, child) in children {
            if key == "." {
                found.insert(at.clone());
            } else {
                at.push(key.clone());
                walk(child, at, found);
                at.pop();
            }
        }
    }
    let mut found = Paths::new();
    walk(fields, &mut Vec::new(), &mut found);
    found
}

/// A `fieldsV1` of paths.
#[must_use]
pub(super) fn fields(paths: &Paths) -> Value {
    let mut root = Map::new();
    for path in paths {
        let mut node = &mut root;
        for key in path {
            node = match node.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(map) => map,
                // Nothing but objects is put in.
                _ => return Value::Object(Map::new()),
            };
        }
        // A path sorts before those below it: the mark is set when it is known that it has any.
        node.insert(".".to_owned(), json!({}));
    }
    fn strip(node: &mut Map<String, Value>) {
        if node.len() == 1 && node.contains_key(".") {
            node.clear();
        }
        for child in node.values_mut().filter_map(Value::as_object_mut) {
            strip(child);
        }
    }
    strip(&mut root);
    Value::Object(root)
}

/// Paths that managers other than ours hold by Update, or by an Apply of a person's tool.
pub(super) fn foreign<'a>(object: &'a Value, manager: &'a str) -> impl Iterator<Item = (&'a str, Paths)> {
    entries(object)
        .filter(move |(name, operation, ..)| takeable(name, operation, manager))
        .map(|(name, _, _, fields)| (name, paths(fields)))
}

/// Managers other than ours that hold fields by Apply and are no person's tool.
pub(super) fn appliers<'a>(object: &'a Value, manager: &'a str) -> impl Iterator<Item = &'a str> {
    entries(object)
        .filter(move |(name, operation, ..)| *operation == "Apply" && *name != manager && !by_hand(name))
        .map(|(name, ..)| name)
}

/// What shows that another controller acts on a CR: a finalizer that is neither ours nor Kubernetes' own, or a status
/// that somebody else writes.
pub(super) fn acting(object: &Value, manager: &str) -> Option<String> {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    // Kubernetes' own (`foregroundDeletion`, `orphan`) have no domain.
    let foreign = |finalizer: &&str| finalizer.contains('/') && !finalizer.starts_with("windlass.dev/");
    if let Some(finalizer) = finalizers.filter_map(Value::as_str).find(foreign) {
        return Some(format!("its finalizer is {finalizer}"));
    }
    let all = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut writers = all.filter(|entry| text(entry, "subresource") == "status").map(|entry| text(entry, "manager"));
    let ours = format!("{manager}-status");
    writers.find(|name| *name != ours && !by_hand(name)).map(|name| format!("{name} writes its status"))
}

/// What has to be known before an apply, to see after it what a removal did not remove: short hashes of the paths that
/// both we and somebody else hold, of all of ours if a person edited the object in another version of its kind.
#[must_use]
pub(super) fn shared(object: &Value, manager: &str) -> Vec<u32> {
    let Some(own) = own(object, manager) else { return Vec::new() };
    let version = entries(object).find(|(name, operation, ..)| *name == manager && *operation == "Apply");
    let version = version.map_or("", |(_, _, version, _)| version);
    let mut others = entries(object).filter(|(name, operation, ..)| takeable(name, operation, manager)).peekable();
    if others.peek().is_none() {
        return Vec::new();
    }
    let ours = paths(own);
    let mut found = BTreeSet::new();
    for (name, _, of, fields) in others {
        let elsewhere = of != version && by_hand(name);
        let theirs = paths(fields);
        found.extend(ours.iter().filter(|path| elsewhere || theirs.contains(*path)).map(|path| short(path)));
    }
    found.into_iter().collect()
}

/// Whether a person holds fields in another version of the kind than ours.
#[must_use]
pub(super) fn edited_elsewhere(object: &Value, manager: &str, api_version: &str) -> bool {
    entries(object)
        .any(|(name, operation, of, _)| of != api_version && by_hand(name) && takeable(name, operation, manager))
}

/// One JSON patch that makes people's entries of other versions of the kind nobody's: what they hold is then held by us
/// alone, if by anybody. None if there are none.
#[must_use]
pub(super) fn release_elsewhere(live: &Value, manager: &str, api_version: &str) -> Option<Value> {
    let resource_version = live.pointer("/metadata/resourceVersion")?.as_str()?;
    let all = live.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let stays = |entry: &&Value| {
        let (name, operation) = (text(entry, "manager"), text(entry, "operation"));
        let main = text(entry, "subresource").is_empty();
        !(main && text(entry, "apiVersion") != api_version && by_hand(name) && takeable(name, operation, manager))
    };
    let kept: Vec<&Value> = all.iter().filter(stays).collect();
    (kept.len() < all.len()).then(|| {
        json!([
            { "op": "test", "path": "/metadata/resourceVersion", "value": resource_version },
            { "op": "replace", "path": "/metadata/managedFields", "value": kept },
        ])
    })
}

/// A path in four bytes.
#[must_use]
pub(super) fn short(path: &[String]) -> u32 {
    let hash = canonical::hash_bytes(path.join("\n").as_bytes());
    u32::from_str_radix(hash.get(..8).unwrap_or_default(), 16).unwrap_or_default()
}

fn takeable(name: &str, operation: &str, manager: &str) -> bool {
    match operation {
        "Update" => true,
        "Apply" => name != manager && by_hand(name),
        _ => false,
    }
}

/// Whether a field manager stands for a person at a keyboard, not for a controller that will write again.
#[must_use]
pub(super) fn by_hand(manager: &str) -> bool {
    const PREFIXES: &[&str] =
        &["kubectl", "before-first-apply", "helm", "Helm", "k9s", "Lens", "node-fetch", "curl", "Mozilla", "terraform"];
    manager.is_empty() || manager == "oc" || PREFIXES.iter().any(|prefix| manager.starts_with(prefix))
}

/// One JSON patch that moves foreign paths into our Apply entry, with a `test` on the resourceVersion that was read.
/// `take` chooses among (manager, path); `also` are paths that nobody holds (defaulted by the server). None if there
/// is nothing to move.
#[must_use]
pub(super) fn takeover(
    live: &Value,
    manager: &str,
    api_version: &str,
    take: impl Fn(&str, &[String]) -> bool,
    also: &Paths,
) -> Option<Value> {
    let resource_version = live.pointer("/metadata/resourceVersion")?.as_str()?;
    let mut ours = own(live, manager).map(paths).unwrap_or_default();
    let before = ours.len();
    ours.extend(also.iter().cloned());
    let mut time = None;
    let mut kept = Vec::new();
    for entry in live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten() {
        let (name, operation) = (text(entry, "manager"), text(entry, "operation"));
        let main = text(entry, "subresource").is_empty();
        if main && operation == "Apply" && name == manager {
            time = entry.get("time").cloned();
            continue;
        }
        // In another version of the kind, a path of the same name is taken for the same field.
        let Some(held) = entry.get("fieldsV1").filter(|_| main && takeable(name, operation, manager)) else {
            kept.push(entry.clone());
            continue;
        };
        time = time.or_else(|| entry.get("time").cloned());
        let (taken, left): (Paths, Paths) = paths(held).into_iter().partition(|path| take(name, path));
        ours.extend(taken);
        if !left.is_empty() {
            let mut entry = entry.clone();
            if let Some(entry) = entry.as_object_mut() {
                entry.insert("fieldsV1".to_owned(), fields(&left));
            }
            kept.push(entry);
        }
    }
    if ours.len() == before {
        return None;
    }
    let mut entry = json!({
        "manager": manager, "operation": "Apply", "apiVersion": api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields(&ours),
    });
    if let (Some(entry), Some(time)) = (entry.as_object_mut(), time) {
        entry.insert("time".to_owned(), time);
    }
    kept.insert(0, entry);
    Some(json!([
        { "op": "test", "path": "/metadata/resourceVersion", "value": resource_version },
        { "op": "replace", "path": "/metadata/managedFields", "value": kept },
    ]))
}

/// One JSON patch that turns another sync's entries into ours, its status entry too, with a `test` on the
/// resourceVersion that was read: what that sync applied is then removed by our next apply unless we want it as well.
/// None if that sync has no entry.
#[must_use]
pub(super) fn inherit(live: &Value, manager: &str, from: &str, api_version: &str) -> Option<Value> {
    let resource_version = live.pointer("/metadata/resourceVersion")?.as_str()?;
    let mut ours = own(live, manager).map(paths).unwrap_or_default();
    let (mut kept, mut time, mut found) = (Vec::new(), None, false);
    let (status, from_status) = (format!("{manager}-status"), format!("{from}-status"));
    for entry in live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten() {
        let (name, applied) = (text(entry, "manager"), text(entry, "operation") == "Apply");
        let main = text(entry, "subresource").is_empty();
        let mut entry = entry.clone();
        if main && applied && (name == manager || name == from) {
            found |= name == from;
            time = time.or_else(|| entry.get("time").cloned());
            ours.extend(entry.get("fieldsV1").map(paths).unwrap_or_default());
            continue;
        }
        if name == from_status
            && let Some(entry) = entry.as_object_mut()
        {
            entry.insert("manager".to_owned(), status.clone().into());
        }
        kept.push(entry);
    }
    if !found {
        return None;
    }
    let mut entry = json!({
        "manager": manager, "operation": "Apply", "apiVersion": api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields(&ours),
    });
    if let (Some(entry), Some(time)) = (entry.as_object_mut(), time) {
        entry.insert("time".to_owned(), time);
    }
    kept.insert(0, entry);
    Some(json!([
        { "op": "test", "path": "/metadata/resourceVersion", "value": resource_version },
        { "op": "replace", "path": "/metadata/managedFields", "value": kept },
    ]))
}

/// The path of a cause's field (`spec.strategy.rollingUpdate`, `spec.ports[0].name`) as far as the first list index,
/// and whether that is all of it.
#[must_use]
pub(super) fn field_path(field: &str) -> (Vec<String>, bool) {
    let mut path = Vec::new();
    for part in field.split('.') {
        let (name, index) = part.split_once('[').map_or((part, false), |(name, _)| (name, true));
        if !name.is_empty() {
            path.push(format!("f:{name}"));
        }
        if index {
            return (path, false);
        }
    }
    (path, true)
}

/// The paths of a cause's field, list indexes resolved against the live object through the keys that its
/// managedFields use. None if the field is not there.
#[must_use]
pub(super) fn locate(live: &Value, field: &str) -> Option<Vec<String>> {
    let mut at = live;
    let mut nodes: Vec<&Value> = entries(live).map(|(.., fields)| fields).collect();
    let mut path = Vec::new();
    for part in field.split('.') {
        let mut pieces = part.split('[');
        let name = pieces.next().unwrap_or_default();
        let mut key = format!("f:{name}");
        at = at.get(name)?;
        nodes = nodes.into_iter().filter_map(|node| node.get(&key)).collect();
        path.push(key);
        for piece in pieces {
            let index: usize = piece.strip_suffix(']')?.parse().ok()?;
            at = at.get(index)?;
            key = nodes
                .iter()
                .filter_map(|node| node.as_object())
                .flat_map(Map::keys)
                .find(|key| names(key, at))?
                .clone();
            nodes = nodes.into_iter().filter_map(|node| node.get(&key)).collect();
            path.push(key);
        }
    }
    Some(path)
}

/// Whether a key of a list (`k:{…}` or `v:…`) names this item.
#[must_use]
pub(super) fn names_item(key: &str, item: &Value) -> bool {
    let value = key.strip_prefix("v:").and_then(|text| serde_json::from_str::<Value>(text).ok());
    names(key, item) || value.as_ref() == Some(item)
}

/// Everybody who holds fields of an object: (manager, operation, subresource, time), as the server lists them.
pub(super) fn managers(object: &Value) -> Vec<(String, String, String, String)> {
    let all = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let owned = |entry, key| text(entry, key).to_owned();
    all.map(|it| (owned(it, "manager"), owned(it, "operation"), owned(it, "subresource"), owned(it, "time"))).collect()
}

/// Whether a `k:{…}` key names this list item.
fn names(key: &str, item: &Value) -> bool {
    key.strip_prefix("k:")
        .and_then(|key| serde_json::from_str::<Map<String, Value>>(key).ok())
        .is_some_and(|keys| keys.iter().all(|(name, value)| item.get(name) == Some(value)))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
