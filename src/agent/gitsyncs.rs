//! The GitSyncs of a cluster: a task for each, started, restarted and ended as the objects come, change and go.
//!
//! Reads GitSyncs, writes only their finalizer (and that only with `deletionPolicy: Prune`). Our own status writes change
//! neither spec nor annotations and so restart nothing. Called by `cli`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::open::{self, OpenError, Wanted};
use super::store::StoreError;
use super::{Config, pass, run, timing};
use crate::diff::Which;
use crate::plan::canonical;
use crate::problem::Problem;
use crate::report::summary::{self, End, Facts, Summary, Who, Wrote};
use crate::sync::load;
use crate::sync::spec::{DeletionPolicy, GitSync};
use crate::target::kube::{ObjectName, Reports};

/// Kept on a GitSync until everything that it owns is deleted.
const FINALIZER: &str = "windlass.dev/prune";

/// A sync at work.
struct Running {
    /// Hash of what it was started with.
    started_with: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What every GitSync shares.
#[derive(Clone)]
struct Shared {
    config: Config,
    client: kube::Client,
    state: PathBuf,
    secrets: Option<PathBuf>,
}

type Key = (String, String);

/// Watches the GitSyncs of the cluster until stopped.
///
/// # Errors
/// If there is no cluster.
pub async fn watch_cluster(
    config: &Config,
    state: &Path,
    secrets: Option<&Path>,
    stop: &CancellationToken,
) -> Result<(), OpenError> {
    let Some(cluster) = &config.cluster else {
        return Err(OpenError::Spec("of the cluster".to_owned(), "there is no connection to a cluster".to_owned()));
    };
    let shared = Shared {
        config: config.clone(),
        client: cluster.client.clone(),
        state: state.to_owned(),
        secrets: secrets.map(Path::to_owned),
    };
    let all: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource());
    let mut events = watcher(all, watcher::Config::default()).default_backoff().boxed();
    let mut running: BTreeMap<Key, Running> = BTreeMap::new();
    let mut listed: Vec<Key> = Vec::new();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => listed.clear(),
            Some(Ok(watcher::Event::InitApply(object))) => {
                listed.push(key(&object));
                update(&shared, &mut running, object, stop).await;
            }
            Some(Ok(watcher::Event::InitDone)) => {
                let gone: Vec<Key> = running.keys().filter(|key| !listed.contains(key)).cloned().collect();
                for key in gone {
                    end(&shared, &mut running, &key).await;
                }
                config.board.neighbours.complete();
                config.board.started();
            }
            Some(Ok(watcher::Event::Apply(object))) => update(&shared, &mut running, object, stop).await,
            Some(Ok(watcher::Event::Delete(object))) => end(&shared, &mut running, &key(&object)).await,
            Some(Err(error)) => tracing::warn!(%error, "the GitSyncs of the cluster cannot be watched; trying again"),
            None => break,
        }
    }
    for (_, sync) in running {
        sync.stop.cancel();
        // A task that broke has logged why.
        _ = sync.task.await;
    }
    Ok(())
}

fn resource() -> kube::api::ApiResource {
    kube::api::ApiResource::erase::<GitSync>(&())
}

fn key(object: &DynamicObject) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Starts, restarts or leaves alone.
async fn update(
    shared: &Shared,
    running: &mut BTreeMap<Key, Running>,
    object: DynamicObject,
    stop: &CancellationToken,
) {
    let key = key(&object);
    let Ok(value) = serde_json::to_value(&object) else { return };
    let started_with = canonical::hash(&json!([
        value.get("spec"),
        value.pointer("/metadata/annotations"),
        value.pointer("/metadata/uid"),
        value.pointer("/metadata/deletionTimestamp"),
    ]));
    if running.get(&key).is_some_and(|sync| sync.started_with == started_with) {
        return;
    }
    halt(running, &key).await;
    let own_stop = stop.child_token();
    let (shared, token) = (shared.clone(), own_stop.clone());
    shared.config.board.expect(&key.0, &key.1);
    // Known to those that wait for it even if it cannot be started.
    let needs = value.pointer("/spec/dependsOn").and_then(Value::as_array).into_iter().flatten();
    let needs = needs.filter_map(Value::as_str).map(|text| load::dependency(&key.0, text)).collect();
    shared.config.board.neighbours.join(&key, needs);
    let task = tokio::spawn(async move { live(shared, object, value, token).await });
    running.insert(key, Running { started_with, stop: own_stop, task });
}

async fn end(shared: &Shared, running: &mut BTreeMap<Key, Running>, key: &Key) {
    halt(running, key).await;
    shared.config.board.neighbours.leave(key);
    shared.config.board.claims.leave(&crate::sync::part_of(&key.0, &key.1));
    shared.config.board.remove(&key.0, &key.1);
}

async fn halt(running: &mut BTreeMap<Key, Running>, key: &Key) {
    if let Some(old) = running.remove(key) {
        old.stop.cancel();
        // A task that broke has logged why.
        _ = old.task.await;
    }
}

/// The life of one GitSync between two of its changes.
async fn live(shared: Shared, object: DynamicObject, value: Value, stop: CancellationToken) {
    let (namespace, name) = key(&object);
    let (sync, problems) = load::read(&value, &timing::CHECKS);
    let deleting = object.meta().deletion_timestamp.is_some();
    let marked = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let Some(mut sync) = sync else {
        invalid(&shared, &object, &problems).await;
        return;
    };
    sync.metadata = object.metadata.clone();
    sync.status = value.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    let secrets = match (&shared.secrets, &sync.spec.source.secret_ref) {
        (Some(folder), Some(reference)) => Some(folder.join(&reference.name)).filter(|folder| folder.is_dir()),
        _ => None,
    };
    let prunes = sync.spec.deletion_policy == DeletionPolicy::Prune;
    let wanted = Wanted { folder: shared.state.join(&namespace).join(&name), sync, secrets, in_cluster: true };
    let mut failures = 0;
    while !stop.is_cancelled() {
        let done = if deleting {
            if !marked {
                return;
            }
            farewell(&shared, &wanted, prunes, &stop).await
        } else {
            match mark(&shared, &object, prunes, marked).await {
                Ok(()) => run(&shared.config, std::slice::from_ref(&wanted), &stop).await.map(|()| true),
                Err(error) => {
                    tracing::warn!(sync = %format!("{namespace}/{name}"), %error, "the finalizer cannot be set");
                    Ok(false)
                }
            }
        };
        match done {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(sync = %format!("{namespace}/{name}"), %error, "the sync cannot be started");
                cannot_start(&shared, &wanted, &error).await;
            }
        }
        failures += 1;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(timing::backoff(std::time::Duration::from_secs(5), failures)) => {}
        }
    }
}

/// Sets or takes away the finalizer, as the policy says.
async fn mark(shared: &Shared, object: &DynamicObject, prunes: bool, marked: bool) -> kube::Result<()> {
    if prunes == marked {
        return Ok(());
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if prunes {
        finalizers.push(FINALIZER.to_owned());
    }
    patch_finalizers(shared, &key(object), object.resource_version(), &finalizers).await
}

async fn patch_finalizers(
    shared: &Shared,
    (namespace, name): &Key,
    version: Option<String>,
    finalizers: &[String],
) -> kube::Result<()> {
    let syncs: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), namespace, &resource());
    // With the resourceVersion: another controller's finalizer is never lost.
    let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": version } });
    syncs.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(|_| ())
}

/// Deletes everything the sync owns (with `deletionPolicy: Prune`), then lets the GitSync go. True when it is gone.
async fn farewell(shared: &Shared, wanted: &Wanted, prunes: bool, stop: &CancellationToken) -> Result<bool, OpenError> {
    if prunes {
        let (bench, mut memory) = open::open(&shared.config, wanted).await?;
        let empty = pass::prune_all(&bench, &mut memory, stop).await;
        bench.release().await;
        if !empty {
            return Ok(false);
        }
    }
    let key = (wanted.namespace().to_owned(), wanted.name().to_owned());
    let syncs: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), &key.0, &resource());
    let left = match syncs.get_opt(&key.1).await {
        Ok(Some(now)) => {
            let finalizers: Vec<String> =
                now.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
            patch_finalizers(shared, &key, now.resource_version(), &finalizers).await
        }
        Ok(None) => return Ok(true),
        Err(error) => Err(error),
    };
    if let Err(error) = left {
        tracing::warn!(sync = %format!("{}/{}", key.0, key.1), %error, "the finalizer cannot be taken away");
        return Ok(false);
    }
    Ok(true)
}

/// A GitSync that cannot be used says so itself.
async fn invalid(shared: &Shared, object: &DynamicObject, problems: &[Problem]) {
    tell(shared, object, problems, End::Invalid, None).await;
}

async fn cannot_start(shared: &Shared, wanted: &Wanted, error: &OpenError) {
    if matches!(error, OpenError::Store(StoreError::Locked { .. })) {
        // The agent that has the state folder tells the cluster.
        shared.config.board.seen(wanted.namespace(), wanted.name());
        return;
    }
    let mut object = DynamicObject::new(wanted.name(), &resource());
    object.metadata = wanted.sync.metadata.clone();
    let text = error.to_string();
    let end = match error {
        OpenError::Source(_) | OpenError::Secret { .. } => End::NoRevision,
        _ => End::TargetFailed(crate::sync::conditions::reasons::TARGET_UNAVAILABLE, &text),
    };
    tell(shared, &object, &[], end, Some(&text)).await;
}

async fn tell(shared: &Shared, object: &DynamicObject, problems: &[Problem], end: End<'_>, source_error: Option<&str>) {
    let (namespace, name) = key(object);
    let who = Who {
        namespace: namespace.clone(),
        name: name.clone(),
        generation: object.meta().generation,
        cluster: shared.config.cluster_name.clone(),
        source: String::new(),
        following: String::new(),
    };
    let previous = object.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    let before = Summary { status: previous.unwrap_or_default(), ..Summary::default() };
    let outcomes = BTreeMap::new();
    let summary = summary::summarize(
        &before,
        &Facts {
            who: &who,
            now: (shared.config.clock)(),
            duration_ms: 0,
            revision: None,
            fetched_at: None,
            plan: None,
            problems,
            inventory: None,
            live: &BTreeMap::new(),
            outcomes: &outcomes,
            which: Which::All,
            same_plan: false,
            wrote: Wrote::default(),
            end,
            source_error,
            handled: None,
            pinned: None,
        },
    );
    shared.config.board.publish(&summary.view);
    shared.config.board.seen(&namespace, &name);
    let reports = Reports::new(shared.client.clone(), &crate::sync::field_manager(&crate::sync::id(&namespace, &name)));
    let of = ObjectName {
        api_version: format!("{}/v1alpha1", crate::sync::GROUP),
        kind: "GitSync".to_owned(),
        namespace: Some(namespace),
        name,
        uid: object.uid(),
    };
    let Ok(status) = serde_json::to_value(&summary.status) else { return };
    if let Err(error) = reports.write_status(&of, None, &status).await {
        tracing::warn!(sync = %who.name, %error, "a status was not written");
    }
}
