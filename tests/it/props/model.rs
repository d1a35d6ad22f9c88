//! A world in memory under the real executor, with faults, and the smallest pass over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use windlass::diff::seen::Readiness;
use windlass::diff::{Change, Live, Observed, Rules, Seen, Which, diff};
use windlass::inventory::{Entry, Inventory};
use windlass::plan::{Held, Origin, Plan, Step, StepId, Want, canonical, order};
use windlass::revision::Revision;
use windlass::target::execute::{Applied, Limits, execute};
use windlass::target::{Class, Done, Failure, World};

/// One object that a revision wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) number: u8,
    pub(super) value: u8,
    pub(super) path: String,
    pub(super) needs: Vec<u8>,
}

pub(super) fn wanted(number: u8, value: u8, needs: &[u8]) -> Wanted {
    Wanted { number, value, path: format!("{number}.yaml"), needs: needs.to_vec() }
}

pub(super) fn id(number: u8) -> StepId {
    StepId::object("", "ConfigMap", Some("web"), &format!("c{number}"))
}

pub(super) fn plan(wanted: &[Wanted]) -> Plan {
    let steps: Vec<Step> = wanted
        .iter()
        .map(|wanted| {
            let name = format!("c{}", wanted.number);
            let origin =
                Origin { path: (&wanted.path).into(), document: 1, kind: "ConfigMap".into(), ..Origin::default() };
            let manifest = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "web"}, "data": {"v": wanted.value.to_string()},
            });
            let mut step = Step::new(id(wanted.number), Arc::new(origin), None, Want::Object(manifest.into()));
            step.needs = wanted.needs.iter().map(|need| id(*need)).collect();
            step
        })
        .collect();
    let known: BTreeSet<StepId> = steps.iter().map(|step| step.id.clone()).collect();
    let steps = steps
        .into_iter()
        .map(|mut step| {
            step.needs.retain(|need| known.contains(need));
            step
        })
        .collect();
    let steps = order::arrange(steps).steps;
    let digest = canonical::digest(steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
    Plan { revision: Revision::default(), steps, digest, held: Held::default() }
}

pub(super) fn limits() -> Limits {
    Limits { timeout: Duration::from_secs(1), concurrency: 3, cancel: CancellationToken::new() }
}

/// Load, observe, compare, execute.
pub(super) async fn pass<W: World>(world: &W, plan: &Plan, rules: &Rules) -> Applied {
    let inventory = world.load_inventory().await.unwrap().unwrap_or_else(|| Inventory::new("id", "repo"));
    let observed = world.observe(plan, &inventory, Which::All).await;
    let diff = diff(plan, &observed, &inventory, rules, Which::All);
    execute(world, plan, &diff, inventory, &limits(), |_, _| {}).await
}

#[derive(Default)]
struct State {
    objects: BTreeMap<StepId, (String, String)>,
    inventory: Option<Inventory>,
    log: Vec<String>,
    born: u32,
    cut_after: Option<usize>,
    hidden: BTreeSet<StepId>,
    failing: BTreeMap<StepId, Class>,
    slow: BTreeMap<StepId, u32>,
}

#[derive(Default)]
pub(super) struct Model {
    state: Mutex<State>,
    died: Notify,
}

impl Model {
    pub(super) fn objects(&self) -> BTreeMap<StepId, String> {
        self.state.lock().unwrap().objects.iter().map(|(id, (_, hash))| (id.clone(), hash.clone())).collect()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    pub(super) fn writes(&self) -> usize {
        self.log().len()
    }

    pub(super) fn object_writes(&self) -> usize {
        self.log().iter().filter(|line| *line != "inventory").count()
    }

    /// After so many more writes the process is as good as dead: nothing it asks for is ever answered.
    pub(super) fn cut_after(&self, more: usize) {
        let mut state = self.state.lock().unwrap();
        state.cut_after = Some(state.log.len() + more);
    }

    /// Runs until the end or the cut; whether it ended.
    pub(super) async fn until_cut<T>(&self, work: impl Future<Output = T>) -> bool {
        tokio::select! {
            _ = work => true,
            () = self.died.notified() => false,
        }
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().cut_after = None;
    }

    pub(super) fn hide(&self, numbers: &[u8]) {
        self.state.lock().unwrap().hidden = numbers.iter().map(|number| id(*number)).collect();
    }

    pub(super) fn fail(&self, number: u8) {
        self.fail_with(number, Class::Stalled);
    }

    pub(super) fn fail_with(&self, number: u8, class: Class) {
        self.state.lock().unwrap().failing.insert(id(number), class);
    }

    /// Needs so many looks until it is ready.
    pub(super) fn slow(&self, number: u8, looks: u32) {
        self.state.lock().unwrap().slow.insert(id(number), looks);
    }

    pub(super) fn remove(&self, number: u8) {
        self.state.lock().unwrap().objects.remove(&id(number));
    }

    async fn write(&self, line: String, id: Option<&StepId>, act: impl FnOnce(&mut State)) -> Result<(), Failure> {
        tokio::task::yield_now().await;
        let alive = {
            let mut state = self.state.lock().unwrap();
            if let Some(class) = id.and_then(|id| state.failing.get(id)).copied() {
                state.log.push(format!("failed {line}"));
                return Err(Failure::new(class, "Broken", "broken for the test"));
            }
            let alive = state.cut_after.is_none_or(|cut| state.log.len() < cut);
            if alive {
                state.log.push(line);
                act(&mut state);
            }
            alive
        };
        if !alive {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn readiness(state: &mut State, id: &StepId) -> Readiness {
    match state.slow.get_mut(id) {
        Some(looks) if *looks > 0 => {
            *looks -= 1;
            Readiness::Progressing("not yet".into())
        }
        _ => Readiness::Ready,
    }
}

impl World for Model {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        Ok(self.state.lock().unwrap().inventory.clone())
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        let inventory = inventory.clone();
        self.write("inventory".into(), None, |state| state.inventory = Some(inventory)).await
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        let mut state = self.state.lock().unwrap();
        let ids: BTreeSet<StepId> =
            plan.steps.iter().map(|step| &step.id).chain(inventory.entries.keys()).cloned().collect();
        ids.into_iter()
            .filter(|id| which.has(id))
            .map(|id| {
                let seen = match state.objects.get(&id).cloned() {
                    _ if state.hidden.contains(&id) => Seen::Unknown("hidden for the test".into()),
                    None => Seen::Absent,
                    Some((uid, hash)) => Seen::Present(Live {
                        uid,
                        content_hash: Some(hash),
                        ours: true,
                        readiness: readiness(&mut state, &id),
                        ..Live::default()
                    }),
                };
                (id, seen)
            })
            .collect()
    }

    async fn apply(&self, step: &Step, _change: &Change) -> Result<Done, Failure> {
        let (id, hash) = (step.id.clone(), step.hash.clone());
        self.write(format!("apply {id}"), Some(&step.id), |state| {
            state.born += 1;
            let uid = state.objects.get(&id).map_or_else(|| format!("uid-{}", state.born), |(uid, _)| uid.clone());
            state.objects.insert(id, (uid, hash));
        })
        .await?;
        let mut state = self.state.lock().unwrap();
        let readiness = readiness(&mut state, &step.id);
        let uid = state.objects.get(&step.id).map(|(uid, _)| uid.clone()).unwrap_or_default();
        Ok(Done { uid, fingerprint: None, readiness, wrote: true })
    }

    async fn delete(&self, id: &StepId, _entry: &Entry, _live: &Live) -> Result<(), Failure> {
        let gone = id.clone();
        self.write(format!("delete {id}"), Some(id), |state| {
            state.objects.remove(&gone);
        })
        .await
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut state = self.state.lock().unwrap();
        steps.iter().map(|step| (step.id.clone(), readiness(&mut state, &step.id))).collect()
    }
}

/// A real world that stops answering after so many writes.
pub(super) struct Cut<W> {
    inner: W,
    /// One write at a time, so that none is under way at the cut.
    left: tokio::sync::Mutex<usize>,
    died: Notify,
}

impl<W: World> Cut<W> {
    pub(super) fn new(inner: W, left: usize) -> Self {
        Self { inner, left: tokio::sync::Mutex::new(left), died: Notify::new() }
    }

    async fn spend(&self) -> tokio::sync::MutexGuard<'_, usize> {
        let mut left = self.left.lock().await;
        if *left == 0 {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        *left -= 1;
        left
    }

    /// Runs until the end or the cut; whether it ended.
    pub(super) async fn until_cut<T>(&self, work: impl Future<Output = T>) -> bool {
        tokio::select! {
            _ = work => true,
            () = self.died.notified() => false,
        }
    }
}

impl<W: World> World for Cut<W> {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        self.inner.load_inventory().await
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        let _busy = self.spend().await;
        self.inner.store_inventory(inventory).await
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        self.inner.observe(plan, inventory, which).await
    }

    async fn apply(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        let _busy = self.spend().await;
        self.inner.apply(step, change).await
    }

    async fn delete(&self, id: &StepId, entry: &Entry, live: &Live) -> Result<(), Failure> {
        let _busy = self.spend().await;
        self.inner.delete(id, entry, live).await
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        self.inner.settle(steps).await
    }
}
