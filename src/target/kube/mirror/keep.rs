//! The task behind each watch: LIST where needed, WATCH with bookmarks, and what to do when either ends.
//!
//! IO, reads only. Never gives up while its target lives; every wait is bounded. A watch that breaks goes on from the
//! last version it heard of; one that is too old (410), or breaks again and again, is preceded by a LIST, which is
//! compared with what was known, so that nothing is missed. Started by [`super::Mirror::open`].

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::guards::Guard;
use super::list::{Told, typed};
use super::{Area, Health, Mirror, Note, Sight, record};
use crate::target::kube::answers::{Doing, classify};
use crate::target::kube::wire::{JSON, METADATA, Refused};

/// Longest life of one watch in seconds, by the server's clock; a watch ends after half of it to all of it.
const LIFE: u64 = 1_800;
/// A watch that lived so long is not counted among the failed ones.
const LONG: Duration = Duration::from_secs(5);
/// After so many failures in a row the world is listed anew.
const RELIST: u32 = 3;
/// So many own writes are cheaper to list than to hear of.
const MANY: usize = 200;

/// What is kept.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// Objects of ours.
    Area(Area),
    /// What makes objects of ours suspect.
    Guard(Guard),
}

/// How a watch, or the try to open it, ended.
enum End {
    /// By its time, as agreed.
    Over,
    /// Its version is too old.
    Expired,
    /// It may not, or cannot, be watched: why.
    Impossible(Refused),
    /// The server or the way to it: why.
    Broken(Refused),
}

/// One line of a watch.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Keeps a subject until stopped.
pub(super) async fn keep(mirror: Arc<Mirror>, subject: Subject, stop: CancellationToken) {
    _ = stop.run_until_cancelled(go_on(&mirror, &subject)).await;
}

async fn go_on(mirror: &Arc<Mirror>, subject: &Subject) {
    if let Subject::Area(area) = subject {
        mirror.calm(area).await;
        mirror.guard(&area.resource);
    }
    let mut failures = 0_u32;
    loop {
        let must_list = mirror.version(subject).is_empty() || failures > 0 && failures.is_multiple_of(RELIST);
        if must_list && let Err(refused) = mirror.list_subject(subject).await {
            if matches!(subject, Subject::Guard(_)) && refused.code == 403 {
                tracing::debug!(?subject, "no right to watch; only the sweep finds what it would tell");
                return;
            }
            failures = failures.saturating_add(1);
            mirror.sick(subject, "list", &refused);
            pause(mirror, failures, &refused).await;
            continue;
        }
        let began = Instant::now();
        let mut heard = false;
        let end = mirror.listen(subject, &mut heard).await;
        let lived = heard || began.elapsed() > LONG;
        if lived {
            failures = 0;
        }
        match end {
            End::Over if lived => {}
            End::Over => {
                failures = failures.saturating_add(1);
                pause(mirror, failures, &Refused::default()).await;
            }
            End::Expired => {
                mirror.options.notes.note(Note::Restart);
                mirror.forget_version(subject);
            }
            End::Impossible(refused) => {
                mirror.poll(subject, &refused).await;
                failures = 0;
            }
            End::Broken(refused) => {
                mirror.options.notes.note(Note::Restart);
                failures = failures.saturating_add(1);
                if failures > 1 {
                    mirror.sick(subject, "watch", &refused);
                }
                pause(mirror, failures, &refused).await;
            }
        }
    }
}

/// Backoff with jitter; as long as the server asks for, if that is longer.
async fn pause(mirror: &Mirror, failures: u32, refused: &Refused) {
    let pause = Duration::from_millis(50 << failures.min(12)).min(mirror.options.timing.pause);
    let pause = pause.mul_f64(0.5 + fastrand::f64());
    let asked = refused.retry_after.unwrap_or_default().min(Duration::from_secs(120));
    tokio::time::sleep(pause.max(asked)).await;
}

impl Mirror {
    /// Waits until nothing was written for a while, unless somebody waits for this very watch; then lists anew if that
    /// costs less than to hear of all our own writes.
    async fn calm(&self, area: &Area) {
        let hold = self.options.timing.hold;
        let opened = Instant::now();
        loop {
            let go = self.go.notified();
            tokio::pin!(go);
            go.as_mut().enable();
            let until = {
                let state = self.state();
                let Some(watched) = state.areas.get(area) else { break };
                if watched.awaited && watched.looks == 0 {
                    break;
                }
                let quiet = state.writing.is_empty() && watched.looks == 0;
                let busy = if quiet { state.wrote } else { Some(Instant::now()) };
                busy.map_or(opened, |wrote| wrote.max(opened)) + hold
            };
            if until <= Instant::now() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = go => {}
            }
        }
        if let Some(watched) = self.state().areas.get_mut(area)
            && watched.writes > MANY
        {
            watched.version.clear();
        }
    }

    async fn list_subject(self: &Arc<Self>, subject: &Subject) -> Result<(), Refused> {
        match subject {
            Subject::Area(area) => {
                let listed = self.list(area, Told::None).await;
                // The right to list all namespaces was taken away: the next look goes on by namespace.
                if let Err(refused) = &listed
                    && refused.code == 403
                    && area.resource.namespaced
                    && area.place.is_none()
                {
                    self.limit(area);
                }
                listed
            }
            Subject::Guard(guard) => self.list_guard(guard).await,
        }
    }

    /// One watch from its opening to its end, and whether anything was heard.
    async fn listen(self: &Arc<Self>, subject: &Subject, heard: &mut bool) -> End {
        let (path, whole) = match subject {
            Subject::Area(area) => (self.path(area), self.lens.needs_whole(&area.resource)),
            Subject::Guard(guard) => (guard.path(), false),
        };
        let life = LIFE / 2 + fastrand::u64(0..LIFE / 2);
        let version = self.version(subject);
        let path = format!("{path}watch=1&allowWatchBookmarks=true&timeoutSeconds={life}&resourceVersion={version}");
        let mut lines = match self.wire.watch(&path, if whole { JSON } else { METADATA }).await {
            Ok(lines) => lines,
            Err(refused) => {
                return match refused.code {
                    410 => End::Expired,
                    403..=405 => End::Impossible(refused),
                    _ => End::Broken(refused),
                };
            }
        };
        self.well(subject);
        loop {
            let line = match tokio::time::timeout(self.options.timing.silence, lines.next()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return End::Over,
                Ok(Err(refused)) => return End::Broken(refused),
                Err(_) => return End::Broken(Refused::unsent("the watch is silent".to_owned())),
            };
            // The last line of a connection that was cut is no event.
            let Ok(event) = serde_json::from_slice::<Event>(&line) else {
                return End::Broken(Refused::unsent("the watch ended in the middle of an event".to_owned()));
            };
            if event.kind == "ERROR" {
                let code = event.object.get("code").and_then(Value::as_u64).unwrap_or_default();
                let text = event.object.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
                return if code == 410 { End::Expired } else { End::Broken(Refused::unsent(text)) };
            }
            *heard = true;
            match subject {
                Subject::Area(area) => self.hear(area, event),
                Subject::Guard(guard) => self.hear_guard(guard, &event.kind, &event.object),
            }
        }
    }

    fn hear(&self, area: &Area, event: Event) {
        let version = record::version(&event.object);
        let sight = match event.kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let object = typed(event.object, &area.resource);
                let (id, record) = self.record(&area.resource, &object, false);
                Some((id, Sight::Present(Box::new(record))))
            }
            "DELETED" => Some((self.record(&area.resource, &event.object, false).0, Sight::Gone(version))),
            _ => None,
        };
        let mut state = self.state();
        if let Some(watched) = state.areas.get_mut(area) {
            watched.version = version.to_string();
        }
        if let Some((id, sight)) = sight {
            self.take(&mut state, area, id, sight, false);
        }
    }

    /// What cannot be watched is listed now and then; whether it can be by now is tried again after a while, and at once
    /// when a kind that was gone is back.
    async fn poll(self: &Arc<Self>, subject: &Subject, refused: &Refused) {
        if let Subject::Area(area) = subject {
            let doing = Doing { verb: "watch", resource: &area.resource, namespace: area.place.as_deref(), name: "" };
            let why = classify(&doing, refused).message;
            tracing::warn!(why, "this kind is listed now and then instead of being watched");
            if let Some(watched) = self.state().areas.get_mut(area) {
                watched.health = Health::Polled;
            }
        }
        for _ in 0..10 {
            tokio::time::sleep(self.options.timing.poll.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            match self.list_subject(subject).await {
                Ok(()) if refused.code == 404 => return,
                Ok(()) => {}
                // The kind itself may be gone: its objects are, and it may come back.
                Err(refused) if refused.code == 404 => self.lost(subject),
                Err(refused) => tracing::debug!(?subject, why = refused.message, "cannot be listed"),
            }
        }
    }

    /// The server does not know the kind any more: whoever looks next asks which kinds there are.
    fn lost(&self, subject: &Subject) {
        let Subject::Area(area) = subject else { return };
        self.discovery.forget();
        let mut state = self.state();
        let Some(watched) = state.areas.get(area) else { return };
        let all: Vec<_> = watched.records.keys().cloned().collect();
        for id in all {
            self.take(&mut state, area, id, Sight::Gone(u64::MAX), false);
        }
    }

    fn version(&self, subject: &Subject) -> String {
        let state = self.state();
        match subject {
            Subject::Area(area) => state.areas.get(area).map(|watched| watched.version.clone()).unwrap_or_default(),
            Subject::Guard(guard) => state.guards.version(guard),
        }
    }

    fn forget_version(&self, subject: &Subject) {
        let mut state = self.state();
        match subject {
            Subject::Area(area) => {
                if let Some(watched) = state.areas.get_mut(area) {
                    watched.version.clear();
                }
            }
            Subject::Guard(guard) => state.guards.forget_version(guard),
        }
    }

    fn sick(&self, subject: &Subject, verb: &'static str, refused: &Refused) {
        let Subject::Area(area) = subject else { return };
        let doing = Doing { verb, resource: &area.resource, namespace: area.place.as_deref(), name: "" };
        let why = classify(&doing, refused).message;
        tracing::debug!(why, "what the cluster holds is not up to date");
        let mut state = self.state();
        if let Some(watched) = state.areas.get_mut(area) {
            watched.health = Health::Sick(why);
        }
        drop(state);
        // Who waits for readiness is told why it waits.
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn well(&self, subject: &Subject) {
        let Subject::Area(area) = subject else { return };
        if let Some(watched) = self.state().areas.get_mut(area) {
            watched.health = Health::Well;
        }
    }
}
