//! `GitSync.status` (design §5.1): small and bounded, whatever the size of the repository.
//!
//! Pure data. Made by `report::summary` only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;

/// What is known of a sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GitSyncStatus {
    /// Generation of the GitSync that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled: one per type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What was fetched last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// Revision of the last pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempted_revision: Option<String>,
    /// Revision of the last pass whose steps were all ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_applied_revision: Option<String>,
    /// Digest of the last plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// Steps by state.
    pub counts: Counts,
    /// The first 20 problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemStatus>,
    /// The last 10 passes that changed something, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryRow>,
    /// Value of the annotation `windlass.dev/requested-at` that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_request: Option<String>,
}

/// What was fetched last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Revision.
    pub revision: String,
    /// RFC 3339.
    pub fetched_at: String,
}

/// Steps by state. `steps` is their sum, without `pruned`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// All.
    pub steps: u32,
    /// Ready.
    pub ready: u32,
    /// Waiting for other steps.
    pub waiting: u32,
    /// Applied, not ready yet; also those whose state is not known.
    pub progressing: u32,
    /// Failed.
    pub failed: u32,
    /// Refused.
    pub refused: u32,
    /// Pending or skipped: nothing to send them to.
    pub pending: u32,
    /// Deleted by the last pass.
    pub pruned: u32,
}

/// A problem as a status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProblemStatus {
    /// Stable name.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// File.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Document, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<u32>,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// For people.
    pub message: String,
}

impl From<&crate::problem::Problem> for ProblemStatus {
    fn from(problem: &crate::problem::Problem) -> Self {
        Self {
            code: problem.code.as_str().to_owned(),
            severity: match problem.severity {
                crate::problem::Severity::Error => "error".to_owned(),
                crate::problem::Severity::Warning => "warning".to_owned(),
            },
            file: problem.file.clone(),
            document: problem.document,
            line: problem.line,
            column: problem.column,
            pointer: problem.pointer.clone(),
            message: problem.message.clone(),
        }
    }
}

/// One pass that changed something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HistoryRow {
    /// Revision.
    pub revision: String,
    /// First line of the commit message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// RFC 3339.
    pub at: String,
    /// Milliseconds from the start of the pass to its end.
    pub duration_ms: u64,
    /// `Ready`, or the reason it was not.
    pub outcome: String,
    /// Objects created or updated.
    pub applied: u32,
    /// Objects deleted.
    pub pruned: u32,
}
