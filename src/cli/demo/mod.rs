//! `windlass demo`: the agent on a scratch repository and a folder; no cluster, no configuration, no outside call.

mod repository;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::agent::{local_sync, serve};
use super::{Exit, clock, logs, signals, style};
use crate::agent::{self, Board, Config, Landed, Wanted};
use crate::report::verdict;
use crate::telemetry::Metrics;

/// The first port that is tried, and how many after it.
const PORTS: std::ops::RangeInclusive<u16> = 8480..=8579;
/// The file that the user is asked to edit.
const FILE: &str = "environments/production/cache.yaml";
/// The file that it breaks and removes: nothing else in the repository depends on what it declares.
const OTHER_FILE: &str = "environments/staging/cache.yaml";

/// Try it: a scratch repository, the agent on it, a folder that follows every commit, and the dashboard
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything lies in one new folder below the system's folder for temporary files; Ctrl-C ends it."
)]
pub(super) struct Args {
    #[command(flatten)]
    logs: logs::Args,
}

struct Place {
    repo: PathBuf,
    rendered: PathBuf,
    state: PathBuf,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    args.logs.init("error")?;
    let stop = signals::stop();
    let folder = tempfile::Builder::new()
        .prefix("windlass-demo-")
        .tempdir()
        .context("cannot make a folder for the demo")?
        .keep()
        .canonicalize()?;
    let place = Place { repo: folder.join("repo"), rendered: folder.join("rendered"), state: folder.join("state") };
    let files = repository::make(&place.repo).context("cannot make the scratch repository")?;

    let target = json!({ "directory": { "path": place.rendered } });
    let mut sync = local_sync(place.repo.to_str().context("the folder's path is not UTF-8")?, None, &[], &target)?;
    sync.metadata.name = Some("demo".to_owned());
    let wanted = Wanted { sync, folder: place.state.clone(), secrets: None, in_cluster: false };
    let config = Config {
        cluster: None,
        cluster_name: String::new(),
        board: Board::default(),
        metrics: Arc::new(Metrics::new()),
        clock: clock::now,
    };
    let listener = listen().await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(serve(listener, &config, stop.clone()));
    let teller = tokio::spawn(tell(config.clone(), place, address, files, stop.clone()));
    let ran = agent::run(&config, std::slice::from_ref(&wanted), &stop).await;
    stop.cancel();
    server.await.context("the dashboard ended early")?.context("the dashboard")?;
    teller.await.context("the report ended early")??;
    ran?;
    writeln!(anstream::stdout(), "\nEnded. Everything stays in {} until you remove it.", folder.display())?;
    Ok(Exit::Good)
}

/// The usual port, or the next free one.
async fn listen() -> anyhow::Result<TcpListener> {
    for port in PORTS {
        if let Ok(listener) = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port of 127.0.0.1 is free for the dashboard")
}

/// Says what was done and what to try, then a line for every pass that changes something.
async fn tell(
    config: Config,
    place: Place,
    address: SocketAddr,
    files: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut landed = config.board.landed();
    let mut ready = config.board.ready();
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        first = ready.wait_for(|ready| *ready) => {
            first.context("the agent ended early")?;
        }
    }
    let mut out = anstream::stdout();
    write!(out, "{}", introduction(&config, &place, address, files))?;
    loop {
        let line = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            landed = landed.recv() => landed,
        };
        match line {
            // What landed before the introduction stands in it.
            Ok(landed) if landed.first => {}
            Ok(landed) => writeln!(out, "{}", one_line(&landed))?,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(count)) => writeln!(out, "… {count} more")?,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

fn introduction(config: &Config, place: &Place, address: SocketAddr, files: usize) -> String {
    let view = config.board.view().borrow().clone();
    let steps = view.syncs.first().map(|sync| sync.counts.steps).unwrap_or_default();
    let (repo, rendered) = (place.repo.display(), place.rendered.display());
    let bold = |text: &str| style::paint(style::STRONG, text);
    let example = example(&place.rendered);
    // `status` looks at the first port unless told otherwise.
    let status = match address.port() == *PORTS.start() {
        true => format!("`{} status`", program()),
        false => format!("`{} status --agent http://{address}`", program()),
    };
    format!(
        "\
{}

  I made a git repository with {files} files of a small platform team, expanded what they declare to
  {steps} objects, and wrote them into a folder, one file each. From now on the folder follows every commit.

  repository  {repo}
  folder      {rendered}
  state       {}
  dashboard   {}

{}

  1. Change the repository: one cache in place of three.
     sed -i 's/size: 3/size: 1/' {repo}/{FILE}
     git -C {repo} commit -qam 'One cache is enough'

  2. Change the folder by hand, and look at it again: the edit is gone.
     echo oops >> {rendered}/{example}
     cat {rendered}/{example}

  3. Break a file: only what it declares stays as it was, the rest goes on. {status} names the line.
     echo '  oops: [' >> {repo}/{OTHER_FILE}
     git -C {repo} commit -qam 'Break a file'
     Then remove it: what it declared goes from the folder, and nothing else.
     git -C {repo} rm -qf {OTHER_FILE}
     git -C {repo} commit -qm 'Remove a file'

Ctrl-C ends it. Commits as they land:
",
        bold(&verdict::verdict(&view)),
        place.state.display(),
        bold(&format!("http://{address}/")),
        bold("Three things to try"),
    )
}

/// This program as the user can start it again: it need not be on the PATH.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "windlass".to_owned(), |path| path.display().to_string())
}

/// A rendered file for the user to spoil: of the CR that the first thing to try is about.
fn example(rendered: &Path) -> String {
    let wanted = "production/deployment.apps-sessions.yaml";
    let mut found: Vec<String> = Vec::new();
    for folder in std::fs::read_dir(rendered).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            found.push(format!("{}/{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy()));
        }
    }
    found.sort();
    let same = found.iter().find(|path| path.eq_ignore_ascii_case(wanted));
    same.or(found.first()).cloned().unwrap_or_default()
}

fn one_line(landed: &Landed) -> String {
    let Landed { revision, subject, new_revision, applied, pruned, took_ms, errors, .. } = landed;
    let mut did = match (applied, pruned) {
        (0, 0) => "nothing to change".to_owned(),
        (applied, 0) => format!("{applied} written"),
        (0, pruned) => format!("{pruned} deleted"),
        (applied, pruned) => format!("{applied} written, {pruned} deleted"),
    };
    if *errors > 0 {
        did.push_str(&format!(", {errors} {}", if *errors == 1 { "problem" } else { "problems" }));
    }
    let what = if *new_revision { style::plain(subject) } else { "put right what was changed by hand".to_owned() };
    let shape = if *errors > 0 { "✕" } else { "●" };
    format!("{shape} {revision}  {what}: {did} in {took_ms} ms")
}
