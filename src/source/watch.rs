//! Rings when a local repository or folder changes. Says "look", never what changed; polling stays the truth.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};

use notify::event::{EventKind, ModifyKind};
use notify::{RecursiveMode, Watcher as _};

use super::error::{SourceError, reasons};

/// A running watch; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<Message>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread may have ended already.
        _ = self.stop.send(Message::Stop);
    }
}

#[derive(Debug)]
enum Message {
    Event(notify::Result<notify::Event>),
    Stop,
}

/// What is watched and which paths count.
#[derive(Clone, Debug)]
enum Subject {
    /// The git folder (`.git`, or the bare repository itself), and the shared one of a linked work tree.
    Repository { root: PathBuf, folders: Vec<PathBuf> },
    /// A folder or a single file.
    Folder { root: PathBuf, file: bool },
}

impl Watch {
    /// Watches where branches, tags and HEAD are kept; object files and the work tree do not ring.
    pub(crate) fn repository(path: &Path, bell: tokio::sync::mpsc::Sender<()>) -> Result<Self, SourceError> {
        let repository = super::git::open_local(path)?;
        let mut folders = vec![repository.path().to_path_buf()];
        if repository.commondir() != repository.path() {
            folders.push(repository.commondir().to_path_buf());
        }
        Self::start(Subject::Repository { root: path.to_path_buf(), folders }, bell)
    }

    /// Watches a folder and all below it.
    pub(crate) fn folder(path: &Path, bell: tokio::sync::mpsc::Sender<()>) -> Result<Self, SourceError> {
        Self::start(Subject::Folder { root: path.to_path_buf(), file: path.is_file() }, bell)
    }

    fn start(subject: Subject, bell: tokio::sync::mpsc::Sender<()>) -> Result<Self, SourceError> {
        let (sender, inbox) = mpsc::channel();
        let events = sender.clone();
        let mut watcher = notify::recommended_watcher(move |event| {
            // The thread may have ended already.
            _ = events.send(Message::Event(event));
        })
        .map_err(|error| refused(&subject, &error))?;
        subject.arm(&mut watcher).map_err(|error| refused(&subject, &error))?;
        let ring = move || {
            // A full channel is a rung bell; a closed one has nobody to listen.
            _ = bell.try_send(());
        };
        std::thread::Builder::new()
            .name("windlass-watch".to_owned())
            .spawn(move || {
                while let Ok(Message::Event(event)) = inbox.recv() {
                    let Ok(event) = event else {
                        // Events were lost: look.
                        ring();
                        continue;
                    };
                    if subject.replaced(&event) {
                        // The old watch is on what was moved away. What is not there yet comes with an event of its own.
                        _ = subject.arm(&mut watcher);
                        ring();
                    } else if subject.concerns(&event) {
                        ring();
                    }
                }
            })
            .map_err(|error| SourceError::new(reasons::WATCH_FAILED, format!("cannot start a thread: {error}")))?;
        Ok(Self { stop: sender })
    }
}

impl Subject {
    fn root(&self) -> &Path {
        match self {
            Self::Repository { root, .. } | Self::Folder { root, .. } => root,
        }
    }

    /// Sets all watches, those that are set already anew, and gives the first error. What is not there yet is seen coming
    /// from above: a folder that is replaced is armed again once it is whole.
    fn arm(&self, watcher: &mut notify::RecommendedWatcher) -> notify::Result<()> {
        let mut wanted: Vec<(PathBuf, RecursiveMode)> = Vec::new();
        match self {
            Self::Repository { root, folders } => {
                wanted.push((root.clone(), RecursiveMode::NonRecursive));
                for folder in folders {
                    wanted.push((folder.clone(), RecursiveMode::NonRecursive));
                    for below in ["refs", "reftable"].map(|name| folder.join(name)) {
                        if below.is_dir() {
                            wanted.push((below, RecursiveMode::Recursive));
                        }
                    }
                }
            }
            Self::Folder { root, file: false } => wanted.push((root.clone(), RecursiveMode::Recursive)),
            Self::Folder { file: true, .. } => {}
        }
        let above = self.root().parent().map(|parent| watcher.watch(parent, RecursiveMode::NonRecursive));
        let mut first = match (above, self) {
            (Some(Err(error)), Self::Folder { file: true, .. }) => Err(error),
            // Above the root there may be no right to look; what is inside still rings.
            _ => Ok(()),
        };
        for (path, mode) in wanted {
            let set = watcher.watch(&path, mode);
            if first.is_ok() {
                first = set;
            }
        }
        first
    }

    /// Whether the root itself, or a folder that is watched, is a new one.
    fn replaced(&self, event: &notify::Event) -> bool {
        if !matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
            return false;
        }
        event.paths.iter().any(|path| match self {
            Self::Repository { root, folders } => {
                path == root
                    || folders.iter().any(|folder| {
                        let folder = folder.components().as_path();
                        path == folder || *path == folder.join("refs") || *path == folder.join("reftable")
                    })
            }
            Self::Folder { root, file } => !file && path == root,
        })
    }

    /// Whether a commit, a branch or a file may have changed.
    fn concerns(&self, event: &notify::Event) -> bool {
        // Our own reads are accesses.
        if matches!(event.kind, EventKind::Access(_)) {
            return false;
        }
        event.paths.is_empty()
            || event.paths.iter().any(|path| match self {
                Self::Repository { folders, .. } => folders.iter().any(|folder| {
                    let Ok(inside) = path.strip_prefix(folder) else { return false };
                    if inside.extension().is_some_and(|ending| ending == "lock") {
                        return false;
                    }
                    matches!(
                        inside.components().next().and_then(|part| part.as_os_str().to_str()),
                        Some("HEAD" | "packed-refs" | "refs" | "reftable")
                    )
                }),
                Self::Folder { root, file: true } => path == root,
                Self::Folder { root, file: false } => path.strip_prefix(root).is_ok_and(|inside| {
                    // What lies in a dot-folder is not read. A link through one (a mounted ConfigMap) shows as a change
                    // of the link itself.
                    let mut folders = inside.components();
                    let name = folders.next_back();
                    let hidden = folders.any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
                    name.is_some() && !hidden
                }),
            })
    }
}

fn refused(subject: &Subject, error: &notify::Error) -> SourceError {
    let advice = match error.kind {
        notify::ErrorKind::MaxFilesWatch => "; raise fs.inotify.max_user_watches",
        _ => "",
    };
    SourceError::new(
        reasons::WATCH_FAILED,
        format!("cannot watch {}: {error}{advice}; polling goes on", subject.root().display()),
    )
}
