//! A sync whose objects are watched, as the agent keeps them: what rings is looked at and put right, nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use windlass::diff::compare::Rules;
use windlass::diff::{Which, diff};
use windlass::inventory::Inventory;
use windlass::plan::{State, Step, StepId};
use windlass::target::execute::{Applied, Limits, execute};
use windlass::target::kube::{Note, Notes, Options};
use windlass::target::{Rung, World};

use super::sync::{Sync, plan};
use crate::support::control_plane::{ControlPlane, control_plane};
use crate::support::proxy::Seen;
use crate::support::wait::{PATIENCE, until};

/// What the watches told so far.
#[derive(Default)]
pub(crate) struct Told {
    restarts: AtomicUsize,
    ignored: AtomicUsize,
}

/// A sync and what it wants.
pub(crate) struct Followed {
    pub(crate) sync: Sync,
    pub(crate) steps: Vec<Step>,
    told: Arc<Told>,
}

impl Followed {
    /// Applies, then watches.
    pub(crate) async fn new(manifests: impl IntoIterator<Item = Value>) -> Self {
        Self::with(|_| {}, manifests).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options), manifests: impl IntoIterator<Item = Value>) -> Self {
        Self::on(control_plane(), change, manifests).await
    }

    pub(crate) async fn on(
        plane: &'static ControlPlane,
        change: impl FnOnce(&mut Options),
        manifests: impl IntoIterator<Item = Value>,
    ) -> Self {
        let told = Arc::new(Told::default());
        let count = Arc::clone(&told);
        let notes = Notes(Some(Arc::new(move |note| match note {
            Note::Restart => _ = count.restarts.fetch_add(1, Ordering::SeqCst),
            Note::Ignored => _ = count.ignored.fetch_add(1, Ordering::SeqCst),
            _ => {}
        })));
        let sync = Sync::on(plane, |options| {
            options.notes = notes;
            options.timing.hold = Duration::from_millis(100);
            options.timing.pause = Duration::from_secs(1);
            change(options);
        })
        .await;
        let steps = manifests.into_iter().map(|manifest| sync.step(manifest)).collect();
        let followed = Self { sync, steps, told };
        followed.apply().await;
        followed
    }

    /// A whole pass, after which everything is watched and quiet.
    pub(crate) async fn apply(&self) {
        ready(&self.pass(Which::All, BTreeSet::new()).await);
        self.watched().await;
    }

    /// Waits until every kind of the steps is watched, and what was told of our own writes is taken.
    pub(crate) async fn watched(&self) {
        let kinds: BTreeSet<String> = self.steps.iter().map(|step| plural(&step.origin.kind)).collect();
        until("every kind is watched", || async {
            let open = self.sync.proxy.watches();
            let has = |plural: &String| open.iter().any(|seen| ours(seen) && seen.path.ends_with(plural.as_str()));
            kinds.iter().all(has).then_some(())
        })
        .await;
        let controllers = until("the controllers of the kinds are done", || async {
            let rung = self.sync.kube.rung();
            let observed = self.observe_quietly(&rung).await;
            (rung.is_empty() && observed).then_some(())
        });
        controllers.await;
        self.sync.proxy.forget();
    }

    /// Looks at what rang without acting; whether all of it is as wanted.
    async fn observe_quietly(&self, rung: &Rung) -> bool {
        let ids: BTreeSet<StepId> = rung.moved.union(&rung.suspect).cloned().collect();
        let inventory = self.inventory().await;
        let plan = plan(self.steps.clone());
        let observed = self.sync.kube.observe(&plan, &inventory, Which::Only(&ids)).await;
        diff(&plan, &observed, &inventory, &Rules::default(), Which::Only(&ids)).is_quiet()
    }

    pub(crate) async fn inventory(&self) -> Inventory {
        let stored = self.sync.kube.load_inventory().await.expect("an inventory");
        let options = &self.sync.options;
        stored.unwrap_or_else(|| Inventory::new(options.sync_id.clone(), options.source_url.clone()))
    }

    /// One pass over a part of the plan.
    pub(crate) async fn pass(&self, which: Which<'_>, verify: BTreeSet<StepId>) -> Applied {
        let inventory = self.inventory().await;
        let mut plan = plan(self.steps.clone());
        plan.held.present = std::sync::Arc::new(self.steps.iter().map(|step| step.origin.path.clone()).collect());
        let observed = self.sync.kube.observe(&plan, &inventory, which).await;
        let rules = Rules { prune: true, verify, ..Rules::default() };
        let difference = diff(&plan, &observed, &inventory, &rules, which);
        let limits = Limits {
            timeout: Duration::from_secs(60),
            concurrency: 32,
            cancel: tokio_util::sync::CancellationToken::new(),
        };
        self.sync.kube.expect(&plan);
        let applied = execute(&self.sync.kube, &plan, &difference, inventory, &limits, |_, _| {}).await;
        self.sync.kube.retire(&applied.inventory);
        applied
    }

    /// Waits until something rings, and takes it.
    pub(crate) async fn rung(&self, what: &str) -> Rung {
        let rung = tokio::time::timeout(PATIENCE, self.sync.kube.ring()).await;
        rung.unwrap_or_else(|_| panic!("nothing rang: {what}; {:?}", self.sync.proxy.watches()));
        self.sync.kube.rung()
    }

    /// Puts right what rang.
    pub(crate) async fn correct(&self, rung: &Rung) -> Applied {
        let ids = rung.moved.union(&rung.suspect).cloned().collect();
        self.pass(Which::Only(&ids), rung.suspect.clone()).await
    }

    /// Puts right what rings until something holds.
    pub(crate) async fn corrected_until(&self, what: &str, check: impl AsyncFn() -> bool) {
        let work = async {
            while !check().await {
                let rung = self.rung(what).await;
                self.correct(&rung).await;
            }
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("it is not put right: {what}"));
    }

    /// Events that were about nothing so far.
    pub(crate) fn ignored(&self) -> usize {
        self.told.ignored.load(Ordering::SeqCst)
    }

    /// Watches that had to be opened again so far.
    pub(crate) fn restarts(&self) -> usize {
        self.told.restarts.load(Ordering::SeqCst)
    }

    /// Waits until so many events more were about nothing.
    pub(crate) async fn has_ignored(&self, before: usize, events: usize) {
        until("the events are heard", || async { (self.ignored() >= before + events).then_some(()) }).await;
    }

    /// Requests about objects since the proxy forgot, without the watches, the inventory and what is watched beside.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        let beside = |seen: &Seen| {
            seen.is_watch()
                || seen.path.contains("windlass-inventory")
                || seen.query.contains("inventory")
                || seen.path.contains("admissionregistration.k8s.io")
                || seen.path.ends_with("/customresourcedefinitions")
                || ["/api", "/apis"].contains(&seen.path.as_str())
        };
        self.sync.proxy.requests().into_iter().filter(|seen| !beside(seen)).collect()
    }
}

/// Whether it is about objects with a label of a sync.
pub(crate) fn ours(seen: &Seen) -> bool {
    seen.query.contains("labelSelector")
}

pub(crate) fn ready(applied: &Applied) {
    for (id, outcome) in &applied.steps {
        assert_eq!(outcome.state, State::Ready, "{id}: {outcome:?}");
    }
    assert_eq!(applied.failure, None);
}

fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if let Some(stem) = lower.strip_suffix('y') { format!("/{stem}ies") } else { format!("/{lower}s") }
}

/// A CRD of a group of its own with a typed and a free field, and one object of it.
pub(crate) fn crd(group: &str, fields: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("things.{group}") },
        "spec": { "group": group, "scope": "Namespaced",
            "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object", "properties": fields } } } } }] },
    })
}
