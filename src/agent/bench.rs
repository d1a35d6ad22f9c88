//! What one sync works with: its settings made ready for use, its place in the world, and what it remembers.
//!
//! Made by `agent`, used by `task` and `pass`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::board::Board;
use super::edits::Fights;
use super::neighbours::{Follows, Key};
use super::scope::{Opens, Todo};
use super::store::{Control, Place, Store};
use super::tenure::Tenure;
use super::writer::Writer;
use crate::declared::{Memo, Scopes};
use crate::diff::compare::Rules;
use crate::expand;
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};
use crate::problem::Problem;
use crate::report::summary::{Summary, Who};
use crate::revision::Revision;
use crate::source::Source;
use crate::sync::conditions::{READY, find};
use crate::sync::spec::{DriftMode, GitSyncSpec};
use crate::target::execute::Pace;
use crate::telemetry::Metrics;

/// Trailer of a commit message that releases a refused deletion.
const ACKNOWLEDGE: &str = "Windlass-Acknowledge:";

/// What does not change while a sync's task lives.
pub(super) struct Bench<W> {
    pub(super) who: Who,
    pub(super) sync_id: String,
    pub(super) spec: GitSyncSpec,
    /// Annotations of the GitSync.
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) retry_interval: Duration,
    /// `spec.drift.verifyInterval`; none where drift is only reported.
    pub(super) verify_interval: Option<Duration>,
    pub(super) source: Arc<Source>,
    pub(super) world: W,
    pub(super) store: Store,
    pub(super) place: Place,
    pub(super) writer: Writer,
    /// The Lease of the sync; none where the state folder's lock is all it takes.
    pub(super) tenure: Option<Tenure>,
    pub(super) board: Board,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: fn() -> Timestamp,
    /// How fast the target lets us write.
    pub(super) pace: Pace,
}

/// What one sync remembers from pass to pass.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) control: Control,
    pub(super) memo: Memo,
    pub(super) expanded: expand::Memo,
    /// Every kind that the target was ever seen to have: one that does not answer for a while is not forgotten.
    pub(super) scopes: Scopes,
    pub(super) prepared: Option<Arc<Prepared>>,
    pub(super) inventory: Option<Inventory>,
    pub(super) summary: Summary,
    /// The summary in the middle of a pass.
    pub(super) live: Option<Summary>,
    pub(super) fetched_at: Option<Timestamp>,
    /// Why the source could not be read when it was last asked.
    pub(super) source_error: Option<String>,
    /// What the next pass has to do.
    pub(super) todo: Todo,
    /// Steps that are not over.
    pub(super) opens: Opens,
    /// What is owned and not in the plan.
    pub(super) unwanted: BTreeSet<StepId>,
    /// When the target was last asked for its kinds; none: they may have changed.
    pub(super) kinds_asked: Option<Instant>,
    /// Up to when the sweep has looked.
    pub(super) swept: Option<Timestamp>,
    /// The plan that the summary was made of.
    pub(super) shown: Option<Arc<Prepared>>,
    /// What was last said stands as long as this holds.
    pub(super) pause: Option<Pause>,
    /// When the state was stored, and whether anything has changed since.
    pub(super) saved: Option<Instant>,
    pub(super) unsaved: bool,
    /// What was corrected how often.
    pub(super) fights: Fights,
}

/// Why no pass does anything for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// A person paused it.
    Suspended,
    /// No window is open, other syncs have to be ready first, or another agent works for it.
    Held,
}

/// What a revision wants; kept as long as the revision stays.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) problems: Vec<Problem>,
    /// The kinds that were known when it was expanded.
    pub(super) scopes: Scopes,
}

impl Memory {
    pub(super) fn is_ready(&self) -> bool {
        find(&self.summary.view.conditions, READY).is_some_and(|ready| ready.status == "True")
    }
}

impl<W> Bench<W> {
    /// `namespace/name`.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.who.namespace, self.who.name)
    }

    /// Namespace and name.
    pub(super) fn key(&self) -> Key {
        (self.who.namespace.clone(), self.who.name.clone())
    }

    /// What it follows, unless it is held at a commit.
    pub(super) fn follows(&self, memory: &Memory) -> Option<Follows> {
        let pinned = memory.control.pinned.is_some();
        (!pinned).then(|| (self.spec.source.url.clone(), self.spec.source.reference.clone()))
    }

    /// Its part-of label.
    pub(super) fn part_of(&self) -> String {
        crate::sync::part_of(&self.who.namespace, &self.who.name)
    }

    /// Gives up what only a running agent holds.
    pub(super) async fn release(&self) {
        if let Some(tenure) = &self.tenure {
            tenure.release().await;
        }
    }

    /// The annotation that asks for a pass.
    pub(super) fn requested_at(&self) -> Option<String> {
        self.annotations.get("windlass.dev/requested-at").cloned()
    }

    /// What the user allows.
    pub(super) fn rules<'a>(&self, revision: &Revision, unwanted: impl Iterator<Item = &'a StepId>) -> Rules {
        let (claims, part_of) = (&self.board.claims, self.part_of());
        Rules {
            wanted_elsewhere: claims.wanted_by_others(&part_of, unwanted),
            siblings: claims.siblings(&part_of),
            ..rules(&self.spec, &self.annotations, revision)
        }
    }

    /// Whether writes are allowed now; if not, when they are.
    pub(super) fn window(&self) -> Result<(), Option<Timestamp>> {
        super::timing::open(&self.spec.windows, (self.clock)())
    }
}

/// What the user allows: the spec, and the tokens that the commit message or an annotation of the GitSync gives.
#[must_use]
pub fn rules(spec: &GitSyncSpec, annotations: &BTreeMap<String, String>, revision: &Revision) -> Rules {
    let trailers = revision.message.lines().filter_map(|line| line.trim().strip_prefix(ACKNOWLEDGE));
    let annotated = annotations.get("windlass.dev/acknowledge").map(String::as_str);
    let tokens = trailers.chain(annotated).flat_map(|text| text.split([',', ' '])).map(str::trim);
    Rules {
        prune: spec.prune,
        budget: spec.budget,
        acknowledged: tokens.filter(|token| !token.is_empty()).map(str::to_owned).collect(),
        report_drift: spec.drift.mode == DriftMode::Report,
        ..Rules::default()
    }
}
