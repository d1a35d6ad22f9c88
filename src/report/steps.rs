//! The steps of a view: a list that is cheap to copy and cheap to change in a few places.
//!
//! Pure data. Shared between the summary, the board and whoever renders: a copy is one pointer, a change copies the
//! pointers of the list and the steps that it touches. In JSON it is a plain array.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::view::StepView;

/// Steps in the plan's order, then those that left the plan and are still there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps(Arc<Vec<Arc<StepView>>>);

/// Iterator over [`Steps`].
pub type Iter<'a> = std::iter::Map<std::slice::Iter<'a, Arc<StepView>>, fn(&'a Arc<StepView>) -> &'a StepView>;

impl Steps {
    /// Each step.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Each step, to change it; copies those that are shared.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut StepView> {
        Arc::make_mut(&mut self.0).iter_mut().map(Arc::make_mut)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The shared steps.
    pub(super) fn shared(&self) -> &[Arc<StepView>] {
        &self.0
    }

    /// To change which steps there are.
    pub(super) fn to_mut(&mut self) -> &mut Vec<Arc<StepView>> {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<StepView>> for Steps {
    fn from(steps: Vec<StepView>) -> Self {
        steps.into_iter().collect()
    }
}

impl From<Vec<Arc<StepView>>> for Steps {
    fn from(steps: Vec<Arc<StepView>>) -> Self {
        Self(Arc::new(steps))
    }
}

impl FromIterator<StepView> for Steps {
    fn from_iter<I: IntoIterator<Item = StepView>>(steps: I) -> Self {
        Self(Arc::new(steps.into_iter().map(Arc::new).collect()))
    }
}

impl<'a> IntoIterator for &'a Steps {
    type Item = &'a StepView;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl std::ops::Index<usize> for Steps {
    type Output = StepView;

    fn index(&self, number: usize) -> &StepView {
        &self.0[number]
    }
}

impl std::ops::IndexMut<usize> for Steps {
    fn index_mut(&mut self, number: usize) -> &mut StepView {
        Arc::make_mut(&mut Arc::make_mut(&mut self.0)[number])
    }
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<StepView>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Origin, State, StepId};

    fn step(name: &str) -> StepView {
        StepView {
            id: StepId::from_text(name),
            origin: Origin::default(),
            state: State::Ready,
            reason: "Ready".into(),
            message: String::new(),
            since: String::new(),
            waits_for: Vec::new(),
        }
    }

    #[test]
    fn a_copy_does_not_see_later_changes_and_json_is_a_plain_array() {
        let mut steps: Steps = vec![step("a"), step("b")].into();
        let copy = steps.clone();
        steps[1].state = State::Failed;
        assert_eq!((copy[1].state, steps[1].state), (State::Ready, State::Failed));
        assert!(Arc::ptr_eq(&copy.shared()[0], &steps.shared()[0]), "what was not touched is shared");
        let json = serde_json::to_value(&steps).unwrap();
        assert_eq!(json, serde_json::to_value([step("a"), steps[1].clone()]).unwrap());
        assert_eq!(serde_json::from_value::<Steps>(json).unwrap(), steps);
    }
}
