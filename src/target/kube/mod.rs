//! A Kubernetes cluster as target: server-side apply, inventory in ConfigMaps, prune by proofs (design §4.3–§4.5).
//!
//! IO. Writes only what a [`crate::diff::Diff`] says, the inventory, our own CRDs, statuses and Events. Never decides what is
//! wanted, and never trusts its own memory of the cluster for a delete. Called by `agent` through [`World`].
//!
//! ```text
//! wire ─ one request, one answer          answers ─ answer → class, reason, message (pure)
//! discovery ─ kinds                       normalise, leftovers, managed, kstatus, lens ─ pure
//! observe → apply (work_around), explain, remove, settle         store ─ the inventory        crds, status, hash_key ─ what is written beside
//! mirror ─ one watch a kind: what observe and settle read, and what rings
//! reader ─ looks and rehearses only (project ─ pure)                   owned ─ what carries our mark, for repair
//! ```

mod account;
mod adopt;
mod answers;
mod apply;
mod claims;
pub mod connect;
mod crds;
mod discovery;
mod explain;
mod hash_key;
pub mod health;
mod kstatus;
pub mod lease;
mod leftovers;
mod lens;
mod managed;
mod mirror;
mod normalise;
mod observe;
mod owned;
mod project;
mod reader;
mod remove;
mod settle;
mod status;
mod store;
mod wire;
mod work_around;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::DropGuard;

pub use crds::{CrdState, ensure_crds};
pub use discovery::{Scopes, means};
pub(crate) use hash_key::{LABEL as HASH_KEY_LABEL, NAME as HASH_KEY};
pub use mirror::{Note, Notes, Timing};
pub use reader::{Reader, Traced};
pub use status::{EventNote, ObjectName, Reports, Severity};
pub(crate) use store::LABEL as INVENTORY_LABEL;

use super::claims::Claims;
use super::{Done, Failure, LiveStatus, Rung, Which, World};
use crate::canonical::HashKey;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId};
use crate::sync::spec::Adoption;
use discovery::Discovery;
use lease::Fence;
use lens::Lens;
use mirror::Mirror;
use wire::Wire;

/// What a cluster target has to know of its sync.
#[derive(Clone, Debug)]
pub struct Options {
    /// Id of the sync ([`crate::sync::id`]).
    pub sync_id: String,
    /// Value of the part-of label ([`crate::sync::part_of`]).
    pub part_of: String,
    /// Field manager ([`crate::sync::field_manager`]).
    pub manager: String,
    /// Namespace of the GitSync, in which the inventory lies.
    pub namespace: String,
    /// Name of the GitSync.
    pub name: String,
    /// The source's URL without credentials; an inventory of another one is refused.
    pub source_url: String,
    /// What happens to objects that exist already.
    pub adoption: Adoption,
    /// Acts even on a CR of our own kinds that another controller acts on.
    pub take_over: bool,
    /// Kinds in which foreign additions are removed; none: the default ones.
    pub strict: Option<Vec<String>>,
    /// Health checks that the sync brings along.
    pub health: health::HealthChecks,
    /// (group, kind) of our own kinds: their CRs are ready once applied, since their Ready condition is our own output.
    pub own_kinds: BTreeSet<(String, String)>,
    /// How long one deletion is waited for. Default: 60 s.
    pub delete_wait: Duration,
    /// How patient the watches are.
    pub timing: Timing,
    /// Who counts what the watches tell.
    pub notes: Notes,
    /// What the other syncs of this agent want. Default: there are none.
    pub claims: Claims,
    /// The service account in the sync's namespace whose rights the client has, if it is not the agent's own.
    pub account: Option<String>,
}

impl Options {
    /// The options of a sync, with defaults for the rest.
    #[must_use]
    pub fn new(namespace: &str, name: &str, source_url: &str) -> Self {
        let sync_id = crate::sync::id(namespace, name);
        Self {
            part_of: crate::sync::part_of(namespace, name),
            manager: crate::sync::field_manager(&sync_id),
            sync_id,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source_url: source_url.to_owned(),
            adoption: Adoption::default(),
            take_over: false,
            strict: None,
            health: health::HealthChecks::default(),
            own_kinds: BTreeSet::new(),
            delete_wait: Duration::from_secs(60),
            timing: Timing::default(),
            notes: Notes::default(),
            claims: Claims::default(),
            account: None,
        }
    }
}

/// A cluster, for one sync. Its watches end when it is dropped.
pub struct Kube {
    /// With the rights that the sync is to have.
    wire: Wire,
    /// With the agent's own rights, for what is not the sync's: its inventory, and the key for hashes.
    own: Wire,
    options: Arc<Options>,
    discovery: Arc<Discovery>,
    lens: Arc<Lens>,
    mirror: Arc<Mirror>,
    probes: super::probe::Probes,
    stored: tokio::sync::Mutex<store::Stored>,
    hash_key: tokio::sync::Mutex<Option<HashKey>>,
    _watches: DropGuard,
}

impl Kube {
    /// Over a client, with no Lease to look at; asks nothing yet.
    #[must_use]
    pub fn new(client: kube::Client, options: Options) -> Self {
        Self::with(client.clone(), client, &Fence::default(), options)
    }

    /// Over two clients: one with the rights that the sync is to have, one with the agent's own. Writes nothing while the
    /// fence is closed; asks nothing yet.
    #[must_use]
    pub fn with(acting: kube::Client, own: kube::Client, fence: &Fence, options: Options) -> Self {
        Self::over(Wire::fenced(acting, fence.clone()), Wire::fenced(own, fence.clone()), options)
    }

    fn over(wire: Wire, own: Wire, options: Options) -> Self {
        let options = Arc::new(options);
        let discovery = Arc::new(Discovery::new(wire.clone()));
        let lens = Arc::new(Lens::new(Arc::clone(&options)));
        let mirror = Mirror::new(wire.clone(), Arc::clone(&options), Arc::clone(&discovery), Arc::clone(&lens));
        Self {
            _watches: mirror.end(),
            wire,
            own,
            options,
            discovery,
            lens,
            mirror,
            probes: super::probe::Probes::default(),
            stored: tokio::sync::Mutex::default(),
            hash_key: tokio::sync::Mutex::default(),
        }
    }

    /// Whether each kind of the cluster is namespaced, read now; also the check that the cluster answers.
    ///
    /// # Errors
    /// If the cluster does not answer or is too old.
    pub async fn scopes(&self) -> Result<Scopes, Failure> {
        self.discovery.scopes().await.map_err(|refused| {
            if let Some(failure) = self.not_impersonated(&refused) {
                return failure;
            }
            let mut failure = Failure::new(
                super::Class::Retry,
                "ClusterUnreachable",
                format!("reading the kinds of the cluster: {}", refused.message),
            );
            if matches!(refused.code, 401 | 403) {
                failure.class = super::Class::Denied;
            }
            failure
        })
    }

    /// Generation and status of every CR of our own kinds, as the last read or write showed them.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        self.lens.statuses()
    }
}

impl World for Kube {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        self.load().await
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        self.store(inventory).await
    }

    async fn release_inventory(&self) -> Result<(), Failure> {
        Self::release_inventory(self).await
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        self.look(plan, inventory, which).await
    }

    fn rung(&self) -> Rung {
        let mut rung = self.mirror.rung();
        // Nothing rings when what a probe asks goes down: every pass asks again.
        rung.moved.extend(self.probes.ids());
        rung
    }

    async fn ring(&self) {
        self.mirror.ring().await;
    }

    fn expect(&self, plan: &Plan) {
        plan.steps.iter().for_each(|step| self.lens.heed(step));
        self.mirror.expect(plan);
    }

    fn retire(&self, inventory: &Inventory) {
        self.mirror.retire(inventory);
    }

    async fn apply(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        self.make_so(step, change).await
    }

    async fn delete(&self, id: &StepId, entry: &Entry, live: &Live) -> Result<(), Failure> {
        self.remove(id, entry, live).await
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        self.wait(steps).await
    }

    fn finishes(&self, step: &Step) -> bool {
        step.id.object_parts().is_some_and(|parts| parts.group == "batch" && parts.kind == "Job")
    }

    async fn admit(&self) -> Result<(), Failure> {
        self.check_account().await
    }

    async fn scopes(&self) -> Result<Scopes, Failure> {
        Self::scopes(self).await
    }

    async fn hash_key(&self) -> Result<Option<HashKey>, Failure> {
        self.key().await.map(Some)
    }

    async fn explain(&self, step: &Step) -> Option<String> {
        self.explain_drift(step).await
    }

    fn statuses(&self) -> BTreeMap<StepId, LiveStatus> {
        Self::statuses(self)
    }

    fn ails(&self) -> bool {
        self.mirror.ails()
    }
}
