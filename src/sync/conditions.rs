//! Conditions and their reasons: closed sets, one place.
//!
//! Pure data, shaped as metav1.Condition, so that `kubectl wait --for=condition=Ready` works.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything the sync wants is there and ready.
pub const READY: &str = "Ready";
/// A pass is under way or will follow by itself (kstatus).
pub const RECONCILING: &str = "Reconciling";
/// Nothing will change before somebody acts (kstatus).
pub const STALLED: &str = "Stalled";

/// Reasons of the conditions above.
pub mod reasons {
    /// All steps are ready.
    pub const SYNCED: &str = "Synced";
    /// A pass is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// Documents have errors; the rest is applied.
    pub const PROBLEMS: &str = "Problems";
    /// A step failed.
    pub const STEP_FAILED: &str = "StepFailed";
    /// A step was refused.
    pub const REFUSED: &str = "Refused";
    /// Steps were not ready within the timeout.
    pub const TIMED_OUT: &str = "TimedOut";
    /// The source could not be read; what was applied stays.
    pub const SOURCE_UNAVAILABLE: &str = "SourceUnavailable";
    /// The target could not be read or written.
    pub const TARGET_UNAVAILABLE: &str = "TargetUnavailable";
    /// The GitSync itself is not valid.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// `spec.suspend` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// No window is open.
    pub const OUTSIDE_WINDOW: &str = "OutsideWindow";
    /// A sync it depends on is not ready.
    pub const DEPENDENCY_NOT_READY: &str = "DependencyNotReady";
    /// Another agent holds the Lease of this sync.
    pub const HELD_BY_OTHER_AGENT: &str = "HeldByOtherAgent";
    /// The service account whose rights are to be used does not exist.
    pub const SERVICE_ACCOUNT_MISSING: &str = "ServiceAccountMissing";
    /// The agent may not act as the service account whose rights are to be used.
    pub const IMPERSONATION_DENIED: &str = "ImpersonationDenied";
    /// The inventory in the target belongs to another sync or source.
    pub const INVENTORY_MISMATCH: &str = "InventoryMismatch";
}

/// metav1.Condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// CamelCase type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase reason.
    pub reason: String,
    /// For people.
    pub message: String,
    /// RFC 3339; moves only when `status` moves.
    pub last_transition_time: String,
    /// Generation of the object that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Sets a condition by type, keeping its transition time while its status stays.
pub fn set(conditions: &mut Vec<Condition>, mut wanted: Condition) {
    match conditions.iter_mut().find(|condition| condition.kind == wanted.kind) {
        Some(found) => {
            if found.status == wanted.status {
                wanted.last_transition_time.clone_from(&found.last_transition_time);
            }
            *found = wanted;
        }
        None => conditions.push(wanted),
    }
}

/// Removes a condition by type.
pub fn unset(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.kind != kind);
}

/// Finds a condition by type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}
