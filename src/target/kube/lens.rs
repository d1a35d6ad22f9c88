//! What is to be known of a live object: everything else of it is let go at once.
//!
//! Pure but for its memory. The one place where an object becomes a [`Live`]. Called by `observe`, `apply` and `mirror`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde_json::Value;

use super::discovery::Resource;
use super::managed::foreign::{self, Strict};
use super::managed::ignored::Ignored;
use super::mirror::record;
use super::observe::{label, other_owner, owner};
use super::{Options, kstatus, managed};
use crate::diff::Live;
use crate::diff::seen::{Hands, Readiness};
use crate::plan::{Step, StepId};
use crate::sync::{CONTENT_HASH, PART_OF};
use crate::target::LiveStatus;

/// The sync's view of objects.
pub(super) struct Lens {
    options: Arc<Options>,
    /// What CRs of our own kinds say of themselves, as the last read or write showed it.
    memory: Mutex<BTreeMap<StepId, LiveStatus>>,
    /// Fields that others may change, of the steps that have any, with the content hash that they were read with.
    ignored: RwLock<BTreeMap<StepId, (String, Arc<Ignored>)>>,
}

impl Lens {
    /// Nothing seen yet.
    pub(super) fn new(options: Arc<Options>) -> Self {
        Self { options, memory: Mutex::default(), ignored: RwLock::default() }
    }

    /// What is to be known of a live object.
    pub(super) fn live(&self, id: &StepId, resource: &Resource, object: &Value) -> Live {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let manager = self.options.manager.as_str();
        let own = managed::own(object, manager);
        let part_of = label(object, PART_OF);
        let ignored = self.ignored(id);
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
            fingerprint: own.map(|own| match &ignored {
                Some(ignored) => managed::fingerprint(&ignored.strip(own)),
                None => managed::fingerprint(own),
            }),
            ours: own.is_some() && part_of == Some(self.options.part_of.as_str()),
            other_owner: other_owner(object, &self.options.part_of),
            acted_on: (self.is_own_kind(resource) && !self.options.take_over)
                .then(|| managed::acting(object, manager))
                .flatten(),
            terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
            takes_data: object
                .pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted")
                .and_then(Value::as_str)
                == Some("Delete"),
            replicas: object.pointer("/spec/replicas").and_then(Value::as_i64),
            readiness: self.readiness(resource, object),
            moved_by: record::mover(object, manager).map(str::to_owned),
            hands: Some(Hands {
                additions: foreign::additions(object, manager, &self.strict(resource), ignored.as_deref()),
                shared: managed::shared(object, manager),
                edited_elsewhere: managed::edited_elsewhere(object, manager, &resource.api_version()),
                kept_for: owner(object, manager),
            })
            .filter(|hands| *hands != Hands::default())
            .map(Box::new),
        }
    }

    /// Readiness of an object; CRs of our own kinds are ready once applied (design §4.2).
    pub(super) fn readiness(&self, resource: &Resource, object: &Value) -> Readiness {
        if self.is_own_kind(resource) {
            return Readiness::Ready;
        }
        self.options.health.readiness(object).unwrap_or_else(|| kstatus::readiness(object))
    }

    /// Whether objects of a kind are read whole: for their readiness, or for the status that a CR has now.
    pub(super) fn needs_whole(&self, resource: &Resource) -> bool {
        kstatus::needs_whole(&resource.group, &resource.kind)
            || self.options.health.has(&resource.api_version(), &resource.kind)
    }

    /// Whether a kind is one of our own high-level kinds.
    pub(super) fn is_own_kind(&self, resource: &Resource) -> bool {
        self.options.own_kinds.contains(&(resource.group.clone(), resource.kind.clone()))
    }

    /// Generation and status of every CR of our own kinds, as the last read or write showed them.
    pub(super) fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        self.memory().clone()
    }

    /// The object is gone.
    pub(super) fn forget(&self, id: &StepId) {
        self.memory().remove(id);
    }

    /// Takes in which fields of a step others may change: they are no part of its fingerprint.
    pub(super) fn heed(&self, step: &Step) {
        let all = self.ignored.read().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&step.id).map(|(hash, _)| hash);
        if known == (!step.policy.ignored.is_empty()).then_some(&step.hash) {
            return;
        }
        drop(all);
        let ignored = step.want.object().map(|manifest| Ignored::new(&manifest.value(), &step.policy.ignored));
        let mut all = self.ignored.write().unwrap_or_else(PoisonError::into_inner);
        match ignored.filter(|_| !step.policy.ignored.is_empty()) {
            Some(ignored) => _ = all.insert(step.id.clone(), (step.hash.clone(), Arc::new(ignored))),
            None => _ = all.remove(&step.id),
        }
    }

    /// The fields of a step that others may change.
    pub(super) fn ignored(&self, id: &StepId) -> Option<Arc<Ignored>> {
        let all = self.ignored.read().unwrap_or_else(PoisonError::into_inner);
        all.get(id).map(|(_, ignored)| Arc::clone(ignored))
    }

    /// In which fields of a kind foreign additions are removed.
    pub(super) fn strict(&self, resource: &Resource) -> Strict {
        Strict::of(self.options.strict.as_deref(), &resource.group, &resource.version, &resource.kind)
    }

    /// Remembers what a read or write showed of a CR of our own kinds.
    fn remember(&self, id: &StepId, object: &Value) {
        let Some(parts) = id.object_parts() else { return };
        if !self.options.own_kinds.contains(&(parts.group.to_owned(), parts.kind.to_owned())) {
            return;
        }
        let status = LiveStatus {
            uid: object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64),
            status: object.get("status").cloned(),
        };
        self.memory().insert(id.clone(), status);
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<StepId, LiveStatus>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
