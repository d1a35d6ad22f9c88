//! `windlass agent`: keeps syncs converged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Exit, clock, cluster, gitsync, logs, once, signals, state};
use crate::agent::{self, Board, Config, Wanted};
use crate::dashboard;
use crate::sync::{DEFAULT_NAMESPACE, GitSync, crds};
use crate::target::Class;
use crate::target::kube::connect::Connection;
use crate::target::kube::ensure_crds;
use crate::telemetry::Metrics;

/// Keep the world as a git repository wants it
///
/// Without -f and --source it watches the GitSync objects of the cluster it is connected to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windlass agent --source . --target dir:/tmp/rendered     a working copy into a folder
  windlass agent --source https://example.org/platform.git --path envs/prod --once
  windlass agent -f syncs.yaml --context staging
  windlass agent                                           the GitSyncs of the cluster

With --once it makes one pass, waits until everything is ready, and exits: 0 ready, 1 not, 2 could not run.")]
pub(super) struct Args {
    /// GitSyncs from this file; they are not sent to the cluster (may be repeated)
    #[arg(short, value_name = "FILE", conflicts_with = "source")]
    file: Vec<PathBuf>,
    /// One sync from this repository or folder
    #[arg(long, value_name = "URL|PATH")]
    source: Option<String>,
    /// Branch of --source [default: the remote's HEAD]
    #[arg(long, requires = "source")]
    branch: Option<String>,
    /// Folder or file in --source [default: all of it] (may be repeated)
    #[arg(long, requires = "source")]
    path: Vec<String>,
    /// Where --source goes: `kube`, or `dir:PATH`
    #[arg(long, requires = "source", default_value = "kube", value_name = "kube|dir:PATH")]
    target: String,
    /// Where state is kept [default: $XDG_STATE_HOME/windlass/NAMESPACE/NAME]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Secrets of sources on this machine: DIR/NAME/KEY (for --source: DIR/source/KEY)
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// Address of the dashboard, health checks and metrics
    #[arg(long, default_value = "127.0.0.1:8480", value_name = "ADDR")]
    listen: SocketAddr,
    /// One pass, then exit
    #[arg(long)]
    once: bool,
    /// Do not apply the CRDs of the kinds that Windlass knows
    #[arg(long)]
    no_crds: bool,
    /// Do not ask before the first write to a cluster
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    cluster: cluster::Args,
    #[command(flatten)]
    logs: logs::Args,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    args.logs.init(if args.once { "warn" } else { "info" })?;
    let stop = signals::stop();
    let syncs = syncs(&args)?;
    let wanted = wanted(&args, syncs.as_deref().unwrap_or_default())?;
    let needs_cluster = syncs.as_ref().is_none_or(|syncs| syncs.iter().any(is_kube));
    anyhow::ensure!(
        !args.once || syncs.is_some(),
        "--once needs -f FILE or --source: it does not watch the GitSyncs of a cluster"
    );
    let mut config = Config {
        cluster_name: String::new(),
        cluster: None,
        board: Board::default(),
        metrics: Arc::new(Metrics::new()),
        clock: clock::now,
    };
    if args.once {
        attach(&args, needs_cluster, &mut config, &stop).await?;
        let wanted = agent::line_up(&config, wanted)?;
        return once::run(&config, &wanted, &stop).await;
    }
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!("cannot listen on {}: give another address with --listen, or stop what listens there", args.listen)
    })?;
    // Before the cluster answers: whoever asks for health is to hear that this agent lives and is not ready yet.
    let server = tokio::spawn(serve(listener, &config, stop.clone()));
    let ran = work(&args, wanted, syncs.is_some(), needs_cluster, &mut config, &stop).await;
    stop.cancel();
    server.await.context("the dashboard ended early")?.context("the dashboard")?;
    ran?;
    Ok(Exit::Good)
}

/// Connects, and keeps the syncs converged until stopped.
async fn work(
    args: &Args,
    wanted: Vec<Wanted>,
    given: bool,
    needs_cluster: bool,
    config: &mut Config,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    attach(args, needs_cluster, config, stop).await?;
    if given {
        let wanted = agent::line_up(config, wanted)?;
        return Ok(agent::run(config, &wanted, stop).await?);
    }
    let root = args.state.clone().map_or_else(state::root, Ok)?;
    Ok(agent::watch_cluster(config, &root, args.secrets.as_deref(), stop).await?)
}

/// Connects to the cluster, if there is anything to do in it.
async fn attach(args: &Args, needs_cluster: bool, config: &mut Config, stop: &CancellationToken) -> anyhow::Result<()> {
    if needs_cluster {
        let connection = connect(args, stop).await?;
        config.cluster_name = agent::cluster_name(&connection).await;
        tracing::info!(server = connection.server, "connected to the cluster");
        config.cluster = Some(connection);
    }
    Ok(())
}

/// Serves the dashboard of an agent until stopped.
pub(super) fn serve(
    listener: TcpListener,
    config: &Config,
    stop: CancellationToken,
) -> impl Future<Output = std::io::Result<()>> + Send + use<> {
    let state = dashboard::State {
        view: config.board.view(),
        ready: config.board.ready(),
        metrics: Arc::clone(&config.metrics),
        clock: config.clock,
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "dashboard listens");
    }
    dashboard::serve(listener, state, stop)
}

/// Pause before a cluster that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// Connects, asks, and brings the CRDs up to date. An agent that stays waits for its cluster; one pass does not.
async fn connect(args: &Args, stop: &CancellationToken) -> anyhow::Result<Connection> {
    let connection = args.cluster.connect().await?;
    cluster::agree(&connection, "Apply objects", args.yes)?;
    if !args.no_crds {
        let all: Vec<_> = crds().into_iter().chain(crate::kinds::crds()).collect();
        loop {
            match ensure_crds(&connection.client, &all).await {
                Ok(_) => break,
                Err(failure) if failure.class == Class::Retry && !args.once => {
                    tracing::warn!(error = %failure, "the cluster does not answer yet; it is asked again every 5 seconds");
                    tokio::select! {
                        () = stop.cancelled() => anyhow::bail!("stopped while waiting for the cluster"),
                        () = tokio::time::sleep(AGAIN) => {}
                    }
                }
                Err(failure) => {
                    return Err(failure).context("cannot apply the CRDs (--no-crds skips them)");
                }
            }
        }
    }
    Ok(connection)
}

fn is_kube(sync: &GitSync) -> bool {
    sync.spec.target.as_ref().is_none_or(|target| target.directory.is_none() && target.git.is_none())
}

/// The syncs of the command line; none if those of the cluster are meant.
fn syncs(args: &Args) -> anyhow::Result<Option<Vec<GitSync>>> {
    if let Some(source) = &args.source {
        return Ok(Some(vec![from_source(args, source)?]));
    }
    if args.file.is_empty() {
        return Ok(None);
    }
    let mut syncs = Vec::new();
    for file in &args.file {
        for mut sync in gitsync::all(file)? {
            sync.metadata.namespace.get_or_insert_with(|| DEFAULT_NAMESPACE.to_owned());
            syncs.push(sync);
        }
    }
    let mut names: Vec<_> = syncs.iter().map(|sync| (&sync.metadata.namespace, &sync.metadata.name)).collect();
    names.sort();
    for pair in names.windows(2) {
        let name = pair[0].1.as_deref().unwrap_or_default();
        anyhow::ensure!(pair[0] != pair[1], "GitSync {name} stands twice in the files; rename one of them");
    }
    Ok(Some(syncs))
}

fn from_source(args: &Args, source: &str) -> anyhow::Result<GitSync> {
    let target = target(&args.target)?;
    local_sync(source, args.branch.as_deref(), &args.path, &target)
}

/// `spec.target` of what `--target` says.
pub(super) fn target(text: &str) -> anyhow::Result<serde_json::Value> {
    match text.split_once(':') {
        None if text == "kube" => Ok(json!({ "kube": {} })),
        Some(("dir", path)) if !path.is_empty() => Ok(json!({ "directory": { "path": path } })),
        _ => anyhow::bail!("--target {text} is not known; write `kube`, or `dir:PATH`"),
    }
}

/// A sync of a repository or folder, as a document, so that defaults and checks are those of a file.
pub(super) fn local_sync(
    source: &str,
    branch: Option<&str>,
    paths: &[String],
    target: &serde_json::Value,
) -> anyhow::Result<GitSync> {
    // A path is named in full, so that the sync means the same wherever it is started.
    let url = match Path::new(source).canonicalize() {
        Ok(full) => full.to_str().context("the path of the source is not UTF-8")?.to_owned(),
        Err(_) => source.to_owned(),
    };
    let mut from = json!({ "url": url, "paths": paths });
    if let Some(branch) = branch {
        from["ref"] = json!({ "branch": branch });
    }
    let document = json!({
        "apiVersion": "windlass.dev/v1alpha1",
        "kind": "GitSync",
        "metadata": { "name": name_of(&url), "namespace": DEFAULT_NAMESPACE },
        "spec": { "source": from, "target": target },
    });
    let (sync, problems) = crate::sync::load::read(&document, &agent::CHECKS);
    sync.with_context(|| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The base name of a repository, as a Kubernetes name.
pub(super) fn name_of(url: &str) -> String {
    let base = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let base = base.strip_suffix(".git").unwrap_or(base).to_lowercase();
    let name: String = base.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(52).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "source".to_owned() } else { name.to_owned() }
}

/// Gives each sync its folder: `--state DIR` is the folder of a single sync, else each has its own below.
fn wanted(args: &Args, syncs: &[GitSync]) -> anyhow::Result<Vec<Wanted>> {
    let single = syncs.len() == 1;
    let mut wanted = Vec::with_capacity(syncs.len());
    for sync in syncs {
        let (namespace, name) = (sync.metadata.namespace.as_deref(), sync.metadata.name.as_deref());
        let below = Path::new(namespace.unwrap_or(DEFAULT_NAMESPACE)).join(name.unwrap_or_default());
        let folder = match &args.state {
            Some(state) if single => state.clone(),
            Some(state) => state.join(below),
            None => state::root()?.join(below),
        };
        let secret = match (&args.secrets, &sync.spec.source.secret_ref) {
            (Some(secrets), Some(reference)) => Some(secrets.join(&reference.name)),
            (Some(secrets), None) => {
                Some(secrets.join("source")).filter(|folder| args.source.is_some() && folder.is_dir())
            }
            (None, _) => None,
        };
        wanted.push(Wanted { sync: sync.clone(), folder, secrets: secret, in_cluster: false });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_sync_of_the_command_line_is_named_after_its_repository() {
        for (url, name) in [
            ("https://example.org/team/Platform.git", "platform"),
            ("git@example.org:team/my_repo", "my-repo"),
            ("git@example.org:solo.git", "solo"),
            ("/srv/git/repo/", "repo"),
            ("/", "source"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
    }
}
