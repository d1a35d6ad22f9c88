//! Steps that wait for one another in a circle.
//!
//! Pure. Called by `expand` when not all steps can be put into an order.

use std::collections::{BTreeMap, HashSet};

use super::Shape;
use super::ids::{Ids, Number};
use super::unit::Unit;
use crate::declared::Problems;
use crate::problem::{Code, Severity};

/// How many steps of a circle a message names.
const SHOWN: usize = 8;

/// Leaves out every document with a step on a circle, given all steps that are not in `order`.
pub(super) fn find(units: &[Unit], order: &[Number], ids: &Ids, shape: &mut Shape, problems: &mut Problems) {
    let done: HashSet<Number> = order.iter().copied().collect();
    let open: BTreeMap<u32, &[Number]> = shape
        .live(units)
        .filter(|cell| !done.contains(&cell.id))
        .map(|cell| (ids.rank_of(cell.id), &cell.needs[..]))
        .collect();
    let mut seen = HashSet::new();
    let mut circles = Vec::new();
    for &start in open.keys() {
        circles.extend(walk(start, &open, &mut seen, ids));
    }
    for circle in circles {
        let names = text(&circle, ids);
        let circle: HashSet<u32> = circle.into_iter().collect();
        for (index, unit) in units.iter().enumerate() {
            if shape.is_out(index) || !unit.cells.iter().any(|cell| circle.contains(&ids.rank_of(cell.id))) {
                continue;
            }
            let message = format!(
                "Its steps wait for one another in a circle: {names}. Take one of the `windlass.dev/depends-on` \
                 annotations on it away."
            );
            problems.push(unit.problem(Severity::Error, Code::DependencyCycle, "", message));
            shape.leave_out(index);
        }
    }
}

/// Follows what is left of the edges, by rank, until a step comes up again; none if that leads to where an earlier walk
/// was. Every step that is left has a need that is left, so the walk ends in one of the two ways.
fn walk(start: u32, open: &BTreeMap<u32, &[Number]>, seen: &mut HashSet<u32>, ids: &Ids) -> Option<Vec<u32>> {
    let mut path = Vec::new();
    let mut at = start;
    while seen.insert(at) {
        path.push(at);
        at = open.get(&at)?.iter().map(|need| ids.rank_of(*need)).find(|need| open.contains_key(need))?;
    }
    let first = path.iter().position(|rank| *rank == at)?;
    let mut circle = path.split_off(first);
    let smallest = circle.iter().enumerate().min_by_key(|(_, rank)| **rank).map_or(0, |(index, _)| index);
    circle.rotate_left(smallest);
    Some(circle)
}

/// `a → b → a`.
fn text(circle: &[u32], ids: &Ids) -> String {
    let name = |rank: &u32| ids.id(ids.sorted()[*rank as usize]).to_string();
    let mut names: Vec<String> = circle.iter().take(SHOWN).map(name).collect();
    if circle.len() > SHOWN {
        names.push(format!("({} more)", circle.len() - SHOWN));
    }
    names.extend(circle.first().map(name));
    names.join(" → ")
}
