//! What a pass is about: everything, or the steps that changed, rang, are not over or are due.
//!
//! Computes only; time is handed in. What is left for later stands here too, with when it is looked at again. Called by
//! `pass` and `task`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::timing;
use crate::plan::{Plan, StepId};
use crate::target::execute::{Left, Standing};
use crate::target::{Class, Rung};

/// What a person has to put right is looked at again after this, in case somebody did.
const SELDOM: Duration = Duration::from_secs(600);

/// What the next pass has to do, whatever starts it.
#[derive(Debug, Default)]
pub(super) struct Todo {
    /// Nothing is known for sure.
    pub(super) all: bool,
    /// Changed by the revision, or moved in the world.
    pub(super) ids: BTreeSet<StepId>,
    /// To be applied again although nothing visible moved.
    pub(super) verify: BTreeSet<StepId>,
}

impl Todo {
    /// Everything: nothing is known yet.
    pub(super) fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub(super) fn add(&mut self, rung: Rung) {
        self.all |= rung.all;
        self.ids.extend(rung.moved);
        self.verify.extend(rung.suspect);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.ids.is_empty() && self.verify.is_empty()
    }
}

/// A step that is not over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    left: Left,
    /// Failures in a row.
    failures: u32,
    /// When it is looked at again by itself; none: not before something happens.
    next: Option<Instant>,
}

/// All steps that are not over.
#[derive(Debug, Default)]
pub(super) struct Opens {
    steps: BTreeMap<StepId, Open>,
}

impl Opens {
    pub(super) fn standing(&self, id: &StepId) -> Option<Standing> {
        self.steps.get(id).map(|open| open.left.standing)
    }

    /// When the first of them is to be looked at again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.steps.values().filter_map(|open| open.next).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.steps.values().any(|open| open.next.is_some_and(|next| next <= now))
    }

    /// Whether a step waits for its kind.
    pub(super) fn lacks_kinds(&self) -> bool {
        self.steps.values().any(|open| open.left.class == Some(Class::Skipped))
    }

    /// Takes in what a pass over some steps, or over all, has left. `first` is `spec.retryInterval`.
    pub(super) fn take(
        &mut self,
        part: Option<&BTreeSet<StepId>>,
        left: BTreeMap<StepId, Left>,
        first: Duration,
        now: Instant,
    ) {
        let mut before = match part {
            None => std::mem::take(&mut self.steps),
            Some(part) => part.iter().filter_map(|id| self.steps.remove_entry(id)).collect(),
        };
        for (id, left) in left {
            let before = before.remove(&id).map_or(0, |old| old.failures);
            // What is on its way has not failed.
            let failures = if left.class.is_some() { before.saturating_add(1) } else { 0 };
            self.steps.insert(id, Open::new(left, failures, first, now));
        }
    }
}

impl Open {
    fn new(left: Left, failures: u32, first: Duration, now: Instant) -> Self {
        let pause = match left.class {
            Some(Class::Retry) | None => Some(timing::backoff(first, failures)),
            Some(Class::Denied | Class::Bug | Class::Skipped) => Some(timing::jittered(SELDOM)),
            // Only a new revision, or somebody's hand, changes what was refused for good.
            Some(Class::Stalled) => None,
        };
        let pause = pause.map(|pause| pause.max(left.retry_after.unwrap_or_default()));
        Self { left, failures, next: pause.map(|pause| now + pause) }
    }
}

/// The steps that a pass is about; none: all of them. An empty part is nothing to do. `wide`: a new plan, or something
/// that held steps back may be gone.
pub(super) fn part(
    todo: &Todo,
    opens: &Opens,
    unwanted: &BTreeSet<StepId>,
    plan: &Plan,
    wide: bool,
    now: Instant,
) -> Option<BTreeSet<StepId>> {
    if todo.all {
        return None;
    }
    let mut part = todo.ids.clone();
    let due = opens.steps.iter().filter(|(_, open)| open.next.is_some_and(|next| next <= now));
    part.extend(due.map(|(id, _)| id.clone()));
    // With a new plan anything that was refused may be otherwise, and what is unwanted has to be judged anew.
    if wide {
        part.extend(unwanted.iter().cloned());
        part.extend(opens.steps.keys().cloned());
    } else if !part.is_empty() {
        part.extend(opens.steps.iter().filter(|(_, open)| open.left.soon).map(|(id, _)| id.clone()));
    }
    // Unwanted entries are judged together, and a removal waits for what may replace it.
    if unwanted.iter().any(|id| part.contains(id)) {
        part.extend(unwanted.iter().cloned());
        part.extend(opens.steps.keys().cloned());
    }
    // What a CR expands to stands and falls with it, where another controller acts on it.
    while !part.is_empty() {
        let mut more: Vec<&StepId> = Vec::new();
        for step in &plan.steps {
            let Some(owner) = &step.owner else { continue };
            if part.contains(owner) {
                more.push(&step.id);
            } else if part.contains(&step.id) && opens.steps.contains_key(owner) {
                more.push(owner);
            }
        }
        let before = part.len();
        part.extend(more.into_iter().cloned());
        if part.len() == before {
            break;
        }
    }
    part.extend(todo.verify.iter().cloned());
    Some(part)
}

#[cfg(test)]
mod tests;
