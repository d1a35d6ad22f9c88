//! What a GitSync may ask for that this version does not do yet.
//!
//! Pure. A sync that asks for any of it is not started: nobody may believe that a protection is active when it is not.
//! Called by `sync::load` alone. With the issue that builds a feature its lines leave this file.

use super::spec::GitSyncSpec;

/// JSON pointers below the document of everything asked for in vain, with what to do.
#[must_use]
pub fn unsupported(spec: &GitSyncSpec) -> Vec<(&'static str, &'static str)> {
    let target = spec.target.as_ref();
    let report = spec.report.as_ref();
    let asked = [
        (spec.source.verify.is_some(), "/spec/source/verify", "signatures are not verified"),
        (spec.source.webhook.is_some(), "/spec/source/webhook", "webhooks are not received"),
        (target.is_some_and(|t| t.git.is_some()), "/spec/target/git", "git branches are not written"),
        (spec.decryption.is_some(), "/spec/decryption", "encrypted files are not read"),
        (!spec.druid.is_empty(), "/spec/druid", "Druid is not called"),
        (spec.redis.is_some(), "/spec/redis", "Redis is not called"),
        (report.is_some_and(|r| r.notes), "/spec/report/notes", "git notes are not written"),
        (report.is_some_and(|r| r.branch.is_some()), "/spec/report/branch", "status branches are not written"),
        (report.is_some_and(|r| r.commit_status.is_some()), "/spec/report/commitStatus", "commit status is not sent"),
        (spec.preview.is_some(), "/spec/preview", "pull requests are not previewed"),
    ];
    asked.into_iter().filter(|(asked, ..)| *asked).map(|(_, pointer, why)| (pointer, why)).collect()
}
