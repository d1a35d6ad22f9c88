//! A folder on disk as the walk sees it: files are named by the sha-256 of their bytes, and hashed only if they moved.
//!
//! Reads only; never follows a link through the operating system. Called by `folder`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::error::{SourceError, reasons};
use super::walk::{Node, Read, Tree};
use crate::text::Text;

/// A folder on disk. Every path handed in has folders, no links, above its last part.
pub(super) struct DiskTree {
    pub(super) root: PathBuf,
    /// What files were when they were read last.
    pub(super) before: Arc<Stamps>,
    /// What they are now.
    pub(super) now: RefCell<Stamps>,
}

/// Files that were read, by path.
pub(super) type Stamps = HashMap<String, Stamp>;

/// What tells, without reading, that a file is as it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamp {
    /// Device, inode, size; seconds and nanoseconds of the last change of content and of anything.
    meta: [i128; 7],
    /// It changed so shortly before it was read that it may have changed once more within the same tick of the clock:
    /// then nothing but reading tells (git calls such an entry racy).
    racy: bool,
    /// Name of the content.
    blob: Text,
}

/// File systems count time in ticks of up to two seconds.
const TICK: Duration = Duration::from_secs(2);

#[expect(clippy::disallowed_methods, reason = "it is compared with the times of files, and decides about nothing else")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn meta(of: &fs::Metadata) -> [i128; 7] {
    let [device, inode, size] = [of.dev(), of.ino(), of.size()].map(i128::from);
    let [seconds, nanos, changed, changed_nanos] =
        [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()].map(i128::from);
    [device, inode, size, seconds, nanos, changed, changed_nanos]
}

fn is_racy(of: &fs::Metadata, read_at: SystemTime) -> bool {
    let settled = |seconds: i64| {
        let at = u64::try_from(seconds)
            .ok()
            .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        at.and_then(|at| read_at.duration_since(at).ok()).is_some_and(|age| age > TICK)
    };
    !(settled(of.mtime()) && settled(of.ctime()))
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

    /// Remembers what was read of a file.
    fn stamp(&self, path: &str, of: &fs::Metadata, read_at: SystemTime, blob: &str) {
        let stamp = Stamp { meta: meta(of), racy: is_racy(of, read_at), blob: blob.into() };
        self.now.borrow_mut().insert(path.to_owned(), stamp);
    }

    /// Opens a regular file; one that was swapped for something else since it was looked at is not read.
    fn open(path: &Path) -> std::io::Result<(fs::File, fs::Metadata)> {
        let seen = fs::symlink_metadata(path)?;
        let file = fs::File::open(path)?;
        let opened = file.metadata()?;
        if (seen.dev(), seen.ino()) != (opened.dev(), opened.ino()) || !opened.is_file() {
            return Err(std::io::Error::other("it was replaced while it was read"));
        }
        Ok((file, opened))
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

    fn hint(&self, path: &str, _node: &Node) -> Option<Text> {
        let known = self.before.get(path).filter(|known| !known.racy)?;
        let seen = fs::symlink_metadata(self.at(path)).ok()?;
        if !seen.is_file() || meta(&seen) != known.meta {
            return None;
        }
        self.now.borrow_mut().insert(path.to_owned(), known.clone());
        Some(known.blob.clone())
    }

    fn folder_hint(&self, _folder: &str) -> Option<Text> {
        None
    }

    fn read(&self, name: &str, _node: &Node, limit: u64) -> Result<Read, SourceError> {
        let (path, read_at) = (self.at(name), now());
        let (file, seen) = match Self::open(&path) {
            Ok(opened) => opened,
            Err(error) => return Ok(Read::Unreadable(format!("the file cannot be read: {error}"))),
        };
        let len = seen.len();
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
        let blob = hex(&Sha256::digest(&bytes));
        self.stamp(name, &seen, read_at, &blob);
        Ok(Read::Bytes(blob, bytes.into()))
    }

    fn name(&self, name: &str, _node: &Node) -> Result<Result<String, String>, SourceError> {
        let (path, read_at) = (self.at(name), now());
        let hashed = Self::open(&path).and_then(|(mut file, seen)| {
            let mut hash = Sha256::new();
            let mut chunk = vec![0; 64 << 10];
            loop {
                match file.read(&mut chunk)? {
                    0 => {
                        let blob = hex(&hash.finalize());
                        self.stamp(name, &seen, read_at, &blob);
                        return Ok(blob);
                    }
                    read => hash.update(chunk.get(..read).unwrap_or_default()),
                }
            }
        });
        Ok(hashed.map_err(|error| format!("the file cannot be read: {error}")))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    let reason = if error.kind() == std::io::ErrorKind::NotFound { reasons::PATH_NOT_FOUND } else { reasons::LOCAL_IO };
    SourceError::new(reason, format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_did_not_move_since_is_known_without_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        let write = |text: &str, age: u64| {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(now() - Duration::from_secs(age)).unwrap();
        };
        let look = |before: Stamps| DiskTree {
            root: folder.path().to_owned(),
            before: Arc::new(before),
            now: RefCell::default(),
        };
        let node = Node::File(None);
        let read = |tree: &DiskTree| matches!(tree.read("a.yaml", &node, 100), Ok(Read::Bytes(..)));
        write("a: 1", 60);
        let tree = look(Stamps::new());
        assert!(tree.hint("a.yaml", &node).is_none() && read(&tree));
        // It changed a moment ago: a second change could look the same.
        let mut stamps = tree.now.into_inner();
        assert!(stamps["a.yaml"].racy);
        assert!(look(stamps.clone()).hint("a.yaml", &node).is_none());
        stamps.get_mut("a.yaml").unwrap().racy = false;
        assert_eq!(look(stamps.clone()).hint("a.yaml", &node).unwrap(), hex(&Sha256::digest(b"a: 1")));
        // The same size and time, and another content: the time of the change itself tells.
        write("a: 2", 60);
        assert!(look(stamps.clone()).hint("a.yaml", &node).is_none());
        fs::remove_file(&path).unwrap();
        assert!(look(stamps).hint("a.yaml", &node).is_none());
    }
}
