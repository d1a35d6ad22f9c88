//! What is to be known of a live object: everything else of it is let go at once.
//!
//! Pure but for its memory. The one place where an object becomes a [`Live`]. Called by `observe`, `apply` and `mirror`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::discovery::Resource;
use super::mirror::record;
use super::observe::{label, other_owner};
use super::{Options, kstatus, managed};
use crate::diff::Live;
use crate::diff::seen::Readiness;
use crate::plan::StepId;
use crate::sync::{CONTENT_HASH, PART_OF};
use crate::target::LiveStatus;

/// The sync's view of objects.
pub(super) struct Lens {
    options: Arc<Options>,
    /// What the last reads and writes showed of objects beyond [`Live`].
    memory: Mutex<BTreeMap<StepId, Memory>>,
}

/// What is remembered of an object between its read and its write, and for its status.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Our paths, if other managers hold fields too (only then a removal may fail to remove).
    shared: Option<managed::Paths>,
    /// Generation and status, of CRs of our own kinds.
    status: Option<LiveStatus>,
}

impl Lens {
    /// Nothing seen yet.
    pub(super) fn new(options: Arc<Options>) -> Self {
        Self { options, memory: Mutex::default() }
    }

    /// What is to be known of a live object.
    pub(super) fn live(&self, id: &StepId, resource: &Resource, object: &Value) -> Live {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let own = managed::own(object, &self.options.manager);
        let part_of = label(object, PART_OF);
        self.remember(id, object);
        Live {
            needed_by: None,
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            content_hash: object
                .pointer("/metadata/annotations")
                .and_then(|all| all.get(CONTENT_HASH))
                .and_then(Value::as_str)
                .map(str::to_owned),
            fingerprint: own.map(managed::fingerprint),
            ours: own.is_some() && part_of == Some(self.options.part_of.as_str()),
            other_owner: other_owner(object, &self.options.part_of),
            acted_on: (self.is_own_kind(resource) && !self.options.take_over)
                .then(|| managed::acting(object, &self.options.manager))
                .flatten(),
            terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
            takes_data: object
                .pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted")
                .and_then(Value::as_str)
                == Some("Delete"),
            replicas: object.pointer("/spec/replicas").and_then(Value::as_i64),
            readiness: self.readiness(resource, object),
            moved_by: record::mover(object, &self.options.manager).map(str::to_owned),
        }
    }

    /// Readiness of an object; CRs of our own kinds are ready once applied (design §4.2).
    pub(super) fn readiness(&self, resource: &Resource, object: &Value) -> Readiness {
        if self.is_own_kind(resource) {
            return Readiness::Ready;
        }
        kstatus::readiness(object)
    }

    /// Whether objects of a kind are read whole: for their readiness, or for the status that a CR has now.
    pub(super) fn needs_whole(&self, resource: &Resource) -> bool {
        kstatus::needs_whole(&resource.group, &resource.kind)
    }

    /// Whether a kind is one of our own high-level kinds.
    pub(super) fn is_own_kind(&self, resource: &Resource) -> bool {
        self.options.own_kinds.contains(&(resource.group.clone(), resource.kind.clone()))
    }

    /// Generation and status of every CR of our own kinds, as the last read or write showed them.
    pub(super) fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        self.memory().iter().filter_map(|(id, it)| Some((id.clone(), it.status.clone()?))).collect()
    }

    /// The same of one of them.
    pub(super) fn status(&self, id: &StepId) -> Option<LiveStatus> {
        self.memory().get(id)?.status.clone()
    }

    /// Our paths of an object that other managers hold fields of too, as last seen.
    pub(super) fn shared(&self, id: &StepId) -> Option<managed::Paths> {
        self.memory().get(id).and_then(|memory| memory.shared.clone())
    }

    /// The object is gone.
    pub(super) fn forget(&self, id: &StepId) {
        self.memory().remove(id);
    }

    /// Remembers what a read or write showed of an object.
    fn remember(&self, id: &StepId, object: &Value) {
        let mut memory = Memory::default();
        if managed::foreign(object, &self.options.manager).next().is_some() {
            memory.shared = managed::own(object, &self.options.manager).map(managed::paths);
        }
        if let Some(parts) = id.object_parts()
            && self.options.own_kinds.contains(&(parts.group.to_owned(), parts.kind.to_owned()))
        {
            memory.status = Some(LiveStatus {
                uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
                generation: object.pointer("/metadata/generation").and_then(Value::as_i64),
                status: object.get("status").cloned(),
            });
        }
        let mut all = self.memory();
        if memory.shared.is_none() && memory.status.is_none() {
            all.remove(id);
        } else {
            all.insert(id.clone(), memory);
        }
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<StepId, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
