//! The clock: the one place where the program asks what time it is.
//!
//! Handed in wherever time matters, so that everything else can be tested at any time of day.

/// Now.
#[expect(clippy::disallowed_methods, reason = "the edge of the program is where time comes from")]
pub(super) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// How long ago an RFC 3339 time was, as in `45s`, `12m`, `3h`, `9d`; empty if it is no time.
pub(super) fn age(now: jiff::Timestamp, then: &str) -> String {
    let Ok(then) = then.parse::<jiff::Timestamp>() else { return String::new() };
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        for (then, told) in [
            ("2026-03-10T11:59:15Z", "45s"),
            ("2026-03-10T11:48:00Z", "12m"),
            ("2026-03-10T09:00:00Z", "3h"),
            ("2026-03-01T12:00:00Z", "9d"),
            ("2026-03-10T12:00:05Z", "0s"),
            ("soon", ""),
        ] {
            assert_eq!(age(now, then), told, "{then}");
        }
    }
}
