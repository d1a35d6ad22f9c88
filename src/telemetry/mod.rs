//! Logs and metrics.
//!
//! Never holds a secret value, and no label that is not from a closed set or the name of a sync. `init` is called once by
//! `main`; [`Metrics`] is fed by `agent` and shown by `dashboard`.

mod metrics;

use std::io::IsTerminal as _;

pub use metrics::{
    CONTENT_TYPE as METRICS_CONTENT_TYPE, Metrics, Outcome, RequestOutcome, Stage, TargetKind, WatchEvent,
};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One readable line an event; in colour on a terminal.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter cannot be read.
    #[error("cannot read the log filter `{filter}`: {source}; write it as in `info` or `windlass=debug,kube=warn`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else did it already.
    #[error("cannot set up logging: {0}")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// The client of the cluster logs an error without any context for each answer from 500 on. We tell each of these
/// ourselves, with what was being done; while an API server is away there are dozens a second.
const SILENCED: &str = "kube_client::client::builder=off";

/// Sends log lines to standard error. `filter` is as in `info` or `windlass=debug,kube=warn`.
///
/// # Errors
/// If the filter cannot be read, or logging was set up before.
pub fn init(format: Format, filter: &str) -> Result<(), InitError> {
    let levels = EnvFilter::builder()
        .parse(levels(filter))
        .map_err(|source| InitError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(levels)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Pretty => tracing::subscriber::set_global_default(lines.with_target(false).compact().finish()),
        Format::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    }?;
    Ok(())
}

/// The filter with what nobody wants to read; whoever names the client himself means it.
fn levels(filter: &str) -> String {
    if filter.contains("kube") { filter.to_owned() } else { format!("{SILENCED},{filter}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_the_cluster_is_heard_by_whoever_names_it_only() {
        assert_eq!(levels("info"), format!("{SILENCED},info"));
        assert_eq!(levels("windlass=debug"), format!("{SILENCED},windlass=debug"));
        assert_eq!(levels("windlass=debug,kube=warn"), "windlass=debug,kube=warn");
        assert!(EnvFilter::builder().parse(levels("info")).is_ok());
        assert!(EnvFilter::builder().parse(levels("windlass=nonsense")).is_err());
    }
}
