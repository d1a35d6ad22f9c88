//! Tests against a real Kubernetes control plane.

mod agent;
mod apply;
mod engula;
mod faults;
mod follow;
mod gitsync;
mod goop;
mod install;
mod kill;
mod lifecycle;
mod once;
mod passes;
mod pitfalls_watch;
mod prune;
mod reviewing;
mod rights;
mod shared;
mod stored_inventory;
mod sync;
mod takeover;
mod test_bench;
mod trouble;
mod waiting;
mod watching;
