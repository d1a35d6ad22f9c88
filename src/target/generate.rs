//! Secrets whose values nobody writes down: `windlass.dev/generate: password` (design §5.3). Every key with an empty
//! value gets a random one when the Secret is made, and keeps it.
//!
//! Reads the operating system's randomness, nothing else. Filled in just before a write and after the content hash was
//! taken, so that a value stands in the target alone: in no plan, hash, diff, log or message. Called by `dir` and `kube`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};

use super::{Class, Failure};
use crate::plan::{Step, secret, stamp};

/// Key that is filled where a Secret names none.
const KEY: &str = "password";
/// Letters and digits only: fit for URLs, properties and YAML alike.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Characters of a value: over 140 bits.
const LENGTH: usize = 24;

/// Whether a manifest asks for it.
pub(super) fn asked(manifest: &Value) -> bool {
    secret::is_secret(manifest)
        && manifest
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(crate::sync::GENERATE))
            .and_then(Value::as_str)
            .is_some_and(|what| what == "password")
}

/// The manifest of a step as it is written, if it asks for it: to be filled.
pub(super) fn stamped(step: &Step, part_of: &str) -> Option<Value> {
    stamp::stamp(step, part_of).filter(asked)
}

/// Fills the empty values: with those of the live Secret, else with new ones. Says whether any is new.
///
/// # Errors
/// If there is no randomness.
pub(super) fn fill(manifest: &mut Value, live: Option<&Value>) -> Result<bool, Failure> {
    let Some(object) = manifest.as_object_mut() else { return Ok(false) };
    let is_bare = |field: &str| object.get(field).and_then(Value::as_object).is_none_or(Map::is_empty);
    if is_bare("data") && is_bare("stringData") {
        object.insert("stringData".to_owned(), serde_json::json!({KEY: ""}));
    }
    let mut made = false;
    for field in ["data", "stringData"] {
        for (key, value) in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
            if !matches!(value, Value::Null) && value.as_str() != Some("") {
                continue;
            }
            let text = match live.and_then(|live| known(live, key)) {
                Some(known) => known,
                None => {
                    made = true;
                    random()?.into_bytes()
                }
            };
            *value = match String::from_utf8(text) {
                Ok(text) if field == "stringData" => text.into(),
                Ok(text) => STANDARD.encode(text).into(),
                // No text of ours; kept as it is, which only `data` can.
                Err(error) => STANDARD.encode(error.into_bytes()).into(),
            };
        }
    }
    Ok(made)
}

/// What a live Secret holds under a key, if that is anything.
fn known(live: &Value, key: &str) -> Option<Vec<u8>> {
    let text = |field: &str| live.get(field)?.get(key)?.as_str().filter(|text| !text.is_empty());
    let plain = text("stringData").map(|text| text.as_bytes().to_vec());
    plain.or_else(|| STANDARD.decode(text("data")?).ok()).filter(|bytes| !bytes.is_empty())
}

fn random() -> Result<String, Failure> {
    let source = SystemRandom::new();
    let mut text = String::with_capacity(LENGTH);
    while text.len() < LENGTH {
        let mut bytes = [0; 64];
        source.fill(&mut bytes).map_err(|_| {
            let message = "making a password: the operating system gives no random bytes; see to /dev/urandom";
            Failure::new(Class::Retry, "NoRandomness", message)
        })?;
        // 248 is the highest multiple of 62 in a byte: above it, some letters would come more often.
        let fair = bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| LETTERS.get(usize::from(byte % 62)));
        text.extend(fair.take(LENGTH - text.len()).map(|letter| char::from(*letter)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(fields: Value) -> Value {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"annotations": {"windlass.dev/generate": "password"}}});
        secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        secret
    }

    #[test]
    fn only_empty_values_of_a_secret_that_asks_for_it_are_filled() {
        let mut one = secret(json!({"data": {"a": "", "b": "eA==", "c": null}, "stringData": {"d": "", "e": "kept"}}));
        assert!(asked(&one) && !asked(&json!({"apiVersion": "v1", "kind": "Secret"})));
        assert!(fill(&mut one, None).unwrap());
        assert_eq!((&one["data"]["b"], &one["stringData"]["e"]), (&json!("eA=="), &json!("kept")));
        let plain = one["stringData"]["d"].as_str().unwrap();
        assert_eq!(plain.len(), LENGTH);
        assert!(plain.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        for key in ["a", "c"] {
            assert_eq!(STANDARD.decode(one["data"][key].as_str().unwrap()).unwrap().len(), LENGTH);
        }
        assert_ne!(one["data"]["a"], one["data"]["c"]);
        let mut bare = secret(json!({}));
        assert!(fill(&mut bare, None).unwrap());
        assert_eq!(bare["stringData"]["password"].as_str().unwrap().len(), LENGTH);
    }

    #[test]
    fn what_is_live_stays_in_whichever_field_it_is() {
        let live = json!({"data": {"a": "b2xk", "d": "b2xk", "e": ""}});
        let mut one = secret(json!({"data": {"a": ""}, "stringData": {"d": ""}}));
        assert!(!fill(&mut one, Some(&live)).unwrap());
        assert_eq!((&one["data"]["a"], &one["stringData"]["d"]), (&json!("b2xk"), &json!("old")));
        let mut more = secret(json!({"stringData": {"a": "", "e": "", "f": ""}}));
        assert!(fill(&mut more, Some(&live)).unwrap(), "a key that is new or empty is made");
        assert_eq!(more["stringData"]["a"], "old");
    }
}
