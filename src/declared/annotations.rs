//! The `windlass.dev/` annotations of a document (design §5.3): which there are and what they may say.
//!
//! Pure. Called by `typing`; `expand` reads what they say.

use crate::problem::Code;
use crate::sync;

/// Prefix of all of them.
const PREFIX: &str = "windlass.dev/";
/// What a document may carry.
const KNOWN: [&str; 8] =
    ["depends-on", "drift", "prune", "recreate", "allow-scale-down", "reset-offsets", "accept-data-loss", "generate"];
/// What a GitSync may carry besides.
const ON_SYNC: [&str; 3] = ["requested-at", "acknowledge", "approve"];
/// Farthest spelling that is taken for a slip.
const MAX_DISTANCE: usize = 3;

/// Whether Windlass writes the annotation itself: taken off a document, so that what was read back with
/// `kubectl get -o yaml` can be committed.
pub(super) fn is_own_mark(key: &str) -> bool {
    [sync::ORIGIN, sync::CONTENT_HASH, sync::COMPLETES].contains(&key)
}

/// Checks one annotation; `None` if there is nothing to say.
pub(super) fn check(key: &str, value: &str, on_sync: bool) -> Option<(Code, String)> {
    let name = key.strip_prefix(PREFIX)?;
    let wrong = |allowed: &str| Some((Code::InvalidValue, format!("the annotation `{key}` takes {allowed}")));
    match name {
        "depends-on" if value.split(',').any(|id| !is_step_id(id.trim())) => {
            wrong("step ids divided by commas, as in `object/apps/Deployment/web/front`")
        }
        "drift" if value != "ignore" => wrong("`ignore` and nothing else"),
        "prune" if value != "disabled" => wrong("`disabled` and nothing else"),
        "recreate" | "allow-scale-down" if value != "true" => wrong("`\"true\"` and nothing else"),
        "reset-offsets" if !value.split_once('@').is_some_and(|(id, nonce)| !id.is_empty() && !nonce.is_empty()) => {
            wrong("`<supervisor>@<nonce>`: the supervisor's id and a text that was not used before")
        }
        "accept-data-loss" if !matches!(value, "slots" | "volumes" | "cluster") => {
            wrong("`slots`, `volumes` or `cluster`")
        }
        "generate" if value != "password" => wrong("`password` and nothing else"),
        known if KNOWN.contains(&known) => None,
        known if on_sync && ON_SYNC.contains(&known) => None,
        unknown => Some((Code::UnknownAnnotation, unknown_message(unknown, on_sync))),
    }
}

fn unknown_message(name: &str, on_sync: bool) -> String {
    let known = KNOWN.iter().chain(ON_SYNC.iter().filter(|_| on_sync));
    let near = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    let hint = match near {
        Some((distance, known)) if distance <= MAX_DISTANCE.min(name.len() / 2) => {
            format!("did you mean `{PREFIX}{known}`?")
        }
        _ => format!("known are {}", KNOWN.map(|known| format!("`{PREFIX}{known}`")).join(", ")),
    };
    format!("there is no annotation `{PREFIX}{name}`; {hint}")
}

/// Whether a text has the form of a step id.
fn is_step_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let wanted = match parts.first() {
        Some(&"object") => 5..=5,
        Some(&("druid" | "probe" | "once")) => 4..=5,
        Some(&"redis") => 3..=3,
        _ => return false,
    };
    wanted.contains(&parts.len()) && parts.iter().all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(key: &str, value: &str) -> Option<Code> {
        check(key, value, false).map(|(code, _)| code)
    }

    #[test]
    fn what_the_annotations_may_say_is_closed() {
        for (key, good, bad) in [
            ("depends-on", "object/apps/Deployment/web/a, redis/web/r", "Deployment/a"),
            ("drift", "ignore", "false"),
            ("prune", "disabled", "false"),
            ("recreate", "true", "yes"),
            ("allow-scale-down", "true", ""),
            ("reset-offsets", "clicks@1", "clicks"),
            ("accept-data-loss", "volumes", "all"),
            ("generate", "password", "key"),
        ] {
            assert_eq!(code(&format!("windlass.dev/{key}"), good), None, "{key}");
            assert_eq!(code(&format!("windlass.dev/{key}"), bad), Some(Code::InvalidValue), "{key}");
        }
        assert_eq!(code("example.com/prune", "x"), None);
    }

    #[test]
    fn a_misspelt_annotation_gets_the_right_spelling() {
        let (code, message) = check("windlass.dev/purne", "disabled", false).unwrap();
        assert_eq!(code, Code::UnknownAnnotation);
        assert_eq!(message, "there is no annotation `windlass.dev/purne`; did you mean `windlass.dev/prune`?");
        let (_, message) = check("windlass.dev/x", "1", false).unwrap();
        assert!(message.contains("known are `windlass.dev/depends-on`"), "{message}");
    }

    #[test]
    fn requests_stand_on_a_git_sync_only() {
        assert!(check("windlass.dev/acknowledge", "x", true).is_none());
        assert!(check("windlass.dev/acknowledge", "x", false).is_some());
    }
}
