//! `windlass inventory`: what a sync owns in its target.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use kube::api::Api;

use super::{Exit, cluster, state, style};
use crate::agent::store::{self, Place};
use crate::inventory::Inventory;
use crate::sync::{DEFAULT_NAMESPACE, GitSync};
use crate::target::Target;
use crate::target::dir::Dir;
use crate::target::kube::{Kube, Options};

/// List what a sync owns in its target
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windlass inventory platform
  windlass inventory platform --context staging
  windlass inventory platform --repair          after the repository got another URL")]
pub(super) struct Args {
    /// Name of the sync, or NAMESPACE/NAME
    name: String,
    /// Print it as it is stored
    #[arg(long)]
    json: bool,
    /// The repository has moved: record what is owned for the place that the sync reads now
    #[arg(long, conflicts_with = "json")]
    repair: bool,
    /// Do not ask before --repair writes
    #[arg(long)]
    yes: bool,
    /// State folder of the sync [default: $XDG_STATE_HOME/windlass]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    cluster: cluster::Args,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let found = find(&args).await?;
    if args.repair {
        return repair(&args, &found).await;
    }
    let inventory = stored(&found.target).await?.with_context(|| format!("sync {} owns nothing yet", found.label))?;
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

/// Where the inventory lies, and of which sync it is.
struct Found {
    /// `namespace/name`.
    label: String,
    /// What the sync reads now.
    source: String,
    target: Target,
}

/// Looks in the state folders of this machine, then in a cluster.
async fn find(args: &Args) -> anyhow::Result<Found> {
    let local = local(args)?;
    let named_cluster = args.cluster.kubeconfig.is_some() || args.cluster.context.is_some();
    if let Some(Local { namespace, name, folder, place }) = &local
        && let (Some(directory), false) = (&place.directory, named_cluster)
    {
        let dir = Dir::new(directory, folder, namespace, name, &place.source);
        let label = format!("{namespace}/{name}");
        return Ok(Found { label, source: place.source.clone(), target: Target::Dir(Box::new(dir)) });
    }
    let connection = args.cluster.connect().await.with_context(|| {
        format!("no folder of sync {} on this machine, and no cluster to look for its inventory in", args.name)
    })?;
    let (namespace, name) = match (&local, args.name.split_once('/')) {
        (Some(local), _) => (local.namespace.as_str(), local.name.as_str()),
        (None, Some(both)) => both,
        (None, None) => (DEFAULT_NAMESPACE, args.name.as_str()),
    };
    let syncs: Api<GitSync> = Api::namespaced(connection.client.clone(), namespace);
    // A sync of a file is no object of the cluster: its state folder knows it.
    let in_cluster = syncs.get_opt(name).await.with_context(|| format!("cannot read GitSync {namespace}/{name}"))?;
    let of_folder = local.as_ref().filter(|local| local.place.directory.is_none()).map(|local| &local.place.source);
    let source = in_cluster.map(|sync| sync.spec.source.url).or_else(|| of_folder.cloned()).with_context(|| {
        format!("neither this machine nor the cluster knows a sync {namespace}/{name}; `windlass status` lists all")
    })?;
    let kube = Kube::new(connection.client, Options::new(namespace, name, &source));
    Ok(Found { label: format!("{namespace}/{name}"), source, target: Target::Kube(Box::new(kube)) })
}

/// A sync that had an agent on this machine.
struct Local {
    namespace: String,
    name: String,
    folder: PathBuf,
    place: Place,
}

fn local(args: &Args) -> anyhow::Result<Option<Local>> {
    let Some(folder) = state::find(args.state.as_deref(), &args.name)? else { return Ok(None) };
    let Some(saved) = store::peek(&folder)? else { return Ok(None) };
    let view = saved.summary.view;
    let known = |place| Local { namespace: view.namespace, name: view.name, folder, place };
    Ok(saved.place.map(known))
}

async fn stored(target: &Target) -> anyhow::Result<Option<Inventory>> {
    Ok(match target {
        Target::Kube(kube) => kube.stored_inventory().await?,
        Target::Dir(dir) => dir.stored_inventory().await?,
    })
}

/// Records what is owned for the source that the sync reads now.
async fn repair(args: &Args, found: &Found) -> anyhow::Result<Exit> {
    let Found { label, source, target } = found;
    let mut recorded = match target {
        Target::Kube(kube) => kube.recorded_sources().await?,
        Target::Dir(dir) => dir.stored_inventory().await?.into_iter().map(|inventory| inventory.source).collect(),
    };
    recorded.remove(source);
    let mut out = anstream::stdout();
    let Some(old) = recorded.first() else {
        writeln!(out, "{label}: nothing to repair; what it owns is recorded for {}", style::plain(source))?;
        return Ok(Exit::Good);
    };
    let (old, new) = (style::plain(old), style::plain(source));
    if !args.yes {
        let what = format!(
            "{label}: what it owns was recorded for {old}; the sync reads {new}. If that is the same repository at \
             another place, record it for {new}: from then on the next pass deletes what {new} does not declare, within \
             the sync's budget."
        );
        anyhow::ensure!(std::io::stdin().is_terminal(), "{what} Give --yes to do so");
        anyhow::ensure!(cluster::answer(&format!("{what} Do it?"))?, "stopped; nothing was written");
    }
    match target {
        Target::Kube(kube) => kube.restamp_inventory().await?,
        Target::Dir(dir) => dir.restamp_inventory().await?,
    }
    writeln!(out, "{label}: recorded for {new}; the next pass goes on with it")?;
    Ok(Exit::Good)
}
