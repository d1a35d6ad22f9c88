//! The plan: every state that a revision wants, with a stable id, its edges and one digest.
//!
//! Pure; holds wanted *state*, never verbs, and never anything that was read from the world. Made by `expand`; read by
//! `diff`, `target` and `report`.

mod changed;
pub mod id;
pub mod ignore;
mod manifest;
mod needs;
pub mod order;
pub mod probe;
pub mod render;
pub mod secret;
pub mod stamp;
pub mod state;
pub mod step;
pub mod yaml;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use crate::canonical;
pub use changed::changed;
pub use id::StepId;
pub use manifest::Manifest;
pub use needs::Needs;
pub use stamp::stamp;
pub use state::State;
pub use step::{Origin, Policy, Step, Want};

use crate::revision::Revision;
use crate::text::Text;

/// All steps of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The revision that was expanded.
    pub revision: Revision,
    /// In topological order of `needs`, ties by id; ids are unique. What did not change from one plan to the next is one
    /// and the same step in both.
    pub steps: Vec<Arc<Step>>,
    /// sha-256 (hex) over the sorted (id, content hash) pairs. A plan without key counts secret values as `***`.
    pub digest: String,
    /// What this revision failed to say, and so must not be taken to have removed.
    pub held: Held,
}

/// What is protected from pruning because the revision does not say clearly what it wants there (design §4.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Files with an error: every inventory entry that came from one of them is kept.
    pub paths: BTreeSet<String>,
    /// Declared documents with an error whose identity is known: they and what they expanded to are kept.
    pub owners: BTreeSet<StepId>,
    /// Every path of the revision, so that an entry whose path vanished can be told from one that lost a document.
    /// While `paths` is not empty, entries whose path is not among these are kept too (a rename plus a syntax error).
    pub present: Arc<BTreeSet<Text>>,
    /// The revision declares nothing at all: nothing is pruned.
    pub empty: bool,
}

impl Plan {
    /// A plan that wants nothing, and says so clearly: everything owned may be deleted.
    #[must_use]
    pub fn empty() -> Self {
        let (revision, held) = (Revision::default(), Held::default());
        Self { revision, steps: Vec::new(), digest: canonical::digest([]), held }
    }

    /// The plan with the hashes of its Secrets keyed, and the digest that follows. An agent compares and writes only
    /// such a plan: without a key, two values of one Secret have the same hash.
    #[must_use]
    pub fn keyed(mut self, key: &canonical::HashKey) -> Self {
        for step in self.steps.iter_mut().filter(|step| step.want.holds_secret()) {
            let hash = step.content_hash(Some(key));
            Arc::make_mut(step).hash = hash;
        }
        self.digest = canonical::digest(self.steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
        self
    }

    /// Whether a step holds a secret value.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        self.steps.iter().any(|step| step.want.holds_secret())
    }

    /// Finds a step.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Arc<Step>> {
        self.steps.iter().find(|step| &step.id == id)
    }
}
