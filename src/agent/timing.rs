//! The agent's times: `schedule` says when, this adds chance and the clock.
//!
//! Called by `agent` and `task`.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::{self, WindowState};
use crate::sync::load::Checks;
use crate::sync::spec::Window;

/// Checks that a GitSync's durations, windows and health checks can be read.
pub const CHECKS: Checks = Checks {
    duration: |text| duration(text).map(|_| ()),
    window: |window| {
        schedule::Windows::new(std::slice::from_ref(window)).map(|_| ()).map_err(|error| error.to_string())
    },
    health: crate::target::kube::health::problem,
};

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    schedule::parse_duration(text).map_err(|error| error.to_string())
}

/// A poll interval with up to a tenth added, so that many agents do not ask at once.
pub(super) fn jittered(interval: Duration) -> Duration {
    schedule::jitter(interval, fastrand::f64())
}

/// The pause after so many failures in a row.
pub(super) fn backoff(first: Duration, failures: u32) -> Duration {
    schedule::backoff(first, failures, fastrand::f64())
}

/// When the window that is open now closes; none if it stays open as far as one can see.
pub(super) fn closes(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    schedule::Windows::new(windows).ok()?.closes(now)
}

/// Whether writes are allowed now; if not, when they are.
pub(super) fn open(windows: &[Window], now: Timestamp) -> Result<(), Option<Timestamp>> {
    match schedule::open(windows, now) {
        Ok(WindowState::Open) => Ok(()),
        Ok(WindowState::Closed { next_opening }) => Err(next_opening),
        // Checked when the sync was started; what cannot be read opens nothing.
        Err(_) => Err(None),
    }
}
