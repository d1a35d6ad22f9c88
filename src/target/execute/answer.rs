//! What follows from the answer to a write, and how everything stands in the end.
//!
//! No IO. Called by `run`.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::retry::Tries;
use super::run::{Phase, Run};
use super::{Outcome, reasons};
use crate::plan::{State, StepId, Want};
use crate::target::{Class, Done, Failure, World};

impl<W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'_, W, P> {
    /// Takes in the answer to a write; how long to wait, if it is tried again.
    pub(super) fn written(&mut self, number: usize, result: Result<Done, Failure>) -> Option<Duration> {
        let step = self.steps.get(number).copied()?;
        let failure = match result {
            Ok(done) => {
                self.unwritten = self.unwritten.saturating_sub(1);
                self.tries.remove(&number);
                self.applied.applied += u32::from(done.wrote);
                if self.is_verified(number) {
                    self.applied.verified += 1;
                    if done.wrote {
                        self.applied.moved.insert(step.id.clone());
                    }
                }
                if done.wrote {
                    self.since.insert(number, Instant::now());
                }
                self.unstored |= self.known.record(&step.id, &done.uid, done.fingerprint.as_deref());
                if let Want::Once { .. } = step.want {
                    self.unstored |= self.known.record_done(&step.id, &step.hash);
                }
                self.readiness(number, done.readiness);
                return None;
            }
            Err(failure) => failure,
        };
        let pace = self.before.pace;
        let (tries, _) = self.tries.entry(number).or_insert_with(|| (Tries::new(pace), failure.clone()));
        if let Some(pause) = tries.next(&failure)
            && !self.limits.cancel.is_cancelled()
        {
            if let Some((_, last)) = self.tries.get_mut(&number) {
                *last = failure;
            }
            return Some(pause);
        }
        self.tries.remove(&number);
        self.unwritten = self.unwritten.saturating_sub(1);
        self.failed(number, failure);
        None
    }

    fn failed(&mut self, number: usize, failure: Failure) {
        let Some(step) = self.steps.get(number).copied() else { return };
        self.failures.insert(step.id.clone(), (failure.class, failure.retry_after));
        let (phase, state) = match failure.class {
            Class::Skipped => (Phase::Met, State::Skipped),
            _ => (Phase::Unmet, State::Failed),
        };
        self.finish(number, phase, Outcome::new(state, failure.reason, failure.message));
    }

    /// Says of everything that is not over why it is not.
    pub(super) fn end(&mut self) {
        self.applied.cancelled = self.limits.cancel.is_cancelled();
        let tried: Vec<(usize, Failure)> =
            std::mem::take(&mut self.tries).into_iter().map(|(number, (_, failure))| (number, failure)).collect();
        for (number, failure) in tried {
            self.failed(number, failure);
        }
        let queued: BTreeSet<usize> = self.queue.iter().copied().collect();
        for number in 0..self.steps.len() {
            match self.phases[number] {
                Phase::Started if queued.contains(&number) && !self.is_verified(number) => {
                    let message = "the pass was stopped before this step was written";
                    if let Some(step) = self.steps.get(number).copied() {
                        self.tell(&step.id, Outcome::new(State::Waiting, reasons::CANCELLED, message));
                    }
                }
                Phase::Blocked | Phase::Dead if self.writes(number) => self.tell_waiting(number),
                _ => {}
            }
        }
        self.applied.open = self.open();
    }
}
