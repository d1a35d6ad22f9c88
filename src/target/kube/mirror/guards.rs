//! What makes objects suspect although nothing of theirs moved: their CRD, and what changes objects on their way in.
//!
//! IO, reads only. A schema that lost a field and got it back has emptied the field in every object that was written
//! meanwhile; a mutating webhook or policy may have rewritten what we applied. Neither shows in our managedFields, so the
//! objects concerned are applied again, a few at a time (an apply that changes nothing writes nothing). Only watched
//! where the rights are there. Called by `mirror`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::keep::{Subject, keep};
use super::{Mirror, Note, State};
use crate::plan::StepId;
use crate::target::kube::discovery::{Known, Resource};
use crate::target::kube::kstatus;
use crate::target::kube::wire::{METADATA_LIST, Refused};

/// So many objects become suspect at once …
const BATCH: usize = 100;
/// … and the next ones after this time.
const BREATH: Duration = Duration::from_secs(1);
/// So long after a change the first ones do: the parts of an API server take their time to heed it. Changes within it
/// count as one.
const LAG: Duration = Duration::from_secs(3);

/// What is watched beside our own objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Guard {
    resource: Resource,
    /// CRDs, not what admits objects.
    schemas: bool,
}

/// What the guards have seen.
#[derive(Default)]
pub(super) struct Guards {
    /// Admission is watched, or cannot be.
    admission: bool,
    /// CRDs are watched, or cannot be.
    schemas: bool,
    seen: BTreeMap<Guard, Seen>,
    /// The backlog is being worked off.
    at_work: bool,
}

#[derive(Default)]
struct Seen {
    listed: bool,
    version: String,
    /// uid and generation by name.
    objects: BTreeMap<String, (String, i64)>,
}

impl Guard {
    /// Path, to be completed.
    pub(super) fn path(&self) -> String {
        format!("{}?", self.resource.collection(None))
    }
}

impl Guards {
    pub(super) fn version(&self, guard: &Guard) -> String {
        self.seen.get(guard).map(|seen| seen.version.clone()).unwrap_or_default()
    }

    pub(super) fn forget_version(&mut self, guard: &Guard) {
        if let Some(seen) = self.seen.get_mut(guard) {
            seen.version.clear();
        }
    }
}

impl Mirror {
    /// Begins to guard what objects of a kind depend on, once each.
    pub(super) fn guard(self: &Arc<Self>, resource: &Resource) {
        const ADMISSION: &[(&str, &str)] = &[
            ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
            ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"),
            ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding"),
        ];
        let custom = !kstatus::is_built_in(&resource.group);
        let (admission, schemas) = {
            let mut state = self.state();
            let begun = (state.guards.admission, state.guards.schemas);
            state.guards.admission = true;
            state.guards.schemas |= custom;
            (!begun.0, custom && !begun.1)
        };
        let mut kinds = Vec::new();
        if admission {
            kinds.extend(ADMISSION.iter().map(|(version, kind)| (*version, *kind, false)));
        }
        if schemas {
            kinds.push(("apiextensions.k8s.io/v1", "CustomResourceDefinition", true));
        }
        for (version, kind, schemas) in kinds {
            let mirror = Arc::clone(self);
            let stop = self.stop.child_token();
            tokio::spawn(async move {
                let known = stop.run_until_cancelled(mirror.discovery.find(version, kind)).await;
                if let Some(Known::Served(resource)) = known {
                    let guard = Guard { resource, schemas };
                    mirror.state().guards.seen.insert(guard.clone(), Seen::default());
                    keep(mirror, Subject::Guard(guard), stop).await;
                }
            });
        }
    }

    pub(super) async fn list_guard(self: &Arc<Self>, guard: &Guard) -> Result<(), Refused> {
        let mut found = BTreeMap::new();
        let version = self
            .pages(&guard.path(), METADATA_LIST, &mut |item| match item {
                Some(item) => _ = found.insert(name(&item), identity(&item)),
                None => found.clear(),
            })
            .await?;
        let mut state = self.state();
        let Some(seen) = state.guards.seen.get_mut(guard) else { return Ok(()) };
        let (before, listed) = (std::mem::replace(&mut seen.objects, found), std::mem::replace(&mut seen.listed, true));
        seen.version = version;
        if listed {
            let now = &seen.objects;
            let mut moved: BTreeSet<String> =
                now.iter().filter(|(name, it)| before.get(*name) != Some(*it)).map(|(name, _)| name.clone()).collect();
            moved.extend(before.into_keys().filter(|name| !now.contains_key(name)));
            for name in moved {
                self.doubt(&mut state, guard, &name);
            }
        }
        Ok(())
    }

    pub(super) fn hear_guard(self: &Arc<Self>, guard: &Guard, event: &str, object: &Value) {
        let mut state = self.state();
        let Some(seen) = state.guards.seen.get_mut(guard) else { return };
        if let Some(version) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
            version.clone_into(&mut seen.version);
        }
        let (name, identity) = (name(object), identity(object));
        let moved = match event {
            "ADDED" | "MODIFIED" => seen.objects.insert(name.clone(), identity.clone()) != Some(identity),
            "DELETED" => seen.objects.remove(&name).is_some(),
            _ => false,
        };
        if moved {
            self.doubt(&mut state, guard, &name);
        }
    }

    /// Everything that depends on this becomes suspect.
    fn doubt(self: &Arc<Self>, state: &mut State, guard: &Guard, name: &str) {
        let concerned = state
            .areas
            .iter()
            .filter(|(area, _)| !guard.schemas || format!("{}.{}", area.resource.plural, area.resource.group) == name);
        let ids: Vec<StepId> = concerned
            .flat_map(|(_, watched)| watched.records.iter())
            .filter(|(_, record)| record.is_ours())
            .map(|(id, _)| id.clone())
            .collect();
        if ids.is_empty() {
            return;
        }
        tracing::info!(
            kind = guard.resource.kind,
            name,
            objects = ids.len(),
            "changed: what it concerns is applied again"
        );
        state.backlog.extend(ids);
        if !std::mem::replace(&mut state.guards.at_work, true) {
            tokio::spawn(self.stop.child_token().run_until_cancelled_owned(Arc::clone(self).work_off()));
        }
    }

    /// Makes the backlog suspect, bit by bit.
    async fn work_off(self: Arc<Self>) {
        tokio::time::sleep(LAG).await;
        loop {
            let done = {
                let mut state = self.state();
                for _ in 0..BATCH {
                    let Some(id) = state.backlog.pop_first() else { break };
                    state.suspect.insert(id);
                    self.options.notes.note(Note::Suspect);
                }
                let done = state.backlog.is_empty();
                state.guards.at_work &= !done;
                done
            };
            self.bell.send_modify(|count| *count = count.wrapping_add(1));
            if done {
                return;
            }
            tokio::time::sleep(BREATH).await;
        }
    }
}

fn name(object: &Value) -> String {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// uid and generation: a status changes neither.
fn identity(object: &Value) -> (String, i64) {
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    (uid, object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default())
}
