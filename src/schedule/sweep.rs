//! The sweep: which steps are due to be applied again, only to make sure.
//!
//! Pure: a function of the step's name and of time. Every step has its own moment in each interval, and the moments are
//! spread evenly, so that no pass has much to do. Called by `agent`.

use std::time::Duration;

use jiff::Timestamp;

/// The sweep looks for what is due at most this often.
const OFTEN: Duration = Duration::from_secs(1);
/// And at least this often.
const SELDOM: Duration = Duration::from_secs(10);
/// So many looks fit into an interval, within these bounds.
const LOOKS: u32 = 360;

/// How often the sweep looks for what is due.
#[must_use]
pub fn sweep_tick(interval: Duration) -> Duration {
    (interval / LOOKS).clamp(OFTEN, SELDOM)
}

/// A number that depends on the name alone: the place of a step within every interval.
#[must_use]
pub fn slot(name: &str) -> u64 {
    // FNV-1a, then mixed, since names differ mostly in their last letters.
    let mut hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Whether a slot's moment lies after `from` and not after `to`. Never, where `to` is before `from`.
#[must_use]
pub fn is_due(slot: u64, interval: Duration, from: Timestamp, to: Timestamp) -> bool {
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let phase = i64::try_from(slot % interval.unsigned_abs()).unwrap_or(0);
    let turns = |at: Timestamp| (at.as_millisecond() - phase).div_euclid(interval);
    turns(to) > turns(from)
}

/// From when on the next look has to count: where the last one ended, but never from the future (the clock was set
/// back), nor so long ago that too much would be due at once (it was set forward, or a pass took very long).
#[must_use]
pub fn sweep_from(last: Timestamp, now: Timestamp, interval: Duration) -> Timestamp {
    let earliest = now.checked_sub(interval / 8).unwrap_or(now);
    last.clamp(earliest.min(now), now)
}
