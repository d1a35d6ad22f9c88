//! Failures that may pass by themselves are tried again, a few times, with growing pauses; every try is bounded.
//!
//! IO through the futures it is handed. Called by `run` and `prune`.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use crate::target::{Class, Failure};

/// No write takes longer than this. A target has shorter limits of its own; this one is for those that forgot.
const ONE_TRY: Duration = Duration::from_secs(300);
/// Longest pause that another side may ask for within one pass.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After this long no other try is begun: what hangs is taken up by the next pass.
const ALL_TRIES: Duration = Duration::from_secs(30);

/// Runs `attempt` until it succeeds, fails for good, was tried four times or for half a minute, or the pass is
/// cancelled.
pub(super) async fn retrying<T, F>(cancel: &CancellationToken, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(3)
        .with_jitter()
        .build();
    let began = tokio::time::Instant::now();
    loop {
        let failure = match tokio::time::timeout(ONE_TRY, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let message =
                    format!("the target did not answer within {} seconds; it is tried again", ONE_TRY.as_secs());
                return Err(Failure::new(Class::Retry, "TimedOut", message));
            }
        };
        let pause = match pauses.next() {
            Some(pause) if failure.class == Class::Retry && began.elapsed() < ALL_TRIES => pause,
            _ => return Err(failure),
        };
        let pause = failure.retry_after.map_or(pause, |asked| asked.max(pause).min(LONGEST_PAUSE));
        tokio::select! {
            () = cancel.cancelled() => return Err(failure),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
