//! What a read of the world can say.
//!
//! Pure data. Made by `target`, compared by `diff`. Defined here so that the arrow points from IO to pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::StepId;

/// Which steps of the plan and entries of the inventory are asked about.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// All of them.
    All,
    /// These, as far as plan or inventory know them.
    Only(&'a BTreeSet<StepId>),
}

impl Which<'_> {
    /// Whether one is asked about.
    #[must_use]
    pub fn has(self, id: &StepId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }
}

/// The world as far as the plan and the inventory are concerned.
pub type Observed = BTreeMap<StepId, Seen>;

/// What was seen of one step.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "almost every one is Present, so a box would save nothing")]
pub enum Seen {
    /// A read that succeeded says that it is not there. For an object that carries another owner's label this may be
    /// wrong; the first apply is create-only and finds out.
    Absent,
    /// It is there.
    Present(Live),
    /// The read failed, or was not possible: why. Never leads to a create or delete.
    Unknown(String),
    /// There is nothing to read it from (a Druid, Redis or probe step without a configured server): why.
    Pending(String),
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The object's uid, or the path of a file.
    pub uid: String,
    /// The object's resourceVersion; empty for targets without one.
    pub resource_version: String,
    /// Value of the annotation `windlass.dev/content-hash`, or the hash of what a file holds.
    pub content_hash: Option<String>,
    /// First 8 bytes in hex of the sha-256 of our managedFields entry; none if there is no such entry or no such thing.
    pub fingerprint: Option<String>,
    /// Whether it is ours by every proof that the target has (part-of label of this sync and our Apply entry).
    pub ours: bool,
    /// Who else holds it: the part-of label of another sync, or a controller in its owner references.
    pub other_owner: Option<String>,
    /// What of another controller is on a CR of our own kinds (its finalizer, or its status), unless the sync takes over.
    pub acted_on: Option<String>,
    /// A deletion has been asked for and has not ended.
    pub terminating: bool,
    /// Deleting it would take data along that nothing brings back: a StatefulSet whose claims are deleted with it
    /// (`persistentVolumeClaimRetentionPolicy.whenDeleted: Delete`).
    pub takes_data: bool,
    /// `spec.replicas`, where it was read.
    pub replicas: Option<i64>,
    /// A volume claim whose data is of no use without it: it is not deleted before the claim. Looked for only where the
    /// thing left the repository.
    pub needed_by: Option<Box<str>>,
    /// Whether it is ready, as far as this read can tell.
    pub readiness: Readiness,
    /// Name of the field manager that wrote it last, if that was not us: who moved it, where something moved.
    pub moved_by: Option<String>,
    /// What other hands did to it; none for most objects.
    pub hands: Option<Box<Hands>>,
}

/// What other hands did to an object of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hands {
    /// Fields that somebody added by hand beside ours.
    pub additions: Vec<Addition>,
    /// Short hashes of fields that others hold together with us: what is dropped of them does not go by itself.
    pub shared: Vec<u32>,
    /// Somebody edited it by hand in another version of its kind.
    pub edited_elsewhere: bool,
    /// An owner that is no controller, in a reference that is not ours: deleting the object is that owner's to decide.
    pub kept_for: Option<String>,
}

impl Live {
    /// Fields that somebody added by hand beside ours.
    #[must_use]
    pub fn additions(&self) -> &[Addition] {
        self.hands.as_deref().map_or(&[], |hands| &hands.additions)
    }
}

/// A field that somebody set by hand on an object of ours, beside what git says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addition {
    /// The field manager.
    pub manager: String,
    /// As in `spec.template.spec.containers[name=main].image`. Never a value.
    pub field: String,
    /// It is removed (`spec.strict`), not only told.
    pub strict: bool,
}

/// Additions in one sentence; empty if there are none.
#[must_use]
pub fn told(additions: &[Addition]) -> String {
    let fields: Vec<String> = additions.iter().map(|it| format!("{} ({})", it.field, it.manager)).collect();
    match fields.as_slice() {
        [] => String::new(),
        [one] => format!("a field that is not in git was set by hand: {one}"),
        some => format!("fields that are not in git were set by hand: {}", some.join(", ")),
    }
}

/// How [`Live::other_owner`] names another sync: by its part-of label.
#[must_use]
pub fn other_sync(label: &str) -> String {
    format!("the sync with part-of label {label}")
}

/// kstatus in one word, with the sentence that goes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// As wanted and usable.
    #[default]
    Ready,
    /// On its way.
    Progressing(String),
    /// Will not get there by itself.
    Failed(String),
}
