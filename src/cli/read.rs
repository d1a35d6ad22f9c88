//! Reads a source and expands it, for commands that only look.
//!
//! IO, but writes nothing. Called by `render`, `validate` and `diff`.

use std::path::Path;

use anyhow::Context as _;

use crate::declared::{self, Context, Scopes};
use crate::expand::expand;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::source::{Source, SourceConfig};

/// What to read and how.
#[derive(Debug, Default)]
pub(super) struct Wish<'a> {
    /// PATH or URL.
    pub(super) source: &'a str,
    /// From git, at this revision.
    pub(super) revision: Option<&'a str>,
    /// Folders or files in it; all if empty.
    pub(super) paths: &'a [String],
    /// For documents that name none.
    pub(super) namespace: Option<String>,
    /// The kinds that a cluster knows, if one was asked.
    pub(super) scopes: Scopes,
}

/// Reads. A path is read from disk as it is; a URL, or anything with a revision, from git.
pub(super) async fn plan(wish: Wish<'_>) -> anyhow::Result<(Plan, Vec<Problem>)> {
    let clone = Clone::new()?;
    plan_in(&clone, wish).await
}

/// A clone for as long as a command runs.
pub(super) struct Clone(tempfile::TempDir);

impl Clone {
    /// An empty one.
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("windlass-").tempdir();
        Ok(Self(folder.context("cannot make a folder for the clone")?))
    }
}

/// The same for several revisions, which share a clone.
pub(super) async fn plan_in(clone: &Clone, wish: Wish<'_>) -> anyhow::Result<(Plan, Vec<Problem>)> {
    let path = Path::new(wish.source);
    let from_disk = wish.revision.is_none() && path.exists();
    let (source, revision) = if from_disk {
        let source = Source::disk(path, wish.paths)?;
        let revision = source.fetch().await?;
        (source, revision)
    } else {
        let source = Source::open(SourceConfig {
            url: wish.source.to_owned(),
            paths: wish.paths.to_vec(),
            clone: clone.0.path().join("clone.git"),
            ..SourceConfig::default()
        })?;
        let revision = match wish.revision {
            Some(wanted) => source.find(wanted).await?,
            None => source.fetch().await?,
        };
        (source, revision)
    };
    let mut snapshot = source.snapshot(&revision).await?;
    let mut memo = declared::Memo::default();
    snapshot.referred = source.referred(&snapshot, declared::references(&snapshot, &mut memo)).await?;
    let context = Context { target_namespace: wish.namespace, scopes: wish.scopes };
    let (declared, mut problems) = declared::read(&snapshot, &context, &mut memo);
    let (plan, more) = expand(&declared);
    problems.extend(more);
    problems.sort();
    Ok((plan, problems))
}
