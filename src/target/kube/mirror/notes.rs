//! What the watches tell, to be counted.
//!
//! Never waits, and keeps nothing. Called by the mirror and its lists; the agent says who counts.

use std::sync::Arc;

/// What the watches tell, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A watch was opened again after it broke, hung or was too old.
    Restart,
    /// An event about nothing that matters: a status, a foreign field.
    Ignored,
    /// An event about our own write.
    Own,
    /// An event after which an object is compared.
    Moved,
    /// An object is to be applied again, though nothing of ours looks different.
    Suspect,
}

/// Who counts.
#[derive(Clone, Default)]
pub struct Notes(pub Option<Arc<dyn Fn(Note) + Send + Sync>>);

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notes")
    }
}

impl Notes {
    pub(super) fn note(&self, note: Note) {
        if let Some(count) = &self.0 {
            count(note);
        }
    }
}
