//! What an execution leaves open, for the ones that come after it.
//!
//! No IO. Called by `run` at its end.

use std::collections::BTreeMap;

use super::run::{Phase, Run};
use super::{Left, Outcome, Standing, reasons};
use crate::diff::Op;
use crate::diff::guard::reasons as refusals;
use crate::plan::{State, StepId};
use crate::target::{Class, World};

impl<W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'_, W, P> {
    /// Everything that is not over.
    pub(super) fn open(&self) -> BTreeMap<StepId, Left> {
        let told = self.applied.steps.iter();
        let mut open: BTreeMap<StepId, Left> =
            told.filter_map(|(id, outcome)| Some((id.clone(), self.left(id, outcome)?))).collect();
        if self.pruned && !self.limits.cancel.is_cancelled() && self.applied.failure.is_none() {
            return open;
        }
        // Deletions that were not come to.
        let unwanted = self.diff.changes().iter().filter(|(id, _)| !self.numbers.contains_key(id));
        for (id, _) in unwanted.filter(|(_, change)| matches!(change.op, Op::Delete | Op::Forget)) {
            if self.known.entries.contains_key(id) {
                open.entry(id.clone()).or_default().soon = true;
            }
        }
        open
    }

    fn left(&self, id: &StepId, outcome: &Outcome) -> Option<Left> {
        let number = self.numbers.get(id).copied();
        let standing = Standing {
            met: number.is_some_and(|number| self.phases[number] == Phase::Met),
            since: number.and_then(|number| self.since.get(&number).copied()),
        };
        let failure = self.failures.get(id).copied();
        let (class, retry_after) = failure.map_or((None, None), |(class, after)| (Some(class), after));
        let left = Left { standing, class, retry_after, soon: false };
        match outcome.state {
            State::Ready | State::Pending => None,
            // Looked at again until the other sync has it.
            State::Skipped if outcome.reason == refusals::MOVES => Some(Left { class: Some(Class::Retry), ..left }),
            State::Skipped if class.is_none() => None,
            State::Skipped | State::Failed => Some(left),
            State::Waiting => Some(Left { soon: true, ..left }),
            State::Progressing => {
                let late = number.is_some_and(|number| self.late.contains(&number));
                let class = (outcome.reason == refusals::TERMINATING).then_some(Class::Retry);
                Some(Left { soon: !late && class.is_none(), class, ..left })
            }
            State::Unknown => Some(Left { class: Some(Class::Retry), ..left }),
            State::Refused => {
                let elsewhere = matches!(outcome.reason.as_str(), refusals::FOREIGN_OWNER | refusals::OTHER_CONTROLLER);
                let class = if elsewhere { Class::Denied } else { Class::Stalled };
                Some(Left { class: Some(class), ..left })
            }
        }
        .map(|left| Left { soon: left.soon || outcome.reason == reasons::CANCELLED, ..left })
    }
}
