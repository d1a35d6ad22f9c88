//! `windlass status`: the verdict, then what is behind it.
//!
//! Asks a running agent first, then looks at state folders, then at the GitSyncs of a cluster.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use kube::api::{Api, ListParams};

use super::{Exit, cluster, state, style};
use crate::agent::store;
use crate::report::attention::{Tone, tone};
use crate::report::verdict::{self, Standing};
use crate::report::view::{StepView, SyncView, View};
use crate::sync::GitSync;

/// Where an agent listens unless told otherwise.
pub(super) const DEFAULT_AGENT: &str = "http://127.0.0.1:8480";

/// Without a name, so many documents that are ready are listed.
const READY_DOCUMENTS: usize = 30;

/// Say how all syncs stand, or everything about one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks the agent at --agent first; without one it reads the state folders of this machine, then the GitSyncs of the
cluster. Exits with 1 if a sync is not ready.

Examples:
  windlass status
  windlass status platform
  windlass status -o json | jq '.syncs[].counts'")]
pub(super) struct Args {
    /// Name of a sync, or NAMESPACE/NAME
    name: Option<String>,
    /// What is printed; JSON is what the agent's /api/v1/syncs says
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Address of a running agent
    #[arg(long, value_name = "URL")]
    agent: Option<String>,
    /// State folder to read
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
    let (bytes, mut view) = look(&args).await?;
    if let Some(wanted) = &args.name {
        let (namespace, name) = wanted.split_once('/').map_or((None, wanted.as_str()), |(ns, name)| (Some(ns), name));
        view.syncs.retain(|sync| sync.name == name && namespace.is_none_or(|namespace| sync.namespace == namespace));
        anyhow::ensure!(!view.syncs.is_empty(), "there is no sync {wanted}; `windlass status` lists all");
    }
    let mut out = anstream::stdout();
    match args.output {
        Output::Json if args.name.is_none() => out.write_all(&bytes)?,
        Output::Json => out.write_all(&serde_json::to_vec(&view)?)?,
        Output::Text => write!(out, "{}", text(&view, args.name.is_some()))?,
    }
    let good = view.syncs.iter().all(|sync| matches!(verdict::standing(sync), Standing::Live | Standing::Suspended));
    Ok(if good { Exit::Good } else { Exit::NotGood })
}

/// The view, and its JSON as it came.
async fn look(args: &Args) -> anyhow::Result<(Vec<u8>, View)> {
    let named_cluster = args.cluster.kubeconfig.is_some() || args.cluster.context.is_some();
    if args.state.is_none() && !named_cluster {
        let address = args.agent.as_deref().unwrap_or(DEFAULT_AGENT);
        match ask(address).await {
            Ok(bytes) => {
                let view =
                    serde_json::from_slice(&bytes).with_context(|| format!("{address} is not a Windlass agent"))?;
                return Ok((bytes, view));
            }
            Err(error) if args.agent.is_some() => return Err(error),
            Err(_) => {}
        }
    }
    let view = if named_cluster {
        from_cluster(args).await?
    } else {
        let found = from_folders(args)?;
        if found.syncs.is_empty() && args.state.is_none() {
            from_cluster(args).await.context(
                "no agent answers at 127.0.0.1:8480, this machine holds no state, and no cluster can be asked. `windlass demo` shows how it looks",
            )?
        } else {
            found
        }
    };
    Ok((serde_json::to_vec(&view)?, view))
}

pub(super) async fn ask(address: &str) -> anyhow::Result<Vec<u8>> {
    super::crypto();
    // An agent of this machine is never behind a proxy.
    let client = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(10))
        .build()
        .context("cannot make a client")?;
    let url = format!("{}/api/v1/syncs", address.trim_end_matches('/'));
    let answer = client.get(&url).send().await.with_context(|| format!("no agent answers at {address}"))?;
    anyhow::ensure!(answer.status().is_success(), "{address} answers {}; is it a Windlass agent?", answer.status());
    Ok(answer.bytes().await.with_context(|| format!("{address} broke off its answer"))?.to_vec())
}

fn from_folders(args: &Args) -> anyhow::Result<View> {
    let mut syncs = Vec::new();
    for folder in state::folders(args.state.as_deref())? {
        syncs.extend(store::peek(&folder)?.map(|saved| saved.summary.view));
    }
    syncs.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(View { syncs })
}

/// A GitSync's status is small: it says how it stands, not every step.
async fn from_cluster(args: &Args) -> anyhow::Result<View> {
    let connection = args.cluster.connect().await?;
    let all: Api<GitSync> = Api::all(connection.client.clone());
    let list = all.list(&ListParams::default()).await.context("cannot list the GitSyncs of the cluster")?;
    let mut syncs: Vec<SyncView> = list.items.into_iter().map(of_object).collect();
    syncs.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(View { syncs })
}

fn of_object(sync: GitSync) -> SyncView {
    let status = sync.status.unwrap_or_default();
    SyncView {
        namespace: sync.metadata.namespace.unwrap_or_default(),
        name: sync.metadata.name.unwrap_or_default(),
        cluster: sync.spec.cluster.unwrap_or_default(),
        revision: status.last_attempted_revision,
        conditions: status.conditions,
        counts: status.counts,
        ..SyncView::default()
    }
}

/// For people: the verdict, then a block a sync. Without a name a document that is ready is one line, and only so many
/// of them.
fn text(view: &View, everything: bool) -> String {
    let mut text = format!("{}\n", style::paint(style::STRONG, &verdict::verdict(view)));
    for sync in &view.syncs {
        let colour = tone(sync);
        let sentence = style::plain(&verdict::sentence(sync));
        text.push_str(&format!(
            "\n{} {}/{}  {sentence}\n",
            style::paint(style::of(colour), colour.shape()),
            sync.namespace,
            style::paint(style::STRONG, &sync.name),
        ));
        for problem in &sync.problems {
            text.push_str(&format!("  {}\n", style::plain(&problem.to_string())));
        }
        text.push_str(&tree(sync, everything));
    }
    text
}

/// Steps below the document they come from, columns aligned.
fn tree(sync: &SyncView, everything: bool) -> String {
    let mut rows: Vec<(String, &StepView)> = Vec::new();
    let mut documents: Vec<(&crate::plan::Origin, Vec<&StepView>)> = Vec::new();
    let mut place = std::collections::BTreeMap::new();
    for step in &sync.steps {
        let key = (&step.origin.path, step.origin.document, &step.origin.kind, &step.origin.name);
        let at = *place.entry(key).or_insert_with(|| {
            documents.push((&step.origin, Vec::new()));
            documents.len() - 1
        });
        documents[at].1.push(step);
    }
    let mut ready_documents = 0;
    for (origin, steps) in documents {
        let own = steps.iter().position(|step| is_document(step, origin));
        let shown = |step: &StepView| everything || Tone::of(step.state) != Tone::Ready;
        if !steps.iter().any(|step| shown(step)) {
            if ready_documents < READY_DOCUMENTS {
                rows.extend(steps.get(own.unwrap_or_default()).map(|step| (String::new(), *step)));
            }
            ready_documents += 1;
            continue;
        }
        let mut children: Vec<&StepView> = steps.clone();
        if let Some(own) = own {
            rows.push((String::new(), children.remove(own)));
        }
        children.retain(|step| shown(step));
        let last = children.len().saturating_sub(1);
        for (index, child) in children.into_iter().enumerate() {
            let branch = if own.is_none() {
                ""
            } else if index == last {
                "└─ "
            } else {
                "├─ "
            };
            rows.push((branch.to_owned(), child));
        }
    }
    let name = |step: &StepView| crate::diff::render::words::name(&step.id);
    let width =
        rows.iter().map(|(branch, step)| branch.chars().count() + name(step).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (branch, step) in rows {
        let colour = Tone::of(step.state);
        let first = style::pad(&style::plain(&format!("{branch}{}", name(step))), width);
        let state = style::paint(style::of(colour), &format!("{:<11}", format!("{:?}", step.state)));
        let why = if colour == Tone::Ready {
            let place = format!("{}:{}", step.origin.path, step.origin.line);
            style::paint(style::QUIET, &style::plain(&place))
        } else {
            style::plain(&step.message)
        };
        let shape = style::paint(style::of(colour), colour.shape());
        text.push_str(format!("  {shape} {first}  {state} {why}").trim_end());
        text.push('\n');
    }
    if ready_documents > READY_DOCUMENTS {
        let (more, name) = (ready_documents - READY_DOCUMENTS, &sync.name);
        text.push_str(&format!("    and {more} more that are ready; `windlass status {name}` lists all\n"));
    }
    text
}

fn is_document(step: &StepView, origin: &crate::plan::Origin) -> bool {
    step.id.object_parts().is_some_and(|parts| {
        origin.kind == parts.kind && origin.name == parts.name && parts.namespace == origin.namespace.as_deref()
    })
}
