//! The executor: makes a diff so, in the order of the plan's edges.
//!
//! IO through [`World`] only. Stores the union inventory before the first write; starts a step when its own
//! predecessors are ready; never writes what is not in the diff.

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

/// Executes. `progress` is called whenever a step's outcome changes.
pub async fn execute<W: World>(
    world: &W,
    plan: &Plan,
    diff: &Diff,
    inventory: Inventory,
    limits: &Limits,
    progress: impl Fn(&StepId, &Outcome) + Send + Sync,
) -> Applied {
    _ = (world, plan, diff, limits, progress);
    Applied { inventory, ..Applied::default() }
}
