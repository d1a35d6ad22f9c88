//! The bells of one sync: files of a local source, requests of people, drift of the target.
//!
//! A bell only says "look". One that cannot be hung is a log line: the poll interval finds everything later. Called by
//! `agent`.

use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bench::Bench;
use super::tenure::Tenure;
use super::trigger::Trigger;
use crate::source::Watch;
use crate::target::Target;

/// Requests are also looked for this often, where the operating system tells of no files.
const REQUESTS: Duration = Duration::from_secs(2);

/// Keeps the bells ringing; they fall silent when dropped.
pub(super) struct Bells {
    _source: Option<Watch>,
    _target: Option<crate::target::dir::Watch>,
    _requests: Option<notify::RecommendedWatcher>,
    _forward: JoinSet<()>,
}

/// Hangs all bells of a sync.
pub(super) async fn hang(bench: &Bench<Target>) -> (mpsc::Receiver<Trigger>, Bells) {
    let (triggers, heard) = mpsc::channel(64);
    let mut forward = JoinSet::new();

    let (bell, rung) = mpsc::channel(1);
    let source = bench.source.watch(bell).unwrap_or_else(|error| {
        tracing::warn!(sync = %bench.label(), %error, "files of the source are only polled");
        None
    });
    forward.spawn(pass_on(rung, triggers.clone(), Trigger::Files));

    let (bell, rung) = mpsc::channel(1);
    let target = bench.world.watch(bell).unwrap_or_else(|error| {
        tracing::warn!(sync = %bench.label(), %error, "drift is only polled");
        None
    });
    forward.spawn(pass_on(rung, triggers.clone(), Trigger::Drift));

    let (bell, rung) = mpsc::channel(1);
    let folder = bench.store.folder().join("requests");
    let requests = watch(&folder, bell.clone())
        .inspect_err(|error| tracing::warn!(sync = %bench.label(), %error, "requests are only polled"))
        .ok();
    forward.spawn(async move {
        let mut tick = tokio::time::interval(REQUESTS);
        loop {
            tick.tick().await;
            let waiting = std::fs::read_dir(&folder).is_ok_and(|entries| {
                entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
            });
            // A full bell is a rung bell.
            if waiting && matches!(bell.try_send(()), Err(mpsc::error::TrySendError::Closed(()))) {
                return;
            }
        }
    });
    forward.spawn(pass_on(rung, triggers.clone(), Trigger::Request));

    bench.board.neighbours.hang(&bench.key(), triggers.clone());
    let (bell, rung) = mpsc::channel(1);
    bench.board.claims.hang(&bench.part_of(), bell);
    forward.spawn(pass_on(rung, triggers.clone(), Trigger::Neighbour));
    if let Some(mut ours) = bench.tenure.as_ref().map(Tenure::watch) {
        forward.spawn(async move {
            while ours.changed().await.is_ok() {
                // The first pass takes the Lease itself and knows.
                _ = triggers.try_send(Trigger::Neighbour);
            }
        });
    }

    (heard, Bells { _source: source, _target: target, _requests: requests, _forward: forward })
}

async fn pass_on(mut rung: mpsc::Receiver<()>, triggers: mpsc::Sender<Trigger>, trigger: Trigger) {
    while rung.recv().await.is_some() {
        if triggers.send(trigger).await.is_err() {
            return;
        }
    }
}

fn watch(folder: &std::path::Path, bell: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Only what appears matters: taking a request away is our own doing.
        if event.is_ok_and(|event| event.kind.is_create() || event.kind.is_modify()) {
            _ = bell.try_send(());
        }
    })?;
    watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
