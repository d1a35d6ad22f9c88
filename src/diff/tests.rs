use std::sync::Arc;

use super::guard::{reasons, token};
use super::*;
use crate::inventory::{Entry, Inventory};
use crate::plan::{Held, Origin, Plan, Step, Want};
use crate::revision::Revision;

fn id(name: &str) -> StepId {
    StepId::object("", "ConfigMap", Some("web"), name)
}

fn step(name: &str) -> Step {
    Step::new(
        id(name),
        Arc::new(Origin::default()),
        None,
        Want::Object(serde_json::json!({ "data": { "v": name } }).into()),
    )
}

fn plan(steps: Vec<Step>) -> Plan {
    let steps = steps.into_iter().map(Arc::new).collect();
    Plan { revision: Revision::default(), steps, digest: String::new(), held: Held::default() }
}

fn entry(path: &str) -> Entry {
    Entry { uid: Some("u".into()), path: path.into(), document: 1, ..Entry::default() }
}

fn live() -> Live {
    Live { uid: "u".into(), content_hash: Some(step("a").hash), ours: true, ..Live::default() }
}

fn rules() -> Rules {
    Rules { prune: true, ..Rules::default() }
}

/// Compares one wanted step `a`.
fn wanted(seen: Seen, entry: Option<Entry>, rules: &Rules) -> Op {
    let mut inventory = Inventory::default();
    inventory.entries.extend(entry.map(|entry| (id("a"), entry)));
    let observed = Observed::from([(id("a"), seen)]);
    diff(&plan(vec![step("a")]), &observed, &inventory, rules, Which::All).changes()[&id("a")].op.clone()
}

/// Compares unwanted entries, each present and ours unless `seen` says otherwise.
fn unwanted(entries: &[(StepId, Entry)], seen: &[(StepId, Seen)], held: Held, rules: &Rules) -> Diff {
    let mut inventory = Inventory::default();
    inventory.entries.extend(entries.iter().cloned());
    let mut observed: Observed = entries.iter().map(|(id, _)| (id.clone(), Seen::Present(live()))).collect();
    observed.extend(seen.iter().cloned());
    diff(&Plan { held, ..plan(Vec::new()) }, &observed, &inventory, rules, Which::All)
}

fn reason(op: &Op) -> &'static str {
    match op {
        Op::Refuse(refusal) => {
            let start = refusal.message.split_whitespace().next().unwrap_or_default();
            assert!(!start.starts_with("object/"), "the id stands beside it already: {}", refusal.message);
            refusal.reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_wanted_step_is_compared_with_what_was_seen() {
    let kept = Some(entry("a.yaml"));
    let seen = |change: &dyn Fn(&mut Live)| {
        let mut live = live();
        change(&mut live);
        Seen::Present(live)
    };
    let report = Rules { report_drift: true, ..rules() };
    assert_eq!(wanted(Seen::Absent, None, &rules()), Op::Create);
    assert_eq!(wanted(seen(&|_| ()), kept.clone(), &rules()), Op::Keep);
    assert_eq!(wanted(seen(&|_| ()), None, &rules()), Op::Update(Reason::Unrecorded));
    assert_eq!(wanted(seen(&|live| live.uid = "v".into()), kept.clone(), &rules()), Op::Update(Reason::Unrecorded));
    assert_eq!(
        wanted(seen(&|live| live.content_hash = Some("x".into())), kept.clone(), &report),
        Op::Update(Reason::Changed)
    );
    assert_eq!(
        wanted(seen(&|live| live.fingerprint = Some("x".into())), kept.clone(), &rules()),
        Op::Update(Reason::Drifted)
    );
    assert_eq!(wanted(seen(&|live| live.ours = false), kept.clone(), &rules()), Op::Update(Reason::Drifted));
    assert_eq!(wanted(seen(&|live| live.ours = false), None, &rules()), Op::Create);
    assert_eq!(
        reason(&wanted(seen(&|live| live.fingerprint = Some("x".into())), kept.clone(), &report)),
        reasons::DRIFTED
    );
    assert_eq!(reason(&wanted(Seen::Absent, kept.clone(), &report)), reasons::DRIFTED);
    assert_eq!(reason(&wanted(Seen::Unknown("x".into()), kept.clone(), &rules())), reasons::UNREADABLE);
    assert_eq!(reason(&wanted(seen(&|live| live.terminating = true), kept.clone(), &rules())), reasons::TERMINATING);
    let foreign = seen(&|live| live.other_owner = Some("another".into()));
    assert_eq!(reason(&wanted(foreign, kept, &rules())), reasons::FOREIGN_OWNER);
    let done = Entry { done: Some(step("a").hash), ..entry("a.yaml") };
    assert_eq!(wanted(Seen::Absent, Some(done), &rules()), Op::Keep);
    let done_before = Entry { done: Some("older".into()), ..entry("a.yaml") };
    assert_eq!(wanted(Seen::Absent, Some(done_before), &rules()), Op::Create);
}

#[test]
fn only_what_is_asked_about_is_compared() {
    let (plan, asked) = (plan(vec![step("a"), step("b")]), [id("b"), id("gone")].into());
    let mut inventory = Inventory::default();
    inventory.entries.extend([(id("gone"), entry("g.yaml")), (id("other"), entry("o.yaml"))]);
    let diff = diff(&plan, &Observed::new(), &inventory, &rules(), Which::Only(&asked));
    assert_eq!(diff.changes().keys().collect::<Vec<_>>(), [&id("b"), &id("gone")]);
}

#[test]
fn what_is_to_be_verified_is_applied_again_unless_it_is_left_alone_on_purpose() {
    let verify = Rules { verify: [id("a")].into(), ..rules() };
    let kept = Some(entry("a.yaml"));
    assert_eq!(wanted(Seen::Present(live()), kept.clone(), &verify), Op::Update(Reason::Verify));
    let report = Rules { report_drift: true, ..verify };
    assert_eq!(wanted(Seen::Present(live()), kept, &report), Op::Keep);
}

#[test]
fn what_is_added_by_hand_is_removed_only_where_that_is_strict() {
    use crate::diff::seen::{Addition, Hands};
    let added = |strict| {
        let addition = Addition { manager: "kubectl-edit".into(), field: "spec.hostPID".into(), strict };
        Seen::Present(Live { hands: Some(Box::new(Hands { additions: vec![addition], ..Hands::default() })), ..live() })
    };
    let kept = Some(entry("a.yaml"));
    let report = Rules { report_drift: true, ..rules() };
    assert_eq!(wanted(added(false), kept.clone(), &rules()), Op::Keep);
    assert_eq!(wanted(added(false), kept.clone(), &report), Op::Keep);
    assert_eq!(wanted(added(true), kept.clone(), &rules()), Op::Update(Reason::Added));
    let Op::Refuse(refusal) = wanted(added(true), kept.clone(), &report) else { panic!("not refused") };
    assert_eq!(refusal.reason, reasons::DRIFTED);
    assert!(refusal.message.contains("spec.hostPID (kubectl-edit)"), "{}", refusal.message);
    let fighting = Rules { fighting: [(id("a"), "tomorrow".to_owned())].into(), ..rules() };
    assert_eq!(reason(&wanted(added(true), kept.clone(), &fighting)), reasons::FIGHTING);
    assert_eq!(wanted(Seen::Present(live()), kept, &fighting), Op::Keep, "what is as wanted is no fight");
}

#[test]
fn a_fight_does_not_hold_up_a_commit() {
    let fighting = Rules { fighting: [(id("a"), "tomorrow".to_owned())].into(), ..rules() };
    let changed = Seen::Present(Live { content_hash: Some("x".into()), ..live() });
    assert_eq!(wanted(changed, Some(entry("a.yaml")), &fighting), Op::Update(Reason::Changed));
}

#[test]
fn hand_edits_stay_where_the_document_says_so() {
    let mut wanted = step("a");
    wanted.policy.ignore_drift = true;
    let mut inventory = Inventory::default();
    inventory.entries.insert(id("a"), entry("a.yaml"));
    let edited = Seen::Present(Live { fingerprint: Some("x".into()), ..live() });
    let diff = diff(&plan(vec![wanted]), &Observed::from([(id("a"), edited)]), &inventory, &rules(), Which::All);
    assert_eq!(diff.changes()[&id("a")].op, Op::Keep);
    assert!(diff.is_quiet());
}

#[test]
fn a_step_that_nobody_read_is_not_touched() {
    let diff = diff(&plan(vec![step("a")]), &Observed::new(), &Inventory::default(), &rules(), Which::All);
    assert_eq!(reason(&diff.changes()[&id("a")].op), reasons::UNREADABLE);
}

#[test]
fn an_unwanted_entry_is_deleted_only_on_every_proof() {
    let one = |seen: Seen| {
        let entries = [(id("a"), entry("a.yaml"))];
        unwanted(&entries, &[(id("a"), seen)], Held::default(), &rules()).changes()[&id("a")].op.clone()
    };
    assert_eq!(one(Seen::Present(live())), Op::Delete);
    assert_eq!(one(Seen::Absent), Op::Forget);
    assert_eq!(reason(&one(Seen::Unknown("x".into()))), reasons::UNREADABLE);
    assert_eq!(reason(&one(Seen::Present(Live { ours: false, ..live() }))), reasons::NOT_OURS);
    assert_eq!(one(Seen::Present(Live { ours: false, uid: "v".into(), ..live() })), Op::Forget);
    let foreign = Live { other_owner: Some("another".into()), ..live() };
    assert_eq!(reason(&one(Seen::Present(foreign))), reasons::FOREIGN_OWNER);
    let tied = Live {
        hands: Some(Box::new(seen::Hands { kept_for: Some("ConfigMap theirs".into()), ..seen::Hands::default() })),
        ..live()
    };
    assert_eq!(reason(&one(Seen::Present(tied.clone()))), reasons::FOREIGN_OWNER);
    assert_eq!(wanted(Seen::Present(tied), Some(entry("a.yaml")), &rules()), Op::Keep, "it is applied further on");
    assert_eq!(reason(&one(Seen::Present(Live { takes_data: true, ..live() }))), reasons::PROTECTED_KIND);
}

#[test]
fn what_another_sync_wants_is_never_deleted_and_forgotten_once_that_one_has_it() {
    let moved = Rules {
        wanted_elsewhere: [(id("a"), "team/b".to_owned())].into(),
        siblings: [seen::other_sync("label-b")].into(),
        ..rules()
    };
    let one = |live: Live, held: Held, rules: &Rules| {
        let entries = [(id("a"), entry("a.yaml"))];
        unwanted(&entries, &[(id("a"), Seen::Present(live))], held, rules).changes()[&id("a")].op.clone()
    };
    let empty = || Held { empty: true, ..Held::default() };
    for held in [Held::default(), empty()] {
        let op = one(live(), held, &moved);
        assert_eq!(reason(&op), reasons::MOVES);
        assert!(matches!(&op, Op::Refuse(why) if why.message.contains("team/b")));
    }
    let taken = Live { other_owner: Some(seen::other_sync("label-b")), ours: false, ..live() };
    assert_eq!(one(taken.clone(), empty(), &moved), Op::Forget);
    // A stranger's label is no handover, and a sync that ends with all it has lets go at once.
    let stranger = Live { other_owner: Some(seen::other_sync("label-z")), ..taken.clone() };
    assert_eq!(reason(&one(stranger.clone(), Held::default(), &rules())), reasons::FOREIGN_OWNER);
    assert_eq!(one(live(), Held::default(), &Rules { leaving: true, ..moved.clone() }), Op::Forget);

    // Wanted here and labelled by a sync of this agent: the target asks whether that one has released it.
    assert_eq!(wanted(Seen::Present(taken), None, &moved), Op::Create);
    assert_eq!(reason(&wanted(Seen::Present(stranger), None, &moved)), reasons::FOREIGN_OWNER);
}

#[test]
fn what_the_revision_does_not_clearly_say_is_held() {
    let owner = StepId::object("x.dev", "Cluster", Some("web"), "c");
    let middle = StepId::object("x.dev", "Kernel", Some("web"), "k");
    let entries = [
        (owner.clone(), entry("a.yaml")),
        (middle.clone(), Entry { owner: Some(owner.clone()), ..entry("a.yaml") }),
        (id("leaf"), Entry { owner: Some(middle), ..entry("a.yaml") }),
    ];
    let op = |held: Held| unwanted(&entries, &[], held, &rules()).changes()[&id("leaf")].op.clone();
    let paths = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(op(Held::default()), Op::Delete);
    assert_eq!(reason(&op(Held { paths: paths(&["a.yaml"]), ..Held::default() })), reasons::HELD_FILE);
    assert_eq!(reason(&op(Held { owners: [owner].into(), ..Held::default() })), reasons::HELD_DOCUMENT);
    assert_eq!(reason(&op(Held { paths: paths(&["b.yaml"]), ..Held::default() })), reasons::HELD_MOVED);
    let there = Held {
        paths: paths(&["b.yaml"]),
        present: Arc::new(["a.yaml".into(), "b.yaml".into()].into()),
        ..Held::default()
    };
    assert_eq!(op(there), Op::Delete);
    assert_eq!(reason(&op(Held { empty: true, ..Held::default() })), reasons::HELD_EMPTY);
}

#[test]
fn what_the_user_keeps_is_kept_with_its_entry() {
    let keep = [(id("a"), Entry { keep: true, ..entry("a.yaml") })];
    assert_eq!(unwanted(&keep, &[], Held::default(), &rules()).changes()[&id("a")].op, Op::Keep);
    let entries = [(id("a"), entry("a.yaml"))];
    let off = Rules { prune: false, ..rules() };
    assert_eq!(unwanted(&entries, &[], Held::default(), &off).changes()[&id("a")].op, Op::Keep);
}

fn documents(count: usize) -> Vec<(StepId, Entry)> {
    (0..count).map(|number| (id(&format!("n{number:03}")), entry("a.yaml"))).collect()
}

#[test]
fn the_budget_counts_documents_and_its_token_releases_exactly_the_list() {
    let entries = documents(21);
    let refused = unwanted(&entries, &[], Held::default(), &rules());
    assert!(refused.is_quiet());
    let ids: Vec<&StepId> = entries.iter().map(|(id, _)| id).collect();
    let token = token(&ids);
    let Op::Refuse(refusal) = &refused.changes()[&id("n000")].op else { panic!("not refused") };
    assert_eq!(refusal.reason, reasons::DELETE_BUDGET);
    assert!(refusal.message.contains(&format!("Windlass-Acknowledge: {token}")), "{}", refusal.message);
    let told = Rules { acknowledged: vec![token], ..rules() };
    let released = unwanted(&entries, &[], Held::default(), &told);
    assert!(released.changes().values().all(|change| change.op == Op::Delete));
    assert!(unwanted(&documents(22), &[], Held::default(), &told).is_quiet(), "another list needs another token");
}

#[test]
fn a_cr_with_many_objects_is_one_document() {
    let owner = StepId::object("x.dev", "Cluster", Some("web"), "c");
    let mut entries = documents(0);
    entries.push((owner.clone(), entry("a.yaml")));
    entries.extend((0..35).map(|n| (id(&format!("n{n}")), Entry { owner: Some(owner.clone()), ..entry("a.yaml") })));
    let diff = unwanted(&entries, &[], Held::default(), &rules());
    assert!(diff.changes().values().all(|change| change.op == Op::Delete));
}

#[test]
fn the_percentage_counts_from_ten_documents_up() {
    let whole = |count| unwanted(&documents(count), &[], Held::default(), &rules()).is_quiet();
    assert!(!whole(9), "nine of nine go");
    assert!(whole(10), "ten of ten are over half");
}

#[test]
fn a_delete_decided_before_a_crash_is_finished_whatever_is_left_of_the_list() {
    let mut entries = documents(21);
    for (_, entry) in &mut entries {
        entry.deleting = true;
    }
    let diff = unwanted(&entries, &[], Held::default(), &rules());
    assert!(diff.changes().values().all(|change| change.op == Op::Delete));
}

#[test]
fn protected_kinds_wait_while_their_neighbours_go() {
    let namespace = StepId::object("", "Namespace", None, "web");
    let entries = [(namespace.clone(), entry("a.yaml")), (id("a"), entry("a.yaml"))];
    let diff = unwanted(&entries, &[], Held::default(), &rules());
    assert_eq!(reason(&diff.changes()[&namespace].op), reasons::PROTECTED_KIND);
    assert_eq!(diff.changes()[&id("a")].op, Op::Delete);
    let redis = StepId::object("redis.danieldorado.github.io", "Redis", Some("web"), "cache");
    let cluster = [(redis.clone(), entry("a.yaml"))];
    assert_eq!(
        reason(&unwanted(&cluster, &[], Held::default(), &rules()).changes()[&redis].op),
        reasons::PROTECTED_KIND
    );
    let told = Rules { acknowledged: vec![token(&[&namespace])], ..rules() };
    assert_eq!(unwanted(&entries, &[], Held::default(), &told).changes()[&namespace].op, Op::Delete);
}

#[test]
fn every_refusal_is_of_the_closed_set() {
    let mut seen = std::collections::BTreeSet::new();
    assert!(reasons::ALL.iter().all(|reason| seen.insert(reason)), "a reason stands there twice");
}

#[test]
fn what_another_controller_acts_on_is_left_alone_with_all_it_expands_to() {
    let mut child = step("child");
    child.owner = Some(id("a"));
    let mut grandchild = step("grandchild");
    grandchild.owner = Some(id("child"));
    // The order of the plan is that of needs: a child may stand before its owner.
    let plan = plan(vec![grandchild, child, step("a"), step("b")]);
    let acted_on = Live { acted_on: Some("its finalizer is example.com/x".into()), ..live() };
    let mut observed = Observed::from([(id("a"), Seen::Present(acted_on))]);
    for name in ["b", "child", "grandchild"] {
        observed.insert(id(name), Seen::Absent);
    }
    let diff = diff(&plan, &observed, &Inventory::default(), &rules(), Which::All);
    for name in ["a", "child", "grandchild"] {
        assert_eq!(reason(&diff.changes()[&id(name)].op), reasons::OTHER_CONTROLLER, "{name}");
    }
    assert_eq!(diff.changes()[&id("b")].op, Op::Create);
}

/// A step of so many replicas that may not become fewer.
fn scaled(replicas: i64) -> Step {
    let manifest = serde_json::json!({ "data": { "v": "a" }, "spec": { "replicas": replicas } });
    let mut step = Step::new(id("a"), Arc::new(Origin::default()), None, Want::Object(manifest.into()));
    step.policy.hold_scale_down = true;
    step
}

fn scale(step: Step, live: Live) -> Op {
    let inventory = Inventory { entries: [(id("a"), entry("a.yaml"))].into(), ..Inventory::default() };
    let observed = Observed::from([(id("a"), Seen::Present(live))]);
    diff(&plan(vec![step]), &observed, &inventory, &rules(), Which::All).changes()[&id("a")].op.clone()
}

#[test]
fn fewer_replicas_are_held_and_all_else_is_as_wanted() {
    let there = |replicas: i64, hash: String| Live { replicas: Some(replicas), content_hash: Some(hash), ..live() };
    let hold = hold::held(&scaled(1), &there(3, String::new())).unwrap();
    assert_eq!(hold.step, scaled(3), "the number that is there, and nothing else");
    assert!(hold.message.contains("windlass.dev/allow-scale-down: \"true\""), "{}", hold.message);

    // Applied as three, or with three held: nothing but the number differs.
    assert_eq!(reason(&scale(scaled(1), there(3, scaled(3).hash))), reasons::SCALE_DOWN_HELD);
    // Scaled by hand, so that what is recorded is the hash of one: three are taken over.
    assert_eq!(scale(scaled(1), there(3, scaled(1).hash)), Op::Update(Reason::Changed));
    // More of them, and as many: no different from any change.
    assert_eq!(scale(scaled(4), there(3, scaled(3).hash)), Op::Update(Reason::Changed));
    assert_eq!(scale(scaled(3), there(3, scaled(3).hash)), Op::Keep);
    // Allowed.
    let mut allowed = scaled(1);
    allowed.policy.hold_scale_down = false;
    assert_eq!(scale(allowed, there(3, scaled(3).hash)), Op::Update(Reason::Changed));
}

#[test]
fn what_is_held_is_still_corrected_when_it_drifts() {
    let drifted =
        Live { replicas: Some(3), content_hash: Some(scaled(3).hash), fingerprint: Some("moved".into()), ..live() };
    assert_eq!(scale(scaled(1), drifted), Op::Update(Reason::Drifted));
}
