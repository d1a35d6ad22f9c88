//! The bare clone: made when missing, set aside when damaged, kept small.
//!
//! Holds only what revisions need: a commit, its trees and blobs, no history. Every kept commit has a reference below
//! `refs/windlass/kept/` and stands in the file `shallow`, so that any git can read the clone. Never a work tree.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Odb, Oid, Repository};

use super::super::error::{SourceError, reasons};

/// Commits that stay readable, newest first; older ones go when the clone is tidied.
const KEPT: usize = 20;
/// A clone with more packs or loose-object folders' worth of files than this is tidied.
const MAX_PACKS: usize = 40;
/// As above, for loose objects.
const MAX_LOOSE: usize = 4_000;
/// Up to this many objects are stored loose; more go into a pack.
const LOOSE_COPY: usize = 200;
/// Where kept commits have their references.
const KEPT_REFS: &str = "refs/windlass/kept/";

/// Opens the clone, or makes it.
pub(super) fn open_or_create(path: &Path) -> Result<Repository, SourceError> {
    // An interrupted tidying left the clone under its other name.
    let old = beside(path, "old");
    if !path.exists() && old.exists() {
        _ = fs::rename(&old, path);
    }
    if path.exists() && !is_empty(path) {
        match Repository::open_bare(path) {
            Ok(repository) => return Ok(repository),
            Err(error) => set_aside(path, error.message())?,
        }
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error.to_string()))?;
    }
    // Whoever may not read the repository may not read its clone.
    let mut private = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    if !path.exists() {
        private.create(path).map_err(|error| unwritable(path, &error.to_string()))?;
    }
    Repository::init_opts(path, git2::RepositoryInitOptions::new().bare(true).external_template(false).no_reinit(false))
        .map_err(|error| unwritable(path, error.message()))
}

/// Opens the clone for reading. None if there is none.
pub(super) fn open(path: &Path) -> Option<Repository> {
    Repository::open_bare(path).ok()
}

/// Moves a damaged clone out of the way, so that the next fetch starts anew. The last damaged one is kept for a look.
pub(super) fn set_aside(path: &Path, why: &str) -> Result<(), SourceError> {
    let aside = beside(path, "damaged");
    tracing::warn!(
        clone = %path.display(),
        aside = %aside.display(),
        why,
        "The clone is damaged; it is set aside and fetched again"
    );
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(|error| unwritable(&aside, &error.to_string()))?;
    }
    fs::rename(path, &aside).map_err(|error| unwritable(path, &error.to_string()))
}

/// Whether a commit and its root tree can be read; what is below shows when it is read.
pub(super) fn is_complete(repository: &Repository, commit: Oid) -> bool {
    let Ok(commit) = repository.find_commit(commit) else { return false };
    commit.tree().is_ok()
}

/// Whether a commit that was kept is not there any more.
pub(super) fn is_damaged(repository: &Repository) -> bool {
    let Ok(kept) = repository.references_glob(&format!("{KEPT_REFS}*")) else { return true };
    kept.flatten().any(|reference| reference.target().is_none_or(|commit| !is_complete(repository, commit)))
}

/// Remembers a commit as readable.
pub(super) fn keep(repository: &Repository, commit: Oid) -> Result<(), git2::Error> {
    repository.reference(&format!("{KEPT_REFS}{commit}"), commit, true, "fetched")?;
    Ok(())
}

/// Copies a commit with its trees and blobs, as far as they are not there yet. Returns how many objects were copied.
pub(super) fn copy(from: &Repository, to: &Repository, commit: Oid) -> Result<usize, git2::Error> {
    let target = to.odb()?;
    let source = from.odb()?;
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    if target.exists(commit) && is_complete(to, commit) {
        return Ok(0);
    }
    collect_tree(from, &target, from.find_commit(commit)?.tree_id(), &mut missing, &mut seen, 0)?;
    missing.push(commit);
    if missing.len() <= LOOSE_COPY {
        // Children before parents, so that what is there is always complete.
        for oid in &missing {
            let object = source.read(*oid)?;
            target.write(object.kind(), object.data())?;
        }
    } else {
        let mut builder = from.packbuilder()?;
        for oid in &missing {
            builder.insert_object(*oid, None)?;
        }
        let mut writer = target.packwriter()?;
        let mut failed = None;
        builder.foreach(|chunk| match std::io::Write::write_all(&mut writer, chunk) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        })?;
        if let Some(error) = failed {
            return Err(git2::Error::from_str(&error.to_string()));
        }
        writer.commit()?;
    }
    Ok(missing.len())
}

fn collect_tree(
    from: &Repository,
    target: &Odb<'_>,
    tree: Oid,
    missing: &mut Vec<Oid>,
    seen: &mut HashSet<Oid>,
    depth: usize,
) -> Result<(), git2::Error> {
    // A tree is only ever stored after all that is in it.
    if !seen.insert(tree) || target.exists(tree) {
        return Ok(());
    }
    if depth > 1_000 {
        return Err(git2::Error::from_str("folders are nested more than 1,000 deep"));
    }
    for entry in from.find_tree(tree)?.iter() {
        match entry.kind() {
            Some(ObjectType::Tree) => collect_tree(from, target, entry.id(), missing, seen, depth + 1)?,
            Some(ObjectType::Blob) if seen.insert(entry.id()) && !target.exists(entry.id()) => {
                missing.push(entry.id());
            }
            // The commit of a submodule lies elsewhere.
            _ => {}
        }
    }
    missing.push(tree);
    Ok(())
}

/// Writes the file `shallow`: kept commits have no parents here.
pub(super) fn mark_shallow(repository: &Repository, commit: Oid) -> Result<(), SourceError> {
    let has_parents = repository.find_commit(commit).is_ok_and(|commit| commit.parent_ids().count() > 0);
    let complete = repository
        .find_commit(commit)
        .is_ok_and(|commit| commit.parent_ids().all(|parent| repository.find_commit(parent).is_ok()));
    if !has_parents || complete {
        return Ok(());
    }
    let path = repository.path().join("shallow");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let line = commit.to_string();
    if text.lines().any(|known| known == line) {
        return Ok(());
    }
    let new = repository.path().join("shallow.windlass");
    fs::write(&new, format!("{text}{line}\n"))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|error| unwritable(&path, &error.to_string()))
}

/// Copies what is kept into a new clone when this one has grown, and swaps them. `current` is always kept.
pub(super) fn tidy(path: &Path, current: Oid) -> Result<(), SourceError> {
    if count(&path.join("objects/pack"), "pack") <= MAX_PACKS && loose(path) <= MAX_LOOSE {
        return Ok(());
    }
    let failed = |error: git2::Error| unwritable(path, error.message());
    let (new, old) = (beside(path, "new"), beside(path, "old"));
    for leftover in [&new, &old] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).map_err(|error| unwritable(leftover, &error.to_string()))?;
        }
    }
    let from = Repository::open_bare(path).map_err(failed)?;
    let to = open_or_create(&new)?;
    let mut kept: Vec<(i64, Oid)> = Vec::new();
    for reference in from.references_glob(&format!("{KEPT_REFS}*")).map_err(failed)?.flatten() {
        if let Some(commit) = reference.target().and_then(|oid| from.find_commit(oid).ok()) {
            kept.push((commit.time().seconds(), commit.id()));
        }
    }
    kept.sort_unstable_by(|a, b| b.cmp(a));
    kept.retain(|(_, oid)| *oid != current);
    kept.truncate(KEPT - 1);
    let all: Vec<Oid> = std::iter::once(current).chain(kept.into_iter().map(|(_, oid)| oid)).collect();
    for oid in &all {
        copy(&from, &to, *oid).map_err(failed)?;
        keep(&to, *oid).map_err(failed)?;
    }
    for oid in &all {
        mark_shallow(&to, *oid)?;
    }
    drop((from, to));
    fs::rename(path, &old)
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| fs::remove_dir_all(&old))
        .map_err(|error| unwritable(path, &error.to_string()))
}

fn count(folder: &Path, ending: &str) -> usize {
    fs::read_dir(folder).map_or(0, |entries| {
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|found| found == ending)).count()
    })
}

/// Guessed from two of the 256 folders, as git does.
fn loose(path: &Path) -> usize {
    ["17", "a3"]
        .iter()
        .map(|folder| fs::read_dir(path.join("objects").join(folder)).map_or(0, Iterator::count))
        .sum::<usize>()
        * 128
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{word}"));
    path.with_file_name(name)
}

pub(super) fn unwritable(path: &Path, why: &str) -> SourceError {
    SourceError::new(
        reasons::LOCAL_IO,
        format!("cannot write the clone {}: {why}; check the folder's rights and the free space", path.display()),
    )
}
