//! Documents, typed and checked: (snapshot) → (declared, problems).
//!
//! Pure. Never fails as a whole: one bad document harms only itself (design §1.4), all problems at once.

mod annotations;
mod budget;
mod builtin;
mod chunks;
mod file;
mod gather;
mod memo;
mod metadata;
mod names;
mod nodes;
pub mod places;
mod referred;
mod rendered;
mod scalar;
pub mod scope;
mod typing;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

pub use self::memo::Memo;
pub use self::places::Places;

use self::rendered::Folders;
use crate::kinds::Files;
use crate::plan::{Held, Manifest, Origin, StepId};
use crate::problem::{Code, Problem, Severity};
use crate::revision::{Revision, Snapshot};

/// What a revision declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// The revision.
    pub revision: Revision,
    /// Every document without an error, in the order of path and document. One that did not change from one revision to
    /// the next is one and the same in both.
    pub documents: Vec<Arc<Document>>,
    /// What the documents with errors protect from pruning.
    pub held: Held,
}

/// One typed document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Step id of the document itself.
    pub id: StepId,
    /// Where it stands.
    pub origin: Arc<Origin>,
    /// The manifest: nulls dropped as design §4.3 says, namespace filled in.
    pub manifest: Manifest,
    /// Where each of its fields stands in the file, for problems that are found later.
    pub places: Places,
    /// The files of the repository that it refers to.
    pub files: Files,
}

/// What has to be known about a kind that is not in the repository: whether it is namespaced, by (group, kind).
/// Built-in kinds and CRDs of the revision need no entry.
pub type Scopes = BTreeMap<(String, String), bool>;

/// What the documents are read with.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// `spec.targetNamespace`, for documents that name none; `default` if none.
    pub target_namespace: Option<String>,
    /// A discovery snapshot; empty if there is none.
    pub scopes: Scopes,
}

/// All problems, sorted for people.
pub type Problems = Vec<Problem>;

/// One document of a file that is not part of a repository, as it stands.
#[derive(Clone, Debug)]
pub struct Loose {
    /// Its value.
    pub value: Value,
    /// Number in the file, from 1.
    pub document: u32,
    /// Where its fields stand.
    pub places: Places,
}

/// Reads a file that is not part of a repository: a GitSync handed to the agent.
#[must_use]
pub fn loose(file: &str, text: &str) -> (Vec<Loose>, Problems) {
    let place = |fault: &nodes::Fault| {
        Problem::error(fault.code, fault.message.clone()).in_file(file).at(fault.mark.line, fault.mark.column)
    };
    let parsed = match yaml::parse(text) {
        Ok(parsed) => parsed,
        Err(fault) => return (Vec::new(), vec![place(&fault)]),
    };
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for one in parsed {
        match one.value {
            Ok(value) => documents.push(Loose { value, document: one.number, places: one.places }),
            Err(fault) => problems.push(place(&fault).in_document(one.number)),
        }
    }
    (documents, problems)
}

/// The files and folders of the repository that documents refer to, as paths from its root. `source` reads them into
/// [`Snapshot::referred`] before [`read`] is called.
#[must_use]
pub fn references(snapshot: &Snapshot, memo: &mut Memo) -> BTreeSet<String> {
    memo.parse(snapshot, &Folders::find(snapshot));
    referred::targets(memo)
}

/// Reads every document of a snapshot. The order of files does not matter, nor does what was read before.
#[must_use]
pub fn read(snapshot: &Snapshot, context: &Context, memo: &mut Memo) -> (Declared, Problems) {
    let mut declared = Declared { revision: snapshot.revision.clone(), ..Declared::default() };
    let mut problems = snapshot.problems.clone();
    // What `.windlassignore` names is not in the snapshot.
    let folders = Folders::find(snapshot);
    memo.parse(snapshot, &folders);
    declared.held.present = Arc::clone(&memo.present);
    let targets = referred::targets(memo);
    problems.retain(|problem| !problem.file.as_deref().is_some_and(|file| referred::hold(&targets, file)));
    problems.extend(
        folders
            .problems()
            .into_iter()
            .filter(|problem| !problem.file.as_deref().is_some_and(|file| referred::hold(&targets, file))),
    );
    let rendered = snapshot.files.keys().filter(|path| folders.hold(path) && file::is_document(path));
    declared.held.paths.extend(rendered.filter(|path| !referred::hold(&targets, path)).map(ToString::to_string));
    gather::gather(memo, &targets, snapshot, context, &mut declared, &mut problems);
    hold(&problems, &mut declared.held);
    if declared.documents.is_empty() {
        declared.held.empty = true;
        if !problems.iter().any(|problem| problem.severity == Severity::Error) {
            problems.push(Problem::error(Code::NothingDeclared, NOTHING));
        }
    }
    problems.sort();
    problems.dedup();
    (declared, problems)
}

const NOTHING: &str = "the revision declares nothing: no .yaml, .yml or .json file below the paths holds an object; nothing \
                       is applied or pruned until one does";

/// Protects what a file with an error used to declare.
fn hold(problems: &[Problem], held: &mut Held) {
    for problem in problems.iter().filter(|problem| problem.severity == Severity::Error) {
        // Without a file (the source as a whole), the empty path still says that something may be missing.
        held.paths.insert(problem.file.clone().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
