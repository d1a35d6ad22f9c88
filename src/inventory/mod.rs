//! The inventory: what a sync owns in the world.
//!
//! Pure value and its set algebra. Stored by `target` before the first write that adds an entry, and shrunk only after
//! a confirmed deletion (design §4.5): after a crash it may list too much, never too little.

pub mod codec;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::plan::{Manifest, Needs, Plan, Step, StepId};

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
    #[serde(default, skip_serializing_if = "<[StepId]>::is_empty")]
    pub needs: Needs,
    /// `windlass.dev/prune: disabled` stood on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// PersistentVolumeClaims of its namespace whose data is of no use without it: it goes after the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
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

    /// Whether this inventory may be used by a sync; a stored one of another sync or source never is.
    ///
    /// # Errors
    /// If it may not; says what to do.
    pub fn belongs_to(&self, sync: &str, source: &str) -> Result<(), Mismatch> {
        if self.sync != sync {
            return Err(Mismatch::Sync { stored: self.sync.clone(), wanted: sync.to_owned() });
        }
        if self.source != source {
            return Err(Mismatch::Source { stored: self.source.clone(), wanted: source.to_owned() });
        }
        Ok(())
    }

    /// Takes in steps of a plan: what is owned then, or may be after they are written. Stored before the first write.
    /// Known uids, fingerprints and done marks stay; paths, needs and owners are the plan's. A step that is neither
    /// written nor known is not added: what was refused as somebody else's must not become ours by being listed.
    ///
    /// Each step comes with whether it is written.
    pub fn take_in<'a>(&mut self, steps: impl IntoIterator<Item = (&'a Step, bool)>) -> Taken {
        let mut taken = Taken::default();
        for (step, writes) in steps {
            let entry = match self.entries.get_mut(&step.id) {
                Some(entry) => entry,
                None if writes => {
                    taken.added = true;
                    self.entries.entry(step.id.clone()).or_default()
                }
                None => continue,
            };
            let api_version = step.want.object().map(Manifest::api_version).unwrap_or_default();
            let same = entry.api_version == api_version
                && entry.path == step.origin.path.as_str()
                && entry.document == step.origin.document
                && entry.owner == step.owner
                && entry.needs == step.needs
                && entry.keep == step.policy.keep
                && !entry.deleting;
            if same {
                continue;
            }
            taken.changed = true;
            entry.api_version = api_version;
            entry.path = step.origin.path.to_string();
            entry.document = step.origin.document;
            entry.owner.clone_from(&step.owner);
            entry.needs.clone_from(&step.needs);
            entry.keep = step.policy.keep;
            entry.claims.clone_from(&step.policy.claims);
            entry.deleting = false;
        }
        taken.changed |= taken.added;
        taken
    }

    /// Records what an apply answered. True if that is news.
    pub fn record(&mut self, id: &StepId, uid: &str, fingerprint: Option<&str>) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        let uid = Some(uid).filter(|uid| !uid.is_empty());
        if entry.uid.as_deref() == uid && entry.fingerprint.as_deref() == fingerprint {
            return false;
        }
        entry.uid = uid.map(str::to_owned);
        entry.fingerprint = fingerprint.map(str::to_owned);
        true
    }

    /// Records that a step is over for good with this content hash. True if that is news.
    pub fn record_done(&mut self, id: &StepId, hash: &str) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        if entry.done.as_deref() == Some(hash) {
            return false;
        }
        entry.done = Some(hash.to_owned());
        true
    }

    /// Records that these will be deleted: stored before the first delete. From then on they are past the guards, so
    /// that a list that was released once is finished after a crash, though what is left of it is another list. True if
    /// that is news.
    pub fn intend<'a>(&mut self, ids: impl IntoIterator<Item = &'a StepId>) -> bool {
        let mut news = false;
        for id in ids {
            if let Some(entry) = self.entries.get_mut(id) {
                news |= !entry.deleting;
                entry.deleting = true;
            }
        }
        news
    }

    /// Drops an entry whose absence is confirmed. True if there was one.
    pub fn forget(&mut self, id: &StepId) -> bool {
        self.entries.remove(id).is_some()
    }

    /// Entries that the plan does not want.
    pub fn unwanted<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = (&'a StepId, &'a Entry)> {
        let wanted: BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
        self.entries.iter().filter(move |(id, _)| !wanted.contains(id))
    }
}

/// What taking steps in has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// There are new entries: they have to be stored before what they name is written.
    pub added: bool,
    /// Anything is different.
    pub changed: bool,
}

/// A stored inventory that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is another sync's.
    #[error(
        "the inventory stored in the target belongs to the sync with id {stored}, this one has id {wanted}; nothing is \
         applied or pruned. Give this GitSync a target (or state folder) of its own"
    )]
    Sync {
        /// Id in the stored inventory.
        stored: String,
        /// Id of the sync that read it.
        wanted: String,
    },
    /// It was made from another source.
    #[error(
        "the inventory stored in the target was made from {stored}, this GitSync reads {wanted}; nothing is applied or \
         pruned. If the repository has moved, `windlass inventory NAME --repair` records it for the new place; if it is \
         another repository, give it a GitSync of another name"
    )]
    Source {
        /// URL in the stored inventory.
        stored: String,
        /// URL of the sync that read it.
        wanted: String,
    },
}

#[cfg(test)]
mod tests;
