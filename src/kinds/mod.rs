//! The registry of high-level kinds: one folder a family, one line here.
//!
//! Pure: no clients, clocks or async. A family says how its CRs are checked, what they expand to, what their status is
//! and which objects it writes; CRDs, RBAC and the docs index are generated from that. `declared` checks documents with
//! it, `expand` expands them, `report` asks for their status.

mod image;
mod schema;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::plan::{Policy, State, StepId, Want};
use crate::problem::{Code, Severity};

macro_rules! families {
    ($($folder:ident,)+) => {
        $(pub mod $folder;)+

        /// Every family that Windlass knows, in the order of the docs index.
        pub static FAMILIES: &[&Family] = &[$(&$folder::FAMILY,)+];
    };
}

// One folder and one line a family.
families! {
    dataservice,
    engula,
    goop,
    memcached,
}

/// A high-level system.
#[derive(Debug)]
pub struct Family {
    /// Folder in `src/kinds/` and page in `docs/kinds/`.
    pub name: &'static str,
    /// One sentence for the docs index.
    pub summary: &'static str,
    /// Its kinds.
    pub kinds: &'static [Kind],
}

/// A high-level kind.
#[derive(Debug)]
pub struct Kind {
    /// API group.
    pub group: &'static str,
    /// The version that is read and applied.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural, as in URLs and RBAC.
    pub plural: &'static str,
    /// Whether its objects have a namespace.
    pub namespaced: bool,
    /// Its CRD.
    pub crd: fn() -> CustomResourceDefinition,
    /// Types and validates a manifest (explicit nulls already dropped): everything wrong with it.
    pub check: fn(&Value) -> Vec<FieldProblem>,
    /// The files and folders of the repository that a manifest refers to; [`no_files`] for kinds without such a field.
    pub refers: fn(&Value) -> Vec<Reference>,
    /// JSON pointers of fields that may hold a secret value in clear text. Its CR is applied, shown and hashed without
    /// them; only [`Self::expand`] sees them.
    pub secrets: &'static [&'static str],
    /// Expands a manifest that `check` passed without an error.
    pub expand: fn(&Cr<'_>) -> Expansion,
    /// The CR's status, from the state of what it expanded to; none if nothing is known yet.
    pub status: fn(&StatusInput<'_>) -> Option<Value>,
    /// What it writes besides itself, for RBAC: (group, plural).
    pub writes: &'static [(&'static str, &'static str)],
}

/// Something wrong with a field, before it has a place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Error or warning.
    pub severity: Severity,
    /// Stable name.
    pub code: Code,
    /// JSON pointer into the manifest.
    pub pointer: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl FieldProblem {
    /// An error.
    fn error(code: Code, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, pointer: pointer.into(), message: message.into() }
    }
}

/// A field of a CR that names a file or folder of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// JSON pointer of the field.
    pub pointer: &'static str,
    /// The path as written, relative to the folder of the CR's file.
    pub path: String,
}

/// For [`Kind::refers`] of a kind that refers to no files.
#[must_use]
pub fn no_files(_: &Value) -> Vec<Reference> {
    Vec::new()
}

/// What a CR refers to: by the pointer of the field, the files by their path below the folder named.
pub type Files = BTreeMap<&'static str, BTreeMap<String, Arc<[u8]>>>;

/// A CR about to be expanded.
#[derive(Clone, Copy, Debug)]
pub struct Cr<'a> {
    /// metadata.name.
    pub name: &'a str,
    /// Namespace, filled in; empty if cluster-scoped.
    pub namespace: &'a str,
    /// The whole manifest, explicit nulls dropped.
    pub manifest: &'a Value,
    /// What it refers to in the repository. Empty where a status is made, and for a CR that another CR expanded to.
    pub files: &'a Files,
}

static NO_FILES: Files = BTreeMap::new();

impl<'a> Cr<'a> {
    /// A CR without files.
    #[must_use]
    pub fn new(name: &'a str, namespace: &'a str, manifest: &'a Value) -> Self {
        Self { name, namespace, manifest, files: &NO_FILES }
    }
}

/// What a CR expands to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expansion {
    /// Wanted states. Ownership labels, scope and default order are added by `expand`, not here.
    pub children: Vec<Child>,
    /// What is wrong with the CR as a whole.
    pub problems: Vec<FieldProblem>,
}

/// One wanted state of a CR.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The state. For an object its id follows from the manifest.
    pub want: Want,
    /// Id of a step that is not an object.
    pub id: Option<StepId>,
    /// What has to be ready first.
    pub needs: Vec<StepId>,
    /// What has to be ready first if the plan holds it.
    pub after: Vec<After>,
    /// What the family says of it (`replace`, `once_done`); the document's annotations are added by `expand`.
    pub policy: Policy,
}

/// Something that has to be ready first where the plan holds it, whichever document it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// The step.
    pub step: StepId,
    /// The CR that expands to it: as long as that one has an error, it is as if the step were there and not ready.
    pub by: Option<StepId>,
}

impl Child {
    /// An object without needs or exceptions.
    #[must_use]
    pub fn object(manifest: Value) -> Self {
        Self {
            want: Want::Object(manifest.into()),
            id: None,
            needs: Vec::new(),
            after: Vec::new(),
            policy: Policy::default(),
        }
    }
}

/// What a status is made of.
#[derive(Clone, Debug)]
pub struct StatusInput<'a> {
    /// The CR.
    pub cr: Cr<'a>,
    /// `metadata.generation` of the CR as last seen, if known.
    pub generation: Option<i64>,
    /// The status that it has now.
    pub previous: Option<&'a Value>,
    /// What it expanded to, and what that expanded to, in the order of the plan.
    pub children: &'a [ChildState],
    /// Now, RFC 3339.
    pub now: &'a str,
}

/// State of one child, as `report` knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildState {
    /// The step.
    pub id: StepId,
    /// Its state.
    pub state: State,
    /// CamelCase reason of that state.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Finds a kind by group and kind.
#[must_use]
pub fn find(group: &str, kind: &str) -> Option<&'static Kind> {
    FAMILIES.iter().flat_map(|family| family.kinds).find(|known| known.group == group && known.kind == kind)
}

/// The CRDs of every family, sorted by name, as `windlass crds` prints them and the agent applies them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds: Vec<_> = FAMILIES.iter().flat_map(|family| family.kinds).map(|kind| (kind.crd)()).collect();
    crds.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    crds
}

#[cfg(test)]
mod tests;
