//! What only all documents together can say: scopes, namespaces, objects declared twice, what is protected.
//!
//! Pure. Called by `read`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::file::Outcome;
use super::places::Mark;
use super::scope::Known;
use super::typing::{Place, Typed};
use super::{Context, Declared, Document, referred};
use crate::kinds::Files;
use crate::plan::{Origin, StepId};
use crate::problem::{Code, Problem, Severity};
use crate::revision::Snapshot;

/// Namespace of an object that names none, where the sync names none either.
const DEFAULT_NAMESPACE: &str = "default";

/// A document with its id.
struct Placed<'a> {
    id: StepId,
    path: &'a str,
    typed: &'a Typed,
    namespace: Option<String>,
    mark: Mark,
    files: Files,
    failed: bool,
}

/// Adds the documents of all files, in the order of their paths.
pub(super) fn gather(
    files: &[(String, Arc<Outcome>)],
    snapshot: &Snapshot,
    context: &Context,
    declared: &mut Declared,
    problems: &mut Vec<Problem>,
) {
    let typed = || files.iter().flat_map(|(path, outcome)| outcome.documents.iter().map(move |typed| (path, typed)));
    let known = Known::new(typed().map(|(_, typed)| &typed.manifest), &context.scopes);
    let fill = context.target_namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    let mut assumed: BTreeMap<(&str, &str), (Problem, usize)> = BTreeMap::new();
    let mut placed: Vec<Placed<'_>> = Vec::new();
    for (path, typed) in typed() {
        let place = Place { path, number: typed.number, places: &typed.places };
        let mut failed = typed.failed;
        let namespaced = known.find(&typed.group, &typed.kind).unwrap_or_else(|| {
            let first = || (place.problem(Severity::Warning, Code::ScopeAssumed, "/kind", ""), 0);
            assumed.entry((&typed.group, &typed.kind)).or_insert_with(first).1 += 1;
            true
        });
        let namespace = namespaced.then(|| typed.namespace.clone().unwrap_or_else(|| fill.to_owned()));
        if !namespaced && typed.namespace.is_some() {
            let message = format!("a {} belongs to no namespace, and this one names one; remove it", typed.kind);
            problems.push(place.error(Code::InvalidNamespace, "/metadata/namespace", message));
            failed = true;
        }
        let id = StepId::object(&typed.group, &typed.kind, namespace.as_deref(), &typed.name);
        let mark = typed.places.find("/metadata/name");
        let files = referred::files(typed, &place, snapshot, problems);
        failed |= files.is_none();
        let files = files.unwrap_or_default();
        placed.push(Placed { id, path, typed, namespace, mark, files, failed });
    }
    for ((group, kind), (mut problem, count)) in assumed {
        problem.message = format!(
            "whether a {kind} of {} has a namespace is known from nowhere, so it was taken to have one ({}); commit its \
             CRD, or let Windlass see a cluster that has it",
            if group.is_empty() { "the core group" } else { group },
            if count == 1 { "1 document".to_owned() } else { format!("{count} documents") },
        );
        problems.push(problem);
    }
    refuse_twins(&mut placed, problems);
    for document in placed {
        if document.failed {
            declared.held.owners.insert(document.id);
            declared.held.paths.insert(document.path.to_owned());
        } else {
            declared.documents.push(finish(document));
        }
    }
}

/// The same object declared twice: neither is applied, since nothing says which is meant.
fn refuse_twins(placed: &mut [Placed<'_>], problems: &mut Vec<Problem>) {
    let mut by_id: BTreeMap<StepId, Vec<usize>> = BTreeMap::new();
    for (index, document) in placed.iter().enumerate() {
        by_id.entry(document.id.clone()).or_default().push(index);
    }
    for (id, twins) in by_id.into_iter().filter(|(_, twins)| twins.len() > 1) {
        for (at, index) in twins.iter().enumerate() {
            let other = &placed[twins[usize::from(at == 0)]];
            let more = match twins.len() {
                2 => String::new(),
                count => format!(" (and {} more)", count - 2),
            };
            let message = format!(
                "{id} is declared twice: also at {}:{}{more}; nothing says which is meant, so none is applied",
                other.path, other.mark.line
            );
            let this = &placed[*index];
            let place = Place { path: this.path, number: this.typed.number, places: &this.typed.places };
            problems.push(place.error(Code::DuplicateObject, "/metadata/name", message));
        }
        for index in twins {
            placed[index].failed = true;
        }
    }
}

fn finish(document: Placed<'_>) -> Document {
    let Placed { id, path, typed, namespace, files, .. } = document;
    let mut manifest = typed.manifest.clone();
    if let Some(namespace) = &namespace
        && let Some(Value::Object(metadata)) = manifest.get_mut("metadata")
    {
        metadata.insert("namespace".to_owned(), namespace.as_str().into());
    }
    let origin = Arc::new(Origin {
        api_version: (&typed.api_version).into(),
        kind: (&typed.kind).into(),
        namespace: namespace.map(Into::into),
        name: (&typed.name).into(),
        path: path.into(),
        document: typed.number,
        line: typed.places.start().line,
    });
    Document { id, origin, manifest, places: typed.places.clone(), files }
}
