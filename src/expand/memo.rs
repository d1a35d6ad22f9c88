//! What was expanded before: a document that did not change is not looked at again.
//!
//! Pure. Bounded to the documents of the newest revision. Held by `agent` between two passes.

use std::collections::HashMap;
use std::sync::Arc;

use super::children;
use super::ids::{Ids, Number};
use super::unit::Unit;
use crate::declared::Document;
use crate::plan::StepId;
use crate::plan::canonical::HashKey;

/// So many ids may be known and used nowhere before the rest is numbered anew, beside as many as are used.
const SPARE: usize = 1_000;

/// Documents and what they expanded to, and the shape of the last plan.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    /// In the order of documents.
    pub(super) units: Vec<Unit>,
    pub(super) ids: Ids,
    /// Steps of the last plan in its order.
    pub(super) order: Vec<Number>,
    /// Digest of the last plan; empty if a step changed since.
    pub(super) digest: String,
    /// With which the hashes of secrets are keyed.
    key: Option<HashKey>,
    expanded: u64,
}

impl Memo {
    /// How many documents were expanded since this memo was made.
    #[must_use]
    pub fn expanded(&self) -> u64 {
        self.expanded
    }

    /// Whether a step of the last plan may hold a secret, so that a key is asked for.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        self.units.iter().flat_map(|unit| &unit.cells).any(|cell| cell.secret)
    }

    /// With which the hashes of secrets are keyed; none before [`Self::key`].
    #[must_use]
    pub fn hash_key(&self) -> Option<&HashKey> {
        self.key.as_ref()
    }

    /// Hashes what holds a secret with this key from now on (see [`crate::plan::Plan::keyed`]). True if the plan has to
    /// be asked for anew.
    pub fn key(&mut self, key: &HashKey) -> bool {
        if self.key.as_ref().is_some_and(|known| known.is_same(key)) {
            return false;
        }
        for cell in self.units.iter_mut().flat_map(|unit| &mut unit.cells).filter(|cell| cell.secret) {
            let hash = cell.step.want.hash(Some(key));
            Arc::make_mut(&mut cell.step).hash = hash;
        }
        self.key = Some(key.clone());
        self.digest.clear();
        true
    }

    /// Brings the units in line with the documents.
    pub(super) fn take(&mut self, documents: &[Arc<Document>]) {
        let mut old = std::mem::take(&mut self.units).into_iter().peekable();
        let mut left: HashMap<StepId, Unit> = HashMap::new();
        let mut units: Vec<Option<Unit>> = Vec::with_capacity(documents.len());
        for document in documents {
            // Both are in the order of path and document.
            while let Some(unit) =
                old.next_if(|unit| !Arc::ptr_eq(&unit.document, document) && place(&unit.document) <= place(document))
            {
                left.insert(unit.document.id.clone(), unit);
            }
            units.push(old.next_if(|unit| Arc::ptr_eq(&unit.document, document)));
        }
        left.extend(old.map(|unit| (unit.document.id.clone(), unit)));
        if !left.is_empty() {
            self.digest.clear();
        }
        self.units = Vec::with_capacity(documents.len());
        for (unit, document) in units.into_iter().zip(documents) {
            let unit = unit.unwrap_or_else(|| {
                self.expanded += 1;
                self.digest.clear();
                let mut unit = children::unit(document, &mut self.ids, self.key.as_ref());
                if let Some(before) = left.remove(&document.id) {
                    unit.inherit(before);
                }
                unit
            });
            self.units.push(unit);
        }
        drop(left);
        self.tidy();
        self.ids.rank();
    }

    /// Forgets ids that nobody holds any more.
    fn tidy(&mut self) {
        let steps: usize = self.units.iter().map(|unit| unit.cells.len()).sum();
        // A step names few others; only ids that came and went make the list much longer.
        if self.ids.len() <= 4 * steps + SPARE {
            return;
        }
        let mut used = vec![false; self.ids.len()];
        self.units.iter_mut().for_each(|unit| unit.numbers(|number| used[*number as usize] = true));
        let moved = self.ids.keep(&used);
        self.units.iter_mut().for_each(|unit| unit.numbers(|number| *number = moved[*number as usize]));
        self.order.clear();
    }
}

fn place(document: &Document) -> (&str, u32) {
    (&document.origin.path, document.origin.document)
}
