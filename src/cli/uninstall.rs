//! `windlass uninstall`: removes an installation from a cluster: the agent, its rights, its inventories, its namespace.
//!
//! What the agent applied stays: git is the only authority on deletion. CRDs go only when asked for, since every object
//! of their kinds goes with them.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use backon::{ExponentialBuilder, Retryable as _};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::Exit;
use super::install::{NAME, PART_OF};
use crate::sync::{DEFAULT_NAMESPACE, GROUP};
use crate::target::kube::{HASH_KEY_LABEL, INVENTORY_LABEL, connect};

/// How long an object may take to be gone.
const GONE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Remove an installation from a cluster; what it applied stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windlass uninstall --context staging")]
pub(super) struct Args {
    /// Namespace of the agent
    #[arg(long, default_value = DEFAULT_NAMESPACE)]
    namespace: String,
    /// Also remove the CustomResourceDefinitions, and with them every GitSync, Memcached, … of the whole cluster
    #[arg(long)]
    crds: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Kubeconfig file [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long)]
    context: Option<String>,
}

/// What has to go, in this order: the agent first, so that it puts nothing back.
const KINDS: [(&str, &str, &str, bool); 8] = [
    ("apps", "v1", "Deployment", true),
    ("", "v1", "Service", true),
    ("networking.k8s.io", "v1", "NetworkPolicy", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", false),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", true),
    ("rbac.authorization.k8s.io", "v1", "Role", true),
    ("", "v1", "ServiceAccount", true),
];

/// One thing to be removed.
struct Item {
    api: Api<DynamicObject>,
    kind: &'static str,
    namespace: Option<String>,
    name: String,
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Delete,
    /// Our finalizers are taken off first: nobody is left who would do it.
    ReleaseAndDelete,
    /// It stays, so that its deletion by hand does not hang.
    Release,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.how == How::Release { "release" } else { "remove" };
        match &self.namespace {
            Some(namespace) => write!(f, "{verb} {} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{verb} {} {}", self.kind, self.name),
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(uninstall(args))
}

async fn uninstall(args: &Args) -> anyhow::Result<Exit> {
    let connection = connect::connect(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let mut out = anstream::stdout();
    let at = format!("context {} ({})", connection.context, connection.server);
    let items = find(&connection.client, args).await.with_context(|| format!("looking for an installation in {at}"))?;
    if items.is_empty() {
        writeln!(out, "nothing of Windlass is installed in namespace {} of {at}", args.namespace)?;
        return Ok(Exit::Good);
    }
    writeln!(out, "in {at}:")?;
    for item in &items {
        writeln!(out, "  {item}")?;
    }
    writeln!(
        out,
        "What the agent applied stays as it is. Without its inventories, no later agent will prune it unasked."
    )?;
    if !args.yes && !confirmed()? {
        bail!("nothing was removed; --yes goes on without a question");
    }
    for item in &items {
        remove(item).await.with_context(|| format!("{item}, in {at}; run the command again to go on"))?;
        writeln!(out, "done: {item}")?;
    }
    Ok(Exit::Good)
}

fn confirmed() -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    let mut out = anstream::stdout();
    write!(out, "Go on? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn find(client: &Client, args: &Args) -> Result<Vec<Item>, kube::Error> {
    let ours = ListParams::default().labels(&format!("{}={}", PART_OF.0, PART_OF.1));
    let mut items = Vec::new();
    for (group, version, kind, namespaced) in KINDS {
        let resource = resource(group, version, kind);
        let api = match namespaced {
            true => Api::namespaced_with(client.clone(), &args.namespace, &resource),
            false => Api::all_with(client.clone(), &resource),
        };
        let found = list(&api, &ours).await?;
        let ours = found.iter().filter(|object| object.name_any() == NAME);
        // Cluster-wide objects serve one installation: another namespace's are not ours to take.
        let ours = ours.filter(|object| kind != "ClusterRoleBinding" || is_bound(object, &args.namespace));
        items.extend(ours.map(|object| item(&api, kind, object, How::Delete)));
    }
    if !items.iter().any(|item| item.kind == "ClusterRoleBinding") {
        items.retain(|item| item.kind != "ClusterRole");
    }
    // The one cluster-wide binding says whose the GitSyncs of all namespaces are.
    let everywhere = items.iter().any(|item| item.kind == "ClusterRoleBinding");
    let mut syncs = BTreeSet::new();
    let mut finalized = Vec::new();
    for (group, version, kind, labels, how) in [
        (GROUP, "v1alpha1", "GitSync", None, How::Release),
        ("", "v1", "ConfigMap", Some(INVENTORY_LABEL), How::ReleaseAndDelete),
        ("", "v1", "Secret", Some(HASH_KEY_LABEL), How::Delete),
    ] {
        let resource = resource(group, version, kind);
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let found =
            list(&all, &labels.map_or_else(ListParams::default, |label| ListParams::default().labels(label))).await?;
        for object in &found {
            let namespace = object.namespace().unwrap_or_default();
            let ours = match how {
                How::Release => everywhere || namespace == args.namespace,
                // An agent of somebody else's may keep an inventory elsewhere.
                _ => {
                    let sync = object.labels().get(INVENTORY_LABEL);
                    namespace == args.namespace || sync.is_some_and(|sync| syncs.contains(sync))
                }
            };
            if ours && how == How::Release {
                syncs.insert(crate::sync::id(&namespace, &object.name_any()));
            }
            if !ours || (how == How::Release && !object.finalizers().iter().any(|it| is_ours(it))) {
                continue;
            }
            let api = Api::namespaced_with(client.clone(), &namespace, &resource);
            finalized.push(item(&api, kind, object, how));
        }
    }
    // After the agent, before all else.
    let after = usize::from(items.first().is_some_and(|item| item.kind == "Deployment"));
    items.splice(after..after, finalized);
    if args.crds {
        let resource = resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let api = Api::all_with(client.clone(), &resource);
        for crd in crate::sync::crds().into_iter().chain(crate::kinds::crds()) {
            let found = api.get_opt(&crd.name_any()).await?;
            items.extend(found.iter().map(|object| item(&api, "CustomResourceDefinition", object, How::Delete)));
        }
    }
    let namespaces = Api::all_with(client.clone(), &resource("", "v1", "Namespace"));
    let namespace = namespaces.get_opt(&args.namespace).await?;
    // Only a namespace that the installation made.
    let made = |object: &&DynamicObject| object.labels().get(PART_OF.0).is_some_and(|value| value == PART_OF.1);
    items.extend(namespace.iter().filter(made).map(|object| item(&namespaces, "Namespace", object, How::Delete)));
    Ok(items)
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn is_bound(binding: &DynamicObject, namespace: &str) -> bool {
    let subjects = binding.data.get("subjects").and_then(serde_json::Value::as_array);
    subjects.into_iter().flatten().any(|subject| subject["namespace"] == namespace)
}

fn item(api: &Api<DynamicObject>, kind: &'static str, object: &DynamicObject, how: How) -> Item {
    Item { api: api.clone(), kind, namespace: object.namespace(), name: object.name_any(), how }
}

/// What there is; nothing if the kind itself is not known to the cluster.
async fn list(api: &Api<DynamicObject>, params: &ListParams) -> Result<Vec<DynamicObject>, kube::Error> {
    match patiently(|| api.list(params)).await {
        Ok(list) => Ok(list.items),
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Asks again, for some seconds, while the API server says that it is busy (as it does for a kind just made).
async fn patiently<T, F>(ask: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let pauses = ExponentialBuilder::default().with_min_delay(POLL).with_max_times(6);
    ask.retry(pauses).when(|error| matches!(error, kube::Error::Api(status) if matches!(status.code, 429 | 503))).await
}

fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn is_ours(finalizer: &str) -> bool {
    finalizer.starts_with(&format!("{GROUP}/"))
}

/// Takes our finalizers off; those of others are theirs to take.
async fn release(item: &Item) -> Result<(), kube::Error> {
    let params = PatchParams::default();
    for conflicts in 0.. {
        let Some(object) = patiently(|| item.api.get_metadata_opt(&item.name)).await? else { break };
        let left: Vec<&String> = object.finalizers().iter().filter(|finalizer| !is_ours(finalizer)).collect();
        let patch =
            Patch::Merge(json!({ "metadata": { "finalizers": left, "resourceVersion": object.resource_version() } }));
        match patiently(|| item.api.patch_metadata(&item.name, &params, &patch)).await {
            Err(kube::Error::Api(status)) if status.code == 409 && conflicts < 5 => {}
            Err(error) if !is_missing(&error) => return Err(error),
            _ => break,
        }
    }
    Ok(())
}

async fn remove(item: &Item) -> anyhow::Result<()> {
    if item.how != How::Delete {
        release(item).await?;
    }
    if item.how == How::Release {
        return Ok(());
    }
    let params = DeleteParams::foreground();
    match patiently(|| item.api.delete(&item.name, &params)).await {
        Err(error) if !is_missing(&error) => return Err(error.into()),
        _ => {}
    }
    let gone = async {
        while patiently(|| item.api.get_metadata_opt(&item.name)).await?.is_some() {
            tokio::time::sleep(POLL).await;
        }
        Ok::<_, kube::Error>(())
    };
    match tokio::time::timeout(GONE, gone).await {
        Ok(result) => Ok(result?),
        Err(_) => bail!("it is being deleted, but is still there after {} s: see its finalizers", GONE.as_secs()),
    }
}
