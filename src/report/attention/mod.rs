//! What needs a person, and the state of a sync in a few words and one of four colours.
//!
//! Pure. Whether a sync needs somebody is decided by [`verdict::standing`] alone; this says where and why. Called by
//! `dashboard`.

#[cfg(test)]
mod tests;

use crate::plan::{Origin, State, StepId};
use crate::problem::{Problem, Severity};
use crate::sync::conditions::{self, reasons};

use super::verdict::{self, Standing};
use super::view::{StepView, SyncView};

/// A state in one of four colours. Sorted by how much it needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// Somebody has to act.
    Failed,
    /// On its way; it will come out by itself.
    Moving,
    /// Nothing is done here, on purpose.
    Off,
    /// As wanted.
    Ready,
}

impl Tone {
    /// The shape that says the same without colour.
    #[must_use]
    pub fn shape(self) -> &'static str {
        match self {
            Self::Failed => "✕",
            Self::Moving => "◐",
            Self::Off => "○",
            Self::Ready => "●",
        }
    }

    /// Of a step's state.
    #[must_use]
    pub fn of(state: State) -> Self {
        match state {
            State::Ready => Self::Ready,
            State::Progressing | State::Unknown => Self::Moving,
            State::Waiting | State::Skipped | State::Pending => Self::Off,
            State::Failed | State::Refused => Self::Failed,
        }
    }
}

/// One thing that needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// What it concerns, as in `StatefulSet web/front`; the name of the sync where it concerns all of it.
    pub title: String,
    /// `file:line`, where there is one.
    pub place: Option<String>,
    /// JSON pointer into the document.
    pub pointer: Option<String>,
    /// Cause, and what to do.
    pub message: String,
    /// Problem code or reason.
    pub code: String,
    /// How many steps wait for it.
    pub blocks: usize,
    /// The step concerned, where it is one.
    pub step: Option<StepId>,
}

/// The state of a sync in a few words, as in `2 of 214 failed`.
#[must_use]
pub fn label(sync: &SyncView) -> String {
    let counts = &sync.counts;
    let errors = errors(sync).count();
    match reason(sync) {
        _ if tone(sync) == Tone::Off => "suspended".to_owned(),
        reasons::OUTSIDE_WINDOW => "waiting for its window".to_owned(),
        reasons::SOURCE_UNAVAILABLE => "cannot read the source".to_owned(),
        reasons::TARGET_UNAVAILABLE => "cannot reach the target".to_owned(),
        reasons::INVALID_SPEC => "the GitSync is not valid".to_owned(),
        reasons::INVENTORY_MISMATCH => "the inventory belongs to another sync".to_owned(),
        reasons::DEPENDENCY_NOT_READY => "waiting for another sync".to_owned(),
        _ if counts.failed > 0 => format!("{} of {} failed", number(counts.failed), number(counts.steps)),
        _ if counts.refused > 0 => format!("{} of {} refused", number(counts.refused), number(counts.steps)),
        _ if errors > 0 => format!("{errors} {}", if errors == 1 { "problem" } else { "problems" }),
        reasons::TIMED_OUT => {
            format!("{} of {} not ready in time", number(counts.steps - ready(sync)), number(counts.steps))
        }
        _ => match tone(sync) {
            Tone::Ready if counts.pending > 0 => format!("live, {} pending", number(counts.pending)),
            Tone::Ready => "live".to_owned(),
            _ => moving(sync),
        },
    }
}

/// What colour a sync has.
#[must_use]
pub fn tone(sync: &SyncView) -> Tone {
    match verdict::standing(sync) {
        Standing::NeedsYou => Tone::Failed,
        Standing::Moving => Tone::Moving,
        Standing::Suspended => Tone::Off,
        Standing::Live => Tone::Ready,
    }
}

/// What needs a person, the most telling first: documents, then steps; the condition where neither says why.
#[must_use]
pub fn attention(sync: &SyncView) -> Vec<Attention> {
    let mut found: Vec<Attention> = errors(sync).map(of_problem).collect();
    let mut blocked: std::collections::BTreeMap<&StepId, usize> = std::collections::BTreeMap::new();
    for id in sync.steps.iter().flat_map(|step| &step.waits_for) {
        *blocked.entry(id).or_default() += 1;
    }
    // What a document with an error holds back is that document's consequence, not one more thing to do.
    let told = !found.is_empty();
    let steps = sync.steps.iter().filter(|step| Tone::of(step.state) == Tone::Failed && !(told && is_held(step)));
    found.extend(steps.map(|step| of_step(step, blocked.get(&step.id).copied().unwrap_or_default())));
    if tone(sync) == Tone::Failed && (found.is_empty() || concerns_all(reason(sync))) {
        let condition = conditions::find(&sync.conditions, conditions::READY);
        let whole = condition.map(|condition| Attention {
            title: sync.name.clone(),
            place: None,
            pointer: None,
            message: condition.message.clone(),
            code: condition.reason.clone(),
            blocks: 0,
            step: None,
        });
        found.splice(0..0, whole);
    }
    found
}

/// A step as people name it: kind, and namespace and name.
#[must_use]
pub fn name_of(id: &StepId) -> (String, String) {
    if let Some(object) = id.object_parts() {
        let name = match object.namespace {
            Some(namespace) => format!("{namespace}/{}", object.name),
            None => object.name.to_owned(),
        };
        return (object.kind.to_owned(), name);
    }
    match id.as_str().split_once('/') {
        Some((world, rest)) => (capital(world), rest.to_owned()),
        None => (String::new(), id.as_str().to_owned()),
    }
}

/// A number with its thousands apart.
#[must_use]
pub fn number(value: u32) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn reason(sync: &SyncView) -> &str {
    conditions::find(&sync.conditions, conditions::READY).map_or("", |condition| condition.reason.as_str())
}

fn concerns_all(reason: &str) -> bool {
    matches!(
        reason,
        reasons::SOURCE_UNAVAILABLE
            | reasons::TARGET_UNAVAILABLE
            | reasons::INVALID_SPEC
            | reasons::INVENTORY_MISMATCH
            | reasons::TIMED_OUT
    )
}

fn errors(sync: &SyncView) -> impl Iterator<Item = &Problem> {
    sync.problems.iter().filter(|problem| problem.severity == Severity::Error)
}

/// Ready, or nothing to be done for it here.
fn ready(sync: &SyncView) -> u32 {
    (sync.counts.ready + sync.counts.pending).min(sync.counts.steps)
}

fn moving(sync: &SyncView) -> String {
    let blocker = sync.steps.iter().filter(|step| step.state == State::Progressing).find(|step| {
        sync.steps.iter().any(|other| other.state == State::Waiting && other.waits_for.contains(&step.id))
    });
    match blocker {
        Some(step) => format!("waiting for {}", name_of(&step.id).1),
        None if sync.counts.steps == 0 => "reading the source".to_owned(),
        None => format!("{} of {} ready", number(ready(sync)), number(sync.counts.steps)),
    }
}

pub(crate) fn of_problem(problem: &Problem) -> Attention {
    let place = problem.file.as_ref().map(|file| match problem.line {
        Some(line) => format!("{file}:{line}"),
        None => file.clone(),
    });
    Attention {
        title: String::new(),
        place,
        pointer: problem.pointer.clone().filter(|pointer| !pointer.is_empty()),
        message: problem.message.clone(),
        code: problem.code.as_str().to_owned(),
        blocks: 0,
        step: None,
    }
}

/// Where a step is declared, as in `apps/web.yaml:14`; without the line where only the inventory knows the file.
#[must_use]
pub fn place_of(origin: &Origin) -> Option<String> {
    match (origin.path.as_str(), origin.line) {
        ("", _) => None,
        (path, 0) => Some(path.to_owned()),
        (path, line) => Some(format!("{path}:{line}")),
    }
}

fn is_held(step: &StepView) -> bool {
    use crate::diff::guard::reasons::{HELD_DOCUMENT, HELD_FILE, HELD_MOVED};
    [HELD_DOCUMENT, HELD_FILE, HELD_MOVED].contains(&step.reason.as_str())
}

fn of_step(step: &StepView, blocks: usize) -> Attention {
    let (kind, name) = name_of(&step.id);
    let place = place_of(&step.origin);
    Attention {
        title: format!("{kind} {name}"),
        place,
        pointer: None,
        message: step.message.clone(),
        code: step.reason.clone(),
        blocks,
        step: Some(step.id.clone()),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
