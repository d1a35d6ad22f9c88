//! The clock: the one place where the program asks what time it is.
//!
//! Handed in wherever time matters, so that everything else can be tested at any time of day.

/// Now.
#[expect(clippy::disallowed_methods, reason = "the edge of the program is where time comes from")]
pub(super) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
