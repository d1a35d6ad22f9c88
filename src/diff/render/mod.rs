//! A difference made fit to be read: what happens to each step, field by field, and the same as text, Markdown and JSON.
//!
//! Pure. Shows a change of a secret value as a change and never the value: whatever leaves this room is masked. Decides
//! nothing: the operations are those of a [`Diff`](super::Diff). Called by `cli`, and by whatever previews a change.

pub mod compare;
pub mod fields;
pub mod json;
pub mod keys;
pub mod markdown;
pub mod text;
pub mod words;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use compare::{Input, between, compare};
pub use fields::FieldChange;
pub use json::json;
pub use markdown::markdown;
pub use text::{Line, Tone, text};

use crate::plan::{Origin, StepId};
use crate::problem::{Problem, Severity};

/// Everything that would happen, worst first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What is compared from, for people: a short revision, or where the live objects are.
    pub from: String,
    /// What is compared to, for people.
    pub to: String,
    /// Worst first, then by step id.
    pub entries: Vec<Entry>,
    /// Steps that stay as they are.
    pub same: usize,
    /// What is wrong with the documents that were compared to, errors first.
    pub problems: Vec<Problem>,
    /// The change digest: sha-256 (hex) over the sorted (step id, hash before, hash after) of everything that would be
    /// written, a line each; `-` stands for no object.
    pub digest: String,
}

/// One step that does not stay as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Step id.
    pub id: StepId,
    /// What happens to it.
    pub what: What,
    /// The declared document behind it; of the old side for what is deleted.
    pub origin: Origin,
    /// The CR step that it comes from.
    pub owner: Option<StepId>,
    /// Changed fields; none for what is created or deleted.
    pub fields: Vec<FieldChange>,
    /// The whole of what is created or deleted, masked.
    pub whole: Option<Value>,
    /// CamelCase reason, from the closed sets of `diff`.
    pub reason: &'static str,
    /// For people: why it is refused, what to do, what could not be told.
    pub note: Option<String>,
    /// Content hash before; none if it was not there.
    pub before: Option<String>,
    /// Content hash after; none if it is deleted.
    pub after: Option<String>,
}

/// What happens to a step. The order is that in which it is shown: worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It is deleted.
    Delete,
    /// It is deleted and made again.
    Recreate,
    /// It is tried and will fail: the server said so when asked.
    Fail,
    /// It is not touched; somebody has to act.
    Refuse,
    /// It is changed in place.
    Update,
    /// It exists, is nobody's, and becomes this sync's.
    Adopt,
    /// It is made.
    Create,
    /// It left the repository and stays in the world because the user keeps it.
    Leave,
}

impl What {
    /// Every kind of change, worst first.
    pub const ALL: &'static [Self] =
        &[Self::Delete, Self::Recreate, Self::Fail, Self::Refuse, Self::Update, Self::Adopt, Self::Create, Self::Leave];

    /// Whether something is written to the world, or tried to be.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Refuse | Self::Leave)
    }
}

impl Comparison {
    /// How many steps come out so.
    #[must_use]
    pub fn count(&self, what: What) -> usize {
        self.entries.iter().filter(|entry| entry.what == what).count()
    }

    /// Nothing would be written, nothing waits for a person, and no document has an error.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let quiet = self.entries.iter().all(|entry| entry.what == What::Leave);
        quiet && !self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}
