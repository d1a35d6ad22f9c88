//! One execution: which step may start, which is awaited, which is blocked.
//!
//! IO through [`World`] only. Work is bounded by the steps of the diff plus their edges: a step is looked up by its
//! number among them, and the end of one touches only its direct dependants.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use super::retry::{Tries, once, retrying};
use super::{Applied, Before, Limits, Outcome, reasons};
use crate::diff::guard::reasons as refusals;
use crate::diff::hold::{Hold, held};
use crate::diff::seen::Readiness;
use crate::diff::{Diff, Op, Reason, Seen};
use crate::inventory::Inventory;
use crate::plan::{Plan, State, Step, StepId};
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
    Retry(usize),
    Settled(Vec<(StepId, Readiness)>),
    /// The pause after a settle that changed nothing is over.
    Rested,
    /// Something is to be looked at anew.
    Again,
}

pub(super) struct Run<'a, W, P> {
    pub(super) world: &'a W,
    pub(super) plan: &'a Plan,
    pub(super) diff: &'a Diff,
    pub(super) limits: &'a Limits,
    pub(super) before: Before<'a>,
    progress: &'a P,
    /// The steps of the plan that the diff is about.
    pub(super) steps: Vec<&'a Step>,
    /// What is known now.
    pub(super) known: Inventory,
    /// Entries were added that are not stored yet.
    added: bool,
    /// What is known is not what is stored.
    pub(super) unstored: bool,
    pub(super) applied: Applied,
    pub(super) numbers: HashMap<&'a StepId, usize>,
    dependants: Vec<Vec<usize>>,
    pub(super) unmet: Vec<usize>,
    pub(super) phases: Vec<Phase>,
    pub(super) queue: VecDeque<usize>,
    settling: BTreeSet<usize>,
    /// Steps of `settling` whose time is over.
    pub(super) late: BTreeSet<usize>,
    /// Since when steps are becoming ready.
    pub(super) since: HashMap<usize, Instant>,
    /// Tries of writes that failed, with the last failure.
    pub(super) tries: HashMap<usize, (Tries, Failure)>,
    pub(super) failures: BTreeMap<StepId, (Class, Option<Duration>)>,
    /// Steps to be written that may still start: deletes wait for them.
    pub(super) unwritten: usize,
    pub(super) pruned: bool,
}

impl<'a, W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'a, W, P> {
    pub(super) fn new(
        world: &'a W,
        plan: &'a Plan,
        diff: &'a Diff,
        mut inventory: Inventory,
        limits: &'a Limits,
        before: Before<'a>,
        progress: &'a P,
    ) -> Self {
        let changes = diff.changes();
        let (steps, writes): (Vec<&Step>, Vec<bool>) = plan
            .steps
            .iter()
            .filter_map(|step| changes.get(&step.id).map(|change| (step.as_ref(), change.op.writes())))
            .unzip();
        let numbers: HashMap<&StepId, usize> = steps.iter().enumerate().map(|(n, step)| (&step.id, n)).collect();
        let mut dependants = vec![Vec::new(); steps.len()];
        let mut unmet = vec![0; steps.len()];
        for (number, step) in steps.iter().enumerate() {
            // A need that is neither in the diff nor open is met.
            for need in step.needs.iter().filter_map(|need| numbers.get(need)) {
                dependants[*need].push(number);
                unmet[number] += 1;
            }
        }
        let taken = inventory.take_in(steps.iter().copied().zip(writes));
        Self {
            world,
            plan,
            diff,
            limits,
            before,
            progress,
            phases: vec![Phase::Blocked; steps.len()],
            steps,
            known: inventory,
            added: taken.added,
            unstored: taken.changed,
            applied: Applied::default(),
            numbers,
            dependants,
            unmet,
            queue: VecDeque::new(),
            settling: BTreeSet::new(),
            late: BTreeSet::new(),
            since: HashMap::new(),
            tries: HashMap::new(),
            failures: BTreeMap::new(),
            unwritten: 0,
            pruned: false,
        }
    }

    pub(super) async fn execute(mut self) -> Applied {
        if self.added
            && let Err(failure) = self.store().await
        {
            self.give_up(&failure);
            self.applied.inventory = self.known;
            return self.applied;
        }
        self.begin();
        self.work().await;
        self.end();
        if let Err(failure) = self.store().await {
            self.applied.failure = Some(failure);
        }
        self.applied.inventory = self.known;
        self.applied
    }

    pub(super) fn writes(&self, number: usize) -> bool {
        self.op(number).is_some_and(Op::writes)
    }

    pub(super) fn op(&self, number: usize) -> Option<&'a Op> {
        self.diff.changes().get(&self.steps.get(number)?.id).map(|change| &change.op)
    }

    pub(super) fn is_verified(&self, number: usize) -> bool {
        self.op(number) == Some(&Op::Update(Reason::Verify))
    }

    /// Stores what is known, if that is not what is stored.
    pub(super) async fn store(&mut self) -> Result<(), Failure> {
        if !self.unstored {
            return Ok(());
        }
        let (world, known, limits) = (self.world, &self.known, self.limits);
        retrying(self.before.pace, limits.concurrency, &limits.cancel, || world.store_inventory(known)).await?;
        self.unstored = false;
        self.added = false;
        Ok(())
    }

    /// Nothing is written: the inventory could not be stored.
    fn give_up(&mut self, failure: &Failure) {
        for step in self.steps.clone() {
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
        let Some(step) = self.steps.get(number).copied() else { return };
        match readiness {
            Readiness::Ready => {
                if let Some(hold) = self.held(step) {
                    let outcome = Outcome::new(State::Refused, refusals::SCALE_DOWN_HELD, hold.message);
                    self.finish(number, Phase::Met, outcome);
                } else if self.world.finishes(step) {
                    self.unstored |= self.known.record_done(&step.id, &step.hash);
                    self.finish(number, Phase::Met, Outcome::new(State::Ready, reasons::COMPLETED, ""));
                } else {
                    self.finish(number, Phase::Met, Outcome::new(State::Ready, reasons::READY, ""));
                }
            }
            Readiness::Progressing(why) => {
                self.phases[number] = Phase::Settling;
                self.settling.insert(number);
                let now = Instant::now();
                let before = self.before.open;
                let since = self
                    .since
                    .entry(number)
                    .or_insert_with(|| before(&step.id).and_then(|standing| standing.since).unwrap_or(now).min(now));
                if now.duration_since(*since) >= self.limits.timeout {
                    self.late.insert(number);
                    let message = format!("not ready after {} seconds: {why}", self.limits.timeout.as_secs());
                    self.tell(&step.id, Outcome::new(State::Progressing, reasons::TIMED_OUT, message));
                } else {
                    self.tell(&step.id, Outcome::new(State::Progressing, reasons::PROGRESSING, why));
                }
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
        if let Some(step) = self.steps.get(number).copied() {
            self.tell(&step.id, outcome);
        }
        self.phases[number] = phase;
        self.settling.remove(&number);
        self.late.remove(&number);
        if phase == Phase::Unmet {
            self.kill_dependants(number);
            return;
        }
        for dependant in std::mem::take(&mut self.dependants[number]) {
            self.unmet[dependant] = self.unmet[dependant].saturating_sub(1);
            if self.unmet[dependant] == 0 && self.phases[dependant] == Phase::Blocked && self.writes(dependant) {
                self.phases[dependant] = Phase::Started;
                self.queue.push_back(dependant);
            }
        }
    }

    /// Whatever waits for this step, directly or not, will not start in this execution.
    pub(super) fn kill_dependants(&mut self, number: usize) {
        let mut open = vec![number];
        while let Some(dead) = open.pop() {
            for dependant in std::mem::take(&mut self.dependants[dead]) {
                if self.writes(dependant) && self.phases[dependant] == Phase::Blocked {
                    self.phases[dependant] = Phase::Dead;
                    self.unwritten -= 1;
                    self.tell_waiting(dependant);
                    open.push(dependant);
                }
            }
        }
    }

    pub(super) fn tell_waiting(&mut self, number: usize) {
        let Some(step) = self.steps.get(number).copied() else { return };
        let waits_for: Vec<StepId> = step
            .needs
            .iter()
            .filter(|need| match self.numbers.get(need) {
                Some(need) => self.phases[*need] != Phase::Met,
                None => (self.before.open)(need).is_some_and(|standing| !standing.met),
            })
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
    async fn work(&mut self) {
        let (world, limits, diff, before) = (self.world, self.limits, self.diff, self.before);
        let mut applying = FuturesUnordered::new();
        let mut pauses = FuturesUnordered::new();
        let mut settle: Option<BoxFuture<'a, Event>> = None;
        let mut settled_count = 0;
        loop {
            let cancelled = limits.cancel.is_cancelled();
            let hurried = before.hurry.is_cancelled();
            let paused = before.pace.paused_until();
            while !cancelled && paused.is_none() && applying.len() < before.pace.allowed(limits.concurrency) {
                let Some(number) = self.queue.pop_front() else { break };
                let Some(step) = self.steps.get(number).copied() else { continue };
                let Some(change) = diff.changes().get(&step.id) else { continue };
                // What is only verified is as it was until proved otherwise.
                if !self.is_verified(number) {
                    self.tell(&step.id, Outcome::new(State::Progressing, reasons::APPLYING, ""));
                }
                applying.push(async move {
                    Event::Applied(number, once(before.pace, limits.concurrency, world.apply(step, change)).await)
                });
            }
            if cancelled && applying.is_empty() {
                return;
            }
            if self.unwritten == 0 && applying.is_empty() && !self.pruned {
                self.pruned = true;
                self.prune().await;
                continue;
            }
            let waiting = self.settling.len() > self.late.len() && !cancelled && !hurried;
            if !waiting {
                settle = None;
            } else if settle.is_none() {
                let steps: Vec<&'a Step> =
                    self.settling.iter().filter_map(|number| self.steps.get(*number).copied()).collect();
                settled_count = steps.len();
                settle = Some(Box::pin(async move { Event::Settled(world.settle(&steps).await) }));
            }
            let idle = applying.is_empty() && self.queue.is_empty();
            if idle && settle.is_none() && (pauses.is_empty() || hurried) {
                self.applied.cut_short = hurried && (!pauses.is_empty() || self.settling.len() > self.late.len());
                if self.pruned || hurried {
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
            let deadline = waiting.then(|| self.next_deadline()).flatten();
            let event = tokio::select! {
                Some(event) = applying.next(), if !applying.is_empty() => event,
                Some(event) = pauses.next(), if !pauses.is_empty() => event,
                event = async { match settle.as_mut() { Some(settle) => settle.await, None => std::future::pending().await } } => event,
                () = tokio::time::sleep(PAUSE * 5), if stale => { settle = None; Event::Again },
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.time_out();
                    Event::Again
                }
                () = tokio::time::sleep_until(paused.unwrap_or_else(Instant::now)), if paused.is_some() => Event::Again,
                () = limits.cancel.cancelled(), if !cancelled => Event::Again,
                () = before.hurry.cancelled(), if !hurried => Event::Again,
                // Nothing is under way but waiting: what rang comes first, and the wait goes on after it.
                () = world.ring(), if idle && before.rings => {
                    self.applied.cut_short = true;
                    return;
                }
            };
            match event {
                Event::Applied(number, result) => {
                    if let Some(pause) = self.written(number, result) {
                        pauses.push(async move {
                            tokio::time::sleep(pause).await;
                            Event::Retry(number)
                        });
                    }
                }
                Event::Retry(number) => self.queue.push_front(number),
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
                            Event::Rested
                        }));
                    }
                }
                Event::Rested => settle = None,
                Event::Again => {}
            }
        }
    }

    /// When the next of the steps that become ready is late.
    fn next_deadline(&self) -> Option<Instant> {
        let open = self.settling.iter().filter(|number| !self.late.contains(number));
        open.filter_map(|number| self.since.get(number)).min().map(|since| *since + self.limits.timeout)
    }

    /// Says of every step whose time is over that it is; whatever waits for it waits on.
    fn time_out(&mut self) {
        let now = Instant::now();
        for number in self.settling.clone() {
            let due = self.since.get(&number).is_some_and(|since| now.duration_since(*since) >= self.limits.timeout);
            if due
                && let Some(step) = self.steps.get(number).copied()
                && self.late.insert(number)
            {
                let why = self.applied.steps.get(&step.id).map_or("", |outcome| &outcome.message);
                let message = format!("not ready after {} seconds: {why}", self.limits.timeout.as_secs());
                self.tell(&step.id, Outcome::new(State::Progressing, reasons::TIMED_OUT, message));
            }
        }
    }
}
