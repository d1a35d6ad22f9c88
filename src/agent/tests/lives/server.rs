//! An API server in memory, with the faults of real ones.
//!
//! Fields are (value, manager); our managed entry is the names of our fields and when we changed them last. It watches
//! whether the agent keeps its promises: what must never happen is written down where it happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::git::Git;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Op, Seen};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Step, StepId};
use crate::target::{Class, Done, Failure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Us,
    Hand,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    uid: String,
    version: u64,
    /// Carries our label.
    labelled: bool,
    hash: Option<String>,
    pub(super) fields: BTreeMap<String, (String, Manager)>,
    /// When our entry changed last.
    applied_at: u64,
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Conflict,
    Invalid,
    Busy,
    Broken,
    Away,
    /// No answer, and nothing was done.
    LostBefore,
    /// It was done, and the answer was lost.
    LostAfter,
}

/// What people do. What does not apply does nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hand {
    /// Changes a field of ours.
    Edit(u8),
    /// Sets a field that is nobody's.
    Extra(u8),
    Delete(u8),
    /// Makes an object that is not ours.
    Make(u8),
    /// Changes one that is not ours.
    Change(u8),
}

#[derive(Default)]
pub(super) struct Inside {
    pub(super) objects: BTreeMap<StepId, Object>,
    pub(super) inventory: Option<Inventory>,
    /// What is not ours, as its owner left it.
    foreign: BTreeMap<StepId, Object>,
    born: u64,
    version: u64,
    /// What the next writes meet; none: nothing bad.
    pub(super) faults: VecDeque<Option<Fault>>,
    /// What all writes meet, and reads where that makes sense.
    pub(super) outage: Option<Fault>,
    pub(super) blind: BTreeSet<StepId>,
    pub(super) slow: BTreeMap<StepId, u8>,
    /// Done by somebody after so many more writes.
    pub(super) meanwhile: Vec<(u8, Hand)>,
    pub(super) interfered: bool,
    /// The process dies at this write from now; whether the write still happens.
    pub(super) death: Option<(u8, bool)>,
    dead: bool,
    pub(super) cancel: Option<(u8, CancellationToken)>,
    /// What was there when the pass began.
    before: BTreeSet<StepId>,
    /// The revision that the agent was shown last.
    pub(super) known: Git,
    pub(super) watched: bool,
    pub(super) cut: bool,
    seen: BTreeMap<StepId, (String, String, Option<String>)>,
    pub(super) moved: BTreeSet<StepId>,
    pub(super) writes: usize,
    pub(super) reads: usize,
    pub(super) log: Vec<String>,
    pub(super) broken_promises: Vec<String>,
}

#[derive(Default)]
pub(super) struct Server {
    inside: Mutex<Inside>,
    pub(super) bell: watch::Sender<u64>,
    pub(super) died: Notify,
}

impl Object {
    /// Our managed entry.
    fn entry(&self) -> Option<String> {
        self.hash.as_ref()?;
        let names = self.fields.iter().filter(|(_, (_, manager))| *manager == Manager::Us).map(|(name, _)| name);
        Some(format!("{:?} at {}", names.collect::<Vec<_>>(), self.applied_at))
    }

    pub(super) fn is_ours(&self) -> bool {
        self.labelled && self.entry().is_some()
    }
}

impl Inside {
    /// People do something.
    pub(super) fn act(&mut self, hand: Hand) {
        let (Hand::Edit(name) | Hand::Extra(name) | Hand::Delete(name) | Hand::Make(name) | Hand::Change(name)) = hand;
        let id = super::id_of(name);
        self.version += 1;
        let version = self.version;
        let is_foreign = self.foreign.contains_key(&id);
        match (hand, self.objects.get_mut(&id)) {
            (Hand::Edit(_), Some(object)) if !is_foreign => {
                object.fields.insert("v".to_owned(), (format!("by hand {version}"), Manager::Hand));
                object.version = version;
            }
            (Hand::Extra(_), Some(object)) => {
                object.fields.insert("extra".to_owned(), (format!("by hand {version}"), Manager::Hand));
                object.version = version;
            }
            (Hand::Delete(_), Some(_)) => _ = self.objects.remove(&id),
            // A name that was ours a moment ago is not taken in the middle of a pass: the forced apply that is under way
            // then is a race that no client of the API wins.
            (Hand::Make(_), None) if !self.before.contains(&id) => {
                self.born += 1;
                let fields = BTreeMap::from([("v".to_owned(), (format!("foreign {version}"), Manager::Hand))]);
                let uid = format!("uid-{}", self.born);
                let object = Object { uid, version, labelled: false, hash: None, fields, applied_at: 0 };
                self.objects.insert(id.clone(), object.clone());
                self.foreign.insert(id.clone(), object);
            }
            (Hand::Change(_), Some(object)) if is_foreign => {
                object.fields.insert("v".to_owned(), (format!("foreign {version}"), Manager::Hand));
                object.version = version;
            }
            _ => return,
        }
        match (is_foreign, self.objects.get(&id)) {
            (true, Some(object)) => _ = self.foreign.insert(id.clone(), object.clone()),
            (true, None) => _ = self.foreign.remove(&id),
            (false, _) => {}
        }
        self.changed(&id);
    }

    /// Everything works again.
    pub(super) fn calm(&mut self) {
        self.faults.clear();
        self.outage = None;
        self.blind.clear();
        self.slow.clear();
        self.meanwhile.clear();
        self.connect();
    }

    /// The watch is opened anew, and what it lists is compared with what was seen.
    pub(super) fn connect(&mut self) {
        self.cut = false;
        let ids: BTreeSet<StepId> = self.seen.keys().chain(self.objects.keys()).cloned().collect();
        ids.iter().for_each(|id| self.changed(id));
    }

    /// The process is gone with all that it knew.
    pub(super) fn crash(&mut self) {
        self.log.push("    (dead)".to_owned());
        (self.death, self.dead, self.watched) = (None, false, false);
        self.seen.clear();
        self.moved.clear();
    }

    pub(super) fn begin_pass(&mut self) {
        self.interfered = false;
        self.before = self.objects.keys().cloned().collect();
    }

    pub(super) fn end_pass(&mut self) {
        self.before.clear();
        (self.cancel, self.death) = (None, None);
    }

    pub(super) fn is_foreign(&self, id: &StepId) -> bool {
        self.foreign.contains_key(id)
    }

    pub(super) fn foreigners_are_as_left(&self) -> bool {
        self.foreign.iter().all(|(id, object)| self.objects.get(id) == Some(object))
    }

    /// What a watch with our label shows.
    fn shown(&self, id: &StepId) -> Option<(String, String, Option<String>)> {
        let object = self.objects.get(id).filter(|object| object.labelled)?;
        Some((object.uid.clone(), object.entry().unwrap_or_default(), object.hash.clone()))
    }

    /// An event of the watch.
    fn changed(&mut self, id: &StepId) {
        let shown = self.shown(id);
        if self.watched && !self.cut && self.seen.get(id) != shown.as_ref() {
            self.moved.insert(id.clone());
            self.look(id);
        }
    }

    /// What is seen now is not news later.
    fn look(&mut self, id: &StepId) {
        match self.shown(id) {
            Some(shown) => _ = self.seen.insert(id.clone(), shown),
            None => _ = self.seen.remove(id),
        }
    }

    pub(super) fn readiness(&mut self, id: &StepId) -> Readiness {
        match self.slow.get_mut(id) {
            Some(looks) if *looks > 0 => {
                *looks -= 1;
                Readiness::Progressing("not yet".to_owned())
            }
            _ => Readiness::Ready,
        }
    }

    pub(super) fn see(&mut self, id: &StepId) -> Seen {
        if self.blind.contains(id) || self.reads_fail() {
            return Seen::Unknown("it cannot be read at the moment".to_owned());
        }
        self.look(id);
        let readiness = self.readiness(id);
        let Some(object) = self.objects.get(id) else { return Seen::Absent };
        Seen::Present(Live {
            uid: object.uid.clone(),
            resource_version: object.version.to_string(),
            content_hash: object.hash.clone(),
            fingerprint: object.entry(),
            ours: object.is_ours(),
            readiness,
            ..Live::default()
        })
    }

    pub(super) fn reads_fail(&self) -> bool {
        matches!(self.outage, Some(Fault::Broken | Fault::Away | Fault::LostBefore | Fault::LostAfter))
    }

    pub(super) fn applied(&mut self, step: &Step, change: &Change) -> Result<Done, Failure> {
        let id = &step.id;
        let there = self.objects.get(id);
        if let Some(object) = there
            && !object.labelled
            && object.entry().is_none()
        {
            if change.op == Op::Create {
                return Err(Failure::new(Class::Stalled, "NotAdopted", "it exists and is not ours"));
            }
            self.broken_promises.push(format!("{id} is not ours, and was applied to"));
        }
        let manifest = step.want.object().unwrap().value();
        let data = manifest["data"].as_object().unwrap();
        let fields: BTreeMap<String, String> =
            data.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
        let before = there.cloned();
        let mut object = before.clone().unwrap_or_else(|| {
            self.born += 1;
            let uid = format!("uid-{}", self.born);
            Object { uid, version: 0, labelled: true, hash: None, fields: BTreeMap::new(), applied_at: 0 }
        });
        object.fields.retain(|name, (_, manager)| *manager != Manager::Us || fields.contains_key(name));
        object.fields.extend(fields.into_iter().map(|(name, value)| (name, (value, Manager::Us))));
        (object.labelled, object.hash) = (true, Some(step.hash.clone()));
        let wrote = before.as_ref() != Some(&object);
        if wrote {
            self.version += 1;
            (object.version, object.applied_at) = (self.version, self.version);
        }
        let done = Done { uid: object.uid.clone(), fingerprint: object.entry(), readiness: self.readiness(id), wrote };
        self.objects.insert(id.clone(), object);
        Ok(done)
    }

    pub(super) fn deleted(&mut self, id: &StepId, entry: &Entry) -> Result<(), Failure> {
        let Some(object) = self.objects.get(id) else { return Ok(()) };
        if !object.is_ours() {
            return Err(Failure::new(Class::Stalled, "NotOurs", "it is not ours"));
        }
        let git = &self.known;
        let why = if git.files.values().all(|file| file.objects.is_empty()) {
            Some("while the repository declares nothing")
        } else if git.declares(id, &entry.path) {
            Some("although it is declared")
        } else if git.may_have_moved(&entry.path) {
            Some("although its file is gone while another has an error")
        } else {
            None
        };
        if let Some(why) = why {
            self.broken_promises.push(format!("{id} was deleted {why}"));
        }
        self.objects.remove(id);
        Ok(())
    }
}

impl Fault {
    pub(super) fn failure(self) -> Failure {
        let (class, reason) = match self {
            Self::Conflict => (Class::Retry, "Conflict"),
            Self::Invalid => (Class::Stalled, "Invalid"),
            Self::Busy => (Class::Retry, "TooManyRequests"),
            Self::Broken => (Class::Retry, "InternalError"),
            Self::Away | Self::LostBefore | Self::LostAfter => (Class::Retry, "Unreachable"),
        };
        let mut failure = Failure::new(class, reason, format!("{self:?}"));
        failure.retry_after = (self == Self::Busy).then_some(Duration::from_millis(2));
        failure
    }
}

impl Server {
    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    pub(super) fn log(&self, line: String) {
        self.inside().log.push(line);
    }

    pub(super) async fn write<T>(
        &self,
        what: String,
        mut act: impl FnMut(&mut Inside) -> Result<T, Failure>,
        own: Option<&StepId>,
    ) -> Result<T, Failure> {
        tokio::task::yield_now().await;
        {
            let mut guard = self.inside();
            let inside = &mut *guard;
            inside.writes += 1;
            inside.meanwhile();
            if let Some((left, cancel)) = &mut inside.cancel {
                if *left == 0 {
                    cancel.cancel();
                }
                *left = left.saturating_sub(1);
            }
            match inside.death.as_mut() {
                Some((0, happens)) if !inside.dead => {
                    inside.dead = true;
                    if *happens {
                        _ = act(inside);
                        inside.log.push(format!("    {what}, and dies"));
                    } else {
                        inside.log.push(format!("    dies before: {what}"));
                    }
                }
                Some((left, _)) if !inside.dead => *left -= 1,
                _ => {}
            }
            if !inside.dead {
                let fault = inside.outage.or_else(|| inside.faults.pop_front().flatten());
                match fault {
                    None => {
                        let result = act(inside);
                        let said = result.as_ref().err().map(|failure| format!(": {}", failure.reason));
                        inside.log.push(format!("    {what}{}", said.unwrap_or_default()));
                        if let Some(id) = own {
                            inside.look(id);
                        }
                        self.bell.send_modify(|count| *count += 1);
                        return result;
                    }
                    Some(fault) => {
                        inside.log.push(format!("    {what}: {fault:?}"));
                        if fault == Fault::LostAfter {
                            _ = act(inside);
                            if let Some(id) = own {
                                inside.changed(id);
                            }
                        }
                        self.bell.send_modify(|count| *count += 1);
                        return Err(fault.failure());
                    }
                }
            }
        }
        self.died.notify_one();
        std::future::pending().await
    }
}

impl Inside {
    /// Does what somebody does at this moment.
    fn meanwhile(&mut self) {
        let mut now = Vec::new();
        self.meanwhile.retain_mut(|(left, hand)| {
            if *left == 0 {
                now.push(*hand);
                return false;
            }
            *left -= 1;
            true
        });
        for hand in now {
            self.interfered = true;
            self.log.push(format!("    meanwhile: {hand:?}"));
            self.act(hand);
        }
    }
}
