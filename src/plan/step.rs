//! One step of a plan.
//!
//! Pure data. Made by `kinds` and `expand`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::canonical::{self, HashKey};
use super::{Manifest, Needs, StepId};
use crate::text::Text;

/// Where a step comes from: the declared document that it is, or that expanded to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The document's apiVersion.
    pub api_version: Text,
    /// The document's kind.
    pub kind: Text,
    /// The document's namespace; none if cluster-scoped.
    pub namespace: Option<Text>,
    /// The document's name.
    pub name: Text,
    /// File in the repository.
    pub path: Text,
    /// Number of the document in the file, from 1.
    pub document: u32,
    /// Line at which the document starts, from 1.
    pub line: u32,
}

/// Wanted state, one of the worlds that Windlass reaches.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// A Kubernetes object, without Windlass' own labels and annotations.
    Object(Manifest),
    /// A Druid supervisor, task, compaction, rule set or lookup.
    Druid {
        /// `supervisor`, `task`, `compaction`, `rules` or `lookup`.
        kind: String,
        /// Name in Druid.
        id: String,
        /// Wanted spec; explicit nulls mean something to Druid and stay.
        spec: Value,
    },
    /// A Redis Cluster topology.
    Redis(Value),
    /// A request that has to succeed before dependants start; only for what is outside Kubernetes.
    Probe {
        /// `HEAD`, `GET` or `TCP`.
        method: String,
        /// http, https or tcp URL.
        url: String,
        /// Seconds for one try.
        timeout_seconds: u32,
    },
    /// A call that is made once per key.
    Once {
        /// Done if and only if the inventory holds it.
        key: String,
        /// What is called.
        call: Value,
    },
}

impl Want {
    /// As `render -o json` shows it: an object with one key.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Object(manifest) => serde_json::json!({ "object": manifest.value() }),
            Self::Druid { kind, id, spec } => serde_json::json!({ "druid": { "kind": kind, "id": id, "spec": spec } }),
            Self::Redis(topology) => serde_json::json!({ "redis": topology }),
            Self::Probe { method, url, timeout_seconds } => {
                serde_json::json!({ "probe": { "method": method, "url": url, "timeoutSeconds": timeout_seconds } })
            }
            Self::Once { key, call } => serde_json::json!({ "once": { "key": key, "call": call } }),
        }
    }

    /// Whether it holds a secret value: its content hash is then keyed.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        self.object().is_some_and(Manifest::holds_secret)
    }

    /// Its content hash. Without a key, secret values are hashed as `***`: whoever sees the hash could try out values.
    #[must_use]
    pub fn hash(&self, key: Option<&HashKey>) -> String {
        match self {
            Self::Object(manifest) => manifest.hash(key),
            _ => canonical::hash(&self.to_json()),
        }
    }

    /// The manifest, if this is an object.
    #[must_use]
    pub fn object(&self) -> Option<&Manifest> {
        match self {
            Self::Object(manifest) => Some(manifest),
            _ => None,
        }
    }
}

impl Origin {
    /// As the annotation `windlass.dev/origin` says it: `<Kind>.<group|core>/<ns|->/<name>`.
    #[must_use]
    pub fn text(&self) -> String {
        let group = self.api_version.split_once('/').map_or("core", |(group, _)| group);
        let namespace = self.namespace.as_deref().unwrap_or("-");
        format!("{}.{group}/{namespace}/{}", self.kind, self.name)
    }
}

/// How a step is treated beyond "make it so": what the document's `windlass.dev/` annotations say (design §5.3), and
/// what its family or kind says. The manifest keeps the annotations that were declared on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `prune: disabled`.
    pub keep: bool,
    /// `recreate: "true"`: an immutable field may be changed by deleting and creating.
    pub recreate: bool,
    /// `drift: ignore`: hand edits stay.
    pub ignore_drift: bool,
    /// `allow-scale-down: "true"`: fewer replicas are wanted in earnest.
    pub allow_scale_down: bool,
    /// Said by the family, not by the user: fewer replicas than there are would take data along, so that the number
    /// stays (and is told) until the document carries `allow-scale-down`. The rest of the object is applied.
    pub hold_scale_down: bool,
    /// Said by the family, not by the user: every change is made by deleting (foreground propagation) and creating
    /// again, because the object's kind allows no other way (the pod template of a Job). No update is tried first.
    /// Unlike `recreate`, which allows it only where an update was proved impossible.
    pub replace: bool,
    /// The step runs to completion (a Job): it is ready once it succeeded. When it is ready, the executor stores the
    /// step's hash in the inventory entry's `done`; while `done` equals the hash, an absent object is done, not
    /// missing, and is not made again. A changed hash runs it again.
    pub once_done: bool,
    /// Names of PersistentVolumeClaims in the step's namespace whose data is of no use without it (a generated password).
    /// While one exists, the step is neither pruned nor made with other values.
    pub claims: Vec<String>,
    /// JSON pointers of fields that others may change (`spec.drift.ignore`): not hashed, not watched; the target sends
    /// the live value where there is one.
    pub ignored: Vec<String>,
}

impl Policy {
    /// What a child takes over from the document behind it, beside what its family says.
    #[must_use]
    pub fn inherit(self, document: &Self) -> Self {
        Self {
            keep: self.keep || document.keep,
            recreate: self.recreate || document.recreate,
            ignore_drift: self.ignore_drift || document.ignore_drift,
            allow_scale_down: self.allow_scale_down || document.allow_scale_down,
            hold_scale_down: self.hold_scale_down && !document.allow_scale_down,
            ..self
        }
    }
}

/// One wanted state.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Stable name.
    pub id: StepId,
    /// The declared document behind it.
    pub origin: Arc<Origin>,
    /// The CR step that expanded to this one; none if the document itself is the step.
    pub owner: Option<StepId>,
    /// Wanted state.
    pub want: Want,
    /// Steps that have to be ready first. Each is in the plan.
    pub needs: Needs,
    /// sha-256 (hex) of the canonical JSON of `want`; for a Secret keyed once the plan is ([`super::Plan::keyed`]).
    pub hash: String,
    /// Exceptions asked for by annotation.
    pub policy: Policy,
}

impl Step {
    /// A step without needs or exceptions.
    #[must_use]
    pub fn new(id: StepId, origin: Arc<Origin>, owner: Option<StepId>, want: Want) -> Self {
        let hash = want.hash(None);
        Self { id, origin, owner, want, needs: Needs::default(), hash, policy: Policy::default() }
    }

    /// The content hash: of `want` without the fields that others may change.
    #[must_use]
    pub fn content_hash(&self, key: Option<&HashKey>) -> String {
        match &self.want {
            Want::Object(manifest) if !self.policy.ignored.is_empty() => {
                Manifest::new(super::ignore::without(manifest.value(), &self.policy.ignored)).hash(key)
            }
            want => want.hash(key),
        }
    }

    /// Whether the step is the CR of a known high-level kind (ready once applied, design §4.2).
    #[must_use]
    pub fn is_declared(&self) -> bool {
        self.owner.is_none()
    }
}
