//! Two documents that claim the same object.
//!
//! Pure. Called by `expand`.

use std::collections::BTreeMap;

use super::Unit;
use crate::declared::Problems;
use crate::plan::StepId;
use crate::problem::{Code, Severity};

/// Leaves out every document that expands to something another one claims too. A document that declares the object
/// itself stays: it says what is wanted there in so many words.
pub(super) fn find(units: &mut [Unit], problems: &mut Problems) {
    let mut claims: BTreeMap<&StepId, Vec<usize>> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        for step in &unit.steps {
            claims.entry(&step.id).or_default().push(index);
        }
    }
    let conflicts: Vec<(StepId, Vec<usize>)> =
        claims.into_iter().filter(|(_, by)| by.len() > 1).map(|(id, by)| (id.clone(), by)).collect();
    for (id, mut claimants) in conflicts {
        claimants.dedup();
        for &index in &claimants {
            let declares = |unit: &Unit| unit.id() == Some(&id);
            let first = claimants.iter().find(|other| declares(&units[**other]));
            if claimants.len() > 1 && first == Some(&index) {
                continue;
            }
            let others: Vec<String> = claimants
                .iter()
                .filter(|other| **other != index)
                .map(|other| {
                    format!("{} ({}:{})", what(&units[*other]), units[*other].origin.path, units[*other].origin.line)
                })
                .collect();
            let by = if others.is_empty() {
                "twice by this document".to_owned()
            } else {
                format!("by {} too", others.join(" and "))
            };
            let message = format!("{} claims {id}, which is claimed {by}. Rename one of them.", what(&units[index]));
            problems.push(units[index].problem(Severity::Error, Code::NameConflict, "", message));
            units[index].out = true;
        }
    }
}

fn what(unit: &Unit) -> String {
    format!("{} {}", unit.origin.kind, unit.origin.name)
}
