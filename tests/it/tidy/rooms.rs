//! Arrows between rooms, and what a pure room may not name.

use super::{files, none, read};

/// Every room that stands above.
const EVERY: &[&str] = &["*"];

/// Which rooms a room may use. `agent` and `cli` are the only ones that name (nearly) all.
const ARROWS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("canonical", &[]),
    ("problem", &[]),
    ("revision", &["text", "problem"]),
    ("sync", &["text", "canonical", "problem", "revision"]),
    ("plan", &["text", "canonical", "problem", "revision", "sync"]),
    ("kinds", &["text", "canonical", "problem", "revision", "sync", "plan"]),
    ("declared", &["text", "canonical", "problem", "revision", "sync", "plan", "kinds"]),
    ("expand", &["text", "canonical", "problem", "revision", "sync", "plan", "kinds", "declared"]),
    ("inventory", &["text", "canonical", "problem", "revision", "sync", "plan"]),
    ("diff", &["text", "canonical", "problem", "revision", "sync", "plan", "inventory"]),
    ("schedule", &["text", "canonical", "problem", "sync"]),
    ("source", &["text", "canonical", "problem", "revision", "sync"]),
    ("target", &["text", "canonical", "problem", "revision", "sync", "plan", "inventory", "diff"]),
    ("report", &["text", "canonical", "problem", "revision", "sync", "plan", "kinds", "inventory", "diff", "target"]),
    ("telemetry", &["text", "problem", "sync", "report"]),
    ("dashboard", &["text", "report", "telemetry", "plan", "problem", "revision", "sync"]),
    ("agent", EVERY),
    ("cli", EVERY),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Rooms, or files of a room, that only compute.
const PURE: &[&str] = &[
    "src/canonical.rs",
    "src/text.rs",
    "src/problem.rs",
    "src/revision.rs",
    "src/sync/",
    "src/plan/",
    "src/kinds/",
    "src/declared/",
    "src/expand/",
    "src/inventory/",
    "src/diff/",
    "src/schedule",
    "src/report/summary",
    "src/report/view",
    "src/report/verdict",
];

/// What a pure room may not name.
const IMPURE: &[&str] = &[
    "tokio",
    "kube::Client",
    "kube::client",
    "kube::Api",
    "git2",
    "reqwest",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "async fn",
    "::now()",
    "Instant",
];

fn place(room: &str) -> Option<usize> {
    ARROWS.iter().position(|(name, _)| *name == room)
}

fn may_use(room: &str, allowed: &[&str], other: &str) -> bool {
    allowed.contains(&other) || (allowed == EVERY && place(other) < place(room))
}

fn room(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap();
    inside.split(['/', '.']).next().unwrap()
}

/// The code of a file by line number, without comments and without its tests.
fn code(path: &str) -> Vec<(usize, String)> {
    let name = path.rsplit('/').next().unwrap();
    if name == "tests.rs" || name.ends_with("_tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let text = read(path);
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    body.lines().enumerate().map(|(index, line)| (index + 1, without_comment(line))).collect()
}

/// The rooms that a line names: `crate::room`, also in `use crate::{a::…, b::…}` on one line.
fn named(line: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rooms = Vec::new();
    for (start, _) in line.match_indices("crate::") {
        if start > 0 && line[..start].ends_with(|c: char| is_name(c) || c == '$') {
            continue;
        }
        let rest = &line[start + "crate::".len()..];
        let groups = rest.strip_prefix('{').map_or_else(|| vec![rest], |inner| inner.split(", ").collect());
        rooms.extend(groups.iter().map(|part| part.chars().take_while(|c| is_name(*c)).collect::<String>()));
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

#[test]
fn a_room_uses_only_what_is_to_its_left() {
    let mut wrong = Vec::new();
    for path in files("src", "rs") {
        let room = room(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{path}: the room `{room}` has no row in ARROWS"));
            continue;
        };
        for (number, line) in code(&path) {
            for other in named(&line) {
                let known = ARROWS.iter().any(|(name, _)| *name == other);
                if known && other != room && !may_use(room, allowed, &other) {
                    wrong.push(format!("{path}:{number}: `{room}` uses `{other}`"));
                }
            }
        }
    }
    none(&wrong, "arrows that the architecture does not have");
}

#[test]
fn the_arrows_themselves_have_no_circle() {
    for (room, allowed) in ARROWS.iter().filter(|(_, allowed)| *allowed != EVERY) {
        assert!(allowed.iter().all(|other| place(other) < place(room)), "`{room}` may use a room that stands below it");
    }
}

#[test]
fn pure_rooms_only_compute() {
    let mut wrong = Vec::new();
    for path in files("src", "rs").into_iter().filter(|path| PURE.iter().any(|pure| path.starts_with(pure))) {
        for (number, line) in code(&path) {
            wrong.extend(
                IMPURE.iter().filter(|token| line.contains(*token)).map(|token| format!("{path}:{number}: {token}")),
            );
        }
    }
    none(&wrong, "IO or time in a pure room; hand the value in instead");
}

#[test]
fn lines_are_read_as_they_are_meant() {
    assert_eq!(named("use crate::plan::{Step, StepId};"), ["plan"]);
    assert_eq!(named("use crate::{plan::Step, diff::Diff};"), ["plan", "diff"]);
    assert_eq!(named("let a = crate::plan::id(crate::sync::GROUP);"), ["plan", "sync"]);
    assert_eq!(named("$crate::plan; my_crate::plan"), Vec::<String>::new());
}
