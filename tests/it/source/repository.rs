//! Repositories made with the git program, without anything of the machine's own configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass::revision::{Content, Revision, Snapshot};
use windlass::source::{Credentials, Source, SourceConfig, Timeouts};
use windlass::sync::spec::Reference;

/// A scratch folder with a repository `repo` and room for the clone.
pub(super) struct Scratch {
    pub(super) folder: tempfile::TempDir,
}

impl Scratch {
    /// An empty repository with a work tree, on branch main.
    pub(super) fn new() -> Self {
        let scratch = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(scratch.repo()).unwrap();
        scratch.git(&["init", "-q", "-b", "main"]);
        scratch
    }

    /// A repository whose first commit holds `a.yaml`.
    pub(super) fn with_commit() -> Self {
        let scratch = Self::new();
        scratch.commit("a.yaml", "a: 1\n", "first");
        scratch
    }

    /// Three commits: the first tagged v1.0.0; the second tagged v1.2.0 (annotated), and branch `release`; the third `main`.
    pub(super) fn with_history() -> (Self, [String; 3]) {
        let scratch = Self::with_commit();
        let first = scratch.git(&["rev-parse", "HEAD"]);
        scratch.git(&["tag", "v1.0.0"]);
        let second = scratch.commit("a.yaml", "a: 2\n", "second");
        scratch.git(&["tag", "-a", "v1.2.0", "-m", "annotated"]);
        scratch.git(&["branch", "release"]);
        let third = scratch.commit("a.yaml", "a: 3\n", "third");
        (scratch, [first, second, third])
    }

    pub(super) fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub(super) fn clone(&self) -> PathBuf {
        self.folder.path().join("state/clone.git")
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        git(&self.repo(), arguments)
    }

    /// Writes a file and commits everything. Gives the commit's name.
    pub(super) fn commit(&self, path: &str, text: &str, message: &str) -> String {
        self.write(path, text.as_bytes());
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.repo().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(super) fn config(&self, reference: Option<Reference>) -> SourceConfig {
        SourceConfig {
            url: self.repo().display().to_string(),
            reference,
            paths: Vec::new(),
            clone: self.clone(),
            credentials: Credentials::default(),
            timeouts: Timeouts::default(),
        }
    }

    pub(super) fn source(&self, reference: Option<Reference>) -> Source {
        Source::open(self.config(reference)).unwrap()
    }
}

/// Runs git in a folder with nothing of the machine's own configuration; fails the test if git fails.
pub(super) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder).args(arguments).output().expect("the tests need the program git; install package git");
    assert!(output.status.success(), "git {arguments:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(super) fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com");
    command
}

pub(super) fn branch(name: &str) -> Option<Reference> {
    Some(Reference { branch: Some(name.into()), ..Reference::default() })
}

pub(super) fn tag(name: &str) -> Option<Reference> {
    Some(Reference { tag: Some(name.into()), ..Reference::default() })
}

pub(super) fn semver(range: &str) -> Option<Reference> {
    Some(Reference { semver: Some(range.into()), ..Reference::default() })
}

pub(super) fn commit(name: &str) -> Option<Reference> {
    Some(Reference { commit: Some(name.into()), ..Reference::default() })
}

/// The text of a file that was read.
pub(super) fn text(snapshot: &Snapshot, path: &str) -> String {
    match &snapshot.files.get(path).unwrap_or_else(|| panic!("no {path} in {:?}", snapshot.files.keys())).content {
        Content::Read(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Content::NotRead | Content::Known => panic!("{path} was not read"),
    }
}

/// Fetches and reads.
pub(super) async fn read(source: &Source) -> (Revision, Snapshot) {
    let revision = source.fetch().await.unwrap();
    let snapshot = source.snapshot(&revision).await.unwrap();
    assert_eq!(snapshot.revision, revision);
    (revision, snapshot)
}
