//! What a pass collects on its way, and its end: summarize, and tell everybody who should know.
//!
//! Decides nothing: what the facts mean is `report`'s to say. Called by `pass` alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bench::{Bench, Memory, Prepared};
use super::store::Saved;
use crate::plan::{State, StepId};
use crate::report::summary::{End, Facts, Wrote, summarize};
use crate::revision::Revision;
use crate::target::execute::Outcome;
use crate::target::{Class, Failure, World};
use crate::telemetry::{self, Stage};

/// How a pass came out, for the task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Everything wanted is there and ready.
    pub(super) ready: bool,
    /// It could not run: source, target or the GitSync itself.
    pub(super) could_not_run: bool,
    /// It is worth trying again soon.
    pub(super) retry: bool,
    /// How long the other side asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// When a window opens that it waits for.
    pub(super) opens: Option<jiff::Timestamp>,
    /// Stopped before its end.
    pub(super) cancelled: bool,
    /// Objects written and deleted.
    pub(super) wrote: Wrote,
}

/// What a pass collects on its way to the summary.
pub(super) struct Course {
    pub(super) began: Instant,
    pub(super) handled: Option<String>,
    pub(super) source_error: Option<String>,
    pub(super) revision: Option<Revision>,
    pub(super) prepared: Option<Arc<Prepared>>,
    pub(super) outcomes: BTreeMap<StepId, Outcome>,
    pub(super) wrote: Wrote,
}

impl Course {
    pub(super) fn begin<W>(bench: &Bench<W>) -> Self {
        Self {
            began: Instant::now(),
            handled: bench.requested_at(),
            source_error: None,
            revision: None,
            prepared: None,
            outcomes: BTreeMap::new(),
            wrote: Wrote::default(),
        }
    }
}

pub(super) async fn target_failed<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &Course,
    failure: &Failure,
) -> Ended {
    tracing::warn!(sync = %bench.label(), error = %failure, "the target failed");
    // What is stored is not known for sure any more.
    memory.inventory = None;
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
        fetched_at: memory.fetched_at.filter(|_| course.source_error.is_none()),
        plan: prepared.map(|prepared| &prepared.plan),
        problems: prepared.map_or(&memory.summary.view.problems, |prepared| &prepared.problems),
        inventory: memory.inventory.as_ref(),
        live: bench.world.statuses(),
        outcomes: &course.outcomes,
        wrote: course.wrote,
        end,
        source_error: course.source_error.as_deref(),
        handled: course.handled.as_deref(),
        pinned: memory.control.pinned.as_deref(),
    }
}

/// Whether a step may come right by itself, and soon.
fn may_pass(outcome: &Outcome) -> bool {
    matches!(outcome.state, State::Unknown | State::Progressing)
}

/// Summarizes and tells everybody who should know.
pub(super) async fn finish<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &Course,
    end: End<'_>,
    opens: Option<jiff::Timestamp>,
) -> Ended {
    let summary = summarize(&memory.summary, &facts(bench, memory, course, end));
    let counts = summary.view.counts;
    // What is not as wanted may become so without a commit: then every poll looks at the world again.
    let idle = |outcome: &Outcome| matches!(outcome.state, State::Ready | State::Pending);
    memory.settled = matches!(end, End::Done) && course.outcomes.values().all(idle);
    memory.summary = summary;
    memory.live = None;
    bench.board.publish(&memory.summary.view);
    let ready_at = course.revision.as_ref().filter(|_| end == End::Done && memory.is_ready());
    bench.board.neighbours.ended(&bench.key(), ready_at.map(|revision| revision.id.as_str()));
    bench.board.seen(&bench.who.namespace, &bench.who.name);

    let began = Instant::now();
    if let End::Elsewhere(_) = end {
        // The other agent tells the cluster.
    } else if let Some(prepared) = &course.prepared {
        bench.writer.write(&bench.who, &memory.summary, &prepared.plan, &bench.world.statuses()).await;
    } else {
        bench.writer.write_sync(&bench.who, &memory.summary).await;
    }
    let saved =
        Saved { summary: memory.summary.clone(), control: memory.control.clone(), place: Some(bench.place.clone()) };
    if let Err(error) = bench.store.save(&saved) {
        tracing::warn!(sync = %bench.label(), %error, "what is known of the sync could not be stored");
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
        retry: could_not_run && !matches!(end, End::Elsewhere(_))
            || counts.failed > 0
            || course.outcomes.values().any(may_pass),
        retry_after: None,
        opens,
        cancelled: end == End::Cancelled,
        wrote: course.wrote,
    }
}
