//! What a step waits for: a sorted set of ids that many steps share.
//!
//! Pure. Most steps of a namespace wait for the same few things, so a set is made once and pointed at.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::StepId;

/// Step ids, sorted, each once. A copy is a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Needs(Arc<[StepId]>);

impl Needs {
    /// Whether an id is among them.
    #[must_use]
    pub fn contains(&self, id: &StepId) -> bool {
        self.0.binary_search(id).is_ok()
    }

    /// Takes ids that are sorted and each there once.
    #[must_use]
    pub fn from_sorted(ids: Vec<StepId>) -> Self {
        debug_assert!(ids.is_sorted(), "{ids:?}");
        Self(ids.into())
    }

    /// Adds one.
    pub fn insert(&mut self, id: StepId) {
        *self = self.0.iter().cloned().chain([id]).collect();
    }

    /// Keeps those that fulfil a condition.
    pub fn retain(&mut self, mut keep: impl FnMut(&StepId) -> bool) {
        if !self.0.iter().all(&mut keep) {
            self.0 = self.0.iter().filter(|id| keep(id)).cloned().collect();
        }
    }
}

impl Deref for Needs {
    type Target = [StepId];

    fn deref(&self) -> &[StepId] {
        &self.0
    }
}

impl FromIterator<StepId> for Needs {
    fn from_iter<I: IntoIterator<Item = StepId>>(ids: I) -> Self {
        let mut ids: Vec<StepId> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids.into())
    }
}

impl Extend<StepId> for Needs {
    fn extend<I: IntoIterator<Item = StepId>>(&mut self, ids: I) {
        *self = self.0.iter().cloned().chain(ids).collect();
    }
}

impl From<BTreeSet<StepId>> for Needs {
    fn from(ids: BTreeSet<StepId>) -> Self {
        Self(ids.into_iter().collect())
    }
}

impl<const N: usize> From<[StepId; N]> for Needs {
    fn from(ids: [StepId; N]) -> Self {
        ids.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Needs {
    type Item = &'a StepId;
    type IntoIter = std::slice::Iter<'a, StepId>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Needs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<StepId>::deserialize(deserializer).map(Self::from_iter)
    }
}

impl Serialize for Needs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_each_is_there_once() {
        let id = |text: &str| StepId::from_text(text);
        let mut needs: Needs = [id("b"), id("a"), id("b")].into();
        assert_eq!(needs.iter().map(StepId::as_str).collect::<Vec<_>>(), ["a", "b"]);
        needs.insert(id("aa"));
        needs.retain(|need| need.as_str() != "b");
        assert!(needs.contains(&id("aa")) && !needs.contains(&id("b")));
        let json = serde_json::to_string(&needs).unwrap();
        assert_eq!(json, r#"["a","aa"]"#);
        assert_eq!(serde_json::from_str::<Needs>(&json).unwrap(), needs);
    }
}
