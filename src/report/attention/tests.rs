//! Tests of what needs a person.

use super::*;
use crate::plan::Origin;
use crate::problem::Code;
use crate::sync::conditions::Condition;
use crate::sync::status::Counts;

fn sync(name: &str, status: &str, reason: &str) -> SyncView {
    let ready =
        Condition { kind: "Ready".into(), status: status.into(), reason: reason.into(), ..Condition::default() };
    SyncView {
        namespace: "ns".into(),
        name: name.into(),
        revision: Some("3f2a91c0aa".into()),
        conditions: vec![ready],
        ..SyncView::default()
    }
}

fn step(name: &str, state: State, waits_for: &[&str]) -> StepView {
    StepView {
        id: StepId::object("apps", "Deployment", Some("web"), name),
        origin: Origin { path: "web.yaml".into(), line: 3, ..Origin::default() },
        state,
        reason: "Why".into(),
        message: "because".into(),
        since: String::new(),
        waits_for: waits_for.iter().map(|name| StepId::object("apps", "Deployment", Some("web"), name)).collect(),
    }
}

#[test]
fn a_suspended_sync_is_off_whatever_its_steps_say() {
    let mut sync = sync("a", "True", reasons::SYNCED);
    let stalled =
        Condition { kind: "Stalled".into(), status: "True".into(), reason: "Suspended".into(), ..Condition::default() };
    sync.conditions.push(stalled);
    assert_eq!((tone(&sync), label(&sync).as_str()), (Tone::Off, "suspended"));
}

#[test]
fn a_failed_step_is_counted_and_named_with_those_that_wait_for_it() {
    let mut sync = sync("platform", "False", reasons::STEP_FAILED);
    sync.steps =
        vec![step("a", State::Failed, &[]), step("b", State::Waiting, &["a"]), step("c", State::Ready, &[])].into();
    sync.counts = Counts { steps: 3, ready: 1, waiting: 1, failed: 1, ..Counts::default() };
    assert_eq!(label(&sync), "1 of 3 failed");
    let found = attention(&sync);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].title.as_str(), found[0].blocks), ("Deployment web/a", 1));
    assert_eq!(found[0].place.as_deref(), Some("web.yaml:3"));
}

#[test]
fn a_warning_needs_nobody_and_an_error_does() {
    let mut sync = sync("a", "True", reasons::SYNCED);
    sync.problems = vec![Problem::warning(Code::ScopeAssumed, "taken to have namespaces")];
    assert_eq!((tone(&sync), attention(&sync).len()), (Tone::Ready, 0));
    sync.conditions[0].status = "False".into();
    sync.conditions[0].reason = reasons::PROBLEMS.into();
    sync.problems.push(Problem::error(Code::UnknownField, "no such field").in_file("a.yaml").at(7, 3));
    assert_eq!(label(&sync), "1 problem");
    assert_eq!(attention(&sync)[0].place.as_deref(), Some("a.yaml:7"));
}

#[test]
fn a_sync_on_its_way_names_what_is_waited_for() {
    let mut sync = sync("a", "False", reasons::PROGRESSING);
    sync.steps = vec![step("db", State::Progressing, &[]), step("app", State::Waiting, &["db"])].into();
    sync.counts = Counts { steps: 2, waiting: 1, progressing: 1, ..Counts::default() };
    assert_eq!(label(&sync), "waiting for web/db");
}

#[test]
fn what_concerns_the_whole_sync_stands_above_its_steps() {
    let mut sync = sync("a", "False", reasons::SOURCE_UNAVAILABLE);
    sync.conditions[0].message = "cannot fetch".into();
    sync.steps = vec![step("a", State::Failed, &[])].into();
    let found = attention(&sync);
    assert_eq!((found[0].message.as_str(), found.len()), ("cannot fetch", 2));
}

#[test]
fn numbers_have_their_thousands_apart() {
    assert_eq!((number(0), number(999), number(1000), number(1_234_567)), {
        ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
    });
}

#[test]
fn every_world_has_a_readable_name() {
    let named = |text: &str| name_of(&StepId::from_text(text));
    assert_eq!(named("object/core/Namespace/-/web"), ("Namespace".into(), "web".into()));
    assert_eq!(named("probe/web/front/home"), ("Probe".into(), "web/front/home".into()));
}

#[test]
fn what_a_bad_document_holds_back_is_not_one_more_thing_to_do() {
    let mut sync = sync("a", "False", reasons::PROBLEMS);
    let mut held = step("kept", State::Refused, &[]);
    held.reason = crate::diff::guard::reasons::HELD_FILE.into();
    held.origin.line = 0;
    sync.steps = vec![held, step("broken", State::Failed, &[])].into();
    let titles = |sync: &SyncView| attention(sync).into_iter().map(|item| item.title).collect::<Vec<_>>();
    assert_eq!(titles(&sync), ["Deployment web/kept", "Deployment web/broken"]);
    assert_eq!(attention(&sync)[0].place.as_deref(), Some("web.yaml"), "no line is known");
    sync.problems = vec![Problem::error(Code::YamlSyntax, "not valid YAML")];
    assert_eq!(titles(&sync), ["", "Deployment web/broken"]);
}
