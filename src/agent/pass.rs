//! One pass, from the source to the status: the one function that names every stage.
//!
//! fetch → read → expand → observe → diff → execute → summarize → write. Decides nothing that a pure room can decide.
//! Called by `task` alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Memory, Prepared};
use super::board::Landed;
use super::course::{Course, Ended, facts, finish, target_failed};
use super::gate::Hold;
use super::reading::{Fetched, Unprepared, fetch, inventory, prepare, timed};
use super::tenure::Away;
use super::trigger::Batch;
use crate::diff::{self, Diff, Op};
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};
use crate::report::summary::{End, summarize};
use crate::revision::Revision;
use crate::sync::spec::Budget;
use crate::target::execute::reasons::CANCELLED;
use crate::target::execute::{Applied, Limits, Outcome, execute};
use crate::target::{Which, World};
use crate::telemetry::Stage;

/// While steps are under way the view is renewed this often.
const LIVE: Duration = Duration::from_millis(200);
/// Writes in flight at once.
const CONCURRENCY: usize = 32;

/// Runs one pass. `attempting` learns the revision as soon as it is known, so that a newer one can cancel.
pub(super) async fn pass<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    why: Batch,
    attempting: &watch::Sender<Option<String>>,
    cancel: &CancellationToken,
) -> Ended {
    let mut course = Course::begin(bench);
    match bench.enter().await {
        Ok(()) => {}
        Err(Away::Elsewhere(message)) => {
            // The other agent writes: what was stored is read again when it is our turn.
            memory.inventory = None;
            return finish(bench, memory, &course, End::Elsewhere(&message), None).await;
        }
        Err(Away::Failed(failure)) => return target_failed(bench, memory, &course, &failure).await,
    }
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
    bench.board.neighbours.attempts(&bench.key(), &revision.id, bench.follows(memory));
    let mut known = memory.prepared.as_ref().filter(|prepared| prepared.plan.revision.id == revision.id).cloned();
    if why.only_new() && known.is_some() && memory.settled && course.source_error.is_none() {
        return Ended { ready: memory.is_ready(), ..Ended::default() };
    }
    course.revision = Some(revision.clone());

    if let Err(failure) = bench.world.admit().await {
        course.prepared = known;
        return target_failed(bench, memory, &course, &failure).await;
    }
    // read, expand; again if the cluster knows other kinds by now
    let scopes = match timed(bench, Stage::Observe, bench.world.scopes()).await {
        Ok(scopes) => scopes,
        Err(failure) => {
            course.prepared = known;
            return target_failed(bench, memory, &course, &failure).await;
        }
    };
    memory.scopes.extend(scopes);
    known.take_if(|known| known.scopes != memory.scopes);
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
    bench.board.claims.publish(&bench.part_of(), plan, Some(&inventory));
    let observed = timed(bench, Stage::Observe, bench.world.observe(plan, &inventory, Which::All)).await;
    bench.writer.saw(plan, &bench.world.statuses());
    let began = Instant::now();
    let diff = diff::diff(plan, &observed, &inventory, &bench.rules(&revision, plan, &inventory), Which::All);
    bench.metrics.stage(Stage::Diff, began.elapsed());
    course.wrote.kept = kept(&diff);

    let writes = diff.changes().values().filter(|change| change.op.writes()).count();
    if let Some(hold) = bench.hold(&revision, writes) {
        hold.tell(&diff, &mut course.outcomes);
        memory.inventory = Some(inventory);
        return match hold {
            Hold::Window(opens) => finish(bench, memory, &course, End::Closed(opens, writes), opens).await,
            Hold::Syncs(text, by_person) => {
                finish(bench, memory, &course, End::Waits(&text, writes, by_person), None).await
            }
        };
    }

    // execute
    let closing = bench.until_closing(cancel);
    let limits = Limits { timeout: bench.timeout, concurrency: CONCURRENCY, cancel: closing.token.clone() };
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
    let unwritten = course.outcomes.values().filter(|outcome| outcome.reason == CANCELLED).count();
    let (end, opens) = match bench.window() {
        Err(opens) if cancelled && closing.has_come() => (End::Closed(opens, unwritten), opens),
        _ if cancelled => (End::Cancelled, None),
        _ => (End::Done, None),
    };
    let ended = finish(bench, memory, &course, end, opens).await;
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
    let admitted = match bench.enter().await {
        Ok(()) => bench.world.admit().await,
        Err(Away::Failed(failure)) => Err(failure),
        Err(Away::Elsewhere(message)) => {
            finish(bench, memory, &course, End::Elsewhere(&message), None).await;
            return false;
        }
    };
    if let Err(failure) = admitted {
        target_failed(bench, memory, &course, &failure).await;
        return false;
    }
    let plan = Plan::empty();
    let inventory = match inventory(bench, memory).await {
        Ok(inventory) => inventory,
        Err(failure) => {
            target_failed(bench, memory, &course, &failure).await;
            return false;
        }
    };
    course.prepared =
        Some(Arc::new(Prepared { plan: plan.clone(), problems: Vec::new(), scopes: memory.scopes.clone() }));
    bench.board.claims.publish(&bench.part_of(), &plan, None);
    let observed = bench.world.observe(&plan, &inventory, Which::All).await;
    let mut rules = bench.rules(&Revision::default(), &plan, &inventory);
    rules.leaving = true;
    // Whoever deletes a sync that prunes means all of it; what is protected stays protected.
    rules.prune = true;
    rules.budget = Budget { max_deletes: u32::MAX, max_delete_percent: 100 };
    let diff = diff::diff(&plan, &observed, &inventory, &rules, Which::All);
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

fn kept(diff: &Diff) -> u32 {
    let kept = diff.changes().values().filter(|change| change.op == Op::Keep).count();
    u32::try_from(kept).unwrap_or(u32::MAX)
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
                            bench.writer.write(&bench.who, live, plan, &bench.world.statuses()).await;
                        }
                    }
                }
            }
        }
    }
}
