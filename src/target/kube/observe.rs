//! Reads the cluster as far as plan and inventory are concerned: one paged LIST per kind, filtered by the sync's label.
//!
//! IO, reads only. Never concludes that something is gone from its absence in a LIST (somebody may have taken our
//! label off): what the inventory knows by uid is looked for by name first. Called through `World::observe`.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use serde_json::Value;

use super::answers::{Doing, classify};
use super::discovery::{Known, Resource};
use super::wire::{JSON, METADATA, METADATA_LIST, Refused};
use super::{Kube, kstatus, managed};
use crate::diff::seen::Readiness;
use crate::diff::{Live, Observed, Seen, Which};
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};
use crate::sync::{CONTENT_HASH, PART_OF};
use crate::target::Failure;

/// Objects of one LIST page.
const PAGE: usize = 500;
/// LISTs, or GETs, in flight at once.
const AT_ONCE: usize = 16;

/// Every object that carries the sync's label in one place, by (namespace, name).
type Found = BTreeMap<(String, String), Value>;

/// What is looked for of one kind.
struct Wanted<'a> {
    id: &'a StepId,
    namespace: Option<&'a str>,
    name: &'a str,
    /// The inventory has seen it and does not know it to be over.
    expected: bool,
}

impl Kube {
    pub(super) async fn look(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        self.forget_watches();
        let mut observed = Observed::new();
        let mut kinds: BTreeMap<(String, String), Vec<Wanted<'_>>> = BTreeMap::new();
        let mut planned = BTreeSet::new();
        for step in &plan.steps {
            planned.insert(&step.id);
            if !which.has(&step.id) {
                continue;
            }
            let (Some(object), Some(parts)) = (step.want.object(), step.id.object_parts()) else {
                let why = "no server is configured that it could be sent to".to_owned();
                observed.insert(step.id.clone(), Seen::Pending(why));
                continue;
            };
            let entry = inventory.entries.get(&step.id);
            let expected = entry.is_some_and(|entry| entry.uid.is_some() && entry.done.as_ref() != Some(&step.hash));
            let wanted = Wanted { id: &step.id, namespace: parts.namespace, name: parts.name, expected };
            kinds.entry((object.api_version(), parts.kind.to_owned())).or_default().push(wanted);
        }
        for (id, entry) in inventory.entries.iter().filter(|(id, _)| !planned.contains(id) && which.has(id)) {
            let Some(parts) = id.object_parts() else {
                let why = "no server is configured that it could be read from".to_owned();
                observed.insert(id.clone(), Seen::Pending(why));
                continue;
            };
            let expected = entry.uid.is_some() && entry.done.is_none();
            let wanted = Wanted { id, namespace: parts.namespace, name: parts.name, expected };
            kinds.entry((entry.api_version.clone(), parts.kind.to_owned())).or_default().push(wanted);
        }
        let reads: Vec<_> =
            kinds.into_iter().map(|((version, kind), wanted)| self.look_at_kind(version, kind, wanted)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        while let Some(part) = reads.next().await {
            observed.extend(part);
        }
        observed
    }

    async fn look_at_kind(&self, api_version: String, kind: String, wanted: Vec<Wanted<'_>>) -> Vec<(StepId, Seen)> {
        let namespaces: BTreeSet<&str> = wanted.iter().filter_map(|it| it.namespace).collect();
        let all_are = |seen: Seen| wanted.iter().map(|it| (it.id.clone(), seen.clone())).collect();
        let mut again = false;
        let (resource, listed) = loop {
            let resource = match self.discovery.find(&api_version, &kind).await {
                Known::Served(resource) => resource,
                // A kind that the server does not know has no objects.
                Known::Missing => return all_are(Seen::Absent),
                Known::Unclear(refused) => {
                    let what = format!("whether the cluster knows kind {kind} of {api_version} cannot be told");
                    return all_are(Seen::Unknown(format!("{what}: {}", refused.message)));
                }
            };
            match self.list_ours(&resource, &namespaces).await {
                Ok(listed) => break (resource, listed),
                // The kind, or its version, went away since the kinds were read.
                Err(failure) if failure.reason == "CrdMissing" && !again => {
                    again = true;
                    self.discovery.forget();
                }
                Err(failure) => return all_are(Seen::Unknown(failure.message)),
            }
        };
        let mut all = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for it in wanted {
            let key = (it.namespace.unwrap_or_default().to_owned(), it.name.to_owned());
            match listed.get(&key) {
                Some(object) => all.push((it.id.clone(), Seen::Present(self.live(it.id, &resource, object)))),
                // A CR of our own kinds may be there without our label, and another controller at work on it.
                None if it.expected || self.is_own_kind(&resource) => missing.push(self.look_by_name(&resource, it)),
                None => all.push((it.id.clone(), Seen::Absent)),
            }
        }
        let mut found = stream::iter(missing).buffer_unordered(AT_ONCE);
        while let Some(seen) = found.next().await {
            all.push(seen);
        }
        all
    }

    /// Looks for what the inventory expects and the LIST lacks.
    async fn look_by_name(&self, resource: &Resource, it: Wanted<'_>) -> (StepId, Seen) {
        let accept = if self.needs_whole(resource) { JSON } else { METADATA };
        let seen = match self.wire.get(&resource.object(it.namespace, it.name), accept).await {
            Ok(object) => Seen::Present(self.live(it.id, resource, &typed(object, resource))),
            Err(refused) if refused.is_not_found() => Seen::Absent,
            Err(refused) => {
                let doing = Doing { verb: "get", resource, namespace: it.namespace, name: it.name };
                Seen::Unknown(classify(&doing, &refused).message)
            }
        };
        (it.id.clone(), seen)
    }

    /// Every object of a kind that carries our label. With no right to list them in all namespaces, those in the
    /// namespaces given.
    async fn list_ours(&self, resource: &Resource, namespaces: &BTreeSet<&str>) -> Result<Found, Failure> {
        let refused = match self.list(resource, None).await {
            Ok((found, _)) => return Ok(found),
            Err(refused) => refused,
        };
        if refused.code != 403 || !resource.namespaced {
            let doing = Doing { verb: "list", resource, namespace: None, name: "" };
            return Err(classify(&doing, &refused));
        }
        let mut found = Found::new();
        for namespace in namespaces {
            let (objects, _) = self.list(resource, Some(namespace)).await.map_err(|refused| {
                let doing = Doing { verb: "list", resource, namespace: Some(namespace), name: "" };
                classify(&doing, &refused)
            })?;
            found.extend(objects);
        }
        Ok(found)
    }

    /// One paged LIST: the objects with our label, and the resourceVersion from which to watch on.
    pub(super) async fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<(Found, String), Refused> {
        let accept = if self.needs_whole(resource) { JSON } else { METADATA_LIST };
        let base = format!(
            "{}?labelSelector={}%3D{}&limit={PAGE}",
            resource.collection(namespace),
            PART_OF.replace('/', "%2F"),
            self.options.part_of
        );
        let (mut found, mut next, mut restarts) = (Found::new(), String::new(), 0);
        loop {
            let path = if next.is_empty() { base.clone() } else { format!("{base}&continue={}", encode(&next)) };
            let mut page = match self.wire.get(&path, accept).await {
                Ok(page) => page,
                // The page token has expired: from the start.
                Err(refused) if refused.code == 410 && !next.is_empty() && restarts < 3 => {
                    (found, next, restarts) = (Found::new(), String::new(), restarts + 1);
                    continue;
                }
                Err(refused) => return Err(refused),
            };
            // Something in between may answer in the server's place, and is not taken for an empty list.
            let items = match page.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                Some(Value::Null) => Vec::new(),
                _ => return Err(Refused::unsent("the answer is not a list of objects".to_owned())),
            };
            for item in items {
                let item = typed(item, resource);
                let key = |field| item.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
                found.insert((key("/metadata/namespace"), key("/metadata/name")), item);
            }
            let metadata = |field: &str| {
                page.get("metadata").and_then(|it| it.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            next = metadata("continue");
            if next.is_empty() {
                return Ok((found, metadata("resourceVersion")));
            }
        }
    }

    /// What is to be known of a live object.
    pub(super) fn live(&self, id: &StepId, resource: &Resource, object: &Value) -> Live {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let own = managed::own(object, &self.options.manager);
        let part_of = label(object, PART_OF);
        self.remember(id, object);
        Live {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            content_hash: object
                .pointer("/metadata/annotations")
                .and_then(|all| all.get(CONTENT_HASH))
                .and_then(Value::as_str)
                .map(str::to_owned),
            fingerprint: own.map(managed::fingerprint),
            ours: own.is_some() && part_of == Some(self.options.part_of.as_str()),
            other_owner: other_owner(object, &self.options.part_of),
            acted_on: (self.is_own_kind(resource) && !self.options.take_over)
                .then(|| managed::acting(object, &self.options.manager))
                .flatten(),
            terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
            takes_data: object
                .pointer("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted")
                .and_then(Value::as_str)
                == Some("Delete"),
            readiness: self.readiness(resource, object),
        }
    }

    /// Readiness of an object; CRs of our own kinds are ready once applied (design §4.2).
    pub(super) fn readiness(&self, resource: &Resource, object: &Value) -> Readiness {
        if self.is_own_kind(resource) {
            return Readiness::Ready;
        }
        kstatus::readiness(object)
    }

    /// Whether objects of a kind are read whole: for their readiness, or for the status that a CR has now.
    pub(super) fn needs_whole(&self, resource: &Resource) -> bool {
        kstatus::needs_whole(&resource.group, &resource.kind)
    }
}

/// Who else holds an object: another sync's label, or a controller.
pub(super) fn other_owner(object: &Value, part_of: &str) -> Option<String> {
    if let Some(other) = label(object, PART_OF).filter(|other| *other != part_of) {
        return Some(format!("the sync with part-of label {other}"));
    }
    controller(object)
}

/// The controller among an object's owner references.
pub(super) fn controller(object: &Value) -> Option<String> {
    let references = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = references.iter().find(|it| it.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |key| owner.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(format!("{} {}", text("kind"), text("name")))
}

/// A label.
pub(super) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// Items of a LIST say neither their kind nor their version, and metadata-only ones say `PartialObjectMetadata`.
fn typed(mut object: Value, resource: &Resource) -> Value {
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
