//! Settings of libgit2 that hold for the whole process.

use std::sync::OnceLock;

/// Prepares libgit2 once: no configuration of this machine's users is read, and a repository that another user owns may
/// be read (nothing that a repository's configuration names is ever run).
pub(crate) fn initialize() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        #[expect(unsafe_code, reason = "process-wide settings of libgit2, made once before anything else uses it")]
        // SAFETY: no other thread of this process uses these settings before this has run.
        unsafe {
            use git2::ConfigLevel::{Global, System, XDG};
            for level in [System, XDG, Global] {
                _ = git2::opts::set_search_path(level, "");
            }
            _ = git2::opts::set_verify_owner_validation(false);
        }
    });
}
