//! The agent: the loop that keeps every sync converged.
//!
//! The only room that names every stage (in `pass`). One task a sync; they share the board and the metrics, nothing
//! else. Called by `cli`.

mod bells;
mod bench;
pub mod board;
mod course;
mod edits;
mod gate;
mod gitsyncs;
mod neighbours;
mod open;
mod pass;
mod reading;
mod scope;
pub mod store;
mod task;
mod tenure;
mod timing;
pub mod trigger;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use bench::rules;
pub use board::{Board, Landed};
pub use gitsyncs::watch_cluster;
pub use open::{OpenError, Wanted, kube_options};
pub use timing::CHECKS;

use crate::report::summary::{Summary, Wrote};
use crate::sync::load;
use crate::target::kube::connect::Connection;
use crate::telemetry::Metrics;

/// What all syncs share.
#[derive(Clone)]
pub struct Config {
    /// The cluster, for syncs with a cluster target.
    pub cluster: Option<Connection>,
    /// Its name in reports.
    pub cluster_name: String,
    /// What is known of all syncs.
    pub board: Board,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// What one pass came to.
#[derive(Clone, Debug)]
pub struct Once {
    /// Everything wanted is there and ready.
    pub ready: bool,
    /// It could not run: source, target or the GitSync itself.
    pub could_not_run: bool,
    /// What was written.
    pub wrote: Wrote,
    /// All that is to be said of it.
    pub summary: Summary,
}

/// One pass of one sync; waits until it is ready, for at most its timeout.
///
/// # Errors
/// If it cannot be started.
pub async fn once(config: &Config, wanted: &Wanted, stop: &CancellationToken) -> Result<Once, OpenError> {
    let (bench, mut memory) = open::open(config, wanted).await?;
    let ended = task::once(&bench, &mut memory, stop).await;
    Ok(Once {
        ready: ended.ready,
        could_not_run: ended.could_not_run || ended.cancelled,
        wrote: ended.wrote,
        summary: memory.summary,
    })
}

/// The syncs of a command line, which are all that there are: named to one another, and each after those that it depends
/// on.
///
/// # Errors
/// If one depends on another that is not among them, or they wait for one another in a circle.
pub fn line_up(config: &Config, wanted: Vec<Wanted>) -> Result<Vec<Wanted>, OpenError> {
    for one in &wanted {
        join(config, one);
    }
    config.board.neighbours.complete();
    if let Some(((namespace, name), flaw)) = config.board.neighbours.flaw() {
        return Err(OpenError::Spec(format!("{namespace}/{name}"), flaw.to_string()));
    }
    let mut left: std::collections::BTreeMap<_, _> = wanted.into_iter().map(|one| (key(&one), one)).collect();
    let keys: Vec<_> = left.keys().cloned().collect();
    let order = config.board.neighbours.in_order(&keys);
    Ok(order.iter().filter_map(|key| left.remove(key)).collect())
}

fn key(wanted: &Wanted) -> neighbours::Key {
    (wanted.namespace().to_owned(), wanted.name().to_owned())
}

/// Names a sync, and those that it waits for, to the others.
fn join(config: &Config, wanted: &Wanted) {
    let needs = wanted.sync.spec.depends_on.iter().map(|text| load::dependency(wanted.namespace(), text));
    config.board.neighbours.join(&key(wanted), needs.collect());
}

/// Keeps these syncs converged until stopped. Returns once every pass has ended between two steps.
///
/// # Errors
/// If one of them cannot be started; then none is.
pub async fn run(config: &Config, wanted: &[Wanted], stop: &CancellationToken) -> Result<(), OpenError> {
    let mut opened = Vec::with_capacity(wanted.len());
    for one in wanted {
        config.board.expect(one.namespace(), one.name());
        join(config, one);
    }
    for one in wanted {
        opened.push(open::open(config, one).await?);
    }
    config.board.started();
    let tasks = opened.iter_mut().map(|(bench, memory)| async move {
        config.board.publish(&shown(bench, memory).view);
        let (triggers, _bells) = bells::hang(bench).await;
        task::run(bench, memory, triggers, stop).await;
        bench.release().await;
    });
    futures::future::join_all(tasks).await;
    Ok(())
}

/// What is shown of a sync before its first pass: what was known in its last life.
fn shown<W>(bench: &bench::Bench<W>, memory: &bench::Memory) -> Summary {
    let mut summary = memory.summary.clone();
    summary.view.namespace.clone_from(&bench.who.namespace);
    summary.view.name.clone_from(&bench.who.name);
    summary.view.cluster.clone_from(&bench.who.cluster);
    summary.view.details.source.clone_from(&bench.who.source);
    summary.view.details.following.clone_from(&bench.who.following);
    summary
}

/// Name of a cluster in reports: the first 8 hex digits of the UID of namespace kube-system; empty if it may not be read.
pub async fn cluster_name(connection: &Connection) -> String {
    use k8s_openapi::api::core::v1::Namespace;
    let namespaces: kube::Api<Namespace> = kube::Api::all(connection.client.clone());
    let uid = match namespaces.get_metadata("kube-system").await {
        Ok(namespace) => namespace.metadata.uid.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "the cluster cannot be named: namespace kube-system cannot be read");
            String::new()
        }
    };
    uid.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}
