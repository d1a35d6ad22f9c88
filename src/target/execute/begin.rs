//! The beginning of an execution: what the diff says of each step, before anything is written.
//!
//! No IO. Called by `run`.

use super::run::{Phase, Run};
use super::{Outcome, reasons};
use crate::diff::guard::reasons as refusals;
use crate::diff::seen::Readiness;
use crate::diff::{Op, Refusal, Seen};
use crate::plan::{State, StepId};
use crate::target::World;

impl<W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'_, W, P> {
    /// Sorts the steps by what is to be done with them.
    pub(super) fn begin(&mut self) {
        let plan = self.plan;
        self.unwritten = plan.steps.iter().filter(|step| self.writes(step)).count();
        for (number, step) in plan.steps.iter().enumerate() {
            match self.diff.changes().get(&step.id).map(|change| (&change.op, &change.seen)) {
                Some((Op::Create | Op::Update(_), _)) => {
                    if self.unmet[number] == 0 && self.phases[number] == Phase::Blocked {
                        self.phases[number] = Phase::Started;
                        self.queue.push_back(number);
                    } else if self.phases[number] == Phase::Blocked {
                        self.tell_waiting(number);
                    }
                }
                Some((Op::Refuse(refusal), seen)) => self.refused(number, refusal, seen),
                Some((_, Seen::Pending(why))) => {
                    self.finish(number, Phase::Met, Outcome::new(State::Pending, reasons::NO_SERVER, why));
                }
                Some((_, Seen::Present(live))) => self.readiness(number, live.readiness.clone()),
                Some(_) => self.finish(number, Phase::Met, Outcome::new(State::Ready, reasons::COMPLETED, "")),
                None => {
                    let message = "it was not compared with the world; this is a mistake of Windlass";
                    self.finish(number, Phase::Unmet, Outcome::new(State::Unknown, refusals::UNREADABLE, message));
                }
            }
        }
    }

    fn refused(&mut self, number: usize, refusal: &Refusal, seen: &Seen) {
        // All but the number of replicas is as wanted: it is told once it is ready.
        if let (refusals::SCALE_DOWN_HELD, Seen::Present(live)) = (refusal.reason, seen) {
            return self.readiness(number, live.readiness.clone());
        }
        let (state, phase) = match (refusal.reason, seen) {
            (_, Seen::Unknown(_)) => (State::Unknown, Phase::Unmet),
            (refusals::TERMINATING, _) => (State::Progressing, Phase::Unmet),
            // It is there, if not as wanted: dependants go on.
            (refusals::DRIFTED, Seen::Present(live)) if live.readiness == Readiness::Ready => {
                (State::Refused, Phase::Met)
            }
            _ => (State::Refused, Phase::Unmet),
        };
        self.finish(number, phase, Outcome::new(state, refusal.reason, &refusal.message));
    }
}
