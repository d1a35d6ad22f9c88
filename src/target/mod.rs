//! Where wanted states go: a Kubernetes cluster, or a folder (the embedded default).
//!
//! IO. `observe` reads, `execute` writes what a [`crate::diff::Diff`] says and nothing else. Never decides what is
//! wanted. Called by `agent`.

pub mod any;
pub mod claims;
pub mod dir;
pub mod execute;
mod generate;
mod hash_key;
pub mod kube;
mod probe;
pub mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

pub use any::Target;

use crate::canonical::HashKey;
pub use crate::diff::Which;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId};

/// What an executor needs of a target. Enum dispatch at run time ([`Target`]); a trait so that a test can put a model
/// world under the real executor.
pub trait World: Send + Sync {
    /// Reads what is owned; none if nothing was ever stored.
    fn load_inventory(&self) -> impl Future<Output = Result<Option<Inventory>, Failure>> + Send;
    /// Stores what is owned; when it returns, a crash cannot lose it.
    fn store_inventory(&self, inventory: &Inventory) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Gives up the stored inventory, if that is more than an empty file: the sync is over. What it owned stays.
    fn release_inventory(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }
    /// Reads the world as far as plan and inventory are concerned, and only what is asked about.
    fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> impl Future<Output = Observed> + Send;
    /// Takes what may have moved since this was last asked. A world that does not watch says that all may have.
    fn rung(&self) -> Rung {
        Rung { all: true, ..Rung::default() }
    }
    /// Resolves once [`World::rung`] has something to say; never, in a world that does not watch. May be dropped at any
    /// time.
    fn ring(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
    /// Whether what is watched cannot be read at the moment: a pass then asks whether the world answers at all.
    fn ails(&self) -> bool {
        false
    }
    /// Told before the first write of a pass: what is new in the plan is watched from then on.
    fn expect(&self, _plan: &Plan) {}
    /// Told after deletions: what is owned no more need not be watched.
    fn retire(&self, _inventory: &Inventory) {}
    /// Makes one step so.
    fn apply(&self, step: &Step, change: &Change) -> impl Future<Output = Result<Done, Failure>> + Send;
    /// Deletes one thing, on the proofs of design §4.5; returns once its absence is confirmed.
    fn delete(&self, id: &StepId, entry: &Entry, live: &Live) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Waits until the readiness of any of these may have changed (or a bounded time has passed), then reads them all.
    /// May be dropped at any time.
    fn settle(&self, steps: &[&Step]) -> impl Future<Output = Vec<(StepId, Readiness)>> + Send;
    /// Whether the step is over for good once ready (a Job that succeeded): its content hash is then recorded in
    /// [`Entry::done`], and its absence is no difference any more.
    fn finishes(&self, _step: &Step) -> bool {
        false
    }
    /// Whether the sync may act here at all, asked at the beginning of every pass; without it nothing is read or written.
    fn admit(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        std::future::ready(Ok(()))
    }
    /// Whether each kind of the world is namespaced, by (group, kind); also the check that the world answers.
    fn scopes(&self) -> impl Future<Output = Result<BTreeMap<(String, String), bool>, Failure>> + Send {
        std::future::ready(Ok(BTreeMap::new()))
    }
    /// The key that the hashes of secret values take here (design §4.7); the same in every life of the agent. Asked for
    /// only where a plan holds a secret value. None: a world that stores no hashes.
    fn hash_key(&self) -> impl Future<Output = Result<Option<HashKey>, Failure>> + Send {
        std::future::ready(Ok(None))
    }
    /// Which fields of a step are not as they were applied, and who changed them, in one sentence; none if nothing can be
    /// said. One read of one object: asked only about what drifted and is not corrected.
    fn explain(&self, _step: &Step) -> impl Future<Output = Option<String>> + Send {
        std::future::ready(None)
    }
    /// What the CRs of our own kinds say of themselves, as the last read or write showed it.
    fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        BTreeMap::new()
    }
}

/// What may have moved in the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rung {
    /// Anything may have: watches are not there, or were interrupted.
    pub all: bool,
    /// These look different from what they were when last seen or written.
    pub moved: BTreeSet<StepId>,
    /// These are to be applied again although nothing visible moved (their CRD, or what admits them, changed).
    pub suspect: BTreeSet<StepId>,
}

impl Rung {
    /// Whether nothing moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.moved.is_empty() && self.suspect.is_empty()
    }

    /// Takes in another one.
    pub fn add(&mut self, other: Self) {
        self.all |= other.all;
        self.moved.extend(other.moved);
        self.suspect.extend(other.suspect);
    }
}

/// What carries a sync's label in a target, whatever the inventory says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Its own by every proof, as an inventory would record it.
    pub ours: BTreeMap<StepId, Entry>,
    /// Labelled, but not its own: why.
    pub others: BTreeMap<StepId, String>,
    /// Kinds that could not be listed: why.
    pub unread: Vec<String>,
}

/// What the repair of an inventory did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Entries that were added.
    pub added: usize,
    /// Entries in all, now.
    pub entries: usize,
}

/// What a CR in the world says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveStatus {
    /// `metadata.uid`, which an Event about it carries.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `status`.
    pub status: Option<serde_json::Value>,
}

/// What an apply did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// uid, for the inventory.
    pub uid: String,
    /// Fingerprint, for the inventory.
    pub fingerprint: Option<String>,
    /// Readiness as the answer shows it.
    pub readiness: Readiness,
    /// Whether the world changed by it (a no-op apply writes nothing).
    pub wrote: bool,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What follows from it.
    pub class: Class,
    /// CamelCase word for conditions, from a closed set.
    pub reason: &'static str,
    /// What was being done, to what, what is wrong, what to do next. Never a secret value.
    pub message: String,
    /// How long the other side asks to be left alone, if it said so.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure after which nobody asked for a pause.
    #[must_use]
    pub fn new(class: Class, reason: &'static str, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into(), retry_after: None }
    }
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Tried again with backoff.
    Retry,
    /// Waits for a new revision.
    Stalled,
    /// A right is missing: waits for a person.
    Denied,
    /// Skipped, blocking nothing: the step's CRD is missing.
    Skipped,
    /// A mistake of ours.
    Bug,
}
