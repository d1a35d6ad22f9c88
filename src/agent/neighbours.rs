//! Which sync waits for which (`spec.dependsOn`): who is ready at what, who is held up, and whom to ring.
//!
//! Plain values behind a lock. Event-driven: whoever waits is rung in the moment in which what it waits for changes, and
//! a sync that finds a new revision rings those it depends on that follow the same source, so that nobody waits for a
//! poll. Called by `agent`'s rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::trigger::Trigger;
use crate::sync::spec::Reference;

/// Namespace and name of a sync.
pub(super) type Key = (String, String);

/// What all syncs of one agent know of one another. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    syncs: BTreeMap<Key, Standing>,
    /// Every sync that there is was named: from now on one that is not known does not exist.
    complete: bool,
}

/// How one sync stands.
#[derive(Debug, Default)]
struct Standing {
    depends_on: Vec<Key>,
    /// What it follows; none while it is held at a commit.
    follows: Option<Follows>,
    /// The revision that its newest pass is about.
    attempted: Option<String>,
    /// The revision of which it is known what the sync wants.
    planned: Option<String>,
    /// The revision at which it was ready when its last pass ended.
    ready_at: Option<String>,
    /// It waits: with which revision, for what.
    held: Option<(String, Vec<Blocker>)>,
    /// What can never come right without a person, as it last was.
    flaws: Vec<Blocker>,
    bell: Option<mpsc::Sender<Trigger>>,
}

/// A source and what is followed in it: syncs of the same are to move together.
pub(super) type Follows = (String, Option<Reference>);

/// Why a sync has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blocker {
    /// There is no such sync.
    Missing(Key),
    /// Each waits for the next, and the last for the first.
    Circle(Vec<Key>),
    /// It is not ready at its current revision and generation.
    NotReady(Key),
}

impl Neighbours {
    /// A sync starts, or starts anew with another spec: it is not ready before its next pass has ended.
    pub(super) fn join(&self, key: &Key, depends_on: Vec<Key>) {
        self.change(|syncs| {
            let bell = syncs.remove(key).and_then(|old| old.bell);
            syncs.insert(key.clone(), Standing { depends_on, bell, ..Standing::default() });
        });
    }

    /// Where a sync is rung.
    pub(super) fn hang(&self, key: &Key, bell: mpsc::Sender<Trigger>) {
        self.change(|syncs| {
            if let Some(sync) = syncs.get_mut(key) {
                sync.bell = Some(bell);
            }
        });
    }

    /// A sync is gone.
    pub(super) fn leave(&self, key: &Key) {
        self.change(|syncs| _ = syncs.remove(key));
    }

    /// Every sync that there is has joined.
    pub(super) fn complete(&self) {
        self.all().complete = true;
        self.change(|_| {});
    }

    /// A pass of a sync is about this revision.
    pub(super) fn attempts(&self, key: &Key, revision: &str, follows: Option<Follows>) {
        self.change(|syncs| {
            if let Some(sync) = syncs.get_mut(key) {
                sync.follows = follows;
                if sync.attempted.as_deref() != Some(revision) {
                    sync.attempted = Some(revision.to_owned());
                }
            }
        });
    }

    /// What a sync wants of this revision is known to all.
    pub(super) fn planned(&self, key: &Key, revision: &str) {
        if let Some(sync) = self.all().syncs.get_mut(key) {
            sync.planned = Some(revision.to_owned());
        }
    }

    /// Whether a sync that follows the same has not said yet what it wants of this revision: what one of them gives up
    /// may be what another one is about to take. Those that are behind are rung.
    pub(super) fn are_behind(&self, key: &Key, revision: &str) -> bool {
        let all = self.all();
        let Some(sync) = all.syncs.get(key) else { return false };
        let others = all.syncs.iter().filter(|(other, _)| *other != key).map(|(_, other)| other);
        let behind: Vec<&Standing> =
            others.filter(|other| sync.together(other) && other.planned.as_deref() != Some(revision)).collect();
        for other in behind.iter().filter(|other| other.attempted.as_deref() != Some(revision)) {
            if let Some(bell) = &other.bell {
                // A full bell is a rung bell.
                _ = bell.try_send(Trigger::Files);
            }
        }
        !behind.is_empty()
    }

    /// A pass of a sync has ended; `ready_at` is its revision if everything is ready.
    pub(super) fn ended(&self, key: &Key, ready_at: Option<&str>) {
        self.change(|syncs| {
            if let Some(sync) = syncs.get_mut(key) {
                sync.ready_at = ready_at.map(str::to_owned);
            }
        });
    }

    /// What keeps a sync from writing this revision; nothing if it may. If there is anything, it is rung when that
    /// changes; and what it waits for is rung if it has not seen the revision yet.
    pub(super) fn hold(&self, key: &Key, revision: &str) -> Vec<Blocker> {
        let mut all = self.all();
        let blockers = all.blockers(key, revision);
        let mut late = Vec::new();
        if let Some(sync) = all.syncs.get(key) {
            for blocker in &blockers {
                let Blocker::NotReady(name) = blocker else { continue };
                let Some(other) = all.syncs.get(name) else { continue };
                if sync.together(other) && other.attempted.as_deref() != Some(revision) {
                    late.extend(other.bell.clone());
                }
            }
        }
        if let Some(sync) = all.syncs.get_mut(key) {
            sync.held = (!blockers.is_empty()).then(|| (revision.to_owned(), blockers.clone()));
        }
        drop(all);
        for bell in late {
            // A full bell is a rung bell.
            _ = bell.try_send(Trigger::Files);
        }
        blockers
    }

    /// A sync has nothing to write, and so waits for nobody.
    pub(super) fn free(&self, key: &Key) {
        if let Some(sync) = self.all().syncs.get_mut(key) {
            sync.held = None;
        }
    }

    /// A circle among these syncs, or one that names a sync that is not among them; none if all is well.
    pub(super) fn flaw(&self) -> Option<(Key, Blocker)> {
        let all = self.all();
        all.syncs.keys().find_map(|key| {
            let found = all.blockers(key, "");
            let flaw = found.into_iter().find(Blocker::is_flaw)?;
            Some((key.clone(), flaw))
        })
    }

    /// Syncs that these depend on, directly or not, before those that depend on them; else in the order given.
    pub(super) fn in_order(&self, keys: &[Key]) -> Vec<Key> {
        fn visit(all: &All, key: &Key, done: &mut Vec<Key>, seen: &mut BTreeSet<Key>) {
            if !seen.insert(key.clone()) {
                return;
            }
            for need in all.syncs.get(key).into_iter().flat_map(|sync| &sync.depends_on) {
                visit(all, need, done, seen);
            }
            done.push(key.clone());
        }
        let all = self.all();
        let (mut done, mut seen) = (Vec::new(), BTreeSet::new());
        for key in keys {
            visit(&all, key, &mut done, &mut seen);
        }
        done.retain(|key| keys.contains(key));
        done
    }

    /// Changes something, then rings who waits and now waits for something else or for nothing.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<Key, Standing>)) {
        let mut all = self.all();
        change(&mut all.syncs);
        let dependent: Vec<Key> =
            all.syncs.iter().filter(|(_, sync)| !sync.depends_on.is_empty()).map(|(key, _)| key.clone()).collect();
        let mut ring = Vec::new();
        for key in dependent {
            let revision = all.syncs.get(&key).and_then(|sync| Some(sync.held.as_ref()?.0.clone()));
            let now = all.blockers(&key, revision.as_deref().unwrap_or_default());
            let Some(sync) = all.syncs.get_mut(&key) else { continue };
            let flaws: Vec<Blocker> = now.iter().filter(|blocker| blocker.is_flaw()).cloned().collect();
            let other = std::mem::replace(&mut sync.flaws, flaws.clone()) != flaws;
            if other || sync.held.as_ref().is_some_and(|(_, before)| *before != now) {
                sync.held = revision.map(|revision| (revision, now)).filter(|(_, now)| !now.is_empty());
                ring.extend(sync.bell.clone());
            }
        }
        drop(all);
        for bell in ring {
            _ = bell.try_send(Trigger::Neighbour);
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn blockers(&self, key: &Key, revision: &str) -> Vec<Blocker> {
        let Some(sync) = self.syncs.get(key) else { return Vec::new() };
        if let Some(circle) = self.circle(key) {
            return vec![Blocker::Circle(circle)];
        }
        let blocker = |name: &Key| match self.syncs.get(name) {
            None if self.complete => Some(Blocker::Missing(name.clone())),
            None => Some(Blocker::NotReady(name.clone())),
            Some(other) => {
                let ready = other.ready_at.is_some() && other.ready_at == other.attempted;
                let with_us = !sync.together(other) || other.ready_at.as_deref() == Some(revision);
                (!ready || !with_us).then(|| Blocker::NotReady(name.clone()))
            }
        };
        sync.depends_on.iter().filter_map(blocker).collect()
    }

    /// The circle that a sync is on.
    fn circle(&self, key: &Key) -> Option<Vec<Key>> {
        let mut path = vec![key.clone()];
        let mut seen = BTreeSet::new();
        self.walk(key, key, &mut path, &mut seen).then_some(path)
    }

    fn walk(&self, from: &Key, to: &Key, path: &mut Vec<Key>, seen: &mut BTreeSet<Key>) -> bool {
        for next in self.syncs.get(from).into_iter().flat_map(|sync| &sync.depends_on) {
            if next == to {
                return true;
            }
            if seen.insert(next.clone()) {
                path.push(next.clone());
                if self.walk(next, to, path, seen) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }
}

impl Standing {
    /// Whether both follow the same: then a revision of one is a revision of the other.
    fn together(&self, other: &Self) -> bool {
        self.follows.is_some() && self.follows == other.follows
    }
}

impl Blocker {
    /// Whether it takes a person.
    pub(super) fn is_flaw(&self) -> bool {
        !matches!(self, Self::NotReady(_))
    }
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |(namespace, name): &Key| format!("{namespace}/{name}");
        match self {
            Self::Missing(key) => {
                write!(f, "sync {} does not exist; make it, or take it out of spec.dependsOn", name(key))
            }
            Self::Circle(keys) => {
                let around = keys.iter().chain(keys.first()).map(name).collect::<Vec<_>>().join(", which waits for ");
                write!(f, "spec.dependsOn goes in a circle: {around}; take one of them out")
            }
            Self::NotReady(key) => write!(f, "sync {} is not ready yet", name(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("team".to_owned(), name.to_owned())
    }

    fn syncs(all: &[(&str, &[&str])]) -> Neighbours {
        let neighbours = Neighbours::default();
        for (name, needs) in all {
            neighbours.join(&key(name), needs.iter().map(|need| key(need)).collect());
        }
        neighbours.complete();
        neighbours
    }

    fn bell(neighbours: &Neighbours, name: &str) -> mpsc::Receiver<Trigger> {
        let (bell, rung) = mpsc::channel(4);
        neighbours.hang(&key(name), bell);
        rung
    }

    fn passes(neighbours: &Neighbours, name: &str, revision: &str) {
        neighbours.attempts(&key(name), revision, None);
        neighbours.ended(&key(name), Some(revision));
    }

    #[test]
    fn who_waits_is_rung_in_the_moment_in_which_the_other_is_ready_and_never_otherwise() {
        let neighbours = syncs(&[("infra", &[]), ("apps", &["infra"])]);
        let mut rung = bell(&neighbours, "apps");
        assert_eq!(neighbours.hold(&key("apps"), "1"), [Blocker::NotReady(key("infra"))]);
        neighbours.attempts(&key("infra"), "7", None);
        neighbours.ended(&key("infra"), None);
        assert!(rung.try_recv().is_err(), "nothing has changed for it");
        neighbours.ended(&key("infra"), Some("7"));
        assert_eq!(rung.try_recv(), Ok(Trigger::Neighbour));
        assert_eq!(neighbours.hold(&key("apps"), "1"), []);
        passes(&neighbours, "infra", "8");
        assert!(rung.try_recv().is_err(), "who does not wait is left alone");
    }

    #[test]
    fn a_sync_that_starts_anew_or_has_a_newer_revision_is_not_ready() {
        let neighbours = syncs(&[("infra", &[]), ("apps", &["infra"])]);
        passes(&neighbours, "infra", "1");
        assert_eq!(neighbours.hold(&key("apps"), "x"), []);
        neighbours.attempts(&key("infra"), "2", None);
        assert_eq!(neighbours.hold(&key("apps"), "x").len(), 1, "it works on a newer revision");
        neighbours.ended(&key("infra"), Some("2"));
        assert_eq!(neighbours.hold(&key("apps"), "x"), []);
        neighbours.join(&key("infra"), Vec::new());
        assert_eq!(neighbours.hold(&key("apps"), "x").len(), 1, "it has another spec");
    }

    #[test]
    fn syncs_of_one_source_move_together_and_the_late_one_is_rung() {
        let neighbours = syncs(&[("infra", &[]), ("apps", &["infra"])]);
        let follows = || Some(("https://git.example/x".to_owned(), None));
        let (mut early, mut late) = (bell(&neighbours, "apps"), bell(&neighbours, "infra"));
        neighbours.attempts(&key("infra"), "1", follows());
        neighbours.ended(&key("infra"), Some("1"));
        neighbours.attempts(&key("apps"), "2", follows());
        assert_eq!(neighbours.hold(&key("apps"), "2"), [Blocker::NotReady(key("infra"))]);
        assert_eq!(late.try_recv(), Ok(Trigger::Files));
        neighbours.attempts(&key("infra"), "2", follows());
        neighbours.ended(&key("infra"), Some("2"));
        assert_eq!(early.try_recv(), Ok(Trigger::Neighbour));
    }

    #[test]
    fn a_missing_one_and_a_circle_are_named_whole_and_come_right_without_a_poll() {
        let neighbours = syncs(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["gone"]), ("e", &["a"])]);
        let mut rung = bell(&neighbours, "d");
        let circle = neighbours.hold(&key("a"), "1");
        let text = circle[0].to_string();
        for name in ["team/a", "team/b", "team/c"] {
            assert!(text.contains(name), "{text}");
        }
        assert_eq!(neighbours.hold(&key("e"), "1"), [Blocker::NotReady(key("a"))], "not on the circle itself");
        assert_eq!(neighbours.hold(&key("d"), "1"), [Blocker::Missing(key("gone"))]);
        assert!(matches!(neighbours.flaw(), Some((_, Blocker::Circle(_)))));
        neighbours.join(&key("gone"), Vec::new());
        assert_eq!(rung.try_recv(), Ok(Trigger::Neighbour), "its message is another now");

        // One with nothing to write waits for nobody, and is told of a flaw all the same.
        neighbours.free(&key("d"));
        neighbours.ended(&key("gone"), None);
        assert!(rung.try_recv().is_err());
        neighbours.leave(&key("gone"));
        assert_eq!(rung.try_recv(), Ok(Trigger::Neighbour));
    }

    #[test]
    fn one_after_the_other_in_the_order_of_need() {
        let neighbours = syncs(&[("a", &["c"]), ("b", &[]), ("c", &["b"])]);
        let keys = [key("a"), key("b"), key("c")];
        assert_eq!(neighbours.in_order(&keys), [key("b"), key("c"), key("a")]);
        assert_eq!(neighbours.flaw(), None);
    }
}
