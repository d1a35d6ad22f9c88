//! The DTO of `status -o json` and `GET /api/v1/syncs`, byte for byte the same (design §5.2).
//!
//! Pure data. Made by `report::summary`; shown by `cli` and `dashboard`, which never compute a verdict of their own.

use serde::{Deserialize, Serialize};

use crate::plan::{Origin, State, StepId};
use crate::problem::Problem;
use crate::sync::conditions::Condition;
use crate::sync::status::Counts;

/// All syncs of one agent, sorted by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// One a sync.
    pub syncs: Vec<SyncView>,
}

/// One sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncView {
    /// Namespace of the GitSync.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the cluster; empty where there is none.
    pub cluster: String,
    /// The last attempted revision.
    pub revision: Option<crate::revision::Revision>,
    /// Ready, Reconciling, Stalled.
    pub conditions: Vec<Condition>,
    /// Steps by state.
    pub counts: Counts,
    /// All problems.
    pub problems: Vec<Problem>,
    /// All steps, in the plan's order.
    pub steps: Vec<StepView>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Step id.
    pub id: StepId,
    /// The declared document behind it.
    pub origin: Origin,
    /// Its state.
    pub state: State,
    /// CamelCase reason.
    pub reason: String,
    /// For people; may be empty when ready.
    pub message: String,
    /// RFC 3339: since when it is in this state.
    pub since: String,
    /// Steps that it waits for.
    pub waits_for: Vec<StepId>,
}
