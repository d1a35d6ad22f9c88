//! Status of a Cluster and of its components: that of their StatefulSets, in standard conditions.
//!
//! Pure.

use serde_json::Value;

use super::part::Part;
use crate::kinds::status::{Board, Is};
use crate::kinds::{ChildState, StatusInput};
use crate::plan::State;
use crate::sync::ALLOW_SCALE_DOWN;
use crate::sync::conditions::READY;

const PROGRESSING: &str = "Progressing";
const DEGRADED: &str = "Degraded";
/// Fewer nodes are wanted than there are; also the reason that the step gives.
const SCALE_DOWN_HELD: &str = "ScaleDownHeld";

pub(super) fn part(input: &StatusInput<'_>) -> Option<Value> {
    worst(input.children.iter())?;
    let mut board = Board::new(input, &[READY, PROGRESSING, DEGRADED, SCALE_DOWN_HELD]);
    summary(&mut board, input.children, "all nodes are ready");
    Some(board.finish())
}

pub(super) fn cluster(input: &StatusInput<'_>) -> Option<Value> {
    let of = Part::ALL.map(|part| (part, format!("{}Ready", part.kind())));
    let parts = || of.iter().filter(|(part, _)| input.cr.manifest.pointer(&format!("/spec/{}", part.name())).is_some());
    let types: Vec<&str> = [READY, PROGRESSING, DEGRADED, SCALE_DOWN_HELD]
        .into_iter()
        .chain(parts().map(|(_, kind)| kind.as_str()))
        .collect();
    let mut board = Board::new(input, &types);
    for (part, kind) in parts() {
        let name = format!("{}-{}", input.cr.name, part.name());
        let of_part = input.children.iter().filter(|child| child.id.object_parts().is_some_and(|id| id.name == name));
        let (is, reason, message) = verdict(worst(of_part), "all nodes are ready");
        board.set(kind, is, &reason, message);
    }
    if parts().next().is_none() {
        board.set(READY, Is::True, "NoComponents", "The Cluster has no component.");
        for kind in [PROGRESSING, DEGRADED, SCALE_DOWN_HELD] {
            board.set(kind, Is::False, "NoComponents", "");
        }
        return Some(board.finish());
    }
    worst(input.children.iter())?;
    summary(&mut board, input.children, "all components are ready");
    Some(board.finish())
}

/// Ready and the two that explain it, and what is held.
fn summary(board: &mut Board<'_>, children: &[ChildState], good: &str) {
    let state = worst(children.iter());
    let (is, reason, message) = verdict(state, good);
    let moving = matches!(state.map(|it| it.state), Some(State::Progressing | State::Waiting));
    let broken = matches!(state.map(|it| it.state), Some(State::Failed | State::Refused)) && !is_held(state);
    board.set(PROGRESSING, yes(moving), &reason, if moving { message.as_str() } else { "" });
    board.set(DEGRADED, yes(broken), &reason, if broken { message.as_str() } else { "" });
    board.set(READY, is, &reason, message);
    let held: Vec<&str> = children.iter().filter(|child| is_held(Some(child))).map(|it| it.message.as_str()).collect();
    if held.is_empty() {
        board.set(SCALE_DOWN_HELD, Is::False, "NothingHeld", "");
    } else {
        board.set(SCALE_DOWN_HELD, Is::True, SCALE_DOWN_HELD, hint(&held));
    }
}

/// What is held says itself what releases it; a message from elsewhere may have been cut short.
fn hint(held: &[&str]) -> String {
    let text = held.join("; ");
    if text.contains(ALLOW_SCALE_DOWN) { text } else { format!("{text} ({ALLOW_SCALE_DOWN}: \"true\" allows it)") }
}

fn is_held(child: Option<&ChildState>) -> bool {
    child.is_some_and(|child| child.reason == SCALE_DOWN_HELD)
}

fn yes(is: bool) -> Is {
    if is { Is::True } else { Is::False }
}

fn verdict(state: Option<&ChildState>, good: &str) -> (Is, String, String) {
    let Some(child) = state else { return (Is::Unknown, "Unknown".to_owned(), "Nothing is known yet.".to_owned()) };
    let (kind, name) = child.id.object_parts().map_or(("", child.id.as_str()), |parts| (parts.kind, parts.name));
    let told = if child.message.is_empty() { &child.reason } else { &child.message };
    match child.state {
        State::Ready => {
            (Is::True, "ComponentsReady".to_owned(), format!("{}{}.", good[..1].to_uppercase(), &good[1..]))
        }
        State::Unknown => (Is::Unknown, child.reason.clone(), format!("{kind} {name}: {told}")),
        _ if is_held(state) => (Is::False, child.reason.clone(), told.clone()),
        _ => (Is::False, child.reason.clone(), format!("{kind} {name}: {told}")),
    }
}

/// What keeps the whole from being ready; if nothing does, any of it.
fn worst<'a>(children: impl Iterator<Item = &'a ChildState>) -> Option<&'a ChildState> {
    // Of equals the first, in the order of the plan: what the others wait for comes first.
    children.min_by_key(|child| match child.state {
        State::Failed => 0,
        State::Refused if is_held(Some(child)) => 2,
        State::Refused => 1,
        State::Unknown => 3,
        State::Progressing => 4,
        State::Waiting => 5,
        State::Skipped => 6,
        State::Pending => 7,
        State::Ready => 8,
    })
}
