//! A plain folder as a source: its files as they lie on disk, revision `dir:<sha256>`.
//!
//! Reads only; never follows a link through the operating system, so nothing outside the root is read. Also the entry of
//! the command line for a PATH that is to be read as it is, uncommitted files included.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::disk::{DiskTree, Stamps, hex, unreadable};
use super::error::{SourceError, reasons};
use super::paths::{is_document, is_inside, join};
use super::walk::{self, Last, Limits, Prior, Walked, Wanted};
use crate::problem::{Code, Problem};
use crate::revision::{Content, File, Known, Referred, Revision, Snapshot};
use crate::text::Text;

/// How long a changed folder is given to change further (an editor that truncates before it writes).
const SETTLE: Duration = Duration::from_millis(50);
/// After this many changes in a row the folder is read as it is.
const MAX_SETTLES: u32 = 20;

/// A folder and what was read of it last.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    paths: Vec<String>,
    limits: Limits,
    settle: bool,
    last: Arc<Mutex<Option<State>>>,
}

/// What was read last. Bytes are held only until they are handed out.
#[derive(Clone, Debug)]
struct State {
    snapshot: Snapshot,
    walked: Arc<Last>,
    stamps: Arc<Stamps>,
    /// Whether this revision was handed out.
    handed: bool,
}

impl State {
    /// Lets go of the bytes of documents: whoever got them knows them now.
    fn hand_out(&mut self) {
        self.handed = true;
        for (path, file) in &mut self.snapshot.files {
            if matches!(file.content, Content::Read(_)) && is_document(path) {
                file.content = Content::Known;
            }
        }
    }
}

impl Folder {
    /// A folder, or a single file; `paths` are normalized. With `settle`, a folder that just changed is read again until
    /// it stays.
    pub(crate) fn new(root: PathBuf, paths: Vec<String>, limits: Limits, settle: bool) -> Self {
        Self { root, paths, limits, settle, last: Arc::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the folder and names what it holds. What did not change since it was read last is not read again.
    pub(crate) async fn fetch(&self) -> Result<Revision, SourceError> {
        let known = self.known();
        let before = known.as_ref().map(|known| known.snapshot.revision.id.clone());
        let handed = known.as_ref().is_some_and(|known| known.handed);
        let mut state = self.read(known, true).await?;
        if self.settle && before.as_ref().is_some_and(|before| *before != state.snapshot.revision.id) {
            for _ in 0..MAX_SETTLES {
                tokio::time::sleep(SETTLE).await;
                let id = state.snapshot.revision.id.clone();
                state = self.read(Some(state), true).await?;
                if id == state.snapshot.revision.id {
                    break;
                }
            }
        }
        if handed && before.as_ref() == Some(&state.snapshot.revision.id) {
            state.hand_out();
        }
        let revision = state.snapshot.revision.clone();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        Ok(revision)
    }

    /// The files as they were at the last fetch, but for documents that are known.
    pub(crate) async fn snapshot(&self, revision: &Revision, known: &Known) -> Result<Snapshot, SourceError> {
        let mut handed = None;
        if let Some(state) = self.last.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && state.snapshot.revision.id == revision.id
        {
            let is_known = |path: &Text, file: &File| known.get(path) == Some(&file.blob);
            let whole =
                state.snapshot.files.iter().all(|(path, file)| file.content != Content::Known || is_known(path, file));
            if whole {
                let mut snapshot = state.snapshot.clone();
                for (path, file) in &mut snapshot.files {
                    if matches!(file.content, Content::Read(_)) && is_known(path, file) {
                        file.content = Content::Known;
                    }
                }
                handed = Some(snapshot);
                state.hand_out();
            }
        }
        if let Some(snapshot) = handed {
            return Ok(snapshot);
        }
        // Somebody wants bytes that are not held any more.
        let now = self.read(None, false).await?.snapshot;
        if now.revision.id == revision.id {
            return Ok(now);
        }
        Err(SourceError::new(
            reasons::REVISION_GONE,
            format!(
                "the folder {} has changed since revision {} was read; a folder keeps no history, so look again",
                self.root.display(),
                revision.short()
            ),
        ))
    }

    /// See [`super::Source::referred`]. What is read now has to be what the revision was named after.
    pub(crate) async fn referred(
        &self,
        snapshot: &Snapshot,
        targets: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Referred>, SourceError> {
        let (root, paths, limits) = (self.root.clone(), self.paths.clone(), self.limits);
        let mut found = super::blocking(move || {
            let (root, _) = top(root)?;
            let tree = DiskTree { root, before: Arc::default(), now: RefCell::default() };
            walk::referred(&tree, &targets, limits)
        })
        .await?;
        if !self.settle {
            return Ok(found);
        }
        for (target, referred) in &mut found {
            if !paths.iter().any(|path| is_inside(target, path)) {
                let message = "it lies outside of `paths`, and a plain folder is named after what lies below them only; \
                               move it there, or add it to `paths`";
                referred.problems = vec![Problem::error(Code::PathMissing, message).in_file(target)];
            }
            for (name, file) in &referred.files {
                let known = |path: &str| snapshot.files.get(path).is_some_and(|known| known.blob == file.blob);
                let ignored = !snapshot.files.contains_key(join(target, name).as_str())
                    && !snapshot.files.contains_key(target.as_str());
                if !ignored && !known(&join(target, name)) && !known(target) {
                    return Err(SourceError::new(
                        reasons::REVISION_GONE,
                        format!("{} changed while it was read; it is looked at again", self.root.display()),
                    ));
                }
            }
        }
        Ok(found)
    }

    /// The present state, if its name starts with `id`.
    pub(crate) async fn find(&self, id: &str) -> Result<Revision, SourceError> {
        let revision = self.fetch().await?;
        if revision.id.starts_with(id) {
            return Ok(revision);
        }
        Err(SourceError::new(
            reasons::REF_MISSING,
            format!(
                "{} is a plain folder and keeps no history; it is at {}, not at {id}",
                self.root.display(),
                revision.short()
            ),
        ))
    }

    fn known(&self) -> Option<State> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self, before: Option<State>, spare: bool) -> Result<State, SourceError> {
        let (root, paths, limits) = (self.root.clone(), self.paths.clone(), self.limits);
        super::blocking(move || read(root, &paths, limits, before, spare)).await
    }
}

/// Reads a folder, or one file as if its folder held nothing else. With `spare`, what is as it was before is not read.
fn read(
    root: PathBuf,
    paths: &[String],
    limits: Limits,
    before: Option<State>,
    spare: bool,
) -> Result<State, SourceError> {
    let (root, only) = top(root)?;
    let only: Option<Vec<String>> = only.map(|name| vec![name]);
    let stamps = before.as_ref().map(|before| Arc::clone(&before.stamps)).unwrap_or_default();
    let tree = DiskTree { root, before: stamps, now: RefCell::default() };
    let wanted = if spare { Wanted::New } else { Wanted::All };
    let prior = Prior { last: before.as_ref().map(|before| &*before.walked), wanted };
    let walked = walk::walk(&tree, only.as_deref().unwrap_or(paths), limits, prior)?;
    let Walked { mut files, problems, last } = walked;
    // What was read before and not handed out yet is held still.
    for (path, file) in files.iter_mut().filter(|(_, file)| file.content == Content::Known) {
        let held = before.as_ref().and_then(|before| before.snapshot.files.get(path));
        if let Some(held) = held.filter(|held| held.blob == file.blob) {
            file.content.clone_from(&held.content);
        }
    }
    let mut hash = Sha256::new();
    for (path, file) in &files {
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(file.blob.as_bytes());
        hash.update([b'\n']);
    }
    // A file that cannot be read is part of the state, too.
    for problem in &problems {
        hash.update(problem.to_string().as_bytes());
        hash.update([b'\n']);
    }
    let id = format!("dir:{}", hex(&hash.finalize()));
    let revision = Revision { id, ..Revision::default() };
    let snapshot = Snapshot { revision, files, problems, ..Snapshot::default() };
    Ok(State { snapshot, walked: Arc::new(last), stamps: Arc::new(tree.now.into_inner()), handed: false })
}

/// The folder, and the name of the file if one was meant.
fn top(root: PathBuf) -> Result<(PathBuf, Option<String>), SourceError> {
    let meta = fs::metadata(&root).map_err(|error| unreadable(&root, &error))?;
    if meta.is_dir() {
        return Ok((root, None));
    }
    let name = root.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    Ok((root.parent().map(Path::to_path_buf).unwrap_or_default(), name))
}
