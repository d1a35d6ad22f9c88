//! Numbers for step ids: what all documents together are checked for is done on numbers, not on text.
//!
//! Pure. Kept by [`super::Memo`] from plan to plan, so that a number costs one look-up when a document is new and nothing
//! when it is not.

use std::collections::HashMap;

use crate::plan::StepId;

/// Number of a step id.
pub(super) type Number = u32;

/// Every id that a step has or names.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    numbers: HashMap<StepId, Number>,
    ids: Vec<StepId>,
    /// All numbers in the order of their ids; those behind the first `ranks.len()` ids are missing.
    sorted: Vec<Number>,
    /// Place of each number in `sorted`.
    ranks: Vec<u32>,
}

impl Ids {
    /// The number of an id, a new one if it has none.
    pub(super) fn number(&mut self, id: StepId) -> Number {
        if let Some(known) = self.numbers.get(&id) {
            return *known;
        }
        let number = Number::try_from(self.ids.len()).unwrap_or(Number::MAX);
        self.ids.push(id.clone());
        self.numbers.insert(id, number);
        number
    }

    /// The number of an id that has one.
    pub(super) fn find(&self, id: &StepId) -> Option<Number> {
        self.numbers.get(id).copied()
    }

    /// The id.
    pub(super) fn id(&self, number: Number) -> &StepId {
        &self.ids[number as usize]
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Finds the places of new ids in the order.
    pub(super) fn rank(&mut self) {
        if self.ranks.len() == self.ids.len() {
            return;
        }
        let mut new: Vec<Number> = (self.ranks.len()..self.ids.len()).map(|number| number as Number).collect();
        new.sort_unstable_by(|a, b| self.id(*a).cmp(self.id(*b)));
        let mut merged = Vec::with_capacity(self.ids.len());
        let mut rest = &self.sorted[..];
        for number in new {
            // Few ids are new in most plans: their places are looked up, what lies between is copied.
            let (before, after) = rest.split_at(rest.partition_point(|known| self.id(*known) < self.id(number)));
            merged.extend_from_slice(before);
            merged.push(number);
            rest = after;
        }
        merged.extend_from_slice(rest);
        self.sorted = merged;
        self.ranks = vec![0; self.ids.len()];
        for (rank, number) in (0..).zip(&self.sorted) {
            self.ranks[*number as usize] = rank;
        }
    }

    /// Place of an id in the order of all; only after [`Self::rank`].
    pub(super) fn rank_of(&self, number: Number) -> u32 {
        self.ranks[number as usize]
    }

    /// All numbers in the order of their ids; only after [`Self::rank`].
    pub(super) fn sorted(&self) -> &[Number] {
        &self.sorted
    }

    /// Forgets what is not used; gives the new number of each old one.
    pub(super) fn keep(&mut self, used: &[bool]) -> Vec<Number> {
        let mut kept = Self::default();
        let mut moved = vec![Number::MAX; used.len()];
        for (old, id) in std::mem::take(&mut self.ids).into_iter().enumerate() {
            if used[old] {
                moved[old] = kept.number(id);
            }
        }
        *self = kept;
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ranked_by_their_ids_however_they_came() {
        let mut ids = Ids::default();
        let text = |ids: &Ids| ids.sorted().iter().map(|number| ids.id(*number).to_string()).collect::<Vec<_>>();
        let first = ["m", "c", "x"].map(|id| ids.number(StepId::from_text(id)));
        ids.rank();
        assert_eq!(text(&ids), ["c", "m", "x"]);
        for id in ["a", "z", "d", "n", "c"] {
            ids.number(StepId::from_text(id));
        }
        ids.rank();
        assert_eq!(text(&ids), ["a", "c", "d", "m", "n", "x", "z"]);
        assert_eq!(first.map(|number| ids.rank_of(number)), [3, 1, 5]);
        let mut used = vec![true; ids.len()];
        used[first[0] as usize] = false;
        let moved = ids.keep(&used);
        ids.rank();
        assert_eq!(text(&ids), ["a", "c", "d", "n", "x", "z"]);
        assert_eq!(ids.id(moved[first[1] as usize]).as_str(), "c");
    }
}
