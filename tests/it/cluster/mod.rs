//! Tests against a real Kubernetes control plane.

mod test_bench;
