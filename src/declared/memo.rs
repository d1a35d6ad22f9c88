//! What was read before: an unchanged file is not parsed again.
//!
//! Pure. Bounded to the files of the newest snapshot. Held by `agent` between two passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::Outcome;

/// What was parsed before, by path and blob.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    files: BTreeMap<String, (String, Arc<Outcome>)>,
    parsed: u64,
    reused: u64,
}

impl Memo {
    /// Files parsed and files taken from memory since this memo was made.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.parsed, self.reused)
    }

    /// Starts a pass: what it does not ask for is forgotten at its end.
    pub(super) fn pass(&mut self) -> Pass<'_> {
        let old = std::mem::take(&mut self.files);
        Pass { memo: self, old }
    }
}

/// One reading of a snapshot.
pub(super) struct Pass<'a> {
    memo: &'a mut Memo,
    old: BTreeMap<String, (String, Arc<Outcome>)>,
}

impl Pass<'_> {
    /// The outcome of a file, read only if it is new.
    pub(super) fn file(&mut self, path: &str, blob: &str, read: impl FnOnce() -> Outcome) -> Arc<Outcome> {
        let kept = self.old.remove(path).filter(|(known, _)| known == blob);
        let (blob, outcome) = kept.map_or_else(
            || {
                self.memo.parsed += 1;
                (blob.to_owned(), Arc::new(read()))
            },
            |kept| {
                self.memo.reused += 1;
                kept
            },
        );
        self.memo.files.insert(path.to_owned(), (blob, Arc::clone(&outcome)));
        outcome
    }
}
