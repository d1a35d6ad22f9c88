//! Failures that may pass by themselves are tried again, a few times, with growing pauses; every try is bounded.
//!
//! IO through the futures it is handed. Called by `run` and `prune`.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::target::{Class, Failure};

/// No write takes longer than this. A target has shorter limits of its own; this one is for those that forgot.
const ONE_TRY: Duration = Duration::from_secs(300);
/// Longest pause that another side may ask for within one pass.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After this long no other try is begun: what hangs is taken up by the next pass.
const ALL_TRIES: Duration = Duration::from_secs(30);

/// The tries of one write.
pub(super) struct Tries {
    pauses: ExponentialBackoff,
    began: Instant,
}

impl Tries {
    pub(super) fn new(pace: &Pace) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(pace.first_pause())
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(3)
            .with_jitter()
            .build();
        Self { pauses, began: Instant::now() }
    }

    /// How long to wait before the next try; none if there is none.
    pub(super) fn next(&mut self, failure: &Failure) -> Option<Duration> {
        let pause = self.pauses.next()?;
        if failure.class != Class::Retry || self.began.elapsed() >= ALL_TRIES {
            return None;
        }
        Some(failure.retry_after.map_or(pause, |asked| asked.max(pause).min(LONGEST_PAUSE)))
    }
}

/// One bounded try, at the pace that the other side asks for.
pub(super) async fn once<T>(
    pace: &Pace,
    most: usize,
    attempt: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let result = tokio::time::timeout(ONE_TRY, attempt).await.unwrap_or_else(|_| {
        let message = format!("the target did not answer within {} seconds; it is tried again", ONE_TRY.as_secs());
        Err(Failure::new(Class::Retry, "TimedOut", message))
    });
    match &result {
        Ok(_) => pace.succeeded(),
        Err(Failure { retry_after: Some(pause), .. }) => pace.slow_down(most, *pause),
        Err(_) => {}
    }
    result
}

/// Runs `attempt` until it succeeds, fails for good, was tried four times or for half a minute, or the pass is
/// cancelled.
pub(super) async fn retrying<T, F>(
    pace: &Pace,
    most: usize,
    cancel: &CancellationToken,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut tries = Tries::new(pace);
    loop {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = pace.wait() => {}
        }
        let failure = match once(pace, most, attempt()).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let Some(pause) = tries.next(&failure) else { return Err(failure) };
        tokio::select! {
            () = cancel.cancelled() => return Err(failure),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
