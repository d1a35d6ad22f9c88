//! A value to a typed document: apiVersion, kind, name, metadata, the annotations of Windlass and the fields of known
//! kinds, everything wrong at once.
//!
//! Pure. Knows one document and its file and nothing else; what needs the other documents is in `gather`. Called by
//! `file`.

use serde_json::{Map, Value};

use super::file::Outcome;
use super::places::{Places, join};
use super::{annotations, metadata, names, scope};
use crate::kinds::{self, Reference};
use crate::plan::Manifest;
use crate::problem::{Code, Problem, Severity};
use crate::sync;

/// A document whose identity is known but for the scope of its kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Typed {
    pub(super) api_version: String,
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) manifest: Manifest,
    pub(super) number: u32,
    pub(super) places: Places,
    /// Whether it has an error: then it is known only so that it can be protected.
    pub(super) failed: bool,
    /// The files of the repository that it names.
    pub(super) refers: Vec<Reference>,
}

/// Where a document stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a str,
    pub(super) number: u32,
    pub(super) places: &'a Places,
}

impl Place<'_> {
    pub(super) fn problem(&self, severity: Severity, code: Code, pointer: &str, message: impl Into<String>) -> Problem {
        let mark = self.places.find(pointer);
        Problem::new(severity, code, message)
            .in_file(self.path)
            .in_document(self.number)
            .at(mark.line, mark.column)
            .pointing(self.places.full(pointer))
    }

    pub(super) fn error(&self, code: Code, pointer: &str, message: impl Into<String>) -> Problem {
        self.problem(Severity::Error, code, pointer, message)
    }
}

/// Types one document of a file; a list is taken apart.
pub(super) fn document(place: &Place<'_>, value: Value, outcome: &mut Outcome) {
    let before = outcome.problems.len();
    let Some((mut object, api_version, kind)) = header(place, value, &mut outcome.problems) else { return };
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    if group == "kustomize.config.k8s.io" {
        outcome.problems.push(place.error(Code::NotRendered, "/kind", super::rendered::KUSTOMIZATION_KIND));
        return;
    }
    if is_list(group, version, &kind, &object) {
        let items = match object.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        for (index, mut item) in items.into_iter().enumerate() {
            let pointer = format!("/items/{index}");
            let places = place.places.below(&pointer);
            if kind != "List" {
                inherit(&mut item, &api_version, kind.trim_end_matches("List"));
            }
            document(&Place { places: &places, ..*place }, item, outcome);
        }
        return;
    }
    if let Some(known) = kinds::find(group, &kind) {
        if known.version != version {
            let message = format!(
                "reading {kind}: this version of Windlass knows apiVersion {group}/{} and not {api_version}",
                known.version
            );
            outcome.problems.push(place.error(Code::UnknownVersion, "/apiVersion", message));
        }
        object.values_mut().for_each(drop_nulls);
        object.retain(|_, value| !value.is_null());
    } else {
        // Nulls further down mean something in a plain object: with server-side apply they remove a default.
        object.retain(|_, value| !value.is_null());
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.retain(|_, value| !value.is_null());
        }
    }
    let on_sync = group == sync::GROUP && kind == "GitSync";
    let named = metadata::check(place, group, &kind, on_sync, &mut object, &mut outcome.problems);
    data_is_text(place, group, &kind, &object, &mut outcome.problems);
    only_secrets_are_generated(place, group, &kind, &object, &mut outcome.problems);
    let manifest = Value::Object(object);
    if let Some(known) = kinds::find(group, &kind).filter(|known| known.version == version) {
        for found in (known.check)(&manifest) {
            let problem = place.problem(found.severity, found.code, &found.pointer, found.message);
            outcome.problems.push(problem);
        }
    }
    let failed = outcome.problems[before..].iter().any(|problem| problem.severity == Severity::Error);
    if let Some((name, namespace)) = named {
        outcome.scopes.extend(scope::of_crd(&manifest));
        let known = kinds::find(group, &kind);
        let refers = known.map(|known| (known.refers)(&manifest)).unwrap_or_default();
        // What is wrong with a plain object is told here, but for a few fields; a family may point anywhere.
        let places = if known.is_some() { place.places.clone() } else { place.places.few() };
        let manifest = manifest.into();
        let group = group.to_owned();
        let number = place.number;
        let typed = Typed { api_version, group, kind, name, namespace, manifest, number, places, failed, refers };
        outcome.documents.push(typed);
    }
}

/// The two fields that make a mapping an object.
fn header(
    place: &Place<'_>,
    value: Value,
    problems: &mut Vec<Problem>,
) -> Option<(Map<String, Value>, String, String)> {
    let advice = "if it is not meant for Kubernetes, name it in .windlassignore";
    let Value::Object(object) = value else {
        let what = if value.is_array() { "a list" } else { "a single value" };
        let message = format!("the document is {what} and not a Kubernetes object; {advice}");
        problems.push(place.error(Code::NotAnObject, "", message));
        return None;
    };
    let mut found = [None, None];
    for (slot, field) in found.iter_mut().zip(["apiVersion", "kind"]) {
        match object.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(text)) => *slot = Some(text.clone()),
            Some(_) => {
                let message = format!("{field} must be a text; put it in quotes");
                problems.push(place.error(Code::WrongType, &format!("/{field}"), message));
                return None;
            }
        }
    }
    let [api_version, kind] = found;
    let missing = match (&api_version, &kind) {
        (None, None) => "neither apiVersion nor kind",
        (None, _) => "no apiVersion",
        (_, None) => "no kind",
        (Some(api_version), Some(kind)) => {
            let pointer = if !is_api_version(api_version) {
                "/apiVersion"
            } else if !is_kind(kind) {
                "/kind"
            } else {
                let (api_version, kind) = (api_version.clone(), kind.clone());
                return Some((object, api_version, kind));
            };
            let message = format!("{} is not one that Kubernetes takes, as in apps/v1 and Deployment", &pointer[1..]);
            problems.push(place.error(Code::InvalidValue, pointer, message));
            return None;
        }
    };
    let message = format!("the document has {missing}, so it is not a Kubernetes object; {advice}");
    problems.push(place.error(Code::NotAnObject, "", message));
    None
}

fn is_api_version(text: &str) -> bool {
    let (group, version) = text.split_once('/').map_or((None, text), |(group, version)| (Some(group), version));
    group.is_none_or(|group| names::dns_subdomain(group).is_ok()) && names::dns_label(version).is_ok()
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What kubectl takes apart: `v1` `List`, and lists of one kind such as `DeploymentList`.
fn is_list(group: &str, version: &str, kind: &str, object: &Map<String, Value>) -> bool {
    if (group, version, kind) == ("", "v1", "List") {
        return true;
    }
    let unnamed = object.get("metadata").and_then(|metadata| metadata.get("name")).is_none();
    kind.ends_with("List") && unnamed && object.get("items").is_some_and(Value::is_array)
}

/// An item of a list of one kind need not say again what it is.
fn inherit(item: &mut Value, api_version: &str, kind: &str) {
    if let Value::Object(object) = item {
        object.entry("apiVersion").or_insert_with(|| api_version.into());
        object.entry("kind").or_insert_with(|| kind.into());
    }
}

/// Explicit null = absent.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Numbers and booleans in a ConfigMap or Secret: the API server refuses them with a message that names no line.
fn data_is_text(place: &Place<'_>, group: &str, kind: &str, object: &Map<String, Value>, problems: &mut Vec<Problem>) {
    let fields: &[&str] = match (group, kind) {
        ("", "ConfigMap") => &["data", "binaryData"],
        ("", "Secret") => &["data", "stringData"],
        _ => return,
    };
    for field in fields {
        match object.get(*field) {
            None => {}
            Some(Value::Object(entries)) => {
                for (key, value) in entries.iter().filter(|(_, value)| !value.is_string() && !value.is_null()) {
                    let what = type_name(value);
                    let message = format!("{kind}.{field} holds text only, and this is {what}; put it in quotes");
                    problems.push(place.error(Code::WrongType, &join(&format!("/{field}"), key), message));
                }
            }
            Some(_) => {
                let message = format!("{kind}.{field} must be a mapping of text to text");
                problems.push(place.error(Code::WrongType, &format!("/{field}"), message));
            }
        }
    }
}

/// Nothing but a Secret has values that Windlass makes.
fn only_secrets_are_generated(
    place: &Place<'_>,
    group: &str,
    kind: &str,
    object: &Map<String, Value>,
    problems: &mut Vec<Problem>,
) {
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    if annotations.is_some_and(|all| all.get(sync::GENERATE).is_some()) && (group, kind) != ("", "Secret") {
        let message = format!("`{}` says how to fill a Secret, and this is a {kind}; take it away", sync::GENERATE);
        let pointer = join("/metadata/annotations", sync::GENERATE);
        problems.push(place.error(Code::InvalidValue, &pointer, message));
    }
}

/// What a value is, for people.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Whether an annotation may stay on the manifest.
pub(super) fn stays(key: &str) -> bool {
    !annotations::is_own_mark(key)
}
