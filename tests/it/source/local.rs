//! Repositories on this machine.

use std::time::{Duration, Instant};

use windlass::source::{Source, reasons};

use super::repository::*;

#[tokio::test]
async fn a_commit_is_read_and_uncommitted_files_are_not() {
    let scratch = Scratch::with_commit();
    let id = scratch.commit("apps/web.yaml", "web: 1\n", "Add web\n\nWith a body.");
    scratch.write("apps/web.yaml", b"web: dirty\n");
    scratch.write("new.yaml", b"new\n");
    let source = scratch.source(None);
    let (revision, snapshot) = read(&source).await;
    assert_eq!(revision.id, id);
    assert_eq!(revision.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!(revision.author.as_deref(), Some("Ada"));
    assert_eq!(revision.subject.as_deref(), Some("Add web"));
    assert_eq!(revision.message, "Add web\n\nWith a body.\n");
    assert!(revision.time.is_some());
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["a.yaml", "apps/web.yaml"]);
    assert_eq!(text(&snapshot, "apps/web.yaml"), "web: 1\n");
    assert_eq!(snapshot.files["a.yaml"].blob, scratch.git(&["rev-parse", "HEAD:a.yaml"]));
}

#[tokio::test]
async fn branch_tag_range_and_commit_are_followed() {
    let (scratch, [first, second, third]) = Scratch::with_history();
    scratch.git(&["tag", "v2.0.0-rc.1"]);
    for (reference, id, name) in [
        (None, &third, Some("refs/heads/main")),
        (branch("release"), &second, Some("refs/heads/release")),
        (tag("v1.0.0"), &first, Some("refs/tags/v1.0.0")),
        (tag("v1.2.0"), &second, Some("refs/tags/v1.2.0")),
        (semver(">=1"), &second, Some("refs/tags/v1.2.0")),
        (semver("<1.1"), &first, Some("refs/tags/v1.0.0")),
        (semver(">=2.0.0-0"), &third, Some("refs/tags/v2.0.0-rc.1")),
        (commit(&first), &first, None),
    ] {
        let source = scratch.source(reference.clone());
        let (revision, _) = read(&source).await;
        assert_eq!(&revision.id, id, "{reference:?}");
        assert_eq!(revision.reference.as_deref(), name, "{reference:?}");
    }
}

#[tokio::test]
async fn a_force_push_is_the_new_tip_and_the_old_revision_stays_readable() {
    let scratch = Scratch::with_commit();
    let source = scratch.source(None);
    let (old, _) = read(&source).await;
    scratch.write("a.yaml", b"a: other\n");
    scratch.git(&["commit", "-q", "--amend", "-am", "rewritten"]);
    let (new, snapshot) = read(&source).await;
    assert_ne!(old.id, new.id);
    assert_eq!(text(&snapshot, "a.yaml"), "a: other\n");
    assert_eq!(text(&source.snapshot(&old).await.unwrap(), "a.yaml"), "a: 1\n");
}

#[tokio::test]
async fn a_deleted_branch_is_an_error_that_names_what_is_there() {
    let scratch = Scratch::with_commit();
    scratch.git(&["branch", "prod"]);
    let source = scratch.source(branch("prod"));
    let (revision, _) = read(&source).await;
    scratch.git(&["branch", "-D", "-q", "prod"]);
    let error = source.fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::REF_MISSING);
    assert!(error.message.ends_with("has no branch prod; its only branch is main"), "{error}");
    assert_eq!(text(&source.snapshot(&revision).await.unwrap(), "a.yaml"), "a: 1\n");
}

#[tokio::test]
async fn a_repository_without_a_commit_says_so() {
    let scratch = Scratch::new();
    let error = scratch.source(None).fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::EMPTY_REPOSITORY);
    assert!(error.message.contains("has no commit yet; push one"), "{error}");
}

#[tokio::test]
async fn a_head_on_a_branch_without_commits_names_the_branches() {
    let scratch = Scratch::with_commit();
    scratch.git(&["checkout", "-q", "--orphan", "fresh"]);
    let error = scratch.source(None).fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::REF_MISSING);
    assert!(error.message.contains("set source.ref.branch; its only branch is main"), "{error}");
    // An orphan branch with a commit is a branch like any other.
    let id = scratch.commit("b.yaml", "b\n", "orphan");
    assert_eq!(scratch.source(branch("fresh")).fetch().await.unwrap().id, id);
}

#[tokio::test]
async fn a_commit_without_files_is_a_revision() {
    let scratch = Scratch::new();
    scratch.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    let (_, snapshot) = read(&scratch.source(None)).await;
    assert!(snapshot.files.is_empty() && snapshot.problems.is_empty());
}

#[tokio::test]
async fn the_last_revision_stays_readable_when_the_repository_is_gone() {
    let scratch = Scratch::with_commit();
    let source = scratch.source(None);
    let (revision, _) = read(&source).await;
    std::fs::remove_dir_all(scratch.repo()).unwrap();
    let error = source.fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::PATH_NOT_FOUND);
    assert_eq!(text(&source.snapshot(&revision).await.unwrap(), "a.yaml"), "a: 1\n");
    assert_eq!(source.find(revision.short()).await.unwrap().id, revision.id);
}

#[tokio::test]
async fn a_damaged_clone_is_set_aside_and_made_again() {
    for damage in ["object", "head", "garbage"] {
        let scratch = Scratch::with_commit();
        let source = scratch.source(None);
        let (revision, _) = read(&source).await;
        match damage {
            "object" => {
                let blob = scratch.git(&["rev-parse", "HEAD:a.yaml"]);
                let path = scratch.clone().join("objects").join(&blob[..2]).join(&blob[2..]);
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, b"garbage").unwrap();
            }
            "head" => std::fs::remove_file(scratch.clone().join("HEAD")).unwrap(),
            _ => {
                std::fs::remove_dir_all(scratch.clone()).unwrap();
                std::fs::write(scratch.clone(), "a file").unwrap();
            }
        }
        if damage != "object" {
            assert_eq!(source.fetch().await.unwrap().id, revision.id, "{damage}");
        }
        assert_eq!(text(&source.snapshot(&revision).await.unwrap(), "a.yaml"), "a: 1\n", "{damage}");
        assert!(scratch.clone().with_file_name("clone.git.damaged").exists(), "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_repository_is_named_and_the_last_revision_stays() {
    let scratch = Scratch::with_commit();
    let source = scratch.source(None);
    let (old, _) = read(&source).await;
    scratch.commit("a.yaml", "a: 2\n", "second");
    let blob = scratch.git(&["rev-parse", "HEAD:a.yaml"]);
    let path = scratch.repo().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"garbage").unwrap();
    let error = source.fetch().await.unwrap_err();
    assert_eq!(error.reason, reasons::REPOSITORY_CORRUPT);
    assert!(error.message.contains("check it with git fsck"), "{error}");
    assert_eq!(text(&source.snapshot(&old).await.unwrap(), "a.yaml"), "a: 1\n");
}

#[tokio::test]
async fn a_revision_is_found_by_anything_git_understands() {
    let scratch = Scratch::with_commit();
    let first = scratch.git(&["rev-parse", "HEAD"]);
    scratch.git(&["tag", "-a", "v1", "-m", "one"]);
    scratch.commit("a.yaml", "a: 2\n", "second");
    let source = scratch.source(None);
    for name in [first.as_str(), &first[..8], "v1", "HEAD~1", "main~1"] {
        let revision = source.find(name).await.unwrap();
        assert_eq!(revision.id, first, "{name}");
        assert_eq!(text(&source.snapshot(&revision).await.unwrap(), "a.yaml"), "a: 1\n");
    }
    for name in ["nope", "0123456789012345678901234567890123456789", ""] {
        assert_eq!(source.find(name).await.unwrap_err().reason, reasons::REF_MISSING, "{name:?}");
    }
}

#[tokio::test]
async fn paths_links_and_submodules_are_read_from_the_tree_alone() {
    let scratch = Scratch::with_commit();
    std::os::unix::fs::symlink("../a.yaml", scratch.repo().join("link.yaml")).unwrap();
    scratch.write("env/base.yaml", b"base\n");
    std::os::unix::fs::symlink("base.yaml", scratch.repo().join("env/link.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", scratch.repo().join("env/abs.yaml")).unwrap();
    let head = scratch.git(&["rev-parse", "HEAD"]);
    scratch.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},vendor")]);
    scratch.git(&["add", "env", "link.yaml"]);
    scratch.git(&["commit", "-q", "-m", "links"]);
    let (_, snapshot) = read(&scratch.source(None)).await;
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["a.yaml", "env/base.yaml", "env/link.yaml"]);
    assert_eq!(text(&snapshot, "env/link.yaml"), "base\n");
    let codes: Vec<_> =
        snapshot.problems.iter().map(|problem| (problem.file.clone().unwrap(), problem.code.as_str())).collect();
    let wanted = [("env/abs.yaml", "LinkLeavesTree"), ("link.yaml", "LinkLeavesTree"), ("vendor", "SubmoduleSkipped")];
    assert_eq!(codes, wanted.map(|(file, code)| (file.to_owned(), code)));
    let mut config = scratch.config(None);
    config.paths = vec!["./env/".to_owned(), "gone".to_owned()];
    let (_, snapshot) = read(&Source::open(config).unwrap()).await;
    assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["env/base.yaml", "env/link.yaml"]);
    assert_eq!(snapshot.problems.last().unwrap().code.as_str(), "PathMissing");
}

#[tokio::test]
async fn bytes_are_handed_on_as_they_are() {
    let scratch = Scratch::new();
    let cases: [(&str, &[u8]); 4] = [
        ("empty.yaml", b""),
        ("nul.yaml", b"a\0b\xff"),
        ("bom.yaml", b"\xef\xbb\xbfa: 1\n"),
        ("crlf.yaml", b"a: 1\r\n"),
    ];
    for (path, bytes) in cases {
        scratch.write(path, bytes);
    }
    scratch.commit("big.yaml", &"x".repeat((8 << 20) + 1), "files");
    let (_, snapshot) = read(&scratch.source(None)).await;
    for (path, bytes) in cases {
        assert_eq!(snapshot.files[path].content, windlass::revision::Content::Read(bytes.into()), "{path}");
    }
    assert_eq!(
        snapshot.problems[0].to_string(),
        "big.yaml: FileTooLarge: the file has 8 MiB (8388609 bytes); a document file may have at most 8 MiB. Split it, or \
         leave it out with .windlassignore"
    );
}

#[tokio::test]
async fn the_clone_stays_small_and_readable_by_git_over_many_commits() {
    let scratch = Scratch::with_commit();
    let source = scratch.source(None);
    for file in 0..210 {
        scratch.write(&format!("many/{file}.yaml"), format!("{file}\n").as_bytes());
    }
    for round in 0..25 {
        scratch.commit("a.yaml", &format!("a: {round}\n"), "round");
        read(&source).await;
    }
    // As if many packs had come: the next fetch tidies up.
    let packs = scratch.clone().join("objects/pack");
    for number in 0..41 {
        std::fs::write(packs.join(format!("pack-{number}.pack")), b"").unwrap();
    }
    scratch.commit("a.yaml", "a: 25\n", "round");
    let (revision, snapshot) = read(&source).await;
    assert_eq!(std::fs::read_dir(packs).unwrap().count(), 2, "one pack and its index");
    assert_eq!(text(&snapshot, "a.yaml"), "a: 25\n");
    assert_eq!(text(&snapshot, "many/209.yaml"), "209\n");
    git(&scratch.clone(), &["fsck", "--full", "--strict"]);
    // The one before is readable, too; one from long ago only from the repository.
    for name in ["HEAD~1", "HEAD~24"] {
        let before = source.find(&scratch.git(&["rev-parse", name])).await.unwrap();
        assert_ne!(before.id, revision.id);
        source.snapshot(&before).await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_is_in_the_clone_within_fifty_milliseconds() {
    let scratch = Scratch::with_commit();
    for file in 0..1_000 {
        scratch.write(&format!("many/{file}.yaml"), format!("x: {file}\n").as_bytes());
    }
    scratch.commit("a.yaml", "a: 0\n", "many");
    let source = scratch.source(None);
    read(&source).await;
    let mut best = Duration::MAX;
    for round in 1..=10 {
        scratch.commit("a.yaml", &format!("a: {round}\n"), "change");
        let start = Instant::now();
        source.fetch().await.unwrap();
        best = best.min(start.elapsed());
    }
    println!("commit to fetched: {best:?}");
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[tokio::test]
async fn a_bare_repository_a_file_url_and_a_linked_work_tree_are_read() {
    let scratch = Scratch::with_commit();
    let bare = scratch.folder.path().join("bare.git");
    git(scratch.folder.path(), &["clone", "-q", "--bare", "repo", "bare.git"]);
    scratch.git(&["worktree", "add", "-q", "-b", "side", "../side"]);
    let side = scratch.folder.path().join("side");
    for (url, name) in [
        (bare.display().to_string(), "refs/heads/main"),
        (format!("file://{}", bare.display()), "refs/heads/main"),
        (side.display().to_string(), "refs/heads/side"),
    ] {
        let mut config = scratch.config(None);
        config.url = url.clone();
        let (revision, snapshot) = read(&Source::open(config).unwrap()).await;
        assert_eq!(revision.reference.as_deref(), Some(name), "{url}");
        assert_eq!(text(&snapshot, "a.yaml"), "a: 1\n");
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let scratch = Scratch::with_commit();
    for (url, reason, needle) in [
        ("/nowhere/at/all", reasons::PATH_NOT_FOUND, "cannot read /nowhere/at/all"),
        ("https://me:s3cret@example.com/x", reasons::URL_INVALID, "source.secretRef"),
        ("ftp://example.com/x", reasons::URL_INVALID, "unknown scheme ftp"),
    ] {
        let mut config = scratch.config(None);
        config.url = url.to_owned();
        let error = Source::open(config).unwrap_err();
        assert_eq!(error.reason, reason);
        assert!(error.message.contains(needle) && !error.message.contains("s3cret"), "{error}");
    }
    let mut config = scratch.config(None);
    config.paths = vec!["../other".to_owned()];
    assert_eq!(Source::open(config).unwrap_err().reason, reasons::SPEC_INVALID);
}
