//! Waits for readiness: one watch per kind of the steps that wait, filtered by the sync's label.
//!
//! IO, reads only. Level-based: what is told is always the state as last seen, never a change; a watch only says when
//! to look. May be dropped at any time. Called through `World::settle`; the state is dropped at every `observe`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::WatchEvent;
use serde_json::Value;

use super::Kube;
use super::answers::{Doing, classify};
use super::discovery::{Known, Resource};
use super::wire::{JSON, Refused};
use crate::diff::seen::Readiness;
use crate::plan::{Step, StepId};
use crate::sync::PART_OF;

/// After this time everything is listed again, whatever the watches say.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// After a first change, for more of the same burst.
const BURST: Duration = Duration::from_millis(30);

/// A kind, in one namespace or in all.
type Area = (Resource, Option<String>);
/// (namespace, name).
type Key = (String, String);

/// What the watches have shown since the last observe.
#[derive(Default)]
pub(super) struct Watches {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    areas: BTreeMap<Area, Watched>,
    /// Kinds that may not be listed in all namespaces at once.
    limited: BTreeSet<Resource>,
    /// What the caller was told last.
    told: BTreeMap<StepId, Readiness>,
}

struct Watched {
    /// Where to watch on from.
    version: String,
    objects: BTreeMap<Key, (u64, Readiness)>,
}

/// A step as it is waited for.
struct Waited<'a> {
    id: &'a StepId,
    resource: Resource,
    key: Key,
}

impl Kube {
    /// Everything is seen anew by the next wait.
    pub(super) fn forget_watches(&self) {
        let mut state = self.watch_state();
        state.areas.clear();
        state.told.clear();
    }

    /// An apply's answer is newer than what the watch has shown so far.
    pub(super) fn applied(&self, resource: &Resource, namespace: Option<&str>, name: &str, object: &Value) {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        let readiness = self.readiness(resource, object);
        let mut state = self.watch_state();
        for ((of, place), watched) in &mut state.areas {
            if of == resource && place.as_deref().is_none_or(|place| Some(place) == namespace) {
                watched.see(key.clone(), object, readiness.clone());
            }
        }
    }

    pub(super) async fn watch(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        let mut told = Vec::with_capacity(steps.len());
        let mut waited = Vec::new();
        for step in steps {
            match self.waited(step).await {
                Ok(Some(it)) => waited.push(it),
                Ok(None) => told.push((step.id.clone(), Readiness::Ready)),
                Err(why) => told.push((step.id.clone(), Readiness::Progressing(why))),
            }
        }
        let failed = self.ensure_listed(&waited).await;
        let mut now = self.read(&waited, &failed);
        if waited.is_empty() || self.is_news(&now) {
            told.append(&mut now);
            return self.tell(told);
        }
        let areas = self.areas(&waited);
        let versions: Vec<(Area, String)> = {
            let state = self.watch_state();
            areas.iter().filter_map(|area| Some((area.clone(), state.areas.get(area)?.version.clone()))).collect()
        };
        let watches = versions.into_iter().map(|(area, version)| Box::pin(self.events(area, version)));
        let mut events = stream::select_all(watches);
        let until = tokio::time::Instant::now() + LOOK_AGAIN;
        let mut deadline = until;
        loop {
            match tokio::time::timeout_at(deadline, events.next()).await {
                // Some watch ended or nothing more came in time.
                Ok(None) => tokio::time::sleep_until(deadline).await,
                Ok(Some(())) => {
                    if deadline == until && self.is_news(&self.read(&waited, &failed)) {
                        deadline = (tokio::time::Instant::now() + BURST).min(until);
                    }
                    continue;
                }
                Err(_) => {}
            }
            break;
        }
        drop(events);
        if deadline == until {
            // Nothing was heard: look, in case a watch was deaf.
            self.drop_areas(&areas);
            let failed = self.ensure_listed(&waited).await;
            now = self.read(&waited, &failed);
        } else {
            now = self.read(&waited, &failed);
        }
        told.append(&mut now);
        self.tell(told)
    }

    /// What has to be watched for a step; none if it is ready by being there.
    async fn waited<'a>(&self, step: &'a Step) -> Result<Option<Waited<'a>>, String> {
        let (Some(object), Some(parts)) = (step.want.object(), step.id.object_parts()) else {
            return Ok(None);
        };
        let api_version = object.api_version();
        let resource = match self.discovery.find(&api_version, parts.kind).await {
            Known::Served(resource) => resource,
            Known::Missing => return Err(format!("the cluster does not know kind {} of {api_version}", parts.kind)),
            Known::Unclear(refused) => return Err(refused.message),
        };
        if self.is_own_kind(&resource) || !self.needs_whole(&resource) {
            return Ok(None);
        }
        let key = (parts.namespace.unwrap_or_default().to_owned(), parts.name.to_owned());
        Ok(Some(Waited { id: &step.id, resource, key }))
    }

    fn areas(&self, waited: &[Waited<'_>]) -> Vec<Area> {
        let state = self.watch_state();
        let areas: BTreeSet<Area> = waited.iter().map(|it| state.area(it)).collect();
        areas.into_iter().collect()
    }

    /// Lists what was not listed since the last observe. Returns why, for the areas that cannot be read.
    async fn ensure_listed(&self, waited: &[Waited<'_>]) -> BTreeMap<Area, String> {
        let mut failed = BTreeMap::new();
        let mut open: Vec<Area> = self.areas(waited);
        while let Some(area) = open.pop() {
            if self.watch_state().areas.contains_key(&area) {
                continue;
            }
            let (resource, place) = &area;
            match self.list(resource, place.as_deref()).await {
                Ok((found, version)) => {
                    let mut watched = Watched { version, objects: BTreeMap::new() };
                    for (key, object) in found {
                        watched.see(key, &object, self.readiness(resource, &object));
                    }
                    self.watch_state().areas.insert(area, watched);
                }
                Err(refused) if refused.code == 403 && resource.namespaced && place.is_none() => {
                    self.watch_state().limited.insert(resource.clone());
                    open.extend(self.areas(waited).into_iter().filter(|(of, _)| of == resource));
                }
                Err(refused) => {
                    let doing = Doing { verb: "list", resource, namespace: place.as_deref(), name: "" };
                    failed.insert(area.clone(), classify(&doing, &refused).message);
                }
            }
        }
        failed
    }

    fn read(&self, waited: &[Waited<'_>], failed: &BTreeMap<Area, String>) -> Vec<(StepId, Readiness)> {
        let state = self.watch_state();
        waited
            .iter()
            .map(|it| {
                let area = state.area(it);
                let seen = state.areas.get(&area).and_then(|watched| watched.objects.get(&it.key));
                let readiness = match (seen, failed.get(&area)) {
                    (Some((_, readiness)), _) => readiness.clone(),
                    (None, Some(why)) => Readiness::Progressing(why.clone()),
                    (None, None) => Readiness::Progressing("it is not there, or has lost its part-of label".to_owned()),
                };
                (it.id.clone(), readiness)
            })
            .collect()
    }

    fn is_news(&self, now: &[(StepId, Readiness)]) -> bool {
        let state = self.watch_state();
        now.iter().any(|(id, readiness)| state.told.get(id) != Some(readiness))
    }

    fn tell(&self, now: Vec<(StepId, Readiness)>) -> Vec<(StepId, Readiness)> {
        self.watch_state().told.extend(now.iter().cloned());
        now
    }

    /// Items say that something was seen; what, stands in the state.
    fn events(&self, area: Area, version: String) -> impl futures::Stream<Item = ()> + Send + '_ {
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&timeoutSeconds=30&labelSelector={}%3D{}&resourceVersion={version}",
            area.0.collection(area.1.as_deref()),
            PART_OF.replace('/', "%2F"),
            self.options.part_of
        );
        let open = async move {
            let request = http::Request::get(path)
                .header(http::header::ACCEPT, JSON)
                .body(Vec::new())
                .map_err(|error| Refused::unsent(error.to_string()))?;
            let events = self.wire.client().request_events::<Value>(request).await;
            let events = events.map_err(|error| Refused::unsent(error.to_string()))?;
            Ok::<_, Refused>(events.map(|event| event.map_err(|error| Refused::unsent(error.to_string()))))
        };
        stream::once(open).try_flatten().filter_map(move |event: Result<WatchEvent<Value>, Refused>| {
            let seen = event.is_ok_and(|event| self.hear(&area, event));
            std::future::ready(seen.then_some(()))
        })
    }

    /// Takes an event into the state; true if it is about an object.
    fn hear(&self, area: &Area, event: WatchEvent<Value>) -> bool {
        let mut state = self.watch_state();
        let Some(watched) = state.areas.get_mut(area) else { return false };
        let (object, gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                watched.version = bookmark.metadata.resource_version;
                return false;
            }
            WatchEvent::Error(_) => {
                // Most often the version is too old: listed again by the next wait.
                state.areas.remove(area);
                return false;
            }
        };
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = (text("/metadata/namespace"), text("/metadata/name"));
        watched.version = text("/metadata/resourceVersion");
        if gone {
            watched.objects.remove(&key);
        } else {
            watched.see(key, &object, self.readiness(&area.0, &object));
        }
        true
    }

    fn drop_areas(&self, areas: &[Area]) {
        let mut state = self.watch_state();
        for area in areas {
            state.areas.remove(area);
        }
    }

    fn watch_state(&self) -> MutexGuard<'_, State> {
        self.watches.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn area(&self, it: &Waited<'_>) -> Area {
        let place = self.limited.contains(&it.resource).then(|| it.key.0.clone());
        (it.resource.clone(), place)
    }
}

impl Watched {
    /// Takes what was seen, unless something newer was seen before (an apply's answer may overtake its event).
    fn see(&mut self, key: Key, object: &Value, readiness: Readiness) {
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.and_then(|version| version.parse().ok()).unwrap_or(0);
        if self.objects.get(&key).is_none_or(|(known, _)| version >= *known) {
            self.objects.insert(key, (version, readiness));
        }
    }
}
