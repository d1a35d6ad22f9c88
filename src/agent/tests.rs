//! The agent's passes over a folder of files and a world in memory: what each costs, and that parts come to the same
//! as the whole.

mod lab;
mod lives;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Memory};
use super::course::Ended;
use super::pass::{Stop, pass};
use super::scope::Todo;
use super::store::{Place, Store};
use super::trigger::{Batch, Trigger};
use super::writer::Writer;
use super::{Board, task};
use crate::plan::{State, StepId};
use crate::report::summary::Who;
use crate::source::{Source, SourceConfig};
use crate::sync::status::Counts;
use crate::target::Class;
use crate::target::execute::Pace;
use crate::telemetry::Metrics;
use lab::Lab;

fn id(name: &str) -> StepId {
    StepId::object("", "ConfigMap", Some("web"), name)
}

/// A sync of a folder with the world above.
struct Setup {
    temp: tempfile::TempDir,
    lab: Arc<Lab>,
    bench: Bench<Arc<Lab>>,
    memory: Memory,
}

fn bench(folder: &Path, lab: &Arc<Lab>) -> Bench<Arc<Lab>> {
    let url = folder.join("source").to_str().unwrap().to_owned();
    let config = SourceConfig { url, clone: folder.join("clone"), ..SourceConfig::default() };
    bench_of(folder, Source::open(config).unwrap(), Arc::clone(lab))
}

fn bench_of<W>(folder: &Path, source: Source, world: W) -> Bench<W> {
    let url = folder.join("source").to_str().unwrap().to_owned();
    let who = Who { namespace: "ns".into(), name: "sync".into(), source: url.clone(), ..Who::default() };
    let spec =
        serde_json::json!({ "source": { "url": url }, "budget": { "maxDeletes": 1000, "maxDeletePercent": 100 } });
    Bench {
        who,
        sync_id: "id".to_owned(),
        spec: serde_json::from_value(spec).unwrap(),
        annotations: BTreeMap::new(),
        interval: Duration::from_secs(600),
        timeout: Duration::from_secs(600),
        retry_interval: Duration::from_secs(600),
        verify_interval: None,
        source: Arc::new(source),
        world,
        store: Store::open(&folder.join("state")).unwrap(),
        place: Place::default(),
        writer: Writer::Nowhere,
        tenure: None,
        board: Board::default(),
        metrics: Arc::new(Metrics::new()),
        clock: || Timestamp::UNIX_EPOCH,
        pace: Pace::default(),
    }
}

impl Setup {
    fn new(files: &[(&str, u8)]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("source")).unwrap();
        let lab = Arc::new(Lab { inside: Mutex::default(), bell: watch::Sender::default() });
        let bench = bench(temp.path(), &lab);
        let memory = Memory { todo: Todo::everything(), ..Memory::default() };
        let setup = Self { temp, lab, bench, memory };
        files.iter().for_each(|(name, value)| setup.write(name, *value));
        setup
    }

    fn write(&self, name: &str, value: u8) {
        write(self.temp.path(), name, value);
    }

    fn remove(&self, name: &str) {
        // It may not be there.
        _ = std::fs::remove_file(self.temp.path().join(format!("source/{name}.yaml")));
    }

    async fn pass(&mut self, triggers: &[Trigger]) -> Ended {
        let mut why = Batch::default();
        triggers.iter().for_each(|trigger| why.add(*trigger));
        let stop = Stop { cancel: CancellationToken::new(), hurry: CancellationToken::new() };
        pass(&self.bench, &mut self.memory, why, &watch::Sender::new(None), &stop).await
    }

    /// What the source wants.
    fn wanted(&self) -> BTreeMap<StepId, String> {
        let plan = &self.memory.prepared.as_ref().unwrap().plan;
        plan.steps.iter().map(|step| (step.id.clone(), step.hash.clone())).collect()
    }

    fn world(&self) -> BTreeMap<StepId, String> {
        let inside = self.lab.inside();
        inside
            .objects
            .iter()
            .map(|(id, (_, hash, edited))| (id.clone(), format!("{hash}{}", edited.as_deref().unwrap_or_default())))
            .collect()
    }

    fn state(&self, name: &str) -> State {
        self.memory.summary.view.steps.iter().find(|step| step.id == id(name)).unwrap().state
    }
}

fn write(folder: &Path, name: &str, value: u8) {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: web\ndata:\n  v: \"{value}\"\n"
    );
    std::fs::write(folder.join(format!("source/{name}.yaml")), text).unwrap();
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_pass_in_which_nothing_moved_asks_the_world_nothing_and_stores_nothing() {
    run(async {
        let mut setup = Setup::new(&[("a", 1), ("b", 1)]);
        assert!(setup.pass(&[Trigger::Poll]).await.ready);
        let before = setup.lab.costs();
        setup.lab.inside().looks.clear();
        setup.memory.unsaved = false;
        for trigger in [Trigger::Poll, Trigger::Files, Trigger::Drift, Trigger::Retry, Trigger::Window] {
            assert!(setup.pass(&[trigger]).await.ready, "{trigger:?}");
        }
        assert!(setup.lab.inside().looks.is_empty() && !setup.memory.unsaved);
        assert_eq!(before, setup.lab.costs());
    });
}

#[test]
fn one_changed_file_and_one_hand_edit_are_a_look_at_one_step_each() {
    run(async {
        let mut setup = Setup::new(&[("a", 1), ("b", 1), ("c", 1)]);
        setup.pass(&[Trigger::Poll]).await;
        let stores = setup.lab.inside().stores;
        setup.write("b", 2);
        let ended = setup.pass(&[Trigger::Files]).await;
        assert_eq!((ended.wrote.applied, ended.wrote.kept), (1, 2));
        setup.lab.edit("c", false);
        std::fs::rename(setup.temp.path().join("source"), setup.temp.path().join("away")).unwrap();
        assert_eq!(setup.pass(&[Trigger::Drift]).await.wrote.applied, 1);
        assert!(setup.memory.source_error.is_none(), "drift does not ask the source");
        assert_eq!(setup.lab.inside().looks, [None, Some(1), Some(1)]);
        assert_eq!(setup.lab.inside().stores, stores, "a change of value is no news for the inventory");
        assert_eq!(setup.world(), setup.wanted());
    });
}

#[test]
fn what_stalled_waits_for_a_new_revision_and_what_may_pass_for_its_pause() {
    run(async {
        let mut setup = Setup::new(&[("a", 1), ("bad", 1)]);
        setup.lab.inside().failing.insert(id("bad"), Class::Stalled);
        assert!(!setup.pass(&[Trigger::Poll]).await.ready);
        let applies = setup.lab.applies();
        for _ in 0..3 {
            setup.pass(&[Trigger::Poll, Trigger::Retry]).await;
        }
        assert_eq!(setup.lab.applies(), applies, "no hot loop");
        assert_eq!(setup.state("bad"), State::Failed);
        setup.write("a", 2);
        setup.pass(&[Trigger::Files]).await;
        assert_eq!(setup.lab.applies(), applies + 2, "the new revision tries it once more");
        setup.lab.inside().failing.clear();
        setup.write("bad", 2);
        assert!(setup.pass(&[Trigger::Files]).await.ready);
    });
}

#[test]
fn a_hand_edit_during_a_long_wait_is_put_right_and_the_wait_goes_on() {
    run(async {
        let mut setup = Setup::new(&[("a", 1), ("slow", 1)]);
        setup.lab.inside().never_ready.insert(id("slow"));
        let Setup { lab, bench, memory, .. } = &mut setup;
        let stop = CancellationToken::new();
        let (_bell, triggers) = mpsc::channel(8);
        let work = task::run(bench, memory, triggers, &stop);
        let check = async {
            until(|| lab.inside().objects.contains_key(&id("slow"))).await;
            for _ in 0..3 {
                lab.edit("a", false);
                until(|| !lab.is_edited("a")).await;
            }
            lab.inside().never_ready.clear();
            // It is still waited for.
            until(|| lab.inside().moved.is_empty()).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            stop.cancel();
        };
        tokio::join!(work, check);
        assert_eq!(setup.state("slow"), State::Ready);
    });
}

#[test]
fn a_hundred_commits_during_a_pass_are_two_more_at_most_and_the_last_one_is_live() {
    run(async {
        let mut setup = Setup::new(&[("a", 0), ("slow", 1)]);
        setup.lab.inside().never_ready.insert(id("slow"));
        let Setup { lab, bench, memory, temp } = &mut setup;
        let stop = CancellationToken::new();
        let (bell, triggers) = mpsc::channel(256);
        let work = task::run(bench, memory, triggers, &stop);
        let check = async {
            until(|| lab.inside().objects.contains_key(&id("slow"))).await;
            let looks = lab.inside().looks.len();
            for value in 1..=100 {
                write(temp.path(), "a", value);
                bell.send(Trigger::Files).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Longer than any pause after a burst.
            tokio::time::sleep(Duration::from_secs(2)).await;
            stop.cancel();
            lab.inside().looks.len() - looks
        };
        let ((), passes) = tokio::join!(work, check);
        assert!(passes <= 2, "{passes}");
        setup.lab.inside().never_ready.clear();
        setup.pass(&[Trigger::Request]).await;
        assert_eq!(setup.world(), setup.wanted());
    });
}

#[test]
fn the_sweep_applies_every_object_again_and_says_what_the_watches_missed() {
    run(async {
        let mut setup = Setup::new(&[("a", 1), ("b", 1), ("c", 1)]);
        setup.bench.verify_interval = Some(Duration::from_secs(3600));
        setup.pass(&[Trigger::Poll]).await;
        let applies = setup.lab.applies();
        // Moved, and nobody was told.
        setup.lab.inside().unseen.insert(id("b"));
        setup.memory.swept = Some(Timestamp::UNIX_EPOCH);
        // Eight eighths of an hour, which is all that one look may catch up on.
        for eighth in 1..=8 {
            let from = Timestamp::from_second((eighth - 1) * 450).unwrap();
            setup.memory.swept = Some(from);
            setup.bench.clock = EIGHTHS[usize::try_from(eighth).unwrap() - 1];
            setup.pass(&[Trigger::Sweep]).await;
        }
        assert_eq!(setup.lab.applies(), applies + 3);
        assert_eq!(setup.world(), setup.wanted());
        let page = setup.bench.metrics.render(&crate::report::view::View::default(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(
            page.contains("windlass_verified_total 3\n") && page.contains("windlass_missed_drift_total 1\n"),
            "{page}"
        );
    });
}

/// Clocks at the ends of the eighths of an hour.
const EIGHTHS: [fn() -> Timestamp; 8] = [
    || Timestamp::constant(450, 0),
    || Timestamp::constant(900, 0),
    || Timestamp::constant(1350, 0),
    || Timestamp::constant(1800, 0),
    || Timestamp::constant(2250, 0),
    || Timestamp::constant(2700, 0),
    || Timestamp::constant(3150, 0),
    || Timestamp::constant(3600, 0),
];

async fn until(mut condition: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < patience, "it does not come about");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Something that happens between two passes, or to one.
#[derive(Clone, Debug)]
enum Event {
    Write(u8, u8),
    Remove(u8),
    Edit(u8, bool),
    /// From now on applying it fails; none: nothing fails any more.
    Fail(Option<u8>),
    Crash,
    Pass(Trigger),
}

fn event() -> impl Strategy<Value = Event> {
    let trigger = prop::sample::select(vec![Trigger::Poll, Trigger::Files, Trigger::Drift, Trigger::Retry]);
    prop_oneof![
        (0..5_u8, 0..3_u8).prop_map(|(name, value)| Event::Write(name, value)),
        (0..5_u8).prop_map(Event::Remove),
        (0..5_u8, any::<bool>()).prop_map(|(name, delete)| Event::Edit(name, delete)),
        prop::option::of(0..5_u8).prop_map(Event::Fail),
        Just(Event::Crash),
        trigger.prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_partial_passes_end_in_the_same_world_as_a_full_one(events in prop::collection::vec(event(), 1..25)) {
        run(async {
            let mut setup = Setup::new(&[("n0", 0), ("always", 0)]);
            for event in events {
                match event {
                    Event::Write(name, value) => setup.write(&format!("n{name}"), value),
                    Event::Remove(name) => setup.remove(&format!("n{name}")),
                    Event::Edit(name, delete) => setup.lab.edit(&format!("n{name}"), delete),
                    Event::Fail(name) => {
                        let failing = name.map(|name| (id(&format!("n{name}")), Class::Stalled));
                        setup.lab.inside().failing = failing.into_iter().collect();
                    }
                    Event::Crash => {
                        setup.memory = Memory { todo: Todo::everything(), ..Memory::default() };
                        setup.lab.inside().watched = false;
                        setup.lab.inside().moved.clear();
                    }
                    Event::Pass(trigger) => _ = setup.pass(&[trigger]).await,
                }
            }
            setup.lab.inside().failing.clear();
            // A commit: what stalled is tried again.
            setup.write("always", 9);
            setup.pass(&[Trigger::Poll]).await;
            prop_assert_eq!(setup.world(), setup.wanted());
            let applies = setup.lab.applies();
            // What the last pass deleted is said of that pass.
            let counts = Counts { pruned: 0, ..setup.memory.summary.view.counts };
            let steps = setup.memory.summary.view.steps.clone();
            let full = setup.pass(&[Trigger::Request]).await;
            prop_assert!(full.ready);
            prop_assert_eq!(setup.lab.applies(), applies, "a full pass finds nothing to do");
            prop_assert_eq!(setup.memory.summary.view.counts, counts);
            prop_assert_eq!(&setup.memory.summary.view.steps, &steps);
            Ok(())
        })?;
    }
}
