//! Steps that wait for one another in a circle.
//!
//! Pure. Called by `expand`.

use std::collections::{BTreeMap, BTreeSet};

use super::Unit;
use crate::declared::Problems;
use crate::plan::{Step, StepId, order};
use crate::problem::{Code, Severity};

/// How many steps of a circle a message names.
const SHOWN: usize = 8;

/// Leaves out every document with a step on a circle. True if there was one; the rest may then hold another.
pub(super) fn find(units: &mut [Unit], steps: &[Step], problems: &mut Problems) -> bool {
    let mut open: BTreeMap<&StepId, &[StepId]> = steps.iter().map(|step| (&step.id, &step.needs[..])).collect();
    for id in order::sort(&open) {
        open.remove(&id);
    }
    if open.is_empty() {
        return false;
    }
    let mut seen = BTreeSet::new();
    for &start in open.keys() {
        let Some(circle) = walk(start, &open, &mut seen) else { continue };
        let names = text(&circle);
        for unit in
            units.iter_mut().filter(|unit| !unit.out && unit.steps.iter().any(|step| circle.contains(&&step.id)))
        {
            let message = format!(
                "Its steps wait for one another in a circle: {names}. Take one of the `windlass.dev/depends-on` \
                 annotations on it away."
            );
            problems.push(unit.problem(Severity::Error, Code::DependencyCycle, "", message));
            unit.out = true;
        }
    }
    true
}

/// Follows what is left of the edges until a step comes up again; none if that leads to where an earlier walk was.
/// Every step that is left has a need that is left, so the walk ends in one of the two ways.
fn walk<'a>(
    start: &'a StepId,
    open: &BTreeMap<&'a StepId, &'a [StepId]>,
    seen: &mut BTreeSet<&'a StepId>,
) -> Option<Vec<&'a StepId>> {
    let mut path = Vec::new();
    let mut at = start;
    while seen.insert(at) {
        path.push(at);
        at = open.get(at)?.iter().find_map(|need| open.get_key_value(need))?.0;
    }
    let first = path.iter().position(|id| *id == at)?;
    let mut circle = path.split_off(first);
    let smallest = circle.iter().enumerate().min_by_key(|(_, id)| **id).map_or(0, |(index, _)| index);
    circle.rotate_left(smallest);
    Some(circle)
}

/// `a → b → a`.
fn text(circle: &[&StepId]) -> String {
    let mut names: Vec<String> = circle.iter().take(SHOWN).map(ToString::to_string).collect();
    if circle.len() > SHOWN {
        names.push(format!("({} more)", circle.len() - SHOWN));
    }
    names.extend(circle.first().map(ToString::to_string));
    names.join(" → ")
}
