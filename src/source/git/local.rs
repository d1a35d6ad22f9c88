//! A repository on this machine: read directly, copied as far as it is missing in the clone.
//!
//! Never writes to it, never reads its work tree. No transport, no negotiation: a commit is in the clone within
//! milliseconds, and stays there when the repository goes.

use std::path::Path;

use git2::{ErrorCode, Oid, Repository, RepositoryOpenFlags};

use super::super::error::{SourceError, reasons};
use super::{Choice, Shown, Trouble, Wanted, refs, store};

/// Whether a path is the root of a repository (bare or with a work tree), not only inside one.
pub(crate) fn is_repository(path: &Path) -> bool {
    match open_raw(path) {
        Ok(_) => true,
        Err(error) => error.code() != ErrorCode::NotFound,
    }
}

fn open_raw(path: &Path) -> Result<Repository, git2::Error> {
    super::super::transport::initialize();
    let none: [&Path; 0] = [];
    Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, none)
}

/// Opens a repository for reading.
pub(crate) fn open(path: &Path) -> Result<Repository, SourceError> {
    open_raw(path).map_err(|error| {
        let (reason, advice) = match error.code() {
            ErrorCode::NotFound => (reasons::PATH_NOT_FOUND, "check the path"),
            _ => (reasons::REPOSITORY_CORRUPT, "check it with git fsck"),
        };
        SourceError::new(
            reason,
            format!("cannot open the repository {}: {}; {advice}", path.display(), error.message()),
        )
    })
}

/// Picks the wanted commit and copies it into the clone.
pub(super) fn fetch(path: &Path, clone: &Repository, wanted: &Wanted) -> Result<(Choice, Oid), Trouble> {
    let from = open(path)?;
    let choice = refs::choose(wanted, &list(&from, path)?, &path.display().to_string())?;
    let commit = from
        .find_object(choice.oid, None)
        .and_then(|object| object.peel_to_commit())
        .map_err(|error| not_a_commit(path, &choice, &error))?
        .id();
    if let Err(error) = store::copy(&from, clone, commit) {
        // Reading and writing fail alike; whether the source can be read tells which it was.
        return Err(match readable(&from, commit) {
            Ok(()) => Trouble::Clone(error.message().to_owned()),
            Err(error) => Trouble::Other(damaged(path, &error)),
        });
    }
    Ok((choice, commit))
}

/// A commit by anything that git understands: a name in full or short, a branch, a tag, `HEAD~1`.
pub(super) fn resolve(path: &Path, id: &str) -> Result<Oid, SourceError> {
    let from = open(path)?;
    let commit = from.revparse_single(id).and_then(|object| object.peel_to_commit()).map_err(|error| {
        SourceError::new(
            reasons::REF_MISSING,
            format!("the repository {} has no commit {id}: {}", path.display(), error.message()),
        )
    })?;
    Ok(commit.id())
}

fn list(from: &Repository, path: &Path) -> Result<Vec<Shown>, SourceError> {
    let mut shown = Vec::new();
    if let Ok(head) = from.head()
        && let Some(oid) = head.target()
    {
        let symref = head.name().ok().filter(|name| *name != "HEAD").map(str::to_owned);
        shown.push(Shown { name: "HEAD".to_owned(), oid, symref });
    }
    for reference in from.references().map_err(|error| damaged(path, &error))?.flatten() {
        if let (Ok(name), Some(oid)) = (reference.name(), reference.resolve().ok().and_then(|found| found.target())) {
            shown.push(Shown { name: name.to_owned(), oid, symref: None });
        }
    }
    Ok(shown)
}

/// Whether all of a commit's tree can be read.
fn readable(from: &Repository, commit: Oid) -> Result<(), git2::Error> {
    let odb = from.odb()?;
    let mut trees = vec![from.find_commit(commit)?.tree_id()];
    while let Some(tree) = trees.pop() {
        for entry in from.find_tree(tree)?.iter() {
            match entry.kind() {
                Some(git2::ObjectType::Tree) => trees.push(entry.id()),
                Some(git2::ObjectType::Blob) => drop(odb.read(entry.id())?),
                _ => {}
            }
        }
    }
    Ok(())
}

fn not_a_commit(path: &Path, choice: &Choice, error: &git2::Error) -> SourceError {
    if matches!(error.code(), ErrorCode::Peel | ErrorCode::InvalidSpec) {
        let name = choice.name.as_deref().unwrap_or("it");
        return SourceError::new(
            reasons::REF_MISSING,
            format!("{name} of the repository {} does not point at a commit", path.display()),
        );
    }
    if error.code() == ErrorCode::NotFound && choice.name.is_none() {
        return SourceError::new(
            reasons::REF_MISSING,
            format!("the repository {} has no commit {}", path.display(), choice.oid),
        );
    }
    damaged(path, error)
}

fn damaged(path: &Path, error: &git2::Error) -> SourceError {
    SourceError::new(
        reasons::REPOSITORY_CORRUPT,
        format!("the repository {} is damaged: {}; check it with git fsck", path.display(), error.message()),
    )
}
