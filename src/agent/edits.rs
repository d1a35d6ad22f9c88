//! What other hands do to the objects of a sync: who corrects too often is stopped, and what was found is told.
//!
//! The heat of each object is `schedule`'s, the sentences are `diff`'s; this keeps and joins them. Called by `pass`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::diff::guard::reasons::DRIFTED;
use crate::diff::seen::told;
use crate::diff::{Diff, Op, Reason, Seen};
use crate::inventory::Inventory;
use crate::plan::{Plan, State, StepId};
use crate::schedule::Heat;
use crate::target::World;
use crate::target::execute::{Outcome, reasons};

/// Steps that are explained in one pass; more would only be more of the same.
const EXPLAINED: usize = 50;

/// How often each object was corrected lately.
#[derive(Debug, Default)]
pub(super) struct Fights {
    heat: BTreeMap<StepId, Heat>,
}

impl Fights {
    /// What is left alone now, with the time until which.
    pub(super) fn paused(&self, now: Timestamp) -> BTreeMap<StepId, String> {
        let paused = self.heat.iter().filter_map(|(id, heat)| Some((id.clone(), heat.paused(now)?)));
        paused.map(|(id, until)| (id, until.round(jiff::Unit::Second).unwrap_or(until).to_string())).collect()
    }

    /// Takes in what a pass corrected, of what was to be corrected ([`corrections`]).
    pub(super) fn corrected(&mut self, corrections: Vec<StepId>, outcomes: &BTreeMap<StepId, Outcome>, now: Timestamp) {
        self.heat.retain(|_, heat| !heat.is_cold(now));
        for id in corrections {
            if outcomes.get(&id).is_some_and(|outcome| outcome.state != State::Waiting) {
                self.heat.entry(id).or_default().add(now);
            }
        }
    }
}

/// What a diff corrects: drift, additions, and what was deleted and is made again.
pub(super) fn corrections(diff: &Diff, inventory: &Inventory) -> Vec<StepId> {
    let was_there = |id| inventory.entries.get(id).is_some_and(|entry| entry.uid.is_some());
    let corrects = |id, op: &Op| match op {
        Op::Update(Reason::Drifted | Reason::Added) => true,
        Op::Create => was_there(id),
        _ => false,
    };
    diff.changes().iter().filter(|(id, change)| corrects(id, &change.op)).map(|(id, _)| id.clone()).collect()
}

/// Adds to the outcomes of a pass what other hands did: additions to steps that are ready, and to what drifted and is not
/// corrected, which fields differ.
pub(super) async fn tell<W: World>(world: &W, plan: &Plan, diff: &Diff, outcomes: &mut BTreeMap<StepId, Outcome>) {
    let mut explained = 0;
    for (id, change) in diff.changes() {
        let (Seen::Present(live), Some(outcome)) = (&change.seen, outcomes.get_mut(id)) else { continue };
        if outcome.state == State::Ready && outcome.reason == reasons::READY {
            let left: Vec<_> =
                live.additions().iter().filter(|it| !(it.strict && change.op.writes())).cloned().collect();
            if !left.is_empty() {
                outcome.reason = reasons::ADDITIONS.to_owned();
                outcome.message = told(&left);
            }
        } else if outcome.reason == DRIFTED
            && explained < EXPLAINED
            && let Some(step) = plan.step(id)
        {
            explained += 1;
            if let Some(what) = world.explain(step).await {
                outcome.message = format!("{what}. {}", capital(&outcome.message));
            }
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare::Rules;
    use crate::diff::{Live, Observed, Which};
    use crate::inventory::Entry;
    use crate::plan::{Held, Origin, Step, Want};
    use crate::revision::Revision;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// One pass over one object at a time of the clock: what is done, given what was corrected before.
    fn pass(fights: &mut Fights, seen: &Seen, now: Timestamp) -> Op {
        let id = StepId::object("", "ConfigMap", Some("web"), "a");
        let step = Step::new(
            id.clone(),
            std::sync::Arc::new(Origin::default()),
            None,
            Want::Object(serde_json::json!({}).into()),
        );
        let plan = Plan {
            revision: Revision::default(),
            steps: vec![step.into()],
            digest: String::new(),
            held: Held::default(),
        };
        let mut inventory = Inventory::default();
        inventory.entries.insert(id.clone(), Entry { uid: Some("u".into()), ..Entry::default() });
        let observed = Observed::from([(id.clone(), seen.clone())]);
        let rules = Rules { fighting: fights.paused(now), ..Rules::default() };
        let diff = crate::diff::diff(&plan, &observed, &inventory, &rules, Which::All);
        let outcomes = BTreeMap::from([(
            id.clone(),
            Outcome { state: State::Ready, reason: String::new(), message: String::new(), waits_for: Vec::new() },
        )]);
        fights.corrected(corrections(&diff, &inventory), &outcomes, now);
        diff.changes()[&id].op.clone()
    }

    fn drifted() -> Seen {
        let hash = Want::Object(serde_json::json!({}).into()).hash(None);
        Seen::Present(Live {
            uid: "u".into(),
            ours: true,
            content_hash: Some(hash),
            fingerprint: Some("moved".into()),
            moved_by: Some("kubectl-edit".into()),
            ..Live::default()
        })
    }

    #[test]
    fn a_fight_is_broken_off_and_names_the_other_one() {
        let mut fights = Fights::default();
        for second in 0..6 {
            assert_eq!(pass(&mut fights, &drifted(), at(second)), Op::Update(Reason::Drifted), "{second}");
        }
        let Op::Refuse(refusal) = pass(&mut fights, &drifted(), at(6)) else { panic!("it goes on") };
        assert_eq!(refusal.reason, crate::diff::guard::reasons::FIGHTING);
        assert!(refusal.message.contains("field manager kubectl-edit"), "{}", refusal.message);
        assert!(refusal.message.contains("1970-01-01T00:01:05Z"), "{}", refusal.message);
        assert_eq!(pass(&mut fights, &drifted(), at(66)), Op::Update(Reason::Drifted), "tried again after the pause");
        assert!(matches!(pass(&mut fights, &drifted(), at(67)), Op::Refuse(_)), "and once is enough then");
    }

    #[test]
    fn whoever_deletes_again_and_again_is_a_fight_too() {
        let mut fights = Fights::default();
        for second in 0..6 {
            assert_eq!(pass(&mut fights, &Seen::Absent, at(second)), Op::Create);
        }
        assert!(matches!(pass(&mut fights, &Seen::Absent, at(6)), Op::Refuse(_)));
    }
}
