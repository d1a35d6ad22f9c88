//! A Kubernetes object as a plan keeps it: its canonical JSON, which takes a tenth of the memory of a tree of values.
//!
//! Pure. Made by `declared`, `kinds` and `expand`; read by everything that looks into an object.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::canonical::{self, HashKey};
use super::{StepId, secret, stamp};

/// An object without Windlass' own labels and annotations. A copy is a pointer.
#[derive(Clone)]
pub struct Manifest(Arc<Inner>);

struct Inner {
    /// Canonical JSON.
    text: Box<str>,
    /// The value, where reading the text would give another one (a fraction in its last digit).
    exact: Option<Box<Value>>,
    secret: bool,
}

/// What names an object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Header {
    api_version: Value,
    kind: Value,
    metadata: Named,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Value,
    namespace: Value,
}

impl Manifest {
    /// Takes Windlass' own labels and annotations off, so that they are neither shown nor hashed.
    #[must_use]
    pub fn new(value: Value) -> Self {
        let value = stamp::unstamp(value);
        let text: Box<str> = canonical::text(&value).into();
        let secret = secret::holds_secret(&value);
        let exact = (has_fraction(&value) && read(&text) != value).then(|| Box::new(value));
        Self(Arc::new(Inner { text, exact, secret }))
    }

    /// The object as a value. Parses: do not ask twice.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.0.exact {
            Some(exact) => (**exact).clone(),
            None => read(&self.0.text),
        }
    }

    /// The canonical JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Its `apiVersion`; empty if it has none.
    #[must_use]
    pub fn api_version(&self) -> String {
        // Keys are sorted, and hardly anything sorts before this one.
        let first = self.0.text.strip_prefix(r#"{"apiVersion":""#).and_then(|rest| rest.split_once('"'));
        match first {
            Some((plain, _)) if !plain.contains('\\') => plain.to_owned(),
            _ => text(&self.header().api_version).to_owned(),
        }
    }

    /// The id of the object's step.
    #[must_use]
    pub fn id(&self) -> StepId {
        let header = self.header();
        let group = text(&header.api_version).split_once('/').map_or("", |(group, _)| group);
        StepId::object(group, text(&header.kind), header.metadata.namespace.as_str(), text(&header.metadata.name))
    }

    /// Whether it holds a secret value.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        self.0.secret
    }

    /// The object with secret values masked, for everything that shows it.
    #[must_use]
    pub fn masked(&self) -> Self {
        if self.0.secret { Self::new(secret::masked(&self.value())) } else { self.clone() }
    }

    /// Content hash as a step's want, see [`super::Want::hash`].
    pub(super) fn hash(&self, key: Option<&HashKey>) -> String {
        let masked;
        let (shown, key) = match (self.0.secret, key) {
            (true, None) => {
                masked = self.masked();
                (&masked, None)
            }
            (true, key) => (self, key),
            (false, _) => (self, None),
        };
        canonical::hash_parts(key, &[r#"{"object":"#, shown.text(), "}"])
    }

    fn header(&self) -> Header {
        // What is no mapping, or one of another shape, has no name.
        let text = Some(&self.0.text).filter(|text| text.starts_with('{'));
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

impl From<Value> for Manifest {
    fn from(value: Value) -> Self {
        Self::new(value)
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

/// Shows no secret value.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked().text())
    }
}

fn read(text: &str) -> Value {
    // It was written by `canonical::text`, which writes JSON.
    serde_json::from_str(text).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(entries) => entries.values().any(has_fraction),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::plan::Want;

    #[test]
    fn an_object_says_what_it_is_without_being_read_as_a_whole() {
        let manifest = Manifest::new(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "web"}}),
        );
        assert_eq!(manifest.api_version(), "apps/v1");
        assert_eq!(manifest.id().as_str(), "object/apps/Deployment/web/a");
        let odd = Manifest::new(json!({"a": 1, "apiVersion": "v\"1", "kind": "X", "metadata": {"name": "n"}}));
        assert_eq!(odd.api_version(), "v\"1");
        assert_eq!(Manifest::new(json!(["x"])).api_version(), "");
        assert_eq!(Manifest::new(json!({"metadata": 3})).id().as_str(), "object/core//-/");
    }

    #[test]
    fn its_hash_is_that_of_the_want_as_it_is_shown() {
        let key = HashKey::new(&[7; 32]);
        let plain = Want::Object(json!({"kind": "ConfigMap", "data": {"a": "ü\n"}}).into());
        assert_eq!(plain.hash(None), canonical::hash(&plain.to_json()));
        assert_eq!(plain.hash(Some(&key)), plain.hash(None));
        let value = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "hunter2"}});
        let secret = Want::Object(value.clone().into());
        assert_eq!(secret.hash(None), canonical::hash(&json!({"object": secret::masked(&value)})));
        assert_eq!(secret.hash(Some(&key)), canonical::keyed_hash(&key, &json!({"object": value})));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(numbers in prop::collection::vec(any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()), 0..8), text in "\\PC{0,20}") {
            let value = json!({"numbers": numbers, "text": text});
            prop_assert_eq!(Manifest::new(value.clone()).value(), value);
        }
    }
}
