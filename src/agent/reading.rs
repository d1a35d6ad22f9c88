//! The first half of a pass: what the source says, what that wants, and what is owned.
//!
//! Reads only. Called by `pass` alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bench::{Bench, Memory, Prepared};
use super::trigger::Batch;
use crate::declared::{self, Context};
use crate::expand;
use crate::inventory::Inventory;
use crate::problem::{Code, Problem};
use crate::revision::Revision;
use crate::sync::conditions::reasons;
use crate::target::{Class, Failure, World};
use crate::telemetry::Stage;

/// Kinds are asked for this often, though nothing says that they changed.
const KINDS: Duration = Duration::from_secs(600);

pub(super) async fn timed<W: World, T>(bench: &Bench<W>, stage: Stage, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    bench.metrics.stage(stage, began.elapsed());
    done
}

/// The revision to work with, asked of the source if there is reason to. If it cannot be read, the revision that was
/// worked with last stays the authority, as far as the clone still has it.
pub(super) async fn revision<W: World>(bench: &Bench<W>, memory: &mut Memory, why: Batch) -> Option<Revision> {
    let known = memory.prepared.as_ref().map(|prepared| &prepared.plan.revision);
    let asks = why.asks_source() || memory.source_error.is_some();
    if let Some(known) = known.filter(|_| !asks) {
        return Some(known.clone());
    }
    let began = Instant::now();
    let asked = match &memory.control.pinned {
        Some(pinned) => bench.source.find(pinned).await,
        None => bench.source.fetch().await,
    };
    bench.metrics.stage(Stage::Fetch, began.elapsed());
    let error = match asked {
        Ok(revision) => {
            memory.fetched_at = Some((bench.clock)());
            memory.source_error = None;
            return Some(revision);
        }
        Err(error) => error.to_string(),
    };
    tracing::warn!(sync = %bench.label(), error, "cannot read the source");
    memory.source_error = Some(error);
    match (&memory.prepared, &memory.summary.status.last_attempted_revision) {
        (Some(prepared), _) => Some(prepared.plan.revision.clone()),
        (None, Some(id)) => bench.source.find(id).await.ok(),
        (None, None) => None,
    }
}

/// Whether the target has to be asked for its kinds: at first, after it rang for all, and now and then. A kind that is
/// missing is looked for at every poll.
pub(super) fn kinds_are_due<W: World>(bench: &Bench<W>, memory: &Memory, why: Batch) -> bool {
    let Some(asked) = memory.kinds_asked else { return true };
    let missing = || {
        let assumed = |problem: &Problem| problem.code == Code::ScopeAssumed;
        memory.opens.lacks_kinds() || memory.prepared.as_ref().is_some_and(|it| it.problems.iter().any(assumed))
    };
    memory.todo.all || (why.is_poll() && (asked.elapsed() >= KINDS || bench.world.ails() || missing()))
}

/// Asks the target for its kinds; also the check that it answers. True if there are more than were known.
pub(super) async fn ask_kinds<W: World>(bench: &Bench<W>, memory: &mut Memory) -> Result<bool, Failure> {
    let scopes = timed(bench, Stage::Observe, bench.world.scopes()).await?;
    memory.kinds_asked = Some(tokio::time::Instant::now());
    let news = scopes.iter().any(|(kind, scope)| memory.scopes.get(kind) != Some(scope));
    if news {
        memory.scopes.extend(scopes);
    }
    Ok(news)
}

/// Why there is no plan.
pub(super) enum Unprepared {
    /// The revision cannot be read.
    Source(String),
    /// The target does not say with which key Secrets are hashed.
    Target(Failure),
}

/// The pure half: what the revision wants, of the kinds that the target is known to have.
pub(super) async fn prepare<W: World>(
    bench: &Bench<W>,
    memory: &mut Memory,
    revision: &Revision,
) -> Result<Arc<Prepared>, Unprepared> {
    let began = Instant::now();
    let unread = |error: crate::source::SourceError| Unprepared::Source(error.to_string());
    let mut snapshot = bench.source.snapshot_unless(revision, memory.memo.known()).await.map_err(unread)?;
    let named = declared::references(&snapshot, &mut memory.memo);
    snapshot.referred = bench.source.referred(&snapshot, named).await.map_err(unread)?;
    let scopes = memory.scopes.clone();
    let context = Context { target_namespace: bench.spec.target_namespace.clone(), scopes };
    let (declared, mut problems) = declared::read(&snapshot, &context, &mut memory.memo);
    bench.metrics.stage(Stage::Declare, began.elapsed());
    let began = Instant::now();
    let (mut plan, mut more) = expand::update(&declared, &mut memory.expanded);
    if memory.expanded.holds_secret()
        && plan.holds_secret()
        && let Some(key) = bench.world.hash_key().await.map_err(Unprepared::Target)?
        && memory.expanded.key(&key)
    {
        (plan, more) = expand::update(&declared, &mut memory.expanded);
    }
    let plan = plan.ignoring(&bench.spec.drift.ignore, memory.expanded.hash_key());
    problems.extend(more);
    problems.sort();
    bench.metrics.stage(Stage::Expand, began.elapsed());
    Ok(Arc::new(Prepared { plan, problems, scopes: context.scopes }))
}

/// What is owned: read once, then remembered as stored.
pub(super) async fn inventory<W: World>(bench: &Bench<W>, memory: &mut Memory) -> Result<Inventory, Failure> {
    if let Some(known) = memory.inventory.take() {
        return Ok(known);
    }
    let fresh = Inventory::new(bench.sync_id.clone(), bench.who.source.clone());
    let Some(stored) = bench.world.load_inventory().await? else { return Ok(fresh) };
    stored
        .belongs_to(&fresh.sync, &fresh.source)
        .map_err(|error| Failure::new(Class::Stalled, reasons::INVENTORY_MISMATCH, error.to_string()))?;
    Ok(stored)
}
