//! Why a source could not be read: the closed set of reasons, and how an error is told to people.
//!
//! Pure. Never holds a credential: every URL in a message went through [`super::url`]. Made in this room, shown as a
//! condition by `report` and on a terminal by `cli`.

/// The reasons of a [`SourceError`]. Closed set, stable, CamelCase.
pub mod reasons {
    /// The URL or path cannot be used: unknown scheme, credentials in it, not a URL at all.
    pub const URL_INVALID: &str = "UrlInvalid";
    /// Another field of the source cannot be used: `ref`, `paths`.
    pub const SPEC_INVALID: &str = "SpecInvalid";
    /// What the Secret holds cannot be used: no key, no certificate, a wrong passphrase, known_hosts missing.
    pub const CREDENTIALS_INVALID: &str = "CredentialsInvalid";
    /// A local path is not there.
    pub const PATH_NOT_FOUND: &str = "PathNotFound";
    /// The server cannot be reached, or broke off.
    pub const SOURCE_UNAVAILABLE: &str = "SourceUnavailable";
    /// The server did not answer, or the whole operation did not end, in time.
    pub const TIMEOUT: &str = "Timeout";
    /// The server refused the credentials, or asks for some.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// The server knows who asks and refuses.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// The server has no such repository (or hides it).
    pub const REPOSITORY_NOT_FOUND: &str = "RepositoryNotFound";
    /// Something answered that does not speak git.
    pub const NOT_A_GIT_SERVER: &str = "NotAGitServer";
    /// The server's certificate is not trusted.
    pub const CERTIFICATE_REFUSED: &str = "CertificateRefused";
    /// The server's SSH host key is unknown or has changed.
    pub const HOST_KEY_REFUSED: &str = "HostKeyRefused";
    /// There is no such branch, tag, matching version or commit.
    pub const REF_MISSING: &str = "RefMissing";
    /// The repository has no commit yet.
    pub const EMPTY_REPOSITORY: &str = "EmptyRepository";
    /// A revision that was readable is not any more: a folder changed, or its commit is nowhere left.
    pub const REVISION_GONE: &str = "RevisionGone";
    /// The repository holds more than the limits allow.
    pub const LIMIT_EXCEEDED: &str = "LimitExceeded";
    /// The clone or the local repository is damaged, and fetching again did not help.
    pub const REPOSITORY_CORRUPT: &str = "RepositoryCorrupt";
    /// A file or folder of this machine cannot be read or written.
    pub const LOCAL_IO: &str = "LocalIo";
    /// The operating system refuses to watch a folder; polling goes on.
    pub const WATCH_FAILED: &str = "WatchFailed";
    /// A defect of Windlass.
    pub const INTERNAL: &str = "Internal";

    /// Every reason.
    pub const ALL: &[&str] = &[
        URL_INVALID,
        SPEC_INVALID,
        CREDENTIALS_INVALID,
        PATH_NOT_FOUND,
        SOURCE_UNAVAILABLE,
        TIMEOUT,
        AUTHENTICATION_FAILED,
        ACCESS_DENIED,
        REPOSITORY_NOT_FOUND,
        NOT_A_GIT_SERVER,
        CERTIFICATE_REFUSED,
        HOST_KEY_REFUSED,
        REF_MISSING,
        EMPTY_REPOSITORY,
        REVISION_GONE,
        LIMIT_EXCEEDED,
        REPOSITORY_CORRUPT,
        LOCAL_IO,
        WATCH_FAILED,
        INTERNAL,
    ];
}

/// Why a source could not be read. Display says what was being done, to what, what is wrong and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// CamelCase word for conditions, one of [`reasons::ALL`].
    pub reason: &'static str,
    /// For people; never holds a credential.
    pub message: String,
}

impl SourceError {
    /// An error with one of [`reasons`].
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Whether only a change of the GitSync itself can help (its URL, `ref`, `paths`); everything else may heal by
    /// itself or from the other side, so trying again makes sense.
    #[must_use]
    pub fn is_spec(&self) -> bool {
        matches!(self.reason, reasons::URL_INVALID | reasons::SPEC_INVALID)
    }
}
