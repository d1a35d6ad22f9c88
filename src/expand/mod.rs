//! Declared → plan: high-level CRs to steps, recursively, with ownership, order and one digest.
//!
//! Pure. Called by `agent` and `cli`; calls the registry of `kinds`.
//!
//! A document that cannot be expanded, claims what another one claims, depends on what is not there or lies on a circle is
//! left out as a whole, with what depends on it by name; each is a problem, and each is held (protected from pruning).
//! The others go on. The rules of the default order stand in [`edges`].
//!
//! What a document expands to, what it names and what names it is found once and remembered ([`Memo`]); what all documents
//! together say is worked out on numbers each time. So a plan after a change costs the change and a walk over numbers, and
//! is the plan that is made from nothing, byte for byte.

mod children;
mod circles;
mod conflicts;
pub mod edges;
mod ids;
mod links;
mod memo;
mod order;
mod references;
pub mod rights;
mod shape;
mod unit;
mod wishes;

use std::collections::HashMap;

pub use memo::Memo;

use self::edges::Index;
use self::ids::{Ids, Number};
use self::shape::Shape;
use self::unit::{Pool, Unit};
use crate::declared::{Declared, Problems};
use crate::plan::{Plan, canonical};

/// Expands. What cannot be expanded is a problem and is held (protected from pruning).
#[must_use]
pub fn expand(declared: &Declared) -> (Plan, Problems) {
    update(declared, &mut Memo::default())
}

/// As [`expand`], with what is remembered of the last revision.
#[must_use]
pub fn update(declared: &Declared, memo: &mut Memo) -> (Plan, Problems) {
    memo.take(&declared.documents);
    let Memo { units, ids, order, digest, .. } = memo;
    let mut problems: Problems = units.iter().flat_map(|unit| unit.told.iter().cloned()).collect();
    let mut shape = Shape::of(units, ids);
    if shape.is_contested() {
        conflicts::find(units, ids, &mut shape, &mut problems);
    }
    conflicts::find_ports(units, ids, &mut shape, &mut problems);
    // Whatever is left out may be what another document waits for by name, so this goes round until nothing changes.
    loop {
        shape.look(units);
        wishes::drop_unmet(units, ids, &declared.held, &mut shape, &mut problems);
        let same = connect(units, ids, &shape) && order.len() == shape.count();
        if same && order.iter().all(|id| shape.is_live(*id)) {
            break;
        }
        digest.clear();
        *order = order::sort(units, &shape, ids);
        if order.len() == shape.count() {
            break;
        }
        circles::find(units, order, ids, &mut shape, &mut problems);
    }

    let mut by_number = vec![None; ids.len()];
    for cell in shape.live(units) {
        by_number[cell.id as usize] = Some(&cell.step);
    }
    let step = |number: &Number| by_number[*number as usize];
    if digest.is_empty() {
        let sorted = ids.sorted().iter().filter_map(step);
        *digest = canonical::digest_sorted(sorted.map(|step| (step.id.as_str(), step.hash.as_str())));
    }
    let steps = order.iter().filter_map(step).cloned().collect();
    let mut held = declared.held.clone();
    let out = units.iter().enumerate().filter(|(index, _)| shape.is_out(*index));
    held.owners.extend(out.flat_map(|(_, unit)| &unit.cells).map(|cell| ids.id(cell.id).clone()));
    problems.sort();
    (Plan { revision: declared.revision.clone(), steps, digest: digest.clone(), held }, problems)
}

/// Gives every step that is in all that it waits for. True if nothing of it changed.
fn connect(units: &mut [Unit], ids: &Ids, shape: &Shape) -> bool {
    let live = || units.iter().enumerate().filter(|(unit, _)| !shape.is_out(*unit)).map(|(_, unit)| unit);
    let mut below: HashMap<Number, Vec<Number>> = HashMap::new();
    if live().any(|unit| !unit.wishes.is_empty()) {
        for cell in shape.live(units) {
            if let Some(owner) = cell.owner {
                below.entry(owner).or_default().push(cell.id);
            }
        }
    }
    let index = Index::of(units, shape, ids);
    let (mut changed, mut needs) = (Vec::new(), Vec::new());
    for (number, unit) in units.iter().enumerate().filter(|(number, _)| !shape.is_out(*number)) {
        let wishes = wishes::with_children(&unit.wishes, &below);
        for (at, cell) in unit.cells.iter().enumerate() {
            needs.clear();
            needs.extend(wishes.iter().chain(cell.asked.iter()));
            index.needs(cell, shape, ids, &mut needs);
            needs.sort_unstable_by_key(|need| ids.rank_of(*need));
            needs.dedup();
            if needs[..] != cell.needs[..] {
                changed.push((number, at, needs.clone()));
            }
        }
    }
    let same = changed.is_empty();
    let mut pool = Pool::new();
    for (unit, cell, needs) in changed {
        units[unit].cells[cell].wait_for(&needs, ids, &mut pool);
    }
    same
}

#[cfg(test)]
mod tests;
