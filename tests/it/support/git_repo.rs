//! A git repository in a temporary folder, driven by the git command with nothing of the user's configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A repository with a work tree on branch `main`.
#[derive(Debug)]
pub(crate) struct GitRepo {
    folder: TempDir,
}

impl GitRepo {
    /// An empty repository.
    pub(crate) fn new() -> Self {
        let repo = Self { folder: tempfile::Builder::new().prefix("windlass-repo-").tempdir().expect("a folder") };
        repo.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repo
    }

    /// A repository whose first commit holds these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let repo = Self::new();
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.commit("first");
        repo
    }

    /// A repository whose first commit is a copy of a folder of this project, as in `example-repo`.
    pub(crate) fn copy_of(folder: &str) -> Self {
        let repo = Self::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), repo.path());
        repo.commit("first");
        repo
    }

    /// The work tree.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `file://` URL.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Writes a file, making its folders.
    pub(crate) fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("a file");
        self
    }

    /// Reads a file of the work tree.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).expect("a file")
    }

    /// Renames a file, making folders.
    pub(crate) fn rename(&self, from: &str, to: &str) -> &Self {
        let to = self.path().join(to);
        fs::create_dir_all(to.parent().expect("a parent")).expect("folders");
        fs::rename(self.path().join(from), to).expect("renamed");
        self
    }

    /// Removes a file or folder.
    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path: PathBuf = self.path().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
        self
    }

    /// Commits everything; gives the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// Id of HEAD.
    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git in the work tree; gives its stdout. Panics if it fails.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = git_command(self.path()).args(args).output().expect("git is installed");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// The git command in `folder`, without the environment or configuration of whoever runs the tests.
pub(crate) fn git_command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
    }
    command
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
