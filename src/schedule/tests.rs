//! Durations, backoff and windows; clock changes in Berlin, New York and Lord Howe (half an hour).

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::sync::spec::{Window, WindowKind};

fn window(kind: WindowKind, schedule: &str, duration: &str, zone: &str) -> Window {
    Window { schedule: schedule.into(), duration: duration.into(), time_zone: Some(zone.into()), kind }
}

fn allow(schedule: &str, duration: &str, zone: &str) -> Window {
    window(WindowKind::Allow, schedule, duration, zone)
}

fn deny(schedule: &str, duration: &str, zone: &str) -> Window {
    window(WindowKind::Deny, schedule, duration, zone)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `open`, or the next opening, or `never`.
fn state(windows: &[Window], now: &str) -> String {
    match open(windows, at(now)).unwrap() {
        WindowState::Open => "open".to_owned(),
        WindowState::Closed { next_opening: Some(next) } => next.to_string(),
        WindowState::Closed { next_opening: None } => "never".to_owned(),
    }
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, millis) in [
        ("10m", 600_000),
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("500ms", 500),
        ("1h1m1s1ms", 3_661_001),
        ("8760h", 31_536_000_000),
    ] {
        assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(millis), "{text}");
    }
}

#[test]
fn what_is_not_a_duration_is_refused_with_an_example() {
    for text in
        ["", "10", "m", "10 m", " 10m", "-1s", "+1s", "1.5h", "30m1h", "1s1s", "1d", "10M", "1h-", "٣s", "1hm", "1m5"]
    {
        let error = parse_duration(text).unwrap_err();
        assert_eq!(
            error.0,
            format!("{text:?} is not a duration; write it as in \"10m\", \"90s\", \"1h30m\" or \"500ms\"")
        );
    }
    for text in ["0s", "0h0m"] {
        assert!(parse_duration(text).unwrap_err().0.contains("is zero"), "{text}");
    }
    for text in ["8761h", "99999999999999999999s", "18446744073709551615h"] {
        assert!(parse_duration(text).unwrap_err().0.contains("longer than 365 days"), "{text}");
    }
}

#[test]
fn waits_double_up_to_the_cap() {
    let second = Duration::from_secs(1);
    let waits: Vec<u64> = (0..12).map(|failures| backoff(second, failures, 0.0).as_secs()).collect();
    assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    // A first wait above the cap is kept.
    assert_eq!(backoff(Duration::from_secs(900), 5, 0.0), Duration::from_secs(900));
    assert_eq!(backoff(second, u32::MAX, 1.0), Duration::from_secs(330));
}

#[test]
fn without_windows_it_is_always_open() {
    assert_eq!(state(&[], "2026-01-01T00:00:00Z"), "open");
}

#[test]
fn an_allow_window_opens_for_its_duration() {
    let windows = [allow("0 22 * * 1-5", "2h", "UTC")];
    // 2026-11-20 is a Friday.
    assert_eq!(state(&windows, "2026-11-20T21:59:59Z"), "2026-11-20T22:00:00Z");
    assert_eq!(state(&windows, "2026-11-20T22:00:00Z"), "open");
    assert_eq!(state(&windows, "2026-11-20T23:59:59.999Z"), "open");
    assert_eq!(state(&windows, "2026-11-21T00:00:00Z"), "2026-11-23T22:00:00Z");
}

#[test]
fn weekdays_are_counted_as_cron_does() {
    for day in ["0", "7", "SUN"] {
        let windows = [allow(&format!("0 9 * * {day}"), "1h", "UTC")];
        assert_eq!(state(&windows, "2026-11-22T09:30:00Z"), "open", "{day}");
    }
    // Day of month and day of week together mean either.
    let windows = [allow("0 0 1 * 1", "24h", "UTC")];
    assert_eq!(state(&windows, "2026-11-01T12:00:00Z"), "open");
    assert_eq!(state(&windows, "2026-11-23T12:00:00Z"), "open");
    assert_eq!(state(&windows, "2026-11-24T12:00:00Z"), "2026-11-30T00:00:00Z");
}

#[test]
fn deny_wins_over_allow() {
    let windows = [allow("0 8 * * *", "10h", "UTC"), deny("0 12 * * *", "1h", "UTC"), deny("30 12 * * *", "1h", "UTC")];
    assert_eq!(state(&windows, "2026-11-20T11:59:59Z"), "open");
    assert_eq!(state(&windows, "2026-11-20T12:00:00Z"), "2026-11-20T13:30:00Z");
    assert_eq!(state(&windows, "2026-11-20T13:30:00Z"), "open");
    // A denial that outlasts the window leads to the next one.
    let windows = [allow("0 8 * * *", "1h", "UTC"), deny("30 8 20 11 *", "3h", "UTC")];
    assert_eq!(state(&windows, "2026-11-20T08:45:00Z"), "2026-11-21T08:00:00Z");
}

#[test]
fn with_denials_only_the_rest_is_open() {
    let windows = [deny("0 0 24 12 *", "72h", "Europe/Berlin")];
    assert_eq!(state(&windows, "2026-12-23T22:59:59Z"), "open");
    assert_eq!(state(&windows, "2026-12-24T00:00:00Z"), "2026-12-26T23:00:00Z");
}

#[test]
fn what_is_always_denied_has_no_opening() {
    let windows = [deny("* * * * *", "1h", "UTC")];
    assert_eq!(state(&windows, "2026-11-20T11:00:00Z"), "never");
}

#[test]
fn a_window_lasts_its_duration_across_a_clock_change() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00. From 01:00 (00:00Z), three hours are over at 05:00 local time (03:00Z).
    let windows = [allow("0 1 * * *", "3h", "Europe/Berlin")];
    assert_eq!(state(&windows, "2026-03-29T02:59:59Z"), "open");
    assert_eq!(state(&windows, "2026-03-29T03:00:00Z"), "2026-03-29T23:00:00Z");
    // New York, 2026-11-01: 02:00 becomes 01:00. From 00:30 (04:30Z), two hours are over at 01:30 (06:30Z).
    let windows = [allow("30 0 * * *", "2h", "America/New_York")];
    assert_eq!(state(&windows, "2026-11-01T06:29:59Z"), "open");
    assert_eq!(state(&windows, "2026-11-01T06:30:00Z"), "2026-11-02T05:30:00Z");
}

#[test]
fn a_start_that_the_clock_skips_comes_right_after_the_change() {
    let windows = [allow("30 2 * * *", "1h", "Europe/Berlin")];
    assert_eq!(state(&windows, "2026-03-29T00:59:59Z"), "2026-03-29T01:00:00Z");
    assert_eq!(state(&windows, "2026-03-29T01:00:00Z"), "open");
    assert_eq!(state(&windows, "2026-03-29T01:59:59Z"), "open");
    assert_eq!(state(&windows, "2026-03-29T02:00:00Z"), "2026-03-30T00:30:00Z");
}

#[test]
fn a_start_that_the_clock_repeats_comes_once() {
    // Berlin, 2026-10-25: 03:00 becomes 02:00; 02:30 is at 00:30Z and 01:30Z.
    let windows = [allow("30 2 * * *", "30m", "Europe/Berlin")];
    assert_eq!(state(&windows, "2026-10-25T00:30:00Z"), "open");
    assert_eq!(state(&windows, "2026-10-25T01:00:00Z"), "2026-10-26T01:30:00Z");
    assert_eq!(state(&windows, "2026-10-25T01:40:00Z"), "2026-10-26T01:30:00Z");
}

#[test]
fn a_change_of_half_an_hour_is_known() {
    // Lord Howe, 2026-04-05: 02:00 (+11) becomes 01:30 (+10:30). 03:00 is at 16:30Z on the 4th.
    let windows = [allow("0 3 * * *", "1h", "Australia/Lord_Howe")];
    assert_eq!(state(&windows, "2026-04-04T16:29:59Z"), "2026-04-04T16:30:00Z");
    assert_eq!(state(&windows, "2026-04-04T16:30:00Z"), "open");
}

#[test]
fn what_is_not_valid_is_named() {
    for (broken, needle) in [
        (allow("0 22 * *", "1h", "UTC"), "spec.windows[1].schedule: \"0 22 * *\" is not a schedule of five fields"),
        (allow("0 0 22 * * *", "1h", "UTC"), "of five fields"),
        (allow("@daily", "1h", "UTC"), "of five fields"),
        (allow("61 * * * *", "1h", "UTC"), "spec.windows[1].schedule: \"61 * * * *\" is not a schedule: "),
        (allow("0 0 31 2 *", "1h", "UTC"), "never comes"),
        (allow("0 0 * * *", "1 hour", "UTC"), "spec.windows[1].duration: \"1 hour\" is not a duration"),
        (allow("0 0 * * *", "1h", "Mars/Olympus"), "spec.windows[1].timeZone: \"Mars/Olympus\" is not a time zone"),
    ] {
        let error = open(&[allow("0 0 * * *", "1h", "UTC"), broken], at("2026-01-01T00:00:00Z")).unwrap_err();
        assert!(error.0.contains(needle), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_reading_a_duration_panic(text in "\\PC{0,12}") {
        _ = parse_duration(&text);
    }

    #[test]
    fn a_written_duration_is_read_back(h in 0_u64..1000, m in 0_u64..1000, s in 0_u64..1000, ms in 1_u64..1000) {
        let wanted = Duration::from_millis(((h * 60 + m) * 60 + s) * 1000 + ms);
        prop_assert_eq!(parse_duration(&format!("{h}h{m}m{s}s{ms}ms")).unwrap(), wanted);
    }

    #[test]
    fn jitter_adds_at_most_a_tenth(millis in 1_u64..10_000_000, random in 0.0_f64..=1.0, failures in 0_u32..100) {
        let base = Duration::from_millis(millis);
        let wait = jitter(base, random);
        prop_assert!(wait >= base && wait <= base + base / 10 + Duration::from_nanos(2));
        let wait = backoff(base, failures, random);
        prop_assert!(wait >= base && wait <= jitter(MAX_BACKOFF.max(base), 1.0));
    }

    #[test]
    fn an_opening_is_open_and_nothing_before_it_is(
        seconds in 1_767_225_600_i64..1_798_761_600,
        hour in 0_u8..24,
        length in 1_u64..30,
        denied in 0_u8..24,
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    ) {
        let windows = Windows::new(&[
            allow(&format!("15 {hour} * * *"), &format!("{length}h"), zone),
            deny(&format!("45 {denied} * * *"), "2h", zone),
        ]).unwrap();
        let now = Timestamp::from_second(seconds).unwrap();
        if let WindowState::Closed { next_opening: Some(next) } = windows.state(now) {
            prop_assert!(next > now);
            prop_assert_eq!(windows.state(next), WindowState::Open);
            let mut between = now;
            while between < next {
                prop_assert_ne!(windows.state(between), WindowState::Open, "{}", between);
                between = between.checked_add(Duration::from_secs(600)).unwrap();
            }
        }
    }
}

#[test]
fn a_window_closes_when_the_last_that_keeps_it_open_ends_or_a_denial_begins() {
    let closes = |windows: &[Window], now: &str| {
        Windows::new(windows).unwrap().closes(at(now)).map_or("never".to_owned(), |at| at.to_string())
    };
    let night = allow("0 22 * * *", "2h", "UTC");
    assert_eq!(closes(std::slice::from_ref(&night), "2026-03-01T22:30:00Z"), "2026-03-02T00:00:00Z");
    assert_eq!(closes(std::slice::from_ref(&night), "2026-03-01T12:00:00Z"), "never", "it is closed already");
    assert_eq!(closes(&[], "2026-03-01T12:00:00Z"), "never");
    // Two that overlap are one; a denial in between wins.
    let later = allow("0 23 * * *", "2h", "UTC");
    assert_eq!(closes(&[night.clone(), later.clone()], "2026-03-01T22:30:00Z"), "2026-03-02T01:00:00Z");
    let freeze = deny("30 23 * * *", "10m", "UTC");
    assert_eq!(closes(&[night, later, freeze.clone()], "2026-03-01T22:30:00Z"), "2026-03-01T23:30:00Z");
    assert_eq!(closes(&[freeze], "2026-03-01T22:30:00Z"), "2026-03-01T23:30:00Z");
    // An hour that clocks repeat is still an hour of the window.
    let berlin = allow("0 2 * * *", "90m", "Europe/Berlin");
    assert_eq!(closes(&[berlin], "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00Z");
}

#[test]
fn every_step_is_due_exactly_once_an_interval_however_time_is_cut() {
    let interval = Duration::from_secs(3600);
    let start = at("2026-03-29T00:00:00Z");
    for number in 0..500 {
        let slot = slot(&format!("object/core/ConfigMap/web/c{number}"));
        for step in [1, 7, 10, 600, 3600] {
            let cuts: Vec<Timestamp> =
                (0..).map(|n| n * step).take_while(|s| *s <= 3600).map(|s| start + Duration::from_secs(s)).collect();
            let end = *cuts.last().unwrap();
            let due = cuts.windows(2).filter(|pair| is_due(slot, interval, pair[0], pair[1])).count();
            let whole = usize::from(is_due(slot, interval, start, end));
            assert_eq!(due, whole, "in steps of {step} seconds");
            if end == start + interval {
                assert_eq!(due, 1);
            }
        }
    }
}

#[test]
fn what_is_due_is_spread_evenly() {
    let interval = Duration::from_secs(3600);
    let start = at("2026-03-29T00:00:00Z");
    let slots: Vec<u64> = (0..10_000).map(|n| slot(&format!("object/core/ConfigMap/team-{}/c{n}", n % 10))).collect();
    for tick in 0..360_u64 {
        let from = start + Duration::from_secs(tick * 10);
        let due = slots.iter().filter(|slot| is_due(**slot, interval, from, from + Duration::from_secs(10))).count();
        assert!((5..70).contains(&due), "{due} of 10,000 in ten seconds");
    }
}

#[test]
fn a_clock_that_jumps_makes_neither_nothing_nor_everything_due() {
    let (interval, now) = (Duration::from_secs(3600), at("2026-03-29T12:00:00Z"));
    let from = |last: &str| sweep_from(at(last), now, interval);
    assert_eq!(from("2026-03-29T11:59:50Z"), at("2026-03-29T11:59:50Z"));
    assert_eq!(from("2026-03-29T15:00:00Z"), now);
    assert_eq!(from("2026-03-01T00:00:00Z"), at("2026-03-29T11:52:30Z"));
}
