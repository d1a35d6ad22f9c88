//! What is said of a pass, and to whom.
//!
//! `summary` and `view` are pure; the writers at the end do IO and nothing reads back from them.

pub mod attention;
mod ready;
mod steps;
pub mod summary;
pub mod verdict;
pub mod view;
