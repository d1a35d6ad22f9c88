//! What is written beside the objects: statuses and Events; and the Secrets that are read for credentials.
//!
//! IO. Output only: nothing written here is ever read back into a plan. Never holds or logs a secret value beyond
//! handing it to its caller. Called by `agent`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::{Value, json};

use super::answers::{Doing, classify};
use super::discovery::{Discovery, Known, Resource, split};
use super::lease::Fence;
use super::wire::{APPLY, JSON, Wire};
use crate::target::{Class, Failure};

/// An object to speak about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// apiVersion.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; none if cluster-scoped.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// uid, if known: `kubectl describe` shows only Events that carry it.
    pub uid: Option<String>,
}

/// How an Event is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// All is well.
    Normal,
    /// Worth a look.
    Warning,
}

/// An Event to write. Equal ones in a row are counted by the server's series, not repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// How it is marked.
    pub severity: Severity,
    /// CamelCase, at most 128 characters.
    pub reason: String,
    /// CamelCase verb: what was done (`Sync`, `Prune`, `Call`).
    pub action: String,
    /// For people. Cut to 1,000 bytes. Never a secret value.
    pub note: String,
}

/// Writes statuses and Events.
pub struct Reports {
    wire: Wire,
    discovery: Discovery,
    recorder: Recorder,
    fence: Fence,
    manager: String,
    /// What was written last, by object.
    written: Mutex<BTreeMap<ObjectName, Value>>,
}

impl Reports {
    /// `manager` is the sync's field manager; statuses are applied as `<manager>-status`.
    #[must_use]
    pub fn new(client: kube::Client, manager: &str) -> Self {
        Self::fenced(client, manager, &Fence::default())
    }

    /// The same, which writes nothing while the fence is closed.
    #[must_use]
    pub fn fenced(client: kube::Client, manager: &str, fence: &Fence) -> Self {
        let wire = Wire::fenced(client.clone(), fence.clone());
        let reporter = Reporter { controller: "windlass.dev/agent".to_owned(), instance: Some(manager.to_owned()) };
        Self {
            discovery: Discovery::new(wire.clone()),
            wire,
            recorder: Recorder::new(client, reporter),
            fence: fence.clone(),
            manager: format!("{manager}-status"),
            written: Mutex::default(),
        }
    }

    /// Makes the status so, by server-side apply on the status subresource; true if something was sent. Nothing is sent
    /// if it equals `previous`, or what was written last, or (where neither is known) what the object has now.
    ///
    /// # Errors
    /// Skipped if the object, its kind or its status subresource does not exist; else as the cluster refuses.
    pub async fn write_status(
        &self,
        of: &ObjectName,
        previous: Option<&Value>,
        status: &Value,
    ) -> Result<bool, Failure> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner).get(of).cloned();
        if written.as_ref().or(previous) == Some(status) {
            return Ok(false);
        }
        let resource = self.resource(of).await?;
        let doing = Doing { verb: "patch", resource: &resource, namespace: of.namespace.as_deref(), name: &of.name };
        let path = resource.object(of.namespace.as_deref(), &of.name);
        if written.is_none() && previous.is_none() {
            let live = self.wire.get(&path, JSON).await.map_err(|refused| skipped(&doing, &refused))?;
            if live.get("status") == Some(status) {
                self.note_written(of, status);
                return Ok(false);
            }
        }
        let body = json!({
            "apiVersion": of.api_version,
            "kind": of.kind,
            "metadata": { "name": of.name, "namespace": of.namespace },
            "status": status,
        });
        let path = format!("{path}/status?fieldManager={}&force=true", self.manager);
        self.wire.patch(&path, APPLY, &body).await.map_err(|refused| skipped(&doing, &refused))?;
        self.note_written(of, status);
        Ok(true)
    }

    /// Takes in what an object's status was seen to be. If somebody has changed what was written last, the next write
    /// is not left out.
    pub fn saw(&self, of: &ObjectName, status: Option<&Value>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.get(of).is_some_and(|written| Some(written) != status) {
            written.remove(of);
        }
    }

    /// Writes an Event.
    ///
    /// # Errors
    /// As the cluster refuses. Worth a log line, never worth a retry.
    pub async fn emit(&self, of: &ObjectName, note: &EventNote) -> Result<(), Failure> {
        if !self.fence.is_open() {
            return Ok(());
        }
        let mut text = note.note.clone();
        let mut end = 1000.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        let event = Event {
            type_: match note.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: note.reason.clone(),
            note: Some(text),
            action: note.action.clone(),
            secondary: None,
        };
        let regarding = ObjectReference {
            api_version: Some(of.api_version.clone()),
            kind: Some(of.kind.clone()),
            namespace: of.namespace.clone(),
            name: Some(of.name.clone()),
            uid: of.uid.clone(),
            ..ObjectReference::default()
        };
        self.recorder.publish(&event, &regarding).await.map_err(|error| {
            let message = format!("writing Event {} about {} {}: {error}", note.reason, of.kind, of.name);
            Failure::new(Class::Retry, "EventNotWritten", message)
        })
    }

    /// Reads a Secret.
    ///
    /// # Errors
    /// If it does not exist or may not be read; the message names the rule that is missing.
    pub async fn read_secret(&self, namespace: &str, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let resource = Resource {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Secret".to_owned(),
            plural: "secrets".to_owned(),
            namespaced: true,
        };
        let doing = Doing { verb: "get", resource: &resource, namespace: Some(namespace), name };
        let path = resource.object(Some(namespace), name);
        let secret = self.wire.get(&path, JSON).await.map_err(|refused| classify(&doing, &refused))?;
        let data = secret.get("data").and_then(Value::as_object);
        let mut read = BTreeMap::new();
        for (key, value) in data.into_iter().flatten() {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default());
            let bytes = bytes.map_err(|_| {
                Failure::new(Class::Stalled, "SecretMalformed", format!("{doing}: key {key} is not base64"))
            })?;
            read.insert(key.clone(), bytes);
        }
        Ok(read)
    }

    async fn resource(&self, of: &ObjectName) -> Result<Resource, Failure> {
        let doing = format!("writing the status of {} {}", of.kind, of.name);
        match self.discovery.find(&of.api_version, &of.kind).await {
            Known::Served(resource) if resource.version == split(&of.api_version).1 => Ok(resource),
            Known::Served(_) | Known::Missing => {
                let message = format!("{doing}: the cluster does not know this kind of {}", of.api_version);
                Err(Failure::new(Class::Skipped, "CrdMissing", message))
            }
            Known::Unclear(refused) => {
                Err(Failure::new(Class::Retry, "Unreachable", format!("{doing}: {}", refused.message)))
            }
        }
    }

    fn note_written(&self, of: &ObjectName, status: &Value) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(of.clone(), status.clone());
    }
}

/// An object without status, or that is not there, is nothing to fail for.
fn skipped(doing: &Doing<'_>, refused: &super::wire::Refused) -> Failure {
    let mut failure = classify(doing, refused);
    if refused.is_not_found() {
        (failure.class, failure.reason) = (Class::Skipped, "NoStatus");
        failure.message =
            format!("{doing}: its status cannot be written; the object or its status subresource is not there");
    }
    failure
}
