//! A git repository as a source: asks what is newest, brings it into a bare clone, reads it from the object database.
//!
//! No work tree, no hook, no program named by a repository's configuration. A local repository is read directly and only
//! what is missing is copied; a remote one is asked first (ls-remote) and fetched only on change. What was fetched stays
//! readable without the source.

mod local;
mod objects;
mod refs;
mod remote;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use git2::{Oid, Repository};

use super::error::{SourceError, reasons};
use super::url::Location;
use super::walk::{self, Last, Limits, Prior, Wanted as Unread};
use super::{Credentials, Timeouts};
use crate::revision::{Known, Referred, Revision, Snapshot};
use refs::{Choice, Shown, Wanted};

pub(crate) use local::{is_repository, open as open_local};

/// A git source. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Git(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    location: Location,
    wanted: Wanted,
    paths: Vec<String>,
    clone: PathBuf,
    credentials: Credentials,
    timeouts: Timeouts,
    limits: Limits,
    contents: objects::Contents,
    /// What the last snapshot was made of.
    last: Mutex<Option<Last>>,
    /// Readers read the clone, one writer changes it.
    lock: RwLock<()>,
}

/// What went wrong while fetching: the clone itself, which can be made anew, or anything else.
enum Trouble {
    Clone(String),
    Other(SourceError),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Other(error)
    }
}

impl Git {
    /// Checks what can be checked without looking anywhere.
    pub(crate) fn new(
        location: Location,
        reference: Option<&crate::sync::spec::Reference>,
        paths: Vec<String>,
        config: &super::SourceConfig,
        limits: Limits,
    ) -> Result<Self, SourceError> {
        let credentials = &config.credentials;
        if let Location::Http(url) = &location
            && url.scheme() == "http"
            && (credentials.password.is_some() || credentials.bearer_token.is_some())
        {
            return Err(SourceError::new(
                reasons::URL_INVALID,
                format!("{location} would get the credentials of source.secretRef in clear text; use https://"),
            ));
        }
        Ok(Self(Arc::new(Inner {
            location,
            wanted: Wanted::new(reference)?,
            paths,
            clone: config.clone.clone(),
            credentials: config.credentials.clone(),
            timeouts: config.timeouts,
            limits,
            contents: objects::Contents::default(),
            last: Mutex::default(),
            lock: RwLock::new(()),
        })))
    }

    /// The local repository, if it is one.
    pub(crate) fn local(&self) -> Option<&std::path::Path> {
        match &self.0.location {
            Location::Local(path) => Some(path),
            _ => None,
        }
    }

    /// See [`super::Source::fetch`].
    pub(crate) async fn fetch(&self) -> Result<Revision, SourceError> {
        let inner = Arc::clone(&self.0);
        self.bounded(move || {
            let wanted = inner.wanted.clone();
            inner.obtain(&wanted, true)
        })
        .await
    }

    /// See [`super::Source::find`].
    pub(crate) async fn find(&self, id: &str) -> Result<Revision, SourceError> {
        let inner = Arc::clone(&self.0);
        let id = id.trim().to_owned();
        self.bounded(move || inner.find(&id)).await
    }

    /// See [`super::Source::snapshot`].
    pub(crate) async fn snapshot(&self, revision: &Revision, known: Known) -> Result<Snapshot, SourceError> {
        let inner = Arc::clone(&self.0);
        let revision = revision.clone();
        self.bounded(move || inner.snapshot(revision, &known)).await
    }

    /// See [`super::Source::referred`].
    pub(crate) async fn referred(&self, id: &str, targets: BTreeSet<String>) -> Result<Found, SourceError> {
        let (inner, id) = (Arc::clone(&self.0), id.to_owned());
        self.bounded(move || {
            let commit = Oid::from_str(&id).map_err(|_| no_such(&id, &inner.location))?;
            inner.read(commit, Some(&inner.contents), |tree| walk::referred(tree, &targets, inner.limits))
        })
        .await
    }

    /// Runs blocking work within the deadline of the whole operation. Work that is late ends by itself soon after.
    async fn bounded<T, F>(&self, work: F) -> Result<T, SourceError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, SourceError> + Send + 'static,
    {
        let limit = self.0.timeouts.overall;
        match tokio::time::timeout(limit, super::blocking(work)).await {
            Ok(done) => done,
            Err(_) => Err(SourceError::new(
                reasons::TIMEOUT,
                format!("reading {} did not end within {}s", self.0.location, limit.as_secs_f64()),
            )),
        }
    }
}

impl Inner {
    /// Brings the wanted commit into the clone; once more with a new clone if this one is damaged.
    fn obtain(&self, wanted: &Wanted, tidy: bool) -> Result<Revision, SourceError> {
        let _writing = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        match self.obtain_once(wanted, tidy) {
            Ok(revision) => Ok(revision),
            Err(Trouble::Other(error)) => Err(error),
            Err(Trouble::Clone(why)) => {
                store::set_aside(&self.clone, &why)?;
                self.obtain_once(wanted, tidy).map_err(|trouble| match trouble {
                    Trouble::Other(error) => error,
                    Trouble::Clone(why) => SourceError::new(
                        reasons::REPOSITORY_CORRUPT,
                        format!(
                            "the clone {} is damaged even after fetching {} again: {why}; check the disk",
                            self.clone.display(),
                            self.location
                        ),
                    ),
                })
            }
        }
    }

    fn obtain_once(&self, wanted: &Wanted, tidy: bool) -> Result<Revision, Trouble> {
        let clone = store::open_or_create(&self.clone)?;
        let (choice, commit) = match &self.location {
            Location::Local(path) => local::fetch(path, &clone, wanted)?,
            Location::Http(_) | Location::Ssh { .. } => remote::fetch(self, &clone, wanted)?,
        };
        if !store::is_complete(&clone, commit) {
            return Err(Trouble::Clone(format!("commit {commit} was fetched and cannot be read")));
        }
        store::keep(&clone, commit).map_err(|error| Trouble::Clone(error.message().to_owned()))?;
        store::mark_shallow(&clone, commit)?;
        let revision = revision(&clone, commit, choice.name)?;
        drop(clone);
        if tidy {
            self.contents.sweep();
            store::tidy(&self.clone, commit)?;
        }
        Ok(revision)
    }

    fn find(&self, id: &str) -> Result<Revision, SourceError> {
        if let Some(found) = self.find_fetched(id)? {
            return Ok(found);
        }
        match &self.location {
            Location::Local(path) => {
                let commit = local::resolve(path, id)?;
                self.obtain(&Wanted::Commit(commit), false)
            }
            Location::Http(_) | Location::Ssh { .. } => self.find_remote(id),
        }
    }

    fn find_remote(&self, id: &str) -> Result<Revision, SourceError> {
        let digits = !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        if digits && id.len() == 40 {
            let commit = Oid::from_str(id).map_err(|_| no_such(id, &self.location))?;
            return self.obtain(&Wanted::Commit(commit), false);
        }
        let named = self.with_clone(|clone| remote::resolve(self, clone, id));
        match named {
            Ok(wanted) => self.obtain(&wanted, false),
            // It may be the beginning of a commit's name: only all of them tell.
            Err(error) if error.reason == reasons::REF_MISSING && digits && id.len() >= 4 => {
                self.with_clone(|clone| remote::everything(self, clone))?;
                self.find_fetched(id)?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    fn with_clone<T>(&self, work: impl FnOnce(&Repository) -> Result<T, Trouble>) -> Result<T, SourceError> {
        let _writing = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        work(&store::open_or_create(&self.clone)?).map_err(|trouble| match trouble {
            Trouble::Other(error) => error,
            Trouble::Clone(why) => SourceError::new(
                reasons::REPOSITORY_CORRUPT,
                format!("the clone {} is damaged: {why}", self.clone.display()),
            ),
        })
    }

    /// A commit that is in the clone already, by its full or short name.
    fn find_fetched(&self, id: &str) -> Result<Option<Revision>, SourceError> {
        let _reading = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        if !(4..=40).contains(&id.len()) || !id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let Some(clone) = store::open(&self.clone) else { return Ok(None) };
        let Ok(short) = Oid::from_str(id) else { return Ok(None) };
        match clone.odb().and_then(|odb| odb.exists_prefix(short, id.len())) {
            Ok(oid) if store::is_complete(&clone, oid) => revision(&clone, oid, None).map(Some),
            Ok(_) => Ok(None),
            Err(error) if error.code() == git2::ErrorCode::Ambiguous => Err(SourceError::new(
                reasons::REF_MISSING,
                format!("{id} is the beginning of more than one object's name; write more digits"),
            )),
            Err(_) => Ok(None),
        }
    }

    fn snapshot(&self, revision: Revision, known: &Known) -> Result<Snapshot, SourceError> {
        let commit = Oid::from_str(&revision.id).map_err(|_| no_such(&revision.id, &self.location))?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut walk = || {
            let prior = Prior { last: last.as_ref(), wanted: Unread::Unless(known) };
            let walked = self.read(commit, None, |tree| walk::walk(tree, &self.paths, self.limits, prior))?;
            *last = Some(walked.last);
            Ok::<_, SourceError>((walked.files, walked.problems))
        };
        let why = match walk() {
            Ok((files, problems)) => return Ok(Snapshot { revision, files, problems, ..Snapshot::default() }),
            Err(error) if error.reason == reasons::REPOSITORY_CORRUPT => error.message,
            Err(error) => return Err(error),
        };
        {
            let _writing = self.lock.write().unwrap_or_else(PoisonError::into_inner);
            // The commit is there and something below it is not: nothing in this clone can be trusted.
            if store::open(&self.clone).is_some_and(|clone| clone.find_commit(commit).is_ok()) {
                store::set_aside(&self.clone, &why)?;
            }
        }
        self.obtain(&Wanted::Commit(commit), false).map_err(|error| {
            SourceError::new(
                reasons::REVISION_GONE,
                format!(
                    "revision {} cannot be read from the clone {} ({why}) and could not be fetched again: {error}",
                    revision.short(),
                    self.clone.display()
                ),
            )
        })?;
        let (files, problems) = walk()?;
        Ok(Snapshot { revision, files, problems, ..Snapshot::default() })
    }

    fn read<T>(
        &self,
        commit: Oid,
        contents: Option<&objects::Contents>,
        walk: impl Fn(&objects::GitTree<'_>) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let _reading = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        let Some(clone) = store::open(&self.clone) else {
            return Err(SourceError::new(reasons::REPOSITORY_CORRUPT, "it cannot be opened"));
        };
        walk(&objects::GitTree::new(&clone, commit, contents)?)
    }
}

type Found = BTreeMap<String, Referred>;

fn revision(clone: &Repository, oid: Oid, reference: Option<String>) -> Result<Revision, SourceError> {
    let commit = clone.find_commit(oid).map_err(|error| {
        SourceError::new(reasons::REPOSITORY_CORRUPT, format!("commit {oid} cannot be read: {}", error.message()))
    })?;
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let message = lossy(commit.message_bytes());
    Ok(Revision {
        id: oid.to_string(),
        reference,
        author: Some(lossy(commit.author().name_bytes())).filter(|name| !name.is_empty()),
        subject: message.lines().next().map(str::to_owned).filter(|line| !line.is_empty()),
        message,
        time: jiff::Timestamp::from_second(commit.time().seconds()).ok(),
    })
}

fn no_such(id: &str, location: &Location) -> SourceError {
    SourceError::new(
        reasons::REF_MISSING,
        format!("{location} has no commit, branch or tag {id}; write a commit's name in full, or a branch or tag"),
    )
}
