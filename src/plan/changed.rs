//! Which steps differ between two plans: what a new revision is about.
//!
//! Pure. A step that is the same in both has nothing to be done about it, whatever else the revision changes. Called by
//! `agent`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Plan, Step, StepId};

/// Steps that are new, gone, or differ in content, needs, policy, origin or owner.
#[must_use]
pub fn changed(old: &Plan, new: &Plan) -> BTreeSet<StepId> {
    // Plans of one repository share the steps that did not change, mostly in the same places.
    let (mut left, mut right) = (&old.steps[..], &new.steps[..]);
    while let ([one, others @ ..], [other, rest @ ..]) = (left, right)
        && Arc::ptr_eq(one, other)
    {
        (left, right) = (others, rest);
    }
    while let ([others @ .., one], [rest @ .., other]) = (left, right)
        && Arc::ptr_eq(one, other)
    {
        (left, right) = (others, rest);
    }
    let mut before: HashMap<&StepId, &Arc<Step>> = left.iter().map(|step| (&step.id, step)).collect();
    let mut changed = BTreeSet::new();
    for step in right {
        if before.remove(&step.id).is_none_or(|old| !same(old, step)) {
            changed.insert(step.id.clone());
        }
    }
    changed.extend(before.into_keys().cloned());
    changed
}

fn same(old: &Arc<Step>, new: &Arc<Step>) -> bool {
    Arc::ptr_eq(old, new)
        || old.hash == new.hash
            && old.policy == new.policy
            && old.owner == new.owner
            && old.needs == new.needs
            && (Arc::ptr_eq(&old.origin, &new.origin) || old.origin == new.origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Held, Origin, Want};
    use crate::revision::Revision;

    fn step(name: &str, value: &str) -> Step {
        let want = Want::Object(serde_json::json!({ "data": { "v": value } }).into());
        Step::new(StepId::from_text(name), Arc::new(Origin::default()), None, want)
    }

    fn plan(steps: Vec<Step>) -> Plan {
        let steps = steps.into_iter().map(Arc::new).collect();
        Plan { revision: Revision::default(), steps, digest: String::new(), held: Held::default() }
    }

    fn names(old: Vec<Step>, new: Vec<Step>) -> Vec<String> {
        changed(&plan(old), &plan(new)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_new_gone_or_different_has_changed_and_nothing_else_has() {
        let old = vec![step("same", "1"), step("value", "1"), step("gone", "1")];
        let new = vec![step("value", "2"), step("new", "1"), step("same", "1")];
        assert_eq!(names(old.clone(), new), ["gone", "new", "value"]);
        assert!(names(old.clone(), old.clone()).is_empty());
        let (all, last) = (plan(old), Plan::empty());
        assert!(changed(&all, &all.clone()).is_empty());
        assert_eq!(changed(&all, &last).len(), 3);
        let but_one = Plan { steps: vec![all.steps[0].clone(), all.steps[2].clone()], ..last };
        assert_eq!(changed(&all, &but_one), BTreeSet::from([StepId::from_text("value")]));
    }

    #[test]
    fn a_moved_file_an_edge_an_owner_and_a_policy_are_changes_too() {
        let old = step("a", "1");
        let moved = Step { origin: Arc::new(Origin { path: "b.yaml".into(), ..Origin::default() }), ..old.clone() };
        let needing = Step { needs: [StepId::from_text("b")].into(), ..old.clone() };
        let owned = Step { owner: Some(StepId::from_text("b")), ..old.clone() };
        let mut kept = old.clone();
        kept.policy.keep = true;
        for new in [moved, needing, owned, kept] {
            assert_eq!(names(vec![old.clone()], vec![new]), ["a"]);
        }
    }
}
