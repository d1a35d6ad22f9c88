//! What keeps a pass from working, or from writing: another agent, other syncs, closed windows.
//!
//! Asks and says; the pass ends accordingly. Called by `pass` alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::bench::Bench;
use super::neighbours::Blocker;
use super::tenure::Away;
use crate::diff::{Diff, Op, Reason};
use crate::plan::{State, StepId};
use crate::revision::Revision;
use crate::sync::conditions::{READY, find, reasons};
use crate::target::execute::Outcome;

/// Why nothing is written although something is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Other syncs have to be ready first; in words, and whether a person has to act.
    Syncs(String, bool),
    /// No window is open; when the next one opens.
    Window(Option<Timestamp>),
}

impl<W> Bench<W> {
    /// Whether this agent works for the sync.
    pub(super) async fn enter(&self) -> Result<(), Away> {
        match &self.tenure {
            Some(tenure) => tenure.check().await,
            None => Ok(()),
        }
    }

    /// What keeps so many writes of a revision from being sent now.
    pub(super) fn hold(&self, revision: &Revision, writes: usize) -> Option<Hold> {
        let mut blockers = self.board.neighbours.hold(&self.key(), &revision.id);
        if writes == 0 {
            // With nothing to write it waits for nobody; what can never come right is told all the same.
            blockers.retain(Blocker::is_flaw);
        }
        if !blockers.is_empty() {
            return Some(self.waits_for(&blockers));
        }
        if writes == 0 {
            self.board.neighbours.free(&self.key());
            return None;
        }
        self.window().err().map(Hold::Window)
    }

    fn waits_for(&self, blockers: &[Blocker]) -> Hold {
        let view = self.board.view();
        let view = view.borrow();
        let words = |blocker: &Blocker| {
            let Blocker::NotReady((namespace, name)) = blocker else { return blocker.to_string() };
            let sync = view.syncs.iter().find(|sync| sync.namespace == *namespace && sync.name == *name);
            let ready = sync.and_then(|sync| find(&sync.conditions, READY)).filter(|ready| ready.status != "True");
            match ready {
                Some(ready) => format!("{blocker} ({})", ready.reason),
                None => blocker.to_string(),
            }
        };
        let text = blockers.iter().map(words).collect::<Vec<_>>().join("; ");
        let by_person = blockers.iter().any(Blocker::is_flaw);
        Hold::Syncs(text, by_person)
    }

    /// Cancels when `cancel` does, or when the window that is open now closes.
    pub(super) fn until_closing(&self, cancel: &CancellationToken) -> Closing {
        let token = cancel.child_token();
        let now = (self.clock)();
        let closes = super::timing::closes(&self.spec.windows, now);
        let timer = closes.map(|at| {
            let (token, pause) = (token.clone(), std::time::Duration::try_from(at.duration_since(now)));
            AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::time::sleep(pause.unwrap_or_default()).await;
                token.cancel();
            }))
        });
        Closing { token, cancel: cancel.clone(), _timer: timer }
    }
}

/// The end of a window, during a pass.
pub(super) struct Closing {
    pub(super) token: CancellationToken,
    cancel: CancellationToken,
    _timer: Option<AbortOnDropHandle<()>>,
}

impl Closing {
    /// Whether the window, and nothing else, has ended the pass.
    pub(super) fn has_come(&self) -> bool {
        self.token.is_cancelled() && !self.cancel.is_cancelled()
    }
}

impl Hold {
    /// Says of everything that is to be written that it waits, and for what.
    pub(super) fn tell(&self, diff: &Diff, outcomes: &mut BTreeMap<StepId, Outcome>) {
        let (reason, waits) = match self {
            Self::Syncs(text, _) => (reasons::DEPENDENCY_NOT_READY, text.as_str()),
            Self::Window(_) => (reasons::OUTSIDE_WINDOW, "no window is open"),
        };
        for (id, change) in diff.changes().iter().filter(|(_, change)| change.op.writes()) {
            let what = match change.op {
                Op::Create => "is to be created",
                Op::Delete => "is to be deleted",
                Op::Update(Reason::Drifted) => "was changed by somebody else and is to be put back",
                _ => "is to be updated",
            };
            let outcome = Outcome {
                state: State::Waiting,
                reason: reason.to_owned(),
                message: format!("{what}; {waits}"),
                waits_for: Vec::new(),
            };
            outcomes.insert(id.clone(), outcome);
        }
    }
}
