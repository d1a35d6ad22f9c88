//! What is tried when the API server refuses an update as invalid: apply merges with what others set and with defaults,
//! so that the manifest may be valid all the same.
//!
//! IO. Each way is tried at most once. Called by `apply` alone.

use serde_json::Value;

use super::adopt::terminating;
use super::answers::classify;
use super::apply::{Work, is_precious};
use super::managed::{self, Paths};
use super::wire::{APPLY, Refused};
use super::{Kube, leftovers};
use crate::target::{Class, Failure};

impl Kube {
    /// Tries, in this order, to empty maps beforehand, with other people's fields taken over, and with defaulted fields taken over; then finds out whether the refusal is about immutability.
    pub(super) async fn work_around(&self, work: &Work<'_>, mut refused: Refused) -> Result<Value, Failure> {
        let live = self.read_whole(&work.resource, work.namespace, work.name).await?;
        if live.pointer("/metadata/deletionTimestamp").is_some() {
            return Err(terminating(&work.doing(), &live));
        }
        let emptied = leftovers::emptied(&work.body, &refused.details.causes);
        if self.patch_tested(&work.resource, &live, |live| leftovers::emptying(live, &work.body, &emptied)).await? {
            match self.send(work, &work.body).await {
                Ok(got) => return Ok(got),
                Err(again) if again.code == 422 => refused = again,
                Err(other) => return Err(self.give_up(work, &other)),
            }
        }
        let causes: Vec<(Vec<String>, bool)> =
            refused.details.causes.iter().map(|cause| managed::field_path(&cause.field)).collect();
        let concerned = |path: &[String]| causes.iter().any(|(prefix, _)| prefix.len() > 1 && path.starts_with(prefix));
        let choose = |manager: &str, path: &[String]| managed::by_hand(manager) || concerned(path);
        if self.take(&work.resource, &live, &work.api_version(), choose, &Paths::new()).await? {
            match self.send(work, &work.body).await {
                Ok(got) => return Ok(got),
                Err(again) if again.code == 422 => refused = again,
                Err(other) => return Err(self.give_up(work, &other)),
            }
        }
        // A default that belongs to nobody and contradicts what is wanted now (rollingUpdate beside type Recreate).
        let defaulted: Paths = refused
            .details
            .causes
            .iter()
            .filter(|cause| cause.reason == "FieldValueForbidden")
            .filter(|cause| work.body.pointer(&pointer(&cause.field)).is_none())
            .filter_map(|cause| managed::locate(&live, &cause.field))
            .collect();
        if !defaulted.is_empty() {
            let live = self.read_whole(&work.resource, work.namespace, work.name).await?;
            if self.take(&work.resource, &live, &work.api_version(), |_, _| false, &defaulted).await? {
                match self.send(work, &work.body).await {
                    Ok(got) => return Ok(got),
                    Err(again) if again.code == 422 => refused = again,
                    Err(other) => return Err(self.give_up(work, &other)),
                }
            }
        }
        if !self.is_transition_rule(work).await {
            return Err(self.give_up(work, &refused));
        }
        if self.may_recreate(work) {
            return self.recreate(work).await;
        }
        let said = classify(&work.doing(), &refused).message;
        let how = if is_precious(&work.resource) {
            "move to a new name, or, if what it holds may be lost, put windlass.dev/recreate: \"true\" on this very object"
        } else {
            "change it back, or put the annotation windlass.dev/recreate: \"true\" on the document to delete it and create \
             it again"
        };
        let message = format!("{said}. The new state is valid, but cannot be reached from the present one: {how}");
        Err(Failure::new(Class::Stalled, "Immutable", message))
    }

    /// Whether the manifest is valid by itself: a dry-run under another name succeeds.
    pub(super) async fn is_transition_rule(&self, work: &Work<'_>) -> bool {
        let mut stem = work.name.to_owned();
        stem.truncate(50);
        let name = format!("{}-windlass-check", stem.trim_end_matches(['-', '.']));
        let mut body = work.body.clone();
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("name".to_owned(), name.as_str().into());
            metadata.remove("resourceVersion");
        }
        let path = format!(
            "{}?fieldManager={}&force=true&dryRun=All",
            work.resource.object(work.namespace, &name),
            self.options.manager
        );
        self.wire.patch(&path, APPLY, &body).await.is_ok()
    }
}

/// RFC 6901 pointer of a cause's field.
fn pointer(field: &str) -> String {
    format!("/{}", field.replace('[', ".").replace(']', "").replace('.', "/"))
}
