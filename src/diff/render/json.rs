//! A comparison as JSON for programs; the form is stable.
//!
//! Pure. Called by `cli`.

use serde_json::{Value, json};

use super::words::counted;
use super::{Comparison, Entry, FieldChange, What};

/// `from`, `to`, `digest`, `counts`, `changes` (worst first) and `problems`.
#[must_use]
pub fn json(comparison: &Comparison) -> Value {
    let mut counts: serde_json::Map<String, Value> = What::ALL
        .iter()
        .map(|what| (counted(*what).trim_start_matches("would ").to_owned(), comparison.count(*what).into()))
        .collect();
    counts.insert("same".to_owned(), comparison.same.into());
    json!({
        "from": comparison.from,
        "to": comparison.to,
        "digest": comparison.digest,
        "counts": counts,
        "changes": comparison.entries.iter().map(entry).collect::<Vec<_>>(),
        "problems": comparison.problems,
    })
}

fn entry(entry: &Entry) -> Value {
    let mut value = json!({
        "id": entry.id,
        "change": word(entry.what),
        "reason": entry.reason,
        "origin": entry.origin,
        "fields": entry.fields.iter().map(field).collect::<Vec<_>>(),
        "hashBefore": entry.before,
        "hashAfter": entry.after,
    });
    if let Some(map) = value.as_object_mut() {
        if let Some(owner) = &entry.owner {
            map.insert("owner".to_owned(), owner.as_str().into());
        }
        if let Some(note) = &entry.note {
            map.insert("note".to_owned(), note.as_str().into());
        }
        if let Some(whole) = &entry.whole {
            map.insert("object".to_owned(), whole.clone());
        }
    }
    value
}

fn field(change: &FieldChange) -> Value {
    let mut value = json!({ "path": change.path });
    if let Some(map) = value.as_object_mut() {
        for (key, side) in [("before", &change.before), ("after", &change.after)] {
            if let Some(side) = side {
                map.insert(key.to_owned(), side.clone());
            }
        }
        for (key, set) in [("secret", change.secret), ("order", change.order)] {
            if set {
                map.insert(key.to_owned(), true.into());
            }
        }
    }
    value
}

fn word(what: What) -> &'static str {
    match what {
        What::Delete => "delete",
        What::Recreate => "recreate",
        What::Fail => "fail",
        What::Refuse => "refuse",
        What::Update => "update",
        What::Adopt => "adopt",
        What::Create => "create",
        What::Leave => "leave",
    }
}
