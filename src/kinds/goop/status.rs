//! Status of a Goop: Initialized → Deployed → Completed, or Failed; Ready means Completed.
//!
//! Pure. A Job's step is ready once the Job succeeded, and stays so when the finished Job vanishes (`once_done`).

use serde_json::Value;

use super::GoopSpec;
use crate::kinds::status::{Board, Is};
use crate::kinds::{ChildState, StatusInput, schema};
use crate::plan::State;
use crate::sync::conditions::READY;

const INITIALIZED: &str = "Initialized";
const DEPLOYED: &str = "Deployed";
const COMPLETED: &str = "Completed";
const FAILED: &str = "Failed";
/// Reason of a step that was applied and then failed.
const UNHEALTHY: &str = "Unhealthy";

pub(super) fn status(input: &StatusInput<'_>) -> Option<Value> {
    let spec: GoopSpec = schema::spec(input.cr.manifest).ok()?;
    let wanted = usize::try_from(spec.jobs()).unwrap_or_default();
    let count = |wanted: &[State]| input.children.iter().filter(|child| wanted.contains(&child.state)).count();
    let succeeded = count(&[State::Ready]);
    let failed: Vec<&ChildState> =
        input.children.iter().filter(|child| matches!(child.state, State::Failed | State::Refused)).collect();
    // A Job that ran and failed is in place all the same; one that could not be created is not.
    let ran = input.children.iter().filter(|child| child.state == State::Failed && child.reason == UNHEALTHY).count();
    let deployed = count(&[State::Ready, State::Progressing]) + ran >= wanted;
    let unknown = count(&[State::Unknown]) > 0;
    let progress = format!("{succeeded} of {wanted} Jobs succeeded.");

    let mut board = Board::new(input, &[INITIALIZED, DEPLOYED, COMPLETED, FAILED, READY]);
    board.set(INITIALIZED, Is::True, INITIALIZED, "The Goop is read and its Jobs are planned.");
    if deployed {
        board.set(DEPLOYED, Is::True, DEPLOYED, format!("{wanted} Jobs are in place."));
    } else if unknown {
        board.set(DEPLOYED, Is::Unknown, "Unknown", "The Jobs could not be read.");
    } else {
        board.set(DEPLOYED, Is::False, "Deploying", "Not all Jobs are in place yet.");
    }
    let (ready, reason, message) = if let Some(message) = failures(&failed) {
        board.set(FAILED, Is::True, "JobFailed", message.as_str());
        board.set(COMPLETED, Is::False, "JobFailed", progress);
        (Is::False, "JobFailed", message)
    } else {
        board.set(FAILED, Is::False, "NoneFailed", "");
        if succeeded >= wanted {
            board.set(COMPLETED, Is::True, COMPLETED, progress.as_str());
            (Is::True, COMPLETED, progress)
        } else if unknown {
            board.set(COMPLETED, Is::Unknown, "Unknown", progress.as_str());
            (Is::Unknown, "Unknown", progress)
        } else {
            board.set(COMPLETED, Is::False, "Running", progress.as_str());
            (Is::False, "Running", progress)
        }
    };
    board.set(READY, ready, reason, message);
    Some(board.finish())
}

/// The first failed Jobs with what is known of them; none if there are none.
fn failures(failed: &[&ChildState]) -> Option<String> {
    const SHOWN: usize = 3;
    if failed.is_empty() {
        return None;
    }
    let mut parts: Vec<String> = failed
        .iter()
        .take(SHOWN)
        .map(|child| {
            let name = child.id.object_parts().map_or(child.id.as_str(), |parts| parts.name);
            format!("Job {name}: {}", if child.message.is_empty() { &child.reason } else { &child.message })
        })
        .collect();
    if failed.len() > SHOWN {
        parts.push(format!("and {} more", failed.len() - SHOWN));
    }
    Some(parts.join("; "))
}
