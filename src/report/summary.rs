//! What a pass means: the view, the status of the GitSync and of every declared CR.
//!
//! Pure: (previous summary, facts of the pass) → summary. Never reads the world; the only maker of a [`Summary`].
//! Called by `agent` at the end of a pass, and while a long one goes on.

mod crs;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ready::{self, Stand};
use super::view::{Details, StepView, Steps, SyncView};
use crate::diff::Which;
use crate::diff::guard::reasons::FIGHTING;
use crate::inventory::Inventory;
use crate::plan::{Origin, Plan, State, Step, StepId};
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
    #[serde(with = "shared")]
    pub crs: Arc<BTreeMap<StepId, Value>>,
    /// The declared CRs whose status was looked at for this summary; of the others it is as it was.
    #[serde(skip)]
    pub touched: BTreeSet<StepId>,
}

/// A shared value in JSON is the value.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
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
    pub live: &'a BTreeMap<StepId, LiveStatus>,
    /// How steps came out; a missing one keeps the state that it had.
    pub outcomes: &'a BTreeMap<StepId, Outcome>,
    /// Which steps the pass was about: one that left the plan and has no outcome is gone, if it is among these.
    pub which: Which<'a>,
    /// The previous summary was made of the very same plan.
    pub same_plan: bool,
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
    let (mut statuses, mut touched) = (Arc::clone(&previous.crs), BTreeSet::new());
    if let Some(plan) = facts.plan {
        touched = crs::touched(previous, facts, plan);
        crs::statuses(previous, facts, plan, &steps, &touched, &mut statuses);
    }

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
        fights: u32::try_from(steps.iter().filter(|step| step.reason == FIGHTING).count()).unwrap_or(u32::MAX),
        needs: match facts.plan {
            Some(plan) if !facts.same_plan => Arc::new(needs(plan)),
            _ => Arc::clone(&old.needs),
        },
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
    Summary { view, status, crs: statuses, touched }
}

/// A stored summary does not hold the dashboard's details: what can be had from the status is put back.
#[must_use]
pub fn restored(mut summary: Summary) -> Summary {
    summary.view.details.history.clone_from(&summary.status.history);
    summary.view.details.fetched_at = summary.status.source.as_ref().map(|source| source.fetched_at.clone());
    summary
}

/// Steps that left the plan and may not be deleted unasked.
fn refused_deletes(facts: &Facts<'_>, steps: &Steps) -> u32 {
    let wanted = facts.plan.map_or(steps.len(), |plan| plan.steps.len());
    let refused = steps.iter().skip(wanted).filter(|step| step.state == State::Refused).count();
    u32::try_from(refused).unwrap_or(u32::MAX)
}

fn needs(plan: &Plan) -> BTreeMap<StepId, Vec<StepId>> {
    let needing = plan.steps.iter().filter(|step| !step.needs.is_empty());
    needing.map(|step| (step.id.clone(), step.needs.iter().cloned().collect())).collect()
}

/// A time in reports: RFC 3339, whole seconds.
#[must_use]
pub fn second(at: Timestamp) -> String {
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

fn steps(previous: &Summary, facts: &Facts<'_>) -> Steps {
    let mut views = previous.view.steps.clone();
    let Some(plan) = facts.plan else { return views };
    let shown = plan.steps.len();
    if !facts.same_plan || views.len() < shown {
        return all_steps(previous, facts, plan);
    }
    if !facts.outcomes.is_empty() {
        for (number, step) in plan.steps.iter().enumerate() {
            let Some(outcome) = facts.outcomes.get(&step.id) else { continue };
            if !is_shown(&views[number], outcome) {
                let old = &views[number];
                let new = show(&step.id, old.origin.clone(), Some(old), outcome.clone(), facts.now);
                views[number] = new;
            }
        }
    }
    let removed = removed(previous, facts, plan);
    if views.shared().get(shown..) != Some(removed.as_slice()) {
        let all = views.to_mut();
        all.truncate(shown);
        all.extend(removed);
    }
    views
}

/// The steps of a plan that is shown for the first time.
fn all_steps(previous: &Summary, facts: &Facts<'_>, plan: &Plan) -> Steps {
    let before: HashMap<&StepId, &Arc<StepView>> =
        previous.view.steps.shared().iter().map(|step| (&step.id, step)).collect();
    let view = |step: &Arc<Step>| {
        let old = before.get(&step.id).copied();
        let outcome = facts.outcomes.get(&step.id);
        if let Some(old) = old
            && outcome.is_none_or(|outcome| is_shown(old, outcome))
            && old.origin == *step.origin
        {
            return Arc::clone(old);
        }
        let known = outcome.cloned().or_else(|| old.map(|old| shown_outcome(old)));
        let waiting = || Outcome::new(State::Waiting, "NotStarted", "the pass has not come to this step yet");
        let origin = step.origin.as_ref().clone();
        Arc::new(show(&step.id, origin, old.map(AsRef::as_ref), known.unwrap_or_else(waiting), facts.now))
    };
    let mut views: Vec<Arc<StepView>> = plan.steps.iter().map(view).collect();
    views.extend(removed(previous, facts, plan));
    views.into()
}

/// What left the plan and is still there: refused, or not deleted yet.
fn removed(previous: &Summary, facts: &Facts<'_>, plan: &Plan) -> Vec<Arc<StepView>> {
    let old_tail = previous.view.steps.shared().get(plan.steps.len()..).unwrap_or_default();
    if facts.same_plan && old_tail.is_empty() && facts.outcomes.is_empty() {
        return Vec::new();
    }
    let wanted: HashSet<&StepId> = match facts.same_plan {
        // What is asked for below is in the outcomes or in the tail.
        true => plan.steps.iter().map(|step| &step.id).filter(|id| facts.outcomes.contains_key(id)).collect(),
        false => plan.steps.iter().map(|step| &step.id).collect(),
    };
    let old: &[Arc<StepView>] = if facts.same_plan { old_tail } else { previous.view.steps.shared() };
    let mut views: BTreeMap<&StepId, Arc<StepView>> = BTreeMap::new();
    // What the pass was not about stands as it stood, as long as it is owned.
    for step in old.iter().filter(|step| !facts.which.has(&step.id) && !wanted.contains(&step.id)) {
        if facts.inventory.is_some_and(|inventory| inventory.entries.contains_key(&step.id)) {
            views.insert(&step.id, Arc::clone(step));
        }
    }
    for (id, outcome) in facts.outcomes.iter().filter(|(id, _)| !wanted.contains(id)) {
        let old = old.iter().find(|step| &step.id == id).map(AsRef::as_ref);
        let origin = old.map_or_else(|| removed_origin(id, facts.inventory), |old| old.origin.clone());
        views.insert(id, Arc::new(show(id, origin, old, outcome.clone(), facts.now)));
    }
    views.into_values().collect()
}

fn is_shown(view: &StepView, outcome: &Outcome) -> bool {
    view.state == outcome.state
        && view.reason == outcome.reason
        && view.message == outcome.message
        && view.waits_for == outcome.waits_for
}

fn shown_outcome(view: &StepView) -> Outcome {
    Outcome {
        state: view.state,
        reason: view.reason.clone(),
        message: view.message.clone(),
        waits_for: view.waits_for.clone(),
    }
}

fn show(id: &StepId, origin: Origin, old: Option<&StepView>, outcome: Outcome, now: Timestamp) -> StepView {
    let since = old.filter(|old| old.state == outcome.state).map_or_else(|| second(now), |old| old.since.clone());
    StepView {
        id: id.clone(),
        origin,
        state: outcome.state,
        reason: outcome.reason,
        message: outcome.message,
        since,
        waits_for: outcome.waits_for,
    }
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

fn count(steps: &Steps) -> Counts {
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

/// Whether a problem keeps a document from being applied.
pub(super) fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}

#[cfg(test)]
mod tests;
