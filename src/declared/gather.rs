//! What only all documents together can say: scopes, namespaces, objects declared twice, what is protected.
//!
//! Pure. A document that was settled in the same surroundings stays as it is. Called by `read`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::memo::{Entry, Kept, Memo, Surroundings};
use super::scope::Known;
use super::typing::Place;
use super::{Context, Declared, Document, referred};
use crate::plan::{Manifest, StepId};
use crate::problem::{Code, Problem, Severity};
use crate::revision::Snapshot;
use crate::text::Text;

/// Namespace of an object that names none, where the sync names none either.
const DEFAULT_NAMESPACE: &str = "default";

/// Adds the documents of all files, in the order of their paths, but for those that others refer to.
pub(super) fn gather(
    memo: &mut Memo,
    targets: &BTreeSet<String>,
    snapshot: &Snapshot,
    context: &Context,
    declared: &mut Declared,
    problems: &mut Vec<Problem>,
) {
    settle(memo, targets, snapshot, context);
    let files = || memo.files.iter().filter(|(_, kept)| kept.settled);
    let twins = if memo.twins == 0 { BTreeMap::new() } else { twins(memo) };
    refuse(&twins, problems);
    let mut assumed: BTreeMap<(&str, &str), (&Text, &Entry, usize)> = BTreeMap::new();
    declared.documents.reserve(memo.ids.len());
    for (path, kept) in files() {
        problems.extend_from_slice(&kept.problems);
        problems.extend_from_slice(&kept.told);
        for entry in &kept.entries {
            let document = &entry.document;
            if entry.assumed {
                assumed.entry((&entry.group, &document.origin.kind)).or_insert((path, entry, 0)).2 += 1;
            }
            if entry.failed || entry.out || twins.contains_key(&document.id) {
                declared.held.owners.insert(document.id.clone());
                declared.held.paths.insert(path.to_string());
            } else {
                declared.documents.push(Arc::clone(document));
            }
        }
    }
    for ((group, kind), (path, entry, count)) in assumed {
        let message = format!(
            "whether a {kind} of {} has a namespace is known from nowhere, so it was taken to have one ({}); commit its \
             CRD, or let Windlass see a cluster that has it",
            if group.is_empty() { "the core group" } else { group },
            if count == 1 { "1 document".to_owned() } else { format!("{count} documents") },
        );
        problems.push(place(path, &entry.document).problem(Severity::Warning, Code::ScopeAssumed, "/kind", message));
    }
}

/// Finds the id and namespace of every document whose surroundings are new.
fn settle(memo: &mut Memo, targets: &BTreeSet<String>, snapshot: &Snapshot, context: &Context) {
    let mut files = std::mem::take(&mut memo.files);
    let held = |path: &str| !targets.is_empty() && referred::hold(targets, path);
    let scopes = files.iter().filter(|(path, kept)| !kept.scopes.is_empty() && !held(path));
    let surroundings = Surroundings {
        fill: context.target_namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE).into(),
        declared: scopes.flat_map(|(_, kept)| kept.scopes.iter().cloned()).collect(),
        discovered: context.scopes.clone(),
    };
    let moved = memo.settled != surroundings;
    if moved {
        memo.settled = surroundings;
    }
    let surroundings = std::mem::take(&mut memo.settled);
    for (path, kept) in &mut files {
        if held(path) {
            memo.uncount(kept);
        } else if moved || !kept.settled || kept.refers {
            memo.uncount(kept);
            settle_file(path, kept, &surroundings, snapshot);
            memo.count(kept);
        }
    }
    memo.settled = surroundings;
    memo.files = files;
}

fn settle_file(path: &Text, kept: &mut Kept, surroundings: &Surroundings, snapshot: &Snapshot) {
    let known = Known::new(&surroundings.declared, &surroundings.discovered);
    kept.told.clear();
    let mut before: BTreeMap<StepId, Arc<Document>> =
        std::mem::take(&mut kept.before).into_iter().map(|document| (document.id.clone(), document)).collect();
    for entry in &mut kept.entries {
        let kind = &entry.document.origin.kind;
        let scope = known.find(&entry.group, kind);
        let namespaced = scope.unwrap_or(true);
        entry.assumed = scope.is_none();
        entry.out = false;
        if !namespaced && entry.named.is_some() {
            let message = format!("a {kind} belongs to no namespace, and this one names one; remove it");
            let place = place(path, &entry.document);
            kept.told.push(place.error(Code::InvalidNamespace, "/metadata/namespace", message));
            entry.out = true;
        }
        let files = referred::files(&entry.refers, &place(path, &entry.document), snapshot, &mut kept.told);
        entry.out |= files.is_none();
        let files = files.unwrap_or_default();
        let namespace = namespaced.then(|| entry.named.clone().unwrap_or_else(|| surroundings.fill.clone()));
        if entry.document.origin.namespace != namespace || entry.document.files != files {
            let document = Arc::make_mut(&mut entry.document);
            if document.origin.namespace != namespace {
                let origin = Arc::make_mut(&mut document.origin);
                if entry.named.is_none() {
                    document.manifest = filled(&document.manifest, namespace.as_ref());
                }
                origin.namespace = namespace;
                document.id = StepId::object(&entry.group, &origin.kind, origin.namespace.as_deref(), &origin.name);
            }
            document.files = files;
        }
        // Other documents of the file may have changed, and this one not.
        if let Some(same) = before.remove(&entry.document.id).filter(|before| *before == entry.document) {
            entry.document = same;
        }
    }
    kept.told.shrink_to_fit();
}

/// The manifest in a namespace, or in none.
fn filled(manifest: &Manifest, namespace: Option<&Text>) -> Manifest {
    let mut value = manifest.value();
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        match namespace {
            Some(namespace) => _ = metadata.insert("namespace".to_owned(), namespace.as_str().into()),
            None => _ = metadata.remove("namespace"),
        }
    }
    value.into()
}

fn place<'a>(path: &'a str, document: &'a Document) -> Place<'a> {
    Place { path, number: document.origin.document, places: &document.places }
}

/// Documents that declare what others declare too, by id.
fn twins(memo: &Memo) -> BTreeMap<&StepId, Vec<(&Text, &Document)>> {
    let mut twins: BTreeMap<&StepId, Vec<_>> = BTreeMap::new();
    for (path, kept) in memo.files.iter().filter(|(_, kept)| kept.settled) {
        for document in kept.entries.iter().map(|entry| &entry.document) {
            if memo.ids.get(&document.id).is_some_and(|count| *count > 1) {
                twins.entry(&document.id).or_default().push((path, &**document));
            }
        }
    }
    twins
}

/// The same object declared twice: neither is applied, since nothing says which is meant.
fn refuse(twins: &BTreeMap<&StepId, Vec<(&Text, &Document)>>, problems: &mut Vec<Problem>) {
    for (id, twins) in twins {
        for (at, (path, document)) in twins.iter().enumerate() {
            let (other_path, other) = twins[usize::from(at == 0)];
            let more = match twins.len() {
                2 => String::new(),
                count => format!(" (and {} more)", count - 2),
            };
            let line = other.places.find("/metadata/name").line;
            let message = format!(
                "{id} is declared twice: also at {other_path}:{line}{more}; nothing says which is meant, so none is applied"
            );
            problems.push(place(path, document).error(Code::DuplicateObject, "/metadata/name", message));
        }
    }
}
