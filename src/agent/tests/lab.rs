//! A world in memory that watches itself, and counts what it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::id;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed, Seen};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId};
use crate::target::{Class, Done, Failure, Rung, Which, World};

#[derive(Default)]
pub(super) struct Inside {
    /// uid, content hash and fingerprint.
    pub(super) objects: BTreeMap<StepId, (String, String, Option<String>)>,
    pub(super) inventory: Option<Inventory>,
    pub(super) moved: BTreeSet<StepId>,
    pub(super) watched: bool,
    pub(super) failing: BTreeMap<StepId, Class>,
    pub(super) never_ready: BTreeSet<StepId>,
    /// Edited without any look telling.
    pub(super) unseen: BTreeSet<StepId>,
    pub(super) applies: Vec<StepId>,
    /// How many steps each look was about; none: all.
    pub(super) looks: Vec<Option<usize>>,
    pub(super) kinds: usize,
    pub(super) stores: usize,
}

/// A world in memory that watches itself.
pub(super) struct Lab {
    pub(super) inside: Mutex<Inside>,
    pub(super) bell: watch::Sender<u64>,
}

impl Lab {
    pub(super) fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Somebody edits an object by hand, or deletes it.
    pub(super) fn edit(&self, name: &str, delete: bool) {
        let mut inside = self.inside();
        let id = id(name);
        if delete {
            inside.objects.remove(&id);
        } else if let Some(object) = inside.objects.get_mut(&id) {
            object.2 = Some("edited".to_owned());
        } else {
            return;
        }
        inside.moved.insert(id);
        drop(inside);
        self.bell.send_modify(|count| *count += 1);
    }

    pub(super) fn is_edited(&self, name: &str) -> bool {
        self.inside().objects.get(&id(name)).is_none_or(|object| object.2.is_some())
    }

    /// Applies, inventories stored, questions about kinds.
    pub(super) fn costs(&self) -> (usize, usize, usize) {
        let inside = self.inside();
        (inside.applies.len(), inside.stores, inside.kinds)
    }

    pub(super) fn applies(&self) -> usize {
        self.inside().applies.len()
    }
}

impl World for Arc<Lab> {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        Ok(self.inside().inventory.clone())
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        let mut inside = self.inside();
        inside.stores += 1;
        inside.inventory = Some(inventory.clone());
        Ok(())
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        let mut inside = self.inside();
        inside.looks.push(match which {
            Which::All => None,
            Which::Only(ids) => Some(ids.len()),
        });
        let ids = plan.steps.iter().map(|step| &step.id).chain(inventory.entries.keys());
        ids.filter(|id| which.has(id)).map(|id| (id.clone(), inside.see(id))).collect()
    }

    fn rung(&self) -> Rung {
        let mut inside = self.inside();
        let all = !std::mem::replace(&mut inside.watched, true);
        Rung { all, moved: std::mem::take(&mut inside.moved), ..Rung::default() }
    }

    async fn ring(&self) {
        let mut bell = self.bell.subscribe();
        while self.inside().moved.is_empty() {
            bell.changed().await.unwrap();
        }
    }

    async fn apply(&self, step: &Step, _change: &Change) -> Result<Done, Failure> {
        tokio::task::yield_now().await;
        let mut inside = self.inside();
        if let Some(class) = inside.failing.get(&step.id).copied() {
            inside.applies.push(step.id.clone());
            return Err(Failure::new(class, "Broken", "broken for the test"));
        }
        let uid = format!("uid-{}", step.id);
        let wrote = inside.objects.insert(step.id.clone(), (uid.clone(), step.hash.clone(), None));
        inside.applies.push(step.id.clone());
        let unseen = inside.unseen.remove(&step.id);
        let wrote = unseen || wrote.is_none_or(|(_, hash, fingerprint)| hash != step.hash || fingerprint.is_some());
        Ok(Done { uid, fingerprint: None, readiness: inside.readiness(&step.id), wrote })
    }

    async fn delete(&self, id: &StepId, _entry: &Entry, _live: &Live) -> Result<(), Failure> {
        self.inside().objects.remove(id);
        Ok(())
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let inside = self.inside();
        steps.iter().map(|step| (step.id.clone(), inside.readiness(&step.id))).collect()
    }

    async fn scopes(&self) -> Result<BTreeMap<(String, String), bool>, Failure> {
        self.inside().kinds += 1;
        Ok(BTreeMap::new())
    }
}

impl Inside {
    fn readiness(&self, id: &StepId) -> Readiness {
        match self.never_ready.contains(id) {
            true => Readiness::Progressing("not yet".to_owned()),
            false => Readiness::Ready,
        }
    }

    fn see(&self, id: &StepId) -> Seen {
        let Some((uid, hash, fingerprint)) = self.objects.get(id) else { return Seen::Absent };
        Seen::Present(Live {
            uid: uid.clone(),
            content_hash: Some(hash.clone()),
            fingerprint: fingerprint.clone(),
            ours: true,
            readiness: self.readiness(id),
            ..Live::default()
        })
    }
}
