//! When things happen: durations as people write them, jitter, backoff, heat, and the windows in which passes may write.
//!
//! Pure: the clock and the random numbers are handed in; time zones come from data inside the binary. Called by `agent`,
//! and wherever a duration of a GitSync is read.

mod heat;
mod sweep;
mod windows;

use std::time::Duration;

pub use heat::Heat;
pub use sweep::{is_due, slot, sweep_from, sweep_tick};
pub use windows::{WindowState, Windows, open};

/// Retries wait at most this long (unless the first wait is longer already).
pub const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// No duration may be longer: 365 days.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration or window that cannot be used; says what is wrong and how to write it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(pub String);

/// Reads a duration as in `10m`, `90s`, `1h30m` or `500ms`.
///
/// # Errors
/// If the text is anything else, is zero, or is longer than [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, ScheduleError> {
    let invalid = || {
        ScheduleError(format!("{text:?} is not a duration; write it as in \"10m\", \"90s\", \"1h30m\" or \"500ms\""))
    };
    let too_long = || ScheduleError(format!("the duration {text:?} is longer than 365 days (8760h)"));
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut largest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let millis: u64 = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(invalid()),
        };
        // Each unit once, the larger first: 30m1h is a slip, not a duration.
        if number.is_empty() || millis >= largest {
            return Err(invalid());
        }
        largest = millis;
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(too_long)?;
        total = total.checked_add(part).filter(|total| *total <= MAX_DURATION).ok_or_else(too_long)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(invalid());
    }
    if total.is_zero() {
        return Err(ScheduleError(format!("the duration {text:?} is zero; write a longer one, as in \"10s\"")));
    }
    Ok(total)
}

/// Adds up to a tenth, so that many agents do not ask at once. `random` is from 0 to 1.
#[must_use]
pub fn jitter(base: Duration, random: f64) -> Duration {
    base + base.mul_f64(0.1 * random.clamp(0.0, 1.0))
}

/// How long to wait after the n-th failure in a row (from 1): `base`, doubled each time, at most [`MAX_BACKOFF`] or
/// `base`, whichever is longer; plus jitter.
#[must_use]
pub fn backoff(base: Duration, failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let wait = base.checked_mul(1 << doublings).unwrap_or(MAX_DURATION).min(MAX_BACKOFF.max(base));
    jitter(wait, random)
}

#[cfg(test)]
mod tests;
