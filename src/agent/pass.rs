//! One pass, from the source to the status: the one function that names every stage.
//!
//! fetch → read → expand → observe → diff → execute → summarize → write, each only as far as something moved: a pass knows
//! why it runs, and what is the same as before is not looked at. Decides nothing that a pure room can decide. Called by
//! `task` alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Memory, Pause, Prepared};
use super::board::Landed;
use super::course::{Course, Ended, facts, finish, rest, target_failed};
use super::edits;
use super::gate::Hold;
use super::reading::{Unprepared, ask_kinds, inventory, kinds_are_due, prepare, revision, timed};
use super::scope;
use super::tenure::Away;
use super::trigger::Batch;
use crate::diff::{self, Diff, Op, Rules};
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId, changed};
use crate::report::summary::{End, summarize};
use crate::revision::Revision;
use crate::schedule;
use crate::sync::spec::Budget;
use crate::target::execute::reasons::CANCELLED;
use crate::target::execute::{Applied, Before, Limits, Outcome, execute_part};
use crate::target::{Failure, Which, World};
use crate::telemetry::Stage;

/// While steps are under way the view is renewed this often.
const LIVE: Duration = Duration::from_millis(200);
/// And statuses are written at most this often.
const LIVE_WRITE: Duration = Duration::from_secs(3);
/// Writes in flight at once, at most.
const CONCURRENCY: usize = 32;

/// Other syncs of the same source have so long to say what they want of a revision.
const OTHERS: Duration = Duration::from_secs(2);
/// They are looked at this often.
const LOOK: Duration = Duration::from_millis(10);

/// What ends a pass early.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// Between two steps.
    pub(super) cancel: CancellationToken,
    /// Once nothing is left but waiting.
    pub(super) hurry: CancellationToken,
}

/// Runs one pass. `attempting` learns the revision as soon as it is known, so that a newer one can cut it short.
pub(super) async fn pass<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    why: Batch,
    attempting: &watch::Sender<Option<String>>,
    stop: &Stop,
) -> Ended {
    let mut course = Course::begin(bench);
    match bench.enter().await {
        Ok(()) => {}
        Err(Away::Elsewhere(message)) => {
            // The other agent writes: what was stored is read again when it is our turn.
            memory.inventory = None;
            memory.todo.all = true;
            memory.pause = Some(Pause::Held);
            return finish(bench, memory, &mut course, End::Elsewhere(&message), None).await;
        }
        Err(Away::Failed(failure)) => return target_failed(bench, memory, &mut course, &failure).await,
    }
    if bench.spec.suspend || memory.control.suspended {
        if memory.pause.replace(Pause::Suspended) == Some(Pause::Suspended) {
            return rest(bench, memory, None);
        }
        return finish(bench, memory, &mut course, End::Suspended, None).await;
    }
    if memory.pause.take_if(|pause| *pause == Pause::Suspended).is_some() {
        memory.todo.all = true;
    }

    // What moved?
    if why.asks_world() || memory.prepared.is_none() {
        memory.todo.add(bench.world.rung());
    }
    memory.todo.all |= why.asks_all();
    let due = sweep(bench, memory, why);
    let source_was = memory.source_error.clone();
    let found = revision(bench, memory, why).await;
    let source_turned = source_was != memory.source_error;
    let Some(revision) = found else { return finish(bench, memory, &mut course, End::NoRevision, None).await };
    attempting.send_replace(Some(revision.id.clone()));
    let mut known = memory.prepared.clone().filter(|prepared| prepared.plan.revision.id == revision.id);
    let asks_kinds = kinds_are_due(bench, memory, why);
    if known.is_some() && !asks_kinds && !source_turned {
        if let Some(opens) = still_closed(bench, memory, why) {
            return rest(bench, memory, opens);
        }
        let freed = why.is_neighbour() || (why.frees() && !memory.opens.is_empty());
        if memory.todo.is_empty() && !freed && !memory.opens.is_due(tokio::time::Instant::now()) {
            return rest(bench, memory, None);
        }
    }
    bench.board.neighbours.attempts(&bench.key(), &revision.id, bench.follows(memory));
    course.revision = Some(revision.clone());

    // read, expand; again if the cluster knows other kinds by now
    if let Err(failure) = admitted(bench, memory, asks_kinds).await {
        course.prepared = known;
        return target_failed(bench, memory, &mut course, &failure).await;
    }
    known.take_if(|known| known.scopes != memory.scopes);
    let prepared = match known {
        Some(prepared) => prepared,
        None => match prepare(bench, memory, &revision).await {
            Ok(prepared) => prepared,
            Err(Unprepared::Source(error)) => {
                memory.source_error = Some(error);
                return finish(bench, memory, &mut course, End::NoRevision, None).await;
            }
            Err(Unprepared::Target(failure)) => return target_failed(bench, memory, &mut course, &failure).await,
        },
    };
    let first = memory.prepared.is_none();
    let is_new = memory.summary.status.last_attempted_revision.as_deref() != Some(revision.id.as_str());
    let new_plan = memory.prepared.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &prepared));
    match &memory.prepared {
        Some(old) if new_plan => memory.todo.ids.extend(changed(&old.plan, &prepared.plan)),
        Some(_) => {}
        None => memory.todo.all = true,
    }
    memory.prepared = Some(Arc::clone(&prepared));
    course.prepared = Some(Arc::clone(&prepared));
    let plan = &prepared.plan;

    // observe, diff
    let inventory = match inventory(bench, memory).await {
        Ok(inventory) => inventory,
        Err(failure) => return target_failed(bench, memory, &mut course, &failure).await,
    };
    if new_plan || memory.todo.all {
        bench.world.expect(plan);
        memory.unwanted = inventory.unwanted(plan).map(|(id, _)| id.clone()).collect();
        bench.board.claims.publish(&bench.part_of(), plan, Some(&inventory));
        await_others(bench, memory, &revision.id, &stop.cancel).await;
    }
    let now = tokio::time::Instant::now();
    let wide = new_plan || why.frees();
    course.part = scope::part(&memory.todo, &memory.opens, &memory.unwanted, plan, wide, now);
    let observed = timed(bench, Stage::Observe, bench.world.observe(plan, &inventory, course.which())).await;
    course.live = bench.world.statuses();
    bench.writer.saw(plan, &course.live);
    let began = Instant::now();
    let rules = Rules {
        verify: std::mem::take(&mut memory.todo.verify),
        fighting: memory.fights.paused((bench.clock)()),
        ..bench.rules(&revision, memory.unwanted.iter())
    };
    let diff = diff::diff(plan, &observed, &inventory, &rules, course.which());
    drop(observed);
    bench.metrics.stage(Stage::Diff, began.elapsed());
    course.wrote.kept = kept(plan, &diff);

    let writes = diff.changes().values().filter(|change| change.op.writes()).count();
    if let Some(hold) = bench.hold(&revision, writes) {
        hold.tell(&diff, &mut course.outcomes);
        memory.inventory = Some(inventory);
        memory.todo.verify = rules.verify;
        memory.todo.ids.extend(course.part.iter().flatten().cloned());
        memory.pause = Some(Pause::Held);
        return match hold {
            Hold::Window(opens) => finish(bench, memory, &mut course, End::Closed(opens, writes), opens).await,
            Hold::Syncs(text, by_person) => {
                finish(bench, memory, &mut course, End::Waits(&text, writes, by_person), None).await
            }
        };
    }
    memory.pause = None;

    // execute
    let closing = bench.until_closing(&stop.cancel);
    let limits = Limits { timeout: bench.timeout, concurrency: CONCURRENCY, cancel: closing.token.clone() };
    let corrections = edits::corrections(&diff, &inventory);
    let opens = std::mem::take(&mut memory.opens);
    let open = |id: &StepId| opens.standing(id);
    let before = Before { open: &open, pace: &bench.pace, hurry: &stop.hurry, rings: true };
    let applied = run(bench, memory, &mut course, plan, &diff, inventory, &limits, before).await;
    memory.opens = opens;
    bench.metrics.stage(Stage::Execute, began.elapsed());
    bench.metrics.verified(applied.verified, applied.moved.intersection(&due).count());
    let (cancelled, cut_short) = (applied.cancelled, applied.cut_short);
    if let Err(failure) = settle(bench, memory, &mut course, applied, rules.verify) {
        return target_failed(bench, memory, &mut course, &failure).await;
    }
    memory.fights.corrected(corrections, &course.outcomes, (bench.clock)());
    edits::tell(&bench.world, plan, &diff, &mut course.outcomes).await;
    if (new_plan || course.wrote.pruned > 0)
        && let Some(inventory) = &memory.inventory
    {
        bench.world.retire(inventory);
    }
    if wrote_kinds(plan, &diff) {
        memory.kinds_asked = None;
    }

    // summarize, write
    let unwritten = course.outcomes.values().filter(|outcome| outcome.reason == CANCELLED).count();
    let (end, opens) = match bench.window() {
        Err(opens) if cancelled && closing.has_come() => (End::Closed(opens, unwritten), opens),
        _ if cancelled => (End::Cancelled, None),
        _ => (End::Done, None),
    };
    let ended = finish(bench, memory, &mut course, end, opens).await;
    if is_new || course.wrote.applied + course.wrote.pruned > 0 {
        bench.board.tell(landed(bench, memory, &course, &prepared, is_new, first));
    }
    Ended { cut_short, ..ended }
}

/// Before anything is deleted, every sync of the same source says what it wants of the revision, so that what moves from
/// one to another is handed over and not made anew. Bounded: one that is paused says nothing.
async fn await_others<W: World>(bench: &Bench<W>, memory: &Memory, revision: &str, cancel: &CancellationToken) {
    let (key, neighbours) = (bench.key(), &bench.board.neighbours);
    neighbours.planned(&key, revision);
    let until = tokio::time::Instant::now() + OTHERS;
    while !memory.unwanted.is_empty() && !cancel.is_cancelled() && tokio::time::Instant::now() < until {
        if !neighbours.are_behind(&key, revision) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks whether the target lets us work, and for its kinds if that is due.
async fn admitted<W: World>(bench: &Bench<W>, memory: &mut Memory, asks_kinds: bool) -> Result<(), Failure> {
    bench.world.admit().await?;
    if asks_kinds {
        ask_kinds(bench, memory).await?;
    }
    Ok(())
}

/// Takes in what an execution did and left.
fn settle<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &mut Course,
    applied: Applied,
    verify: BTreeSet<StepId>,
) -> Result<(), Failure> {
    course.outcomes = applied.steps;
    course.wrote.applied = applied.applied;
    course.wrote.pruned = u32::try_from(applied.pruned.len()).unwrap_or(u32::MAX);
    if let Some(failure) = applied.failure {
        return Err(failure);
    }
    memory.todo = scope::Todo::default();
    if applied.cancelled {
        memory.todo.verify = verify;
    }
    memory.opens.take(course.part.as_ref(), applied.open, bench.retry_interval, tokio::time::Instant::now());
    memory.unwanted.retain(|id| applied.inventory.entries.contains_key(id));
    memory.inventory = Some(applied.inventory);
    Ok(())
}

/// The steps that the sweep has come to, if it is its turn and may write.
fn sweep<W: World>(bench: &Bench<W>, memory: &mut Memory, why: Batch) -> BTreeSet<StepId> {
    let (Some(interval), Some(prepared)) = (bench.verify_interval, &memory.prepared) else { return BTreeSet::new() };
    let now = (bench.clock)();
    let from = schedule::sweep_from(memory.swept.unwrap_or(now), now, interval);
    if memory.swept.is_some() && (!why.is_sweep() || bench.window().is_err()) {
        if bench.window().is_err() {
            memory.swept = Some(now);
        }
        return BTreeSet::new();
    }
    memory.swept = Some(now);
    let steps = prepared.plan.steps.iter().map(|step| &step.id);
    let due = steps.filter(|id| schedule::is_due(schedule::slot(id.as_str()), interval, from, now));
    let due: BTreeSet<StepId> = due.filter(|id| memory.opens.standing(id).is_none()).cloned().collect();
    memory.todo.verify.extend(due.iter().cloned());
    due
}

/// While nothing may be written, what was said stays said until something rings; when a window opens, if that is known.
fn still_closed<W: World>(bench: &Bench<W>, memory: &Memory, why: Batch) -> Option<Option<jiff::Timestamp>> {
    let Some(Pause::Held) = memory.pause else { return None };
    (!why.asks_world()).then(|| bench.window().err().flatten())
}

/// Whether a definition of a kind was written.
fn wrote_kinds(plan: &Plan, diff: &Diff) -> bool {
    let writes = |id: &StepId| diff.changes().get(id).is_some_and(|change| change.op.writes());
    let is_kind = |id: &StepId| id.object_parts().is_some_and(|parts| parts.kind == "CustomResourceDefinition");
    plan.steps.iter().any(|step| writes(&step.id) && is_kind(&step.id))
}

fn landed<W: World>(
    bench: &Bench<W>,
    memory: &Memory,
    course: &Course,
    prepared: &Prepared,
    new_revision: bool,
    first: bool,
) -> Landed {
    let revision = &prepared.plan.revision;
    Landed {
        sync: bench.label(),
        revision: revision.short().to_owned(),
        subject: revision.subject.clone().unwrap_or_default(),
        new_revision,
        first,
        applied: course.wrote.applied,
        pruned: course.wrote.pruned,
        took_ms: u64::try_from(course.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        errors: prepared.problems.iter().filter(|p| p.severity == crate::problem::Severity::Error).count(),
        sentence: crate::report::verdict::sentence(&memory.summary.view),
    }
}

/// Deletes everything that the sync owns, on the same proofs as every prune. True once nothing is left.
pub(super) async fn prune_all<W: World>(bench: &Bench<W>, memory: &mut Memory, cancel: &CancellationToken) -> bool {
    let mut course = Course::begin(bench);
    course.part = None;
    let admitted = match bench.enter().await {
        Ok(()) => bench.world.admit().await,
        Err(Away::Failed(failure)) => Err(failure),
        Err(Away::Elsewhere(message)) => {
            finish(bench, memory, &mut course, End::Elsewhere(&message), None).await;
            return false;
        }
    };
    if let Err(failure) = admitted {
        target_failed(bench, memory, &mut course, &failure).await;
        return false;
    }
    let plan = Plan::empty();
    let inventory = match inventory(bench, memory).await {
        Ok(inventory) => inventory,
        Err(failure) => {
            target_failed(bench, memory, &mut course, &failure).await;
            return false;
        }
    };
    course.prepared =
        Some(Arc::new(Prepared { plan: plan.clone(), problems: Vec::new(), scopes: memory.scopes.clone() }));
    bench.board.claims.publish(&bench.part_of(), &plan, None);
    let observed = bench.world.observe(&plan, &inventory, Which::All).await;
    let mut rules = bench.rules(&Revision::default(), inventory.entries.keys());
    rules.leaving = true;
    // Whoever deletes a sync that prunes means all of it; what is protected stays protected.
    rules.prune = true;
    rules.budget = Budget { max_deletes: u32::MAX, max_delete_percent: 100 };
    let diff = diff::diff(&plan, &observed, &inventory, &rules, Which::All);
    let limits = Limits { timeout: bench.timeout, concurrency: CONCURRENCY, cancel: cancel.clone() };
    let hurry = CancellationToken::new();
    let before = Before { open: &|_| None, pace: &bench.pace, hurry: &hurry, rings: false };
    let mut applied = run(bench, memory, &mut course, &plan, &diff, inventory, &limits, before).await;
    let empty = applied.failure.is_none() && applied.inventory.entries.is_empty();
    if empty {
        applied.failure = bench.world.release_inventory().await.err();
    }
    let empty = empty && applied.failure.is_none();
    course.outcomes = applied.steps;
    course.wrote.pruned = u32::try_from(applied.pruned.len()).unwrap_or(u32::MAX);
    memory.inventory = applied.failure.is_none().then_some(applied.inventory);
    finish(bench, memory, &mut course, End::Done, None).await;
    empty
}

/// Steps that are as wanted: those that were looked at and kept, and those that there was no reason to look at.
fn kept(plan: &Plan, diff: &Diff) -> u32 {
    let others = diff.changes().iter().filter(|(_, change)| change.op != Op::Keep).map(|(id, _)| id);
    let wanted = plan.steps.iter().map(|step| &step.id).collect::<std::collections::HashSet<_>>();
    let kept = wanted.len() - others.filter(|id| wanted.contains(id)).count();
    u32::try_from(kept).unwrap_or(u32::MAX)
}

/// Executes, and shows how it goes while it takes long.
#[expect(clippy::too_many_arguments, reason = "each is a value of its own, and there is one caller for each use")]
async fn run<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    course: &mut Course,
    plan: &Plan,
    diff: &Diff,
    inventory: Inventory,
    limits: &Limits,
    before: Before<'_>,
) -> Applied {
    let (tell, mut told) = mpsc::unbounded_channel::<(StepId, Outcome)>();
    let progress = move |id: &StepId, outcome: &Outcome| {
        // The pass may be over; then nobody needs to know.
        _ = tell.send((id.clone(), outcome.clone()));
    };
    let work = execute_part(&bench.world, plan, diff, inventory, limits, before, progress);
    tokio::pin!(work);
    let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + LIVE, LIVE);
    renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // What takes long is told to the cluster beside the work: a pass may wait long for one step, and how far the others
    // are is seen meanwhile.
    let (mut written, mut unwritten) = (None::<Instant>, false);
    let mut telling: Option<BoxFuture<'_, ()>> = None;
    let applied = loop {
        tokio::select! {
            applied = &mut work => break applied,
            Some(()) = OptionFuture::from(telling.as_mut()) => telling = None,
            _ = renew.tick() => {
                let mut moved = false;
                while let Ok((id, outcome)) = told.try_recv() {
                    course.outcomes.insert(id, outcome);
                    moved = true;
                }
                if moved {
                    let facts = facts(bench, memory, course, End::Running);
                    let live = summarize(&memory.summary, &facts);
                    bench.board.publish(&live.view);
                    memory.live = Some(live);
                    unwritten = true;
                }
                let due = telling.is_none() && written.is_none_or(|at| at.elapsed() >= LIVE_WRITE);
                if unwritten && due && let Some(live) = memory.live.clone() {
                    (written, unwritten) = (Some(Instant::now()), false);
                    let statuses = course.live.clone();
                    telling =
                        Some(async move { bench.writer.write(&bench.who, &live, plan, &statuses).await }.boxed());
                }
            }
        }
    };
    if let Some(telling) = telling {
        telling.await;
    }
    applied
}
