//! Canonical JSON and hashes: the same value always gives the same bytes.
//!
//! Pure. Keys sorted by byte order, no white space, numbers as serde_json prints them (in the spirit of RFC 8785, whose
//! number format is not needed since every value comes through the same parser).

use serde_json::Value;
use sha2::{Digest, Sha256};

/// sha-256 in hex of the canonical JSON.
#[must_use]
pub fn hash(value: &Value) -> String {
    hex(&Sha256::digest(text(value).as_bytes()))
}

/// sha-256 in hex of bytes.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// HMAC-SHA256 in hex of the canonical JSON: for values that could be guessed from a plain hash.
#[must_use]
pub fn keyed_hash(key: &HashKey, value: &Value) -> String {
    hex(ring::hmac::sign(&key.0, text(value).as_bytes()).as_ref())
}

/// [`hash`] or [`keyed_hash`] of a text that comes in pieces.
#[must_use]
pub fn hash_parts(key: Option<&HashKey>, parts: &[&str]) -> String {
    if let Some(key) = key {
        let mut context = ring::hmac::Context::with_key(&key.0);
        parts.iter().for_each(|part| context.update(part.as_bytes()));
        return hex(context.sign().as_ref());
    }
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part.as_bytes()));
    hex(&hash.finalize())
}

/// Key of [`keyed_hash`]. Whoever has it can try out values; so it is never shown.
#[derive(Clone)]
pub struct HashKey(ring::hmac::Key);

impl HashKey {
    /// Bytes in a key.
    pub const BYTES: usize = 32;

    /// From bytes that nobody can guess.
    #[must_use]
    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        Self(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, bytes))
    }

    /// Whether two keys are the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        ring::hmac::verify(&self.0, b"same", ring::hmac::sign(&other.0, b"same").as_ref()).is_ok()
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(***)")
    }
}

/// The canonical JSON. `serde_json::Map` is a BTreeMap here (feature `preserve_order` is off, held by a test).
#[must_use]
pub fn text(value: &Value) -> String {
    value.to_string()
}

/// Digest of a plan: sha-256 over the sorted (id, content hash) pairs, a line each.
#[must_use]
pub fn digest<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_unstable();
    digest_sorted(pairs)
}

/// [`digest`] of pairs that are sorted.
#[must_use]
pub fn digest_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut hash = Sha256::new();
    for (id, content) in pairs {
        for part in [id, " ", content, "\n"] {
            hash.update(part.as_bytes());
        }
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_whatever_their_order_in_the_text() {
        let a: Value = serde_json::from_str(r#"{"b":1,"a":{"d":[2,1],"c":null}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a":{"c":null,"d":[2,1]},"b":1}"#).unwrap();
        assert_eq!(text(&a), r#"{"a":{"c":null,"d":[2,1]},"b":1}"#);
        assert_eq!(hash(&a), hash(&b));
    }

    #[test]
    fn a_keyed_hash_depends_on_the_key_and_shows_nothing_of_it() {
        let value = Value::from("hunter2");
        let (one, two) = (HashKey::new(&[1; 32]), HashKey::new(&[2; 32]));
        assert_eq!(keyed_hash(&one, &value), keyed_hash(&one, &value));
        assert_ne!(keyed_hash(&one, &value), keyed_hash(&two, &value));
        assert_ne!(keyed_hash(&one, &value), hash(&value));
        assert_eq!(format!("{one:?}"), "HashKey(***)");
        assert!(one.is_same(&HashKey::new(&[1; 32])) && !one.is_same(&two));
    }

    #[test]
    fn a_digest_does_not_depend_on_order() {
        assert_eq!(digest([("a", "1"), ("b", "2")]), digest([("b", "2"), ("a", "1")]));
        assert_ne!(digest([("a", "1"), ("b", "2")]), digest([("a", "2"), ("b", "1")]));
    }
}
