//! How many requests may be under way: fewer once the other side asks for a pause, more again as it answers.
//!
//! No IO. One for each sync, remembered from pass to pass; called by the executor around every write.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Answers to requests that were sent before a slowdown do not slow down once more.
const ONE_SLOWDOWN: Duration = Duration::from_secs(1);
/// Longest pause that another side may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After the first failure of a write that may pass, the pause is at least this long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The pace of one sync's writes.
#[derive(Debug)]
pub struct Pace {
    first_pause: Duration,
    state: Mutex<State>,
}

impl Default for Pace {
    fn default() -> Self {
        Self::trying_again_after(FIRST_PAUSE)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Writes in flight at once; none: as many as the limit says.
    allowed: Option<usize>,
    /// Successes since the last growth.
    successes: usize,
    slowed: Option<Instant>,
    /// Nothing is sent before this.
    until: Option<Instant>,
}

impl Pace {
    /// A pace at which a write that failed is tried again after this pause at the earliest. Default: 200 ms.
    #[must_use]
    pub fn trying_again_after(first_pause: Duration) -> Self {
        Self { first_pause, state: Mutex::default() }
    }

    /// The pause after the first failure of a write.
    pub(super) fn first_pause(&self) -> Duration {
        self.first_pause
    }

    /// Writes that may be in flight at once.
    pub(super) fn allowed(&self, most: usize) -> usize {
        self.state().allowed.map_or(most, |allowed| allowed.min(most)).max(1)
    }

    /// Until when everybody was asked to wait, if that is still ahead.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.state().until.filter(|until| *until > Instant::now())
    }

    /// Returns once nobody asks for a pause any more.
    pub(super) async fn wait(&self) {
        while let Some(until) = self.paused_until() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A request was answered: after as many successes as are allowed at once, one more is.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        let Some(allowed) = state.allowed else { return };
        state.successes += 1;
        if state.successes >= allowed {
            state.successes = 0;
            state.allowed = Some(allowed + 1);
        }
    }

    /// The other side asks for a pause: half as many from now on, and none before it is over.
    pub(super) fn slow_down(&self, most: usize, pause: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        let until = now + pause.min(LONGEST_PAUSE);
        state.until = Some(state.until.map_or(until, |known| known.max(until)));
        if state.slowed.is_none_or(|at| now.duration_since(at) > ONE_SLOWDOWN) {
            state.slowed = Some(now);
            state.successes = 0;
            state.allowed = Some((state.allowed.unwrap_or(most).min(most) / 2).max(1));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_of_refusals_halves_once_and_successes_bring_it_back() {
        let pace = Pace::default();
        assert_eq!(pace.allowed(32), 32);
        for _ in 0..32 {
            pace.slow_down(32, Duration::from_millis(20));
        }
        assert_eq!(pace.allowed(32), 16);
        let before = Instant::now();
        pace.wait().await;
        assert!(before.elapsed() >= Duration::from_millis(15), "everybody waits");
        for _ in 0..16 {
            pace.succeeded();
        }
        assert_eq!(pace.allowed(32), 17);
        for _ in 0..2_000 {
            pace.succeeded();
        }
        assert_eq!(pace.allowed(32), 32);
    }

    #[tokio::test]
    async fn no_pause_is_longer_than_half_a_minute() {
        let pace = Pace::default();
        pace.slow_down(4, Duration::from_secs(3600));
        assert!(pace.paused_until().unwrap() <= Instant::now() + LONGEST_PAUSE);
    }
}
