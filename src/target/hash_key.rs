//! Keys for the hashes of secret values: where one comes from, and what is done when there is none.
//!
//! Reads the operating system's randomness, nothing else; storing a key is each target's own business. A key never
//! stands in a message. Called by `dir` and `kube`.

use ring::rand::{SecureRandom as _, SystemRandom};

use super::{Class, Failure};
use crate::canonical::HashKey;

/// A new key.
pub(super) fn fresh() -> Result<[u8; HashKey::BYTES], Failure> {
    let mut bytes = [0; HashKey::BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        let message = "making a key for the hashes of Secrets: the operating system gives no random bytes; see to \
                       /dev/urandom";
        Failure::new(Class::Retry, "NoRandomness", message)
    })?;
    Ok(bytes)
}

/// A key that lives as long as this process, because none could be stored or read: nothing leaks, but Secrets are
/// written once more after every start.
pub(super) fn temporary(why: &str) -> Result<HashKey, Failure> {
    tracing::warn!(
        "the hashes of Secrets are keyed by this process alone, so that Secrets are applied once more after every \
         start: {why}"
    );
    fresh().map(|bytes| HashKey::new(&bytes))
}

/// The key in stored bytes; none if they are not one.
pub(super) fn from_stored(bytes: &[u8]) -> Option<HashKey> {
    <&[u8; HashKey::BYTES]>::try_from(bytes).ok().map(HashKey::new)
}
