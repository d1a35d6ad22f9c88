//! Holding the Lease of one sync: taken before its first pass, renewed beside the passes, given up at a clean end.
//!
//! Decides nothing about writes: those look at the Lease's fence themselves. Called by `gate`, `task` and `bells`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::target::Failure;
use crate::target::kube::lease::{Fence, Holder, Lease, RENEW};

/// How often it is looked whether another agent still holds it.
const LOOK: Duration = Duration::from_secs(1);

/// Why this agent may not work for a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// Another agent does; in words.
    Elsewhere(String),
    /// It cannot be told.
    Failed(Failure),
}

/// The Lease of one sync, kept.
pub(super) struct Tenure {
    lease: Arc<Lease>,
    begun: Arc<AtomicBool>,
    /// Whether we hold it, as last seen.
    ours: watch::Sender<bool>,
    _keeper: AbortOnDropHandle<()>,
}

impl Tenure {
    /// Takes nothing before the first [`Self::check`].
    pub(super) fn new(lease: Lease, label: String) -> Self {
        let (lease, begun, ours) = (Arc::new(lease), Arc::new(AtomicBool::new(false)), watch::Sender::new(false));
        let keeper = tokio::spawn(keep(Arc::clone(&lease), Arc::clone(&begun), ours.clone(), label));
        Self { lease, begun, ours, _keeper: AbortOnDropHandle::new(keeper) }
    }

    /// What writes have to look at.
    pub(super) fn fence(&self) -> Fence {
        self.lease.fence()
    }

    /// Says whenever it is gained or lost.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.ours.subscribe()
    }

    /// Whether this agent works for the sync; takes the Lease if it is free.
    pub(super) async fn check(&self) -> Result<(), Away> {
        self.begun.store(true, Ordering::Relaxed);
        if self.lease.fence().is_open() {
            return Ok(());
        }
        let holder = self.lease.attempt().await.map_err(Away::Failed)?;
        note(&self.ours, &holder);
        match holder {
            Holder::Us => Ok(()),
            Holder::Other { identity, since, .. } => Err(Away::Elsewhere(elsewhere(&identity, &since))),
        }
    }

    /// For an agent that makes one pass only: waits for an agent that is gone, not for one that renews.
    pub(super) async fn await_turn(&self) {
        while let Ok(Holder::Other { renews: false, .. }) = self.lease.attempt().await {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Gives it up. Nothing may be written any more.
    pub(super) async fn release(&self) {
        self.begun.store(false, Ordering::Relaxed);
        self.lease.release().await;
        self.ours.send_replace(false);
    }
}

fn elsewhere(identity: &str, since: &str) -> String {
    let since = if since.is_empty() { String::new() } else { format!(" since {since}") };
    format!(
        "agent {identity} works for this sync{since}; this one writes nothing, and goes on when that one ends or has not \
         been heard of for 15 seconds. If two agents are not meant, stop one of them"
    )
}

fn note(ours: &watch::Sender<bool>, holder: &Holder) {
    ours.send_if_modified(|ours| {
        let now = *holder == Holder::Us;
        std::mem::replace(ours, now) != now
    });
}

async fn keep(lease: Arc<Lease>, begun: Arc<AtomicBool>, ours: watch::Sender<bool>, label: String) {
    let mut pause = RENEW;
    loop {
        tokio::time::sleep(pause).await;
        if !begun.load(Ordering::Relaxed) {
            continue;
        }
        // An answer that takes longer is worth nothing: the next try may be faster.
        match tokio::time::timeout(RENEW, lease.attempt()).await {
            Ok(Ok(holder)) => {
                pause = if holder == Holder::Us { RENEW } else { LOOK };
                note(&ours, &holder);
            }
            Ok(Err(error)) => {
                pause = LOOK;
                tracing::warn!(sync = label, %error, "the Lease of the sync could not be renewed");
            }
            Err(_) => pause = LOOK,
        }
    }
}
