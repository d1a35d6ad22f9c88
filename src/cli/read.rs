//! Reads a source and expands it, for commands that only look.
//!
//! IO, but writes nothing. Called by `render` and `validate`.

use std::path::Path;

use anyhow::Context as _;

use crate::declared::{self, Context};
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
}

/// Reads. A path is read from disk as it is; a URL, or anything with a revision, from git.
pub(super) async fn plan(wish: Wish<'_>) -> anyhow::Result<(Plan, Vec<Problem>)> {
    let path = Path::new(wish.source);
    // Kept until the snapshot is read.
    let clone = tempfile::Builder::new().prefix("windlass-").tempdir().context("cannot make a folder for the clone")?;
    let from_disk = wish.revision.is_none() && path.exists();
    let (source, revision) = if from_disk {
        let source = Source::disk(path, wish.paths)?;
        let revision = source.fetch().await?;
        (source, revision)
    } else {
        let source = Source::open(SourceConfig {
            url: wish.source.to_owned(),
            paths: wish.paths.to_vec(),
            clone: clone.path().join("clone.git"),
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
    let context = Context { target_namespace: wish.namespace, ..Context::default() };
    let (declared, mut problems) = declared::read(&snapshot, &context, &mut memo);
    let (plan, more) = expand(&declared);
    problems.extend(more);
    problems.sort();
    Ok((plan, problems))
}
