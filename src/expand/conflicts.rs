//! Two documents that claim the same object.
//!
//! Pure. Called by `expand`.

use std::collections::BTreeMap;

use super::Shape;
use super::ids::Ids;
use super::unit::Unit;
use crate::declared::Problems;
use crate::problem::{Code, Severity};

/// Leaves out every document that expands to something another one claims too. A document that declares the object
/// itself stays: it says what is wanted there in so many words.
pub(super) fn find(units: &[Unit], ids: &Ids, shape: &mut Shape, problems: &mut Problems) {
    let mut contested = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        for cell in unit.cells.iter().filter(|cell| shape.claims(cell.id) > 1) {
            contested.entry(ids.id(cell.id)).or_insert_with(|| (cell.id, Vec::new())).1.push(index);
        }
    }
    for (id, (number, mut claimants)) in contested {
        claimants.dedup();
        let first = claimants.iter().find(|other| units[**other].id() == Some(number)).copied();
        for &index in &claimants {
            if claimants.len() > 1 && first == Some(index) {
                continue;
            }
            let others: Vec<String> = claimants
                .iter()
                .filter(|other| **other != index)
                .map(|other| {
                    let origin = &units[*other].document.origin;
                    format!("{} ({}:{})", what(&units[*other]), origin.path, origin.line)
                })
                .collect();
            let by = if others.is_empty() {
                "twice by this document".to_owned()
            } else {
                format!("by {} too", others.join(" and "))
            };
            let message = format!("{} claims {id}, which is claimed {by}. Rename one of them.", what(&units[index]));
            problems.push(units[index].problem(Severity::Error, Code::NameConflict, "", message));
            shape.leave_out(index);
        }
    }
}

fn what(unit: &Unit) -> String {
    format!("{} {}", unit.document.origin.kind, unit.document.origin.name)
}
