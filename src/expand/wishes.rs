//! What a document's annotations ask for: exceptions, and what has to be there first.
//!
//! Pure. Called by `expand`; `declared` has already refused annotations that do not exist.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Unit;
use crate::declared::Problems;
use crate::plan::{Held, Policy, StepId};
use crate::problem::{Code, Severity};

const DEPENDS_ON: &str = "windlass.dev/depends-on";
const POINTER: &str = "/metadata/annotations/windlass.dev~1depends-on";

/// The exceptions (design §5.3).
pub(super) fn policy(manifest: &Value) -> Policy {
    let says = |key: &str, value: &str| annotation(manifest, key) == Some(value);
    Policy {
        keep: says("windlass.dev/prune", "disabled"),
        recreate: says("windlass.dev/recreate", "true"),
        ignore_drift: says("windlass.dev/drift", "ignore"),
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
pub(super) fn with_children(wishes: &BTreeSet<StepId>, below: &BTreeMap<&StepId, Vec<&StepId>>) -> BTreeSet<StepId> {
    let mut all = BTreeSet::new();
    let mut open: Vec<&StepId> = wishes.iter().collect();
    while let Some(id) = open.pop() {
        if all.insert(id.clone()) {
            open.extend(below.get(id).into_iter().flatten());
        }
    }
    all
}

/// Leaves out documents that need what is not in the plan, and then those that need these.
pub(super) fn drop_unmet(units: &mut [Unit], held: &Held, problems: &mut Problems) {
    let known: BTreeSet<StepId> = units.iter().flat_map(|unit| &unit.steps).map(|step| step.id.clone()).collect();
    loop {
        let live: BTreeSet<&StepId> =
            units.iter().filter(|unit| !unit.out).flat_map(|unit| &unit.steps).map(|step| &step.id).collect();
        let mut unmet = Vec::new();
        for (index, unit) in units.iter().enumerate().filter(|(_, unit)| !unit.out) {
            let needs = unit.wishes.iter().chain(unit.steps.iter().flat_map(|step| &step.needs));
            let missing: BTreeSet<StepId> = needs.filter(|id| !live.contains(id)).cloned().collect();
            if !missing.is_empty() {
                unmet.push((index, missing));
            }
        }
        if unmet.is_empty() {
            return;
        }
        for (index, missing) in unmet {
            for id in missing {
                let message = message(&id, &known, held);
                problems.push(units[index].problem(Severity::Error, Code::DependencyMissing, POINTER, message));
            }
            units[index].out = true;
        }
    }
}

fn message(id: &StepId, known: &BTreeSet<StepId>, held: &Held) -> String {
    if known.contains(id) || held.owners.contains(id) {
        return format!("It depends on {id}, which has a problem of its own and is left out. Solve that one first.");
    }
    let near = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(id.as_str(), other.as_str()), other))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let hint = near.map(|(_, other)| format!(" Did you mean {other}?")).unwrap_or_default();
    format!(
        "It depends on {id}, which is not in the plan.{hint} `windlass render` lists the ids of all steps; an object's is \
         object/<group|core>/<Kind>/<namespace|->/<name>."
    )
}

fn annotation<'a>(manifest: &'a Value, key: &str) -> Option<&'a str> {
    manifest.pointer("/metadata/annotations")?.get(key)?.as_str()
}
