//! Two documents that claim the same: an object, or a port of every node.
//!
//! Pure. Called by `expand`.

use std::collections::BTreeMap;

use super::Shape;
use super::ids::Ids;
use super::unit::Unit;
use crate::declared::Problems;
use crate::plan::StepId;
use crate::problem::{Code, Severity};

/// Leaves out every document that expands to something another one claims too. A document that declares the object
/// itself stays: it says what is wanted there in so many words. One problem for each document and those it meets.
pub(super) fn find(units: &[Unit], ids: &Ids, shape: &mut Shape, problems: &mut Problems) {
    let mut contested = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        for cell in unit.cells.iter().filter(|cell| shape.claims(cell.id) > 1) {
            contested.entry(ids.id(cell.id)).or_insert_with(|| (cell.id, Vec::new())).1.push(index);
        }
    }
    // By document and the others: the first id, and how many.
    let mut met: BTreeMap<(usize, Vec<usize>), (&StepId, usize)> = BTreeMap::new();
    for (id, (number, mut claimants)) in contested {
        claimants.dedup();
        let first = claimants.iter().find(|other| units[**other].id() == Some(number)).copied();
        for &index in claimants.iter().filter(|index| claimants.len() == 1 || first != Some(**index)) {
            let others = claimants.iter().copied().filter(|other| *other != index).collect();
            met.entry((index, others)).or_insert((id, 0)).1 += 1;
        }
    }
    for ((index, others), (id, count)) in met {
        let by = if others.is_empty() {
            "twice by this document".to_owned()
        } else {
            format!("by {} too", others.iter().map(|other| place(&units[*other])).collect::<Vec<_>>().join(" and "))
        };
        let (more, verb) = match count - 1 {
            0 => (String::new(), "which is"),
            1 => (" and 1 more object".to_owned(), "which are"),
            more => (format!(" and {more} more objects"), "which are"),
        };
        let message = format!("{} claims {id}{more}, {verb} claimed {by}. Rename one of them.", what(&units[index]));
        problems.push(units[index].problem(Severity::Error, Code::NameConflict, "", message));
        shape.leave_out(index);
    }
}

/// Leaves out every document with a Service that asks for a port of the nodes which a Service of another document asks
/// for too: a cluster gives it to whoever comes first, and that would be chance. Within one document the kind's own
/// check, or the API server, says so.
pub(super) fn find_ports(units: &[Unit], ids: &Ids, shape: &mut Shape, problems: &mut Problems) {
    let mut claims: BTreeMap<&(i64, String), Vec<(usize, &StepId)>> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate().filter(|(index, _)| !shape.is_out(*index)) {
        for cell in &unit.cells {
            for claim in cell.links.more.iter().flat_map(|more| &more.node_ports) {
                claims.entry(claim).or_default().push((index, ids.id(cell.id)));
            }
        }
    }
    for ((port, protocol), by) in claims {
        for (index, id) in &by {
            let Some((other, theirs)) = by.iter().find(|(other, _)| other != index) else { continue };
            let message = format!(
                "{id} asks for port {port}/{protocol} of the nodes, which {theirs} of {} asks for too. Give one of them \
                 another port.",
                place(&units[*other])
            );
            problems.push(units[*index].problem(Severity::Error, Code::PortTaken, "", message));
            shape.leave_out(*index);
        }
    }
}

fn what(unit: &Unit) -> String {
    format!("{} {}", unit.document.origin.kind, unit.document.origin.name)
}

fn place(unit: &Unit) -> String {
    format!("{} ({}:{})", what(unit), unit.document.origin.path, unit.document.origin.line)
}
