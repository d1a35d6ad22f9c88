//! The bell: rung by what may be a new revision, silent otherwise. Every wait is bounded.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, timeout};
use windlass::source::Watch;

use super::repository::*;

const SOON: Duration = Duration::from_secs(5);

fn watched(scratch: &Scratch) -> (Watch, Receiver<()>) {
    let (bell, rung) = channel(1);
    (scratch.source(None).watch(bell).unwrap().unwrap(), rung)
}

/// Takes rings until none came for a moment.
async fn settle(rung: &mut Receiver<()>) {
    while let Ok(Some(())) = timeout(Duration::from_millis(200), rung.recv()).await {}
}

async fn rings(rung: &mut Receiver<()>, what: &str) -> Duration {
    let start = Instant::now();
    timeout(SOON, rung.recv()).await.unwrap_or_else(|_| panic!("no ring after {what}"));
    let took = start.elapsed();
    settle(rung).await;
    took
}

#[tokio::test]
async fn everything_that_moves_a_branch_rings() {
    let scratch = Scratch::with_commit();
    let (_watch, mut rung) = watched(&scratch);
    scratch.commit("a.yaml", "a: 2\n", "second");
    let took = rings(&mut rung, "a commit").await;
    println!("commit to bell: {took:?}");
    for arguments in [
        &["branch", "other"][..],
        &["checkout", "-q", "other"],
        &["tag", "v1"],
        &["pack-refs", "--all"],
        &["update-ref", "refs/heads/team/x", "HEAD"],
        &["commit", "-q", "--amend", "--allow-empty", "-m", "again"],
        &["branch", "-D", "-q", "main"],
    ] {
        scratch.git(arguments);
        rings(&mut rung, &arguments.join(" ")).await;
    }
    // A branch in a folder made after the watch began.
    scratch.git(&["update-ref", "refs/heads/team/deep/y", "HEAD~1"]);
    rings(&mut rung, "a branch in a new folder").await;
}

#[tokio::test]
async fn reading_and_editing_without_a_commit_do_not_ring() {
    let scratch = Scratch::with_commit();
    let (_watch, mut rung) = watched(&scratch);
    let source = scratch.source(None);
    read(&source).await;
    scratch.write("a.yaml", b"dirty\n");
    scratch.git(&["add", "-A"]);
    scratch.git(&["status"]);
    assert!(timeout(Duration::from_millis(300), rung.recv()).await.is_err());
}

#[tokio::test]
async fn a_repository_that_was_replaced_keeps_ringing() {
    let scratch = Scratch::with_commit();
    let (_watch, mut rung) = watched(&scratch);
    let aside = scratch.folder.path().join("aside");
    std::fs::rename(scratch.repo(), &aside).unwrap();
    rings(&mut rung, "moving it away").await;
    git(scratch.folder.path(), &["clone", "-q", "aside", "repo"]);
    rings(&mut rung, "cloning it again").await;
    scratch.commit("a.yaml", "a: 2\n", "second");
    rings(&mut rung, "a commit in the new one").await;
}

#[tokio::test]
async fn a_folder_rings_for_files_in_it_and_not_for_reading() {
    let scratch = Scratch::with_commit();
    std::fs::remove_dir_all(scratch.repo().join(".git")).unwrap();
    let (_watch, mut rung) = watched(&scratch);
    read(&scratch.source(None)).await;
    assert!(timeout(Duration::from_millis(300), rung.recv()).await.is_err());
    scratch.write("a.yaml", b"a: 2\n");
    rings(&mut rung, "writing a file").await;
    scratch.write("new/deep/b.yaml", b"b\n");
    rings(&mut rung, "a file in new folders").await;
    scratch.write("new/deep/b.yaml", b"c\n");
    rings(&mut rung, "changing it").await;
    std::fs::remove_file(scratch.repo().join("a.yaml")).unwrap();
    rings(&mut rung, "removing a file").await;
    std::fs::rename(scratch.repo(), scratch.folder.path().join("aside")).unwrap();
    rings(&mut rung, "moving the folder away").await;
    scratch.write("a.yaml", b"new\n");
    rings(&mut rung, "a new folder").await;
    scratch.write("a.yaml", b"newer\n");
    rings(&mut rung, "a file in the new folder").await;
}

#[tokio::test]
async fn a_dropped_watch_is_silent() {
    let scratch = Scratch::with_commit();
    let (watch, mut rung) = watched(&scratch);
    drop(watch);
    // The bell is dropped with it.
    assert_eq!(timeout(SOON, rung.recv()).await.unwrap(), None);
}
