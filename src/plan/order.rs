//! The order graph: steps in topological order of `needs`, ties by id.
//!
//! Pure. Called by `expand` when it makes a plan, and by `target` for the reverse order of deletions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Step, StepId};

/// What came of sorting.
#[derive(Debug, Default, PartialEq)]
pub struct Arranged {
    /// Steps in topological order, ties by id.
    pub steps: Vec<Arc<Step>>,
    /// Steps that lie on a circle or wait for one that does; they cannot be in a plan.
    pub circular: Vec<Step>,
}

/// Sorts steps. A need that names no step of the list is taken as met.
#[must_use]
pub fn arrange(steps: Vec<Step>) -> Arranged {
    let order = sort(&steps.iter().map(|step| (&step.id, &step.needs[..])).collect());
    let mut by_id: BTreeMap<StepId, Step> = steps.into_iter().map(|step| (step.id.clone(), step)).collect();
    let steps = order.iter().filter_map(|id| by_id.remove(id)).map(Arc::new).collect();
    Arranged { steps, circular: by_id.into_values().collect() }
}

/// Sorts ids by what they need (Kahn's algorithm, smallest id first). Ids on a circle are left out.
#[must_use]
pub fn sort(needs: &BTreeMap<&StepId, &[StepId]>) -> Vec<StepId> {
    let mut open: BTreeMap<&StepId, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<&StepId, Vec<&StepId>> = BTreeMap::new();
    for (id, needs_of) in needs.iter() {
        let known = needs_of.iter().filter(|need| needs.contains_key(need));
        open.insert(id, known.clone().count());
        for need in known {
            dependants.entry(need).or_default().push(id);
        }
    }
    let mut free: BTreeSet<&StepId> = open.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    let mut sorted = Vec::with_capacity(open.len());
    while let Some(id) = free.pop_first() {
        sorted.push(id.clone());
        for dependant in dependants.get(id).into_iter().flatten() {
            if let Some(count) = open.get_mut(dependant) {
                *count -= 1;
                if *count == 0 {
                    free.insert(dependant);
                }
            }
        }
    }
    sorted
}
