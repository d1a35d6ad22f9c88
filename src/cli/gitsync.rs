//! GitSyncs from files (`-f FILE`). They are never sent to a cluster.
//!
//! Called by `agent`, `render`, `diff` and `validate`.

use std::path::Path;

use anyhow::Context as _;

use crate::agent::CHECKS;
use crate::declared;
use crate::problem::{Code, Problem, Severity};
use crate::sync::{GitSync, load};

/// Every GitSync of a file, or everything that is wrong with it.
pub(super) fn all(path: &Path) -> anyhow::Result<Vec<GitSync>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let shown = path.display().to_string();
    let (documents, mut problems) = declared::loose(&shown, &text);
    let mut syncs = Vec::new();
    for document in documents {
        let (sync, wrong) = load::read(&document.value, &CHECKS);
        problems.extend(wrong.into_iter().map(|problem| {
            let mark = document.places.find(problem.pointer.as_deref().unwrap_or_default());
            problem.in_file(shown.clone()).in_document(document.document).at(mark.line, mark.column)
        }));
        syncs.extend(sync);
    }
    problems.sort();
    anyhow::ensure!(problems.is_empty(), "{} cannot be used:\n{}", path.display(), lines(&problems));
    anyhow::ensure!(!syncs.is_empty(), "{} holds no GitSync", path.display());
    Ok(syncs)
}

/// What is wrong with the GitSyncs among the documents of a repository's file; other documents are not looked at. What
/// this version does not act on yet is a warning here: the document may be meant for another agent.
pub(super) fn check(shown: &str, text: &str) -> Vec<Problem> {
    let (documents, _) = declared::loose(shown, text);
    let mut problems = Vec::new();
    for document in documents {
        let text = |key| document.value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        if text("kind") != "GitSync" || text("apiVersion").split('/').next() != Some(crate::sync::GROUP) {
            continue;
        }
        let (_, wrong) = load::read(&document.value, &CHECKS);
        problems.extend(wrong.into_iter().map(|mut problem| {
            if problem.code == Code::NotSupported {
                problem.severity = Severity::Warning;
            }
            let mark = document.places.find(problem.pointer.as_deref().unwrap_or_default());
            problem.in_file(shown).in_document(document.document).at(mark.line, mark.column)
        }));
    }
    problems
}

/// The GitSync of a file that holds one.
pub(super) fn only_one(path: &Path) -> anyhow::Result<GitSync> {
    let mut syncs = all(path)?;
    anyhow::ensure!(syncs.len() == 1, "{} holds {} GitSyncs; give a file with one", path.display(), syncs.len());
    syncs.pop().context("no GitSync")
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
