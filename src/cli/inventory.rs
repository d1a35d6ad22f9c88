//! `windlass inventory`: what a sync owns in its target.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use kube::api::Api;

use super::{Exit, cluster, state, style};
use crate::inventory::Inventory;
use crate::sync::{DEFAULT_NAMESPACE, GitSync};
use crate::target::World as _;
use crate::target::kube::{Kube, Options};

/// List what a sync owns in its target
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windlass inventory platform
  windlass inventory platform --context staging")]
pub(super) struct Args {
    /// Name of the sync, or NAMESPACE/NAME
    name: String,
    /// Print it as it is stored
    #[arg(long)]
    json: bool,
    /// State folder of the sync [default: $XDG_STATE_HOME/windlass]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    cluster: cluster::Args,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let inventory = match local(&args)? {
        Some(inventory) => inventory,
        None => of_cluster(&args).await?,
    };
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&inventory)?)?;
        return Ok(Exit::Good);
    }
    let width = inventory.entries.keys().map(|id| id.as_str().chars().count()).max().unwrap_or_default();
    for (id, entry) in &inventory.entries {
        let note = match (entry.deleting, &entry.uid) {
            (true, _) => "  to be deleted",
            (false, None) => "  not made yet",
            _ => "",
        };
        let place = style::plain(&format!("{}#{}", entry.path, entry.document));
        writeln!(
            out,
            "{}  {}{note}",
            style::pad(&style::plain(id.as_str()), width),
            style::paint(style::QUIET, &place)
        )?;
    }
    writeln!(anstream::stderr(), "{} entries", inventory.entries.len())?;
    Ok(Exit::Good)
}

/// A directory target's inventory lies in the state folder.
fn local(args: &Args) -> anyhow::Result<Option<Inventory>> {
    if args.cluster.kubeconfig.is_some() || args.cluster.context.is_some() {
        return Ok(None);
    }
    let Some(folder) = state::find(args.state.as_deref(), &args.name)? else { return Ok(None) };
    let path = folder.join("inventory.json");
    match std::fs::read(&path) {
        Ok(bytes) => {
            Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

async fn of_cluster(args: &Args) -> anyhow::Result<Inventory> {
    let connection = args
        .cluster
        .connect()
        .await
        .with_context(|| format!("no inventory of {} on this machine, and no cluster to look in", args.name))?;
    let (namespace, name) = args.name.split_once('/').unwrap_or((DEFAULT_NAMESPACE, &args.name));
    let syncs: Api<GitSync> = Api::namespaced(connection.client.clone(), namespace);
    let sync = syncs.get(name).await.with_context(|| format!("cannot read GitSync {namespace}/{name}"))?;
    let kube = Kube::new(connection.client, Options::new(namespace, name, &sync.spec.source.url));
    kube.load_inventory().await?.with_context(|| format!("sync {namespace}/{name} owns nothing in this cluster"))
}
