//! A bell for hand edits in the folder.
//!
//! IO. Says only "look", never what has changed. Our own writes ring too; the pass that follows finds nothing to do and
//! writes nothing, so that it rings no more. Called by `agent`.

use std::path::Path;
use std::time::Duration;

use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::file::{UNDER_WAY, failure};
use crate::target::{Class, Failure};

/// How often a folder that was removed is looked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// A running watch; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    _task: AbortOnDropHandle<()>,
}

/// Rings `bell` (a full channel is a rung bell) when something in the folder may have changed. Makes the folder if it is
/// not there, and finds it again if it is removed and made anew. Has to be called within a tokio runtime.
///
/// # Errors
/// If the folder cannot be made or the operating system refuses the watch.
pub fn watch(path: &Path, bell: mpsc::Sender<()>) -> Result<Watch, Failure> {
    std::fs::create_dir_all(path).map_err(|error| failure("make", path, &error))?;
    let root = path.canonicalize().map_err(|error| failure("find", path, &error))?;
    let (lost, mut was_lost) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher({
        let (root, bell) = (root.clone(), bell.clone());
        move |event: notify::Result<Event>| {
            // An error (too many events, say) may hide a change.
            let Ok(event) = event else {
                _ = bell.try_send(());
                return;
            };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            if event.paths.contains(&root) && !root.is_dir() {
                _ = lost.try_send(());
            }
            if event.paths.iter().any(|path| !under_way(path)) {
                _ = bell.try_send(());
            }
        }
    })
    .map_err(|error| refused(&root, &error))?;
    watcher.watch(&root, RecursiveMode::Recursive).map_err(|error| refused(&root, &error))?;
    let task = tokio::spawn(async move {
        while was_lost.recv().await.is_some() {
            _ = watcher.unwatch(&root);
            while watcher.watch(&root, RecursiveMode::Recursive).is_err() {
                tokio::time::sleep(AGAIN).await;
            }
            // What happened in between was not seen.
            _ = bell.try_send(());
        }
    });
    Ok(Watch { _task: AbortOnDropHandle::new(task) })
}

fn under_way(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNDER_WAY))
}

fn refused(root: &Path, error: &notify::Error) -> Failure {
    let message = format!(
        "cannot watch {}: {error}; hand edits there are found by the next pass only. The system's limit of watches may \
         be reached (fs.inotify.max_user_watches)",
        root.display()
    );
    Failure::new(Class::Stalled, "NotWatched", message)
}
