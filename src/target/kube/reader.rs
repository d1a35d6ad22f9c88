//! A cluster, for whoever only looks: what is owned, what is there, and what an apply would come to.
//!
//! IO, reads and rehearsals (`dryRun=All`) only: it is no [`World`](crate::target::World), so nothing can be executed on
//! it, and its connection refuses to send anything else. Called by `cli`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::answers::{Doing, classify};
use super::apply::Work;
use super::discovery::{Resource, Scopes};
use super::managed;
use super::observe::label;
use super::project::project;
use super::wire::{METADATA, Refused, Wire};
use super::{Kube, Options, adopt};
use crate::canonical::HashKey;
use crate::diff::guard::reasons::DRIFTED;
use crate::diff::hold::held;
use crate::diff::render::compare::{Outlook, Pair};
use crate::diff::{Diff, Observed, Op, Reason, Seen, Which};
use crate::inventory::Inventory;
use crate::plan::{Manifest, Plan, Step, StepId};
use crate::sync::{CONTENT_HASH, ORIGIN, PART_OF};
use crate::target::{Class, Failure};

/// Objects that are asked about at once.
const AT_ONCE: usize = 16;

/// A cluster that is only looked at, for one sync.
pub struct Reader {
    kube: Kube,
    /// The server was not willing to rehearse.
    unrehearsed: AtomicBool,
}

/// What an object says of where it comes from; read without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Its step id.
    pub id: Option<StepId>,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`.
    pub created: String,
    /// Its deletion has been asked for.
    pub terminating: bool,
    /// The part-of label.
    pub part_of: Option<String>,
    /// The annotation `windlass.dev/origin`.
    pub origin: Option<String>,
    /// The annotation `windlass.dev/content-hash`.
    pub content_hash: Option<String>,
    /// Who holds fields of it: (manager, operation, subresource, time).
    pub managers: Vec<(String, String, String, String)>,
    /// Owner references: (apiVersion, kind, name, whether it is the controller).
    pub owners: Vec<(String, String, String, bool)>,
}

impl Reader {
    /// Over a client; asks nothing yet.
    #[must_use]
    pub fn new(client: kube::Client, mut options: Options) -> Self {
        // One look, and no watches after it.
        options.timing.hold = std::time::Duration::from_secs(86_400);
        Self {
            kube: Kube::over(Wire::for_reading(client.clone()), Wire::for_reading(client), options),
            unrehearsed: AtomicBool::new(false),
        }
    }

    /// Whether each kind of the cluster is namespaced; also the check that the cluster answers.
    ///
    /// # Errors
    /// If the cluster does not answer or is too old.
    pub async fn scopes(&self) -> Result<Scopes, Failure> {
        self.kube.scopes().await
    }

    /// What is owned; none if nothing was ever stored.
    ///
    /// # Errors
    /// If it cannot be read, or is another sync's or source's.
    pub async fn inventory(&self) -> Result<Option<Inventory>, Failure> {
        self.kube.load().await
    }

    /// What is owned, whichever source it was recorded for; none if nothing was ever stored.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn stored_inventory(&self) -> Result<Option<Inventory>, Failure> {
        self.kube.stored_inventory().await
    }

    /// The key for hashes of Secrets, if there is one and it may be read.
    pub async fn hash_key(&self) -> Option<HashKey> {
        self.kube.key_as_stored().await
    }

    /// Reads the cluster as far as plan and inventory are concerned.
    pub async fn observe(&self, plan: &Plan, inventory: &Inventory) -> Observed {
        self.kube.look(plan, inventory, Which::All).await
    }

    /// Whether the server refused to rehearse an apply, so that [`Self::pairs`] compares only what manifests set.
    #[must_use]
    pub fn is_unrehearsed(&self) -> bool {
        self.unrehearsed.load(Ordering::Relaxed)
    }

    /// The objects behind the changes of a diff: as they are, and as the server says that they would be.
    pub async fn pairs(&self, plan: &Plan, diff: &Diff) -> BTreeMap<StepId, Pair> {
        let concerned = plan.steps.iter().filter_map(|step| {
            let change = diff.changes().get(&step.id)?;
            let drifted = matches!(&change.op, Op::Refuse(refusal) if refusal.reason == DRIFTED);
            (matches!(change.op, Op::Create | Op::Update(_)) || drifted).then_some((step, change))
        });
        let asked = concerned.map(|(step, change)| async move {
            let hold = match &change.seen {
                Seen::Present(live) => held(step, live),
                _ => None,
            };
            let step = hold.as_ref().map_or(step.as_ref(), |hold| &hold.step);
            (step.id.clone(), self.pair(plan, step, &change.op).await)
        });
        stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await
    }

    async fn pair(&self, plan: &Plan, step: &Step, op: &Op) -> Pair {
        let planned = |outlook| Pair { before: None, after: step.want.object().map(Manifest::value), outlook };
        let work = match self.kube.prepare(step).await {
            Ok(work) => work,
            Err(failure) => return planned(Outlook::Unsure(failure.message)),
        };
        if *op == Op::Create {
            return match self.kube.rehearse(&work, &work.create_only()).await {
                Ok(_) => planned(Outlook::Plain),
                Err(refused) if refused.code == 409 => self.existing(&work).await,
                Err(refused) if self.may_not_rehearse(&refused) => match self.whole(&work).await {
                    Ok(_) => self.existing(&work).await,
                    Err(_) => planned(Outlook::Plain),
                },
                // Its namespace is in the plan as well.
                Err(refused) if refused.is_not_found() && declares(plan, work.namespace) => planned(Outlook::Plain),
                Err(refused) => planned(bad_news(classify(&work.doing(), &refused))),
            };
        }
        let replaced = *op == Op::Update(Reason::Changed) && step.policy.replace;
        match self.whole(&work).await {
            Ok(live) if replaced => self.by_manifest(&work, &live, Outlook::Recreate),
            Ok(live) => self.changed(&work, live).await,
            // Gone since it was observed, or not ours to read.
            Err(refused) => planned(Outlook::Unsure(classify(&reading(&work), &refused).message)),
        }
    }

    /// It is to be created and is there: adopted, or left to whom it belongs.
    async fn existing(&self, work: &Work<'_>) -> Pair {
        let live = match self.whole(work).await {
            Ok(live) => live,
            Err(refused) => {
                let outlook = Outlook::Unsure(classify(&reading(work), &refused).message);
                return Pair { outlook, ..Pair::default() };
            }
        };
        if let Err(holder) = adopt::judge(&live, &self.kube.options) {
            let why = format!(
                "it exists already and is held by {holder}; adoption policy {:?} leaves it alone. Take it out of the \
                 repository, release it there, or set spec.adoption to AdoptAll",
                self.kube.options.adoption
            );
            return Pair { outlook: Outlook::Fail(why), ..Pair::default() };
        }
        let pair = self.changed(work, live).await;
        let outlook = if pair.outlook == Outlook::Plain { Outlook::Adopt } else { pair.outlook };
        Pair { outlook, ..pair }
    }

    async fn changed(&self, work: &Work<'_>, live: Value) -> Pair {
        match self.kube.rehearse(work, &work.body).await {
            Ok(after) => Pair { before: Some(live), after: Some(after), outlook: Outlook::Plain },
            Err(refused) if self.may_not_rehearse(&refused) => self.by_manifest(work, &live, Outlook::Plain),
            Err(refused) => {
                let immutable = refused.code == 422 && self.kube.is_transition_rule(work).await;
                if immutable && self.kube.may_recreate(work) {
                    return self.by_manifest(work, &live, Outlook::Recreate);
                }
                let said = refused.message.to_lowercase();
                let fixed = ["immutable", "fields other than", "may not be changed"].iter().any(|it| said.contains(it));
                let failure = classify(&work.doing(), &refused);
                let outlook = match (immutable, fixed) {
                    (true, true) => Outlook::Fail(format!(
                        "{}. It cannot be changed in place: change it back, or put windlass.dev/recreate: \"true\" on the \
                         document to have it deleted and made again",
                        failure.message
                    )),
                    (true, false) => Outlook::Unsure(format!(
                        "{}. Where a default or somebody else's field is in the way, it is taken over",
                        failure.message
                    )),
                    _ => bad_news(failure),
                };
                self.by_manifest(work, &live, outlook)
            }
        }
    }

    /// Without a rehearsal: what we answer for in the live object, and what the manifest wants of it.
    fn by_manifest(&self, work: &Work<'_>, live: &Value, outlook: Outlook) -> Pair {
        let own = managed::own(live, &self.kube.options.manager);
        Pair { before: Some(project(live, &work.body, own)), after: Some(work.body.clone()), outlook }
    }

    async fn whole(&self, work: &Work<'_>) -> Result<Value, Refused> {
        self.kube.wire.get(&work.resource.object(work.namespace, work.name), super::wire::JSON).await
    }

    /// Whoever may only read may not rehearse either; some admission webhooks cannot.
    fn may_not_rehearse(&self, refused: &Refused) -> bool {
        let right = refused.code == 403 && refused.message.contains("User \"");
        let webhook = refused.code == 400 && refused.message.contains("dry run");
        if right || webhook {
            self.unrehearsed.store(true, Ordering::Relaxed);
        }
        right || webhook
    }

    /// Finds an object by a kind as a person writes it (`deploy`, `Deployment`, `deployments.apps`) and reads where it
    /// comes from; none if there is no such object.
    ///
    /// # Errors
    /// If the kind is not known or may be several, or the object cannot be read.
    pub async fn trace(&self, kind: &str, namespace: Option<&str>, name: &str) -> Result<Option<Traced>, Failure> {
        let kinds = self.kube.discovery.meant(kind).await.map_err(|refused| {
            Failure::new(Class::Retry, "Unreachable", format!("reading the kinds of the cluster: {}", refused.message))
        })?;
        let resource = match kinds.as_slice() {
            [one] => one,
            [] => {
                let message = format!("the cluster knows no kind {kind}; `kubectl api-resources` lists all");
                return Err(Failure::new(Class::Stalled, "CrdMissing", message));
            }
            // As kubectl: what is built in goes before what somebody installed.
            several => match several.iter().find(|it| !it.group.contains('.') || it.group.ends_with(".k8s.io")) {
                Some(one) => one,
                None => {
                    let names: Vec<String> = several.iter().map(|it| format!("{}.{}", it.plural, it.group)).collect();
                    let message = format!("{kind} may be {}; write one of these", names.join(" or "));
                    return Err(Failure::new(Class::Stalled, "BadRequest", message));
                }
            },
        };
        let namespace = namespace.filter(|_| resource.namespaced);
        if resource.namespaced && namespace.is_none() {
            let message = format!("a {} has a namespace; write NAMESPACE/{name}", resource.kind);
            return Err(Failure::new(Class::Stalled, "NamespaceMissing", message));
        }
        match self.kube.wire.get(&resource.object(namespace, name), METADATA).await {
            Ok(object) => Ok(Some(traced(resource, namespace, name, &object))),
            Err(refused) if refused.is_not_found() => Ok(None),
            Err(refused) => Err(classify(&Doing { verb: "get", resource, namespace, name }, &refused)),
        }
    }
}

fn traced(resource: &Resource, namespace: Option<&str>, name: &str, object: &Value) -> Traced {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let annotation = |key| {
        object.pointer("/metadata/annotations").and_then(|all| all.get(key)).and_then(Value::as_str).map(str::to_owned)
    };
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let owner = |it: &Value| {
        let text = |key| it.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let controller = it.get("controller").and_then(Value::as_bool) == Some(true);
        (text("apiVersion"), text("kind"), text("name"), controller)
    };
    Traced {
        id: Some(StepId::object(&resource.group, &resource.kind, namespace, name)),
        uid: text("/metadata/uid"),
        created: text("/metadata/creationTimestamp"),
        terminating: object.pointer("/metadata/deletionTimestamp").is_some(),
        part_of: label(object, PART_OF).map(str::to_owned),
        origin: annotation(ORIGIN),
        content_hash: annotation(CONTENT_HASH),
        managers: managed::managers(object),
        owners: references.map(owner).collect(),
    }
}

fn reading<'a>(work: &'a Work<'_>) -> Doing<'a> {
    Doing { verb: "get", ..work.doing() }
}

/// What the server refuses would fail; what it could not say is not known.
fn bad_news(failure: Failure) -> Outlook {
    match failure.class {
        Class::Stalled | Class::Bug => Outlook::Fail(failure.message),
        Class::Retry if failure.reason == "NamespaceMissing" => Outlook::Fail(failure.message),
        Class::Denied if failure.reason == "AdmissionDenied" => Outlook::Fail(failure.message),
        Class::Retry | Class::Denied | Class::Skipped => Outlook::Unsure(failure.message),
    }
}

fn declares(plan: &Plan, namespace: Option<&str>) -> bool {
    namespace.is_some_and(|name| plan.step(&StepId::object("", "Namespace", None, name)).is_some())
}
