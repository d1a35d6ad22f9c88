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

/// The canonical JSON. `serde_json::Map` is a BTreeMap here (feature `preserve_order` is off, held by a test).
#[must_use]
pub fn text(value: &Value) -> String {
    value.to_string()
}

/// Digest of a plan: sha-256 over the sorted (id, content hash) pairs, a line each.
#[must_use]
pub fn digest<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut lines: Vec<String> = pairs.into_iter().map(|(id, hash)| format!("{id} {hash}\n")).collect();
    lines.sort_unstable();
    hash_bytes(lines.concat().as_bytes())
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
    fn a_digest_does_not_depend_on_order() {
        assert_eq!(digest([("a", "1"), ("b", "2")]), digest([("b", "2"), ("a", "1")]));
        assert_ne!(digest([("a", "1"), ("b", "2")]), digest([("a", "2"), ("b", "1")]));
    }
}
