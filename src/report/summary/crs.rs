//! The statuses of the declared CRs: what the kinds make of how their steps stand.
//!
//! Pure. Only of those that a pass had to do with; the others keep what was said. Called by `summary`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Facts, Summary, second};
use crate::diff::guard::reasons::OTHER_CONTROLLER;
use crate::kinds::{self, ChildState, Cr, StatusInput};
use crate::plan::{Plan, StepId};
use crate::report::view::Steps;
use crate::target::LiveStatus;

/// The declared CRs that the pass had anything to do with: itself, or something it expands to.
pub(super) fn touched(previous: &Summary, facts: &Facts<'_>, plan: &Plan) -> BTreeSet<StepId> {
    let is_ours = |id: &StepId| id.object_parts().is_some_and(|parts| kinds::find(parts.group, parts.kind).is_some());
    // Somebody else changed what it says of itself: that is put right in passing.
    let differs = |(id, live): &(&StepId, &LiveStatus)| {
        previous.crs.get(*id).is_some_and(|said| live.status.as_ref() != Some(said))
    };
    let mut touched: BTreeSet<StepId> = facts.live.iter().filter(differs).map(|(id, _)| id.clone()).collect();
    if facts.same_plan && facts.outcomes.is_empty() {
        return touched;
    }
    let owners = owners(plan);
    for step in plan.steps.iter().filter(|step| !facts.same_plan || facts.outcomes.contains_key(&step.id)) {
        // A CR answers for what its own CRs expand to as well.
        let mut above = owners.get(&step.id).copied();
        while let Some(owner) = above {
            touched.insert(owner.clone());
            above = owners.get(owner).copied();
        }
        if is_ours(&step.id) {
            touched.insert(step.id.clone());
        }
    }
    touched
}

/// Who expands to what. Owners form no circle: each is made before what it owns.
fn owners(plan: &Plan) -> HashMap<&StepId, &StepId> {
    plan.steps.iter().filter_map(|step| Some((&step.id, step.owner.as_ref()?))).collect()
}

/// Brings the statuses of the touched CRs up to date.
pub(super) fn statuses(
    previous: &Summary,
    facts: &Facts<'_>,
    plan: &Plan,
    steps: &Steps,
    touched: &BTreeSet<StepId>,
    crs: &mut Arc<BTreeMap<StepId, Value>>,
) {
    if !facts.same_plan {
        let wanted: HashSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
        if crs.keys().any(|id| !wanted.contains(id)) {
            Arc::make_mut(crs).retain(|id, _| wanted.contains(id));
        }
    }
    if touched.is_empty() {
        return;
    }
    let owners = owners(plan);
    let mut children: BTreeMap<&StepId, Vec<ChildState>> = BTreeMap::new();
    for (step, view) in plan.steps.iter().zip(steps) {
        let mut above = owners.get(&step.id).copied();
        while let Some(owner) = above {
            if touched.contains(owner) {
                children.entry(owner).or_default().push(ChildState {
                    id: view.id.clone(),
                    state: view.state,
                    reason: view.reason.clone(),
                    message: view.message.clone(),
                });
            }
            above = owners.get(owner).copied();
        }
    }
    let now = second(facts.now);
    for (step, view) in plan.steps.iter().zip(steps).filter(|(step, _)| touched.contains(&step.id)) {
        let (Some(parts), Some(manifest)) = (step.id.object_parts(), step.want.object()) else { continue };
        let Some(kind) = kinds::find(parts.group, parts.kind) else { continue };
        // Two writers of one status would take turns for ever.
        if view.reason == OTHER_CONTROLLER {
            if crs.contains_key(&step.id) {
                Arc::make_mut(crs).remove(&step.id);
            }
            continue;
        }
        let manifest = manifest.value();
        let live = facts.live.get(&step.id);
        let input = StatusInput {
            cr: Cr::new(parts.name, parts.namespace.unwrap_or_default(), &manifest),
            generation: live.and_then(|live| live.generation),
            previous: live.and_then(|live| live.status.as_ref()).or_else(|| previous.crs.get(&step.id)),
            children: children.get(&step.id).map(Vec::as_slice).unwrap_or_default(),
            now: &now,
        };
        if let Some(status) = (kind.status)(&input)
            && crs.get(&step.id) != Some(&status)
        {
            Arc::make_mut(crs).insert(step.id.clone(), status);
        }
    }
}
