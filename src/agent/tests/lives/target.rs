//! The smallest target over the server: what it reads, writes and watches there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::server::{Inside, Server};
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId};
use crate::target::{Done, Failure, Rung, Which, World};

impl World for Arc<Server> {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        let inside = self.inside();
        match inside.outage.filter(|_| inside.reads_fail()) {
            Some(fault) => Err(fault.failure()),
            None => Ok(inside.inventory.clone()),
        }
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        let names = inventory.entries.iter().map(|(id, entry)| {
            let name = id.object_parts().map_or("?", |parts| parts.name);
            if entry.deleting { format!("-{name}") } else { name.to_owned() }
        });
        let what = format!("store inventory [{}]", names.collect::<Vec<_>>().join(" "));
        let act = |inside: &mut Inside| {
            inside.inventory = Some(inventory.clone());
            Ok(())
        };
        self.write(what, act, None).await
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        let mut inside = self.inside();
        inside.reads += 1;
        let ids: BTreeSet<&StepId> =
            plan.steps.iter().map(|step| &step.id).chain(inventory.entries.keys()).filter(|id| which.has(id)).collect();
        ids.into_iter().map(|id| (id.clone(), inside.see(id))).collect()
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

    fn ails(&self) -> bool {
        self.inside().cut
    }

    async fn apply(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        let what = format!("apply {} ({:?})", step.id, change.op);
        self.write(what, |inside| inside.applied(step, change), Some(&step.id)).await
    }

    async fn delete(&self, id: &StepId, entry: &Entry, _live: &Live) -> Result<(), Failure> {
        self.write(format!("delete {id}"), |inside| inside.deleted(id, entry), Some(id)).await
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut inside = self.inside();
        steps.iter().map(|step| (step.id.clone(), inside.readiness(&step.id))).collect()
    }

    async fn scopes(&self) -> Result<BTreeMap<(String, String), bool>, Failure> {
        let inside = self.inside();
        match inside.outage.filter(|_| inside.reads_fail()) {
            Some(fault) => Err(fault.failure()),
            None => Ok(BTreeMap::from([((String::new(), "ConfigMap".to_owned()), true)])),
        }
    }
}
