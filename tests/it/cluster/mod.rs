//! Tests against a real Kubernetes control plane.

mod apply;
mod passes;
mod install;
mod prune;
mod stored_inventory;
mod sync;
mod takeover;
mod test_bench;
mod waiting;
