//! The state of a step, in one word.
//!
//! Pure data. Set by `target` and `report`; shown by everything that shows steps.

use serde::{Deserialize, Serialize};

/// State of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// As wanted and usable.
    Ready,
    /// Waits for other steps.
    Waiting,
    /// Applied, on its way.
    Progressing,
    /// Could not be applied, or will not become ready by itself.
    Failed,
    /// Not touched, for a reason that a person has to resolve.
    Refused,
    /// Nothing to do here (its CRD is missing, say).
    Skipped,
    /// Nothing to send it to yet: no server is configured.
    Pending,
    /// The world could not be read.
    Unknown,
}
