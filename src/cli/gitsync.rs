//! GitSyncs from files (`-f FILE`). They are never sent to a cluster.
//!
//! Called by `agent` and `render`.

use std::path::Path;

use anyhow::Context as _;

use crate::agent::CHECKS;
use crate::declared;
use crate::problem::Problem;
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

/// The GitSync of a file that holds one.
pub(super) fn only_one(path: &Path) -> anyhow::Result<GitSync> {
    let mut syncs = all(path)?;
    anyhow::ensure!(syncs.len() == 1, "{} holds {} GitSyncs; give a file with one", path.display(), syncs.len());
    syncs.pop().context("no GitSync")
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
