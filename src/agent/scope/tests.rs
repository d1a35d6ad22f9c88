use std::sync::Arc;

use super::*;
use crate::plan::{Held, Origin, Step, Want};
use crate::revision::Revision;

const FIRST: Duration = Duration::from_secs(60);

fn id(name: &str) -> StepId {
    StepId::from_text(name)
}

fn set(names: &[&str]) -> BTreeSet<StepId> {
    names.iter().map(|name| id(name)).collect()
}

/// Steps with their owners.
fn plan(steps: &[(&str, Option<&str>)]) -> Plan {
    let step = |(name, owner): &(&str, Option<&str>)| {
        let want = Want::Object(serde_json::json!({}).into());
        Arc::new(Step::new(id(name), Arc::new(Origin::default()), owner.map(id), want))
    };
    Plan {
        revision: Revision::default(),
        steps: steps.iter().map(step).collect(),
        digest: String::new(),
        held: Held::default(),
    }
}

fn left(class: Option<Class>, soon: bool) -> Left {
    Left { class, soon, ..Left::default() }
}

fn opens(steps: &[(&str, Left)], now: Instant) -> Opens {
    let mut opens = Opens::default();
    opens.take(None, steps.iter().map(|(name, left)| (id(name), *left)).collect(), FIRST, now);
    opens
}

#[test]
fn a_ring_brings_what_rang_and_what_waits_and_nothing_that_stalled() {
    let now = Instant::now();
    let opens = opens(&[("waits", left(None, true)), ("bad", left(Some(Class::Stalled), false))], now);
    let plan = plan(&[("rang", None), ("waits", None), ("bad", None), ("other", None)]);
    let todo = Todo { ids: set(&["rang"]), ..Todo::default() };
    assert_eq!(part(&todo, &opens, &BTreeSet::new(), &plan, false, now), Some(set(&["rang", "waits"])));
    let idle = part(&Todo::default(), &opens, &BTreeSet::new(), &plan, false, now);
    assert_eq!(idle, Some(BTreeSet::new()), "nothing rang, nothing is due");
    let new = part(&Todo::default(), &opens, &BTreeSet::new(), &plan, true, now);
    assert_eq!(new, Some(set(&["bad", "waits"])), "a new revision tries what stalled");
    assert_eq!(part(&Todo::everything(), &opens, &BTreeSet::new(), &plan, false, now), None);
}

#[test]
fn the_sweep_brings_nothing_but_what_is_due() {
    let now = Instant::now();
    let opens = opens(&[("waits", left(None, true))], now);
    let todo = Todo { verify: set(&["a"]), ..Todo::default() };
    assert_eq!(part(&todo, &opens, &set(&["old"]), &plan(&[("a", None)]), false, now), Some(set(&["a"])));
}

#[test]
fn unwanted_entries_are_judged_together_and_with_what_may_replace_them() {
    let now = Instant::now();
    let opens = opens(&[("new-name", left(Some(Class::Stalled), false))], now);
    let todo = Todo { ids: set(&["old"]), ..Todo::default() };
    let part = part(&todo, &opens, &set(&["old", "older"]), &plan(&[("new-name", None)]), false, now);
    assert_eq!(part, Some(set(&["new-name", "old", "older"])));
}

#[test]
fn children_come_with_their_cr_and_a_refused_cr_with_its_children() {
    let now = Instant::now();
    let plan = plan(&[("cr", None), ("child", Some("cr")), ("grandchild", Some("child")), ("other", None)]);
    let todo = |name| Todo { ids: set(&[name]), ..Todo::default() };
    let none = BTreeSet::new();
    let all = Some(set(&["child", "cr", "grandchild"]));
    assert_eq!(part(&todo("cr"), &Opens::default(), &none, &plan, false, now), all);
    assert_eq!(part(&todo("grandchild"), &Opens::default(), &none, &plan, false, now), Some(set(&["grandchild"])));
    let refused = opens(&[("child", left(Some(Class::Denied), false))], now);
    assert_eq!(
        part(&todo("grandchild"), &refused, &none, &plan, false, now),
        Some(set(&["child", "grandchild"])),
        "a refused owner is looked at again"
    );
}

#[test]
fn what_failed_is_due_after_its_own_pause_and_what_stalled_never() {
    let now = Instant::now();
    let (retry, stalled) = (left(Some(Class::Retry), false), left(Some(Class::Stalled), false));
    let asked = Left { retry_after: Some(Duration::from_secs(1000)), ..retry };
    let mut opens = opens(&[("a", retry), ("b", stalled), ("c", asked), ("d", left(Some(Class::Denied), false))], now);
    assert!(!opens.is_due(now + FIRST / 2) && opens.is_due(now + FIRST * 2));
    assert_eq!(opens.next().map(|next| next < now + FIRST * 2), Some(true));
    // Again: twice as long. What is not part of the pass keeps its pause.
    let only = set(&["a"]);
    opens.take(Some(&only), [(id("a"), retry)].into(), FIRST, now);
    assert!(!opens.is_due(now + FIRST * 3 / 2) && opens.is_due(now + FIRST * 3));
    opens.take(Some(&only), BTreeMap::new(), FIRST, now);
    assert!(!opens.is_due(now + FIRST * 3), "over is over");
    assert!(opens.is_due(now + SELDOM * 2), "what is denied is tried rarely");
    opens.take(Some(&set(&["c", "d"])), BTreeMap::new(), FIRST, now);
    assert!(opens.next().is_none() && opens.standing(&id("b")).is_some());
}
