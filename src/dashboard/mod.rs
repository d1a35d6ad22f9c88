//! The read-only dashboard: pages, health, metrics, JSON and the stream that keeps a page fresh.
//!
//! GET only; writes nothing, asks nobody, computes no verdict of its own and sends no request of its own. Shows what
//! [`State`] holds, nothing else. Called by `agent` (which `demo` uses too).

mod assets;
mod events;
mod graph;
mod guard;
mod pages;
mod routes;
mod server;
mod words;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::report::view::View;
use crate::telemetry::Metrics;

/// What is shown. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// What is known of all syncs; a change reaches open pages at once.
    pub view: watch::Receiver<Arc<View>>,
    /// Whether `/readyz` says yes: the first pass of every sync ended, or its failure is in the view.
    pub ready: watch::Receiver<bool>,
    /// What `/metrics` shows beside the view.
    pub metrics: Arc<Metrics>,
    /// The clock, for "4 min ago".
    pub clock: fn() -> Timestamp,
}

/// Serves until cancelled, then closes open connections within two seconds.
///
/// # Errors
/// If the listener has no address.
pub async fn serve(listener: TcpListener, state: State, cancel: CancellationToken) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let router = routes::router(state, guard::Hosts::of(address), cancel.clone());
    server::run(listener, router, cancel).await;
    Ok(())
}
