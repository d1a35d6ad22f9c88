//! `windlass inventory`: what a sync owns in its target.

mod repair;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use kube::api::Api;

use super::{Exit, clock, cluster, state, style};
use crate::agent::store::{self, Place};
use crate::diff::render::words;
use crate::inventory::Inventory;
use crate::plan::StepId;
use crate::sync::{DEFAULT_NAMESPACE, GitSync};
use crate::target::Target;
use crate::target::dir::Dir;
use crate::target::kube::{Kube, Options};

/// List what a sync owns in its target
#[derive(Debug, clap::Args)]
#[command(after_help = "\
--repair looks at every kind of the cluster (or every file of the folder) for what carries the sync's label and was applied
by it, shows what the inventory lacks, and records it after a question. It touches no object. Where the repository has
only got another URL, it records the inventory for that one.

Examples:
  windlass inventory platform
  windlass inventory platform --context staging -o json
  windlass inventory platform --repair          after the inventory was lost, or the repository got another URL")]
pub(super) struct Args {
    /// Name of the sync, or NAMESPACE/NAME
    name: String,
    /// What is printed; JSON is the inventory as it is stored
    #[arg(short, long, value_enum, default_value_t = Output::Text, conflicts_with = "repair")]
    output: Output,
    /// Record what carries the sync's mark in the target and is not in the inventory
    #[arg(long)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let found = find(&args).await?;
    if args.repair {
        return repair::run(args.yes, &found).await;
    }
    let inventory = stored(&found.target).await?.with_context(|| format!("sync {} owns nothing yet", found.label))?;
    let mut out = anstream::stdout();
    if args.output == Output::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&inventory)?)?;
        return Ok(Exit::Good);
    }
    let (births, size) = match &found.target {
        Target::Kube(kube) => (kube.births(&inventory.entries).await, Some(kube.stored_size().await?)),
        Target::Dir(_) => (BTreeMap::new(), None),
    };
    write!(out, "{}", table(&inventory, &births))?;
    writeln!(out, "{}", style::paint(style::STRONG, &last(&inventory, size)))?;
    Ok(Exit::Good)
}

/// Every entry below what expanded to it: name, file, age or what is odd about it.
fn table(inventory: &Inventory, births: &BTreeMap<StepId, String>) -> String {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut below: BTreeMap<&StepId, Vec<&StepId>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (id, entry) in &inventory.entries {
        match entry.owner.as_ref().filter(|owner| *owner != id && inventory.entries.contains_key(*owner)) {
            Some(owner) => below.entry(owner).or_default().push(id),
            None => roots.push(id),
        }
    }
    roots.sort_by_cached_key(|id| {
        id.object_parts()
            .map(|parts| (parts.namespace.map(str::to_owned), parts.kind.to_owned(), parts.name.to_owned()))
    });
    let now = clock::now();
    let mut row = |id: &StepId, indent: String| {
        let Some(entry) = inventory.entries.get(id) else { return };
        let note = match (entry.deleting, &entry.uid, births.get(id), &entry.done) {
            (true, ..) => "to be deleted".to_owned(),
            (_, None, ..) => "not made yet".to_owned(),
            (_, _, Some(then), _) => clock::age(now, then),
            (.., Some(_)) => "done".to_owned(),
            _ if births.is_empty() => String::new(),
            _ => "not there".to_owned(),
        };
        let keep = if entry.keep { "  kept" } else { "" };
        let file = match (indent.is_empty(), entry.path.is_empty()) {
            (false, _) => String::new(),
            (true, true) => "not known yet".to_owned(),
            (true, false) => format!("{}#{}", entry.path, entry.document),
        };
        rows.push([format!("{indent}{}", words::name(id)), style::plain(&file), format!("{note}{keep}")]);
    };
    for root in roots {
        // Depth first; a circle of owners, which only a damaged inventory has, has no root and is not met.
        let mut open = vec![(root, 0_usize, false)];
        while let Some((id, depth, last)) = open.pop() {
            let branch = if last { "└─ " } else { "├─ " };
            let indent = if depth == 0 { String::new() } else { format!("{}{branch}", "   ".repeat(depth - 1)) };
            row(id, indent);
            let children = below.get(id).map(Vec::as_slice).unwrap_or_default();
            for (index, child) in children.iter().enumerate().rev() {
                open.push((child, depth + 1, index + 1 == children.len()));
            }
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    let line = |[name, file, note]: &[String; 3]| {
        let file = if note.is_empty() { file.clone() } else { format!("{}  ", style::pad(file, second)) };
        format!("{}  {}{note}\n", style::pad(name, first), style::paint(style::QUIET, &file))
    };
    rows.iter().map(line).collect()
}

fn last(inventory: &Inventory, size: Option<(usize, usize)>) -> String {
    let entries = inventory.entries.values();
    let pending = entries.clone().filter(|entry| entry.uid.is_none()).count();
    let deleting = entries.clone().filter(|entry| entry.deleting).count();
    let mut text = format!("{} entries", inventory.entries.len());
    for (count, what) in [(pending, "not made yet"), (deleting, "to be deleted")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some((parts, bytes)) = size {
        let noun = if parts == 1 { "ConfigMap" } else { "ConfigMaps" };
        text.push_str(&format!("; {parts} {noun}, {bytes} bytes"));
    }
    format!("{text}; of {}", style::plain(&inventory.source))
}

/// Where the inventory lies, and of which sync it is.
struct Found {
    /// `namespace/name`.
    label: String,
    /// What the sync reads now.
    source: String,
    target: Target,
    /// Its state folder on this machine, if it has one.
    folder: Option<PathBuf>,
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
        let (source, folder) = (place.source.clone(), Some(folder.clone()));
        return Ok(Found { label, source, target: Target::Dir(Box::new(dir)), folder });
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
    let label = format!("{namespace}/{name}");
    Ok(Found { label, source, target: Target::Kube(Box::new(kube)), folder: None })
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
