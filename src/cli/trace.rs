//! `windlass trace`: which commit, file and document made this object; or who else did.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use kube::api::{Api, ListParams};

use super::{Exit, clock, cluster, state, status, style};
use crate::agent::store;
use crate::diff::render::words;
use crate::inventory::Entry;
use crate::plan::{Origin, State, StepId};
use crate::report::attention::Tone;
use crate::report::view::{StepView, Steps, SyncView, View};
use crate::revision::short;
use crate::sync::status::HistoryRow;
use crate::sync::{DEFAULT_NAMESPACE, GitSync, field_manager, id as sync_id, part_of};
use crate::target::dir::path;
use crate::target::kube::connect::Connection;
use crate::target::kube::{Options, Reader, Traced, means};

/// At most so many owners are followed.
const DEPTH: usize = 8;

/// Say which commit, file and document made an object
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks the agent at --agent and the state folders of this machine, then the cluster. What has an owner (a Pod, a
ReplicaSet) is followed up to what was declared. For an object that is not Windlass', it says whose it is. Exits with 1
then. Reads metadata only.

Examples:
  windlass trace deployment web/front
  windlass trace pod web/front-5d4f8-x2k
  windlass trace deployments.apps web/front --context staging
  windlass trace clusterrole reader")]
pub(super) struct Args {
    /// Kind, plural or short name; with .GROUP if it is not clear without
    kind: String,
    /// NAMESPACE/NAME, or NAME of what has no namespace
    #[arg(value_name = "NAMESPACE/NAME")]
    object: String,
    /// Address of a running agent [default: http://127.0.0.1:8480]
    #[arg(long, value_name = "URL")]
    agent: Option<String>,
    /// State folder to read
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    cluster: cluster::Args,
}

/// What is known of a sync without asking its target.
#[derive(Default)]
struct Known {
    namespace: String,
    name: String,
    /// The last attempted revision.
    revision: Option<String>,
    history: Vec<HistoryRow>,
    source: String,
    /// The folder that it writes, if that is its target.
    directory: Option<PathBuf>,
    steps: Steps,
}

/// Where an object was declared, as far as it is known.
struct Found<'a> {
    id: StepId,
    sync: &'a Known,
    origin: Origin,
    owner: Option<StepId>,
    state: Option<(State, String)>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (namespace, name) = match args.object.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, args.object.as_str()),
    };
    anyhow::ensure!(!name.is_empty() && !name.contains('/'), "{} is not NAMESPACE/NAME", args.object);
    let mut known = local(&args).await?;
    let in_steps = |known: &[Known]| {
        known.iter().position(|sync| sync.steps.iter().any(|step| is_it(&step.id, &args.kind, namespace, name)))
    };
    let mut out = anstream::stdout();
    // A folder is no cluster: all that is to be known of it is known here.
    if args.cluster.context.is_none()
        && args.cluster.kubeconfig.is_none()
        && let Some(sync) = in_steps(&known).and_then(|index| known.get(index)).filter(|it| it.directory.is_some())
        && let Some(step) = sync.steps.iter().find(|step| is_it(&step.id, &args.kind, namespace, name))
    {
        write!(out, "{}", declared(&of_step(sync, step), None))?;
        return Ok(Exit::Good);
    }
    let connection = match args.cluster.connect().await {
        Ok(connection) => connection,
        Err(error) => {
            let Some((sync, step)) = known.iter().find_map(|sync| {
                let step = sync.steps.iter().find(|step| is_it(&step.id, &args.kind, namespace, name))?;
                Some((sync, step))
            }) else {
                return Err(error.context(format!(
                    "no sync of this machine has a {} {}, and no cluster can be asked",
                    args.kind, args.object
                )));
            };
            write!(out, "{}", declared(&of_step(sync, step), None))?;
            writeln!(anstream::stderr(), "the live object was not looked at: {error:#}")?;
            return Ok(Exit::Good);
        }
    };
    known.extend(in_cluster(&connection).await);
    let reader = Reader::new(connection.client.clone(), Options::new(DEFAULT_NAMESPACE, "trace", ""));
    let Some(live) = reader.trace(&args.kind, namespace, name).await? else {
        let Some((sync, step)) = known.iter().find_map(|sync| {
            let step = sync.steps.iter().find(|step| is_it(&step.id, &args.kind, namespace, name))?;
            Some((sync, step))
        }) else {
            anyhow::bail!("the cluster has no {} {}, and no sync wants one", args.kind, args.object);
        };
        write!(out, "{}", declared(&of_step(sync, step), None))?;
        writeln!(out, "  object    not there")?;
        return Ok(Exit::NotGood);
    };
    follow(&connection, &reader, &known, live, namespace).await
}

/// From the object up through its owners, until one is declared.
async fn follow(
    connection: &Connection,
    reader: &Reader,
    known: &[Known],
    first: Traced,
    namespace: Option<&str>,
) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout();
    let mut live = first;
    for _ in 0..DEPTH {
        if let Some(found) = find(connection, known, &live).await {
            write!(out, "{}", declared(&found, Some(&live)))?;
            return Ok(Exit::Good);
        }
        let owner = live.owners.iter().find(|(.., controller)| *controller).or(live.owners.first()).cloned();
        let above = match &owner {
            Some((version, kind, name, _)) => {
                let group = version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
                reader.trace(&format!("{kind}{group}"), namespace, name).await.ok().flatten()
            }
            None => None,
        };
        let Some(above) = above else {
            write!(out, "{}", foreign(&live, owner.as_ref()))?;
            return Ok(Exit::NotGood);
        };
        let (from, to) = (title(&live), title(&above));
        writeln!(out, "{} is owned by {to}", style::paint(style::STRONG, &from))?;
        live = above;
    }
    anyhow::bail!("its owners go on for more than {DEPTH} objects; trace the last one shown")
}

fn title(live: &Traced) -> String {
    live.id.as_ref().map(words::name).unwrap_or_default()
}

/// Which sync made a live object, and from what.
async fn find<'a>(connection: &Connection, known: &'a [Known], live: &Traced) -> Option<Found<'a>> {
    let (id, label) = (live.id.clone()?, live.part_of.as_deref()?);
    let mut syncs = known.iter().filter(|sync| part_of(&sync.namespace, &sync.name) == label);
    // The one that knows the step knows the line too.
    let sync = syncs.clone().find(|sync| sync.steps.iter().any(|step| step.id == id)).or_else(|| syncs.next())?;
    let manager = field_manager(&sync_id(&sync.namespace, &sync.name));
    if !live
        .managers
        .iter()
        .any(|(name, operation, subresource, _)| *name == manager && operation == "Apply" && subresource.is_empty())
    {
        return None;
    }
    if let Some(step) = sync.steps.iter().find(|step| step.id == id) {
        return Some(of_step(sync, step));
    }
    let options = Options::new(&sync.namespace, &sync.name, &sync.source);
    let stored = Reader::new(connection.client.clone(), options).stored_inventory().await.ok().flatten();
    let entry = stored.and_then(|inventory| inventory.entries.get(&id).cloned()).unwrap_or_default();
    Some(of_entry(sync, id, &entry, live.origin.as_deref()))
}

fn of_step<'a>(sync: &'a Known, step: &StepView) -> Found<'a> {
    let document = document(&step.origin);
    Found {
        id: step.id.clone(),
        sync,
        origin: step.origin.clone(),
        owner: document.filter(|document| *document != step.id),
        state: Some((step.state, step.message.clone())),
    }
}

fn of_entry<'a>(sync: &'a Known, id: StepId, entry: &Entry, origin: Option<&str>) -> Found<'a> {
    let owner = entry.owner.clone().or_else(|| origin.and_then(StepId::from_origin)).filter(|owner| *owner != id);
    let origin = Origin { path: entry.path.as_str().into(), document: entry.document, ..Origin::default() };
    Found { id, sync, origin, owner, state: None }
}

fn document(origin: &Origin) -> Option<StepId> {
    let group = origin.api_version.split_once('/').map_or("", |(group, _)| group);
    (!origin.kind.is_empty()).then(|| StepId::object(group, &origin.kind, origin.namespace.as_deref(), &origin.name))
}

fn is_it(id: &StepId, kind: &str, namespace: Option<&str>, name: &str) -> bool {
    id.object_parts().is_some_and(|parts| {
        let lower = parts.kind.to_lowercase();
        let plurals = [format!("{lower}s"), format!("{lower}es"), format!("{}ies", lower.trim_end_matches('y'))];
        parts.name == name
            && parts.namespace == namespace
            && plurals.iter().any(|plural| means(kind, parts.kind, parts.group, plural))
    })
}

/// What a sync made, in columns.
fn declared(found: &Found<'_>, live: Option<&Traced>) -> String {
    let Found { id, sync, origin, owner, state } = found;
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.push(("sync", format!("{}/{}", sync.namespace, sync.name)));
    if let Some(revision) = &sync.revision {
        let row = sync.history.iter().find(|row| row.revision == *revision);
        let subject =
            row.and_then(|row| row.subject.as_ref()).map(|subject| format!("  {subject}")).unwrap_or_default();
        rows.push(("commit", format!("{}{subject}", short(revision))));
    }
    if !origin.path.is_empty() {
        let line = if origin.line > 0 { format!(":{}", origin.line) } else { String::new() };
        rows.push(("file", format!("{}{line}, document {}", origin.path, origin.document.max(1))));
    }
    if let Some(owner) = owner {
        rows.push(("from", format!("{}, which expands to it", words::name(owner))));
    }
    if !sync.source.is_empty() {
        rows.push(("source", sync.source.clone()));
    }
    if let Some((state, message)) = state {
        let tone = Tone::of(*state);
        let word = style::paint(style::of(tone), &format!("{} {state:?}", tone.shape()));
        rows.push(("state", format!("{word}  {}", style::plain(message)).trim_end().to_owned()));
    }
    if let Some(folder) = &sync.directory
        && let Some(relative) = path::relative(id)
    {
        rows.push(("object", folder.join(relative).display().to_string()));
    }
    if let Some(live) = live {
        let going = if live.terminating { ", being deleted" } else { "" };
        let age = clock::age(clock::now(), &live.created);
        rows.push(("object", format!("uid {}, {age} old{going}", live.uid)));
        let own = field_manager(&sync_id(&sync.namespace, &sync.name));
        let others: Vec<String> =
            live.managers.iter().filter(|(name, ..)| !name.starts_with(&own)).map(manager).collect();
        if !others.is_empty() {
            rows.push(("others", format!("{} hold fields of it", others.join(", "))));
        }
    }
    let mut text = format!("{}\n", style::paint(style::STRONG, &words::name(id)));
    for (key, value) in rows {
        // Only the state has colours of its own.
        let value = if key == "state" { value } else { style::plain(&value) };
        text.push_str(&format!("  {} {value}\n", style::paint(style::QUIET, &style::pad(key, 9))));
    }
    text
}

/// What nobody here declared: whose it is.
fn foreign(live: &Traced, owner: Option<&(String, String, String, bool)>) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(label) = &live.part_of {
        rows.push(("label", format!("it says that it is part of {label}, a sync that is not known here")));
    }
    if let Some(origin) = &live.origin {
        rows.push(("origin", format!("it says that it comes from {origin}")));
    }
    if let Some((_, kind, name, _)) = owner {
        rows.push(("owned by", format!("{kind} {name}, which cannot be read")));
    }
    for (index, holder) in live.managers.iter().enumerate() {
        rows.push((if index == 0 { "made by" } else { "" }, manager(holder)));
    }
    let age = clock::age(clock::now(), &live.created);
    rows.push(("object", format!("uid {}, {age} old", live.uid)));
    let mut text = format!("{} was not made by a sync that is known here\n", style::paint(style::STRONG, &title(live)));
    for (key, value) in rows {
        text.push_str(&format!("  {} {}\n", style::paint(style::QUIET, &style::pad(key, 9)), style::plain(&value)));
    }
    text
}

fn manager((name, operation, subresource, time): &(String, String, String, String)) -> String {
    let what = if subresource.is_empty() { operation.clone() } else { format!("{operation} of {subresource}") };
    let ago = clock::age(clock::now(), time);
    if ago.is_empty() { format!("{name} ({what})") } else { format!("{name} ({what}, {ago} ago)") }
}

/// Syncs of a running agent and of the state folders of this machine.
async fn local(args: &Args) -> anyhow::Result<Vec<Known>> {
    let mut known = Vec::new();
    for folder in state::folders(args.state.as_deref())? {
        let Some(saved) = store::peek(&folder)? else { continue };
        let place = saved.place.unwrap_or_default();
        let history = saved.summary.status.history;
        known.push(Known { source: place.source, directory: place.directory, history, ..of_view(saved.summary.view) });
    }
    let address = args.agent.as_deref().unwrap_or(status::DEFAULT_AGENT);
    match status::ask(address).await {
        Ok(bytes) => {
            let view: View =
                serde_json::from_slice(&bytes).with_context(|| format!("{address} is not a Windlass agent"))?;
            for sync in view.syncs {
                let same = known.iter_mut().find(|it| it.namespace == sync.namespace && it.name == sync.name);
                match same {
                    Some(same) => same.steps = sync.steps,
                    None => known.push(of_view(sync)),
                }
            }
        }
        Err(error) if args.agent.is_some() => return Err(error),
        Err(_) => {}
    }
    Ok(known)
}

fn of_view(view: SyncView) -> Known {
    Known { namespace: view.namespace, name: view.name, revision: view.revision, steps: view.steps, ..Known::default() }
}

/// The GitSyncs of the cluster; none where there is no such kind, or no right to read it.
async fn in_cluster(connection: &Connection) -> Vec<Known> {
    let all: Api<GitSync> = Api::all(connection.client.clone());
    let Ok(list) = all.list(&ListParams::default()).await else { return Vec::new() };
    let known = |sync: GitSync| {
        let status = sync.status.unwrap_or_default();
        Known {
            namespace: sync.metadata.namespace.unwrap_or_default(),
            name: sync.metadata.name.unwrap_or_default(),
            revision: status.last_attempted_revision,
            history: status.history,
            source: sync.spec.source.url,
            ..Known::default()
        }
    };
    list.items.into_iter().map(known).collect()
}
