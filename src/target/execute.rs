//! The executor: makes a diff so, in the order of the plan's edges.
//!
//! IO through [`World`] only. Stores the union inventory before the first write; starts a step when its own
//! predecessors are ready; never writes what is not in the diff. A diff may be about a part of the plan: of the rest,
//! only what stands in the way of that part is asked for.

mod answer;
mod begin;
mod open;
mod pace;
mod prune;
mod retry;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use pace::Pace;

use super::{Class, World};
use crate::diff::Diff;
use crate::inventory::Inventory;
use crate::plan::{Plan, State, StepId};

/// Limits of one execution.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `spec.timeout`: how long a step may take to become ready, from when it began to.
    pub timeout: Duration,
    /// Writes in flight at once, at most.
    pub concurrency: usize,
    /// Ends the execution between steps.
    pub cancel: CancellationToken,
}

/// What earlier executions left, and what may cut this one short.
#[derive(Clone, Copy)]
pub struct Before<'a> {
    /// How a step stands that is not over, whether or not it is in this diff; none for those that are.
    pub open: &'a (dyn Fn(&StepId) -> Option<Standing> + Send + Sync),
    /// The pace of the writes.
    pub pace: &'a Pace,
    /// What can be written is written, but nothing is waited for any more: something newer is to be done.
    pub hurry: &'a CancellationToken,
    /// Waits end when the world rings.
    pub rings: bool,
}

/// How a step stands that is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether dependants may start all the same.
    pub met: bool,
    /// Since when it is becoming ready.
    pub since: Option<Instant>,
}

/// What is left of a step that is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// For those that come after it.
    pub standing: Standing,
    /// What follows from the failure, if it was one.
    pub class: Option<Class>,
    /// How long the other side asks to be left alone.
    pub retry_after: Option<Duration>,
    /// It was not come to, or waits for others: it is part of whatever is done next.
    pub soon: bool,
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
    /// Every step that the diff is about, and every removed one that is not gone.
    pub steps: BTreeMap<StepId, Outcome>,
    /// Those of them that are not over.
    pub open: BTreeMap<StepId, Left>,
    /// What was deleted, absence confirmed.
    pub pruned: Vec<StepId>,
    /// Objects written (creates and updates).
    pub applied: u32,
    /// Steps that were applied again only to make sure.
    pub verified: u32,
    /// Those of them that were not as they seemed.
    pub moved: BTreeSet<StepId>,
    /// The inventory as it is at the end; as it is stored, if there is no failure.
    pub inventory: Inventory,
    /// The inventory could not be stored: nothing was written after that.
    pub failure: Option<super::Failure>,
    /// Cancelled before its end.
    pub cancelled: bool,
    /// Its waits were cut short: something else is to be done first.
    pub cut_short: bool,
}

/// Why a step stands where it stands, beside the reasons of refusals and failures: a closed set.
pub mod reasons {
    /// As wanted and usable.
    pub const READY: &str = "Ready";
    /// As wanted and usable; somebody has set more fields by hand.
    pub const ADDITIONS: &str = "ForeignFields";
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
    /// Volume claims are there whose data is of no use without the thing: it is kept, and not made with other values.
    pub const CLAIMS_REMAIN: &str = "ClaimsRemain";
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

/// Executes a whole diff, with nothing left from before and nothing that comes between.
pub async fn execute<W: World>(
    world: &W,
    plan: &Plan,
    diff: &Diff,
    inventory: Inventory,
    limits: &Limits,
    progress: impl Fn(&StepId, &Outcome) + Send + Sync,
) -> Applied {
    let (pace, hurry) = (Arc::new(Pace::default()), CancellationToken::new());
    let before = Before { open: &|_| None, pace: &pace, hurry: &hurry, rings: false };
    execute_part(world, plan, diff, inventory, limits, before, progress).await
}

/// Executes. `progress` is called whenever a step's outcome changes. Waits for readiness, but no longer than until the
/// world rings or somebody is in a hurry.
///
/// Order of the writes: the union inventory (if an entry is new); creates and updates, each once its predecessors are
/// ready; the intent to delete; deletes, in reverse order of the stored needs; what was learned, in one inventory
/// write. Each but the creates, updates and deletes is left out where it would change nothing.
pub async fn execute_part<W: World>(
    world: &W,
    plan: &Plan,
    diff: &Diff,
    inventory: Inventory,
    limits: &Limits,
    before: Before<'_>,
    progress: impl Fn(&StepId, &Outcome) + Send + Sync,
) -> Applied {
    run::Run::new(world, plan, diff, inventory, limits, before, &progress).execute().await
}
