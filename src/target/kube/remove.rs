//! Deletes one object, on proofs that are taken again on the live object just before (design §4.5).
//!
//! IO. An object without our part-of label *and* our Apply entry is never deleted, nor one that a controller holds; the
//! DELETE carries the live uid and resourceVersion, so that it can hit nothing else. Called through `World::delete` and
//! by `apply` to recreate.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::adopt::terminating;
use super::answers::{Doing, classify};
use super::apply::delete_options;
use super::discovery::{Known, Resource};
use super::observe::{controller, label, owner};
use super::wire::METADATA;
use super::{Kube, managed};
use crate::diff::Live;
use crate::inventory::Entry;
use crate::plan::StepId;
use crate::sync::PART_OF;
use crate::target::{Class, Failure};

/// What has to be proved of the live object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Our label and our Apply entry: it is deleted for good.
    LabelAndEntry,
    /// Our label: it is wanted, and created again at once.
    Label,
}

/// Kinds with dependants that have to be gone before their owner is.
const WITH_CHILDREN: &[(&str, &str)] = &[
    ("", "ReplicationController"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
];

impl Kube {
    pub(super) async fn remove(&self, id: &StepId, entry: &Entry, _live: &Live) -> Result<(), Failure> {
        let Some(parts) = id.object_parts() else {
            return Err(Failure::new(
                Class::Bug,
                "NotAnObject",
                format!("deleting {id}: it is not a Kubernetes object"),
            ));
        };
        match self.discovery.find(&entry.api_version, parts.kind).await {
            Known::Served(resource) => {
                let _writing = self.mirror.writing(id);
                self.remove_live(&resource, parts.namespace, parts.name, Proof::LabelAndEntry).await?;
                self.mirror.gone(&resource, parts.namespace, id);
                Ok(())
            }
            // Its CRD is gone, and the object with it.
            Known::Missing => Ok(()),
            Known::Unclear(refused) => {
                Err(Failure::new(Class::Retry, "Unreachable", format!("deleting {id}: {}", refused.message)))
            }
        }
    }

    /// Deletes an object and waits until a GET says that it is gone, or another has its name.
    pub(super) async fn remove_live(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        proof: Proof,
    ) -> Result<(), Failure> {
        let doing = Doing { verb: "delete", resource, namespace, name };
        let path = resource.object(namespace, name);
        let foreground = WITH_CHILDREN.contains(&(resource.group.as_str(), resource.kind.as_str()));
        for _ in 0..3 {
            let live = match self.wire.get(&path, METADATA).await {
                Ok(live) => live,
                Err(refused) if refused.is_not_found() => return Ok(()),
                Err(refused) => return Err(classify(&Doing { verb: "get", ..doing }, &refused)),
            };
            self.prove(&doing, &live, proof)?;
            let uid = live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
            if live.pointer("/metadata/deletionTimestamp").is_some() {
                return self.wait_gone(&doing, &path, uid).await;
            }
            match self.wire.delete(&path, &delete_options(&live, foreground)).await {
                Ok(_) => return self.wait_gone(&doing, &path, uid).await,
                Err(refused) if refused.is_not_found() => return Ok(()),
                // Somebody wrote between our read and our delete: the proofs are taken again.
                Err(refused) if refused.code == 409 => {}
                Err(refused) => return Err(classify(&doing, &refused)),
            }
        }
        Err(Failure::new(Class::Retry, "Conflict", format!("{doing}: it changes faster than it can be deleted")))
    }

    fn prove(&self, doing: &Doing<'_>, live: &Value, proof: Proof) -> Result<(), Failure> {
        if let Some(controller) = controller(live) {
            let message =
                format!("{doing}: refused, since {controller} owns it now; only the inventory lists it as ours");
            return Err(Failure::new(Class::Stalled, "ForeignOwner", message));
        }
        if let Some(owner) = owner(live, &self.options.manager).filter(|_| proof == Proof::LabelAndEntry) {
            let message = format!(
                "{doing}: refused, since an owner reference ties it to {owner}; remove that reference, or \
                                   delete it by hand"
            );
            return Err(Failure::new(Class::Stalled, "ForeignOwner", message));
        }
        let labelled = label(live, PART_OF) == Some(self.options.part_of.as_str());
        let applied = proof == Proof::Label || managed::own(live, &self.options.manager).is_some();
        if labelled && applied {
            return Ok(());
        }
        let missing = match (labelled, applied) {
            (false, _) => match label(live, PART_OF) {
                Some(other) => format!("its part-of label is {other}"),
                None => "our part-of label is not on it any more".to_owned(),
            },
            _ => format!("field manager {} never applied it", self.options.manager),
        };
        let message = format!("{doing}: refused, since {missing}; delete it by hand if it is to go");
        Err(Failure::new(Class::Stalled, "NotOurs", message))
    }

    async fn wait_gone(&self, doing: &Doing<'_>, path: &str, uid: &str) -> Result<(), Failure> {
        let until = Instant::now() + self.options.delete_wait;
        let mut pause = Duration::from_millis(20);
        loop {
            let live = match self.wire.get(path, METADATA).await {
                Ok(live) => live,
                Err(refused) if refused.is_not_found() => return Ok(()),
                Err(refused) => return Err(classify(&Doing { verb: "get", ..*doing }, &refused)),
            };
            if live.pointer("/metadata/uid").and_then(Value::as_str) != Some(uid) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(terminating(doing, &live));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}
