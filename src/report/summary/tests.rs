use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::diff::guard::reasons::OTHER_CONTROLLER;
use crate::plan::{Held, Step, Want};
use crate::problem::Code;
use crate::sync::conditions::{READY, RECONCILING, STALLED, find, reasons};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(name: &str) -> StepId {
    StepId::object("", "ConfigMap", Some("web"), name)
}

fn plan(names: &[&str]) -> Plan {
    let steps = names.iter().map(|name| {
        let want = Want::Object(json!({ "apiVersion": "v1", "kind": "ConfigMap" }).into());
        Step::new(id(name), Arc::new(Origin::default()), None, want)
    });
    Plan {
        revision: Revision::default(),
        steps: steps.map(Arc::new).collect(),
        digest: "d".to_owned(),
        held: Held::default(),
    }
}

fn outcome(state: State) -> Outcome {
    Outcome { state, reason: format!("{state:?}"), message: "why".to_owned(), waits_for: Vec::new() }
}

/// A pass at a second, of a plan, with these outcomes and this end.
fn pass(previous: &Summary, second: i64, names: &[&str], states: &[State], end: End<'_>) -> Summary {
    written(previous, second, names, states, end, &[], Wrote::default())
}

fn written(
    previous: &Summary,
    second: i64,
    names: &[&str],
    states: &[State],
    end: End<'_>,
    problems: &[Problem],
    wrote: Wrote,
) -> Summary {
    let (plan, who) = (plan(names), Who::default());
    let outcomes = names.iter().zip(states).map(|(name, state)| (id(name), outcome(*state))).collect();
    let revision = Revision { id: format!("revision-{second}"), ..Revision::default() };
    let facts = Facts {
        now: at(second),
        duration_ms: 7,
        revision: Some(&revision),
        fetched_at: Some(at(second)),
        problems,
        wrote,
        end,
        ..facts(&who, &plan, &outcomes)
    };
    summarize(previous, &facts)
}

/// A pass that ran to its end, of which nothing in particular is known.
fn facts<'a>(who: &'a Who, plan: &'a Plan, outcomes: &'a BTreeMap<StepId, Outcome>) -> Facts<'a> {
    Facts {
        who,
        now: at(1),
        duration_ms: 0,
        revision: None,
        fetched_at: None,
        plan: Some(plan),
        problems: &[],
        inventory: None,
        live: const { &BTreeMap::new() },
        outcomes,
        which: Which::All,
        same_plan: false,
        wrote: Wrote::default(),
        end: End::Done,
        source_error: None,
        handled: None,
        pinned: None,
    }
}

fn condition<'a>(summary: &'a Summary, kind: &str) -> Option<(&'a str, &'a str)> {
    find(&summary.status.conditions, kind).map(|found| (found.status.as_str(), found.reason.as_str()))
}

#[test]
fn a_step_keeps_the_time_since_which_it_is_in_its_state() {
    let first = pass(&Summary::default(), 10, &["a", "b"], &[State::Ready, State::Progressing], End::Done);
    let second = pass(&first, 20, &["a", "b"], &[State::Ready, State::Ready], End::Done);
    let since: Vec<&str> = second.view.steps.iter().map(|step| step.since.as_str()).collect();
    assert_eq!(since, ["1970-01-01T00:00:10Z", "1970-01-01T00:00:20Z"]);
    // A pass that did not come to a step leaves its state as it was.
    let third = pass(&second, 30, &["a", "b"], &[], End::Cancelled);
    assert_eq!(third.view.steps, second.view.steps);
}

#[test]
fn a_condition_moves_its_time_only_with_its_status() {
    let first = pass(&Summary::default(), 10, &["a"], &[State::Ready], End::Done);
    let second = pass(&first, 20, &["a"], &[State::Ready], End::Done);
    assert_eq!(first.status.conditions, second.status.conditions);
    let third = pass(&second, 30, &["a"], &[State::Failed], End::Done);
    let ready = find(&third.status.conditions, READY).unwrap();
    assert_eq!((ready.status.as_str(), ready.last_transition_time.as_str()), ("False", "1970-01-01T00:00:30Z"));
    assert_eq!(condition(&third, RECONCILING), Some(("True", reasons::STEP_FAILED)));
}

#[test]
fn the_end_of_a_pass_decides_what_follows() {
    let live = pass(&Summary::default(), 10, &["a"], &[State::Ready], End::Done);
    for (end, ready, next) in [
        (End::Done, ("True", reasons::SYNCED), None),
        (End::Running, ("Unknown", reasons::PROGRESSING), Some(RECONCILING)),
        (End::NoRevision, ("False", reasons::SOURCE_UNAVAILABLE), Some(RECONCILING)),
        (End::TargetFailed("Unreachable", "no"), ("False", reasons::TARGET_UNAVAILABLE), Some(RECONCILING)),
        (End::TargetFailed(reasons::INVENTORY_MISMATCH, "no"), ("False", reasons::INVENTORY_MISMATCH), Some(STALLED)),
        (End::Closed(Some(at(99)), 2), ("False", reasons::OUTSIDE_WINDOW), Some(RECONCILING)),
        // The world is still as it was left.
        (End::Suspended, ("True", reasons::SYNCED), Some(STALLED)),
    ] {
        let summary = pass(&live, 20, &["a"], &[State::Ready], end);
        assert_eq!(condition(&summary, READY), Some(ready), "{end:?}");
        for kind in [RECONCILING, STALLED] {
            assert_eq!(condition(&summary, kind).is_some(), next == Some(kind), "{end:?}: {kind}");
        }
    }
}

#[test]
fn only_a_pass_whose_steps_are_all_ready_counts_as_applied() {
    let first = pass(&Summary::default(), 10, &["a"], &[State::Ready], End::Done);
    let second = pass(&first, 20, &["a"], &[State::Failed], End::Done);
    assert_eq!(second.status.last_applied_revision.as_deref(), Some("revision-10"));
    assert_eq!(second.status.last_attempted_revision.as_deref(), Some("revision-20"));
    let held = pass(&second, 30, &["a"], &[State::Waiting], End::Closed(None, 1));
    assert_eq!(held.status.last_attempted_revision.as_deref(), Some("revision-20"), "nothing was attempted");
}

#[test]
fn history_and_problems_of_a_status_are_bounded_and_the_newest_stands_first() {
    let problems: Vec<Problem> = (0..30).map(|n| Problem::error(Code::InvalidValue, format!("problem {n}"))).collect();
    let wrote = Wrote { applied: 1, ..Wrote::default() };
    let mut summary = Summary::default();
    for second in 0..15 {
        summary = written(&summary, second, &["a"], &[State::Ready], End::Done, &problems, wrote);
    }
    assert_eq!(summary.status.history.len(), 10);
    assert_eq!(summary.status.history[0].revision, "revision-14");
    assert_eq!((summary.status.problems.len(), summary.view.problems.len()), (20, 30));
    assert_eq!(summary.status.problems[0].message, "problem 0");
    // What wrote nothing, or goes on, is no row.
    let quiet = pass(&summary, 20, &["a"], &[State::Ready], End::Done);
    let running = written(&quiet, 21, &["a"], &[State::Ready], End::Running, &[], wrote);
    assert_eq!(running.status.history, summary.status.history);
}

#[test]
fn what_left_the_plan_and_may_not_be_deleted_is_shown_and_counted() {
    let (plan, who) = (plan(&["a"]), Who::default());
    let outcomes = BTreeMap::from([(id("a"), outcome(State::Ready)), (id("old"), outcome(State::Refused))]);
    let facts = Facts { handled: Some("tea-time"), ..facts(&who, &plan, &outcomes) };
    let summary = summarize(&Summary::default(), &facts);
    assert_eq!(summary.view.details.refused_deletes, 1);
    assert_eq!((summary.view.counts.steps, summary.view.counts.refused), (2, 1));
    assert_eq!(summary.view.steps[1].origin.name, "old");
    assert_eq!(condition(&summary, READY), Some(("False", reasons::REFUSED)));
    assert_eq!(summary.status.last_handled_request.as_deref(), Some("tea-time"));
}

#[test]
fn the_status_of_a_cr_that_is_left_to_another_controller_is_not_written() {
    let cr = StepId::object("cache.example.com", "Memcached", Some("web"), "a");
    let child = StepId::object("apps", "Deployment", Some("web"), "a");
    let origin = Arc::new(Origin::default());
    let manifest = json!({ "apiVersion": "cache.example.com/v1alpha1", "kind": "Memcached", "spec": { "size": 1 } });
    let mut steps = vec![Step::new(cr.clone(), origin.clone(), None, Want::Object(manifest.into())).into()];
    steps.push(
        Step::new(child.clone(), origin, Some(cr.clone()), Want::Object(json!({ "kind": "Deployment" }).into())).into(),
    );
    let plan = Plan { steps, ..plan(&[]) };
    let who = Who::default();
    for (reason, written) in [("Ready", true), (OTHER_CONTROLLER, false)] {
        let said = Outcome { reason: reason.to_owned(), ..outcome(State::Refused) };
        let outcomes = BTreeMap::from([(cr.clone(), said), (child.clone(), outcome(State::Ready))]);
        let facts = facts(&who, &plan, &outcomes);
        assert_eq!(summarize(&Summary::default(), &facts).crs.contains_key(&cr), written, "{reason}");
    }
}

#[test]
fn a_pin_is_told_with_the_way_back() {
    let (plan, who) = (plan(&["a"]), Who { name: "platform".to_owned(), ..Who::default() });
    let outcomes = BTreeMap::from([(id("a"), outcome(State::Ready))]);
    let facts = Facts { pinned: Some("3f2a1bc99887"), ..facts(&who, &plan, &outcomes) };
    let summary = summarize(&Summary::default(), &facts);
    let ready = find(&summary.status.conditions, READY).unwrap();
    assert_eq!(ready.status, "True");
    let told = "It is held at 3f2a1bc; `windlass sync platform` follows the source again.";
    assert!(ready.message.ends_with(told), "{}", ready.message);
}
