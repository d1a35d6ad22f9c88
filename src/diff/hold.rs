//! Fewer replicas than there are: held where the family says that they would take data along (design §6).
//!
//! Pure. An expansion does not know the live number, so what is held follows from the step and from what was seen of it:
//! the number that is there stays, everything else is as wanted. Called by `compare`, by the executor (which tells it as
//! the step's state) and by the target (which applies it).

use serde_json::Value;

use super::Live;
use crate::plan::{Step, Want};
use crate::sync::ALLOW_SCALE_DOWN;

/// What is applied instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// The step with the number of replicas that is there, and the content hash that follows.
    pub step: Step,
    /// For people: what is held, why, and what releases it.
    pub message: String,
}

/// What is held of a step; none if nothing is.
#[must_use]
pub fn held(step: &Step, live: &Live) -> Option<Hold> {
    held_at(step, live.replicas?)
}

/// As [`held`], for a number of replicas that was read.
#[must_use]
pub fn held_at(step: &Step, there: i64) -> Option<Hold> {
    // Where somebody else may scale, the number that is there stays anyway.
    if !step.policy.hold_scale_down || step.policy.ignored.iter().any(|pointer| pointer == "/spec/replicas") {
        return None;
    }
    let mut manifest = step.want.object()?.value();
    let replicas = manifest.pointer_mut("/spec/replicas")?;
    let wanted = replicas.as_i64()?;
    if there <= wanted {
        return None;
    }
    *replicas = Value::from(there);
    let origin = &step.origin;
    let namespace = origin.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let message = format!(
        "it keeps its {there} replicas: the revision wants {wanted}, and what the others hold is not moved by anybody. \
         When nothing of it is needed any more, put the annotation {ALLOW_SCALE_DOWN}: \"true\" on {} {namespace}{} ({})",
        origin.kind, origin.name, origin.path
    );
    let want = Want::Object(manifest.into());
    let mut step = Step { want, ..step.clone() };
    step.hash = step.content_hash(None);
    Some(Hold { step, message })
}
