//! `windlass sync`, `suspend` and `resume`: reach the agent of a sync, on this machine or in the cluster.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{Exit, clock, cluster, state};
use crate::agent::store::{self, Request};
use crate::revision::short;
use crate::sync::{DEFAULT_NAMESPACE, GitSync, PIN};

/// Ask for a pass now, or hold a sync at a revision
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A commit that was fetched before is found without the forge. On a GitSync of the cluster the pin is the annotation
windlass.dev/pin.

Examples:
  windlass sync platform                      look now
  windlass sync platform --revision 3f2a1bc   go to that commit and stay there
  windlass sync platform                      follow the source again")]
pub(super) struct SyncArgs {
    /// Name of the sync, or NAMESPACE/NAME
    name: String,
    /// Go to this commit and stay there until the next `sync` without one
    #[arg(long)]
    revision: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Pause a sync: no pass runs until `windlass resume`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  windlass suspend platform\n  windlass suspend --all")]
pub(super) struct SuspendArgs {
    #[command(flatten)]
    which: Which,
}

/// Let a paused sync go on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  windlass resume platform\n  windlass resume --all")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Name of the sync, or NAMESPACE/NAME
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// Every sync of this machine; with --context or --kubeconfig every sync of that cluster
    #[arg(long, conflicts_with = "name")]
    all: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The agent's state folder [default: $XDG_STATE_HOME/windlass]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Do not ask before the first write to a cluster
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    cluster: cluster::Args,
}

impl Place {
    fn is_cluster(&self) -> bool {
        self.cluster.kubeconfig.is_some() || self.cluster.context.is_some()
    }
}

pub(super) async fn sync(args: SyncArgs) -> anyhow::Result<Exit> {
    let request = Request::Sync { revision: args.revision };
    one(&args.name, &request, &args.place).await
}

pub(super) async fn suspend(args: SuspendArgs) -> anyhow::Result<Exit> {
    each(args.which, &Request::Suspend).await
}

pub(super) async fn resume(args: ResumeArgs) -> anyhow::Result<Exit> {
    each(args.which, &Request::Resume).await
}

async fn each(which: Which, request: &Request) -> anyhow::Result<Exit> {
    if let Some(name) = &which.name {
        return one(name, request, &which.place).await;
    }
    if which.place.is_cluster() {
        let connection = which.place.cluster.connect().await?;
        cluster::agree(&connection, "Change every GitSync", which.place.yes)?;
        let all: Api<GitSync> = Api::all(connection.client.clone());
        let syncs = all.list(&kube::api::ListParams::default()).await.context("cannot list the GitSyncs")?;
        anyhow::ensure!(!syncs.items.is_empty(), "there is no GitSync in the cluster");
        for sync in &syncs.items {
            let namespace = sync.metadata.namespace.as_deref().unwrap_or_default();
            ask_cluster(&connection.client, namespace, sync.metadata.name.as_deref().unwrap_or_default(), request)
                .await?;
        }
        return Ok(Exit::Good);
    }
    let folders = state::folders(which.place.state.as_deref())?;
    anyhow::ensure!(!folders.is_empty(), "there is no sync on this machine; --state DIR names another place");
    for folder in folders {
        ask_local(&folder, request)?;
    }
    Ok(Exit::Good)
}

async fn one(name: &str, request: &Request, place: &Place) -> anyhow::Result<Exit> {
    if !place.is_cluster()
        && let Some(folder) = state::find(place.state.as_deref(), name)?
    {
        ask_local(&folder, request)?;
        return Ok(Exit::Good);
    }
    anyhow::ensure!(
        place.state.is_none(),
        "there is no sync {name} in that state folder; `windlass status --state DIR` lists what is there"
    );
    let connection = place.cluster.connect().await.with_context(|| {
        format!("there is no sync {name} on this machine, and no cluster to look for it in (--state DIR names another place)")
    })?;
    cluster::agree(&connection, &format!("Change GitSync {name}"), place.yes)?;
    let (namespace, name) = name.split_once('/').unwrap_or((DEFAULT_NAMESPACE, name));
    ask_cluster(&connection.client, namespace, name, request).await?;
    Ok(Exit::Good)
}

fn ask_local(folder: &Path, request: &Request) -> anyhow::Result<()> {
    let running = store::leave(folder, request, clock::now())?;
    let saved = store::peek(folder)?.unwrap_or_default();
    let name = format!("{}/{}", saved.summary.view.namespace, saved.summary.view.name);
    let what = said(request);
    let when = if running { "the agent does it now" } else { "no agent is running: the next one does it first" };
    writeln!(anstream::stdout(), "{name}: {what}; {when}{}", afterwards(request, &saved.summary.view.name))?;
    Ok(())
}

async fn ask_cluster(client: &kube::Client, namespace: &str, name: &str, request: &Request) -> anyhow::Result<()> {
    let patch = match request {
        // Asking for a pass without a revision takes the pin off.
        Request::Sync { revision } => {
            let annotations = json!({ "windlass.dev/requested-at": clock::now().to_string(), PIN: revision });
            json!({ "metadata": { "annotations": annotations } })
        }
        Request::Suspend => json!({ "spec": { "suspend": true } }),
        Request::Resume => json!({ "spec": { "suspend": false } }),
    };
    let syncs: Api<GitSync> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some("windlass-cli".to_owned()), ..PatchParams::default() };
    syncs
        .patch(name, &params, &Patch::Merge(&patch))
        .await
        .with_context(|| format!("cannot change GitSync {namespace}/{name}"))?;
    writeln!(anstream::stdout(), "{namespace}/{name}: {}{}", said(request), afterwards(request, name))?;
    Ok(())
}

/// How it is taken back.
fn afterwards(request: &Request, name: &str) -> String {
    match request {
        Request::Sync { revision: Some(_) } => format!("; `windlass sync {name}` follows the source again"),
        _ => String::new(),
    }
}

fn said(request: &Request) -> String {
    match request {
        Request::Sync { revision: None } => "asked for a pass".to_owned(),
        Request::Sync { revision: Some(revision) } => format!("asked to go to {} and stay there", short(revision)),
        Request::Suspend => "suspended".to_owned(),
        Request::Resume => "resumed".to_owned(),
    }
}
