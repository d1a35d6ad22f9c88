//! One execution: which step may start, which is awaited, which is blocked.
//!
//! IO through [`World`] only. Work is bounded by steps plus edges: a step is looked up by its number, and the end of one
//! touches only its direct dependants.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use super::retry::retrying;
use super::{Applied, Limits, Outcome, reasons};
use crate::diff::guard::reasons as refusals;
use crate::diff::hold::{Hold, held};
use crate::diff::seen::Readiness;
use crate::diff::{Diff, Seen};
use crate::inventory::Inventory;
use crate::plan::{Plan, State, Step, StepId, Want};
use crate::target::{Class, Done, Failure, World};

/// After a settle that changed nothing, and before one that is started over for newly applied steps.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a step stands within this execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To be written, once its needs are met.
    Blocked,
    /// To be written, and it will not be: a need failed.
    Dead,
    /// Being written, or about to be.
    Started,
    /// Written or kept; becoming ready.
    Settling,
    /// Over, and dependants may start.
    Met,
    /// Over, and dependants may not start.
    Unmet,
}

enum Event {
    Applied(usize, Result<Done, Failure>),
    Settled(Vec<(StepId, Readiness)>),
    Again,
    TimedOut,
    Cancelled,
}

pub(super) struct Run<'a, W, P> {
    pub(super) world: &'a W,
    pub(super) plan: &'a Plan,
    pub(super) diff: &'a Diff,
    pub(super) limits: &'a Limits,
    progress: &'a P,
    /// What is stored, as far as we know.
    stored: Inventory,
    /// What is known now.
    pub(super) known: Inventory,
    pub(super) applied: Applied,
    pub(super) numbers: HashMap<&'a StepId, usize>,
    dependants: Vec<Vec<usize>>,
    pub(super) unmet: Vec<usize>,
    pub(super) phases: Vec<Phase>,
    pub(super) queue: VecDeque<usize>,
    settling: BTreeSet<usize>,
    /// Steps to be written that may still start: deletes wait for them.
    pub(super) unwritten: usize,
    pruned: bool,
}

impl<'a, W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'a, W, P> {
    pub(super) fn new(
        world: &'a W,
        plan: &'a Plan,
        diff: &'a Diff,
        inventory: Inventory,
        limits: &'a Limits,
        progress: &'a P,
    ) -> Self {
        let numbers: HashMap<&StepId, usize> = plan.steps.iter().enumerate().map(|(n, step)| (&step.id, n)).collect();
        let mut dependants = vec![Vec::new(); plan.steps.len()];
        let mut unmet = vec![0; plan.steps.len()];
        for (number, step) in plan.steps.iter().enumerate() {
            // A need that is not in the plan is taken as met.
            for need in step.needs.iter().filter_map(|need| numbers.get(need)) {
                dependants[*need].push(number);
                unmet[number] += 1;
            }
        }
        let known = inventory.union(plan, |id| diff.changes().get(id).is_some_and(|change| change.op.writes()));
        Self {
            world,
            plan,
            diff,
            limits,
            progress,
            stored: inventory,
            known,
            applied: Applied::default(),
            numbers,
            dependants,
            unmet,
            phases: vec![Phase::Blocked; plan.steps.len()],
            queue: VecDeque::new(),
            settling: BTreeSet::new(),
            unwritten: 0,
            pruned: false,
        }
    }

    pub(super) async fn execute(mut self) -> Applied {
        let writes = self.plan.steps.iter().any(|step| self.writes(step));
        if writes && let Err(failure) = self.store().await {
            self.give_up(&failure);
            self.applied.inventory = self.stored;
            return self.applied;
        }
        self.begin();
        self.steps().await;
        self.end();
        if let Err(failure) = self.store().await {
            self.applied.failure = Some(failure);
        }
        self.applied.inventory = self.stored;
        self.applied
    }

    pub(super) fn writes(&self, step: &Step) -> bool {
        self.diff.changes().get(&step.id).is_some_and(|change| change.op.writes())
    }

    /// Stores what is known, if that is not what is stored.
    pub(super) async fn store(&mut self) -> Result<(), Failure> {
        if self.known == self.stored {
            return Ok(());
        }
        let (world, known) = (self.world, &self.known);
        retrying(&self.limits.cancel, || world.store_inventory(known)).await?;
        self.stored.clone_from(&self.known);
        Ok(())
    }

    /// Nothing is written: the inventory could not be stored.
    fn give_up(&mut self, failure: &Failure) {
        for step in &self.plan.steps {
            let message = format!("nothing was written, because the inventory could not be stored first: {failure}");
            self.tell(&step.id, Outcome::new(State::Failed, reasons::NOT_STORED, message));
        }
        self.applied.failure = Some(failure.clone());
    }

    pub(super) fn tell(&mut self, id: &StepId, outcome: Outcome) {
        if self.applied.steps.get(id) != Some(&outcome) {
            (self.progress)(id, &outcome);
            self.applied.steps.insert(id.clone(), outcome);
        }
    }

    /// Takes in what is known of a step's readiness.
    pub(super) fn readiness(&mut self, number: usize, readiness: Readiness) {
        let plan = self.plan;
        let Some(step) = plan.steps.get(number) else { return };
        match readiness {
            Readiness::Ready => {
                if let Some(hold) = self.held(step) {
                    let outcome = Outcome::new(State::Refused, refusals::SCALE_DOWN_HELD, hold.message);
                    self.finish(number, Phase::Met, outcome);
                } else if self.world.finishes(step) {
                    self.known.record_done(&step.id, &step.hash);
                    self.finish(number, Phase::Met, Outcome::new(State::Ready, reasons::COMPLETED, ""));
                } else {
                    self.finish(number, Phase::Met, Outcome::new(State::Ready, reasons::READY, ""));
                }
            }
            Readiness::Progressing(why) => {
                self.phases[number] = Phase::Settling;
                self.settling.insert(number);
                self.tell(&step.id, Outcome::new(State::Progressing, reasons::PROGRESSING, why));
            }
            Readiness::Failed(why) => {
                self.finish(number, Phase::Unmet, Outcome::new(State::Failed, reasons::UNHEALTHY, why));
            }
        }
    }

    /// What is held of a step.
    fn held(&self, step: &Step) -> Option<Hold> {
        match &self.diff.changes().get(&step.id)?.seen {
            Seen::Present(live) => held(step, live),
            _ => None,
        }
    }

    /// Ends a step, and lets its dependants start or shows that they cannot.
    pub(super) fn finish(&mut self, number: usize, phase: Phase, outcome: Outcome) {
        let plan = self.plan;
        if let Some(step) = plan.steps.get(number) {
            self.tell(&step.id, outcome);
        }
        self.phases[number] = phase;
        self.settling.remove(&number);
        if phase == Phase::Unmet {
            self.kill_dependants(number);
            return;
        }
        for dependant in std::mem::take(&mut self.dependants[number]) {
            self.unmet[dependant] = self.unmet[dependant].saturating_sub(1);
            let to_write = plan.steps.get(dependant).is_some_and(|step| self.writes(step));
            if self.unmet[dependant] == 0 && self.phases[dependant] == Phase::Blocked && to_write {
                self.phases[dependant] = Phase::Started;
                self.queue.push_back(dependant);
            }
        }
    }

    /// Whatever waits for this step, directly or not, will not start in this execution.
    fn kill_dependants(&mut self, number: usize) {
        let plan = self.plan;
        let mut open = vec![number];
        while let Some(dead) = open.pop() {
            for dependant in std::mem::take(&mut self.dependants[dead]) {
                let to_write = plan.steps.get(dependant).is_some_and(|step| self.writes(step));
                if to_write && self.phases[dependant] == Phase::Blocked {
                    self.phases[dependant] = Phase::Dead;
                    self.unwritten -= 1;
                    self.tell_waiting(dependant);
                    open.push(dependant);
                }
            }
        }
    }

    pub(super) fn tell_waiting(&mut self, number: usize) {
        let plan = self.plan;
        let Some(step) = plan.steps.get(number) else { return };
        let waits_for: Vec<StepId> = step
            .needs
            .iter()
            .filter(|need| self.numbers.get(need).is_some_and(|need| self.phases[*need] != Phase::Met))
            .cloned()
            .collect();
        let names = waits_for.iter().take(3).map(StepId::as_str).collect::<Vec<_>>().join(", ");
        let more = match waits_for.len().saturating_sub(3) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let outcome = Outcome::new(State::Waiting, reasons::WAITING, format!("waits for {names}{more}"));
        self.tell(&step.id, Outcome { waits_for, ..outcome });
    }

    /// The loop: starts what may start, waits for what is under way, prunes once nothing more is to be written.
    async fn steps(&mut self) {
        let (world, plan, limits, diff) = (self.world, self.plan, self.limits, self.diff);
        let deadline = Instant::now() + limits.timeout;
        let mut applying = FuturesUnordered::new();
        let mut settle: Option<BoxFuture<'a, Event>> = None;
        let mut settled_count = 0;
        let mut timed_out = false;
        loop {
            let cancelled = limits.cancel.is_cancelled();
            while !cancelled && applying.len() < limits.concurrency.max(1) {
                let Some(number) = self.queue.pop_front() else { break };
                let (Some(step), cancel) = (plan.steps.get(number), &limits.cancel) else { continue };
                let Some(change) = diff.changes().get(&step.id) else { continue };
                self.tell(&step.id, Outcome::new(State::Progressing, reasons::APPLYING, ""));
                applying
                    .push(async move { Event::Applied(number, retrying(cancel, || world.apply(step, change)).await) });
            }
            if cancelled && applying.is_empty() {
                return;
            }
            if self.unwritten == 0 && applying.is_empty() && !self.pruned {
                self.pruned = true;
                self.prune().await;
                continue;
            }
            let waiting = !self.settling.is_empty() && !timed_out && !cancelled;
            if !waiting {
                settle = None;
            } else if settle.is_none() {
                let steps: Vec<&'a Step> =
                    self.settling.iter().filter_map(|number| plan.steps.get(*number)).map(AsRef::as_ref).collect();
                settled_count = steps.len();
                settle = Some(Box::pin(async move { Event::Settled(world.settle(&steps).await) }));
            }
            if applying.is_empty() && settle.is_none() {
                if self.pruned {
                    return;
                }
                // What is left waits for steps that did not become ready in time.
                self.pruned = true;
                self.prune().await;
                continue;
            }
            // Steps that began to settle meanwhile are not in the running settle: it is started over, but not at once,
            // so that a burst of applies costs one.
            let stale = settle.is_some() && self.settling.len() > settled_count;
            let event = tokio::select! {
                Some(event) = applying.next(), if !applying.is_empty() => event,
                event = async { match settle.as_mut() { Some(settle) => settle.await, None => std::future::pending().await } } => event,
                () = tokio::time::sleep(PAUSE * 5), if stale => Event::Again,
                () = tokio::time::sleep_until(deadline), if waiting => Event::TimedOut,
                () = limits.cancel.cancelled(), if !cancelled => Event::Cancelled,
            };
            match event {
                Event::Applied(number, result) => self.written(number, result),
                Event::Settled(read) => {
                    let before = self.settling.len();
                    for (id, readiness) in read {
                        if let Some(number) = self.numbers.get(&id).copied()
                            && self.phases[number] == Phase::Settling
                        {
                            self.readiness(number, readiness);
                        }
                    }
                    settle = None;
                    if self.settling.len() == before {
                        settle = Some(Box::pin(async {
                            tokio::time::sleep(PAUSE).await;
                            Event::Again
                        }));
                    }
                }
                Event::Again => settle = None,
                Event::TimedOut => timed_out = true,
                Event::Cancelled => {}
            }
        }
    }

    fn written(&mut self, number: usize, result: Result<Done, Failure>) {
        let plan = self.plan;
        let Some(step) = plan.steps.get(number) else { return };
        self.unwritten = self.unwritten.saturating_sub(1);
        match result {
            Ok(done) => {
                self.applied.applied += u32::from(done.wrote);
                self.known.record(&step.id, &done.uid, done.fingerprint.as_deref());
                if let Want::Once { .. } = step.want {
                    self.known.record_done(&step.id, &step.hash);
                }
                self.readiness(number, done.readiness);
            }
            Err(failure) if failure.class == Class::Skipped => {
                self.finish(number, Phase::Met, Outcome::new(State::Skipped, failure.reason, failure.message));
            }
            Err(failure) => {
                self.finish(number, Phase::Unmet, Outcome::new(State::Failed, failure.reason, failure.message));
            }
        }
    }

    /// Says of everything that is not over why it is not.
    fn end(&mut self) {
        let plan = self.plan;
        self.applied.cancelled = self.limits.cancel.is_cancelled();
        let queued: BTreeSet<usize> = self.queue.iter().copied().collect();
        for (number, step) in plan.steps.iter().enumerate() {
            match self.phases[number] {
                Phase::Settling if !self.applied.cancelled => {
                    let why = self.applied.steps.get(&step.id).map_or("", |outcome| &outcome.message);
                    let message = format!("not ready after {} seconds: {why}", self.limits.timeout.as_secs());
                    self.tell(&step.id, Outcome::new(State::Progressing, reasons::TIMED_OUT, message));
                }
                Phase::Started if queued.contains(&number) => {
                    let message = "the pass was stopped before this step was written";
                    self.tell(&step.id, Outcome::new(State::Waiting, reasons::CANCELLED, message));
                }
                Phase::Blocked | Phase::Dead if self.writes(step) => self.tell_waiting(number),
                _ => {}
            }
        }
    }
}
