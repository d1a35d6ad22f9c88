//! Bounded waiting: a condition is polled until it holds or its time is up. No test sleeps for a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that works never waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `check` gives a value. Panics, naming `what`, after [`PATIENCE`].
pub(crate) async fn until<T, F>(what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < end, "still waiting after {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// As [`until`], for tests without a runtime.
pub(crate) fn until_blocking<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < end, "still waiting after {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(25));
    }
}
