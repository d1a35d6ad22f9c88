//! Deletes what the diff says is to go: intent first, dependants before what they needed, entries last.
//!
//! IO through [`World`] only. A delete that fails keeps its entry and whatever that entry needs. Called by `run` once
//! nothing more is to be written.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use futures::stream::{FuturesUnordered, StreamExt as _};

use super::retry::retrying;
use super::run::Run;
use super::{Outcome, reasons};
use crate::diff::{Live, Op, Seen, guard};
use crate::inventory::Entry;
use crate::plan::{State, StepId};
use crate::target::World;

impl<W: World, P: Fn(&StepId, &Outcome) + Send + Sync> Run<'_, W, P> {
    /// Deletes, forgets and tells of what is kept.
    pub(super) async fn prune(&mut self) {
        if self.limits.cancel.is_cancelled() {
            return;
        }
        let doomed = self.sort_unwanted();
        if doomed.is_empty() {
            return;
        }
        self.unstored |= self.known.intend(doomed.keys());
        if let Err(failure) = self.store().await {
            for id in doomed.keys() {
                let message = format!("it was not deleted, because the inventory could not be stored first: {failure}");
                self.tell(id, Outcome::new(State::Failed, reasons::NOT_STORED, message));
            }
            self.applied.failure = Some(failure);
            return;
        }
        self.delete(&doomed).await;
    }

    /// Tells of every unwanted entry that stays, forgets what is gone, and hands back what is to be deleted.
    fn sort_unwanted(&mut self) -> BTreeMap<StepId, (Entry, Live)> {
        let diff = self.diff;
        let failed = self.unapplied();
        let mut doomed = BTreeMap::new();
        for (id, change) in diff.changes() {
            if self.is_wanted(id) {
                continue;
            }
            let Some(entry) = self.known.entries.get(id).cloned() else { continue };
            match (&change.op, &change.seen) {
                (Op::Forget, _) => self.unstored |= self.known.forget(id),
                (Op::Delete, Seen::Present(live)) => match failed.get(&entry.path) {
                    Some(missing) => {
                        let message =
                            format!("left the repository, and is kept until {missing} from the same file is applied");
                        let outcome = Outcome::new(State::Waiting, reasons::REPLACEMENT_MISSING, message);
                        self.tell(id, Outcome { waits_for: vec![missing.clone()], ..outcome });
                    }
                    None => {
                        doomed.insert(id.clone(), (entry, live.clone()));
                    }
                },
                (Op::Refuse(refusal), Seen::Unknown(_)) => {
                    self.tell(id, Outcome::new(State::Unknown, refusal.reason, &refusal.message));
                }
                // It is in good hands: nobody has to act.
                (Op::Refuse(refusal), _) if refusal.reason == guard::reasons::MOVES => {
                    self.tell(id, Outcome::new(State::Skipped, refusal.reason, &refusal.message));
                }
                (Op::Refuse(refusal), _) => {
                    self.tell(id, Outcome::new(State::Refused, refusal.reason, &refusal.message));
                }
                (_, Seen::Pending(why)) => self.tell(id, Outcome::new(State::Pending, reasons::NO_SERVER, why)),
                (Op::Keep, Seen::Present(live)) if live.needed_by.is_some() => {
                    let claim = live.needed_by.as_deref().unwrap_or_default();
                    let message =
                        format!("left the repository and is kept as long as claim {claim}, whose data needs it");
                    self.tell(id, Outcome::new(State::Skipped, reasons::CLAIMS_REMAIN, message));
                }
                _ => {
                    let message = "left the repository and is kept, as spec.prune or windlass.dev/prune says";
                    self.tell(id, Outcome::new(State::Skipped, reasons::PRUNE_DISABLED, message));
                }
            }
        }
        doomed
    }

    /// By file: one step that should have been written and was not. What left the same file may have been renamed to
    /// it, and must not go before its replacement is there.
    fn unapplied(&self) -> BTreeMap<String, StepId> {
        let missing = |step: &&std::sync::Arc<crate::plan::Step>| match self.numbers.get(&step.id) {
            Some(number) => {
                let told = self.applied.steps.get(&step.id);
                self.writes(*number)
                    && told.is_none_or(|outcome| match outcome.state {
                        State::Waiting => true,
                        State::Failed => outcome.reason != reasons::UNHEALTHY,
                        _ => false,
                    })
            }
            // What is open from before may be the missing one.
            None => (self.before.open)(&step.id).is_some_and(|standing| !standing.met),
        };
        let steps = self.plan.steps.iter().filter(missing);
        steps.map(|step| (step.origin.path.to_string(), step.id.clone())).collect()
    }

    /// Deletes in reverse order of the stored needs. What lies on a circle goes last, in the order of ids.
    async fn delete(&mut self, doomed: &BTreeMap<StepId, (Entry, Live)>) {
        let (world, cancel) = (self.world, &self.limits.cancel);
        let (pace, most) = (self.before.pace, self.limits.concurrency);
        // How many doomed entries still need this one.
        let mut needed_by: HashMap<&StepId, usize> = doomed.keys().map(|id| (id, 0)).collect();
        for need in doomed.values().flat_map(|(entry, _)| entry.needs.iter()) {
            if let Some(count) = needed_by.get_mut(need) {
                *count += 1;
            }
        }
        let mut left: BTreeSet<&StepId> = doomed.keys().collect();
        let mut queue: VecDeque<&StepId> = doomed.keys().filter(|id| needed_by.get(id) == Some(&0)).collect();
        let mut deleting = FuturesUnordered::new();
        let mut blocked = false;
        loop {
            while !cancel.is_cancelled() && deleting.len() < pace.allowed(most) {
                let Some(id) = queue.pop_front() else { break };
                let Some((entry, live)) = doomed.get(id).filter(|_| left.remove(id)) else { continue };
                self.tell(id, Outcome::new(State::Progressing, reasons::DELETING, ""));
                deleting.push(async move {
                    (id, entry, retrying(pace, most, cancel, || world.delete(id, entry, live)).await)
                });
            }
            let Some((id, entry, result)) = deleting.next().await else {
                // Only a circle keeps entries from starting when no delete has failed.
                match left.first() {
                    Some(circular) if !blocked && !cancel.is_cancelled() => {
                        queue.push_back(circular);
                        continue;
                    }
                    _ => break,
                }
            };
            if let Err(failure) = result {
                blocked = true;
                self.failures.insert(id.clone(), (failure.class, failure.retry_after));
                self.tell(id, Outcome::new(State::Failed, failure.reason, failure.message));
                continue;
            }
            self.unstored |= self.known.forget(id);
            self.applied.steps.remove(id);
            self.applied.pruned.push(id.clone());
            for need in &entry.needs {
                let Some(count) = needed_by.get_mut(need) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0
                    && let Some((need, _)) = doomed.get_key_value(need)
                {
                    queue.push_back(need);
                }
            }
        }
        self.applied.pruned.sort();
        for id in left {
            let message = "is deleted once what needed it is gone";
            self.tell(id, Outcome::new(State::Waiting, reasons::WAITING, message));
        }
    }

    fn is_wanted(&self, id: &StepId) -> bool {
        self.numbers.contains_key(id)
    }
}
