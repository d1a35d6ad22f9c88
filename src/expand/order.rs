//! Steps in topological order of what they wait for, ties by id.
//!
//! Pure. The same order as `plan::order`, on numbers. Called by `expand` where the shape of a plan changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Shape;
use super::ids::{Ids, Number};
use super::unit::Unit;

/// Sorts (Kahn's algorithm, smallest id first). Steps on a circle, or behind one, are left out.
pub(super) fn sort(units: &[Unit], shape: &Shape, ids: &Ids) -> Vec<Number> {
    // Dependants of every step in one list: those of number n end where those of n + 1 begin.
    let mut ends = vec![0_usize; ids.len() + 1];
    let mut open = vec![0_u32; ids.len()];
    for cell in shape.live(units) {
        open[cell.id as usize] = u32::try_from(cell.needs.len()).unwrap_or(u32::MAX);
        for need in cell.needs.iter() {
            ends[*need as usize + 1] += 1;
        }
    }
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut dependants = vec![0; ends.last().copied().unwrap_or_default()];
    let mut filled = ends.clone();
    for cell in shape.live(units) {
        for need in cell.needs.iter() {
            let at = &mut filled[*need as usize];
            dependants[*at] = cell.id;
            *at += 1;
        }
    }
    let free = shape.live(units).filter(|cell| cell.needs.is_empty());
    let mut free: BinaryHeap<Reverse<u32>> = free.map(|cell| Reverse(ids.rank_of(cell.id))).collect();
    let mut sorted = Vec::with_capacity(shape.count());
    while let Some(Reverse(rank)) = free.pop() {
        let id = ids.sorted()[rank as usize];
        sorted.push(id);
        for dependant in &dependants[ends[id as usize]..ends[id as usize + 1]] {
            let count = &mut open[*dependant as usize];
            *count -= 1;
            if *count == 0 {
                free.push(Reverse(ids.rank_of(*dependant)));
            }
        }
    }
    sorted
}
