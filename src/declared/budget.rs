//! How much one file may cost: values, and what its aliases expand to.
//!
//! Pure; knows no YAML crate. Called by `yaml`.

use super::nodes::{Fault, fault};
use super::places::Mark;
use crate::problem::Code;

/// Values in one file, before aliases are expanded.
const MAX_NODES: usize = 5_000_000;
/// Bytes that the aliases of one file may expand to, counting 32 for a value.
const MAX_ALIAS_BYTES: usize = 16 * 1024 * 1024;

/// What is left of a file's budget.
pub(super) struct Budget {
    nodes: usize,
    alias_bytes: usize,
}

impl Budget {
    /// Of a file of which nothing is read yet.
    pub(super) fn whole() -> Self {
        Self { nodes: MAX_NODES, alias_bytes: MAX_ALIAS_BYTES }
    }

    /// Counts one value.
    pub(super) fn count(&mut self, mark: Mark) -> Result<(), Fault> {
        let Some(left) = self.nodes.checked_sub(1) else {
            return Err(fault(Code::YamlBudget, mark, format!("the file holds more than {MAX_NODES} values")));
        };
        self.nodes = left;
        Ok(())
    }

    /// Counts what an anchor keeps and what an alias copies.
    pub(super) fn pay(&mut self, weight: usize, mark: Mark) -> Result<(), Fault> {
        let Some(left) = self.alias_bytes.checked_sub(weight) else {
            let limit = MAX_ALIAS_BYTES / 1024 / 1024;
            let message = format!("the file's aliases expand to more than {limit} MiB; write the values out");
            return Err(fault(Code::YamlBudget, mark, message));
        };
        self.alias_bytes = left;
        Ok(())
    }
}
