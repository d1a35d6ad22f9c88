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
use super::course::{Ended, SAVE, save};
use super::pass::{Stop, pass};
use super::timing;
use super::trigger::{Batch, Trigger};
use crate::revision::Revision;
use crate::schedule;
use crate::source::SourceError;
use crate::target::World;

/// A ring after which a pass found nothing to do is followed by another one after this pause at the earliest.
const REST: Duration = Duration::from_millis(100);
/// After a pass that a newer revision cut short, the source has to be quiet for this long,
const QUIET: Duration = Duration::from_millis(200);
/// but is not waited for any longer than this.
const QUIET_AT_MOST: Duration = Duration::from_secs(1);

/// Runs passes until nothing is left but what has a pause of its own, and lets nothing but the end of the program cancel
/// them.
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
    let mut wrote = crate::report::summary::Wrote::default();
    let ended = loop {
        let (attempting, _) = watch::channel(None);
        let stops = Stop { cancel: stop.child_token(), hurry: CancellationToken::new() };
        let ended = pass(bench, memory, why, &attempting, &stops).await;
        wrote.applied += ended.wrote.applied;
        wrote.pruned += ended.wrote.pruned;
        wrote.kept = ended.wrote.kept;
        if !ended.cut_short || stop.is_cancelled() {
            break ended;
        }
        why = Batch::default();
        why.add(Trigger::Drift);
    };
    if memory.unsaved {
        save(bench, memory);
    }
    bench.release().await;
    Ended { wrote, ..ended }
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
    let tick = bench.verify_interval.map(schedule::sweep_tick);
    let (mut poll, mut sweep) = (Instant::now(), tick.map(|tick| Instant::now() + tick));
    while !stop.is_cancelled() {
        take_requests(bench, memory);
        if why.asks_source() {
            poll = Instant::now() + timing::jittered(bench.interval);
        }
        if let (true, Some(tick)) = (why.is_sweep(), tick) {
            sweep = Some(Instant::now() + tick);
        }
        let rang = why.is_drift();
        let (ended, left) = watched_pass(bench, memory, why, &mut triggers, stop).await;
        failures = if ended.retry { failures.saturating_add(1) } else { 0 };
        why = left;
        if ended.cut_short && why.asks_source() {
            quiet(&mut triggers, &mut why, stop).await;
        }
        if !why.is_empty() {
            continue;
        }
        let mut alarms = vec![(poll, Alarm::Rings(Trigger::Poll))];
        if ended.retry {
            let pause = timing::backoff(bench.retry_interval, failures).max(ended.retry_after.unwrap_or_default());
            alarms.push((Instant::now() + pause, Alarm::Rings(Trigger::Poll)));
        }
        if let Some(opens) = ended.opens {
            let pause = Duration::try_from(opens.duration_since((bench.clock)())).unwrap_or_default();
            alarms.push((Instant::now() + pause, Alarm::Rings(Trigger::Window)));
        } else if !ended.could_not_run && memory.pause.is_none() {
            // A failure of the whole pass has its own pause, and while nothing may be written nothing can be tried again.
            alarms.extend(memory.opens.next().map(|next| (next, Alarm::Rings(Trigger::Retry))));
        }
        alarms.extend(sweep.map(|at| (at, Alarm::Rings(Trigger::Sweep))));
        if memory.unsaved {
            alarms.push((memory.saved.map_or_else(Instant::now, |at| at + SAVE), Alarm::Save));
        }
        let useless = rang && ended.wrote.applied + ended.wrote.pruned == 0 && !ended.cut_short;
        let deaf_until = if useless { Instant::now() + REST } else { Instant::now() };
        let ring = async {
            tokio::time::sleep_until(deaf_until).await;
            bench.world.ring().await;
        };
        why = wait(&mut triggers, alarms, ring, stop, || save(bench, memory)).await;
    }
    if memory.unsaved {
        save(bench, memory);
    }
}

/// Something that happens at a known time.
#[derive(Clone, Copy, Debug)]
enum Alarm {
    /// A pass.
    Rings(Trigger),
    /// What is known is stored.
    Save,
}

/// Waits for the first trigger, ring or alarm, and takes with it what rang at the same time.
async fn wait(
    triggers: &mut mpsc::Receiver<Trigger>,
    mut alarms: Vec<(Instant, Alarm)>,
    ring: impl Future<Output = ()>,
    stop: &CancellationToken,
    mut save: impl FnMut(),
) -> Batch {
    let mut batch = Batch::default();
    tokio::pin!(ring);
    alarms.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    while batch.is_empty() {
        let Some((at, alarm)) = alarms.last().copied() else { return batch };
        tokio::select! {
            () = stop.cancelled() => return batch,
            () = tokio::time::sleep_until(at) => {
                alarms.pop();
                match alarm {
                    Alarm::Rings(trigger) => batch.add(trigger),
                    Alarm::Save => save(),
                }
            }
            Some(trigger) = triggers.recv() => batch.add(trigger),
            () = &mut ring => batch.add(Trigger::Drift),
        }
    }
    while let Ok(trigger) = triggers.try_recv() {
        batch.add(trigger);
    }
    batch
}

/// Waits until no commit has arrived for a while: a burst of them is one pass.
async fn quiet(triggers: &mut mpsc::Receiver<Trigger>, batch: &mut Batch, stop: &CancellationToken) {
    let end = Instant::now() + QUIET_AT_MOST;
    loop {
        let until = (Instant::now() + QUIET).min(end);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(until) => return,
            Some(trigger) = triggers.recv() => {
                batch.add(trigger);
                if !matches!(trigger, Trigger::Files | Trigger::Poll) {
                    return;
                }
            }
        }
    }
}

/// A pass during which triggers are heard: a request cancels it between steps, a newer revision ends its waits, anything
/// else is done after it. Returns what is left to do.
async fn watched_pass<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    why: Batch,
    triggers: &mut mpsc::Receiver<Trigger>,
    stop: &CancellationToken,
) -> (Ended, Batch) {
    let stops = Stop { cancel: stop.child_token(), hurry: CancellationToken::new() };
    let (attempting, attempted) = watch::channel(None::<String>);
    let pinned = memory.control.pinned.is_some();
    let source = Arc::clone(&bench.source);
    let running = pass(bench, memory, why, &attempting, &stops);
    tokio::pin!(running);
    let mut left = Batch::default();
    let mut rung = false;
    let mut look: Option<BoxFuture<'static, Result<Revision, SourceError>>> = None;
    let mut poll = tokio::time::interval_at(Instant::now() + bench.interval, bench.interval);
    loop {
        // One look at a time, and none before the pass knows what it is about, or once it is known to be outdated.
        if rung && !pinned && look.is_none() && !stops.hurry.is_cancelled() && attempted.borrow().is_some() {
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
                    stops.cancel.cancel();
                }
                Trigger::Drift
                | Trigger::Retry
                | Trigger::Window
                | Trigger::Sweep
                | Trigger::Neighbour => left.add(trigger),
            },
            _ = poll.tick() => rung = true,
            Some(found) = OptionFuture::from(look.as_mut()) => {
                look = None;
                let newest = found.ok().map(|revision| revision.id);
                if newest.is_some() && newest != *attempted.borrow() {
                    left.add(Trigger::Files);
                    stops.hurry.cancel();
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

    fn alarms(poll: Duration, retry: Duration) -> Vec<(Instant, Alarm)> {
        let now = Instant::now();
        vec![(now + poll, Alarm::Rings(Trigger::Poll)), (now + retry, Alarm::Rings(Trigger::Retry))]
    }

    /// Waits with nothing ringing and nothing to be stored.
    async fn waits(
        triggers: &mut mpsc::Receiver<Trigger>,
        alarms: Vec<(Instant, Alarm)>,
        stop: &CancellationToken,
    ) -> Batch {
        wait(triggers, alarms, std::future::pending(), stop, || {}).await
    }

    #[tokio::test]
    async fn what_rings_together_is_one_batch() {
        let (bell, mut triggers) = mpsc::channel(8);
        for trigger in [Trigger::Files, Trigger::Drift, Trigger::Files] {
            bell.send(trigger).await.unwrap();
        }
        let batch = waits(&mut triggers, alarms(FAR, FAR), &CancellationToken::new()).await;
        assert!(batch.asks_source() && batch.asks_world());
        assert!(triggers.try_recv().is_err(), "all were taken");
    }

    #[tokio::test]
    async fn files_alone_ask_for_the_source_only() {
        let (bell, mut triggers) = mpsc::channel(8);
        bell.send(Trigger::Files).await.unwrap();
        let batch = waits(&mut triggers, alarms(FAR, FAR), &CancellationToken::new()).await;
        assert!(batch.asks_source() && !batch.asks_world());
    }

    #[tokio::test]
    async fn the_earliest_alarm_rings_whichever_it_is_and_storing_is_no_pass() {
        let (_bell, mut triggers) = mpsc::channel(8);
        let soon = Duration::from_millis(1);
        for (poll, retry) in [(FAR, soon), (soon, FAR)] {
            let batch = waits(&mut triggers, alarms(poll, retry), &CancellationToken::new()).await;
            assert!(!batch.is_empty() && batch.asks_source() == (poll == soon));
        }
        let mut stored = 0;
        let alarms = [alarms(FAR, soon * 20), vec![(Instant::now() + soon, Alarm::Save)]].concat();
        let stop = CancellationToken::new();
        let batch = wait(&mut triggers, alarms, std::future::pending(), &stop, || stored += 1).await;
        assert!(!batch.is_empty() && stored == 1);
    }

    #[tokio::test]
    async fn a_ring_of_the_world_is_drift() {
        let (_bell, mut triggers) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let batch = wait(&mut triggers, alarms(FAR, FAR), std::future::ready(()), &stop, || {}).await;
        assert!(batch.asks_world() && !batch.asks_source());
    }

    #[tokio::test]
    async fn a_burst_of_commits_is_waited_for_but_not_for_ever() {
        let (bell, mut triggers) = mpsc::channel(8);
        let began = Instant::now();
        let sender = tokio::spawn(async move {
            while bell.send(Trigger::Files).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        quiet(&mut triggers, &mut Batch::default(), &CancellationToken::new()).await;
        assert!(began.elapsed() >= QUIET_AT_MOST, "{:?}", began.elapsed());
        sender.abort();
        drop(triggers);
        let (_bell, mut triggers) = mpsc::channel(8);
        let began = Instant::now();
        quiet(&mut triggers, &mut Batch::default(), &CancellationToken::new()).await;
        assert!(began.elapsed() >= QUIET, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn the_end_of_the_program_ends_a_wait_with_nothing_to_do() {
        let (_bell, mut triggers) = mpsc::channel(8);
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(waits(&mut triggers, alarms(FAR, FAR), &stop).await.is_empty());
    }
}
