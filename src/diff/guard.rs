//! Guards: what becomes of an inventory entry that the plan does not want (design §4.5).
//!
//! Pure. In this order: what the user keeps (`spec.prune: false`, `windlass.dev/prune: disabled`) is kept, with its
//! entry; what another sync of this agent wants is left to it; what the revision does not clearly say is held; what was not read is left; what is gone is forgotten; what is
//! not provably ours is refused; and of the rest, protected kinds and whatever is over the budget wait for an
//! acknowledgement. Called by `compare` only.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::refuse;
use super::{Change, Live, Observed, Op, Rules, Seen, Which};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Held, Plan, StepId, canonical};

/// Why a change is refused: the closed set of `Refusal.reason`.
pub mod reasons {
    /// The read failed.
    pub const UNREADABLE: &str = "Unreadable";
    /// Another sync or controller owns it.
    pub const FOREIGN_OWNER: &str = "ForeignOwner";
    /// Another controller acts on the CR already, and the sync does not say `takeOver: true`.
    pub const OTHER_CONTROLLER: &str = "OtherController";
    /// Its deletion has not ended; nobody has to act.
    pub const TERMINATING: &str = "Terminating";
    /// It drifted and `spec.drift.mode` is `Report`.
    pub const DRIFTED: &str = "Drifted";
    /// Fewer replicas are wanted than there are, and the document does not allow that. The rest is applied.
    pub const SCALE_DOWN_HELD: &str = "ScaleDownHeld";
    /// It was corrected too often; it is left alone for a while.
    pub const FIGHTING: &str = "Fighting";
    /// The file that declared it has an error.
    pub const HELD_FILE: &str = "HeldFile";
    /// The document that declared it has an error.
    pub const HELD_DOCUMENT: &str = "HeldDocument";
    /// The file that declared it is gone while another file has an error: it may have moved there.
    pub const HELD_MOVED: &str = "HeldMoved";
    /// The revision declares nothing at all.
    pub const HELD_EMPTY: &str = "HeldEmpty";
    /// Another sync of the same agent wants it and takes it over.
    pub const MOVES: &str = "MovesToOtherSync";
    /// The live object lacks the proofs that it is ours.
    pub const NOT_OURS: &str = "NotOurs";
    /// More documents left the repository at once than the budget allows.
    pub const DELETE_BUDGET: &str = "DeleteBudget";
    /// Deleting it would take data or much else along.
    pub const PROTECTED_KIND: &str = "ProtectedKind";
    /// Every reason.
    pub const ALL: &[&str] = &[
        UNREADABLE,
        FOREIGN_OWNER,
        OTHER_CONTROLLER,
        TERMINATING,
        DRIFTED,
        SCALE_DOWN_HELD,
        FIGHTING,
        HELD_FILE,
        HELD_DOCUMENT,
        HELD_MOVED,
        HELD_EMPTY,
        MOVES,
        NOT_OURS,
        DELETE_BUDGET,
        PROTECTED_KIND,
    ];
}

/// The percentage of the budget counts from so many declared documents up.
const PERCENT_FROM: usize = 10;

/// Decides on every entry that the plan does not want.
pub(super) fn unwanted(
    plan: &Plan,
    observed: &Observed,
    inventory: &Inventory,
    rules: &Rules,
    which: Which<'_>,
) -> BTreeMap<StepId, Change> {
    let unread = Seen::Unknown("it was not read".to_owned());
    let mut changes = BTreeMap::new();
    let mut asked = Vec::new();
    for (id, entry) in inventory.unwanted(plan).filter(|(id, _)| which.has(id)) {
        let seen = observed.get(id).unwrap_or(&unread);
        let op = one(id, entry, seen, inventory, &plan.held, rules);
        if op == Op::Delete && !decided(entry, seen) {
            asked.push(id);
        }
        changes.insert(id.clone(), Change { op, seen: seen.clone() });
    }
    for (id, op) in limits(&asked, plan, observed, inventory, rules) {
        if let Some(change) = changes.get_mut(id) {
            change.op = op;
        }
    }
    changes
}

/// Whether a pass before this one decided on the delete: it is finished, not asked about again.
fn decided(entry: &Entry, seen: &Seen) -> bool {
    entry.deleting || matches!(seen, Seen::Present(Live { terminating: true, .. }))
}

fn one(id: &StepId, entry: &Entry, seen: &Seen, inventory: &Inventory, held: &Held, rules: &Rules) -> Op {
    if !rules.prune || entry.keep {
        return Op::Keep;
    }
    if let (Some(other), Seen::Present(live)) = (rules.wanted_elsewhere.get(id), seen) {
        return moves(other, live, rules);
    }
    if let Some(op) = hold(id, entry, inventory, held) {
        return op;
    }
    match seen {
        Seen::Unknown(why) => refuse(
            reasons::UNREADABLE,
            format!("it left the repository but could not be read ({why}), and is not deleted until it can be"),
        ),
        Seen::Pending(_) => Op::Keep,
        Seen::Absent => Op::Forget,
        Seen::Present(live) => present(entry, live),
    }
}

/// What the revision does not clearly say is not taken as removed.
fn hold(id: &StepId, entry: &Entry, inventory: &Inventory, held: &Held) -> Option<Op> {
    let path = &entry.path;
    if held.empty {
        let text =
            "it is kept: the revision declares nothing at all, which is never taken as a wish to delete everything. \
                    To delete everything, delete the GitSync with deletionPolicy: Prune"
                .to_owned();
        return Some(refuse(reasons::HELD_EMPTY, text));
    }
    if held.paths.contains(path) {
        let text = format!("it is kept: {path}, which declared it, has an error. Correct the file");
        return Some(refuse(reasons::HELD_FILE, text));
    }
    if let Some(owner) = lineage(id, entry, inventory).find(|owner| held.owners.contains(owner)) {
        let document =
            if owner == id { "its document".to_owned() } else { format!("the document behind it ({owner})") };
        let text = format!("it is kept: {document} has an error. Correct the document");
        return Some(refuse(reasons::HELD_DOCUMENT, text));
    }
    if let Some(broken) = held.paths.first()
        && !held.present.contains(path.as_str())
    {
        let text = format!(
            "it is kept: {path}, which declared it, is gone, but {broken} has an error and may hold it now. Correct {broken}"
        );
        return Some(refuse(reasons::HELD_MOVED, text));
    }
    None
}

/// Another sync of this agent wants it: it is that one's to take, and never deleted here.
fn moves(other: &str, live: &Live, rules: &Rules) -> Op {
    let taken = live.other_owner.as_ref().is_some_and(|owner| rules.siblings.contains(owner));
    if taken || rules.leaving {
        return Op::Forget;
    }
    refuse(
        reasons::MOVES,
        format!("it left this sync, and sync {other} wants it: it is kept until that one has taken it over"),
    )
}

fn present(entry: &Entry, live: &Live) -> Op {
    let same = entry.uid.as_ref() == Some(&live.uid);
    if !live.ours && !same {
        // What we made (if we ever did) is gone; this is somebody else's of the same name.
        return Op::Forget;
    }
    if let Some(owner) = &live.other_owner {
        let text = format!(
            "it left the repository but belongs to {owner} now, and is not deleted. Delete it by hand, or remove that ownership"
        );
        return refuse(reasons::FOREIGN_OWNER, text);
    }
    if let Some(owner) = live.hands.as_ref().and_then(|hands| hands.kept_for.as_ref()) {
        let text = format!(
            "it left the repository but an owner reference ties it to {owner}, and so it is not deleted. Remove that reference, or delete it by hand"
        );
        return refuse(reasons::FOREIGN_OWNER, text);
    }
    if !live.ours {
        let text = format!(
            "it left the repository but its label {} or our field ownership was removed, and so it is not deleted. Delete it by hand, or put the label back",
            crate::sync::PART_OF
        );
        return refuse(reasons::NOT_OURS, text);
    }
    if live.needed_by.is_some() {
        return Op::Keep;
    }
    Op::Delete
}

/// The deletes among `asked` that have to wait for an acknowledgement, with the refusal.
fn limits<'a>(
    asked: &[&'a StepId],
    plan: &Plan,
    observed: &Observed,
    inventory: &Inventory,
    rules: &Rules,
) -> Vec<(&'a StepId, Op)> {
    let wanted: BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
    // Declared document behind each delete; none where the document stays and only declares less.
    let document = |id: &StepId| -> Option<StepId> {
        let entry = inventory.entries.get(id)?;
        let root = lineage(id, entry, inventory).last()?.clone();
        (!wanted.contains(&root)).then_some(root)
    };
    let documents: BTreeMap<&StepId, StepId> = asked.iter().filter_map(|id| Some((*id, document(id)?))).collect();
    let removed = documents.values().collect::<BTreeSet<_>>().len();
    let total = inventory.entries.values().filter(|entry| entry.owner.is_none()).count().max(removed);
    let Budget { over, limit } = budget(removed, total, rules);

    let protected = |id: &StepId| protection(id, observed.get(id));
    let refused: Vec<&StepId> =
        asked.iter().copied().filter(|id| protected(id).is_some() || (over && documents.contains_key(id))).collect();
    if refused.is_empty() {
        return Vec::new();
    }
    let token = token(&refused);
    if rules.acknowledged.iter().any(|given| given.trim() == token) {
        return Vec::new();
    }
    let release = format!(
        "To delete exactly these {} objects, commit with the trailer `Windlass-Acknowledge: {token}` or annotate the \
         GitSync with windlass.dev/acknowledge={token}",
        refused.len()
    );
    let op = |id: &StepId| match protected(id) {
        Some(why) => {
            refuse(reasons::PROTECTED_KIND, format!("it left the repository but {why}; it is kept. {release}"))
        }
        None => refuse(
            reasons::DELETE_BUDGET,
            format!(
                "it left the repository together with others: {removed} of {total} declared documents at once, {limit}; it is kept. {release}"
            ),
        ),
    };
    refused.into_iter().map(|id| (id, op(id))).collect()
}

struct Budget {
    over: bool,
    limit: String,
}

fn budget(removed: usize, total: usize, rules: &Rules) -> Budget {
    let (most, percent) = (rules.budget.max_deletes as usize, rules.budget.max_delete_percent as usize);
    if removed > most {
        return Budget { over: true, limit: format!("more than budget.maxDeletes ({most})") };
    }
    let over = total >= PERCENT_FROM && removed * 100 > percent * total;
    Budget { over, limit: format!("more than budget.maxDeletePercent ({percent} %)") }
}

/// The token that releases a list of deletes: the first 12 hex digits of the sha-256 of the sorted ids, a line each.
#[must_use]
pub fn token(ids: &[&StepId]) -> String {
    let sorted: BTreeSet<&str> = ids.iter().map(|id| id.as_str()).collect();
    let lines: String = sorted.into_iter().flat_map(|id| [id, "\n"]).collect();
    let mut token = canonical::hash_bytes(lines.as_bytes());
    token.truncate(12);
    token
}

/// Why a delete is never done unasked, whatever the budget.
fn protection(id: &StepId, seen: Option<&Seen>) -> Option<&'static str> {
    if id.as_str().starts_with("redis/") {
        return Some("deleting a Redis cluster deletes its data");
    }
    if matches!(seen, Some(Seen::Present(Live { takes_data: true, .. }))) {
        return Some("deleting it deletes its volume claims and their data");
    }
    let parts = id.object_parts()?;
    match (parts.group, parts.kind) {
        ("redis.danieldorado.github.io", "Redis") => Some("deleting a Redis cluster deletes its data"),
        ("", "Namespace") => Some("deleting a namespace deletes everything in it"),
        ("", "PersistentVolumeClaim") => Some("deleting a volume claim deletes its data"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Some("deleting a CRD deletes every object of its kind"),
        _ => None,
    }
}

/// The entry itself and the CRs it comes from, nearest first; bounded, since a stored owner may point anywhere.
fn lineage<'a>(id: &'a StepId, entry: &'a Entry, inventory: &'a Inventory) -> impl Iterator<Item = &'a StepId> {
    const DEPTH: usize = 16;
    let mut next = entry.owner.as_ref();
    std::iter::once(id).chain(
        std::iter::from_fn(move || {
            let owner = next?;
            next = inventory.entries.get(owner).and_then(|entry| entry.owner.as_ref());
            Some(owner)
        })
        .take(DEPTH),
    )
}
