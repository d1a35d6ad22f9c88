//! The DTO of `status -o json` and `GET /api/v1/syncs`, byte for byte the same (design §5.2).
//!
//! Pure data. Made by `report::summary`; shown by `cli` and `dashboard`, which never compute a verdict of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use super::steps::{Iter, Steps};
use crate::plan::{Origin, State, StepId};
use crate::problem::Problem;
use crate::revision::Revision;
use crate::sync::conditions::Condition;
use crate::sync::status::{Counts, HistoryRow};

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
    /// Id of the last attempted revision.
    pub revision: Option<String>,
    /// Ready, Reconciling, Stalled.
    pub conditions: Vec<Condition>,
    /// Steps by state.
    pub counts: Counts,
    /// All problems.
    pub problems: Vec<Problem>,
    /// All steps, in the plan's order.
    pub steps: Steps,
    /// For the dashboard only, not part of the contract.
    #[serde(skip)]
    pub details: Details,
}

/// What the dashboard shows beyond the contract.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The last attempted revision with author, subject and time.
    pub commit: Option<Revision>,
    /// The source's URL without credentials.
    pub source: String,
    /// What is followed, as in `main` or `>=1.0`; empty for the remote's HEAD.
    pub following: String,
    /// RFC 3339: when the source was last read.
    pub fetched_at: Option<String>,
    /// The last passes that changed something, newest first.
    pub history: Vec<HistoryRow>,
    /// Unchanged steps of the last pass, and how long it took in milliseconds.
    pub last_pass: Option<(u32, u64)>,
    /// Deletions that were refused and wait for an acknowledgement.
    pub refused_deletes: u32,
    /// Another agent works for it.
    pub elsewhere: bool,
    /// Objects that are left alone for a while, because somebody else changes them back each time.
    pub fights: u32,
    /// The plan's edges, for the order graph: each step that needs others, with what it needs.
    pub needs: Arc<BTreeMap<StepId, Vec<StepId>>>,
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

/// The bytes of `status -o json` and of `GET /api/v1/syncs`: indented, with a final newline.
#[must_use]
pub fn to_json(view: &View) -> String {
    // Only maps with keys that are not strings can fail, and there is none.
    let mut text = serde_json::to_string_pretty(view).unwrap_or_default();
    text.push('\n');
    text
}
