//! What a pass means: the view, the status of the GitSync and of every declared CR.
//!
//! Pure: (previous summary, facts of the pass) → summary. Never reads the world; the only maker of a [`Summary`].
//! Called by `agent` at the end of a pass, and while a long one goes on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ready::{self, Stand};
use super::view::{Details, StepView, SyncView};
use crate::diff::guard::reasons::OTHER_CONTROLLER;
use crate::inventory::Inventory;
use crate::kinds::{self, ChildState, Cr, StatusInput};
use crate::plan::{Origin, Plan, State, StepId};
use crate::problem::{Problem, Severity};
use crate::revision::Revision;
use crate::sync::status::{Counts, GitSyncStatus, HistoryRow, SourceStatus};
use crate::target::LiveStatus;
use crate::target::execute::Outcome;

/// A status shows at most so many problems.
const PROBLEMS: usize = 20;
/// A status shows at most so many passes.
const HISTORY: usize = 10;

/// All that is said of one sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// For `status`, the API and the dashboard.
    pub view: SyncView,
    /// For the GitSync.
    pub status: GitSyncStatus,
    /// For the declared CRs, by step id.
    pub crs: BTreeMap<StepId, Value>,
}

/// Which sync is spoken of.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// Namespace of the GitSync.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its generation, if it is a CR.
    pub generation: Option<i64>,
    /// Name of the cluster; empty where there is none.
    pub cluster: String,
    /// The source without credentials.
    pub source: String,
    /// What is followed; empty for the remote's HEAD.
    pub following: String,
}

/// What is known at the end of a pass, or in its middle.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The sync.
    pub who: &'a Who,
    /// Now.
    pub now: Timestamp,
    /// Milliseconds since the pass began.
    pub duration_ms: u64,
    /// The revision that the pass is about.
    pub revision: Option<&'a Revision>,
    /// When the source was last read with success.
    pub fetched_at: Option<Timestamp>,
    /// What it wants; none if it could not be read.
    pub plan: Option<&'a Plan>,
    /// Everything wrong with its documents, or with the GitSync itself.
    pub problems: &'a [Problem],
    /// What is owned, for the origin of steps that are not in the plan.
    pub inventory: Option<&'a Inventory>,
    /// What the declared CRs say of themselves in the target.
    pub live: BTreeMap<StepId, LiveStatus>,
    /// How steps came out; a missing one keeps the state that it had.
    pub outcomes: &'a BTreeMap<StepId, Outcome>,
    /// What the pass wrote.
    pub wrote: Wrote,
    /// How it ended.
    pub end: End<'a>,
    /// Why the source could not be read, if so; the pass went on from the clone if it could.
    pub source_error: Option<&'a str>,
    /// The request that was handled last.
    pub handled: Option<&'a str>,
    /// The revision that a person holds the sync at.
    pub pinned: Option<&'a str>,
}

/// What a pass wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrote {
    /// Objects created or updated.
    pub applied: u32,
    /// Objects deleted.
    pub pruned: u32,
    /// Steps that were as wanted already.
    pub kept: u32,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It goes on.
    Running,
    /// It ran to its end.
    Done,
    /// A newer revision or the end of the program stopped it between steps.
    Cancelled,
    /// There is no revision to work with.
    NoRevision,
    /// The target could not be read or written: reason and message.
    TargetFailed(&'a str, &'a str),
    /// The GitSync itself has errors (the problems).
    Invalid,
    /// Another agent works for it; in words.
    Elsewhere(&'a str),
    /// Other syncs have to be ready first: in words, how many steps wait, and whether a person has to act.
    Waits(&'a str, usize, bool),
    /// A person paused it.
    Suspended,
    /// It may not write now: when it may, and how many steps wait for that.
    Closed(Option<Timestamp>, usize),
}

/// Summarizes.
#[must_use]
pub fn summarize(previous: &Summary, facts: &Facts<'_>) -> Summary {
    let steps = steps(previous, facts);
    let mut counts = count(&steps);
    counts.pruned = facts.wrote.pruned;
    let crs = facts.plan.map_or_else(|| previous.crs.clone(), |plan| cr_statuses(previous, facts, plan, &steps));

    let stand = Stand {
        counts,
        steps: &steps,
        problems: facts.problems,
        end: facts.end,
        source_error: facts.source_error,
        pinned: facts.pinned.map(|pinned| (pinned, facts.who.name.as_str())),
    };
    let conditions = ready::conditions(&previous.status.conditions, &stand, facts.now, facts.who.generation);
    let ready = ready::is_ready(&conditions);

    let mut status = previous.status.clone();
    status.observed_generation = facts.who.generation.or(status.observed_generation);
    status.conditions.clone_from(&conditions);
    status.counts = counts;
    if let (Some(revision), Some(at)) = (facts.revision, facts.fetched_at) {
        status.source = Some(SourceStatus { revision: revision.id.clone(), fetched_at: second(at) });
    }
    let attempted = matches!(facts.end, End::Running | End::Done | End::Cancelled | End::TargetFailed(..));
    if let Some(revision) = facts.revision.filter(|_| attempted) {
        status.last_attempted_revision = Some(revision.id.clone());
        if ready && facts.end == End::Done {
            status.last_applied_revision = Some(revision.id.clone());
        }
    }
    if let Some(plan) = facts.plan {
        status.plan_digest = Some(plan.digest.clone());
    }
    status.problems = facts.problems.iter().take(PROBLEMS).map(Into::into).collect();
    if let Some(handled) = facts.handled {
        status.last_handled_request = Some(handled.to_owned());
    }
    if facts.wrote.applied + facts.wrote.pruned > 0 && facts.end != End::Running {
        status.history.insert(0, row(facts, &conditions));
        status.history.truncate(HISTORY);
    }

    let old = &previous.view.details;
    let details = Details {
        commit: facts.revision.cloned().or_else(|| old.commit.clone()),
        source: facts.who.source.clone(),
        following: facts.who.following.clone(),
        fetched_at: status.source.as_ref().map(|source| source.fetched_at.clone()),
        history: status.history.clone(),
        last_pass: match facts.end {
            End::Done => Some((facts.wrote.kept, facts.duration_ms)),
            _ => old.last_pass,
        },
        refused_deletes: refused_deletes(facts, &steps),
        elsewhere: matches!(facts.end, End::Elsewhere(_)),
        needs: facts.plan.map_or_else(|| old.needs.clone(), needs),
    };
    let view = SyncView {
        namespace: facts.who.namespace.clone(),
        name: facts.who.name.clone(),
        cluster: facts.who.cluster.clone(),
        revision: status.last_attempted_revision.clone(),
        conditions,
        counts,
        problems: facts.problems.to_vec(),
        steps,
        details,
    };
    Summary { view, status, crs }
}

/// A stored summary does not hold the dashboard's details: what can be had from the status is put back.
#[must_use]
pub fn restored(mut summary: Summary) -> Summary {
    summary.view.details.history.clone_from(&summary.status.history);
    summary.view.details.fetched_at = summary.status.source.as_ref().map(|source| source.fetched_at.clone());
    summary
}

/// Steps that left the plan and may not be deleted unasked.
fn refused_deletes(facts: &Facts<'_>, steps: &[StepView]) -> u32 {
    let wanted = facts.plan.map_or(steps.len(), |plan| plan.steps.len());
    let refused = steps.iter().skip(wanted).filter(|step| step.state == State::Refused).count();
    u32::try_from(refused).unwrap_or(u32::MAX)
}

fn needs(plan: &Plan) -> BTreeMap<StepId, Vec<StepId>> {
    let needing = plan.steps.iter().filter(|step| !step.needs.is_empty());
    needing.map(|step| (step.id.clone(), step.needs.iter().cloned().collect())).collect()
}

fn second(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

fn row(facts: &Facts<'_>, conditions: &[crate::sync::conditions::Condition]) -> HistoryRow {
    let ready = crate::sync::conditions::find(conditions, crate::sync::conditions::READY);
    HistoryRow {
        revision: facts.revision.map(|revision| revision.id.clone()).unwrap_or_default(),
        subject: facts.revision.and_then(|revision| revision.subject.clone()),
        at: second(facts.now),
        duration_ms: facts.duration_ms,
        outcome: match ready {
            Some(ready) if ready.status == "True" => "Ready".to_owned(),
            Some(ready) => ready.reason.clone(),
            None => "Unknown".to_owned(),
        },
        applied: facts.wrote.applied,
        pruned: facts.wrote.pruned,
    }
}

fn steps(previous: &Summary, facts: &Facts<'_>) -> Vec<StepView> {
    let Some(plan) = facts.plan else { return previous.view.steps.clone() };
    let before: BTreeMap<&StepId, &StepView> = previous.view.steps.iter().map(|step| (&step.id, step)).collect();
    let waiting = Outcome {
        state: State::Waiting,
        reason: "NotStarted".to_owned(),
        message: "the pass has not come to this step yet".to_owned(),
        waits_for: Vec::new(),
    };
    let show = |id: &StepId, origin: Origin| {
        let old = before.get(id).copied();
        let known = old.map(|old| Outcome {
            state: old.state,
            reason: old.reason.clone(),
            message: old.message.clone(),
            waits_for: old.waits_for.clone(),
        });
        let outcome = facts.outcomes.get(id).cloned().or(known).unwrap_or_else(|| waiting.clone());
        let since =
            old.filter(|old| old.state == outcome.state).map_or_else(|| second(facts.now), |old| old.since.clone());
        StepView {
            id: id.clone(),
            origin,
            state: outcome.state,
            reason: outcome.reason,
            message: outcome.message,
            since,
            waits_for: outcome.waits_for,
        }
    };
    let mut views: Vec<StepView> = plan.steps.iter().map(|step| show(&step.id, step.origin.as_ref().clone())).collect();
    // What left the plan and is still there: refused, or not deleted yet.
    let wanted: std::collections::BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
    views.extend(
        facts.outcomes.keys().filter(|id| !wanted.contains(id)).map(|id| show(id, removed_origin(id, facts.inventory))),
    );
    views
}

fn removed_origin(id: &StepId, inventory: Option<&Inventory>) -> Origin {
    let entry = inventory.and_then(|inventory| inventory.entries.get(id));
    let owner = entry.and_then(|entry| entry.owner.clone()).unwrap_or_else(|| id.clone());
    let parts = owner.object_parts();
    Origin {
        api_version: entry.map(|entry| (&entry.api_version).into()).unwrap_or_default(),
        kind: parts.map(|parts| parts.kind.into()).unwrap_or_default(),
        namespace: parts.and_then(|parts| parts.namespace).map(Into::into),
        name: parts.map(|parts| parts.name.into()).unwrap_or_default(),
        path: entry.map(|entry| (&entry.path).into()).unwrap_or_default(),
        document: entry.map(|entry| entry.document).unwrap_or_default(),
        line: 0,
    }
}

fn count(steps: &[StepView]) -> Counts {
    let mut counts = Counts { steps: u32::try_from(steps.len()).unwrap_or(u32::MAX), ..Counts::default() };
    for step in steps {
        *match step.state {
            State::Ready => &mut counts.ready,
            State::Waiting => &mut counts.waiting,
            State::Progressing | State::Unknown => &mut counts.progressing,
            State::Failed => &mut counts.failed,
            State::Refused => &mut counts.refused,
            State::Skipped | State::Pending => &mut counts.pending,
        } += 1;
    }
    counts
}

fn cr_statuses(previous: &Summary, facts: &Facts<'_>, plan: &Plan, steps: &[StepView]) -> BTreeMap<StepId, Value> {
    let owners: BTreeMap<&StepId, &StepId> =
        plan.steps.iter().filter_map(|step| Some((&step.id, step.owner.as_ref()?))).collect();
    let mut children: BTreeMap<&StepId, Vec<ChildState>> = BTreeMap::new();
    for step in steps {
        // A CR answers for what its own CRs expand to as well. Owners form no circle: each is made before what it owns.
        let mut above = owners.get(&step.id);
        while let Some(owner) = above {
            children.entry(owner).or_default().push(ChildState {
                id: step.id.clone(),
                state: step.state,
                reason: step.reason.clone(),
                message: step.message.clone(),
            });
            above = owners.get(owner);
        }
    }
    let others: std::collections::BTreeSet<&StepId> =
        steps.iter().filter(|step| step.reason == OTHER_CONTROLLER).map(|step| &step.id).collect();
    let now = second(facts.now);
    let mut statuses = BTreeMap::new();
    for step in &plan.steps {
        let (Some(parts), Some(manifest)) = (step.id.object_parts(), step.want.object()) else { continue };
        let Some(kind) = kinds::find(parts.group, parts.kind) else { continue };
        // Two writers of one status would take turns for ever.
        if others.contains(&step.id) {
            continue;
        }
        let manifest = manifest.value();
        let live = facts.live.get(&step.id);
        let input = StatusInput {
            cr: Cr::new(parts.name, parts.namespace.unwrap_or_default(), &manifest),
            generation: live.and_then(|live| live.generation),
            previous: live.and_then(|live| live.status.as_ref()).or_else(|| previous.crs.get(&step.id)),
            children: children.get(&step.id).map(Vec::as_slice).unwrap_or_default(),
            now: &now,
        };
        if let Some(status) = (kind.status)(&input) {
            statuses.insert(step.id.clone(), status);
        }
    }
    statuses
}

/// Whether a problem keeps a document from being applied.
pub(super) fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}

#[cfg(test)]
mod tests;
