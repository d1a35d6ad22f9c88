//! Every test that is not beside the code it tests, in one binary. `tests/run` runs them; CONTRIBUTING.md tells how to
//! run one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the helpers that they share"
)]

mod support;

// No server.
mod agent;
mod bad_input;
mod cli;
mod cli_texts;
mod dataservice;
mod demo;
mod dir_target;
mod docs;
mod families;
mod golden;
mod incremental;
mod props;
mod review;
mod scalars;
mod tidy;
mod web;

// Real git servers.
mod source;

// A real Kubernetes control plane.
mod cluster;
mod secrets;
