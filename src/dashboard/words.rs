//! Times and places as people read them.
//!
//! Pure. Used by `pages`; `assets/app.js` says "ago" in the same words.

use jiff::Timestamp;

/// `6 s ago`, `4 min ago`, `2 h ago`, `3 d ago`; empty if the time cannot be read.
pub(super) fn ago(now: Timestamp, at: &str) -> String {
    let Ok(at) = at.parse::<Timestamp>() else { return String::new() };
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// `12 ms`, `0.4 s`, `12 s`, `3 min`.
pub(super) fn took(milliseconds: u64) -> String {
    match milliseconds {
        0..100 => format!("{milliseconds} ms"),
        100..10_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        10_000..120_000 => format!("{} s", milliseconds / 1000),
        _ => format!("{} min", milliseconds / 60_000),
    }
}

/// The first `most` characters, with `…` if there were more.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Where a forge shows a commit, or a line of a file in it. None for a source that is not on a forge known by its name.
pub(super) fn forge(source: &str, revision: &str, file: Option<(&str, u32)>) -> Option<String> {
    let path = source.trim_end_matches('/').trim_end_matches(".git");
    let (host, repository) = match path.strip_prefix("git@") {
        Some(rest) => rest.split_once(':')?,
        None => path.strip_prefix("https://").or_else(|| path.strip_prefix("ssh://git@"))?.split_once('/')?,
    };
    let (commit, blob) = match host {
        "github.com" => ("commit", "blob"),
        "gitlab.com" => ("-/commit", "-/blob"),
        "codeberg.org" | "gitea.com" => ("commit", "src/commit"),
        _ => return None,
    };
    Some(match file {
        None => format!("https://{host}/{repository}/{commit}/{revision}"),
        Some((file, line)) => format!("https://{host}/{repository}/{blob}/{revision}/{}#L{line}", encode(file, true)),
    })
}

/// Percent-encodes what may not stand in a URL's path (`/` stays if asked) or query.
pub(super) fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_largest_unit_that_fits() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(ago(now, "2026-01-01T23:59:54Z"), "6 s ago");
        assert_eq!(ago(now, "2026-01-01T23:56:00Z"), "4 min ago");
        assert_eq!(ago(now, "2026-01-01T00:00:00Z"), "1 d ago");
        assert_eq!(ago(now, "2026-01-03T00:00:00Z"), "0 s ago", "a clock ahead of ours");
        assert_eq!(ago(now, "yesterday"), "");
        assert_eq!((took(12), took(432), took(12_000)), ("12 ms".into(), "0.4 s".into(), "12 s".into()));
    }

    #[test]
    fn a_line_is_linked_on_a_forge_that_is_known_and_only_there() {
        let at = |source: &str| forge(source, "abc", Some(("a b/x.yaml", 7)));
        assert_eq!(at("git@github.com:o/r.git").as_deref(), Some("https://github.com/o/r/blob/abc/a%20b/x.yaml#L7"));
        assert_eq!(
            at("https://gitlab.com/g/s/r").as_deref(),
            Some("https://gitlab.com/g/s/r/-/blob/abc/a%20b/x.yaml#L7")
        );
        assert_eq!(at("https://git.example/o/r"), None);
        assert_eq!(at("/srv/repo"), None);
        assert_eq!(
            forge("https://codeberg.org/o/r", "abc", None).as_deref(),
            Some("https://codeberg.org/o/r/commit/abc")
        );
    }
}
