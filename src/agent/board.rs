//! The board: what is known of all syncs right now, for the dashboard and whoever else looks.
//!
//! Only holds values; every task writes its own sync. Called by `task`; read by `dashboard` and `cli`.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::neighbours::Neighbours;
use crate::report::view::{SyncView, View};
use crate::target::claims::Claims;

/// A pass that changed something, for whoever tells it live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// `namespace/name` of the sync.
    pub sync: String,
    /// Short revision.
    pub revision: String,
    /// First line of the commit message.
    pub subject: String,
    /// Whether the revision is a new one (else the world had moved).
    pub new_revision: bool,
    /// Whether it is the first pass since the agent started.
    pub first: bool,
    /// Objects written.
    pub applied: u32,
    /// Objects deleted.
    pub pruned: u32,
    /// Milliseconds from the trigger to the end of the pass.
    pub took_ms: u64,
    /// Errors in the documents.
    pub errors: usize,
    /// Sentence on the sync.
    pub sentence: String,
}

/// The board. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Board {
    view: watch::Sender<Arc<View>>,
    ready: watch::Sender<bool>,
    first: watch::Sender<BTreeSet<(String, String)>>,
    landed: broadcast::Sender<Landed>,
    /// Who waits for whom.
    pub(super) neighbours: Neighbours,
    /// Who wants what in the cluster.
    pub(super) claims: Claims,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            view: watch::Sender::default(),
            ready: watch::Sender::default(),
            first: watch::Sender::default(),
            landed: broadcast::Sender::new(64),
            neighbours: Neighbours::default(),
            claims: Claims::default(),
        }
    }
}

impl Board {
    /// What is known of all syncs.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Whether every sync had its first pass.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Passes that change something, as they end.
    #[must_use]
    pub fn landed(&self) -> broadcast::Receiver<Landed> {
        self.landed.subscribe()
    }

    /// Tells that a pass changed something.
    pub fn tell(&self, landed: Landed) {
        // Nobody listening is fine.
        _ = self.landed.send(landed);
    }

    /// A sync starts: its first pass is waited for.
    pub fn expect(&self, namespace: &str, name: &str) {
        self.first.send_modify(|waiting| {
            waiting.insert((namespace.to_owned(), name.to_owned()));
        });
    }

    /// All syncs that will be expected at start are: from now on ready means that none is waited for.
    pub fn started(&self) {
        self.ready.send_replace(self.first.borrow().is_empty());
    }

    /// The first pass of a sync has ended, or its failure is in the view.
    pub fn seen(&self, namespace: &str, name: &str) {
        let mut all = false;
        self.first.send_modify(|waiting| {
            waiting.remove(&(namespace.to_owned(), name.to_owned()));
            all = waiting.is_empty();
        });
        if all {
            self.ready.send_replace(true);
        }
    }

    /// Shows a sync as it is now.
    pub fn publish(&self, sync: &SyncView) {
        self.view.send_modify(|view| {
            let syncs = &mut Arc::make_mut(view).syncs;
            let key = |sync: &SyncView| (sync.namespace.clone(), sync.name.clone());
            match syncs.binary_search_by_key(&key(sync), key) {
                Ok(found) => syncs[found] = sync.clone(),
                Err(place) => syncs.insert(place, sync.clone()),
            }
        });
    }

    /// A sync is gone.
    pub fn remove(&self, namespace: &str, name: &str) {
        self.seen(namespace, name);
        self.view.send_modify(|view| {
            Arc::make_mut(view).syncs.retain(|sync| sync.namespace != namespace || sync.name != name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_stand_in_order_and_only_once() {
        let board = Board::default();
        let sync = |name: &str, revision: &str| SyncView {
            name: name.to_owned(),
            revision: Some(revision.to_owned()),
            ..SyncView::default()
        };
        for shown in [sync("b", "1"), sync("a", "1"), sync("b", "2")] {
            board.publish(&shown);
        }
        assert_eq!(board.view().borrow().syncs, [sync("a", "1"), sync("b", "2")]);
        board.remove("", "a");
        assert_eq!(board.view().borrow().syncs, [sync("b", "2")]);
    }

    #[test]
    fn ready_means_that_every_sync_was_seen() {
        let board = Board::default();
        board.expect("n", "a");
        board.expect("n", "b");
        board.started();
        board.seen("n", "a");
        assert!(!*board.ready().borrow());
        board.seen("n", "b");
        assert!(*board.ready().borrow());
    }
}
