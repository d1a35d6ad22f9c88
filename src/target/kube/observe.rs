//! Reads the cluster as far as plan and inventory are concerned, out of the mirror: a look at everything lists each kind
//! anew, a look at some steps asks the server only where the mirror cannot be relied on.
//!
//! IO, reads only. Never concludes that something is gone from its absence in a LIST or a watch (somebody may have taken
//! our label off): what the inventory knows by uid is looked for by name first. Called through `World::observe`.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use serde_json::Value;

use super::answers::{Doing, classify};
use super::discovery::{Known, Resource};
use super::mirror::Told;
use super::wire::{JSON, METADATA};
use super::{Kube, managed};
use crate::diff::seen::other_sync;
use crate::diff::{Live, Observed, Seen, Which};
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId, Want};
use crate::sync::PART_OF;

/// Kinds, or single objects, that are read at once.
const AT_ONCE: usize = 16;

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
        let mut observed = Observed::new();
        if matches!(which, Which::Only(ids) if ids.is_empty()) {
            return observed;
        }
        self.mirror.forget_told();
        if matches!(which, Which::All) {
            self.mirror.expect(plan);
        }
        let mut kinds: BTreeMap<(String, String), Vec<Wanted<'_>>> = BTreeMap::new();
        let mut planned = BTreeSet::new();
        let (mut probes, mut asked) = (BTreeSet::new(), Vec::new());
        for step in &plan.steps {
            planned.insert(&step.id);
            let is_probe = matches!(step.want, Want::Probe { .. });
            if is_probe {
                probes.insert(&step.id);
            }
            self.lens.heed(step);
            if !which.has(&step.id) {
                continue;
            }
            if is_probe {
                asked.push(step.as_ref());
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
        let reads: Vec<_> = kinds
            .into_iter()
            .map(|((version, kind), wanted)| self.look_at_kind(version, kind, wanted, which))
            .collect();
        self.probes.keep(&probes);
        let (answers, parts) = futures::join!(
            self.probes.observe(&asked),
            stream::iter(reads).buffer_unordered(AT_ONCE).collect::<Vec<_>>(),
        );
        observed.extend(parts.into_iter().flatten());
        for (id, seen) in &mut observed {
            // Only what left the repository is asked about: what is wanted stays anyway.
            let entry = inventory.entries.get(id).filter(|entry| !planned.contains(id) && !entry.claims.is_empty());
            let (Some(entry), Seen::Present(live), Some(parts)) = (entry, &mut *seen, id.object_parts()) else {
                continue;
            };
            match self.claim_left(parts.namespace, &entry.claims).await {
                Ok(claim) => live.needed_by = claim.map(Into::into),
                Err(failure) => *seen = Seen::Unknown(failure.message),
            }
        }
        for (id, readiness) in answers {
            // There is nothing to write: what was asked is as wanted, and the answer says whether it is ready.
            observed.insert(id, Seen::Present(Live { ours: true, readiness, ..Live::default() }));
        }
        observed
    }

    async fn look_at_kind(
        &self,
        api_version: String,
        kind: String,
        wanted: Vec<Wanted<'_>>,
        which: Which<'_>,
    ) -> Vec<(StepId, Seen)> {
        let namespaces: BTreeSet<&str> = wanted.iter().filter_map(|it| it.namespace).collect();
        let ids: BTreeSet<&StepId> = wanted.iter().map(|it| it.id).collect();
        let told = if matches!(which, Which::All) { Told::All } else { Told::Only(&ids) };
        let all_are = |seen: Seen| wanted.iter().map(|it| (it.id.clone(), seen.clone())).collect();
        let mut again = false;
        let (resource, failures) = loop {
            let resource = match self.discovery.find(&api_version, &kind).await {
                Known::Served(resource) => resource,
                // A kind that the server does not know has no objects.
                Known::Missing => return all_are(Seen::Absent),
                Known::Unclear(refused) => {
                    let what = format!("whether the cluster knows kind {kind} of {api_version} cannot be told");
                    return all_are(Seen::Unknown(format!("{what}: {}", refused.message)));
                }
            };
            match self.mirror.ensure(&resource, &namespaces, told).await {
                Ok(failures) => break (resource, failures),
                // The kind, or its version, went away since the kinds were read.
                Err(failure) if failure.reason == "CrdMissing" && !again => {
                    again = true;
                    self.discovery.forget();
                }
                Err(failure) => return all_are(Seen::Unknown(failure.message)),
            }
        };
        let seen = self.mirror.see(&resource, wanted.iter().map(|it| (it.id, it.namespace)));
        let mut all = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for (it, live) in wanted.into_iter().zip(seen) {
            match (live, it.namespace.and_then(|namespace| failures.get(namespace))) {
                (_, Some(failure)) => all.push((it.id.clone(), Seen::Unknown(failure.message.clone()))),
                (Some(live), None) => all.push((it.id.clone(), Seen::Present(live))),
                // A CR of our own kinds may be there without our label, and another controller at work on it.
                (None, None) if it.expected || self.lens.is_own_kind(&resource) => {
                    missing.push(self.look_by_name(&resource, it));
                }
                (None, None) => all.push((it.id.clone(), Seen::Absent)),
            }
        }
        let mut found = stream::iter(missing).buffer_unordered(AT_ONCE);
        while let Some(seen) = found.next().await {
            all.push(seen);
        }
        all
    }

    /// Looks for what the inventory expects and the mirror lacks.
    async fn look_by_name(&self, resource: &Resource, it: Wanted<'_>) -> (StepId, Seen) {
        let accept = if self.lens.needs_whole(resource) { JSON } else { METADATA };
        let seen = match self.wire.get(&resource.object(it.namespace, it.name), accept).await {
            Ok(object) => Seen::Present(self.lens.live(it.id, resource, &super::mirror::typed(object, resource))),
            Err(refused) if refused.is_not_found() => Seen::Absent,
            Err(refused) => {
                let doing = Doing { verb: "get", resource, namespace: it.namespace, name: it.name };
                Seen::Unknown(classify(&doing, &refused).message)
            }
        };
        (it.id.clone(), seen)
    }
}

/// Who else holds an object: another sync's label, or a controller.
pub(super) fn other_owner(object: &Value, part_of: &str) -> Option<String> {
    if let Some(other) = label(object, PART_OF).filter(|other| *other != part_of) {
        return Some(other_sync(other));
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

/// An owner among an object's references that is no controller, unless the reference is our own.
pub(super) fn owner(object: &Value, manager: &str) -> Option<String> {
    let references = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let ours = managed::own(object, manager).and_then(|own| own.pointer("/f:metadata/f:ownerReferences"));
    let text = |owner: &Value, key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_ours = |owner: &&Value| {
        let key = format!("k:{{\"uid\":\"{}\"}}", text(owner, "uid"));
        ours.is_some_and(|ours| ours.get(&key).is_some())
    };
    let owner = references.iter().find(|owner| !is_ours(owner))?;
    Some(format!("{} {}", text(owner, "kind"), text(owner, "name")))
}

/// A label.
pub(super) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}
