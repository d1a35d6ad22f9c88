//! LISTs: everything of an area, in pages, compared with what was known.
//!
//! IO, reads only. Called by `observe` and by the task that keeps an area.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;

use super::{Area, Health, Mirror, Sight, page};
use crate::plan::StepId;
use crate::sync::PART_OF;
use crate::target::Failure;
use crate::target::kube::answers::{Doing, classify};
use crate::target::kube::discovery::Resource;
use crate::target::kube::wire::{JSON, METADATA_LIST, Refused};

/// Objects of one LIST page.
const PAGE: usize = 500;
/// LISTs of one kind in flight at once.
const AT_ONCE: usize = 8;

/// Who is told what a LIST shows, and so need not be rung.
#[derive(Clone, Copy, Debug)]
pub(in crate::target::kube) enum Told<'a> {
    /// Nobody.
    None,
    /// Of these.
    Only(&'a BTreeSet<&'a StepId>),
    /// Of all.
    All,
}

impl Told<'_> {
    fn of(self, id: &StepId) -> bool {
        match self {
            Self::None => false,
            Self::Only(ids) => ids.contains(id),
            Self::All => true,
        }
    }
}

impl Mirror {
    /// Makes sure that a kind can be read from here: lists what was never listed, is sick or cannot be watched; all of
    /// it if `told` is of all. The failures are those of single namespaces.
    ///
    /// # Errors
    /// If the kind cannot be listed at all.
    pub(in crate::target::kube) async fn ensure(
        self: &Arc<Self>,
        resource: &Resource,
        namespaces: &BTreeSet<&str>,
        told: Told<'_>,
    ) -> Result<BTreeMap<String, Failure>, Failure> {
        let failed = |area: &Area, refused: &Refused| {
            let doing = Doing { verb: "list", resource, namespace: area.place.as_deref(), name: "" };
            classify(&doing, refused)
        };
        if !self.is_limited(resource) {
            let area = Area { resource: resource.clone(), place: None };
            self.open(&area);
            if !self.must_list(&area, told) {
                return Ok(BTreeMap::new());
            }
            match self.look(&area, told).await {
                Ok(()) => return Ok(BTreeMap::new()),
                Err(refused) if refused.code == 403 && resource.namespaced => self.limit(&area),
                Err(refused) => return Err(failed(&area, &refused)),
            }
        }
        let areas =
            namespaces.iter().map(|place| Area { resource: resource.clone(), place: Some((*place).to_owned()) });
        let lists = areas.map(|area| async move {
            self.open(&area);
            if !self.must_list(&area, told) {
                return None;
            }
            let refused = self.look(&area, told).await.err()?;
            Some((area.place.clone().unwrap_or_default(), failed(&area, &refused)))
        });
        // Collected first: the compiler cannot follow borrowed streams here.
        let lists: Vec<_> = lists.collect();
        Ok(stream::iter(lists).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await)
    }

    fn is_limited(&self, resource: &Resource) -> bool {
        self.state().limited.contains(resource)
    }

    /// The kind may only be listed namespace by namespace.
    pub(super) fn limit(&self, area: &Area) {
        let mut state = self.state();
        state.limited.insert(area.resource.clone());
        state.areas.remove(area);
    }

    fn must_list(&self, area: &Area, told: Told<'_>) -> bool {
        let state = self.state();
        let well =
            |it: &super::Watched| it.listed.is_some() && !it.version.is_empty() && matches!(it.health, Health::Well);
        matches!(told, Told::All) || !state.areas.get(area).is_some_and(well)
    }

    /// A LIST on behalf of a look, for which the area's task waits.
    async fn look(&self, area: &Area, told: Told<'_>) -> Result<(), Refused> {
        struct Look<'a>(&'a Mirror, &'a Area);
        impl Look<'_> {
            fn count(&self, change: impl Fn(usize) -> usize) {
                if let Some(watched) = self.0.state().areas.get_mut(self.1) {
                    watched.looks = change(watched.looks);
                }
                self.0.go.notify_waiters();
            }
        }
        impl Drop for Look<'_> {
            fn drop(&mut self) {
                self.count(|looks| looks.saturating_sub(1));
            }
        }
        let look = Look(self, area);
        look.count(|looks| looks + 1);
        self.list(area, told).await
    }

    /// One paged LIST of all objects with our label, compared with what was known.
    pub(super) async fn list(&self, area: &Area, told: Told<'_>) -> Result<(), Refused> {
        let accept = if self.lens.needs_whole(&area.resource) { JSON } else { METADATA_LIST };
        let mut seen = BTreeSet::new();
        let version = self
            .pages(&self.path(area), accept, &mut |item| {
                let Some(item) = item else { return seen.clear() };
                let (id, record) = self.record(&area.resource, &typed(item, &area.resource), false);
                seen.insert(id.clone());
                let told = told.of(&id);
                self.take(&mut self.state(), area, id, Sight::Present(Box::new(record)), told);
            })
            .await?;
        let at = version.parse().unwrap_or(u64::MAX);
        let mut state = self.state();
        let Some(watched) = state.areas.get_mut(area) else { return Ok(()) };
        let missing: Vec<StepId> = watched.records.keys().filter(|id| !seen.contains(*id)).cloned().collect();
        // An open watch may be behind: what it has yet to say is known by now.
        if watched.version.parse().unwrap_or(0) < at {
            watched.version = version;
        }
        watched.writes = 0;
        watched.listed = Some(Instant::now());
        for id in missing {
            let told = told.of(&id);
            self.take(&mut state, area, id, Sight::Gone(at), told);
        }
        Ok(())
    }
    /// All pages of a LIST; `each` is given every item, and nothing when the server made it start over. Returns from
    /// where to watch on.
    pub(in crate::target::kube) async fn pages(
        &self,
        path: &str,
        accept: &'static str,
        each: &mut (dyn FnMut(Option<Value>) + Send),
    ) -> Result<String, Refused> {
        let base = format!("{path}limit={PAGE}");
        let (mut next, mut restarts) = (String::new(), 0);
        loop {
            let path = if next.is_empty() { base.clone() } else { format!("{base}&continue={}", encode(&next)) };
            let bytes = match self.wire.read(&path, accept).await {
                Ok(bytes) => bytes,
                // The page token has expired: from the start.
                Err(refused) if refused.code == 410 && !next.is_empty() && restarts < 3 => {
                    (next, restarts) = (String::new(), restarts + 1);
                    each(None);
                    continue;
                }
                Err(refused) => return Err(refused),
            };
            let page = page::read(&bytes, &mut |item| each(Some(item)))?;
            next = page.next;
            if next.is_empty() {
                return Ok(page.resource_version);
            }
        }
    }

    /// Path and selector of an area, to be completed.
    pub(super) fn path(&self, area: &Area) -> String {
        format!(
            "{}?labelSelector={}%3D{}&",
            area.resource.collection(area.place.as_deref()),
            PART_OF.replace('/', "%2F"),
            self.options.part_of
        )
    }
}

/// Items of a LIST say neither their kind nor their version, and metadata-only ones say `PartialObjectMetadata`.
pub(in crate::target::kube) fn typed(mut object: Value, resource: &Resource) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), resource.api_version().into());
        map.insert("kind".to_owned(), resource.kind.as_str().into());
    }
    object
}

/// Percent-encodes a query value.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
