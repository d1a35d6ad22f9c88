//! Documents, typed and checked: (snapshot) → (declared, problems).
//!
//! Pure. Never fails as a whole: one bad document harms only itself (design §1.4), all problems at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::plan::{Held, Origin, StepId};
use crate::problem::Problem;
use crate::revision::{Revision, Snapshot};

/// What a revision declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// The revision.
    pub revision: Revision,
    /// Every document without an error, in the order of path and document.
    pub documents: Vec<Document>,
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
    pub manifest: Value,
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

/// What was parsed before, by path and blob: an unchanged file is not parsed again.
#[derive(Clone, Debug, Default)]
pub struct Memo {}

/// Reads every document of a snapshot.
#[must_use]
pub fn read(snapshot: &Snapshot, context: &Context, memo: &mut Memo) -> (Declared, Problems) {
    _ = (context, memo);
    (Declared { revision: snapshot.revision.clone(), ..Declared::default() }, Vec::new())
}
