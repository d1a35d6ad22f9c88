//! The task of one sync: waits for triggers, runs passes one at a time, lets a newer revision cancel a pass that waits.
//!
//! Owns everything of its sync, shares nothing mutable. Called by `agent`.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Memory};
use super::course::Ended;
use super::pass::pass;
use super::timing;
use super::trigger::{Batch, Trigger};
use crate::revision::Revision;
use crate::source::SourceError;
use crate::target::World;

/// Runs one pass and lets nothing but the end of the program cancel it.
pub(super) async fn once<W: World>(bench: &Bench<W>, memory: &mut Memory, stop: &CancellationToken) -> Ended {
    take_requests(bench, memory);
    if let Some(tenure) = &bench.tenure {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tenure.await_turn() => {}
        }
    }
    let mut why = Batch::default();
    why.add(Trigger::Request);
    let (attempting, _) = watch::channel(None);
    let ended = pass(bench, memory, why, &attempting, &stop.child_token()).await;
    bench.release().await;
    ended
}

/// Runs until stopped.
pub(super) async fn run<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    mut triggers: mpsc::Receiver<Trigger>,
    stop: &CancellationToken,
) {
    let mut why = Batch::default();
    why.add(Trigger::Poll);
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        take_requests(bench, memory);
        let (ended, left) = watched_pass(bench, memory, why, &mut triggers, stop).await;
        failures = if ended.retry { failures.saturating_add(1) } else { 0 };
        why = left;
        if !why.is_empty() {
            continue;
        }
        let mut alarms = vec![(Instant::now() + timing::jittered(bench.interval), Trigger::Poll)];
        if ended.retry {
            let pause = timing::backoff(bench.retry_interval, failures).max(ended.retry_after.unwrap_or_default());
            alarms.push((Instant::now() + pause, Trigger::Retry));
        }
        if let Some(opens) = ended.opens {
            let pause = Duration::try_from(opens.duration_since((bench.clock)())).unwrap_or_default();
            alarms.push((Instant::now() + pause, Trigger::Window));
        }
        why = wait(&mut triggers, alarms, stop).await;
    }
}

/// Waits for the first trigger or alarm, and takes with it what rang at the same time.
async fn wait(
    triggers: &mut mpsc::Receiver<Trigger>,
    mut alarms: Vec<(Instant, Trigger)>,
    stop: &CancellationToken,
) -> Batch {
    let mut batch = Batch::default();
    alarms.sort_by_key(|(at, _)| *at);
    let Some((at, alarm)) = alarms.first().copied() else { return batch };
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep_until(at) => batch.add(alarm),
        Some(trigger) = triggers.recv() => batch.add(trigger),
    }
    while let Ok(trigger) = triggers.try_recv() {
        batch.add(trigger);
    }
    batch
}

/// A pass during which triggers are heard: a newer revision or a request cancels it between steps, anything else is done
/// after it. Returns what is left to do.
async fn watched_pass<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    why: Batch,
    triggers: &mut mpsc::Receiver<Trigger>,
    stop: &CancellationToken,
) -> (Ended, Batch) {
    let cancel = stop.child_token();
    let (attempting, attempted) = watch::channel(None::<String>);
    let pinned = memory.control.pinned.is_some();
    let source = Arc::clone(&bench.source);
    let running = pass(bench, memory, why, &attempting, &cancel);
    tokio::pin!(running);
    let mut left = Batch::default();
    let mut rung = false;
    let mut look: Option<BoxFuture<'static, Result<Revision, SourceError>>> = None;
    let mut poll = tokio::time::interval_at(Instant::now() + bench.interval, bench.interval);
    loop {
        // One look at a time, and none before the pass knows what it is about.
        if rung && !pinned && look.is_none() && attempted.borrow().is_some() {
            rung = false;
            let source = Arc::clone(&source);
            look = Some(async move { source.fetch().await }.boxed());
        }
        tokio::select! {
            ended = &mut running => {
                // What could not be looked at in time is looked at after the pass.
                if rung || look.is_some() {
                    left.add(Trigger::Files);
                }
                return (ended, left);
            }
            Some(trigger) = triggers.recv() => match trigger {
                Trigger::Files | Trigger::Poll => rung = true,
                Trigger::Request => {
                    left.add(trigger);
                    cancel.cancel();
                }
                Trigger::Drift | Trigger::Retry | Trigger::Window | Trigger::Neighbour => left.add(trigger),
            },
            _ = poll.tick() => rung = true,
            Some(found) = OptionFuture::from(look.as_mut()) => {
                look = None;
                let newest = found.ok().map(|revision| revision.id);
                if newest.is_some() && newest != *attempted.borrow() {
                    left.add(Trigger::Files);
                    cancel.cancel();
                }
            }
        }
    }
}

/// Takes what people asked for since the last pass.
fn take_requests<W: World>(bench: &Bench<W>, memory: &mut Memory) {
    match bench.store.requests() {
        Ok(requests) => requests.into_iter().for_each(|request| memory.control.take(request)),
        Err(error) => tracing::warn!(sync = %bench.label(), %error, "requests cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far enough that only a mistake waits for it.
    const FAR: Duration = Duration::from_secs(600);

    fn alarms(poll: Duration, retry: Duration) -> Vec<(Instant, Trigger)> {
        let now = Instant::now();
        vec![(now + poll, Trigger::Poll), (now + retry, Trigger::Retry)]
    }

    #[tokio::test]
    async fn what_rings_together_is_one_batch() {
        let (bell, mut triggers) = mpsc::channel(8);
        for trigger in [Trigger::Files, Trigger::Drift, Trigger::Files] {
            bell.send(trigger).await.unwrap();
        }
        let batch = wait(&mut triggers, alarms(FAR, FAR), &CancellationToken::new()).await;
        assert!(!batch.is_empty() && !batch.only_new());
        assert!(triggers.try_recv().is_err(), "all were taken");
    }

    #[tokio::test]
    async fn files_alone_ask_for_a_new_revision_only() {
        let (bell, mut triggers) = mpsc::channel(8);
        bell.send(Trigger::Files).await.unwrap();
        assert!(wait(&mut triggers, alarms(FAR, FAR), &CancellationToken::new()).await.only_new());
    }

    #[tokio::test]
    async fn the_earliest_alarm_rings_whichever_it_is() {
        let (_bell, mut triggers) = mpsc::channel(8);
        let soon = Duration::from_millis(1);
        for (poll, retry) in [(FAR, soon), (soon, FAR)] {
            let batch = wait(&mut triggers, alarms(poll, retry), &CancellationToken::new()).await;
            assert!(!batch.is_empty() && !batch.only_new());
        }
    }

    #[tokio::test]
    async fn the_end_of_the_program_ends_a_wait_with_nothing_to_do() {
        let (_bell, mut triggers) = mpsc::channel(8);
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(wait(&mut triggers, alarms(FAR, FAR), &stop).await.is_empty());
    }
}
