//! The comparison itself.
//!
//! Pure. Called by `agent` once a pass.

use super::{Diff, Observed};
use crate::inventory::Inventory;
use crate::plan::Plan;
use crate::sync::spec::Budget;

/// What the user allows beyond the default, handed in as values.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `spec.prune`.
    pub prune: bool,
    /// `spec.budget`.
    pub budget: Budget,
    /// Tokens from the commit trailer `Windlass-Acknowledge` and the annotation `windlass.dev/acknowledge`.
    pub acknowledged: Vec<String>,
    /// `spec.drift.mode` is `Report`: drift is named, not corrected.
    pub report_drift: bool,
}

/// Compares.
#[must_use]
pub fn diff(plan: &Plan, observed: &Observed, inventory: &Inventory, rules: &Rules) -> Diff {
    _ = (plan, observed, inventory, rules);
    Diff::default()
}
