//! From a commit to the file that it renders, in the demo of the real binary, beside the bare file event in the same run.
//!
//! `cargo bench --bench event` (needs nothing). Goals and figures: docs/benchmarks.md.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its tables and stops at the first surprise"
)]

mod figures;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};

use figures::{Goals, percentile, ratio, row};
use support::process::Process;
use support::windlass::Windlass;

/// Commits; a few more warm up.
const COMMITS: usize = 100;
const WARM_UP: usize = 5;
const GOAL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);

const SOURCE: &str = "environments/production/cache.yaml";
const RENDERED: &str = "rendered/production/deployment.apps-sessions.yaml";

fn main() -> ExitCode {
    let temp = tempfile::tempdir().expect("a folder");
    let windlass = Windlass::new();
    let mut command = windlass.command(&["demo"]);
    command.env("TMPDIR", temp.path());
    let mut demo = Process::start("demo", &mut command, temp.path().join("output.log")).expect("the demo");
    Windlass::await_output(&mut demo, "Commits as they land:");
    let folder = std::fs::read_dir(temp.path())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .expect("the demo's folder");
    let (events, _watcher) = watch(&folder.join("repo/.git/refs/heads"));
    let repository = git2::Repository::open(folder.join("repo")).expect("a repository");

    let mut event = Vec::new();
    let mut landed = Vec::new();
    for number in 0..WARM_UP + COMMITS {
        let size = if number % 2 == 0 { 1 } else { 3 };
        let wanted = format!("replicas: {size}\n");
        let tree = stage(&repository, size);
        while events.try_recv().is_ok() {}
        // Only the commit itself counts: git's own start would hide what is measured.
        let began = Instant::now();
        commit(&repository, tree);
        let seen = events.recv_timeout(PATIENCE).expect("an event of the file system") - began;
        let done = await_text(&folder.join(RENDERED), &wanted) - began;
        if number >= WARM_UP {
            event.push(seen);
            landed.push(done);
        }
    }
    assert!(demo.exited().is_none(), "{}", demo.tail());

    println!("From a commit to the rendered file, {COMMITS} commits one after the other; milliseconds");
    println!("  {:<34}{:>10}{:>10}{:>10}", "", "p50", "p99", "max");
    let row = |name: &str, times: &[Duration]| {
        row(name, &[percentile(times, 50), percentile(times, 99), percentile(times, 100)]);
    };
    row("bare file event", &event);
    row("file landed", &landed);
    println!(
        "  landed / event: p50 {:.1}, p99 {:.1}",
        ratio(percentile(&landed, 50), percentile(&event, 50)),
        ratio(percentile(&landed, 99), percentile(&event, 99))
    );
    let mut goals = Goals::default();
    let p99 = percentile(&landed, 99);
    goals.hold(p99 < GOAL, &format!("p99 of landed files: {:.1} ms (goal under a second)", p99.as_secs_f64() * 1e3));
    goals.end()
}

/// When the branch moved, as the operating system tells whoever watches.
fn watch(heads: &Path) -> (Receiver<Instant>, notify::RecommendedWatcher) {
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let event = event.expect("an event");
        let access = matches!(event.kind, notify::EventKind::Access(_));
        if !access && event.paths.iter().any(|path| path.ends_with("main")) {
            _ = sender.send(Instant::now());
        }
    })
    .expect("a watcher");
    watcher.watch(heads, RecursiveMode::NonRecursive).expect("a watch");
    (events, watcher)
}

/// Changes the size of the cache in the work tree and the index.
fn stage(repository: &git2::Repository, size: u32) -> git2::Oid {
    let file: PathBuf = repository.workdir().expect("a work tree").join(SOURCE);
    let text = std::fs::read_to_string(&file).expect("a file");
    let lines = text.lines().map(|line| match line.split_once("size: ") {
        Some((indent, _)) => format!("{indent}size: {size}\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(&file, lines.collect::<String>()).expect("written");
    let mut index = repository.index().expect("an index");
    index.add_path(Path::new(SOURCE)).expect("staged");
    index.write().expect("an index");
    index.write_tree().expect("a tree")
}

fn commit(repository: &git2::Repository, tree: git2::Oid) {
    let who = git2::Signature::now("Ada", "ada@example.com").expect("a signature");
    let tree = repository.find_tree(tree).expect("a tree");
    let head = repository.head().and_then(|head| head.peel_to_commit()).expect("a commit");
    repository.commit(Some("HEAD"), &who, &who, "Another size", &tree, &[&head]).expect("committed");
}

/// When a file holds a text.
fn await_text(file: &Path, text: &str) -> Instant {
    let end = Instant::now() + PATIENCE;
    loop {
        if std::fs::read_to_string(file).is_ok_and(|found| found.contains(text)) {
            return Instant::now();
        }
        assert!(Instant::now() < end, "{} does not get {text:?}", file.display());
        std::thread::sleep(Duration::from_micros(200));
    }
}
