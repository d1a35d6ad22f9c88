//! The beginning of an execution: what the diff says of each step, before anything is written.
//!
//! No IO. Called by `run`.

use super::run::{Phase, Run};
use super::{Outcome, reasons};
use crate::diff::guard::reasons as refusals;
use crate::diff::seen::Readiness;
use crate::diff::{Op, Reason, Refusal, Seen};
use crate::plan::{State, StepId};
use crate::target::World;

impl<W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'_, W, P> {
    /// Sorts the steps by what is to be done with them.
    pub(super) fn begin(&mut self) {
        let diff = self.diff;
        self.unwritten = (0..self.steps.len()).filter(|number| self.writes(*number)).count();
        // What is only verified is there: it neither waits for others nor is anything said of it before it is answered.
        for number in 0..self.steps.len() {
            if self.op(number) == Some(&Op::Update(Reason::Verify)) {
                self.phases[number] = Phase::Started;
                self.queue.push_back(number);
            }
        }
        for number in 0..self.steps.len() {
            let Some(change) = self.steps.get(number).and_then(|step| diff.changes().get(&step.id)) else { continue };
            match (&change.op, &change.seen) {
                (Op::Create | Op::Update(_), _) => self.begin_write(number),
                (Op::Refuse(refusal), seen) => self.refused(number, refusal, seen),
                (_, Seen::Pending(why)) => {
                    self.finish(number, Phase::Met, Outcome::new(State::Pending, reasons::NO_SERVER, why));
                }
                (_, Seen::Present(live)) => self.readiness(number, live.readiness.clone()),
                _ => self.finish(number, Phase::Met, Outcome::new(State::Ready, reasons::COMPLETED, "")),
            }
        }
    }

    fn begin_write(&mut self, number: usize) {
        if self.phases[number] != Phase::Blocked {
            return;
        }
        let before = self.before.open;
        let outside =
            |need: &StepId| !self.numbers.contains_key(need) && before(need).is_some_and(|standing| !standing.met);
        if self.steps.get(number).is_some_and(|step| step.needs.iter().any(outside)) {
            self.phases[number] = Phase::Dead;
            self.unwritten -= 1;
            self.tell_waiting(number);
            self.kill_dependants(number);
        } else if self.unmet[number] == 0 {
            self.phases[number] = Phase::Started;
            self.queue.push_back(number);
        } else {
            self.tell_waiting(number);
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
