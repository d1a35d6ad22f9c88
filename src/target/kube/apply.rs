//! Server-side apply of one step: create-only first, adoption on conflict, takeover where a plain apply does not do what
//! it says, recreation only where a person asked for it (design §4.3).
//!
//! IO. Every detour is bounded: each is taken at most once per apply. Called through `World::apply`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::adopt::{TRIES, terminating};
use super::answers::{Doing, classify};
use super::discovery::{Known, Resource};
use super::managed::ignored::Ignored;
use super::managed::{self, Paths, foreign};
use super::normalise::normalise;
use super::wire::{APPLY, Refused};
use super::{Kube, leftovers};
use crate::diff::guard::reasons::SCALE_DOWN_HELD;
use crate::diff::hold::{held, held_at};
use crate::diff::{Change, Live, Op, Seen};
use crate::plan::Step;
use crate::plan::stamp::stamp;
use crate::target::{Class, Done, Failure, generate};

/// Kinds whose recreation destroys more than the object: only an annotation on the object's own document counts.
const PRECIOUS: &[(&str, &str)] = &[("", "Namespace"), ("", "PersistentVolumeClaim"), ("apps", "StatefulSet")];

/// One apply under way.
pub(super) struct Work<'a> {
    pub(super) step: &'a Step,
    pub(super) resource: Resource,
    pub(super) body: Value,
    pub(super) namespace: Option<&'a str>,
    pub(super) name: &'a str,
    /// Its generated values are for an object that was not there: one that came since keeps its own.
    pub(super) is_new: bool,
}

impl<'a> Work<'a> {
    pub(super) fn doing(&self) -> Doing<'_> {
        Doing { verb: "patch", resource: &self.resource, namespace: self.namespace, name: self.name }
    }

    pub(super) fn api_version(&self) -> String {
        self.resource.api_version()
    }

    /// The body with a resourceVersion that no object ever has.
    pub(super) fn create_only(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), "1".into());
        }
        body
    }

    fn failure(&self, class: Class, reason: &'static str, what: &str) -> Failure {
        Failure::new(class, reason, format!("{}: {what}", self.doing()))
    }
}

impl Kube {
    pub(super) async fn make_so(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        let live = match &change.seen {
            Seen::Present(live) => Some(live),
            _ => None,
        };
        let hold = live.and_then(|live| held(step, live));
        let step = hold.as_ref().map_or(step, |hold| &hold.step);
        let work = self.prepare(step).await?;
        if live.is_some_and(|live| live.terminating) {
            let object = self.read_whole(&work.resource, work.namespace, work.name).await?;
            if object.pointer("/metadata/deletionTimestamp").is_some() {
                return Err(terminating(&work.doing(), &object));
            }
        }
        self.lens.heed(step);
        let writing = self.mirror.writing(&step.id);
        let got = match &change.op {
            Op::Create => self.create(&work).await?,
            Op::Update(crate::diff::Reason::Changed) if step.policy.replace => self.recreate(&work).await?,
            Op::Update(_) => self.update(&work, live).await?,
            _ => return Err(work.failure(Class::Bug, "NotAnApply", "asked to apply what is not to be changed")),
        };
        let shown = self.lens.live(&step.id, &work.resource, &got);
        self.mirror.landed(&work.resource, work.namespace, &got);
        drop(writing);
        if work.resource.kind == "CustomResourceDefinition" {
            self.discovery.expect_more();
        }
        let wrote = live.is_none_or(|live| live.resource_version != shown.resource_version || live.uid != shown.uid);
        Ok(Done { uid: shown.uid, fingerprint: shown.fingerprint, readiness: shown.readiness, wrote })
    }

    pub(super) async fn prepare<'a>(&self, step: &'a Step) -> Result<Work<'a>, Failure> {
        let (Some(mut stamped), Some(parts)) = (stamp(step, &self.options.part_of), step.id.object_parts()) else {
            let message = format!("applying {}: it is not a Kubernetes object", step.id);
            return Err(Failure::new(Class::Bug, "NotAnObject", message));
        };
        let api_version = stamped.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        let resource = match self.discovery.find(&api_version, parts.kind).await {
            Known::Served(resource) if resource.api_version() == api_version => resource,
            Known::Served(other) => {
                let message = format!(
                    "applying {}: the cluster serves kind {} as {}, not as {api_version}",
                    step.id,
                    parts.kind,
                    other.api_version()
                );
                return Err(Failure::new(Class::Skipped, "CrdMissing", message));
            }
            Known::Missing => {
                let message = format!(
                    "applying {}: the cluster does not know kind {} of {api_version}; install its CRD",
                    step.id, parts.kind
                );
                return Err(Failure::new(Class::Skipped, "CrdMissing", message));
            }
            Known::Unclear(refused) => {
                let message = format!("applying {}: {}", step.id, refused.message);
                return Err(Failure::new(Class::Retry, "Unreachable", message));
            }
        };
        let mut is_new = false;
        if generate::asked(&stamped) {
            let live = self.read_if_there(&resource, parts.namespace, parts.name).await?;
            is_new = live.is_none();
            if generate::fill(&mut stamped, live.as_ref())? {
                self.refuse_lost_password(step, parts.namespace).await?;
            }
        }
        let mut body = normalise(stamped);
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            // A namespace on a cluster-scoped object is refused by the server; expand fills in the others.
            match parts.namespace.filter(|_| resource.namespaced) {
                Some(namespace) => _ = metadata.insert("namespace".to_owned(), namespace.into()),
                None => _ = metadata.remove("namespace"),
            }
        }
        Ok(Work { step, resource, body, namespace: parts.namespace, name: parts.name, is_new })
    }

    /// The first apply is create-only: a resourceVersion that no object ever has turns an existing one into a 409.
    async fn create(&self, work: &Work<'_>) -> Result<Value, Failure> {
        let body = work.create_only();
        match self.send(work, &body).await {
            Ok(got) => self.heal(work, got).await,
            Err(refused) if refused.code == 409 && work.is_new => {
                Err(work.failure(Class::Retry, "Conflict", "somebody made it at the same time; it is looked at again"))
            }
            Err(refused) if refused.code == 409 => {
                let live = self.adopt(work.step, &work.resource, &work.api_version()).await?;
                let there = live.pointer("/spec/replicas").and_then(Value::as_i64);
                if let Some(hold) = there.and_then(|there| held_at(work.step, there)) {
                    return Err(work.failure(Class::Stalled, SCALE_DOWN_HELD, &hold.message));
                }
                self.update(work, None).await
            }
            Err(refused) => Err(self.give_up(work, &refused)),
        }
    }

    /// Updates. Where others may change fields, their live values are sent along, bound to the version that was read: else
    /// they would be set back, removed or defaulted.
    async fn update(&self, work: &Work<'_>, live: Option<&Live>) -> Result<Value, Failure> {
        if work.step.policy.ignored.is_empty() {
            return self.update_as_is(work, live).await;
        }
        let ignored = Ignored::new(&work.body, &work.step.policy.ignored);
        for _ in 0..TRIES {
            let whole = self.read_whole(&work.resource, work.namespace, work.name).await?;
            let ours = managed::own(&whole, &self.options.manager).map(managed::paths).unwrap_or_default();
            let mut body = work.body.clone();
            ignored.carry(&mut body, &whole, &ours);
            if let (Some(metadata), Some(version)) =
                (body.get_mut("metadata").and_then(Value::as_object_mut), whole.pointer("/metadata/resourceVersion"))
            {
                metadata.insert("resourceVersion".to_owned(), version.clone());
            }
            match self.update_as_is(&Work { resource: work.resource.clone(), body, ..*work }, live).await {
                Err(failure) if failure.reason == "Conflict" => {}
                other => return other,
            }
        }
        let what = "it changes faster than the values that others may change can be carried over";
        Err(work.failure(Class::Retry, "Conflict", what))
    }

    async fn update_as_is(&self, work: &Work<'_>, live: Option<&Live>) -> Result<Value, Failure> {
        if let Some(live) = live {
            self.clear_the_way(work, live).await?;
        }
        let got = match self.send(work, &work.body).await {
            Ok(got) => got,
            Err(refused) if refused.code == 422 => self.work_around(work, refused).await?,
            Err(refused) => return Err(self.give_up(work, &refused)),
        };
        let got = self.heal(work, got).await?;
        let Some(before) = live.and_then(|live| Some(&live.hands.as_ref()?.shared)).filter(|before| !before.is_empty())
        else {
            return Ok(got);
        };
        // A field that we just dropped stays as long as somebody else holds it too.
        let kept = leftovers::kept_by_others(before, &got, &self.options.manager);
        if kept.is_empty() {
            return Ok(got);
        }
        let choose = |_: &str, path: &[String]| kept.contains(path);
        if self.take(&work.resource, &got, &work.api_version(), choose, &Paths::new()).await? {
            return self.send(work, &work.body).await.map_err(|refused| self.give_up(work, &refused));
        }
        Ok(got)
    }

    /// Takes over, before an update, what only a takeover can remove: fields that were added by hand where this is
    /// strict, and holds in another version of the kind.
    async fn clear_the_way(&self, work: &Work<'_>, live: &Live) -> Result<(), Failure> {
        let (manager, version) = (self.options.manager.as_str(), work.api_version());
        let strict = live.additions().iter().any(|it| it.strict);
        let elsewhere = live.hands.as_ref().is_some_and(|hands| hands.edited_elsewhere);
        if !strict && !elsewhere {
            return Ok(());
        }
        let whole = self.read_whole(&work.resource, work.namespace, work.name).await?;
        if strict {
            let scope = self.lens.strict(&work.resource);
            let ignored = Ignored::new(&work.body, &work.step.policy.ignored);
            let added = foreign::added(&whole, manager, &scope, Some(&ignored));
            let doomed: BTreeSet<&[String]> =
                added.iter().filter(|(.., strict)| *strict).map(|(_, path, _)| path.as_slice()).collect();
            let choose = |who: &str, path: &[String]| managed::by_hand(who) && doomed.contains(path);
            self.take(&work.resource, &whole, &version, choose, &Paths::new()).await?;
        }
        if elsewhere {
            self.patch_tested(&work.resource, &whole, |live| managed::release_elsewhere(live, manager, &version))
                .await?;
        }
        Ok(())
    }

    /// Emptying a map of a kind with unknown fields leaves a null behind once; a second apply removes it.
    pub(super) async fn heal(&self, work: &Work<'_>, got: Value) -> Result<Value, Failure> {
        if !leftovers::has_null_leftover(&work.body, &got) {
            return Ok(got);
        }
        self.send(work, &work.body).await.map_err(|refused| self.give_up(work, &refused))
    }

    pub(super) fn may_recreate(&self, work: &Work<'_>) -> bool {
        let policy = &work.step.policy;
        if is_precious(&work.resource) {
            return policy.recreate && work.step.owner.is_none();
        }
        policy.recreate || policy.replace
    }

    /// Deletes with everything that hangs on it, waits until it is gone, creates.
    pub(super) async fn recreate(&self, work: &Work<'_>) -> Result<Value, Failure> {
        if !self.may_recreate(work) {
            return Err(work.failure(Class::Stalled, "Immutable", "it may not be recreated"));
        }
        self.remove_live(&work.resource, work.namespace, work.name, super::remove::Proof::Label).await?;
        self.create_again(work).await
    }

    async fn create_again(&self, work: &Work<'_>) -> Result<Value, Failure> {
        let body = work.create_only();
        self.send(work, &body).await.map_err(|refused| self.give_up(work, &refused))
    }

    /// Asks what an apply would come to; nothing is written.
    pub(super) async fn rehearse(&self, work: &Work<'_>, body: &Value) -> Result<Value, Refused> {
        let path = format!(
            "{}?fieldManager={}&force=true&dryRun=All",
            work.resource.object(work.namespace, work.name),
            self.options.manager
        );
        self.wire.patch(&path, APPLY, body).await
    }

    pub(super) async fn send(&self, work: &Work<'_>, body: &Value) -> Result<Value, Refused> {
        let path = format!(
            "{}?fieldManager={}&force=true",
            work.resource.object(work.namespace, work.name),
            self.options.manager
        );
        self.wire.patch(&path, APPLY, body).await
    }

    pub(super) fn give_up(&self, work: &Work<'_>, refused: &Refused) -> Failure {
        let mut failure = classify(&work.doing(), refused);
        if failure.reason == "CrdMissing" {
            self.discovery.forget();
        }
        // The schema of a CRD that changed a moment ago reaches the server's parts one after the other.
        if failure.reason == "SchemaMismatch" && self.discovery.is_changing() {
            failure.class = Class::Retry;
        }
        failure
    }
}

pub(super) fn is_precious(resource: &Resource) -> bool {
    PRECIOUS.contains(&(resource.group.as_str(), resource.kind.as_str()))
}

/// Preconditions and propagation of a delete.
pub(super) fn delete_options(live: &Value, foreground: bool) -> Value {
    let text = |pointer| live.pointer(pointer).cloned().unwrap_or(Value::Null);
    json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": if foreground { "Foreground" } else { "Background" },
        "preconditions": { "uid": text("/metadata/uid"), "resourceVersion": text("/metadata/resourceVersion") },
    })
}
