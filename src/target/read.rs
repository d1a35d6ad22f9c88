//! A target that can only be looked at: for previews, and for every command that must not change anything.
//!
//! IO, reads only. Not a [`World`](super::World): what takes a world cannot be given one of these. Called by `cli`.

use std::collections::BTreeMap;

use super::{Failure, dir, kube};
use crate::canonical::HashKey;
use crate::diff::render::compare::Pair;
use crate::diff::{Diff, Observed};
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};

/// One of the targets, to be looked at.
pub enum Reader {
    /// A Kubernetes cluster.
    Kube(Box<kube::Reader>),
    /// A folder.
    Dir(Box<dir::Reader>),
}

macro_rules! each {
    ($self:ident, $reader:ident => $call:expr) => {
        match $self {
            Self::Kube($reader) => $call,
            Self::Dir($reader) => $call,
        }
    };
}

impl Reader {
    /// Whether each kind is namespaced, by (group, kind); also the check that the target answers.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn scopes(&self) -> Result<BTreeMap<(String, String), bool>, Failure> {
        match self {
            Self::Kube(kube) => kube.scopes().await,
            Self::Dir(_) => Ok(BTreeMap::new()),
        }
    }

    /// What is owned; none if nothing was ever stored.
    ///
    /// # Errors
    /// If it cannot be read, or is another sync's or source's.
    pub async fn inventory(&self) -> Result<Option<Inventory>, Failure> {
        each!(self, reader => reader.inventory().await)
    }

    /// The key for hashes of Secrets, if there is one and it may be read.
    pub async fn hash_key(&self) -> Option<HashKey> {
        each!(self, reader => reader.hash_key().await)
    }

    /// Reads the target as far as plan and inventory are concerned.
    pub async fn observe(&self, plan: &Plan, inventory: &Inventory) -> Observed {
        each!(self, reader => reader.observe(plan, inventory).await)
    }

    /// The objects behind the changes of a diff, before and after. They are not masked: show a
    /// [`Comparison`](crate::diff::render::Comparison) of them only.
    pub async fn pairs(&self, plan: &Plan, diff: &Diff) -> BTreeMap<StepId, Pair> {
        each!(self, reader => reader.pairs(plan, diff).await)
    }
}
