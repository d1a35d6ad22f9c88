//! Where revisions come from: a git repository (bare clone, objects read from its database) or a plain folder.
//!
//! IO. Hands on plain values ([`Revision`], [`Snapshot`]); never writes to the source, never has a work tree, never runs
//! a shell or hook. Called by `agent` and `cli`.

use std::path::PathBuf;

use crate::revision::{Revision, Snapshot};
use crate::sync::spec::Reference;

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

/// Why a source could not be read. Display says what was being done, to what, what is wrong and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// CamelCase word for conditions, from a closed set.
    pub reason: &'static str,
    /// For people; never holds a credential.
    pub message: String,
}

/// A source that can be read.
#[derive(Debug)]
pub enum Source {}

impl Source {
    /// Looks at the URL or path and picks git or folder. Reads nothing from a network.
    ///
    /// # Errors
    /// If the URL cannot be used (unknown scheme, credentials in it, missing path).
    pub fn open(config: SourceConfig) -> Result<Self, SourceError> {
        Err(SourceError { reason: "SourceUnavailable", message: format!("cannot read {}", config.url) })
    }

    /// Asks what the newest revision is, and fetches it if it is new.
    ///
    /// # Errors
    /// If the source cannot be reached or read; what was fetched before stays readable.
    pub async fn fetch(&self) -> Result<Revision, SourceError> {
        match *self {}
    }

    /// Looks up a revision that was fetched before (a full or short commit id), fetching it if needed.
    ///
    /// # Errors
    /// If there is no such commit.
    pub async fn find(&self, id: &str) -> Result<Revision, SourceError> {
        _ = id;
        match *self {}
    }

    /// Reads the files of a revision.
    ///
    /// # Errors
    /// If the clone cannot be read; problems with single files are in the snapshot.
    pub async fn snapshot(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        _ = revision;
        match *self {}
    }

    /// For a local repository or folder: rings the bell (with `try_send`; a full channel is a rung bell) when something
    /// may have changed. None where only polling tells.
    ///
    /// # Errors
    /// If the operating system refuses the watch.
    pub fn watch(&self, bell: tokio::sync::mpsc::Sender<()>) -> Result<Option<Watch>, SourceError> {
        _ = bell;
        match *self {}
    }
}

/// A running watch; ends when dropped.
#[derive(Debug)]
pub struct Watch {}
