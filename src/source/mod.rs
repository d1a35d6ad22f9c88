//! Where revisions come from: a git repository (bare clone, objects read from its database) or a plain folder.
//!
//! IO. Hands on plain values ([`Revision`], [`Snapshot`]); never writes to the source, never has a work tree, never runs
//! a shell or hook. Called by `agent` and `cli`.

mod disk;
mod error;
mod folder;
mod git;
mod paths;
mod transport;
mod url;
mod walk;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::revision::{Known, Referred, Revision, Snapshot};
use crate::sync::spec::Reference;
use url::Location;
use walk::Limits;

pub use error::{SourceError, reasons};
pub use watch::Watch;

/// What to read and how.
#[derive(Clone, Debug, Default)]
pub struct SourceConfig {
    /// URL or path as the user gave it.
    pub url: String,
    /// What to follow; the remote's HEAD if none.
    pub reference: Option<Reference>,
    /// Folders or files in the repository; all if empty.
    pub paths: Vec<String>,
    /// Where the bare clone lies (made when missing).
    pub clone: PathBuf,
    /// What the Secret holds.
    pub credentials: Credentials,
    /// How long the network may take.
    pub timeouts: Timeouts,
}

/// How long the network may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands. Default: 10 s.
    pub connect: Duration,
    /// Without a byte from the other side. Default: 30 s.
    pub idle: Duration,
    /// For a fetch as a whole. Default: 5 min.
    pub overall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_secs(30), overall: Duration::from_secs(300) }
    }
}

/// Credentials, from a Secret or files. Debug shows no value.
#[derive(Clone, Default)]
pub struct Credentials {
    /// For basic authentication.
    pub username: Option<String>,
    /// For basic authentication: password or token.
    pub password: Option<String>,
    /// For `Authorization: Bearer`.
    pub bearer_token: Option<String>,
    /// SSH private key, PEM.
    pub identity: Option<String>,
    /// Passphrase of the key.
    pub passphrase: Option<String>,
    /// known_hosts lines; mandatory for SSH.
    pub known_hosts: Option<String>,
    /// CA certificates, PEM.
    pub ca: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// A source that can be read.
#[derive(Debug)]
pub struct Source(Kind);

#[derive(Debug)]
enum Kind {
    Git(git::Git),
    Folder(folder::Folder),
}

impl Source {
    /// Looks at the URL or path and picks git or folder. Reads nothing from a network.
    ///
    /// # Errors
    /// If the URL cannot be used (unknown scheme, credentials in it, a path that is missing and was never fetched).
    pub fn open(config: SourceConfig) -> Result<Self, SourceError> {
        transport::initialize();
        let paths = paths::normalize(&config.paths)?;
        let limits = Limits::default();
        let location = match url::parse(&config.url)? {
            Location::Local(path) => match exists(&path) {
                Ok(path) if git::is_repository(&path) => Location::Local(path),
                Ok(path) => {
                    if config.reference.as_ref().is_some_and(|reference| *reference != Reference::default()) {
                        return Err(SourceError::new(
                            reasons::SPEC_INVALID,
                            format!("{} is a plain folder, which has no branches, tags or commits", path.display()),
                        ));
                    }
                    return Ok(Self(Kind::Folder(folder::Folder::new(path, paths, limits, true))));
                }
                // A repository that is away for a while, as on a disk that is not mounted: what was fetched stays readable.
                Err(_) if git::is_repository(&config.clone) => Location::Local(path),
                Err(error) => return Err(error),
            },
            remote => remote,
        };
        git::Git::new(location, config.reference.as_ref(), paths, &config, limits).map(|git| Self(Kind::Git(git)))
    }

    /// A folder or file of this machine as it is, whether or not it is a git repository: uncommitted files are read,
    /// `.git` is not. For a PATH given on the command line.
    ///
    /// # Errors
    /// If there is nothing at the path, or `paths` cannot be used.
    pub fn disk(path: &Path, paths: &[String]) -> Result<Self, SourceError> {
        let paths = paths::normalize(paths)?;
        let path = exists(path)?;
        Ok(Self(Kind::Folder(folder::Folder::new(path, paths, Limits::default(), false))))
    }

    /// Asks what the newest revision is, and fetches it if it is new.
    ///
    /// # Errors
    /// If the source cannot be reached or read; what was fetched before stays readable.
    pub async fn fetch(&self) -> Result<Revision, SourceError> {
        match &self.0 {
            Kind::Git(git) => git.fetch().await,
            Kind::Folder(folder) => folder.fetch().await,
        }
    }

    /// Looks up a revision by a full or short commit id, a branch or a tag; without the network if it is a commit that
    /// was fetched before, fetching it if needed.
    ///
    /// # Errors
    /// If there is no such commit.
    pub async fn find(&self, id: &str) -> Result<Revision, SourceError> {
        match &self.0 {
            Kind::Git(git) => git.find(id).await,
            Kind::Folder(folder) => folder.find(id).await,
        }
    }

    /// Reads the files of a revision, all of them.
    ///
    /// # Errors
    /// If the clone cannot be read; problems with single files are in the snapshot.
    pub async fn snapshot(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        self.snapshot_unless(revision, Known::default()).await
    }

    /// Reads the files of a revision but for documents that are known: these are [`Content::Known`]. Folders that did
    /// not change since the last snapshot are not looked into.
    ///
    /// [`Content::Known`]: crate::revision::Content::Known
    ///
    /// # Errors
    /// As for [`Self::snapshot`].
    pub async fn snapshot_unless(&self, revision: &Revision, known: Known) -> Result<Snapshot, SourceError> {
        match &self.0 {
            Kind::Git(git) => git.snapshot(revision, known).await,
            Kind::Folder(folder) => folder.snapshot(revision, &known).await,
        }
    }

    /// Reads what documents of a revision refer to (`declared::references`), to be put into its snapshot.
    ///
    /// # Errors
    /// As for [`Self::snapshot`]; also if a folder has changed since.
    pub async fn referred(
        &self,
        snapshot: &Snapshot,
        targets: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Referred>, SourceError> {
        if targets.is_empty() {
            return Ok(BTreeMap::new());
        }
        match &self.0 {
            Kind::Git(git) => git.referred(&snapshot.revision.id, targets).await,
            Kind::Folder(folder) => folder.referred(snapshot, targets).await,
        }
    }

    /// For a local repository or folder: rings the bell (with `try_send`; a full channel is a rung bell) when something
    /// may have changed. None where only polling tells.
    ///
    /// # Errors
    /// If the operating system refuses the watch.
    pub fn watch(&self, bell: tokio::sync::mpsc::Sender<()>) -> Result<Option<Watch>, SourceError> {
        match &self.0 {
            Kind::Git(git) => git.local().map(|path| Watch::repository(path, bell)).transpose(),
            Kind::Folder(folder) => Watch::folder(folder.root(), bell).map(Some),
        }
    }
}

/// The path made absolute, so that a later change of the working directory means nothing.
fn exists(path: &Path) -> Result<PathBuf, SourceError> {
    path.canonicalize().map_err(|error| {
        SourceError::new(
            reasons::PATH_NOT_FOUND,
            format!("cannot read {}: {error}; give the path of a git repository or of a folder", path.display()),
        )
    })
}

/// Runs work that blocks on a thread of its own.
async fn blocking<T, F>(work: F) -> Result<T, SourceError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, SourceError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(SourceError::new(reasons::INTERNAL, format!("reading the source was broken off: {error}")))
    })
}
