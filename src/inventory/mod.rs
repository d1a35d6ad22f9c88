//! The inventory: what a sync owns in the world.
//!
//! Pure value and its set algebra. Stored by `target` before the first write that adds an entry, and shrunk only after
//! a confirmed deletion (design §4.5): after a crash it may list too much, never too little.

pub mod codec;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::plan::{Plan, StepId};

/// All that one sync owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// The sync's id (see [`crate::sync::id`]); a stored inventory with another one is refused.
    pub sync: String,
    /// The source's URL without credentials; a stored inventory with another one is refused.
    pub source: String,
    /// What is owned.
    #[serde(default)]
    pub entries: BTreeMap<StepId, Entry>,
}

/// One thing owned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// apiVersion that the object was last applied with, needed to find it again; empty for steps outside Kubernetes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// The object's uid, or the external id; none while pending (stored before the first write).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// File in the repository that declares it.
    #[serde(default)]
    pub path: String,
    /// Number of the document in that file, from 1.
    #[serde(default)]
    pub document: u32,
    /// The declared CR that expanded to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<StepId>,
    /// First 8 bytes in hex of the fingerprint of our managedFields entry; none for targets without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What it waited for, so that a removed step can still be ordered.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<StepId>,
    /// `windlass.dev/prune: disabled` stood on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// Intent to delete, stored before the delete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Content hash with which a Job finished or a one-shot was called: absence of the object is then not a difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
}

impl Inventory {
    /// An empty inventory of one sync and source.
    #[must_use]
    pub fn new(sync: impl Into<String>, source: impl Into<String>) -> Self {
        Self { sync: sync.into(), source: source.into(), entries: BTreeMap::new() }
    }

    /// All that is owned now or will be after the plan: stored before the first write. Known uids and fingerprints stay;
    /// paths, needs and owners are the plan's.
    #[must_use]
    pub fn union(&self, plan: &Plan) -> Self {
        let mut union = self.clone();
        for step in &plan.steps {
            let entry = union.entries.entry(step.id.clone()).or_default();
            entry.api_version = step
                .want
                .object()
                .and_then(|object| object.get("apiVersion"))
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned();
            entry.path.clone_from(&step.origin.path);
            entry.document = step.origin.document;
            entry.owner.clone_from(&step.owner);
            entry.needs.clone_from(&step.needs);
            entry.keep = step.policy.keep;
            entry.deleting = false;
        }
        union
    }

    /// Entries that the plan does not want.
    pub fn unwanted<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a StepId, &'a Entry)> {
        let wanted: BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
        self.entries.iter().filter(move |(id, _)| !wanted.contains(id))
    }
}
