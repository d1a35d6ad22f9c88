//! Probes: whether something outside of Kubernetes answers, asked again and again.
//!
//! IO. Sends nothing but a question (HTTP HEAD or GET, or a TCP connection), to nobody that design §6 forbids, and reads
//! no body. Never decides what follows from an answer. Called by `target::kube` in `observe` and `settle`.

mod ask;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::diff::seen::Readiness;
use crate::plan::{Step, StepId, Want, probe};

/// Said of a probe before its first answer.
const UNASKED: &str = "it was not asked yet";
/// Questions in flight at once.
const AT_ONCE: usize = 8;
/// Pause after a first failure; doubled with each one.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// No wait takes longer, whatever the answers do.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is known of every probe of one sync.
#[derive(Debug)]
pub(super) struct Probes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    known: Mutex<BTreeMap<StepId, Known>>,
    answered: Notify,
    slots: Semaphore,
}

/// What is known of one probe.
#[derive(Clone, Debug)]
struct Known {
    /// What was asked; another question starts anew.
    question: Question,
    readiness: Readiness,
    /// Failures in a row.
    failures: u32,
    /// When it is asked again.
    due: Instant,
    asking: bool,
    /// Counts answers.
    answers: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    method: String,
    url: String,
    limit: Duration,
}

impl Question {
    fn of(step: &Step) -> Option<Self> {
        let Want::Probe { method, url, timeout_seconds } = &step.want else { return None };
        let limit = Duration::from_secs(u64::from((*timeout_seconds).clamp(1, probe::MOST_SECONDS)));
        Some(Self { method: method.clone(), url: url.clone(), limit })
    }
}

impl Default for Probes {
    fn default() -> Self {
        let slots = Semaphore::new(AT_ONCE);
        Self(Arc::new(Inner { known: Mutex::default(), answered: Notify::new(), slots }))
    }
}

impl Probes {
    /// Forgets all others.
    pub(super) fn keep(&self, ids: &BTreeSet<&StepId>) {
        self.0.known().retain(|id, _| ids.contains(id));
    }

    /// Every probe that was asked and is in the plan still.
    pub(super) fn ids(&self) -> Vec<StepId> {
        self.0.known().keys().cloned().collect()
    }

    /// Asks all of them now, and waits for every answer.
    pub(super) async fn observe(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        let before: Vec<(&Step, u64)> =
            steps.iter().map(|step| (*step, self.0.known().get(&step.id).map_or(0, |known| known.answers))).collect();
        for step in steps {
            self.0.start(step, true);
        }
        loop {
            // Registered before it is looked, so that no answer is missed.
            let answered = self.0.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            let waits = {
                let known = self.0.known();
                before.iter().any(|(step, answers)| known.get(&step.id).is_some_and(|it| it.answers <= *answers))
            };
            if !waits {
                return self.read(steps);
            }
            answered.await;
        }
    }

    /// Asks those that are due, waits until any of them answers otherwise (or a bounded time), then tells of all. May be
    /// dropped at any time: what was asked is answered all the same.
    pub(super) async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        let end = Instant::now() + LOOK_AGAIN;
        let before = self.read(steps);
        loop {
            let answered = self.0.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            for step in steps {
                self.0.start(step, false);
            }
            let now = self.read(steps);
            if now != before || Instant::now() >= end {
                return now;
            }
            let next = {
                let known = self.0.known();
                let waiting = steps.iter().filter_map(|step| known.get(&step.id)).filter(|known| !known.asking);
                waiting.map(|known| known.due).min().unwrap_or(end).min(end)
            };
            tokio::select! {
                () = answered => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn read(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        let known = self.0.known();
        let of = |step: &Step| match known.get(&step.id) {
            Some(known) => known.readiness.clone(),
            None => Readiness::Progressing(UNASKED.to_owned()),
        };
        steps.iter().map(|step| (step.id.clone(), of(step))).collect()
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, BTreeMap<StepId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks in a task of its own, unless an answer is on its way or (without `now`) it is not due.
    fn start(self: &Arc<Self>, step: &Step, now: bool) {
        let Some(question) = Question::of(step) else { return };
        {
            let mut all = self.known();
            let fresh = || Known {
                question: question.clone(),
                readiness: Readiness::Progressing(UNASKED.to_owned()),
                failures: 0,
                due: Instant::now(),
                asking: false,
                answers: 0,
            };
            let known = all.entry(step.id.clone()).or_insert_with(fresh);
            if known.question != question {
                // Counted on: who waits for the next answer does not wait for that of the old question.
                *known = Known { answers: known.answers, ..fresh() };
            }
            let done = !now && known.readiness == Readiness::Ready;
            if known.asking || done || (!now && known.due > Instant::now()) {
                return;
            }
            known.asking = true;
        }
        let (inner, id) = (Arc::clone(self), step.id.clone());
        tokio::spawn(async move {
            let answer = match inner.slots.acquire().await {
                Ok(_slot) => ask::ask(&question.method, &question.url, question.limit).await,
                Err(_) => Err("no question can be asked any more".to_owned()),
            };
            inner.take(&id, &question, answer);
            inner.answered.notify_waiters();
        });
    }

    fn take(&self, id: &StepId, question: &Question, answer: Result<(), String>) {
        let mut all = self.known();
        // Forgotten, or asked something else meanwhile.
        let Some(known) = all.get_mut(id).filter(|known| &known.question == question) else { return };
        known.asking = false;
        known.answers += 1;
        match answer {
            Ok(()) => {
                known.failures = 0;
                known.readiness = Readiness::Ready;
            }
            Err(why) => {
                let pause = PAUSE.saturating_mul(2_u32.saturating_pow(known.failures.min(8))).min(LONGEST);
                known.failures = known.failures.saturating_add(1);
                known.readiness = Readiness::Progressing(why);
                known.due = Instant::now() + pause;
            }
        }
    }
}
