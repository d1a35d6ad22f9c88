//! A Kubernetes cluster as target: server-side apply, inventory in ConfigMaps, prune by proofs (design §4.3–§4.5).
//!
//! IO. Writes only what a [`crate::diff::Diff`] says, the inventory, our own CRDs, statuses and Events. Never decides what is
//! wanted, and never trusts its own memory of the cluster for a delete. Called by `agent` through [`World`].
//!
//! ```text
//! wire ─ one request, one answer          answers ─ answer → class, reason, message (pure)
//! discovery ─ kinds                       normalise, leftovers, managed, kstatus ─ pure
//! observe → apply, remove, settle         store ─ the inventory        crds, status, hash_key ─ what is written beside
//! ```

mod adopt;
mod answers;
mod apply;
pub mod connect;
mod crds;
mod discovery;
mod hash_key;
mod kstatus;
mod leftovers;
mod managed;
mod normalise;
mod observe;
mod remove;
mod settle;
mod status;
mod store;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use crds::{CrdState, ensure_crds};
pub use discovery::Scopes;
pub(crate) use hash_key::{LABEL as HASH_KEY_LABEL, NAME as HASH_KEY};
pub use status::{EventNote, ObjectName, Reports, Severity};
pub(crate) use store::LABEL as INVENTORY_LABEL;

use super::{Done, Failure, LiveStatus, Which, World};
use crate::canonical::HashKey;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId};
use crate::sync::spec::Adoption;
use discovery::{Discovery, Resource};
use wire::Wire;

/// What a cluster target has to know of its sync.
#[derive(Clone, Debug)]
pub struct Options {
    /// Id of the sync ([`crate::sync::id`]).
    pub sync_id: String,
    /// Value of the part-of label ([`crate::sync::part_of`]).
    pub part_of: String,
    /// Field manager ([`crate::sync::field_manager`]).
    pub manager: String,
    /// Namespace of the GitSync, in which the inventory lies.
    pub namespace: String,
    /// Name of the GitSync.
    pub name: String,
    /// The source's URL without credentials; an inventory of another one is refused.
    pub source_url: String,
    /// What happens to objects that exist already.
    pub adoption: Adoption,
    /// Acts even on a CR of our own kinds that another controller acts on.
    pub take_over: bool,
    /// (group, kind) of our own kinds: their CRs are ready once applied, since their Ready condition is our own output.
    pub own_kinds: BTreeSet<(String, String)>,
    /// How long one deletion is waited for. Default: 60 s.
    pub delete_wait: Duration,
}

impl Options {
    /// The options of a sync, with defaults for the rest.
    #[must_use]
    pub fn new(namespace: &str, name: &str, source_url: &str) -> Self {
        let sync_id = crate::sync::id(namespace, name);
        Self {
            part_of: crate::sync::part_of(namespace, name),
            manager: crate::sync::field_manager(&sync_id),
            sync_id,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source_url: source_url.to_owned(),
            adoption: Adoption::default(),
            take_over: false,
            own_kinds: BTreeSet::new(),
            delete_wait: Duration::from_secs(60),
        }
    }
}

/// A cluster, for one sync.
pub struct Kube {
    wire: Wire,
    options: Options,
    discovery: Discovery,
    /// What the last reads and writes showed of objects beyond [`Live`].
    memory: Mutex<BTreeMap<StepId, Memory>>,
    watches: settle::Watches,
    stored: tokio::sync::Mutex<store::Stored>,
    hash_key: tokio::sync::Mutex<Option<HashKey>>,
}

/// What is remembered of an object between its read and its write, and for its status.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Our paths, if other managers hold fields too (only then a removal may fail to remove).
    shared: Option<managed::Paths>,
    /// Generation and status, of CRs of our own kinds.
    status: Option<LiveStatus>,
}

impl Kube {
    /// Over a client; asks nothing yet.
    #[must_use]
    pub fn new(client: kube::Client, options: Options) -> Self {
        let wire = Wire::new(client);
        Self {
            discovery: Discovery::new(wire.clone()),
            wire,
            options,
            memory: Mutex::default(),
            watches: settle::Watches::default(),
            stored: tokio::sync::Mutex::default(),
            hash_key: tokio::sync::Mutex::default(),
        }
    }

    /// Whether each kind of the cluster is namespaced, read now; also the check that the cluster answers.
    ///
    /// # Errors
    /// If the cluster does not answer or is too old.
    pub async fn scopes(&self) -> Result<Scopes, Failure> {
        self.discovery.scopes().await.map_err(|refused| {
            let mut failure = Failure::new(
                super::Class::Retry,
                "ClusterUnreachable",
                format!("reading the kinds of the cluster: {}", refused.message),
            );
            if matches!(refused.code, 401 | 403) {
                failure.class = super::Class::Denied;
            }
            failure
        })
    }

    /// Generation and status of every CR of our own kinds, as the last read or write showed them.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.iter().filter_map(|(id, it)| Some((id.clone(), it.status.clone()?))).collect()
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
        let mut all = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.shared.is_none() && memory.status.is_none() {
            all.remove(id);
        } else {
            all.insert(id.clone(), memory);
        }
    }

    fn is_own_kind(&self, resource: &Resource) -> bool {
        self.options.own_kinds.contains(&(resource.group.clone(), resource.kind.clone()))
    }
}

impl World for Kube {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        self.load().await
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        self.store(inventory).await
    }

    async fn release_inventory(&self) -> Result<(), Failure> {
        Self::release_inventory(self).await
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        self.look(plan, inventory, which).await
    }

    async fn apply(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        self.make_so(step, change).await
    }

    async fn delete(&self, id: &StepId, entry: &Entry, live: &Live) -> Result<(), Failure> {
        self.remove(id, entry, live).await
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        self.watch(steps).await
    }

    fn finishes(&self, step: &Step) -> bool {
        step.id.object_parts().is_some_and(|parts| parts.group == "batch" && parts.kind == "Job")
    }

    async fn scopes(&self) -> Result<Scopes, Failure> {
        Self::scopes(self).await
    }

    async fn hash_key(&self) -> Result<Option<HashKey>, Failure> {
        self.key().await.map(Some)
    }

    fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        Self::statuses(self)
    }
}
