//! Which sync of this agent wants what: one table for all syncs of one cluster (an object may move from one to another).
//!
//! Plain values behind a lock, no IO. An object that carries another sync's label is taken from it only if that sync's
//! newest plan is known and does not want it, and nothing is deleted that any of them wants. Filled by `agent` as soon
//! as a plan is known; asked by `agent` before a diff, and by `kube` where an object that is to be created is there.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::diff::seen::other_sync;
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};

/// The table. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<BTreeMap<String, Sibling>>>);

/// One sync, under the value of its part-of label.
#[derive(Debug, Default)]
struct Sibling {
    /// `namespace/name`.
    name: String,
    /// Field manager of its applies.
    manager: String,
    /// Short, sorted hashes of the ids that its newest plan wants; none until one is known.
    wants: Option<Vec<u64>>,
    /// Ids that it wants and another sync holds.
    waits: BTreeSet<StepId>,
    bell: Option<mpsc::Sender<()>>,
}

/// What stands in the table of an object that carries a sync's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// No sync of this agent has that label.
    Stranger,
    /// That sync's plan is not known yet.
    Unknown(String),
    /// That sync wants it.
    Wanted(String),
    /// That sync does not want it any more: whoever wants it takes it over from this field manager.
    Released {
        /// `namespace/name`.
        name: String,
        /// Its field manager.
        manager: String,
    },
}

impl Claims {
    /// A sync works here; its bell is rung when something that it waits for is released.
    pub fn join(&self, part_of: &str, name: &str, manager: &str) {
        let mut all = self.all();
        let sibling = all.entry(part_of.to_owned()).or_default();
        (sibling.name, sibling.manager) = (name.to_owned(), manager.to_owned());
    }

    /// Where a sync is rung.
    pub fn hang(&self, part_of: &str, bell: mpsc::Sender<()>) {
        if let Some(sibling) = self.all().get_mut(part_of) {
            sibling.bell = Some(bell);
        }
    }

    /// A sync is over. What it left is nobody's business here any more; what it was about to delete is free.
    pub fn leave(&self, part_of: &str) {
        let mut all = self.all();
        if all.get(part_of).is_some_and(|sibling| sibling.wants.as_ref().is_none_or(|wants| !wants.is_empty())) {
            all.remove(part_of);
        }
    }

    /// What a sync's newest plan wants. While a document of it has an error, what the sync owns counts as wanted too:
    /// nobody takes what is only missing by mistake.
    pub fn publish(&self, part_of: &str, plan: &Plan, inventory: Option<&Inventory>) {
        let held = !plan.held.paths.is_empty() || !plan.held.owners.is_empty();
        let owned = inventory.filter(|_| held).into_iter().flat_map(|inventory| inventory.entries.keys());
        let mut wants: Vec<u64> = plan.steps.iter().map(|step| &step.id).chain(owned).map(short).collect();
        wants.sort_unstable();
        wants.dedup();
        let mut all = self.all();
        let Some(sibling) = all.get_mut(part_of) else { return };
        sibling.waits.clear();
        if sibling.wants.as_ref() == Some(&wants) {
            return;
        }
        for (label, other) in all.iter_mut() {
            let mine = label == part_of;
            let free = !mine && other.waits.iter().any(|id| wants.binary_search(&short(id)).is_err());
            if let Some(bell) = other.bell.as_ref().filter(|_| free) {
                // A full bell is a rung bell.
                _ = bell.try_send(());
            }
        }
        if let Some(sibling) = all.get_mut(part_of) {
            sibling.wants = Some(wants);
        }
    }

    /// What is known of an object that carries this part-of label, for the sync `asking`, which wants it. If it has to
    /// wait, it is rung once the object is released.
    #[must_use]
    pub fn of(&self, label: &str, id: &StepId, asking: &str) -> Claim {
        let mut all = self.all();
        let Some(holder) = all.get(label) else { return Claim::Stranger };
        let name = holder.name.clone();
        let claim = match &holder.wants {
            None => Claim::Unknown(name),
            Some(wants) if wants.binary_search(&short(id)).is_ok() => Claim::Wanted(name),
            Some(_) => return Claim::Released { name, manager: holder.manager.clone() },
        };
        if let Some(asking) = all.get_mut(asking) {
            asking.waits.insert(id.clone());
        }
        claim
    }

    /// Who else wants these, by id: `namespace/name`.
    #[must_use]
    pub fn wanted_by_others<'a>(
        &self,
        part_of: &str,
        ids: impl Iterator<Item = &'a StepId>,
    ) -> BTreeMap<StepId, String> {
        let all = self.all();
        let others: Vec<&Sibling> =
            all.iter().filter(|(label, _)| *label != part_of).map(|(_, sibling)| sibling).collect();
        if others.is_empty() {
            return BTreeMap::new();
        }
        let wants = |sibling: &&&Sibling, id| {
            sibling.wants.as_ref().is_some_and(|wants| wants.binary_search(&short(id)).is_ok())
        };
        ids.filter_map(|id| Some((id.clone(), others.iter().find(|it| wants(it, id))?.name.clone()))).collect()
    }

    /// How an object says that it belongs to another sync of this agent.
    #[must_use]
    pub fn siblings(&self, part_of: &str) -> BTreeSet<String> {
        self.all().keys().filter(|label| *label != part_of).map(|label| other_sync(label)).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Sibling>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn short(id: &StepId) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Entry;

    fn id(name: &str) -> StepId {
        StepId::object("", "ConfigMap", Some("web"), name)
    }

    fn plan(names: &[&str]) -> Plan {
        let mut plan = Plan::empty();
        for name in names {
            let manifest = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap"});
            let origin = Arc::default();
            let want = crate::plan::Want::Object(manifest.into());
            plan.steps.push(Arc::new(crate::plan::Step::new(id(name), origin, None, want)));
        }
        plan
    }

    fn two() -> (Claims, mpsc::Receiver<()>) {
        let claims = Claims::default();
        claims.join("label-a", "team/a", "windlass-a");
        claims.join("label-b", "team/b", "windlass-b");
        let (bell, rung) = mpsc::channel(1);
        claims.hang("label-b", bell);
        (claims, rung)
    }

    #[test]
    fn an_object_is_released_once_the_newest_plan_of_its_sync_is_known_not_to_want_it() {
        let (claims, mut rung) = two();
        let asked = || claims.of("label-a", &id("x"), "label-b");
        assert_eq!(claims.of("label-z", &id("x"), "label-b"), Claim::Stranger);
        assert_eq!(asked(), Claim::Unknown("team/a".into()));
        claims.publish("label-a", &plan(&["x", "y"]), None);
        assert_eq!(asked(), Claim::Wanted("team/a".into()));
        assert!(rung.try_recv().is_err(), "nothing was released");
        claims.publish("label-a", &plan(&["y"]), None);
        assert!(rung.try_recv().is_ok(), "who waits is rung");
        assert_eq!(asked(), Claim::Released { name: "team/a".into(), manager: "windlass-a".into() });
    }

    #[test]
    fn what_only_an_error_took_out_of_a_plan_is_still_wanted() {
        let (claims, _rung) = two();
        let mut inventory = Inventory::new("a", "u");
        inventory.entries.insert(id("x"), Entry::default());
        let mut broken = plan(&["y"]);
        broken.held.paths.insert("x.yaml".to_owned());
        claims.publish("label-a", &broken, Some(&inventory));
        assert_eq!(claims.of("label-a", &id("x"), "label-b"), Claim::Wanted("team/a".into()));
        claims.publish("label-a", &plan(&["y"]), Some(&inventory));
        assert!(matches!(claims.of("label-a", &id("x"), "label-b"), Claim::Released { .. }));
    }

    #[test]
    fn others_are_named_and_the_own_plan_is_no_other() {
        let (claims, _rung) = two();
        claims.publish("label-a", &plan(&["x", "y"]), None);
        claims.publish("label-b", &plan(&["x"]), None);
        let (x, y) = (id("x"), id("y"));
        assert_eq!(
            claims.wanted_by_others("label-a", [&x, &y].into_iter()),
            BTreeMap::from([(x.clone(), "team/b".to_owned())])
        );
        claims.leave("label-b");
        assert!(claims.wanted_by_others("label-a", [&x].into_iter()).is_empty());
    }
}
