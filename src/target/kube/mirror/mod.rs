//! The mirror: what the cluster holds of this sync, kept up to date by one watch per managed kind (design §4.4).
//!
//! IO, reads only. Holds a [`Live`] and a few numbers of each object, nothing else of it. Every sight of an object, from
//! an event, a LIST or the answer to our own write, goes through [`Mirror::take`], which rings where something may have
//! moved; what a status or a foreign field did is nothing. Never concludes from an object's absence here that it is
//! gone: `observe` confirms that by name. All tasks end when the target is dropped.
//!
//! ```text
//! page, record ─ pure          list ─ LIST → take          keep ─ LIST, WATCH, again and again → take
//! guards ─ what makes everything of a kind suspect         writes ─ our own writes in flight
//! ```

mod guards;
mod keep;
mod list;
mod notes;
mod page;
pub(super) mod record;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Options;
use super::discovery::{Discovery, Resource};
use super::lens::Lens;
use super::wire::Wire;
use crate::diff::Live;
use crate::diff::seen::Readiness;
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};
use crate::target::Rung;
pub(super) use list::{Told, typed};
pub use notes::{Note, Notes};
use record::Record;

/// How patient the watches are. The defaults are for production; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A watch that says nothing for so long is taken for dead. Default: 100 s, as the server sends a bookmark a minute.
    pub silence: Duration,
    /// Kinds that cannot be watched are listed this often. Default: 60 s.
    pub poll: Duration,
    /// A watch is opened once nothing was written for so long, so that a first sync does not hear of itself. Default: 1 s.
    pub hold: Duration,
    /// Longest pause between two tries to reach a server. Default: 15 s.
    pub pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(100),
            poll: Duration::from_secs(60),
            hold: Duration::from_secs(1),
            pause: Duration::from_secs(15),
        }
    }
}

/// A kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Area {
    pub(super) resource: Resource,
    pub(super) place: Option<String>,
}

/// One sync's view of its objects.
pub(super) struct Mirror {
    wire: Wire,
    options: Arc<Options>,
    discovery: Arc<Discovery>,
    lens: Arc<Lens>,
    state: Mutex<State>,
    /// Counts what rang.
    bell: watch::Sender<u64>,
    /// Rings when watches need not wait any longer.
    go: Notify,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    areas: BTreeMap<Area, Watched>,
    /// Kinds that may not be listed in all namespaces at once.
    limited: BTreeSet<Resource>,
    /// What may have moved; true if only its readiness did.
    moved: BTreeMap<StepId, bool>,
    /// What is to be applied again.
    suspect: BTreeSet<StepId>,
    /// What becomes suspect bit by bit.
    backlog: BTreeSet<StepId>,
    /// Our own writes in flight.
    writing: BTreeMap<StepId, writes::Flight>,
    /// When the last of them ended.
    wrote: Option<Instant>,
    /// (group, kind) of the plan.
    planned: BTreeSet<(String, String)>,
    guards: guards::Guards,
    /// What a wait for readiness was told last.
    told: BTreeMap<StepId, Readiness>,
}

struct Watched {
    records: BTreeMap<StepId, Record>,
    /// It was listed: what is not in the records was not there.
    listed: Option<Instant>,
    /// Where to watch on from; empty: it has to be listed first.
    version: String,
    health: Health,
    /// Our own writes since the LIST.
    writes: usize,
    /// Somebody waits for what the watch will say.
    awaited: bool,
    /// LISTs under way on behalf of a look: the task need not list too.
    looks: usize,
    _task: DropGuard,
}

/// Whether the records can be relied on.
enum Health {
    /// Watched, or about to be, from the LIST on.
    Well,
    /// The server did not answer as hoped: why.
    Sick(String),
    /// Cannot be watched.
    Polled,
}

/// One sight of an object.
enum Sight {
    Present(Box<Record>),
    /// Deleted, or without our label, or missing from a LIST; and in which version of the world.
    Gone(u64),
}

impl Mirror {
    pub(super) fn new(wire: Wire, options: Arc<Options>, discovery: Arc<Discovery>, lens: Arc<Lens>) -> Arc<Self> {
        Arc::new(Self {
            wire,
            options,
            discovery,
            lens,
            state: Mutex::default(),
            bell: watch::Sender::new(0),
            go: Notify::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Ends all tasks when dropped.
    pub(super) fn end(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }

    /// Takes what rang since the last call.
    pub(super) fn rung(&self) -> Rung {
        let mut state = self.state();
        Rung {
            all: state.areas.is_empty() && state.planned.is_empty(),
            moved: std::mem::take(&mut state.moved).into_keys().collect(),
            suspect: std::mem::take(&mut state.suspect),
        }
    }

    /// Resolves once something rang that was not taken yet.
    pub(super) async fn ring(&self) {
        let mut bell = self.bell.subscribe();
        loop {
            if self.has_rung() {
                return;
            }
            if bell.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether something rang that was not taken yet.
    pub(super) fn has_rung(&self) -> bool {
        let state = self.state();
        !state.moved.is_empty() || !state.suspect.is_empty()
    }

    /// Whether a kind cannot be read as hoped at the moment.
    pub(super) fn ails(&self) -> bool {
        self.state().areas.values().any(|watched| matches!(watched.health, Health::Sick(_)))
    }

    /// Counts what rings, also what was taken meanwhile.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// A pass is about to write: which kinds are wanted.
    pub(super) fn expect(&self, plan: &Plan) {
        let parts = plan.steps.iter().filter_map(|step| step.id.object_parts());
        let mut planned = BTreeSet::new();
        for parts in parts {
            if !planned.iter().any(|(group, kind): &(String, String)| group == parts.group && kind == parts.kind) {
                planned.insert((parts.group.to_owned(), parts.kind.to_owned()));
            }
        }
        let mut state = self.state();
        state.planned = planned;
        state.wrote = Some(Instant::now());
    }

    /// The writes of a pass are over: watches need not wait any longer, and those of kinds that are neither owned nor
    /// wanted end.
    pub(super) fn retire(&self, inventory: &Inventory) {
        let mut owned: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for parts in inventory.entries.keys().filter_map(StepId::object_parts) {
            owned.entry((parts.group, parts.kind)).or_default().insert(parts.namespace.unwrap_or_default());
        }
        let mut state = self.state();
        let State { areas, planned, .. } = &mut *state;
        areas.retain(|area, _| {
            let kind = (area.resource.group.as_str(), area.resource.kind.as_str());
            let namespaces = owned.get(&kind);
            match &area.place {
                Some(place) => namespaces.is_some_and(|all| all.contains(place.as_str())),
                None => {
                    namespaces.is_some() || planned.iter().any(|(group, name)| (group.as_str(), name.as_str()) == kind)
                }
            }
        });
        for watched in areas.values_mut() {
            watched.awaited = true;
        }
        drop(state);
        self.go.notify_waiters();
    }

    /// The place in which an object of a kind is looked for.
    pub(super) fn area(&self, resource: &Resource, namespace: Option<&str>) -> Area {
        self.state().area(resource, namespace)
    }

    /// What is known of objects of a kind, and told with that; none for those that are not there.
    pub(super) fn see<'a>(
        &self,
        resource: &Resource,
        wanted: impl IntoIterator<Item = (&'a StepId, Option<&'a str>)>,
    ) -> Vec<Option<Live>> {
        let mut state = self.state();
        let mut seen = Vec::new();
        for (id, namespace) in wanted {
            let area = state.area(resource, namespace);
            seen.push(state.areas.get(&area).and_then(|watched| watched.records.get(id)).map(Record::live));
            state.moved.remove(id);
        }
        seen
    }

    /// Waits for readiness begin anew.
    pub(super) fn forget_told(&self) {
        self.state().told.clear();
    }

    /// What was told last of the readiness of these differs from what is told now.
    pub(super) fn is_news(&self, now: &[(StepId, Readiness)]) -> bool {
        let state = self.state();
        now.iter().any(|(id, readiness)| state.told.get(id) != Some(readiness))
    }

    /// Remembers what is told: a change of readiness that somebody heard of need not ring.
    pub(super) fn tell(&self, now: &[(StepId, Readiness)]) {
        let mut state = self.state();
        for (id, readiness) in now {
            if state.moved.get(id) == Some(&true) {
                state.moved.remove(id);
            }
            if state.told.get(id) != Some(readiness) {
                state.told.insert(id.clone(), readiness.clone());
            }
        }
    }

    /// Watches begin at once, and what they have shown so far is readable by [`Self::readiness`].
    pub(super) fn await_areas(self: &Arc<Self>, areas: impl IntoIterator<Item = Area>) {
        for area in areas {
            self.open(&area);
            if let Some(watched) = self.state().areas.get_mut(&area) {
                watched.awaited = true;
            }
        }
        self.go.notify_waiters();
    }

    /// Readiness of an object, or why nothing is known of it.
    pub(super) fn readiness(&self, area: &Area, id: &StepId) -> Readiness {
        let state = self.state();
        let watched = state.areas.get(area);
        match (watched, watched.and_then(|watched| watched.records.get(id))) {
            (_, Some(record)) => record.readiness(),
            (Some(Watched { health: Health::Sick(why), .. }), None) => Readiness::Progressing(why.clone()),
            (Some(Watched { listed: Some(_), .. }), None) => {
                Readiness::Progressing("it is not there, or has lost its part-of label".to_owned())
            }
            _ => Readiness::Progressing("it has not been read yet".to_owned()),
        }
    }

    /// Begins to keep an area, if that is not done yet.
    fn open(self: &Arc<Self>, area: &Area) {
        let mut state = self.state();
        if state.areas.contains_key(area) || self.stop.is_cancelled() {
            return;
        }
        let stop = self.stop.child_token();
        let watched = Watched {
            records: BTreeMap::new(),
            listed: None,
            version: String::new(),
            health: Health::Well,
            writes: 0,
            awaited: false,
            looks: 0,
            _task: stop.clone().drop_guard(),
        };
        state.areas.insert(area.clone(), watched);
        drop(state);
        tokio::spawn(keep::keep(Arc::clone(self), keep::Subject::Area(area.clone()), stop));
    }

    /// Takes in one sight of an object. Rings unless `told`: whoever looked is told by the look itself.
    fn take(&self, state: &mut State, area: &Area, id: StepId, sight: Sight, told: bool) {
        if let Some(flight) = state.writing.get_mut(&id) {
            // Whether it is our own write is known when its answer is.
            flight.hold(area, sight);
            return;
        }
        let notes = &self.options.notes;
        let Some(watched) = state.areas.get_mut(area) else { return };
        let old = watched.records.get_mut(&id);
        match (sight, old) {
            (Sight::Present(new), Some(old)) if new.version <= old.version => notes.note(Note::Own),
            (Sight::Gone(version), Some(old)) if version < old.version => notes.note(Note::Own),
            (Sight::Gone(_), None) => notes.note(Note::Ignored),
            (Sight::Gone(_), Some(old)) => {
                let rings = old.is_applied() && !told;
                watched.records.remove(&id);
                self.lens.forget(&id);
                self.came_or_went(state, id, rings);
            }
            (Sight::Present(new), None) => {
                let rings = new.is_applied() && watched.listed.is_some() && !told;
                watched.records.insert(id.clone(), *new);
                self.came_or_went(state, id, rings);
            }
            (Sight::Present(new), Some(old)) => {
                let difference = old.compare(&new);
                let rings = old.is_applied() || new.is_applied();
                *old = *new;
                if difference.is_nothing() || !rings {
                    notes.note(Note::Ignored);
                } else if difference.suspect {
                    notes.note(Note::Suspect);
                    self.rings(state, id, difference);
                } else if !told {
                    notes.note(Note::Moved);
                    self.rings(state, id, difference);
                }
            }
        }
    }

    fn came_or_went(&self, state: &mut State, id: StepId, rings: bool) {
        if rings {
            self.options.notes.note(Note::Moved);
            self.rings(state, id, record::Difference { moved: true, ..record::Difference::default() });
        } else {
            self.options.notes.note(Note::Ignored);
        }
    }

    fn rings(&self, state: &mut State, id: StepId, difference: record::Difference) {
        tracing::debug!(object = %id, ?difference, "an object moved");
        if difference.suspect {
            state.suspect.insert(id.clone());
        }
        if difference.moved {
            state.moved.insert(id, false);
        } else if difference.readiness {
            state.moved.entry(id).or_insert(true);
        }
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The id and the record of an object of a kind; `landed` if it is the answer to our own write.
    fn record(&self, resource: &Resource, object: &Value, landed: bool) -> (StepId, Record) {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name").unwrap_or_default());
        let id = StepId::object(&resource.group, &resource.kind, namespace, name);
        let mut live = self.lens.live(&id, resource, object);
        live.moved_by.take_if(|_| landed);
        (id, Record::of(live, object, &self.options.manager))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn area(&self, resource: &Resource, namespace: Option<&str>) -> Area {
        let place = namespace.filter(|_| self.limited.contains(resource)).map(str::to_owned);
        Area { resource: resource.clone(), place }
    }
}

#[cfg(test)]
mod tests;
