//! A [`Diff`] with the objects behind it → a [`Comparison`].
//!
//! Pure. [`compare`] takes what was read of the world; [`between`] puts a base revision in the world's place, so that two
//! revisions are compared by the very same rules and guards. Called by `cli`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields;
use super::{Comparison, Entry, What};
use crate::canonical;
use crate::diff::hold::{held, held_at};
use crate::diff::{Change, Diff, Live, Observed, Op, Reason, Rules, Seen, Which, diff};
use crate::inventory::Inventory;
use crate::plan::{Origin, Plan, Step, StepId, Want, secret, stamp};
use crate::problem::Problem;

/// One object before and after, unmasked: never shown as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    /// As it is; none if it is not there.
    pub before: Option<Value>,
    /// As it would be.
    pub after: Option<Value>,
    /// What is known beyond the operation.
    pub outlook: Outlook,
}

/// What is known of a change beyond its operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing.
    #[default]
    Plain,
    /// It cannot be changed in place, and will be deleted and made again.
    Recreate,
    /// It exists and would be adopted.
    Adopt,
    /// It would fail: why.
    Fail(String),
    /// It could not be told for sure: why.
    Unsure(String),
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What is wanted.
    pub plan: &'a Plan,
    /// What is owned.
    pub inventory: &'a Inventory,
    /// What would be done.
    pub diff: &'a Diff,
    /// The objects behind it.
    pub pairs: &'a BTreeMap<StepId, Pair>,
    /// What is wrong with the documents of the plan.
    pub problems: &'a [Problem],
    /// See [`Comparison::from`].
    pub from: &'a str,
    /// See [`Comparison::to`].
    pub to: &'a str,
}

/// Compares with the world as it was read.
#[must_use]
pub fn compare(input: &Input<'_>) -> Comparison {
    let steps: BTreeMap<&StepId, &Step> = input.plan.steps.iter().map(|step| (&step.id, step.as_ref())).collect();
    let (mut entries, mut same) = (Vec::new(), 0);
    for (id, change) in input.diff.changes() {
        let entry = match steps.get(id) {
            Some(step) => wanted(step, change, input.pairs.get(id)),
            None => unwanted(id, change, input),
        };
        match entry {
            Some(entry) => entries.push(entry),
            None => same += usize::from(steps.contains_key(id)),
        }
    }
    finish(entries, same, input.problems, input.from, input.to)
}

/// Compares two revisions. `rules` say what the sync allows; of the world nothing is known.
#[must_use]
pub fn between(base: &Plan, head: &Plan, rules: &Rules, problems: &[Problem], from: &str, to: &str) -> Comparison {
    const UID: &str = "base";
    let mut inventory = Inventory::default();
    inventory.take_in(base.steps.iter().map(|step| (step.as_ref(), true)));
    for entry in inventory.entries.values_mut() {
        entry.uid = Some(UID.to_owned());
    }
    let mut observed: Observed = head.steps.iter().map(|step| (step.id.clone(), Seen::Absent)).collect();
    let mut pairs: BTreeMap<StepId, Pair> = BTreeMap::new();
    // What is the same is not even parsed; without a key, two values of a Secret have one hash.
    let wanted_then: BTreeMap<&StepId, &str> = base.steps.iter().map(|step| (&step.id, step.hash.as_str())).collect();
    let wanted_now: BTreeMap<&StepId, &str> = head.steps.iter().map(|step| (&step.id, step.hash.as_str())).collect();
    let differs = |step: &Step| {
        step.want.holds_secret() || wanted_then.get(&step.id).copied() != wanted_now.get(&step.id).copied()
    };
    for step in &base.steps {
        let stateful = step.id.object_parts().is_some_and(|parts| parts.kind == "StatefulSet");
        let live = Live {
            uid: UID.to_owned(),
            content_hash: Some(step.hash.clone()),
            ours: true,
            takes_data: stateful && step.want.object().is_some_and(|manifest| takes_data(&manifest.value())),
            ..Live::default()
        };
        observed.insert(step.id.clone(), Seen::Present(live));
        if differs(step) {
            pairs.entry(step.id.clone()).or_default().before = Some(value(&step.want));
        }
    }
    for step in head.steps.iter().filter(|step| differs(step)) {
        let before = pairs.get(&step.id).and_then(|pair| pair.before.as_ref());
        // Fewer replicas than there were are held where the family says so.
        let replicas = before.and_then(|before| before.pointer("/spec/replicas")).and_then(Value::as_i64);
        let hold = replicas.and_then(|there| held_at(step, there));
        if let (Some(Seen::Present(live)), true) = (observed.get_mut(&step.id), hold.is_some()) {
            live.replicas = replicas;
        }
        let want = hold.as_ref().map_or(&step.want, |hold| &hold.step.want);
        pairs.entry(step.id.clone()).or_default().after = Some(value(want));
    }
    let diff = diff(head, &observed, &inventory, rules, Which::All);
    let mut comparison =
        compare(&Input { plan: head, inventory: &inventory, diff: &diff, pairs: &pairs, problems, from, to });
    for step in head.steps.iter().filter(|step| step.want.holds_secret()) {
        let kept = diff.changes().get(&step.id).filter(|change| change.op == Op::Keep);
        let pair = pairs.get(&step.id).filter(|pair| pair.before != pair.after);
        if let (Some(kept), Some(pair)) = (kept, pair) {
            let change = Change { op: Op::Update(Reason::Changed), seen: kept.seen.clone() };
            if let Some(entry) = wanted(step, &change, Some(pair)) {
                comparison.entries.push(entry);
                comparison.same = comparison.same.saturating_sub(1);
            }
        }
    }
    let Comparison { entries, same, .. } = comparison;
    finish(entries, same, problems, from, to)
}

fn finish(mut entries: Vec<Entry>, same: usize, problems: &[Problem], from: &str, to: &str) -> Comparison {
    entries.sort_by(|a, b| (a.what, &a.id).cmp(&(b.what, &b.id)));
    let mut problems = problems.to_vec();
    problems.sort();
    let digest = digest(&entries);
    Comparison { from: from.to_owned(), to: to.to_owned(), entries, same, problems, digest }
}

/// See [`Comparison::digest`].
fn digest(entries: &[Entry]) -> String {
    let mut lines: Vec<String> = entries
        .iter()
        .filter(|entry| entry.what.writes())
        .map(|entry| {
            let hash = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} {} {}\n", entry.id, hash(&entry.before), hash(&entry.after))
        })
        .collect();
    lines.sort_unstable();
    canonical::hash_bytes(lines.concat().as_bytes())
}

/// None if nothing would change that anybody could see.
fn wanted(step: &Step, change: &Change, pair: Option<&Pair>) -> Option<Entry> {
    let (mut what, reason, mut note) = match &change.op {
        Op::Keep | Op::Forget | Op::Delete => return None,
        Op::Create => (What::Create, "Created", None),
        Op::Update(Reason::Changed) if step.policy.replace => (What::Recreate, "Changed", None),
        Op::Update(reason) => (What::Update, word(*reason), None),
        Op::Refuse(refusal) => (What::Refuse, refusal.reason, Some(about_it(&step.id, &refusal.message))),
    };
    let hold = match &change.seen {
        Seen::Present(live) => held(step, live),
        _ => None,
    };
    if let Some(hold) = &hold {
        note = note.or_else(|| Some(about_it(&step.id, &hold.message)));
    }
    match pair.map(|pair| &pair.outlook) {
        None | Some(Outlook::Plain) => {}
        Some(Outlook::Recreate) => what = What::Recreate,
        Some(Outlook::Adopt) => what = What::Adopt,
        Some(Outlook::Fail(why)) => (what, note) = (What::Fail, Some(why.clone())),
        Some(Outlook::Unsure(why)) => note = note.or_else(|| Some(why.clone())),
    }
    let fields = match pair {
        Some(Pair { before: Some(before), after: Some(after), .. }) => fields::changes(&tidy(before), &tidy(after)),
        _ => Vec::new(),
    };
    // An apply that changes no field is not told: only our own mark on the object moves.
    if what == What::Update && fields.is_empty() && pair.is_some_and(|pair| pair.before.is_some()) {
        return None;
    }
    Some(Entry {
        id: step.id.clone(),
        what,
        origin: step.origin.as_ref().clone(),
        owner: step.owner.clone(),
        fields,
        whole: matches!(what, What::Create).then(|| masked(&value(&step.want))),
        reason,
        note,
        before: hash_of(&change.seen),
        after: Some(hold.map_or_else(|| step.hash.clone(), |hold| hold.step.hash)),
    })
}

/// The name stands above it already.
fn about_it(id: &StepId, message: &str) -> String {
    match message.strip_prefix(id.as_str()) {
        Some(rest) => format!("it{rest}"),
        None => message.to_owned(),
    }
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Changed => "Changed",
        Reason::Drifted => "Drifted",
        Reason::Added => "ForeignFields",
        Reason::Unrecorded => "Unrecorded",
        Reason::Verify => "Verify",
    }
}

fn unwanted(id: &StepId, change: &Change, input: &Input<'_>) -> Option<Entry> {
    let entry = input.inventory.entries.get(id);
    let (what, reason, note) = match &change.op {
        Op::Delete => (What::Delete, "Removed", None),
        Op::Refuse(refusal) => (What::Refuse, refusal.reason, Some(about_it(id, &refusal.message))),
        Op::Keep => {
            let keep = entry.is_some_and(|entry| entry.keep);
            let why = if keep { "windlass.dev/prune: disabled stands on it" } else { "spec.prune is false" };
            (What::Leave, "Kept", Some(format!("it left the repository and is kept: {why}")))
        }
        Op::Create | Op::Update(_) | Op::Forget => return None,
    };
    let owner = entry.and_then(|entry| entry.owner.clone());
    let document = owner.as_ref().unwrap_or(id);
    let parts = document.object_parts();
    let pair = input.pairs.get(id);
    Some(Entry {
        what,
        origin: Origin {
            api_version: entry
                .filter(|_| owner.is_none())
                .map(|entry| entry.api_version.as_str().into())
                .unwrap_or_default(),
            kind: parts.map(|parts| parts.kind.into()).unwrap_or_default(),
            namespace: parts.and_then(|parts| parts.namespace).map(Into::into),
            name: parts.map(|parts| parts.name.into()).unwrap_or_default(),
            path: entry.map(|entry| entry.path.as_str().into()).unwrap_or_default(),
            document: entry.map(|entry| entry.document).unwrap_or_default(),
            line: 0,
        },
        owner,
        fields: Vec::new(),
        whole: pair
            .filter(|_| what == What::Delete)
            .and_then(|pair| pair.before.as_ref())
            .map(|before| masked(&tidy(before))),
        reason,
        note,
        before: hash_of(&change.seen),
        after: None,
        id: id.clone(),
    })
}

fn hash_of(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Present(live) => live.content_hash.clone(),
        _ => None,
    }
}

/// What is compared of a step: a manifest, or what stands under the one key of any other want.
fn value(want: &Want) -> Value {
    match want {
        Want::Object(manifest) => manifest.value(),
        other => other.to_json(),
    }
}

fn masked(value: &Value) -> Value {
    secret::masked(value)
}

fn takes_data(manifest: &Value) -> bool {
    let pointer = "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted";
    manifest.pointer(pointer).and_then(Value::as_str) == Some("Delete")
}

/// Without what only the server or Windlass itself writes: that is nobody's change.
fn tidy(object: &Value) -> Value {
    const SERVERS: &[&str] = &[
        "managedFields",
        "resourceVersion",
        "uid",
        "generation",
        "creationTimestamp",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ];
    let mut object = stamp::unstamp(object.clone());
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        SERVERS.iter().for_each(|key| _ = metadata.remove(*key));
    }
    object
}
