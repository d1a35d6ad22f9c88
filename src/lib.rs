//! Windlass: an agent that pulls a git repository of high-level custom resources, expands them, converges the world to
//! them, prunes what left the repository, and tells the truth about it.
//!
//! ```text
//!              pure                                    pure              pure
//! Snapshot ──▶ Declared ──▶ Plan ─────────▶ Diff ──▶ (execute) ──▶ Applied ──▶ Status
//!    ▲        (+Problems)     │               ▲          │                       │
//! source/                     └─▶ observe ─▶ Observed   target/                  └─▶ report/, dashboard/
//! (git|dir)                       target/    + Inventory (kube|dir)
//! ```
//!
//! A revision flows left to right as plain values; only `source`, `target` and the writers at the end do IO; nothing
//! downstream is read back into a plan within one pass. `docs/ARCHITECTURE.md` tells the rest; `tests/it/tidy.rs` holds
//! the arrows.

pub mod canonical;
pub mod text;

pub mod problem;
pub mod revision;

pub mod schedule;
pub mod source;

pub mod sync;

pub mod plan;

pub mod kinds;

pub mod declared;
pub mod expand;

pub mod inventory;

pub mod diff;

pub mod target;

pub mod report;

pub mod telemetry;

pub mod dashboard;

pub mod agent;

pub mod cli;
