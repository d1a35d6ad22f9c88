//! The words in which changes are told, the same in every form.
//!
//! Pure. Called by `text`, `markdown` and `json`.

use serde_json::Value;

use super::{Comparison, Entry, What};
use crate::plan::StepId;

/// Longest value that is shown in one line, in characters.
const LONGEST: usize = 120;

/// `Deployment web/front`, `Namespace web`; the whole id of what is not an object.
#[must_use]
pub fn name(id: &StepId) -> String {
    plain(&match id.object_parts() {
        Some(parts) => match parts.namespace {
            Some(namespace) => format!("{} {namespace}/{}", parts.kind, parts.name),
            None => format!("{} {}", parts.kind, parts.name),
        },
        None => id.to_string(),
    })
}

/// Where the document stands, as in `apps/web.yaml:12`, with the CR that expanded to the step.
#[must_use]
pub fn place(entry: &Entry) -> String {
    let origin = &entry.origin;
    let mut text = match (origin.path.is_empty(), origin.line) {
        (true, _) => String::new(),
        (false, 0) => format!("{}#{}", origin.path, origin.document),
        (false, line) => format!("{}:{line}", origin.path),
    };
    if entry.owner.is_some() {
        text.push_str(&format!(" ({} {})", origin.kind, origin.name));
    }
    plain(text.trim())
}

/// What happens, as a verb.
#[must_use]
pub fn verb(what: What) -> &'static str {
    match what {
        What::Delete => "DELETE",
        What::Recreate => "RECREATE",
        What::Fail => "FAILS",
        What::Refuse => "refused",
        What::Update => "change",
        What::Adopt => "adopt",
        What::Create => "create",
        What::Leave => "kept",
    }
}

/// What happened, as counted.
#[must_use]
pub fn counted(what: What) -> &'static str {
    match what {
        What::Delete => "deleted",
        What::Recreate => "recreated",
        What::Fail => "would fail",
        What::Refuse => "refused",
        What::Update => "changed",
        What::Adopt => "adopted",
        What::Create => "created",
        What::Leave => "kept",
    }
}

/// `1 deleted, 3 changed, 2 created`; none if nothing differs.
#[must_use]
pub fn counts(comparison: &Comparison) -> Option<String> {
    let parts: Vec<String> = What::ALL
        .iter()
        .map(|what| (comparison.count(*what), *what))
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {}", counted(what)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `1 problem`, `3 problems`; none if there is none.
#[must_use]
pub fn problems(comparison: &Comparison) -> Option<String> {
    match comparison.problems.len() {
        0 => None,
        1 => Some("1 problem".to_owned()),
        more => Some(format!("{more} problems")),
    }
}

/// Why it happens, where the verb does not say that already.
#[must_use]
pub fn because(entry: &Entry) -> Option<&'static str> {
    match (entry.what, entry.reason) {
        (What::Update | What::Recreate, "Drifted") => Some("somebody else changed it in the target"),
        (What::Update, "Unrecorded") => Some("it is there, but not in the inventory"),
        _ => None,
    }
}

/// The note of an entry; what stands above word for word is not said again.
#[must_use]
pub fn note<'a>(entry: &'a Entry, above: Option<&Entry>) -> Option<&'a str> {
    let note = entry.note.as_deref()?;
    let same = above.is_some_and(|above| above.what == entry.what && above.note.as_deref() == Some(note));
    Some(if same { "as above" } else { note })
}

/// A value in one line: text as it is if that is clear, anything else as JSON; what is long is cut in the middle.
#[must_use]
pub fn one_line(value: &Value) -> String {
    let text = match value {
        Value::String(text) if is_clear(text) => text.clone(),
        other => other.to_string(),
    };
    let text = plain(&text);
    let length = text.chars().count();
    if length <= LONGEST {
        return text;
    }
    let half = LONGEST / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(length - half).collect();
    format!("{start}…{end}")
}

/// Whether a text is read as itself without quotes.
fn is_clear(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.chars().any(char::is_control)
        && !text.starts_with(['"', '{', '['])
        && serde_json::from_str::<Value>(text).is_err()
}

/// Whether a value is best shown as a block of lines.
#[must_use]
pub fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => text.contains('\n'),
        _ => false,
    }
}

/// The lines of a block: YAML, or the text itself.
#[must_use]
pub fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.lines().map(plain).collect(),
        other => crate::plan::yaml::text(other).lines().map(plain).collect(),
    }
}

/// Takes out what could steer a terminal or hide a line: documents are written by others.
#[must_use]
pub fn plain(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if steers(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
