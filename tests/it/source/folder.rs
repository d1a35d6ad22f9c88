//! Plain folders, and paths given on the command line.

use windlass::source::{Source, reasons};

use super::repository::*;

fn folder_source(scratch: &Scratch) -> Source {
    std::fs::remove_dir_all(scratch.repo().join(".git")).unwrap();
    scratch.source(None)
}

#[tokio::test]
async fn a_folder_has_a_revision_made_of_what_it_holds() {
    let scratch = Scratch::with_commit();
    let source = folder_source(&scratch);
    let (first, snapshot) = read(&source).await;
    assert!(first.id.starts_with("dir:") && first.id.len() == 68, "{first:?}");
    assert_eq!(text(&snapshot, "a.yaml"), "a: 1\n");
    assert_eq!(source.fetch().await.unwrap(), first);
    // Another time of change is no change; another content or name is.
    scratch.write("a.yaml", b"a: 1\n");
    assert_eq!(source.fetch().await.unwrap(), first);
    scratch.write("a.yaml", b"a: 2\n");
    let second = source.fetch().await.unwrap();
    assert_ne!(second, first);
    std::fs::rename(scratch.repo().join("a.yaml"), scratch.repo().join("b.yaml")).unwrap();
    assert_ne!(source.fetch().await.unwrap(), second);
}

#[tokio::test]
async fn a_snapshot_is_of_its_revision_even_when_the_folder_moved_on() {
    let scratch = Scratch::with_commit();
    let source = folder_source(&scratch);
    let first = source.fetch().await.unwrap();
    scratch.write("a.yaml", b"a: 2\n");
    assert_eq!(text(&source.snapshot(&first).await.unwrap(), "a.yaml"), "a: 1\n");
    source.fetch().await.unwrap();
    let error = source.snapshot(&first).await.unwrap_err();
    assert_eq!(error.reason, reasons::REVISION_GONE);
}

#[tokio::test]
async fn nothing_outside_a_folder_is_read() {
    let scratch = Scratch::with_commit();
    std::fs::write(scratch.folder.path().join("secret.yaml"), "secret").unwrap();
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, scratch.repo().join(name)).unwrap();
    link("../secret.yaml", "up.yaml");
    link("/etc/hostname", "abs.yaml");
    link("..", "above");
    link("above/secret.yaml", "through.yaml");
    link("gone.yaml", "broken.yaml");
    link("a.yaml", "good.yaml");
    // As a mounted ConfigMap looks.
    scratch.write("..2026/cm.yaml", b"cm");
    link("..2026", "..data");
    link("..data/cm.yaml", "cm.yaml");
    let source = folder_source(&scratch);
    let (_, snapshot) = read(&source).await;
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["a.yaml", "cm.yaml", "good.yaml"]);
    let found: Vec<String> = snapshot
        .problems
        .iter()
        .filter(|problem| problem.severity == windlass::problem::Severity::Error)
        .map(|problem| format!("{} {}", problem.file.as_deref().unwrap(), problem.code))
        .collect();
    assert_eq!(
        found,
        ["abs.yaml LinkLeavesTree", "broken.yaml LinkBroken", "through.yaml LinkLeavesTree", "up.yaml LinkLeavesTree"]
    );
    // A folder in `paths` that is a link is not there.
    let mut config = scratch.config(None);
    config.paths = vec!["above/repo".to_owned()];
    let (_, snapshot) = read(&Source::open(config).unwrap()).await;
    assert_eq!(snapshot.problems[0].code.as_str(), "PathMissing");
}

#[tokio::test]
async fn names_that_are_not_utf8_and_files_that_cannot_be_read_harm_only_themselves() {
    use std::os::unix::ffi::OsStrExt as _;
    let scratch = Scratch::with_commit();
    std::fs::write(scratch.repo().join(std::ffi::OsStr::from_bytes(b"b\xff.yaml")), "x").unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(scratch.repo().join("socket.yaml")).unwrap();
    let source = folder_source(&scratch);
    let (_, snapshot) = read(&source).await;
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["a.yaml"]);
    let codes: Vec<_> = snapshot.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["PathNotUtf8", "FileUnreadable"]);
}

#[tokio::test]
async fn a_path_on_the_command_line_is_read_as_it_is() {
    let scratch = Scratch::with_commit();
    scratch.write("a.yaml", b"a: dirty\n");
    scratch.write("new/b.yaml", b"b\n");
    let source = Source::disk(&scratch.repo(), &[]).unwrap();
    let (_, snapshot) = read(&source).await;
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["a.yaml", "new/b.yaml"]);
    assert_eq!(text(&snapshot, "a.yaml"), "a: dirty\n");
    // One file alone, too.
    let source = Source::disk(&scratch.repo().join("new/b.yaml"), &[]).unwrap();
    let (_, snapshot) = read(&source).await;
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["b.yaml"]);
    assert_eq!(Source::disk(&scratch.repo().join("nope"), &[]).unwrap_err().reason, reasons::PATH_NOT_FOUND);
}

#[tokio::test]
async fn a_folder_has_no_branches() {
    let scratch = Scratch::with_commit();
    std::fs::remove_dir_all(scratch.repo().join(".git")).unwrap();
    let error = Source::open(scratch.config(branch("main"))).unwrap_err();
    assert!(error.message.contains("is a plain folder, which has no branches"), "{error}");
}
