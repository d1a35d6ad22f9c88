//! One of the targets, chosen at run time.
//!
//! Only passes calls on: the executor and the agent do not ask which one it is. Called by `agent`.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::dir::{self, Dir};
use super::kube::Kube;
use super::{Done, Failure, LiveStatus, Rung, Which, World};
use crate::canonical::HashKey;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId};

/// Where wanted states go.
pub enum Target {
    /// A Kubernetes cluster.
    Kube(Box<Kube>),
    /// A folder.
    Dir(Box<Dir>),
}

macro_rules! each {
    ($self:ident, $world:ident => $call:expr) => {
        match $self {
            Self::Kube($world) => $call,
            Self::Dir($world) => $call,
        }
    };
}

impl Target {
    /// Whether it is a Kubernetes cluster.
    #[must_use]
    pub fn is_kube(&self) -> bool {
        matches!(self, Self::Kube(_))
    }

    /// Rings the bell when files of a folder may have moved; none for a cluster. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// If the operating system refuses the watch.
    pub fn watch(&self, bell: mpsc::Sender<()>) -> Result<Option<dir::Watch>, Failure> {
        match self {
            // Rings by itself, through `World::ring`.
            Self::Kube(_) => Ok(None),
            Self::Dir(dir) => dir::watch(dir.root(), bell).map(Some),
        }
    }
}

impl World for Target {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        each!(self, world => world.load_inventory().await)
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        each!(self, world => world.store_inventory(inventory).await)
    }

    async fn release_inventory(&self) -> Result<(), Failure> {
        each!(self, world => World::release_inventory(world.as_ref()).await)
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        each!(self, world => world.observe(plan, inventory, which).await)
    }

    fn rung(&self) -> Rung {
        each!(self, world => World::rung(world.as_ref()))
    }

    async fn ring(&self) {
        each!(self, world => World::ring(world.as_ref()).await)
    }

    fn ails(&self) -> bool {
        each!(self, world => World::ails(world.as_ref()))
    }

    fn expect(&self, plan: &Plan) {
        each!(self, world => World::expect(world.as_ref(), plan))
    }

    fn retire(&self, inventory: &Inventory) {
        each!(self, world => World::retire(world.as_ref(), inventory))
    }

    async fn apply(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        each!(self, world => world.apply(step, change).await)
    }

    async fn delete(&self, id: &StepId, entry: &Entry, live: &Live) -> Result<(), Failure> {
        each!(self, world => world.delete(id, entry, live).await)
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        each!(self, world => world.settle(steps).await)
    }

    fn finishes(&self, step: &Step) -> bool {
        each!(self, world => world.finishes(step))
    }

    async fn admit(&self) -> Result<(), Failure> {
        each!(self, world => world.admit().await)
    }

    async fn scopes(&self) -> Result<BTreeMap<(String, String), bool>, Failure> {
        each!(self, world => World::scopes(world.as_ref()).await)
    }

    async fn hash_key(&self) -> Result<Option<HashKey>, Failure> {
        each!(self, world => world.hash_key().await)
    }

    async fn explain(&self, step: &Step) -> Option<String> {
        each!(self, world => world.explain(step).await)
    }

    fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        each!(self, world => World::statuses(world.as_ref()))
    }
}
