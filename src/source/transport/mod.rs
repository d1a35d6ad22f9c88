//! How libgit2 reaches servers: through our own HTTPS and SSH connections, so that time limits, certificates, host keys
//! and credentials are ours alone and every failure has a name.
//!
//! libgit2 knows one more URL scheme, `windlass://`; where it leads is known to the thread that fetches. Never reads a
//! user's git or SSH configuration.

mod http;
pub(crate) mod known_hosts;
mod ssh;

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use git2::transport::Transport;

use super::error::{SourceError, reasons};
use super::url::Location;
use super::{Credentials, Timeouts};

/// The URL that libgit2 is given.
pub(crate) const URL: &str = "windlass://source";
/// More than this is not downloaded in one fetch: 1 GiB.
const MAX_DOWNLOAD: u64 = 1 << 30;

thread_local! {
    static LINK: RefCell<Option<Arc<Link>>> = const { RefCell::new(None) };
}

/// One fetch's way to its server.
pub(crate) struct Link {
    location: Location,
    credentials: Credentials,
    timeouts: Timeouts,
    deadline: Instant,
    runtime: tokio::runtime::Handle,
    failure: Mutex<Option<SourceError>>,
    received: Mutex<u64>,
}

impl Link {
    /// Starts the clock. Must be called inside a tokio runtime.
    pub(crate) fn new(location: &Location, credentials: &Credentials, timeouts: Timeouts) -> Arc<Self> {
        Arc::new(Self {
            location: location.clone(),
            credentials: credentials.clone(),
            timeouts,
            deadline: Instant::now() + timeouts.overall,
            runtime: tokio::runtime::Handle::current(),
            failure: Mutex::new(None),
            received: Mutex::new(0),
        })
    }

    /// Runs git operations that go through this link.
    pub(crate) fn through<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        struct Unset;
        impl Drop for Unset {
            fn drop(&mut self) {
                LINK.set(None);
            }
        }
        let _unset = Unset;
        LINK.set(Some(Arc::clone(self)));
        work()
    }

    /// What went wrong on the way, if that is why an operation failed.
    pub(crate) fn failure(&self) -> Option<SourceError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what went wrong first; git's own error that follows from it says less.
    fn fail(&self, error: SourceError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn failed_io(&self, error: SourceError) -> std::io::Error {
        let text = std::io::Error::other(error.message.clone());
        self.fail(error);
        text
    }

    fn failed_git(&self, error: SourceError) -> git2::Error {
        let text = git2::Error::from_str(&error.message);
        self.fail(error);
        text
    }

    /// What is left of the time for the whole fetch.
    fn left(&self) -> Result<Duration, SourceError> {
        match self.deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.late("did not end", self.timeouts.overall)),
        }
    }

    fn late(&self, what: &str, limit: Duration) -> SourceError {
        SourceError::new(
            reasons::TIMEOUT,
            format!("fetching {} {what} within {}s; what was applied stays", self.location, limit.as_secs_f64()),
        )
    }

    /// Counts what came in.
    fn count(&self, bytes: usize) -> Result<(), SourceError> {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        *received += bytes as u64;
        if *received > MAX_DOWNLOAD {
            return Err(SourceError::new(
                reasons::LIMIT_EXCEEDED,
                format!("{} sent more than {} MiB for one revision", self.location, MAX_DOWNLOAD >> 20),
            ));
        }
        Ok(())
    }
}

/// Prepares libgit2 once: no configuration of this machine's users is read, a repository that another user owns may be
/// read (nothing that a repository's configuration names is ever run), and our scheme is known.
pub(crate) fn initialize() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        #[expect(unsafe_code, reason = "process-wide settings of libgit2, made once before anything else uses it")]
        // SAFETY: no other thread of this process makes remotes or uses these settings before this has run.
        unsafe {
            use git2::ConfigLevel::{Global, System, XDG};
            for level in [System, XDG, Global] {
                _ = git2::opts::set_search_path(level, "");
            }
            _ = git2::opts::set_verify_owner_validation(false);
            _ = git2::transport::register("windlass", |remote| {
                let link = LINK.with_borrow(Clone::clone);
                let link = link.ok_or_else(|| git2::Error::from_str("no link for this thread"))?;
                match &link.location {
                    Location::Ssh { .. } => Transport::smart(remote, false, ssh::Ssh::new(link)),
                    _ => Transport::smart(remote, true, http::Http::new(link)),
                }
            });
        }
    });
}

/// An error with all it follows from, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
