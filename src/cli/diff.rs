//! `windlass diff`: what would happen, field by field, and nothing of it done.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use kube::api::Api;

use super::read::{self, Clone, Wish};
use super::{Exit, agent, cluster, gitsync, state, style};
use crate::agent::{kube_options, rules};
use crate::diff::render::{self, Comparison, Input, Line, Tone};
use crate::diff::{self, Which};
use crate::inventory::Inventory;
use crate::plan::Plan;
use crate::revision::Revision;
use crate::sync::{DEFAULT_NAMESPACE, GitSync};
use crate::target::dir::{Dir, Reader as DirReader};
use crate::target::kube::Reader as KubeReader;
use crate::target::read::Reader;

/// Bytes of Markdown: forges take 65,536 characters.
const MARKDOWN: usize = 60_000;

/// Show what would change, field by field, without changing anything
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --base two revisions are compared, without any cluster; a folder without --head is read as it is on disk. Without
--base what SOURCE wants is compared with what is live, the inventory read: what would be pruned, what is refused and why.
Nothing is ever written: the server is asked to rehearse each apply.

Exits with 0 if nothing would change, 1 if something would or a document has an error, 2 if it could not be told.

Examples:
  windlass diff . --base main                      what my working copy changes
  windlass diff . --base main --head feature -o markdown
  windlass diff . --sync platform                  against the cluster, as GitSync windlass-system/platform
  windlass diff . -f sync.yaml --context staging
  windlass diff . --target dir:/tmp/rendered")]
pub(super) struct Args {
    /// A folder, read as it is; or a git URL
    #[arg(value_name = "PATH|URL")]
    source: String,
    /// The sync that it is for: the GitSync in this file
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The sync that it is for: this GitSync of the cluster, NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "target", "base"])]
    sync: Option<String>,
    /// Compare with this commit, branch or tag
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
    /// Read SOURCE at this commit, branch or tag
    #[arg(long, value_name = "REVISION")]
    head: Option<String>,
    /// Compare with what is live here: `kube`, or `dir:PATH` [default: that of the sync, or kube]
    #[arg(long, value_name = "kube|dir:PATH", conflicts_with_all = ["base", "file"])]
    target: Option<String>,
    /// Only this folder or file of the repository (may be repeated)
    #[arg(long)]
    path: Vec<String>,
    /// Namespace for documents that name none [default: default]
    #[arg(long)]
    namespace: Option<String>,
    /// What is printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Also print what is created or deleted in full (text)
    #[arg(long)]
    full: bool,
    /// State folder of the sync, for a folder as target [default: $XDG_STATE_HOME/windlass/NAMESPACE/NAME]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    cluster: cluster::Args,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For pull requests
    Markdown,
    /// For programs
    Json,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let comparison = match &args.base {
        Some(base) => revisions(&args, base).await?,
        None => live(&args).await?,
    };
    let mut out = anstream::stdout();
    match args.output {
        Output::Text => {
            for line in render::text(&comparison, args.full) {
                writeln!(out, "{}", painted(&line))?;
            }
        }
        Output::Markdown => write!(out, "{}", render::markdown(&comparison, MARKDOWN))?,
        Output::Json => writeln!(out, "{:#}", render::json(&comparison))?,
    }
    Ok(if comparison.is_quiet() { Exit::Good } else { Exit::NotGood })
}

/// Rendered against rendered.
async fn revisions(args: &Args, base: &str) -> anyhow::Result<Comparison> {
    let sync = args.file.as_deref().map(gitsync::only_one).transpose()?;
    let clone = Clone::new()?;
    let wish = |revision| wish(args, sync.as_ref(), revision);
    let (old, _) = read::plan_in(&clone, wish(Some(base))).await.with_context(|| format!("cannot read {base}"))?;
    let (new, problems) = read::plan_in(&clone, wish(args.head.as_deref())).await?;
    let spec = sync.map(|sync| (sync.spec, sync.metadata.annotations.unwrap_or_default()));
    let allowed = match &spec {
        Some((spec, annotations)) => rules(spec, annotations, &new.revision),
        None => diff::Rules { prune: true, ..diff::Rules::default() },
    };
    let (from, to) = (named(args, Some(base), &old.revision), named(args, args.head.as_deref(), &new.revision));
    Ok(render::between(&old, &new, &allowed, &problems, &from, &to))
}

/// Rendered against what is there.
async fn live(args: &Args) -> anyhow::Result<Comparison> {
    let Bench { sync, reader, place, connected } = bench(args).await?;
    let (namespace, name) = (
        sync.metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE),
        sync.metadata.name.as_deref().unwrap_or_default(),
    );
    let scopes = reader.scopes().await?;
    let clone = Clone::new()?;
    let (mut plan, problems) =
        read::plan_in(&clone, Wish { scopes, ..wish(args, Some(&sync), args.head.as_deref()) }).await?;
    let key = if plan.holds_secret() { reader.hash_key().await } else { None };
    if let Some(key) = &key {
        plan = plan.keyed(key);
    }
    let plan: Plan = plan.ignoring(&sync.spec.drift.ignore, key.as_ref());
    let fresh = || Inventory::new(crate::sync::id(namespace, name), sync.spec.source.url.clone());
    let inventory = reader.inventory().await?.unwrap_or_else(fresh);
    let observed = reader.observe(&plan, &inventory).await;
    let annotations = sync.metadata.annotations.clone().unwrap_or_default();
    let allowed = rules(&sync.spec, &annotations, &plan.revision);
    let diff = diff::diff(&plan, &observed, &inventory, &allowed, Which::All);
    let pairs = reader.pairs(&plan, &diff).await;
    if let (Reader::Kube(kube), true) = (&reader, connected)
        && kube.is_unrehearsed()
    {
        writeln!(
            anstream::stderr(),
            "some applies could not be rehearsed (there is no right to, or a webhook cannot): of those, only what the \
             documents set is compared"
        )?;
    }
    let to = named(args, args.head.as_deref(), &plan.revision);
    let input = Input {
        plan: &plan,
        inventory: &inventory,
        diff: &diff,
        pairs: &pairs,
        problems: &problems,
        from: &place,
        to: &to,
    };
    Ok(render::compare(&input))
}

/// What is compared with.
struct Bench {
    sync: GitSync,
    reader: Reader,
    /// For people.
    place: String,
    connected: bool,
}

async fn bench(args: &Args) -> anyhow::Result<Bench> {
    let mut connection = None;
    let sync = match (&args.file, &args.sync) {
        (Some(file), _) => gitsync::only_one(file)?,
        (None, Some(wanted)) => {
            let (namespace, name) = wanted.split_once('/').unwrap_or((DEFAULT_NAMESPACE, wanted));
            let connected = args.cluster.connect().await?;
            let syncs: Api<GitSync> = Api::namespaced(connected.client.clone(), namespace);
            let found = syncs.get_opt(name).await.with_context(|| format!("cannot read GitSync {namespace}/{name}"))?;
            connection = Some(connected);
            found.with_context(|| {
                format!("the cluster has no GitSync {namespace}/{name}; `windlass status --context …` lists all")
            })?
        }
        (None, None) => {
            let target = agent::target(args.target.as_deref().unwrap_or("kube"))?;
            agent::local_sync(&args.source, None, &args.path, &target)?
        }
    };
    let namespace = sync.metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let name = sync.metadata.name.clone().unwrap_or_default();
    let directory = sync.spec.target.as_ref().and_then(|target| target.directory.as_ref());
    if let Some(directory) = directory {
        let folder = match &args.state {
            Some(folder) => folder.clone(),
            None => state::root()?.join(&namespace).join(&name),
        };
        let dir = Dir::new(Path::new(&directory.path), &folder, &namespace, &name, &sync.spec.source.url);
        let place = format!("files in {}", directory.path);
        return Ok(Bench { reader: Reader::Dir(Box::new(DirReader::new(dir))), sync, place, connected: false });
    }
    let connection = match connection {
        Some(connection) => connection,
        None => args.cluster.connect().await?,
    };
    let options = kube_options(&namespace, &name, &sync.spec);
    let place = format!("live in context {} as sync {namespace}/{name}", connection.context);
    let reader = Reader::Kube(Box::new(KubeReader::new(connection.client, options)));
    Ok(Bench { sync, reader, place, connected: true })
}

fn wish<'a>(args: &'a Args, sync: Option<&'a GitSync>, revision: Option<&'a str>) -> Wish<'a> {
    let paths = match sync {
        Some(sync) if args.path.is_empty() => &sync.spec.source.paths,
        _ => &args.path,
    };
    let namespace = args.namespace.clone().or_else(|| sync.and_then(|sync| sync.spec.target_namespace.clone()));
    Wish { source: &args.source, revision, paths, namespace, scopes: BTreeMap::new() }
}

/// A side of the comparison for people: the name that was given, and the commit.
fn named(args: &Args, given: Option<&str>, revision: &Revision) -> String {
    match given {
        None if revision.id.starts_with("dir:") => match args.source.as_str() {
            "." => "the working copy".to_owned(),
            path => format!("{path} as it is on disk"),
        },
        Some(given) if !revision.id.starts_with(given) => format!("{given} ({})", revision.short()),
        _ => revision.short().to_owned(),
    }
}

fn painted(line: &Line) -> String {
    line.iter().map(|(tone, text)| style::paint(colour(*tone), text)).collect()
}

fn colour(tone: Tone) -> anstyle::Style {
    use anstyle::{AnsiColor, Style};
    match tone {
        Tone::Plain => Style::new(),
        Tone::Quiet => style::QUIET,
        Tone::Strong => style::STRONG,
        Tone::Added => AnsiColor::Green.on_default(),
        Tone::Removed => AnsiColor::Red.on_default(),
        Tone::Changed => AnsiColor::Yellow.on_default(),
        Tone::Loud => AnsiColor::Red.on_default().bold(),
    }
}
