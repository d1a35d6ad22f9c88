//! Status of a Memcached: that of its Deployment, in the conditions Available, Progressing, Degraded and Ready.
//!
//! Pure.

use serde_json::Value;

use crate::kinds::StatusInput;
use crate::kinds::status::{Board, Is};
use crate::plan::State;
use crate::sync::conditions::READY;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const DEGRADED: &str = "Degraded";

pub(super) fn status(input: &StatusInput<'_>) -> Option<Value> {
    let deployment = input.children.first()?;
    let (reason, message) = (deployment.reason.as_str(), deployment.message.as_str());
    let mut board = Board::new(input, &[AVAILABLE, PROGRESSING, DEGRADED, READY]);
    match deployment.state {
        State::Ready => {
            let message = format!("All processes of Deployment {} are ready.", input.cr.name);
            board.set(AVAILABLE, Is::True, "DeploymentReady", message.as_str());
            board.set(PROGRESSING, Is::False, "DeploymentReady", "");
            board.set(DEGRADED, Is::False, "DeploymentReady", "");
            board.set(READY, Is::True, "DeploymentReady", message);
        }
        State::Waiting | State::Progressing | State::Pending | State::Skipped => {
            board.set(AVAILABLE, Is::False, reason, message);
            board.set(PROGRESSING, Is::True, reason, message);
            board.set(DEGRADED, Is::False, reason, "");
            board.set(READY, Is::False, reason, message);
        }
        State::Failed | State::Refused => {
            board.set(AVAILABLE, Is::False, reason, message);
            board.set(PROGRESSING, Is::False, reason, "");
            board.set(DEGRADED, Is::True, reason, message);
            board.set(READY, Is::False, reason, message);
        }
        State::Unknown => {
            for kind in [AVAILABLE, PROGRESSING, DEGRADED, READY] {
                board.set(kind, Is::Unknown, reason, message);
            }
        }
    }
    Some(board.finish())
}
