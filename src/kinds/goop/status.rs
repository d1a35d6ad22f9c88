//! Status of a Goop: Initialized → Deployed → Completed, or Failed; Ready means Completed, or in
//! place if it goes by the clock.
//!
//! Pure. A Job's step is ready once the Job succeeded, and stays so when the finished Job vanishes (`once_done`).

use serde_json::Value;

use super::{GoopSpec, Mode};
use crate::kinds::status::{Board, Is};
use crate::kinds::{ChildState, StatusInput, schema};
use crate::plan::State;
use crate::sync::conditions::READY;

const INITIALIZED: &str = "Initialized";
const DEPLOYED: &str = "Deployed";
const COMPLETED: &str = "Completed";
const FAILED: &str = "Failed";
const SCHEDULED: &str = "Scheduled";
/// Reason of a step that was applied and then failed.
const UNHEALTHY: &str = "Unhealthy";

pub(super) fn status(input: &StatusInput<'_>) -> Option<Value> {
    let spec: GoopSpec = schema::spec(input.cr.manifest).ok()?;
    let way = Way::of(&spec);
    let wanted = match way {
        Way::Jobs => usize::try_from(spec.jobs()).unwrap_or_default(),
        Way::PerNode | Way::Schedule => 1,
    };
    let count = |wanted: &[State]| input.children.iter().filter(|child| wanted.contains(&child.state)).count();
    let succeeded = count(&[State::Ready]);
    let failed: Vec<&ChildState> =
        input.children.iter().filter(|child| matches!(child.state, State::Failed | State::Refused)).collect();
    // A Job that ran and failed is in place all the same; one that could not be created is not.
    let ran = input.children.iter().filter(|child| child.state == State::Failed && child.reason == UNHEALTHY).count();
    let deployed = count(&[State::Ready, State::Progressing]) + ran >= wanted;
    let unknown = count(&[State::Unknown]) > 0;
    let what = way.what(wanted);
    let progress = match (way, input.children.first()) {
        (Way::PerNode, Some(set)) if succeeded < wanted && !set.message.is_empty() => {
            format!("DaemonSet {}: {}.", input.cr.name, set.message.trim_end_matches('.'))
        }
        (Way::PerNode, _) if succeeded >= wanted => "Every node is done.".to_owned(),
        (Way::PerNode, _) => "Not every node is done.".to_owned(),
        (Way::Schedule, _) => "Runs come and go by the clock; the CronJob keeps the last of them.".to_owned(),
        (Way::Jobs, _) => format!("{succeeded} of {wanted} Jobs succeeded."),
    };

    let mut board = Board::new(input, &[INITIALIZED, DEPLOYED, COMPLETED, FAILED, READY]);
    board.set(INITIALIZED, Is::True, INITIALIZED, format!("The Goop is read; planned: {what}."));
    if deployed {
        board.set(DEPLOYED, Is::True, DEPLOYED, format!("In place: {what}."));
    } else if unknown {
        board.set(DEPLOYED, Is::Unknown, "Unknown", format!("Could not be read: {what}."));
    } else {
        board.set(DEPLOYED, Is::False, "Deploying", format!("Not all in place yet: {what}."));
    }
    let (ready, reason, message) = if let Some(message) = failures(&failed) {
        board.set(FAILED, Is::True, way.failed(), message.as_str());
        board.set(COMPLETED, Is::False, way.failed(), progress);
        (Is::False, way.failed(), message)
    } else {
        board.set(FAILED, Is::False, "NoneFailed", "");
        if succeeded >= wanted && way == Way::Schedule {
            // A schedule has no end, and is ready as soon as it is in place.
            board.set(COMPLETED, Is::False, SCHEDULED, progress.as_str());
            (Is::True, SCHEDULED, progress)
        } else if succeeded >= wanted {
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

/// What the work is done by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Jobs,
    PerNode,
    Schedule,
}

impl Way {
    fn of(spec: &GoopSpec) -> Self {
        match (&spec.schedule, spec.mode) {
            (Some(_), _) => Self::Schedule,
            (None, Mode::PerNode) => Self::PerNode,
            (None, Mode::Jobs) => Self::Jobs,
        }
    }

    fn what(self, jobs: usize) -> String {
        match (self, jobs) {
            (Self::Jobs, 1) => "1 Job".to_owned(),
            (Self::Jobs, jobs) => format!("{jobs} Jobs"),
            (Self::PerNode, _) => "a DaemonSet".to_owned(),
            (Self::Schedule, _) => "a CronJob".to_owned(),
        }
    }

    fn failed(self) -> &'static str {
        match self {
            Self::Jobs => "JobFailed",
            Self::PerNode | Self::Schedule => "NotApplied",
        }
    }
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
            let kind = child.id.object_parts().map_or("", |parts| parts.kind);
            format!("{kind} {name}: {}", if child.message.is_empty() { &child.reason } else { &child.message })
        })
        .collect();
    if failed.len() > SHOWN {
        parts.push(format!("and {} more", failed.len() - SHOWN));
    }
    Some(parts.join("; "))
}
