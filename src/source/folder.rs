//! A plain folder as a source: its files as they lie on disk, revision `dir:<sha256>`.
//!
//! Reads only; never follows a link through the operating system, so nothing outside the root is read. Also the entry of
//! the command line for a PATH that is to be read as it is, uncommitted files included.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::{SourceError, reasons};
use super::paths::{is_inside, join};
use super::walk::{self, Limits, Node, Read, Tree};
use crate::problem::{Code, Problem};
use crate::revision::{Referred, Revision, Snapshot};

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
    last: Arc<Mutex<Option<Snapshot>>>,
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

    /// Reads the folder and names what it holds.
    pub(crate) async fn fetch(&self) -> Result<Revision, SourceError> {
        let known = self.known();
        let mut snapshot = self.read().await?;
        if self.settle && known.is_some_and(|known| known.revision.id != snapshot.revision.id) {
            for _ in 0..MAX_SETTLES {
                tokio::time::sleep(SETTLE).await;
                let again = self.read().await?;
                let stays = again.revision.id == snapshot.revision.id;
                snapshot = again;
                if stays {
                    break;
                }
            }
        }
        let revision = snapshot.revision.clone();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        Ok(revision)
    }

    /// The files as they were at the last fetch.
    pub(crate) async fn snapshot(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        if let Some(known) = self.known()
            && known.revision.id == revision.id
        {
            return Ok(known);
        }
        let now = self.read().await?;
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
            walk::referred(&DiskTree { root }, &targets, limits)
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

    fn known(&self) -> Option<Snapshot> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<Snapshot, SourceError> {
        let (root, paths, limits) = (self.root.clone(), self.paths.clone(), self.limits);
        super::blocking(move || read(root, &paths, limits)).await
    }
}

/// Reads a folder, or one file as if its folder held nothing else.
fn read(root: PathBuf, paths: &[String], limits: Limits) -> Result<Snapshot, SourceError> {
    let (root, only) = top(root)?;
    let only: Option<Vec<String>> = only.map(|name| vec![name]);
    let tree = DiskTree { root };
    let (files, problems) = walk::walk(&tree, only.as_deref().unwrap_or(paths), limits)?;
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
    Ok(Snapshot { revision: Revision { id, ..Revision::default() }, files, problems, ..Snapshot::default() })
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

/// A folder on disk. Every path handed in has folders, no links, above its last part.
struct DiskTree {
    root: PathBuf,
}

impl DiskTree {
    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    fn look(path: &Path, kind: fs::FileType) -> Node {
        if kind.is_dir() {
            Node::Folder
        } else if kind.is_file() {
            Node::File(None)
        } else if kind.is_symlink() {
            match fs::read_link(path) {
                Ok(target) => Node::Link(target.into_os_string().into_vec()),
                Err(error) => Node::Other(format!("the link cannot be read: {error}")),
            }
        } else {
            Node::Other("this is a device, socket or pipe, not a file".to_owned())
        }
    }

    /// Opens a regular file; one that was swapped for something else since it was looked at is not read.
    fn open(path: &Path) -> std::io::Result<(fs::File, u64)> {
        let seen = fs::symlink_metadata(path)?;
        let file = fs::File::open(path)?;
        let opened = file.metadata()?;
        if (seen.dev(), seen.ino()) != (opened.dev(), opened.ino()) || !opened.is_file() {
            return Err(std::io::Error::other("it was replaced while it was read"));
        }
        Ok((file, opened.len()))
    }
}

impl Tree for DiskTree {
    fn node(&self, path: &str) -> Result<Option<Node>, SourceError> {
        let path = self.at(path);
        match fs::symlink_metadata(&path) {
            Ok(meta) => Ok(Some(Self::look(&path, meta.file_type()))),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::NotADirectory
                        | std::io::ErrorKind::InvalidFilename
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(Vec<u8>, Node)>, SourceError> {
        let folder = self.at(folder);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let path = entry.path();
            let node = match entry.file_type() {
                Ok(kind) => Self::look(&path, kind),
                Err(error) => Node::Other(format!("it cannot be looked at: {error}")),
            };
            found.push((entry.file_name().into_vec(), node));
        }
        Ok(found)
    }

    fn read(&self, path: &str, _node: &Node, limit: u64) -> Result<Read, SourceError> {
        let path = self.at(path);
        let (file, len) = match Self::open(&path) {
            Ok(opened) => opened,
            Err(error) => return Ok(Read::Unreadable(format!("the file cannot be read: {error}"))),
        };
        if len > limit {
            return Ok(Read::TooLarge(len));
        }
        let mut bytes = Vec::new();
        // One more than the limit: the file may have grown since.
        if let Err(error) = file.take(limit + 1).read_to_end(&mut bytes) {
            return Ok(Read::Unreadable(format!("the file cannot be read: {error}")));
        }
        let len = bytes.len() as u64;
        if len > limit {
            return Ok(Read::TooLarge(len));
        }
        Ok(Read::Bytes(hex(&Sha256::digest(&bytes)), bytes.into()))
    }

    fn name(&self, path: &str, _node: &Node) -> Result<Result<String, String>, SourceError> {
        let path = self.at(path);
        let hashed = Self::open(&path).and_then(|(mut file, _)| {
            let mut hash = Sha256::new();
            let mut chunk = vec![0; 64 << 10];
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok(hex(&hash.finalize())),
                    read => hash.update(chunk.get(..read).unwrap_or_default()),
                }
            }
        });
        Ok(hashed.map_err(|error| format!("the file cannot be read: {error}")))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    let reason = if error.kind() == std::io::ErrorKind::NotFound { reasons::PATH_NOT_FOUND } else { reasons::LOCAL_IO };
    SourceError::new(reason, format!("cannot read {}: {error}", path.display()))
}
