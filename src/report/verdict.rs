//! The verdict: what a person should know first, in plain words.
//!
//! Pure: one function for the whole agent, one for a sync. `cli` and `dashboard` show what stands here and compute no
//! verdict of their own.

use super::view::{SyncView, View};
use crate::sync::conditions::{READY, RECONCILING, STALLED, find, reasons};

/// How a sync stands, for people. The order is the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A person has to act, or at least to look.
    NeedsYou,
    /// A pass is under way, or will follow by itself.
    Moving,
    /// Paused by a person.
    Suspended,
    /// Everything wanted is there and ready.
    Live,
}

/// How one sync stands.
#[must_use]
pub fn standing(sync: &SyncView) -> Standing {
    let stalled = find(&sync.conditions, STALLED).filter(|stalled| stalled.status == "True");
    if stalled.is_some_and(|stalled| stalled.reason == reasons::SUSPENDED) {
        return Standing::Suspended;
    }
    match find(&sync.conditions, READY) {
        Some(ready) if ready.status == "True" => Standing::Live,
        Some(ready) if is_moving(&ready.reason) && stalled.is_none() => Standing::Moving,
        Some(_) => Standing::NeedsYou,
        None => Standing::Moving,
    }
}

fn is_moving(reason: &str) -> bool {
    let moving =
        [reasons::PROGRESSING, reasons::OUTSIDE_WINDOW, reasons::DEPENDENCY_NOT_READY, reasons::HELD_BY_OTHER_AGENT];
    moving.contains(&reason)
}

/// The verdict on all syncs, as in `One sync needs you. Four are live.`
#[must_use]
pub fn verdict(view: &View) -> String {
    let total = view.syncs.len();
    if total == 0 {
        return "There is no sync yet.".to_owned();
    }
    let groups: Vec<(usize, Standing)> = [Standing::NeedsYou, Standing::Moving, Standing::Suspended, Standing::Live]
        .into_iter()
        .map(|wanted| (view.syncs.iter().filter(|sync| standing(sync) == wanted).count(), wanted))
        .filter(|(count, _)| *count > 0)
        .collect();
    if let [(count, standing)] = groups[..] {
        return match (count, standing) {
            (1, standing) => format!("The sync {}.", says(1, standing)),
            (2, standing) => format!("Both syncs {}.", says(2, standing)),
            (count, standing) => format!("All {} syncs {}.", word(count), says(count, standing)),
        };
    }
    let mut sentences = Vec::with_capacity(groups.len());
    for (place, (count, standing)) in groups.into_iter().enumerate() {
        let noun = match (place, count) {
            (0, 1) => " sync",
            (0, _) => " syncs",
            _ => "",
        };
        sentences.push(format!("{}{noun} {}.", capital(&word(count)), says(count, standing)));
    }
    sentences.join(" ")
}

/// The verdict on one sync, as in `Live at 3f2a1bc: all 14 steps are ready.`
#[must_use]
pub fn sentence(sync: &SyncView) -> String {
    let at = sync.revision.as_deref().map(crate::revision::short).map(|id| format!(" at {id}")).unwrap_or_default();
    let message = |kind: &str| find(&sync.conditions, kind).map(|c| c.message.clone()).unwrap_or_default();
    match standing(sync) {
        Standing::Live => format!("Live{at}: {}", message(READY)),
        Standing::Suspended => format!("Suspended{at}: {}", message(STALLED)),
        Standing::NeedsYou => format!("Needs you{at}: {}", message(READY)),
        Standing::Moving => {
            let text = [message(READY), message(RECONCILING)].into_iter().find(|text| !text.is_empty());
            format!("Moving{at}: {}", text.unwrap_or_else(|| "the first pass has not ended yet.".to_owned()))
        }
    }
}

fn says(count: usize, standing: Standing) -> &'static str {
    match (standing, count) {
        (Standing::NeedsYou, 1) => "needs you",
        (Standing::NeedsYou, _) => "need you",
        (Standing::Moving, 1) => "is moving",
        (Standing::Moving, _) => "are moving",
        (Standing::Suspended, 1) => "is suspended",
        (Standing::Suspended, _) => "are suspended",
        (Standing::Live, 1) => "is live",
        (Standing::Live, _) => "are live",
    }
}

fn word(count: usize) -> String {
    const WORDS: [&str; 13] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    WORDS.get(count).map_or_else(|| count.to_string(), |word| (*word).to_owned())
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::conditions::Condition;

    fn sync(ready: (&str, &str), stalled: Option<&str>) -> SyncView {
        let condition = |kind: &str, status: &str, reason: &str| Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "all 3 steps are ready.".to_owned(),
            ..Condition::default()
        };
        let mut conditions = vec![condition(READY, ready.0, ready.1)];
        conditions.extend(stalled.map(|reason| condition(STALLED, "True", reason)));
        SyncView { revision: Some("3f2a1bc99".to_owned()), conditions, ..SyncView::default() }
    }

    fn live() -> SyncView {
        sync(("True", reasons::SYNCED), None)
    }

    #[test]
    fn what_needs_a_person_is_said_first() {
        let broken = sync(("False", reasons::PROBLEMS), Some(reasons::PROBLEMS));
        let view = View { syncs: vec![live(), live(), broken, live(), live()] };
        assert_eq!(verdict(&view), "One sync needs you. Four are live.");
    }

    #[test]
    fn a_verdict_on_syncs_that_all_stand_alike_is_one_sentence() {
        assert_eq!(verdict(&View { syncs: vec![live()] }), "The sync is live.");
        assert_eq!(verdict(&View { syncs: vec![live(), live()] }), "Both syncs are live.");
        assert_eq!(verdict(&View { syncs: vec![live(); 13] }), "All 13 syncs are live.");
        assert_eq!(verdict(&View::default()), "There is no sync yet.");
    }

    #[test]
    fn a_suspended_sync_does_not_count_as_live_although_it_was_ready() {
        let paused = sync(("True", reasons::SYNCED), Some(reasons::SUSPENDED));
        assert_eq!(verdict(&View { syncs: vec![paused, live()] }), "One sync is suspended. One is live.");
    }

    #[test]
    fn a_sync_says_its_revision_and_why() {
        assert_eq!(sentence(&live()), "Live at 3f2a1bc: all 3 steps are ready.");
        assert_eq!(sentence(&SyncView::default()), "Moving: the first pass has not ended yet.");
    }

    #[test]
    fn waiting_for_others_needs_nobody_unless_it_can_never_end() {
        for reason in [reasons::DEPENDENCY_NOT_READY, reasons::HELD_BY_OTHER_AGENT] {
            assert_eq!(standing(&sync(("False", reason), None)), Standing::Moving, "{reason}");
        }
        let circle = sync(("False", reasons::DEPENDENCY_NOT_READY), Some(reasons::DEPENDENCY_NOT_READY));
        assert_eq!(standing(&circle), Standing::NeedsYou);
    }
}
