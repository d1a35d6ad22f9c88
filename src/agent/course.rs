//! What a pass collects on its way, and its end: summarize, and tell everybody who should know.
//!
//! Decides nothing: what the facts mean is `report`'s to say. Called by `pass` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bench::{Bench, Memory, Pause, Prepared};
use super::store::Saved;
use crate::diff::Which;
use crate::plan::StepId;
use crate::report::summary::{End, Facts, Wrote, summarize};
use crate::revision::Revision;
use crate::target::execute::Outcome;
use crate::target::{Class, Failure, LiveStatus, World};
use crate::telemetry::{self, Stage};

/// How a pass came out, for the task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Everything wanted is there and ready.
    pub(super) ready: bool,
    /// It could not run: source, target or the GitSync itself.
    pub(super) could_not_run: bool,
    /// It could not be done as a whole, and is worth trying again soon. (Steps have pauses of their own.)
    pub(super) retry: bool,
    /// How long the other side asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// When a window opens that it waits for.
    pub(super) opens: Option<jiff::Timestamp>,
    /// Stopped before its end.
    pub(super) cancelled: bool,
    /// It stopped waiting, since something else came first.
    pub(super) cut_short: bool,
    /// Objects written and deleted.
    pub(super) wrote: Wrote,
}

/// What a pass collects on its way to the summary.
pub(super) struct Course {
    pub(super) began: Instant,
    pub(super) handled: Option<String>,
    pub(super) revision: Option<Revision>,
    pub(super) prepared: Option<Arc<Prepared>>,
    /// Which steps it was about; none: all.
    pub(super) part: Option<BTreeSet<StepId>>,
    pub(super) outcomes: BTreeMap<StepId, Outcome>,
    pub(super) live: BTreeMap<StepId, LiveStatus>,
    pub(super) wrote: Wrote,
}

impl Course {
    pub(super) fn begin<W>(bench: &Bench<W>) -> Self {
        Self {
            began: Instant::now(),
            handled: bench.requested_at(),
            revision: None,
            prepared: None,
            part: Some(BTreeSet::new()),
            outcomes: BTreeMap::new(),
            live: BTreeMap::new(),
            wrote: Wrote::default(),
        }
    }

    /// Which steps it was about.
    pub(super) fn which(&self) -> Which<'_> {
        self.part.as_ref().map_or(Which::All, Which::Only)
    }
}

/// What is known is stored at most this often while much happens; it is stored in the end.
pub(super) const SAVE: Duration = Duration::from_secs(1);
/// While nothing happens, this often: so that a new life of the agent knows when the source was last read.
const REFRESH: Duration = Duration::from_secs(600);

pub(super) async fn target_failed<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &mut Course,
    failure: &Failure,
) -> Ended {
    tracing::warn!(sync = %bench.label(), error = %failure, "the target failed");
    // What is stored is not known for sure any more.
    memory.inventory = None;
    memory.todo.all = true;
    memory.kinds_asked = None;
    let end = End::TargetFailed(failure.reason, &failure.message);
    let ended = finish(bench, memory, course, end, None).await;
    Ended { retry: failure.class == Class::Retry, retry_after: failure.retry_after, ..ended }
}

pub(super) fn facts<'a, W: World>(
    bench: &'a Bench<W>,
    memory: &'a Memory,
    course: &'a Course,
    end: End<'a>,
) -> Facts<'a> {
    let prepared = course.prepared.as_deref();
    Facts {
        who: &bench.who,
        now: (bench.clock)(),
        duration_ms: u64::try_from(course.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        revision: course.revision.as_ref(),
        fetched_at: memory.fetched_at.filter(|_| memory.source_error.is_none()),
        plan: prepared.map(|prepared| &prepared.plan),
        problems: prepared.map_or(&memory.summary.view.problems, |prepared| &prepared.problems),
        inventory: memory.inventory.as_ref(),
        live: &course.live,
        outcomes: &course.outcomes,
        which: course.which(),
        same_plan: match (&memory.shown, &course.prepared) {
            (Some(shown), Some(prepared)) => Arc::ptr_eq(shown, prepared),
            _ => false,
        },
        wrote: course.wrote,
        end,
        source_error: memory.source_error.as_deref(),
        handled: course.handled.as_deref(),
        pinned: memory.control.pinned.as_deref(),
    }
}

/// Summarizes and tells everybody who should know.
pub(super) async fn finish<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &mut Course,
    end: End<'_>,
    opens: Option<jiff::Timestamp>,
) -> Ended {
    course.live = bench.world.statuses();
    let summary = summarize(&memory.summary, &facts(bench, memory, course, end));
    memory.summary = summary;
    memory.live = None;
    if course.prepared.is_some() {
        memory.shown.clone_from(&course.prepared);
    }
    bench.board.publish(&memory.summary.view);
    let ready_at = course.revision.as_ref().filter(|_| end == End::Done && memory.is_ready());
    bench.board.neighbours.ended(&bench.key(), ready_at.map(|revision| revision.id.as_str()));
    bench.board.seen(&bench.who.namespace, &bench.who.name);

    let began = Instant::now();
    if let End::Elsewhere(_) = end {
        // The other agent tells the cluster.
    } else if let Some(prepared) = &course.prepared {
        bench.writer.write(&bench.who, &memory.summary, &prepared.plan, &course.live).await;
    } else {
        bench.writer.write_sync(&bench.who, &memory.summary).await;
    }
    memory.unsaved = true;
    if memory.saved.is_none_or(|saved| saved.elapsed() >= SAVE) {
        save(bench, memory);
    }
    bench.metrics.stage(Stage::Report, began.elapsed());

    let ready = memory.is_ready();
    let could_not_run = matches!(end, End::NoRevision | End::TargetFailed(..) | End::Invalid | End::Elsewhere(_));
    let wrote = course.wrote.applied + course.wrote.pruned > 0;
    let outcome = match end {
        _ if could_not_run => telemetry::Outcome::Failed,
        End::Cancelled => telemetry::Outcome::Cancelled,
        _ if !ready => telemetry::Outcome::NotReady,
        _ if wrote => telemetry::Outcome::Changed,
        _ => telemetry::Outcome::Unchanged,
    };
    if !matches!(end, End::Suspended | End::Elsewhere(_)) {
        bench.metrics.pass_finished(&bench.label(), outcome, (bench.clock)());
    }
    tracing::info!(
        sync = %bench.label(),
        revision = course.revision.as_ref().map(Revision::short).unwrap_or_default(),
        outcome = outcome.as_str(),
        applied = course.wrote.applied,
        pruned = course.wrote.pruned,
        duration_ms = u64::try_from(course.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "pass ended"
    );
    Ended {
        ready,
        could_not_run,
        retry: could_not_run && !matches!(end, End::Elsewhere(_)),
        retry_after: None,
        opens,
        cancelled: end == End::Cancelled,
        cut_short: false,
        wrote: course.wrote,
    }
}

/// The end of a pass in which nothing had moved: nothing is said anew but that the source was read.
pub(super) fn rest<W: World>(bench: &Bench<W>, memory: &mut Memory, opens: Option<jiff::Timestamp>) -> Ended {
    if let (Some(at), None) = (memory.fetched_at, &memory.source_error) {
        let at = crate::report::summary::second(at);
        if let Some(source) = &mut memory.summary.status.source
            && source.fetched_at != at
        {
            source.fetched_at.clone_from(&at);
            memory.summary.view.details.fetched_at = Some(at);
            bench.board.publish(&memory.summary.view);
        }
    }
    if memory.saved.is_none_or(|saved| saved.elapsed() >= REFRESH) {
        save(bench, memory);
    }
    let ready = memory.is_ready();
    let outcome = if ready { telemetry::Outcome::Unchanged } else { telemetry::Outcome::NotReady };
    if memory.pause != Some(Pause::Suspended) {
        bench.metrics.pass_finished(&bench.label(), outcome, (bench.clock)());
    }
    tracing::debug!(sync = %bench.label(), "nothing has moved");
    Ended { ready, opens, ..Ended::default() }
}

/// Stores what is known of the sync for the next life of the agent.
pub(super) fn save<W>(bench: &Bench<W>, memory: &mut Memory) {
    memory.saved = Some(tokio::time::Instant::now());
    memory.unsaved = false;
    let saved =
        Saved { summary: memory.summary.clone(), control: memory.control.clone(), place: Some(bench.place.clone()) };
    if let Err(error) = bench.store.save(&saved) {
        tracing::warn!(sync = %bench.label(), %error, "what is known of the sync could not be stored");
    }
}
