//! Whole lives of a sync, as a state machine: commits, hand edits, faults, crashes and clock jumps in any order, over the
//! agent's own passes. The world is an API server in memory.
//!
//! At every step: the inventory lists all that we made; nothing foreign is touched; nothing declared is deleted, nor
//! anything while an error may hide it; and whoever is told "ready" finds the world as git says. In the end, once the
//! faults stop, the world equals git within a few passes, and then nothing more is written. `PROPTEST_CASES` sets how
//! many lives are tried.

mod git;
mod server;
mod target;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Ended, Memory, Stop, Todo, Trigger, bench_of, id, pass};
use crate::agent::bench::Bench;
use crate::agent::trigger::Batch;
use crate::plan::StepId;
use crate::report::summary::restored;
use crate::source::Source;
use crate::target::execute::Pace;
use git::{Commit, Flaw, Git, Repository};
use server::{Fault, Hand, Manager, Server};

/// How many objects and files there are at most.
const NAMES: u8 = 6;
const FILES: u8 = 4;
/// So many passes after the last fault the world equals git.
const PASSES: usize = 3;

fn id_of(name: u8) -> StepId {
    id(&format!("n{name}"))
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Commit(Commit),
    Hand(Hand),
    /// After so many writes of the next passes.
    Meanwhile(u8, Hand),
    /// What the next writes meet.
    Faults(Vec<Option<Fault>>),
    /// What everything meets until it is calm again.
    Outage(Fault),
    /// These cannot be read until it is calm again.
    Blind(BTreeSet<u8>),
    /// The watch is cut, or there again.
    Watch(bool),
    /// Is not ready for so many looks.
    Slow(u8, u8),
    Calm,
    Pass(Trigger),
    /// A pass that is stopped after so many writes.
    Cancelled(Trigger, u8),
    /// A pass that dies at this write; whether the write still happens.
    Crash(Trigger, u8, bool),
    /// The clock is set, by minutes.
    Jump(i32),
}

fn trigger() -> impl Strategy<Value = Trigger> {
    use Trigger::{Drift, Files, Poll, Request, Retry, Sweep, Window};
    prop::sample::select(vec![Poll, Poll, Files, Drift, Drift, Retry, Request, Sweep, Window])
}

fn put() -> impl Strategy<Value = Commit> {
    (0..NAMES, 0..4_u8, 0..FILES, prop::option::weighted(0.3, 0..NAMES))
        .prop_map(|(name, value, file, needs)| Commit::Put { name, value, file, needs })
}

fn commit() -> impl Strategy<Value = Commit> {
    prop_oneof![
        6 => put(),
        3 => (0..NAMES).prop_map(Commit::Remove),
        1 => (0..FILES, 0..FILES).prop_map(|(from, to)| Commit::Rename { from, to }),
        1 => (0..FILES, prop::sample::select(vec![Flaw::Syntax, Flaw::Nameless])).prop_map(|(file, flaw)| Commit::Break(file, flaw)),
        1 => (0..FILES).prop_map(Commit::Mend),
        1 => (0..4_u8).prop_map(Commit::Revert),
    ]
}

fn hand() -> impl Strategy<Value = Hand> {
    let hands = [Hand::Edit, Hand::Extra, Hand::Delete, Hand::Make, Hand::Change];
    Union::new(hands.map(|hand| (0..NAMES).prop_map(hand)))
}

fn fault() -> impl Strategy<Value = Fault> {
    use Fault::{Away, Broken, Busy, Conflict, Invalid, LostAfter, LostBefore};
    prop::sample::select(vec![Conflict, Invalid, Busy, Broken, Away, LostBefore, LostAfter])
}

/// The reference: what git says.
struct Lives;

impl ReferenceStateMachine for Lives {
    type State = Repository;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Repository> {
        prop::collection::vec(put(), 0..6)
            .prop_map(|puts| {
                let mut repository = Repository::default();
                puts.into_iter().for_each(|put| repository.commit(put));
                repository
            })
            .boxed()
    }

    fn transitions(_: &Repository) -> BoxedStrategy<Event> {
        prop_oneof![
            8 => commit().prop_map(Event::Commit),
            5 => hand().prop_map(Event::Hand),
            3 => (0..6_u8, hand()).prop_map(|(after, hand)| Event::Meanwhile(after, hand)),
            3 => prop::collection::vec(prop::option::of(fault()), 1..8).prop_map(Event::Faults),
            1 => fault().prop_map(Event::Outage),
            1 => prop::collection::btree_set(0..NAMES, 1..4).prop_map(Event::Blind),
            1 => any::<bool>().prop_map(Event::Watch),
            1 => (0..NAMES, 1..3_u8).prop_map(|(name, looks)| Event::Slow(name, looks)),
            2 => Just(Event::Calm),
            8 => trigger().prop_map(Event::Pass),
            2 => (trigger(), 0..8_u8).prop_map(|(trigger, after)| Event::Cancelled(trigger, after)),
            4 => (trigger(), 0..8_u8, any::<bool>()).prop_map(|(trigger, at, happens)| Event::Crash(trigger, at, happens)),
            1 => (-90..90_i32).prop_map(Event::Jump),
        ]
        .boxed()
    }

    fn apply(mut repository: Repository, event: &Event) -> Repository {
        if let Event::Commit(commit) = event {
            repository.commit(*commit);
        }
        repository
    }
}

thread_local! {
    /// Minutes since the epoch.
    static CLOCK: Cell<i64> = const { Cell::new(1_000_000) };
}

/// A sync, and the machine that it runs on.
struct Life {
    runtime: tokio::runtime::Runtime,
    temp: tempfile::TempDir,
    server: Arc<Server>,
    bench: Bench<Arc<Server>>,
    memory: Memory,
    /// What the folder holds.
    written: Git,
    /// The last pass said that everything is as wanted, and nothing has happened since that it could not know.
    vouched: bool,
}

impl Life {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("source")).unwrap();
        let server = Arc::new(Server::default());
        let source = Source::disk(&temp.path().join("source"), &[]).unwrap();
        let mut bench = bench_of(temp.path(), source, Arc::clone(&server));
        bench.timeout = Duration::from_millis(20);
        bench.retry_interval = Duration::from_millis(1);
        bench.verify_interval = Some(Duration::from_secs(3600));
        bench.clock = || Timestamp::from_second(CLOCK.get() * 60).unwrap();
        bench.pace = pace();
        let memory = Memory { todo: Todo::everything(), ..Memory::default() };
        Self { runtime, temp, server, bench, memory, written: Git::default(), vouched: false }
    }

    fn write(&mut self, git: &Git) {
        git.write(&self.written, &self.temp.path().join("source"));
        self.written.clone_from(git);
    }

    /// A pass, and those that follow at once where one was cut short.
    fn pass(&mut self, trigger: Trigger) {
        let mut next = Some(trigger);
        // Somebody may interfere once each time; that ends.
        for _ in 0..20 {
            let Some(trigger) = next.take() else { return };
            let Some(ended) = self.one_pass(trigger) else { return };
            next = ended.cut_short.then_some(Trigger::Drift);
        }
        self.fail("passes are cut short for ever");
    }

    /// None: it died.
    fn one_pass(&mut self, trigger: Trigger) -> Option<Ended> {
        let mut why = Batch::default();
        why.add(trigger);
        let stop = Stop { cancel: CancellationToken::new(), hurry: CancellationToken::new() };
        {
            let mut inside = self.server.inside();
            inside.begin_pass();
            if let Some((_, cancel)) = &mut inside.cancel {
                *cancel = stop.cancel.clone();
            }
            if why.asks_source() || self.memory.prepared.is_none() {
                inside.known.clone_from(&self.written);
            }
        }
        let attempting = watch::Sender::new(None);
        let ended = self.runtime.block_on(async {
            let running = pass(&self.bench, &mut self.memory, why, &attempting, &stop);
            let bounded = tokio::time::timeout(Duration::from_secs(60), running);
            tokio::select! {
                ended = bounded => Some(ended.expect("a pass hangs")),
                () = self.server.died.notified() => None,
            }
        });
        match &ended {
            None => self.crash(),
            Some(ended) => {
                let mut inside = self.server.inside();
                inside.log.push(format!("    {}", if ended.ready { "ready" } else { "not ready" }));
                let looked = why.asks_source() && why.asks_world() && !inside.interfered && !inside.cut;
                self.vouched = looked && ended.ready;
            }
        }
        self.server.inside().end_pass();
        ended
    }

    /// All memory is lost; what was stored survives.
    fn crash(&mut self) {
        self.server.inside().crash();
        let saved = self.bench.store.load().unwrap();
        let summary = restored(saved.summary);
        self.memory = Memory { control: saved.control, summary, todo: Todo::everything(), ..Memory::default() };
        self.bench.pace = pace();
        self.bench.board = super::Board::default();
        self.vouched = false;
    }

    /// What is ours, without what people added to it.
    fn ours(&self) -> BTreeMap<StepId, BTreeMap<String, String>> {
        let inside = self.server.inside();
        let ours = inside.objects.iter().filter(|(_, object)| object.is_ours());
        ours.map(|(id, object)| {
            let fields = object.fields.iter().filter(|(name, _)| *name != "extra");
            let text = |(name, (value, manager)): (&String, &(String, Manager))| {
                let value = if *manager == Manager::Us { value.clone() } else { format!("{value} (not ours)") };
                (name.clone(), value)
            };
            (id.clone(), fields.map(text).collect())
        })
        .collect()
    }

    /// What git says, but for names that are taken.
    fn wanted(&self, git: &Git) -> BTreeMap<StepId, BTreeMap<String, String>> {
        let inside = self.server.inside();
        git.wanted().into_iter().filter(|(id, _)| !inside.is_foreign(id)).collect()
    }

    fn check(&self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.fail(&what());
        }
    }

    fn fail(&self, what: &str) -> ! {
        let inside = self.server.inside();
        let stored = inside.inventory.as_ref().map(|inventory| inventory.entries.keys().collect::<Vec<_>>());
        panic!("{what}\n\nwhat happened:\n{}\n\nin the inventory: {stored:?}", inside.log.join("\n"));
    }

    /// Passes until the world equals git, a few at most. Fights that were broken off are long forgotten.
    fn converge(&mut self, git: &Git, trigger: Trigger) {
        CLOCK.set(CLOCK.get() + 24 * 60);
        for _ in 0..PASSES {
            self.pass(trigger);
            if self.ours() == git.wanted() {
                break;
            }
        }
        let (ours, wanted) = (self.ours(), git.wanted());
        self.check(ours == wanted, || {
            format!("after {PASSES} calm passes the world is\n{ours:#?}\nand git says\n{wanted:#?}")
        });
    }

    /// Whoever holds a name that git wants lets go of it.
    fn clear_names(&self, git: &Git) {
        let mut inside = self.server.inside();
        for name in (0..=NAMES).filter(|name| git.find(*name).is_some()) {
            if inside.is_foreign(&id_of(name)) {
                inside.act(Hand::Delete(name));
            }
        }
    }
}

fn pace() -> Pace {
    Pace::trying_again_after(Duration::from_micros(200))
}

impl StateMachineTest for Lives {
    type SystemUnderTest = Life;
    type Reference = Self;

    fn init_test(repository: &Repository) -> Life {
        let mut life = Life::new();
        life.server.log(format!("{:?}", repository.now.files));
        life.write(&repository.now);
        life
    }

    fn apply(mut life: Life, repository: &Repository, event: Event) -> Life {
        life.server.log(format!("{event:?}"));
        life.vouched = false;
        match event {
            Event::Commit(_) => life.write(&repository.now),
            Event::Hand(hand) => life.server.inside().act(hand),
            Event::Meanwhile(after, hand) => life.server.inside().meanwhile.push((after, hand)),
            Event::Faults(faults) => life.server.inside().faults.extend(faults),
            Event::Outage(fault) => life.server.inside().outage = Some(fault),
            Event::Blind(names) => life.server.inside().blind = names.into_iter().map(id_of).collect(),
            Event::Watch(true) => life.server.inside().connect(),
            Event::Watch(false) => life.server.inside().cut = true,
            Event::Slow(name, looks) => _ = life.server.inside().slow.insert(id_of(name), looks),
            Event::Calm => life.server.inside().calm(),
            Event::Pass(trigger) => life.pass(trigger),
            Event::Cancelled(trigger, after) => {
                life.server.inside().cancel = Some((after, CancellationToken::new()));
                life.pass(trigger);
            }
            Event::Crash(trigger, at, happens) => {
                life.server.inside().death = Some((at, happens));
                life.pass(trigger);
                // If there were fewer writes, it dies after the pass.
                life.crash();
            }
            Event::Jump(minutes) => CLOCK.set(CLOCK.get() + i64::from(minutes)),
        }
        life
    }

    fn check_invariants(life: &Life, _: &Repository) {
        let (unlisted, broken, untouched) = {
            let inside = life.server.inside();
            let listed = |id: &StepId| inside.inventory.as_ref().is_some_and(|it| it.entries.contains_key(id));
            let ours = inside.objects.iter().filter(|(_, object)| object.is_ours());
            let unlisted: Vec<StepId> = ours.map(|(id, _)| id).filter(|id| !listed(id)).cloned().collect();
            (unlisted, inside.broken_promises.clone(), inside.foreigners_are_as_left())
        };
        life.check(unlisted.is_empty(), || format!("made and not in the inventory: {unlisted:?}"));
        life.check(broken.is_empty(), || broken.join("\n"));
        life.check(untouched, || "something foreign was touched".to_owned());
        let git = &life.written;
        if life.vouched && git.is_sound() && !git.files.is_empty() {
            let (ours, wanted) = (life.ours(), life.wanted(git));
            life.check(ours == wanted, || {
                format!("said to be ready, and the world is\n{ours:#?}\nwhile git says\n{wanted:#?}")
            });
        }
    }

    fn teardown(mut life: Life, mut repository: Repository) {
        life.server.log("the faults stop".to_owned());
        life.server.inside().calm();
        // A person asks for all to be looked at: what was refused for good is tried again, too.
        let git = repository.now.clone();
        life.clear_names(&git);
        if git.is_sound() && !git.files.is_empty() {
            life.converge(&git, Trigger::Request);
            Self::check_invariants(&life, &repository);
        }
        // Or somebody commits something.
        life.server.log("a last commit, of sound files".to_owned());
        repository.mend();
        repository.commit(Commit::Put { name: NAMES, value: 1, file: FILES, needs: None });
        let git = repository.now.clone();
        life.clear_names(&git);
        life.write(&git);
        life.converge(&git, Trigger::Poll);
        Self::check_invariants(&life, &repository);

        let listed: Vec<StepId> = {
            let inside = life.server.inside();
            inside.inventory.iter().flat_map(|inventory| inventory.entries.keys()).cloned().collect()
        };
        life.check(listed.iter().eq(git.wanted().keys()), || {
            "the inventory does not list exactly what is wanted".to_owned()
        });
        let writes = life.server.inside().writes;
        life.pass(Trigger::Request);
        life.check(life.server.inside().writes == writes, || "once more writes something".to_owned());
        life.check(life.memory.is_ready(), || "in the end it is not ready".to_owned());
        let reads = life.server.inside().reads;
        life.pass(Trigger::Poll);
        life.check(life.server.inside().reads == reads, || "nothing moved, and the world was read".to_owned());
    }
}

prop_state_machine! {
    #[test]
    fn whatever_happens_nothing_wanted_is_lost_and_the_world_comes_to_equal_git(sequential 1..40 => Lives);
}
