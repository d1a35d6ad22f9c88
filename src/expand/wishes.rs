//! What a document's annotations ask for: exceptions, and what has to be there first.
//!
//! Pure. Called by `expand`; `declared` has already refused annotations that do not exist.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::Shape;
use super::ids::{Ids, Number};
use super::unit::Unit;
use crate::declared::Problems;
use crate::plan::{Held, Policy, StepId};
use crate::problem::{Code, Severity};
use crate::sync::ALLOW_SCALE_DOWN;

const DEPENDS_ON: &str = "windlass.dev/depends-on";
const POINTER: &str = "/metadata/annotations/windlass.dev~1depends-on";
/// Farthest spelling, in characters, that is taken for a slip.
const FAR: usize = 3;

/// The exceptions (design §5.3).
pub(super) fn policy(manifest: &Value) -> Policy {
    let says = |key: &str, value: &str| annotation(manifest, key) == Some(value);
    Policy {
        keep: says("windlass.dev/prune", "disabled"),
        recreate: says("windlass.dev/recreate", "true"),
        ignore_drift: says("windlass.dev/drift", "ignore"),
        allow_scale_down: says(ALLOW_SCALE_DOWN, "true"),
        ..Policy::default()
    }
}

/// The step ids that `depends-on` names.
pub(super) fn wishes(manifest: &Value) -> BTreeSet<StepId> {
    let ids = annotation(manifest, DEPENDS_ON).unwrap_or_default().split(',').map(str::trim);
    ids.filter(|id| !id.is_empty()).map(StepId::from_text).collect()
}

/// What was wished for, and what that expanded to: a CR is ready once it is applied, so who waits for one means its
/// children.
pub(super) fn with_children(wishes: &[Number], below: &HashMap<Number, Vec<Number>>) -> Vec<Number> {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    let mut open = wishes.to_vec();
    while let Some(number) = open.pop() {
        if seen.insert(number) {
            all.push(number);
            open.extend(below.get(&number).into_iter().flatten());
        }
    }
    all
}

/// Leaves out documents that need what is not in the plan, and then those that need these.
pub(super) fn drop_unmet(units: &[Unit], ids: &Ids, held: &Held, shape: &mut Shape, problems: &mut Problems) {
    loop {
        let mut unmet = Vec::new();
        for (index, unit) in units.iter().enumerate().filter(|(index, _)| !shape.is_out(*index)) {
            let needs = || unit.wishes.iter().chain(unit.cells.iter().flat_map(|cell| cell.asked.iter()));
            let broken = broken(unit, ids, held, shape);
            if broken.is_empty() && needs().all(|need| shape.is_live(*need)) {
                continue;
            }
            let missing = needs().filter(|need| !shape.is_live(**need)).map(|need| ids.id(*need));
            unmet.push((index, missing.chain(broken).collect::<BTreeSet<&StepId>>()));
        }
        if unmet.is_empty() {
            return;
        }
        for (index, missing) in unmet {
            for id in missing {
                let message = message(id, ids, shape, held);
                problems.push(units[index].problem(Severity::Error, Code::DependencyMissing, POINTER, message));
            }
            shape.leave_out(index);
        }
        shape.look(units);
    }
}

/// What is only waited for where it is there is missed only where it should be there and has a problem.
fn broken<'a>(unit: &Unit, ids: &'a Ids, held: &Held, shape: &Shape) -> Vec<&'a StepId> {
    let is_broken = |id: Number| !shape.is_live(id) && (shape.claims(id) > 0 || held.owners.contains(ids.id(id)));
    let more = unit.cells.iter().filter_map(|cell| cell.links.more.as_deref());
    let missing = more.flat_map(|more| &more.after).filter(|(step, _)| !shape.is_live(*step));
    let found = missing.filter_map(|(step, by)| [Some(*step), *by].into_iter().flatten().find(|id| is_broken(*id)));
    found.map(|id| ids.id(id)).collect()
}

fn message(id: &StepId, ids: &Ids, shape: &Shape, held: &Held) -> String {
    if ids.find(id).is_some_and(|number| shape.claims(number) > 0) || held.owners.contains(id) {
        return format!("It depends on {id}, which has a problem of its own and is left out. Solve that one first.");
    }
    let known = ids.sorted().iter().filter(|number| shape.claims(**number) > 0).map(|number| ids.id(*number));
    let near = known
        .filter(|other| other.as_str().len().abs_diff(id.as_str().len()) <= 4 * FAR)
        .map(|other| (strsim::damerau_levenshtein(id.as_str(), other.as_str()), other))
        .min()
        .filter(|(distance, _)| *distance <= FAR);
    let hint = near.map(|(_, other)| format!(" Did you mean {other}?")).unwrap_or_default();
    format!(
        "It depends on {id}, which is not in the plan.{hint} `windlass render` lists the ids of all steps; an object's is \
         object/<group|core>/<Kind>/<namespace|->/<name>."
    )
}

fn annotation<'a>(manifest: &'a Value, key: &str) -> Option<&'a str> {
    manifest.pointer("/metadata/annotations")?.get(key)?.as_str()
}
