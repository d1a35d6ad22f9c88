//! Declared → plan: high-level CRs to steps, recursively, with ownership, order and one digest.
//!
//! Pure. Called by `agent` and `cli`; calls the registry of `kinds`.
//!
//! A document that cannot be expanded, claims what another one claims, depends on what is not there or lies on a circle is
//! left out as a whole, with what depends on it by name; each is a problem, and each is held (protected from pruning).
//! The others go on. The rules of the default order stand in [`edges`].

mod children;
mod circles;
mod conflicts;
pub mod edges;
mod references;
pub mod rights;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::declared::{Declared, Places, Problems};
use crate::plan::{Origin, Plan, Step, StepId, canonical, order};
use crate::problem::{Code, Problem, Severity};

/// One declared document with the steps it became; taken into the plan as a whole or not at all.
struct Unit {
    /// The document.
    origin: Arc<Origin>,
    /// Where its fields stand.
    places: Places,
    /// The document's own step first, then what it expanded to. `needs` holds what its family asks for.
    steps: Vec<Step>,
    /// What the annotation `windlass.dev/depends-on` names.
    wishes: BTreeSet<StepId>,
    /// An error keeps it out of the plan.
    out: bool,
}

impl Unit {
    /// A problem at a field of this document; at the document itself if the pointer is empty.
    fn problem(&self, severity: Severity, code: Code, pointer: &str, message: impl Into<String>) -> Problem {
        let mark = self.places.find(pointer);
        let problem = Problem::new(severity, code, message)
            .in_file(self.origin.path.as_str())
            .in_document(self.origin.document)
            .at(mark.line, mark.column);
        if pointer.is_empty() { problem } else { problem.pointing(self.places.full(pointer)) }
    }

    /// The id of the document's own step.
    fn id(&self) -> Option<&StepId> {
        self.steps.first().map(|step| &step.id)
    }
}

/// Expands. What cannot be expanded is a problem and is held (protected from pruning).
#[must_use]
pub fn expand(declared: &Declared) -> (Plan, Problems) {
    let mut problems = Problems::new();
    let mut units: Vec<Unit> =
        declared.documents.iter().map(|document| children::unit(document, &mut problems)).collect();
    conflicts::find(&mut units, &mut problems);

    // Whatever is left out may be what another document waits for by name, so this goes round until nothing changes.
    let steps = loop {
        wishes::drop_unmet(&mut units, &declared.held, &mut problems);
        let steps = connected(&units);
        if !circles::find(&mut units, &steps, &mut problems) {
            break steps;
        }
    };

    let mut held = declared.held.clone();
    held.owners.extend(units.iter().filter(|unit| unit.out).flat_map(|unit| &unit.steps).map(|step| step.id.clone()));
    let steps = order::arrange(steps).steps;
    let digest = canonical::digest(steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
    problems.sort();
    (Plan { revision: declared.revision.clone(), steps, digest, held }, problems)
}

/// The steps of all units that are in, with every edge.
fn connected(units: &[Unit]) -> Vec<Step> {
    let live = || units.iter().filter(|unit| !unit.out);
    let mut below: BTreeMap<&StepId, Vec<&StepId>> = BTreeMap::new();
    for unit in live() {
        for step in &unit.steps {
            if let Some(owner) = &step.owner {
                below.entry(owner).or_default().push(&step.id);
            }
        }
    }
    let mut steps = Vec::new();
    for unit in live() {
        let wishes = wishes::with_children(&unit.wishes, &below);
        for step in &unit.steps {
            let mut step = step.clone();
            step.needs.extend(wishes.iter().cloned());
            steps.push(step);
        }
    }
    edges::add(&mut steps);
    steps
}

#[cfg(test)]
mod tests;
