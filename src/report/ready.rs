//! Ready, Reconciling and Stalled, as kstatus and `kubectl wait` understand them.
//!
//! Pure. Ready says whether the world is as the last revision wants; Reconciling that something will happen by itself;
//! Stalled that nothing will before a person acts. Called by `summary` alone.

use jiff::Timestamp;

use super::summary::{End, is_error};
use super::view::Steps;
use crate::plan::State;
use crate::problem::Problem;
use crate::sync::conditions::{Condition, READY, RECONCILING, STALLED, find, reasons, set, unset};
use crate::sync::status::Counts;

/// What the conditions are made of.
#[derive(Debug)]
pub(super) struct Stand<'a> {
    pub(super) counts: Counts,
    pub(super) steps: &'a Steps,
    pub(super) problems: &'a [Problem],
    pub(super) end: End<'a>,
    pub(super) source_error: Option<&'a str>,
    /// The revision that a person holds the sync at, and the sync's name.
    pub(super) pinned: Option<(&'a str, &'a str)>,
}

/// What follows from how things stand.
enum Next {
    /// Nothing is left to do.
    Nothing,
    /// It goes on by itself.
    ByItself,
    /// A person has to act.
    ByPerson,
}

pub(super) fn is_ready(conditions: &[Condition]) -> bool {
    find(conditions, READY).is_some_and(|ready| ready.status == "True")
}

pub(super) fn conditions(
    previous: &[Condition],
    stand: &Stand<'_>,
    now: Timestamp,
    generation: Option<i64>,
) -> Vec<Condition> {
    let mut conditions = previous.to_vec();
    let at = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: at.clone(),
        observed_generation: generation,
    };
    if stand.end == End::Suspended {
        // Ready stays what it was: the world is still as it was left.
        if find(&conditions, READY).is_none() {
            set(&mut conditions, condition(READY, "Unknown", reasons::SUSPENDED, "no pass has run yet."));
        }
        unset(&mut conditions, RECONCILING);
        let message = "a person paused this sync; `windlass resume` or `spec.suspend: false` lets it go on.";
        set(&mut conditions, condition(STALLED, "True", reasons::SUSPENDED, message));
        return conditions;
    }
    let (status, reason, mut message, next) = judge(stand);
    if let Some((revision, name)) = stand.pinned {
        let at = crate::revision::short(revision);
        message = format!("{} It is held at {at}; `windlass sync {name}` follows the source again.", ended(&message));
    }
    set(&mut conditions, condition(READY, status, reason, &message));
    match next {
        Next::Nothing => {
            unset(&mut conditions, RECONCILING);
            unset(&mut conditions, STALLED);
        }
        Next::ByItself => {
            set(&mut conditions, condition(RECONCILING, "True", reason, &message));
            unset(&mut conditions, STALLED);
        }
        Next::ByPerson => {
            set(&mut conditions, condition(STALLED, "True", reason, &message));
            unset(&mut conditions, RECONCILING);
        }
    }
    conditions
}

/// With a full stop, so that another sentence may follow.
fn ended(message: &str) -> String {
    if message.ends_with(['.', '!', '?']) { message.to_owned() } else { format!("{message}.") }
}

/// The most urgent thing wins; the message names its first cause and says how much there is of it.
fn judge(stand: &Stand<'_>) -> (&'static str, &'static str, String, Next) {
    let Counts { steps, ready, failed, refused, waiting, progressing, pending, .. } = stand.counts;
    let errors = stand.problems.iter().filter(|problem| is_error(problem)).count();
    let first = |state: State| {
        let step = stand.steps.iter().find(|step| step.state == state);
        step.map(|step| format!("{}: {}", step.id, step.message)).unwrap_or_default()
    };
    match stand.end {
        End::Invalid => {
            return (
                "False",
                reasons::INVALID_SPEC,
                problems(stand, errors, "the GitSync is not valid"),
                Next::ByPerson,
            );
        }
        End::TargetFailed(reason, message) => {
            const BY_PERSON: &[&str] =
                &[reasons::INVENTORY_MISMATCH, reasons::SERVICE_ACCOUNT_MISSING, reasons::IMPERSONATION_DENIED];
            if let Some(reason) = BY_PERSON.iter().find(|known| **known == reason) {
                return ("False", reason, message.to_owned(), Next::ByPerson);
            }
            return ("False", reasons::TARGET_UNAVAILABLE, message.to_owned(), Next::ByItself);
        }
        End::Elsewhere(message) => {
            return ("Unknown", reasons::HELD_BY_OTHER_AGENT, message.to_owned(), Next::ByItself);
        }
        End::NoRevision => {
            let message = stand.source_error.unwrap_or("there is no revision to work with").to_owned();
            return ("False", reasons::SOURCE_UNAVAILABLE, message, Next::ByItself);
        }
        End::Running | End::Cancelled => {
            let message = format!("{ready} of {steps} steps are ready.");
            return ("Unknown", reasons::PROGRESSING, message, Next::ByItself);
        }
        End::Done | End::Closed(..) | End::Waits(..) | End::Suspended => {}
    }
    if let End::Waits(message, count, by_person) = stand.end
        && errors == 0
    {
        let message = match count {
            0 => format!("{message}."),
            1 => format!("1 step waits: {message}."),
            _ => format!("{count} steps wait: {message}."),
        };
        let next = if by_person { Next::ByPerson } else { Next::ByItself };
        return ("False", reasons::DEPENDENCY_NOT_READY, message, next);
    }
    if failed > 0 {
        let message = format!("{failed} of {steps} {} failed, first {}", noun(steps), first(State::Failed));
        return ("False", reasons::STEP_FAILED, message, Next::ByItself);
    }
    if errors > 0 {
        return ("False", reasons::PROBLEMS, problems(stand, errors, "documents have errors"), Next::ByPerson);
    }
    if refused > 0 {
        let message = format!("{refused} of {steps} {} refused, first {}", was(steps, refused), first(State::Refused));
        return ("False", reasons::REFUSED, message, Next::ByPerson);
    }
    let unread = if progressing > 0 { first(State::Unknown) } else { String::new() };
    if !unread.is_empty() {
        return ("False", reasons::TARGET_UNAVAILABLE, unread, Next::ByItself);
    }
    if let Some(error) = stand.source_error {
        let message = format!("{error} What was applied stays as it is.");
        return ("False", reasons::SOURCE_UNAVAILABLE, message, Next::ByItself);
    }
    if let End::Closed(opens, count) = stand.end {
        let when =
            opens.map_or_else(|| "no window opens again".to_owned(), |at| format!("the next window opens at {at}"));
        let message = format!("{count} {} for a window; {when}.", if count == 1 { "step waits" } else { "steps wait" });
        return ("False", reasons::OUTSIDE_WINDOW, message, Next::ByItself);
    }
    if waiting + progressing > 0 {
        let blocking = [State::Progressing, State::Waiting].into_iter().map(first);
        let cause = blocking.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let message = format!("{ready} of {steps} {} ready, first not: {cause}", are(steps));
        return ("False", reasons::TIMED_OUT, message, Next::ByItself);
    }
    let mut message = match ready {
        0 if steps == 0 => "the revision declares nothing.".to_owned(),
        1 if steps == 1 => "the only step is ready.".to_owned(),
        ready if pending == 0 => format!("all {ready} steps are ready."),
        ready => format!("{ready} steps are ready, {pending} have nothing to be sent to."),
    };
    let warnings = stand.problems.len();
    if warnings > 0 {
        message.push_str(&format!(
            " There {}.",
            if warnings == 1 { "is 1 warning".to_owned() } else { format!("are {warnings} warnings") }
        ));
    }
    ("True", reasons::SYNCED, message, Next::Nothing)
}

fn problems(stand: &Stand<'_>, errors: usize, what: &str) -> String {
    let first = stand.problems.iter().find(|problem| is_error(problem)).map(ToString::to_string).unwrap_or_default();
    let more = if errors > 1 { format!(" ({} more)", errors - 1) } else { String::new() };
    format!("{what}: {first}{more}")
}

fn noun(count: u32) -> &'static str {
    if count == 1 { "step" } else { "steps" }
}

fn are(count: u32) -> &'static str {
    if count == 1 { "step is" } else { "steps are" }
}

fn was(steps: u32, count: u32) -> String {
    format!("{} {}", noun(steps), if count == 1 { "is" } else { "are" })
}
