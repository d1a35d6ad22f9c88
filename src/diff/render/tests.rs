use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::compare::{Outlook, Pair};
use super::*;
use crate::diff::{Live, Observed, Rules, Seen, Which, diff};
use crate::inventory::{Entry as Owned, Inventory};
use crate::plan::{Held, Manifest, Plan, Step, Want, canonical};
use crate::revision::Revision;

fn id(name: &str) -> StepId {
    StepId::object("", "ConfigMap", Some("web"), name)
}

fn step_of(id: StepId, manifest: Value) -> Step {
    let parts = id.object_parts().unwrap();
    let origin = Origin {
        api_version: "v1".into(),
        kind: parts.kind.into(),
        namespace: parts.namespace.map(Into::into),
        name: parts.name.into(),
        path: format!("{}.yaml", parts.name).into(),
        document: 1,
        line: 3,
    };
    Step::new(id.clone(), Arc::new(origin), None, Want::Object(Manifest::new(manifest)))
}

fn step(name: &str, data: Value) -> Step {
    step_of(id(name), json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}))
}

fn secret(name: &str, value: &str) -> Step {
    let manifest =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": value}});
    step_of(StepId::object("", "Secret", Some("web"), name), manifest)
}

fn plan(steps: Vec<Step>) -> Plan {
    let present = Arc::new(steps.iter().map(|step| step.origin.path.clone()).collect());
    let held = Held { present, ..Held::default() };
    let digest = canonical::digest(steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
    Plan { revision: Revision::default(), steps: steps.into_iter().map(Arc::new).collect(), digest, held }
}

fn rules() -> Rules {
    Rules { prune: true, ..Rules::default() }
}

fn between(base: Vec<Step>, head: Vec<Step>) -> Comparison {
    super::between(&plan(base), &plan(head), &rules(), &[], "main", "feature")
}

/// As it is printed, without colours.
fn printed(comparison: &Comparison, whole: bool) -> String {
    let line = |line: &Line| line.iter().map(|(_, text)| text.as_str()).collect::<String>();
    text(comparison, whole).iter().map(|it| format!("{}\n", line(it))).collect()
}

#[test]
fn two_revisions_are_compared_field_by_field_worst_first() {
    let long = |middle: &str| format!("one\ntwo\nthree\nfour\nfive\n{middle}\nseven\neight\nnine\nten\n");
    let comparison = between(
        vec![
            step("same", json!({"a": "1"})),
            step("changed", json!({"a": "1", "b": "2", "nginx.conf": long("six"), "m": {"x": 1}})),
            step("gone", json!({})),
            secret("login", "hunter1"),
        ],
        vec![
            step("same", json!({"a": "1"})),
            step("changed", json!({"a": "true", "nginx.conf": long("sechs"), "c": {"k": ["v", "w"]}, "m": {"x": 2}})),
            step("made", json!({"z": "1"})),
            secret("login", "hunter2"),
        ],
    );
    assert_eq!(
        printed(&comparison, true),
        "\
main → feature
DELETE    ConfigMap web/gone     gone.yaml#1
          - apiVersion: v1
          - data: {}
          - kind: ConfigMap
          - metadata:
          -   name: gone
change    ConfigMap web/changed  changed.yaml:3
          ~ data.a: \"1\" → \"true\"
          - data.b: \"2\"
          + data.c:
            + k:
            + - v
            + - w
          ~ data.m.x: 1 → 2
          ~ data[nginx.conf]:
            @@ line 3
              three
              four
              five
            - six
            + sechs
              seven
              eight
              nine
change    Secret web/login       login.yaml:3
          ~ stringData.password: changed, not shown
create    ConfigMap web/made     made.yaml:3
          + apiVersion: v1
          + data:
          +   z: \"1\"
          + kind: ConfigMap
          + metadata:
          +   name: made
1 deleted, 2 changed, 1 created; 1 step as wanted
"
    );
    assert!(!comparison.is_quiet());
}

#[test]
fn nothing_to_do_says_so() {
    let comparison = between(vec![step("a", json!({}))], vec![step("a", json!({}))]);
    assert_eq!(printed(&comparison, false), "main → feature\nnothing differs: 1 step as wanted\n");
    assert!(comparison.is_quiet());
    assert!(markdown(&comparison, 1000).starts_with("**Windlass: nothing changes**\n"));
}

#[test]
fn what_a_revision_does_not_clearly_remove_is_refused_as_the_agent_would() {
    let base = plan(vec![step("a", json!({})), step("b", json!({}))]);
    let mut head = plan(vec![step("b", json!({}))]);
    head.held.paths.insert("a.yaml".into());
    let comparison = super::between(&base, &head, &rules(), &[], "x", "y");
    assert_eq!(comparison.entries[0].what, What::Refuse);
    assert_eq!(comparison.entries[0].reason, "HeldFile");
    let off = super::between(&base, &plan(vec![step("b", json!({}))]), &Rules::default(), &[], "x", "y");
    assert_eq!((off.entries[0].what, off.is_quiet()), (What::Leave, true));
}

#[test]
fn the_digest_names_what_is_written_and_nothing_else() {
    let base = || vec![step("a", json!({"x": "1"})), step("b", json!({}))];
    let one = between(base(), vec![step("a", json!({"x": "2"})), step("b", json!({}))]);
    let same = between(base(), vec![step("b", json!({})), step("a", json!({"x": "2"}))]);
    let other = between(base(), vec![step("a", json!({"x": "3"})), step("b", json!({}))]);
    assert_eq!(one.digest, same.digest);
    assert_ne!(one.digest, other.digest);
    let line = format!(
        "{} {} {}\n",
        id("a"),
        one.entries[0].before.as_deref().unwrap(),
        one.entries[0].after.as_deref().unwrap()
    );
    assert_eq!(one.digest, canonical::hash_bytes(line.as_bytes()));
    let gone = between(base(), vec![step("a", json!({"x": "1"}))]);
    let line = format!("{} {} -\n", id("b"), gone.entries[0].before.as_deref().unwrap());
    assert_eq!(gone.digest, canonical::hash_bytes(line.as_bytes()));
}

#[test]
fn fewer_replicas_that_are_held_are_shown_as_held() {
    let stateful = |replicas: u32, image: &str| {
        let id = StepId::object("apps", "StatefulSet", Some("web"), "kernel");
        let manifest = json!({"kind": "StatefulSet", "spec": {"replicas": replicas, "image": image}});
        let mut step = step_of(id, manifest);
        step.policy.hold_scale_down = true;
        step
    };
    let held = between(vec![stateful(3, "a:1")], vec![stateful(1, "a:1")]);
    assert_eq!((held.entries[0].what, held.entries[0].reason), (What::Refuse, "ScaleDownHeld"));
    let changed = between(vec![stateful(3, "a:1")], vec![stateful(1, "a:2")]);
    let entry = &changed.entries[0];
    assert_eq!(entry.what, What::Update);
    assert_eq!(entry.fields.iter().map(|field| field.path.as_str()).collect::<Vec<_>>(), ["spec.image"]);
    assert!(entry.note.as_deref().unwrap().starts_with("it keeps its 3 replicas"), "{entry:?}");
}

/// One wanted step `a` against what is live.
fn against(live: Option<Live>, pair: Pair) -> Comparison {
    let plan = plan(vec![step("a", json!({"k": "v"}))]);
    let mut inventory = Inventory::default();
    inventory.entries.insert(id("a"), Owned { uid: Some("u".into()), ..Owned::default() });
    let observed = Observed::from([(id("a"), live.map_or(Seen::Absent, Seen::Present))]);
    let diff = diff(&plan, &observed, &inventory, &rules(), Which::All);
    let pairs = BTreeMap::from([(id("a"), pair)]);
    let input =
        Input { plan: &plan, inventory: &inventory, diff: &diff, pairs: &pairs, problems: &[], from: "live", to: "x" };
    compare(&input)
}

#[test]
fn what_only_the_server_or_windlass_writes_is_no_change() {
    let live = || Live { uid: "u".into(), ours: true, content_hash: Some("older".into()), ..Live::default() };
    let server = |more: Value| {
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "status": {"x": 1},
            "metadata": {
                "name": "a", "uid": "1", "resourceVersion": "7", "managedFields": [], "generation": 4,
                "annotations": {"windlass.dev/content-hash": "older", "windlass.dev/origin": "b"},
                "labels": {"app.kubernetes.io/managed-by": "windlass"},
            },
        });
        object["data"].as_object_mut().unwrap().append(more.clone().as_object_mut().unwrap());
        object
    };
    let after = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    let pair = |before: Value| Pair { before: Some(before), after: Some(after.clone()), ..Pair::default() };
    let quiet = against(Some(live()), pair(server(json!({}))));
    assert_eq!((quiet.entries.len(), quiet.same), (0, 1), "{quiet:?}");
    let extra = against(Some(live()), pair(server(json!({"extra": "1"}))));
    assert_eq!(extra.entries[0].fields.len(), 1);
    assert_eq!(extra.entries[0].fields[0].path, "data.extra");
    let fails = Pair { outlook: Outlook::Fail("no".into()), ..pair(server(json!({}))) };
    let fails = against(Some(live()), fails);
    assert_eq!((fails.entries[0].what, fails.entries[0].note.as_deref()), (What::Fail, Some("no")));
    let adopted = against(None, Pair { outlook: Outlook::Adopt, ..pair(server(json!({}))) });
    assert_eq!(adopted.entries[0].what, What::Adopt);
}

#[test]
fn json_has_every_change_with_its_hashes() {
    let comparison = between(
        vec![step("a", json!({"x": "1"})), secret("s", "hunter1")],
        vec![step("a", json!({"x": "2", "y": "3"})), secret("s", "hunter2")],
    );
    let json = json(&comparison);
    assert_eq!(json["counts"]["changed"], 2);
    assert_eq!(json["digest"], comparison.digest);
    let change = &json["changes"][0];
    assert_eq!(change["id"], "object/core/ConfigMap/web/a");
    assert_eq!(change["change"], "update");
    assert_eq!(
        change["fields"],
        json!([{"path": "data.x", "before": "1", "after": "2"}, {"path": "data.y", "after": "3"}])
    );
    assert_eq!(
        json["changes"][1]["fields"],
        json!([{"path": "stringData.password", "before": "***", "after": "***", "secret": true}])
    );
}

#[test]
fn no_form_shows_a_secret_value() {
    let made = |what: &str| {
        vec![
            secret("a", &format!("canary-{what}")),
            secret(&format!("only-{what}"), "canary-alone"),
            step("k", json!({})),
        ]
    };
    let comparison = between(made("one"), made("two"));
    assert_eq!(comparison.entries.len(), 3, "{comparison:?}");
    for text in [printed(&comparison, true), markdown(&comparison, 60_000), json(&comparison).to_string()] {
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(!format!("{comparison:?}").contains("canary"));
}

#[test]
fn nothing_in_a_document_steers_the_terminal_or_the_forge() {
    let nasty = "\u{1b}[31m<img src=x> @ada ``` #12 | [a](b)";
    let comparison = between(
        vec![step("a", json!({"x": "1"})), step("k", json!({}))],
        vec![step("a", json!({"x": nasty, "y": format!("{nasty}\n```\n</details>")})), step("k", json!({}))],
    );
    assert!(!printed(&comparison, true).contains('\u{1b}'));
    let page = markdown(&comparison, 60_000);
    assert!(!page.contains('\u{1b}'));
    // The fence is longer than any run of backticks in it.
    assert!(page.contains("````diff"), "{page}");
    let problem = Problem::error(crate::problem::Code::InvalidValue, nasty);
    let told = super::between(&plan(vec![]), &plan(vec![]), &rules(), &[problem], "x", "y");
    let page = markdown(&told, 60_000);
    assert!(page.contains("&lt;img src=x&gt; @\u{200b}ada"), "{page}");
}

#[test]
fn markdown_puts_the_worst_first_and_fits_whatever_there_is() {
    let few =
        between(vec![step("a", json!({})), step("gone", json!({}))], vec![step("a", json!({"x": "1", "y": "2"}))]);
    let copy = |entry: &Entry, number: usize| Entry { id: id(&format!("n{number:05}")), ..entry.clone() };
    let copies = |what: What, count: usize| {
        let entry = few.entries.iter().find(|entry| entry.what == what).unwrap();
        (0..count).map(move |number| copy(entry, number))
    };
    let entries = copies(What::Delete, 5).chain(copies(What::Update, 9_995)).collect();
    let comparison = Comparison { entries, ..few.clone() };
    for limit in [60_000, 5_000] {
        let page = markdown(&comparison, limit);
        assert!(page.len() <= limit, "{}", page.len());
        assert!(page.starts_with("**Windlass: 5 deleted, 9995 changed**\n"), "{page}");
        let (deleted, changed) = (page.find("#### Deleted (5)").unwrap(), page.find("#### Changed (9995)").unwrap());
        assert!(deleted < changed);
        let shown = page.lines().filter(|line| line.starts_with("- `ConfigMap")).count();
        assert!(page.contains(&format!("Not shown for want of room: {} changed.", 9995 - shown)), "{page}");
        // At most three lines before a fold.
        let mut lines = 0;
        for line in page.lines() {
            lines = if line.starts_with("- ") { 1 } else { lines + 1 };
            assert!(!line.contains("<details>") || lines <= 4, "{line}");
        }
    }
}
