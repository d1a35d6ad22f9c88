//! The comparison itself.
//!
//! Pure. Called by `agent` once a pass. What is unwanted is left to `guard`.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::{self, reasons};
use super::hold::held;
use super::{Change, Diff, Live, Observed, Op, Reason, Refusal, Seen, Which, seen};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Plan, Step, StepId, Want};
use crate::sync::spec::Budget;

/// What the user allows beyond the default, handed in as values.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `spec.prune`.
    pub prune: bool,
    /// `spec.budget`.
    pub budget: Budget,
    /// Tokens from the commit trailer `Windlass-Acknowledge` and the annotation `windlass.dev/acknowledge`.
    pub acknowledged: Vec<String>,
    /// `spec.drift.mode` is `Report`: drift is named, not corrected.
    pub report_drift: bool,
    /// Steps that are applied again although nothing visible moved: the sweep, and what may have changed unseen.
    pub verify: BTreeSet<StepId>,
    /// What other syncs of the same agent want, by id: the sync's name. Only what this plan or inventory knows.
    pub wanted_elsewhere: BTreeMap<StepId, String>,
    /// How an object says that it belongs to another sync of the same agent ([`super::seen::other_sync`]).
    pub siblings: BTreeSet<String>,
    /// The sync is being deleted with all that it owns: what others want is let go at once.
    pub leaving: bool,
    /// Steps that were corrected too often, with the time until which they are left alone.
    pub fighting: BTreeMap<StepId, String>,
}

/// Compares. Every step of the plan and every unwanted entry of the inventory that is asked about has a change, also
/// where nothing is done.
///
/// Unwanted entries are judged together (the budget counts them): ask about all of them or about none.
#[must_use]
pub fn diff(plan: &Plan, observed: &Observed, inventory: &Inventory, rules: &Rules, which: Which<'_>) -> Diff {
    let unread = Seen::Unknown("it was not read".to_owned());
    let mut changes = guard::unwanted(plan, observed, inventory, rules, which);
    for step in plan.steps.iter().filter(|step| which.has(&step.id)) {
        let seen = observed.get(&step.id).unwrap_or(&unread);
        let op = wanted(step, seen, inventory.entries.get(&step.id), rules);
        changes.insert(step.id.clone(), Change { op, seen: seen.clone() });
    }
    leave_to_others(plan, &mut changes);
    Diff { changes }
}

/// What a CR expands to is another controller's to make as long as the CR is.
fn leave_to_others(plan: &Plan, changes: &mut BTreeMap<StepId, Change>) {
    let mut left: BTreeMap<StepId, String> = changes
        .iter()
        .filter_map(|(id, change)| match &change.op {
            Op::Refuse(why) if why.reason == reasons::OTHER_CONTROLLER => {
                Some((id.clone(), format!("it comes from {id}, and there {}", why.message)))
            }
            _ => None,
        })
        .collect();
    // The plan is sorted by need, not by owner: a chain of owners is followed until nothing is added.
    loop {
        let found: Vec<(StepId, String)> = plan
            .steps
            .iter()
            .filter(|step| !left.contains_key(&step.id))
            .filter_map(|step| Some((step.id.clone(), left.get(step.owner.as_ref()?)?.clone())))
            .collect();
        if found.is_empty() {
            return;
        }
        for (id, message) in found {
            if let Some(change) = changes.get_mut(&id) {
                change.op = refuse(reasons::OTHER_CONTROLLER, message.clone());
            }
            left.insert(id, message);
        }
    }
}

fn wanted(step: &Step, seen: &Seen, entry: Option<&Entry>, rules: &Rules) -> Op {
    match seen {
        Seen::Unknown(why) => {
            refuse(reasons::UNREADABLE, format!("it could not be read ({why}) and is left as it is until it can be"))
        }
        // There is nothing to write to; the state follows from what was seen.
        Seen::Pending(_) => Op::Keep,
        // A probe is a question: there is nothing to write.
        Seen::Present(_) if matches!(step.want, Want::Probe { .. }) => Op::Keep,
        Seen::Absent => absent(step, entry, rules),
        Seen::Present(live) => present(step, live, entry, rules),
    }
}

fn absent(step: &Step, entry: Option<&Entry>, rules: &Rules) -> Op {
    if entry.is_some_and(|entry| entry.done.as_ref() == Some(&step.hash)) {
        return Op::Keep;
    }
    if rules.report_drift && entry.is_some_and(|entry| entry.uid.is_some()) {
        return refuse(
            reasons::DRIFTED,
            "it was deleted by somebody else; drift.mode is Report, so it is not made again. Set drift.mode to Correct to \
             get it back"
                .to_owned(),
        );
    }
    match rules.fighting.get(&step.id).filter(|_| entry.is_some_and(|entry| entry.uid.is_some())) {
        Some(until) => refuse(
            reasons::FIGHTING,
            format!(
                "it was made again too often: somebody deletes it each time. It is left alone until {until}. Take it out of \
                 git, or stop what deletes it"
            ),
        ),
        None => Op::Create,
    }
}

fn present(step: &Step, live: &Live, entry: Option<&Entry>, rules: &Rules) -> Op {
    if let Some(owner) = &live.other_owner {
        if rules.siblings.contains(owner) {
            // Create-only: the target finds it there, and asks whether that sync has released it.
            return Op::Create;
        }
        return refuse(
            reasons::FOREIGN_OWNER,
            format!(
                "it belongs to {owner} and is not touched. Take it out of one of the two places, or delete the live \
                 object if nobody needs it"
            ),
        );
    }
    if let Some(other) = &live.acted_on {
        return refuse(
            reasons::OTHER_CONTROLLER,
            format!(
                "another controller acts on it already ({other}); it and what it expands to are left alone. Stop that \
                 controller and take its mark away, or set spec.takeOver to true"
            ),
        );
    }
    if live.terminating {
        return refuse(reasons::TERMINATING, "it is being deleted, and is made again once it is gone".to_owned());
    }
    let recorded = entry.is_some_and(|entry| entry.uid.as_ref() == Some(&live.uid));
    if !live.ours && !recorded {
        // Create-only: the target finds it there and decides by the adoption policy.
        return Op::Create;
    }
    if !recorded {
        return Op::Update(Reason::Unrecorded);
    }
    let hold = held(step, live);
    if live.ours && live.content_hash.as_ref() != Some(hold.as_ref().map_or(&step.hash, |hold| &hold.step.hash)) {
        return Op::Update(Reason::Changed);
    }
    let moved = !live.ours || entry.and_then(|entry| entry.fingerprint.as_ref()) != live.fingerprint.as_ref();
    let added = live.additions().iter().any(|it| it.strict);
    match moved || added {
        false if rules.verify.contains(&step.id) && !step.policy.ignore_drift && !rules.report_drift => {
            Op::Update(Reason::Verify)
        }
        false => hold.map_or(Op::Keep, |hold| refuse(reasons::SCALE_DOWN_HELD, hold.message)),
        true if step.policy.ignore_drift => Op::Keep,
        true if rules.report_drift => refuse(reasons::DRIFTED, drifted(live, moved)),
        true => match rules.fighting.get(&step.id) {
            Some(until) => refuse(reasons::FIGHTING, fighting(live, until)),
            None if moved => Op::Update(Reason::Drifted),
            None => Op::Update(Reason::Added),
        },
    }
}

fn drifted(live: &Live, moved: bool) -> String {
    let what = if moved {
        let who = live.moved_by.as_deref().unwrap_or("somebody else");
        format!("it was changed, last by {who}")
    } else {
        seen::told(live.additions())
    };
    format!(
        "{what}; drift.mode is Report, so it is left as it is. The next commit that touches the object overwrites the edit"
    )
}

fn fighting(live: &Live, until: &str) -> String {
    let who = match &live.moved_by {
        Some(name) => format!("field manager {name}"),
        None => "somebody else".to_owned(),
    };
    format!(
        "it was corrected more than 5 times within a minute, and {who} changes it back each time. It is left alone until \
         {until}. Take the field out of git, name it in spec.drift.ignore, or stop the other one"
    )
}

pub(super) fn refuse(reason: &'static str, message: String) -> Op {
    Op::Refuse(Refusal { reason, message })
}
