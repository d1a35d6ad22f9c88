//! One declared document with the steps it became; taken into the plan as a whole or not at all.
//!
//! Pure. Made by `children`, kept by [`super::Memo`] as long as the document stays as it is.

use std::collections::HashMap;
use std::sync::Arc;

use super::ids::{Ids, Number};
use super::links::Links;
use crate::declared::{Document, Problems};
use crate::plan::{Needs, Step, StepId};
use crate::problem::{Code, Problem, Severity};

/// A document and what it became.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// The document.
    pub(super) document: Arc<Document>,
    /// The document's own step first, then what it expanded to.
    pub(super) cells: Vec<Cell>,
    /// What the annotation `windlass.dev/depends-on` names.
    pub(super) wishes: Box<[Number]>,
    /// What is wrong with the document by itself.
    pub(super) told: Problems,
    /// An error among them keeps it out of every plan.
    pub(super) failed: bool,
}

/// One step, with what decides about its place in a plan.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Its id.
    pub(super) id: Number,
    /// The step that expanded to it.
    pub(super) owner: Option<Number>,
    /// What its family asks to be ready first.
    pub(super) asked: Box<[Number]>,
    /// What it names, and what names it.
    pub(super) links: Links,
    /// All that it waits for in the plan, in the order of ids.
    pub(super) needs: Arc<[Number]>,
    /// The step as it stands in the plan.
    pub(super) step: Arc<Step>,
    /// Whether it holds a secret.
    pub(super) secret: bool,
}

impl Unit {
    /// A problem at a field of this document; at the document itself if the pointer is empty.
    pub(super) fn problem(&self, severity: Severity, code: Code, pointer: &str, message: impl Into<String>) -> Problem {
        problem(&self.document, severity, code, pointer, message)
    }

    /// The id of the document's own step.
    pub(super) fn id(&self) -> Option<Number> {
        self.cells.first().map(|cell| cell.id)
    }

    /// Takes over the steps of an earlier state of the document, as far as they did not change.
    pub(super) fn inherit(&mut self, old: Self) {
        for before in old.cells {
            let Some(cell) = self.cells.iter_mut().find(|cell| cell.id == before.id) else { continue };
            Arc::make_mut(&mut cell.step).needs = before.step.needs.clone();
            cell.needs = before.needs;
            if cell.step == before.step {
                cell.step = before.step;
            }
        }
    }

    /// Every number that it holds.
    pub(super) fn numbers(&mut self, mut visit: impl FnMut(&mut Number)) {
        self.wishes.iter_mut().for_each(&mut visit);
        for cell in &mut self.cells {
            visit(&mut cell.id);
            visit(&mut cell.links.kind);
            if let Some(more) = cell.links.more.as_deref_mut() {
                more.defines.iter_mut().chain(&mut more.limits).for_each(&mut visit);
                more.binds.iter_mut().chain(&mut more.calls).for_each(&mut visit);
                for (step, by) in &mut more.after {
                    visit(step);
                    by.iter_mut().for_each(&mut visit);
                }
                if let Some(workload) = &mut more.workload {
                    visit(&mut workload.namespace);
                    visit(&mut workload.account);
                }
            }
            let needs = Arc::make_mut(&mut cell.needs);
            let lists = cell.asked.iter_mut().chain(&mut cell.links.names).chain(needs);
            lists.chain(&mut cell.owner).for_each(&mut visit);
        }
    }
}

/// Lists of needs that were made in one go: many steps wait for the same.
pub(super) type Pool = HashMap<Arc<[Number]>, Needs>;

impl Cell {
    /// Sets what it waits for.
    pub(super) fn wait_for(&mut self, needs: &[Number], ids: &Ids, pool: &mut Pool) {
        let (numbers, needs) = match pool.get_key_value(needs) {
            Some((numbers, needs)) => (Arc::clone(numbers), needs.clone()),
            None => {
                let wanted: Vec<StepId> = needs.iter().map(|need| ids.id(*need).clone()).collect();
                let (numbers, needs) = (Arc::from(needs), Needs::from_sorted(wanted));
                pool.insert(Arc::clone(&numbers), needs.clone());
                (numbers, needs)
            }
        };
        self.needs = numbers;
        Arc::make_mut(&mut self.step).needs = needs;
    }
}

/// A problem of a document.
pub(super) fn problem(
    document: &Document,
    severity: Severity,
    code: Code,
    pointer: &str,
    message: impl Into<String>,
) -> Problem {
    let mark = document.places.find(pointer);
    let problem = Problem::new(severity, code, message)
        .in_file(document.origin.path.as_str())
        .in_document(document.origin.document)
        .at(mark.line, mark.column);
    if pointer.is_empty() { problem } else { problem.pointing(document.places.full(pointer)) }
}
