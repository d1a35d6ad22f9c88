//! One pass, from the source to the status: the one function that names every stage.
//!
//! fetch → read → expand → observe → diff → execute → summarize → write. Decides nothing that a pure room can decide.
//! Called by `task` alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Memory, Prepared};
use super::board::Landed;
use super::store::Saved;
use super::trigger::Batch;
use crate::declared::{self, Context};
use crate::diff::{self, Diff, Op};
use crate::expand::expand;
use crate::inventory::Inventory;
use crate::plan::{Plan, State, StepId};
use crate::report::summary::{End, Facts, Wrote, summarize};
use crate::revision::Revision;
use crate::sync::conditions::reasons;
use crate::sync::spec::Budget;
use crate::target::execute::{Applied, Limits, Outcome, execute};
use crate::target::{Class, Failure, World};
use crate::telemetry::{self, Stage};

/// While steps are under way the view is renewed this often.
const LIVE: Duration = Duration::from_millis(200);
/// Writes in flight at once.
const CONCURRENCY: usize = 32;

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

/// What the source said.
struct Fetched {
    revision: Option<Revision>,
    error: Option<String>,
}

/// What a pass collects on its way to the summary.
struct Course {
    began: Instant,
    handled: Option<String>,
    source_error: Option<String>,
    revision: Option<Revision>,
    prepared: Option<Arc<Prepared>>,
    outcomes: BTreeMap<StepId, Outcome>,
    wrote: Wrote,
}

impl Course {
    fn begin<W>(bench: &Bench<W>) -> Self {
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

/// Runs one pass. `attempting` learns the revision as soon as it is known, so that a newer one can cancel.
pub(super) async fn pass<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    why: Batch,
    attempting: &watch::Sender<Option<String>>,
    cancel: &CancellationToken,
) -> Ended {
    let mut course = Course::begin(bench);
    if bench.spec.suspend || memory.control.suspended {
        return finish(bench, memory, &course, End::Suspended, None).await;
    }

    // fetch
    let Fetched { revision, error } = timed(bench, Stage::Fetch, fetch(bench, memory)).await;
    if let Some(error) = error {
        tracing::warn!(sync = %bench.label(), error, "cannot read the source");
        course.source_error = Some(error);
    } else {
        memory.fetched_at = Some((bench.clock)());
    }
    let Some(revision) = revision else { return finish(bench, memory, &course, End::NoRevision, None).await };
    attempting.send_replace(Some(revision.id.clone()));
    let known = memory.prepared.as_ref().filter(|prepared| prepared.plan.revision.id == revision.id).cloned();
    if why.only_new() && known.is_some() && memory.settled && course.source_error.is_none() {
        return Ended { ready: memory.is_ready(), ..Ended::default() };
    }
    course.revision = Some(revision.clone());

    // read, expand
    let prepared = match known {
        Some(prepared) => prepared,
        None => match prepare(bench, memory, &revision).await {
            Ok(prepared) => prepared,
            Err(Unprepared::Source(error)) => {
                course.source_error = Some(error);
                return finish(bench, memory, &course, End::NoRevision, None).await;
            }
            Err(Unprepared::Target(failure)) => return target_failed(bench, memory, &course, &failure).await,
        },
    };
    let first = memory.prepared.is_none();
    let is_new = memory.summary.status.last_attempted_revision.as_deref() != Some(revision.id.as_str());
    memory.prepared = Some(Arc::clone(&prepared));
    course.prepared = Some(Arc::clone(&prepared));
    let plan = &prepared.plan;

    // observe, diff
    let inventory = match inventory(bench, memory).await {
        Ok(inventory) => inventory,
        Err(failure) => return target_failed(bench, memory, &course, &failure).await,
    };
    let observed = timed(bench, Stage::Observe, bench.world.observe(plan, &inventory)).await;
    let began = Instant::now();
    let diff = diff::diff(plan, &observed, &inventory, &bench.rules(&revision));
    bench.metrics.stage(Stage::Diff, began.elapsed());
    course.wrote.kept = kept(&diff);

    let writes = diff.changes().values().filter(|change| change.op.writes()).count();
    if let (Err(opens), true) = (bench.window(), writes > 0) {
        hold(&diff, &mut course.outcomes);
        memory.inventory = Some(inventory);
        return finish(bench, memory, &course, End::Closed(opens, writes), opens).await;
    }

    // execute
    let limits = Limits { timeout: bench.timeout, concurrency: CONCURRENCY, cancel: cancel.clone() };
    let applied = run(bench, memory, &mut course, plan, &diff, inventory, &limits).await;
    bench.metrics.stage(Stage::Execute, began.elapsed());
    let Applied { steps, pruned, applied, inventory, failure, cancelled } = applied;
    memory.inventory = failure.is_none().then_some(inventory);
    course.outcomes = steps;
    course.wrote.applied = applied;
    course.wrote.pruned = u32::try_from(pruned.len()).unwrap_or(u32::MAX);

    // summarize, write
    if let Some(failure) = failure {
        return target_failed(bench, memory, &course, &failure).await;
    }
    let end = if cancelled { End::Cancelled } else { End::Done };
    let ended = finish(bench, memory, &course, end, None).await;
    if is_new || course.wrote.applied + course.wrote.pruned > 0 {
        bench.board.tell(Landed {
            sync: bench.label(),
            revision: revision.short().to_owned(),
            subject: revision.subject.clone().unwrap_or_default(),
            new_revision: is_new,
            first,
            applied: course.wrote.applied,
            pruned: course.wrote.pruned,
            took_ms: u64::try_from(course.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            errors: prepared.problems.iter().filter(|p| p.severity == crate::problem::Severity::Error).count(),
            sentence: crate::report::verdict::sentence(&memory.summary.view),
        });
    }
    ended
}

/// Deletes everything that the sync owns, on the same proofs as every prune. True once nothing is left.
pub(super) async fn prune_all<W: World>(bench: &Bench<W>, memory: &mut Memory, cancel: &CancellationToken) -> bool {
    let mut course = Course::begin(bench);
    let plan = Plan::empty();
    let inventory = match inventory(bench, memory).await {
        Ok(inventory) => inventory,
        Err(failure) => {
            target_failed(bench, memory, &course, &failure).await;
            return false;
        }
    };
    course.prepared = Some(Arc::new(Prepared { plan: plan.clone(), problems: Vec::new() }));
    let observed = bench.world.observe(&plan, &inventory).await;
    let mut rules = bench.rules(&Revision::default());
    // Whoever deletes a sync that prunes means all of it; what is protected stays protected.
    rules.prune = true;
    rules.budget = Budget { max_deletes: u32::MAX, max_delete_percent: 100 };
    let diff = diff::diff(&plan, &observed, &inventory, &rules);
    let limits = Limits { timeout: bench.timeout, concurrency: CONCURRENCY, cancel: cancel.clone() };
    let mut applied = run(bench, memory, &mut course, &plan, &diff, inventory, &limits).await;
    let empty = applied.failure.is_none() && applied.inventory.entries.is_empty();
    if empty {
        applied.failure = bench.world.release_inventory().await.err();
    }
    let empty = empty && applied.failure.is_none();
    course.outcomes = applied.steps;
    course.wrote.pruned = u32::try_from(applied.pruned.len()).unwrap_or(u32::MAX);
    memory.inventory = applied.failure.is_none().then_some(applied.inventory);
    finish(bench, memory, &course, End::Done, None).await;
    empty
}

async fn timed<W: World, T>(bench: &Bench<W>, stage: Stage, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    bench.metrics.stage(stage, began.elapsed());
    done
}

/// Asks the source. If it cannot be read, the revision that was worked with last stays the authority, as far as the clone
/// still has it.
async fn fetch<W: World>(bench: &Bench<W>, memory: &Memory) -> Fetched {
    let asked = match &memory.control.pinned {
        Some(pinned) => bench.source.find(pinned).await,
        None => bench.source.fetch().await,
    };
    let error = match asked {
        Ok(revision) => return Fetched { revision: Some(revision), error: None },
        Err(error) => error.to_string(),
    };
    let revision = match &memory.prepared {
        Some(prepared) => Some(prepared.plan.revision.clone()),
        None => match &memory.summary.status.last_attempted_revision {
            Some(id) => bench.source.find(id).await.ok(),
            None => None,
        },
    };
    Fetched { revision, error: Some(error) }
}

enum Unprepared {
    Source(String),
    Target(Failure),
}

/// The pure half: what the revision wants.
async fn prepare<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    revision: &Revision,
) -> Result<Arc<Prepared>, Unprepared> {
    let began = Instant::now();
    let snapshot = bench.source.snapshot(revision).await.map_err(|error| Unprepared::Source(error.to_string()))?;
    let scopes = bench.world.scopes().await.map_err(Unprepared::Target)?;
    let context = Context { target_namespace: bench.spec.target_namespace.clone(), scopes };
    let (declared, mut problems) = declared::read(&snapshot, &context, &mut memory.memo);
    bench.metrics.stage(Stage::Declare, began.elapsed());
    let began = Instant::now();
    let (mut plan, more) = expand(&declared);
    if plan.holds_secret()
        && let Some(key) = bench.world.hash_key().await.map_err(Unprepared::Target)?
    {
        plan = plan.keyed(&key);
    }
    problems.extend(more);
    problems.sort();
    bench.metrics.stage(Stage::Expand, began.elapsed());
    Ok(Arc::new(Prepared { plan, problems }))
}

/// What is owned: read once, then remembered as stored.
async fn inventory<W: World>(bench: &Bench<W>, memory: &mut Memory) -> Result<Inventory, Failure> {
    if let Some(known) = memory.inventory.take() {
        return Ok(known);
    }
    let fresh = Inventory::new(bench.sync_id.clone(), bench.who.source.clone());
    let Some(stored) = bench.world.load_inventory().await? else { return Ok(fresh) };
    if (&stored.sync, &stored.source) != (&fresh.sync, &fresh.source) {
        let message = format!(
            "what is owned in the target was recorded for sync {} of {}, not for this sync {} of {}. Nothing was touched. If the source only moved, remove the stored inventory: everything is then recorded anew, and nothing of it is deleted.",
            stored.sync, stored.source, fresh.sync, fresh.source
        );
        return Err(Failure::new(Class::Denied, reasons::INVENTORY_MISMATCH, message));
    }
    Ok(stored)
}

/// Whether a step may come right by itself, and soon.
fn may_pass(outcome: &Outcome) -> bool {
    matches!(outcome.state, State::Unknown | State::Progressing)
}

fn kept(diff: &Diff) -> u32 {
    let kept = diff.changes().values().filter(|change| change.op == Op::Keep).count();
    u32::try_from(kept).unwrap_or(u32::MAX)
}

/// Outside a window nothing is written: what would be waits.
fn hold(diff: &Diff, outcomes: &mut BTreeMap<StepId, Outcome>) {
    for (id, change) in diff.changes().iter().filter(|(_, change)| change.op.writes()) {
        let what = match change.op {
            Op::Create => "to be created",
            Op::Delete => "to be deleted",
            _ => "to be updated",
        };
        outcomes.insert(
            id.clone(),
            Outcome {
                state: State::Waiting,
                reason: reasons::OUTSIDE_WINDOW.to_owned(),
                message: format!("waits for a window {what}"),
                waits_for: Vec::new(),
            },
        );
    }
}

/// Executes, and shows how it goes while it takes long.
async fn run<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &mut Course,
    plan: &Plan,
    diff: &Diff,
    inventory: Inventory,
    limits: &Limits,
) -> Applied {
    let (tell, mut told) = mpsc::unbounded_channel::<(StepId, Outcome)>();
    let progress = move |id: &StepId, outcome: &Outcome| {
        // The pass may be over; then nobody needs to know.
        _ = tell.send((id.clone(), outcome.clone()));
    };
    let work = execute(&bench.world, plan, diff, inventory, limits, progress);
    tokio::pin!(work);
    let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + LIVE, LIVE);
    renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut written = false;
    loop {
        tokio::select! {
            applied = &mut work => return applied,
            _ = renew.tick() => {
                let mut moved = false;
                while let Ok((id, outcome)) = told.try_recv() {
                    course.outcomes.insert(id, outcome);
                    moved = true;
                }
                if moved {
                    let facts = facts(bench, memory, course, End::Running);
                    memory.live = Some(summarize(&memory.summary, &facts));
                    if let Some(live) = &memory.live {
                        bench.board.publish(&live.view);
                        if !written {
                            written = true;
                            bench.writer.write(&bench.who, live, plan).await;
                        }
                    }
                }
            }
        }
    }
}

async fn target_failed<W: World>(bench: &Bench<W>, memory: &mut Memory, course: &Course, failure: &Failure) -> Ended {
    tracing::warn!(sync = %bench.label(), error = %failure, "the target failed");
    // What is stored is not known for sure any more.
    memory.inventory = None;
    let end = End::TargetFailed(failure.reason, &failure.message);
    let ended = finish(bench, memory, course, end, None).await;
    Ended { retry: failure.class == Class::Retry, retry_after: failure.retry_after, ..ended }
}

fn facts<'a, W: World>(bench: &'a Bench<W>, memory: &'a Memory, course: &'a Course, end: End<'a>) -> Facts<'a> {
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
    }
}

/// Summarizes and tells everybody who should know.
async fn finish<W: World>(
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
    bench.board.seen(&bench.who.namespace, &bench.who.name);

    let began = Instant::now();
    if let Some(prepared) = &course.prepared {
        bench.writer.write(&bench.who, &memory.summary, &prepared.plan).await;
    } else {
        bench.writer.write_sync(&bench.who, &memory.summary).await;
    }
    let saved = Saved { summary: memory.summary.clone(), control: memory.control.clone() };
    if let Err(error) = bench.store.save(&saved) {
        tracing::warn!(sync = %bench.label(), %error, "what is known of the sync could not be stored");
    }
    bench.metrics.stage(Stage::Report, began.elapsed());

    let ready = memory.is_ready();
    let could_not_run = matches!(end, End::NoRevision | End::TargetFailed(..) | End::Invalid);
    let wrote = course.wrote.applied + course.wrote.pruned > 0;
    let outcome = match end {
        _ if could_not_run => telemetry::Outcome::Failed,
        End::Cancelled => telemetry::Outcome::Cancelled,
        _ if !ready => telemetry::Outcome::NotReady,
        _ if wrote => telemetry::Outcome::Changed,
        _ => telemetry::Outcome::Unchanged,
    };
    if end != End::Suspended {
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
        retry: could_not_run || counts.failed > 0 || course.outcomes.values().any(may_pass),
        retry_after: None,
        opens,
        cancelled: end == End::Cancelled,
        wrote: course.wrote,
    }
}
