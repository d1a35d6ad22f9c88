//! The difference between a plan and the world, as operations; the only maker of a [`Diff`].
//!
//! Pure: (plan, observed, inventory) → diff. A failed read is `Unknown` and never leads to a create or delete. Only a
//! `Diff` can be executed (by `target`), so what a preview shows is what an apply does: there is no dry-run flag.

pub mod compare;
pub mod guard;
pub mod hold;
pub mod render;
pub mod seen;

use std::collections::BTreeMap;

pub use compare::{Rules, diff};
pub use seen::{Live, Observed, Seen, Which};

use crate::plan::StepId;

/// What is to be done. Its field is private: only [`diff()`] makes one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    changes: BTreeMap<StepId, Change>,
}

/// One operation with what it was decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The operation.
    pub op: Op,
    /// What was seen when it was decided; its uid and resourceVersion are preconditions of a delete.
    pub seen: Seen,
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// It is not there.
    Create,
    /// It is there and differs.
    Update(Reason),
    /// It is there, is ours and is not wanted any more.
    Delete,
    /// It is gone already, or was never made: only the inventory entry goes.
    Forget,
    /// It is as wanted.
    Keep,
    /// It is not touched.
    Refuse(Refusal),
}

/// Why an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The revision wants something else than was applied.
    Changed,
    /// The world moved away from what was applied.
    Drifted,
    /// Somebody added fields where additions are removed (`spec.strict`).
    Added,
    /// The inventory does not know it yet (a pass was cut short), or it was adopted.
    Unrecorded,
    /// Nothing visible moved; it is applied again to make sure (the sweep, or what may have changed it unseen).
    Verify,
}

/// Why nothing is done. `reason` is a CamelCase word for conditions, `message` a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Closed set: see `guard`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Diff {
    /// Every change by step, including what is kept.
    #[must_use]
    pub fn changes(&self) -> &BTreeMap<StepId, Change> {
        &self.changes
    }

    /// Whether anything would be written to the world (an inventory-only `Forget` is not).
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.changes.values().all(|change| !change.op.writes())
    }
}

impl Op {
    /// Whether the operation sends a write to the world.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(self, Self::Create | Self::Update(_) | Self::Delete)
    }
}

#[cfg(test)]
mod tests;
