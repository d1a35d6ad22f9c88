//! The state folder of one sync: what survives the agent, and the requests that reach it.
//!
//! IO. `status.json` is written whole and renamed into place; a lock keeps a second agent out. Holds no secret value.
//! Called by `agent`; `cli` reads states and leaves requests through it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::report::summary::Summary;

/// What is kept between two lives of the agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Saved {
    /// The last summary.
    pub summary: Summary,
    /// What people asked for and did not take back.
    pub control: Control,
    /// What it reads and where it writes; none if no pass has ended yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// What a sync reads and where it writes, for commands that meet its state folder without its GitSync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Place {
    /// URL of the source without credentials.
    pub source: String,
    /// The folder that it writes; none if its target is a Kubernetes cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

/// What people asked for and did not take back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Control {
    /// Paused by `windlass suspend`.
    pub suspended: bool,
    /// The commit that `windlass sync --revision` holds the sync at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

/// What a person asks of a running agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "verb")]
pub enum Request {
    /// A pass now; at this commit and no other until the next `sync` without one.
    Sync {
        /// Commit.
        #[serde(default)]
        revision: Option<String>,
    },
    /// No passes until `Resume`.
    Suspend,
    /// Passes again.
    Resume,
}

impl Control {
    /// What a request makes of it.
    pub fn take(&mut self, request: Request) {
        match request {
            Request::Sync { revision } => self.pinned = revision,
            Request::Suspend => self.suspended = true,
            Request::Resume => self.suspended = false,
        }
    }
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it.
    #[error("the state folder {} is in use by another agent{who}; stop that one, or give this one its own with --state", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// As in ` (process 17 on web-1)`; empty if it did not say.
        who: String,
    },
    /// It cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It holds something else than expected.
    #[error("cannot read {}: {source}; if it was edited by hand, remove it: it will be made anew", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The state folder of one sync, held by this process.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    // Held as long as the store lives; the operating system lets go of it even after a crash.
    _lock: File,
}

impl Store {
    /// Makes the folder if needed and takes its lock.
    ///
    /// # Errors
    /// If another agent holds it, or it cannot be written.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let requests = folder.join("requests");
        make_private(&requests)?;
        close(folder, 0o700);
        let path = folder.join("lock");
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(&path).map_err(|source| io_error("make", &path, source))?;
        close(&path, 0o600);
        match lock.try_lock() {
            Ok(()) => {
                // For whoever is kept out. That it cannot be written changes nothing about the lock.
                let who = format!("process {} on {}", std::process::id(), host());
                _ = lock.set_len(0).and_then(|()| (&lock).write_all(who.as_bytes()));
                Ok(Self { folder: folder.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                let who = fs::read_to_string(&path).unwrap_or_default();
                let who: String = who.chars().filter(|c| !c.is_control()).take(200).collect();
                let who = if who.is_empty() { who } else { format!(" ({who})") };
                Err(StoreError::Locked { folder: folder.to_owned(), who })
            }
            Err(TryLockError::Error(source)) => Err(io_error("lock", &path, source)),
        }
    }

    /// The name of this agent among all that may work for the sync: the same in its next life, and another one in another
    /// folder or on another machine.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn identity(&self) -> Result<String, StoreError> {
        let path = self.folder.join("identity");
        let stored = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh = format!("{:016x}", fastrand::u64(..));
                write_whole(&path, fresh.as_bytes())?;
                fresh
            }
            Err(source) => return Err(io_error("read", &path, source)),
        };
        // A copy of the folder is another agent.
        let place = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        let mut mark = crate::canonical::hash_bytes(format!("{} {}", stored.trim(), place.display()).as_bytes());
        mark.truncate(8);
        Ok(format!("{}_{mark}", host()))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads what an earlier life left; nothing if there was none.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn load(&self) -> Result<Saved, StoreError> {
        Ok(peek(&self.folder)?.unwrap_or_default())
    }

    /// Stores, all or nothing.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, saved: &Saved) -> Result<(), StoreError> {
        let path = self.folder.join("status.json");
        let text = serde_json::to_vec(saved).map_err(|source| StoreError::Json { path: path.clone(), source })?;
        write_whole(&path, &text)
    }

    /// Takes what people asked for since the last time, oldest first. A request that cannot be read is dropped and named.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn requests(&self) -> Result<Vec<Request>, StoreError> {
        let folder = self.folder.join("requests");
        let read = fs::read_dir(&folder).map_err(|source| io_error("read", &folder, source))?;
        let mut paths: Vec<PathBuf> = read
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        let mut requests = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = fs::read(&path).map_err(|source| io_error("read", &path, source))?;
            fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
            match serde_json::from_slice(&bytes) {
                Ok(request) => requests.push(request),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a request cannot be read and was dropped")
                }
            }
        }
        Ok(requests)
    }
}

/// Reads a state folder without holding it; none if no agent ever worked there.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn peek(folder: &Path) -> Result<Option<Saved>, StoreError> {
    let path = folder.join("status.json");
    match fs::read(&path) {
        Ok(bytes) => {
            let saved: Saved = serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path, source })?;
            Ok(Some(Saved { summary: crate::report::summary::restored(saved.summary), ..saved }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error("read", &path, source)),
    }
}

/// Leaves a request for the agent that holds the folder, or for the next one. True if one is running now.
///
/// # Errors
/// If the folder cannot be written.
pub fn leave(folder: &Path, request: &Request, now: jiff::Timestamp) -> Result<bool, StoreError> {
    let requests = folder.join("requests");
    make_private(&requests)?;
    let path = requests.join(format!("{:020}-{}.json", now.as_nanosecond(), std::process::id()));
    let text = serde_json::to_vec(request).map_err(|source| StoreError::Json { path: path.clone(), source })?;
    write_whole(&path, &text)?;
    Ok(is_held(folder))
}

/// Whether an agent holds the folder.
#[must_use]
pub fn is_held(folder: &Path) -> bool {
    let Ok(lock) = File::open(folder.join("lock")) else { return false };
    matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
}

/// Name of this machine, or of the pod.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    let name = name.unwrap_or_default().trim().to_owned();
    if name.is_empty() { "unnamed-host".to_owned() } else { name }
}

fn make_private(folder: &Path) -> Result<(), StoreError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| io_error("make", folder, source))
}

/// Closes to others what an older version, or a person, left open. Where it is somebody else's (a mounted volume, say),
/// it stays as its owner wants it.
fn close(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(metadata) = fs::metadata(path) else { return };
        if metadata.permissions().mode() & 0o077 != 0
            && let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(mode))
        {
            tracing::debug!(path = %path.display(), %error, "others may read this, and it cannot be changed");
        }
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|source| io_error("write", path, source))?;
    file.write_all(bytes).map_err(|source| io_error("write", path, source))?;
    file.persist(path).map_err(|error| io_error("write", path, error.error))?;
    Ok(())
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_kept_out_and_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        let second = Store::open(folder.path()).unwrap_err();
        assert!(second.to_string().contains("is in use by another agent"), "{second}");
        assert!(is_held(folder.path()));
        drop(first);
        assert!(!is_held(folder.path()));
        Store::open(folder.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_folder_or_what_is_in_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let temp = tempfile::tempdir().unwrap();
        let (made, open) = (temp.path().join("a/b"), temp.path().join("open"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(open.join("lock"), "").unwrap();
        for folder in [&made, &open] {
            let store = Store::open(folder).unwrap();
            store.save(&Saved::default()).unwrap();
            leave(folder, &Request::Resume, jiff::Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((mode(folder), mode(&folder.join("requests"))), (0o700, 0o700));
            assert_eq!((mode(&folder.join("lock")), mode(&folder.join("status.json"))), (0o600, 0o600));
            for request in fs::read_dir(folder.join("requests")).unwrap() {
                assert_eq!(mode(&request.unwrap().path()), 0o600);
            }
        }
        assert_eq!(mode(&temp.path().join("a")), 0o700);
    }

    #[test]
    fn requests_are_taken_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        assert!(leave(folder.path(), &Request::Suspend, at(2)).unwrap());
        leave(folder.path(), &Request::Sync { revision: Some("abc".to_owned()) }, at(1)).unwrap();
        let mut control = Control::default();
        let requests = store.requests().unwrap();
        assert_eq!(requests, [Request::Sync { revision: Some("abc".to_owned()) }, Request::Suspend]);
        requests.into_iter().for_each(|request| control.take(request));
        assert_eq!(control, Control { suspended: true, pinned: Some("abc".to_owned()) });
        assert_eq!(store.requests().unwrap(), []);
    }

    #[test]
    fn what_was_saved_is_there_in_the_next_life() {
        let folder = tempfile::tempdir().unwrap();
        let mut saved = Saved::default();
        saved.summary.view.name = "platform".to_owned();
        saved.control.suspended = true;
        assert_eq!(peek(folder.path()).unwrap(), None);
        Store::open(folder.path()).unwrap().save(&saved).unwrap();
        assert_eq!(Store::open(folder.path()).unwrap().load().unwrap(), saved);
    }
}
