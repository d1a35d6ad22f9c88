//! `metadata` of a document: name, namespace, labels, annotations, and what only the server may write.
//!
//! Pure. Takes off what Windlass itself writes on objects. Called by `typing`.

use serde_json::{Map, Value};

use super::places::join;
use super::typing::{Place, stays, type_name};
use super::{annotations, names};
use crate::problem::{Code, Problem};

/// Name and namespace, as declared.
pub(super) type Named = (String, Option<String>);

/// Checks `metadata`; the name and namespace if both can be used.
pub(super) fn check(
    place: &Place<'_>,
    group: &str,
    kind: &str,
    on_sync: bool,
    object: &mut Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> Option<Named> {
    let metadata = match object.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata,
        None => {
            problems.push(place.error(Code::InvalidName, "", format!("the {kind} has no metadata.name; give it one")));
            return None;
        }
        Some(other) => {
            let message = format!("metadata must be a mapping, and this is {}", type_name(other));
            problems.push(place.error(Code::WrongType, "/metadata", message));
            return None;
        }
    };
    for field in ["uid", "resourceVersion", "managedFields"] {
        if metadata.contains_key(field) {
            let message = format!("metadata.{field} is written by the API server alone; remove it");
            problems.push(place.error(Code::InvalidMetadata, &format!("/metadata/{field}"), message));
        }
    }
    labels(place, metadata, problems);
    annotated(place, on_sync, metadata, problems);
    let namespace = namespace(place, metadata, problems);
    let name = name(place, group, kind, metadata, problems);
    Some((name?, namespace?))
}

fn name(
    place: &Place<'_>,
    group: &str,
    kind: &str,
    metadata: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    const POINTER: &str = "/metadata/name";
    let (code, pointer, message) = match metadata.get("name") {
        Some(Value::String(name)) if !name.is_empty() => match names::object(group, kind, name) {
            Ok(()) => return Some(name.clone()),
            Err(rule) => (Code::InvalidName, POINTER, format!("Kubernetes refuses the name: a {kind}'s name {rule}")),
        },
        None | Some(Value::String(_)) if metadata.contains_key("generateName") => {
            let message = "metadata.generateName makes a new object on every apply; give the object a metadata.name";
            (Code::InvalidName, "/metadata/generateName", message.to_owned())
        }
        None | Some(Value::String(_)) => {
            (Code::InvalidName, POINTER, format!("the {kind} has no metadata.name; give it one"))
        }
        Some(other) => {
            let message = format!("metadata.name must be a text, and this is {}; put it in quotes", type_name(other));
            (Code::WrongType, POINTER, message)
        }
    };
    problems.push(place.error(code, pointer, message));
    None
}

/// The namespace that the document names: `Some(None)` if it names none, `None` if it cannot be used.
fn namespace(
    place: &Place<'_>,
    metadata: &mut Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> Option<Option<String>> {
    const POINTER: &str = "/metadata/namespace";
    let (code, message) = match metadata.get("namespace") {
        None => return Some(None),
        Some(Value::String(namespace)) if namespace.is_empty() => {
            metadata.remove("namespace");
            return Some(None);
        }
        Some(Value::String(namespace)) => match names::dns_label(namespace) {
            Ok(()) => return Some(Some(namespace.clone())),
            Err(rule) => (Code::InvalidNamespace, format!("Kubernetes refuses the namespace: its name {rule}")),
        },
        Some(other) => {
            let what = type_name(other);
            (Code::WrongType, format!("metadata.namespace must be a text, and this is {what}; put it in quotes"))
        }
    };
    problems.push(place.error(code, POINTER, message));
    None
}

fn labels(place: &Place<'_>, metadata: &Map<String, Value>, problems: &mut Vec<Problem>) {
    for (key, value) in texts(place, "labels", metadata, problems) {
        let pointer = join("/metadata/labels", key);
        if let Err(rule) = names::qualified(key) {
            problems.push(place.error(Code::InvalidMetadata, &pointer, format!("the label's key {rule}")));
        }
        if let Err(rule) = names::label_value(value) {
            problems.push(place.error(Code::InvalidMetadata, &pointer, format!("the value of label `{key}` {rule}")));
        }
    }
}

fn annotated(place: &Place<'_>, on_sync: bool, metadata: &mut Map<String, Value>, problems: &mut Vec<Problem>) {
    let mut size = 0;
    for (key, value) in texts(place, "annotations", metadata, problems) {
        size += key.len() + value.len();
        let pointer = join("/metadata/annotations", key);
        if let Err(rule) = names::qualified(key) {
            problems.push(place.error(Code::InvalidMetadata, &pointer, format!("the annotation's key {rule}")));
        } else if stays(key)
            && let Some((code, message)) = annotations::check(key, value, on_sync)
        {
            problems.push(place.error(code, &pointer, message));
        }
    }
    if size > names::MAX_ANNOTATIONS {
        let message = format!("the annotations are larger than {} KiB together", names::MAX_ANNOTATIONS / 1024);
        problems.push(place.error(Code::InvalidMetadata, "/metadata/annotations", message));
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        let before = annotations.len();
        annotations.retain(|key, _| stays(key));
        if annotations.is_empty() && before > 0 {
            metadata.remove("annotations");
        }
    }
}

/// The texts of a mapping of texts, having told of everything in it that is none.
fn texts<'a>(
    place: &Place<'_>,
    field: &str,
    metadata: &'a Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> Vec<(&'a str, &'a str)> {
    let pointer = format!("/metadata/{field}");
    match metadata.get(field) {
        None => Vec::new(),
        Some(Value::Object(entries)) => {
            let mut texts = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                if let Value::String(text) = value {
                    texts.push((key.as_str(), text.as_str()));
                } else {
                    let what = type_name(value);
                    let message = format!("metadata.{field} holds text only, and this is {what}; put it in quotes");
                    problems.push(place.error(Code::InvalidMetadata, &join(&pointer, key), message));
                }
            }
            texts
        }
        Some(other) => {
            let message =
                format!("metadata.{field} must be a mapping of text to text, and this is {}", type_name(other));
            problems.push(place.error(Code::InvalidMetadata, &pointer, message));
            Vec::new()
        }
    }
}
