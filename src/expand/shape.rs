//! Which documents are in while a plan is made, and which steps that makes.
//!
//! Pure. Lives for one call of `expand`.

use super::ids::{Ids, Number};
use super::unit::{Cell, Unit};

/// What is in.
#[derive(Debug)]
pub(super) struct Shape {
    /// How often each id is claimed, by documents that are in or out.
    claims: Vec<u32>,
    /// Documents that are left out.
    out: Vec<bool>,
    /// Ids of the steps of documents that are in.
    live: Vec<bool>,
    /// How many of them there are.
    count: usize,
}

impl Shape {
    /// Everything is in but what failed by itself.
    pub(super) fn of(units: &[Unit], ids: &Ids) -> Self {
        let mut claims = vec![0; ids.len()];
        for cell in units.iter().flat_map(|unit| &unit.cells) {
            claims[cell.id as usize] += 1;
        }
        let out = units.iter().map(|unit| unit.failed).collect();
        Self { claims, out, live: vec![false; ids.len()], count: 0 }
    }

    /// How many documents claim an id (one that claims it twice counts twice).
    pub(super) fn claims(&self, id: Number) -> u32 {
        self.claims[id as usize]
    }

    /// Whether an id is claimed more than once.
    pub(super) fn is_contested(&self) -> bool {
        self.claims.iter().any(|count| *count > 1)
    }

    pub(super) fn leave_out(&mut self, unit: usize) {
        self.out[unit] = true;
    }

    pub(super) fn is_out(&self, unit: usize) -> bool {
        self.out[unit]
    }

    /// Finds out anew which steps are in.
    pub(super) fn look(&mut self, units: &[Unit]) {
        self.live.fill(false);
        self.count = 0;
        for (unit, _) in units.iter().zip(&self.out).filter(|(_, out)| !**out) {
            for cell in &unit.cells {
                self.live[cell.id as usize] = true;
                self.count += 1;
            }
        }
    }

    /// Whether a step is in.
    pub(super) fn is_live(&self, id: Number) -> bool {
        self.live[id as usize]
    }

    /// How many steps are in.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The steps that are in, in the order of documents.
    pub(super) fn live<'a>(&self, units: &'a [Unit]) -> impl Iterator<Item = &'a Cell> {
        units.iter().zip(&self.out).filter(|(_, out)| !**out).flat_map(|(unit, _)| &unit.cells)
    }
}
