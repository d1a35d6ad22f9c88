//! The executor: makes a diff so, in the order of the plan's edges.
//!
//! IO through [`World`] only. Stores the union inventory before the first write; starts a step when its own
//! predecessors are ready; never writes what is not in the diff.

mod begin;
mod prune;
mod retry;
mod run;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::World;
use crate::diff::Diff;
use crate::inventory::Inventory;
use crate::plan::{Plan, State, StepId};

/// Limits of one execution.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `spec.timeout`: how long steps may take to become ready.
    pub timeout: Duration,
    /// Writes in flight at once.
    pub concurrency: usize,
    /// Ends the execution between steps.
    pub cancel: CancellationToken,
}

/// How one step came out, or stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// State.
    pub state: State,
    /// CamelCase reason.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Steps that it waits for.
    pub waits_for: Vec<StepId>,
}

/// What an execution did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Every step of the plan, and every removed one that is not gone.
    pub steps: BTreeMap<StepId, Outcome>,
    /// What was deleted, absence confirmed.
    pub pruned: Vec<StepId>,
    /// Objects written (creates and updates).
    pub applied: u32,
    /// The inventory as stored at the end.
    pub inventory: Inventory,
    /// The inventory could not be stored: nothing was written after that.
    pub failure: Option<super::Failure>,
    /// Cancelled before its end.
    pub cancelled: bool,
}

/// Why a step stands where it stands, beside the reasons of refusals and failures: a closed set.
pub mod reasons {
    /// As wanted and usable.
    pub const READY: &str = "Ready";
    /// A Job or one-shot that is over for good.
    pub const COMPLETED: &str = "Completed";
    /// Being written.
    pub const APPLYING: &str = "Applying";
    /// Applied, on its way.
    pub const PROGRESSING: &str = "Progressing";
    /// Not ready within the timeout.
    pub const TIMED_OUT: &str = "TimedOut";
    /// Will not become ready by itself.
    pub const UNHEALTHY: &str = "Unhealthy";
    /// Waits for other steps.
    pub const WAITING: &str = "DependencyNotReady";
    /// Nothing is configured that it could be sent to.
    pub const NO_SERVER: &str = "NoServer";
    /// Being deleted.
    pub const DELETING: &str = "Deleting";
    /// Left the repository and is kept, as `spec.prune` or `windlass.dev/prune` says.
    pub const PRUNE_DISABLED: &str = "PruneDisabled";
    /// What may replace a removed thing could not be applied, so that the removed one stays.
    pub const REPLACEMENT_MISSING: &str = "ReplacementNotApplied";
    /// The pass was stopped first.
    pub const CANCELLED: &str = "Cancelled";
    /// The inventory could not be stored, and nothing is written without it.
    pub const NOT_STORED: &str = "InventoryNotStored";
}

impl Outcome {
    pub(crate) fn new(state: State, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { state, reason: reason.into(), message: message.into(), waits_for: Vec::new() }
    }
}

/// Executes. `progress` is called whenever a step's outcome changes.
///
/// Order of the writes: the union inventory (if an entry is new); creates and updates, each once its predecessors are
/// ready; the intent to delete; deletes, in reverse order of the stored needs; what was learned, in one inventory
/// write. Each but the creates, updates and deletes is left out where it would change nothing.
pub async fn execute<W: World>(
    world: &W,
    plan: &Plan,
    diff: &Diff,
    inventory: Inventory,
    limits: &Limits,
    progress: impl Fn(&StepId, &Outcome) + Send + Sync,
) -> Applied {
    run::Run::new(world, plan, diff, inventory, limits, &progress).execute().await
}
