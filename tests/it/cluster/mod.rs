//! Tests against a real Kubernetes control plane.

mod agent;
mod apply;
mod install;
mod passes;
mod prune;
mod stored_inventory;
mod sync;
mod takeover;
mod test_bench;
mod waiting;
