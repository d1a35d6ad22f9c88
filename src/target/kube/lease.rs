//! One Lease per sync, so that two installations notice each other: only its holder writes (design §4.5).
//!
//! IO. Reads and writes the Lease `windlass-<name>` beside the GitSync and nothing else, with the agent's own rights.
//! Clocks of two machines are never compared: a holder is taken for gone when its `renewTime` has not *changed* for as
//! long as the Lease lasts, by our own clock, which does not jump. Whoever holds it keeps a [`Fence`] open, which closes
//! by itself well before anybody else may take over; every write looks at the fence first. Called by `agent`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Options;
use super::answers::{Doing, classify};
use super::discovery::Resource;
use super::store::make_namespace;
use super::wire::{JSON, MERGE_PATCH, Refused, Wire};
use crate::plan::stamp::MANAGER;
use crate::sync::{DEFAULT_NAMESPACE, MANAGED_BY};
use crate::target::{Class, Failure};

/// How long a Lease lasts that is not renewed.
const LASTS: Duration = Duration::from_secs(15);
/// How often it is renewed.
pub const RENEW: Duration = Duration::from_secs(5);
/// How long after the last renewal was sent its holder still writes: what is on its way then has ended before anybody
/// else may write.
const TRUSTED: Duration = Duration::from_secs(10);
/// Tries of one attempt, where somebody else was faster.
const TRIES: usize = 4;
/// API group of Leases.
const GROUP: &str = "coordination.k8s.io";

/// Whether writes may be sent. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Fence(Option<Arc<Mutex<Option<Instant>>>>);

impl Fence {
    /// A fence that is closed until a Lease is held.
    #[must_use]
    pub fn closed() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether a write may be sent now. A fence that nobody keeps is always open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Some(until) = &self.0 else { return true };
        until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }

    fn keep_open(&self, until: Option<Instant>) {
        if let Some(kept) = &self.0 {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}

/// Who holds a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This agent.
    Us,
    /// Another one.
    Other {
        /// Its identity.
        identity: String,
        /// RFC 3339: since when; empty if the Lease does not say.
        since: String,
        /// It was seen to renew the Lease, or has had no time to: false only once the Lease is about to be taken over.
        renews: bool,
    },
}

/// The Lease of one sync.
pub struct Lease {
    wire: Wire,
    namespace: String,
    name: String,
    identity: String,
    clock: fn() -> Timestamp,
    fence: Fence,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// uid and resourceVersion as last written, while we hold it.
    ours: Option<(String, String)>,
    /// What is known of another holder.
    other: Option<Sighting>,
}

struct Sighting {
    identity: String,
    renewed: String,
    since: Instant,
    /// Seen to renew at least once.
    renews: bool,
}

impl Lease {
    /// The Lease of the sync that these options are of. `identity` names this agent and nobody else; the same in its next
    /// life. Asks nothing yet.
    #[must_use]
    pub fn new(client: kube::Client, options: &Options, identity: &str, clock: fn() -> Timestamp) -> Self {
        Self {
            wire: Wire::new(client),
            namespace: options.namespace.clone(),
            name: lease_name(&options.name),
            identity: identity.to_owned(),
            clock,
            fence: Fence::closed(),
            state: tokio::sync::Mutex::default(),
        }
    }

    /// What its writes have to look at.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Takes or renews it, unless another agent holds it.
    ///
    /// # Errors
    /// If the cluster does not answer or refuses. The fence stays open as long as the last renewal allows.
    pub async fn attempt(&self) -> Result<Holder, Failure> {
        let mut state = self.state.lock().await;
        for _ in 0..TRIES {
            let began = Instant::now();
            if let Some((_, version)) = &state.ours {
                let renewal = json!({
                    "metadata": { "resourceVersion": version },
                    "spec": { "renewTime": self.now() },
                });
                match self.wire.patch(&self.path(), MERGE_PATCH, &renewal).await {
                    Ok(lease) => return Ok(self.held(&mut state, &lease, began)),
                    // Somebody else wrote it, or removed it: it is looked at anew. Nobody can have taken it while the
                    // fence was open.
                    Err(refused) if matches!(refused.code, 404 | 409) => state.ours = None,
                    Err(refused) => return Err(self.failure("patch", &refused)),
                }
            }
            let lease = match self.wire.get(&self.path(), JSON).await {
                Ok(lease) => lease,
                Err(refused) if refused.is_not_found() => match self.create().await {
                    Ok(lease) => return Ok(self.held(&mut state, &lease, began)),
                    Err(refused) if refused.reason == "AlreadyExists" => continue,
                    Err(refused) => return Err(self.failure("create", &refused)),
                },
                Err(refused) => return Err(self.failure("get", &refused)),
            };
            if let Some(other) = self.held_by_other(&mut state, &lease) {
                return Ok(other);
            }
            match self.wire.patch(&self.path(), MERGE_PATCH, &self.taking(&lease)).await {
                Ok(lease) => return Ok(self.held(&mut state, &lease, began)),
                Err(refused) if matches!(refused.code, 404 | 409) => {}
                Err(refused) => return Err(self.failure("patch", &refused)),
            }
        }
        let message = format!("taking Lease {}/{}: somebody else writes it all the time", self.namespace, self.name);
        Err(Failure::new(Class::Retry, "Conflict", message))
    }

    /// Gives it up, so that another agent need not wait: closes the fence, then removes the Lease. Nothing may be on its
    /// way any more. A failure is nothing: it runs out by itself.
    pub async fn release(&self) {
        let mut state = self.state.lock().await;
        self.fence.keep_open(None);
        let Some((uid, version)) = state.ours.take() else { return };
        let options = json!({ "preconditions": { "uid": uid, "resourceVersion": version } });
        if let Err(refused) = self.wire.delete(&self.path(), &options).await {
            let (lease, error) = (&self.name, &refused.message);
            tracing::debug!(lease, error, "a Lease could not be given up; it runs out by itself");
        }
    }

    /// Another holder, if there is one that may still write.
    fn held_by_other(&self, state: &mut State, lease: &Value) -> Option<Holder> {
        let text = |pointer| lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (identity, renewed) = (text("/spec/holderIdentity"), text("/spec/renewTime"));
        if identity.is_empty() || identity == self.identity {
            return None;
        }
        let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64).map(Duration::from_secs);
        // Whoever edits a Lease by hand must not hold everybody up for ever.
        let lasts = lasts.unwrap_or(LASTS).clamp(LASTS, LASTS * 4);
        let same = state.other.as_ref().is_some_and(|seen| seen.identity == identity && seen.renewed == renewed);
        if !same {
            let renews = state.other.as_ref().is_some_and(|seen| seen.identity == identity);
            let (identity, renewed) = (identity.to_owned(), renewed.to_owned());
            state.other = Some(Sighting { identity, renewed, since: Instant::now(), renews });
        }
        let seen = state.other.as_ref()?;
        if seen.since.elapsed() >= lasts {
            return None;
        }
        self.fence.keep_open(None);
        let (identity, since) = (identity.to_owned(), text("/spec/acquireTime").to_owned());
        Some(Holder::Other { identity, since, renews: seen.renews })
    }

    fn taking(&self, lease: &Value) -> Value {
        let spec = |field: &str| lease.get("spec").and_then(|spec| spec.get(field));
        let ours = spec("holderIdentity").and_then(Value::as_str) == Some(self.identity.as_str());
        let transitions = spec("leaseTransitions").and_then(Value::as_i64).unwrap_or_default();
        let at = self.now();
        json!({
            "metadata": { "resourceVersion": lease.pointer("/metadata/resourceVersion") },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LASTS.as_secs(),
                "acquireTime": spec("acquireTime").filter(|_| ours).cloned().unwrap_or_else(|| at.clone().into()),
                "renewTime": at,
                "leaseTransitions": transitions.saturating_add(i64::from(!ours)),
            },
        })
    }

    async fn create(&self) -> Result<Value, Refused> {
        let at = self.now();
        let body = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "Lease",
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": { MANAGED_BY: MANAGER } },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LASTS.as_secs(),
                "acquireTime": at,
                "renewTime": at,
                "leaseTransitions": 0,
            },
        });
        let path = leases().collection(Some(&self.namespace));
        match self.wire.post(&path, &body).await {
            // Only our own default namespace is made; any other is somebody's to decide on.
            Err(refused) if refused.is_not_found() && self.namespace == DEFAULT_NAMESPACE => {
                make_namespace(&self.wire).await?;
                self.wire.post(&path, &body).await
            }
            answer => answer,
        }
    }

    /// `began` is when the request was sent: the answer may have taken its time.
    fn held(&self, state: &mut State, lease: &Value, began: Instant) -> Holder {
        let text = |pointer| lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        state.ours = Some((text("/metadata/uid"), text("/metadata/resourceVersion")));
        state.other = None;
        self.fence.keep_open(Some(began + TRUSTED));
        Holder::Us
    }

    fn failure(&self, verb: &'static str, refused: &Refused) -> Failure {
        let resource = leases();
        let doing = Doing { verb, resource: &resource, namespace: Some(&self.namespace), name: &self.name };
        let mut failure = classify(&doing, refused);
        if failure.reason == "Forbidden" {
            failure.message = format!(
                "there is no right to hold Lease {0}/{1}, without which two agents could write at once; allow it in \
                 namespace {0} with {{apiGroups: [\"{GROUP}\"], resources: [\"leases\"], verbs: [\"get\", \"create\", \
                 \"patch\", \"delete\"]}}",
                self.namespace, self.name
            );
        }
        failure
    }

    /// As a Lease wants it: to the microsecond. For people: nobody compares it with a clock.
    fn now(&self) -> String {
        format!("{:.6}", (self.clock)())
    }

    fn path(&self) -> String {
        leases().object(Some(&self.namespace), &self.name)
    }
}

/// Name of the Lease of a sync.
fn lease_name(sync: &str) -> String {
    format!("windlass-{sync}")
}

fn leases() -> Resource {
    Resource {
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        kind: "Lease".to_owned(),
        plural: "leases".to_owned(),
        namespaced: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_closes_by_itself_and_one_that_nobody_keeps_is_open() {
        assert!(Fence::default().is_open());
        let fence = Fence::closed();
        assert!(!fence.is_open());
        fence.keep_open(Some(Instant::now() + LASTS));
        assert!(fence.clone().is_open());
        fence.keep_open(Some(Instant::now()));
        assert!(!fence.is_open());
    }
}
