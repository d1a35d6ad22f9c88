//! The first half of a pass: what the source says, what that wants, and what is owned.
//!
//! Reads only. Called by `pass` alone.

use std::sync::Arc;
use std::time::Instant;

use super::bench::{Bench, Memory, Prepared};
use crate::declared::{self, Context};
use crate::expand;
use crate::inventory::Inventory;
use crate::revision::Revision;
use crate::sync::conditions::reasons;
use crate::target::{Class, Failure, World};
use crate::telemetry::Stage;

/// What the source said.
pub(super) struct Fetched {
    pub(super) revision: Option<Revision>,
    pub(super) error: Option<String>,
}

pub(super) async fn timed<W: World, T>(bench: &Bench<W>, stage: Stage, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    bench.metrics.stage(stage, began.elapsed());
    done
}

/// Asks the source. If it cannot be read, the revision that was worked with last stays the authority, as far as the clone
/// still has it.
pub(super) async fn fetch<W: World>(bench: &Bench<W>, memory: &Memory) -> Fetched {
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
    let mut snapshot = bench.source.snapshot(revision).await.map_err(unread)?;
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
