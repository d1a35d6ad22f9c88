//! How logs look. They go to standard error; what a command has to say goes to standard output.

use clap::ValueEnum;

use crate::telemetry::{self, Format};

/// Logs
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Pretty)]
    log_format: LogFormat,
    /// What is logged, as in `info` or `windlass=debug,kube=warn`
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Pretty,
    /// One JSON object a line
    Json,
}

impl Args {
    /// Starts logging; `level` is used where the user named none.
    pub(super) fn init(&self, level: &str) -> anyhow::Result<()> {
        let format = match self.log_format {
            LogFormat::Pretty => Format::Pretty,
            LogFormat::Json => Format::Json,
        };
        telemetry::init(format, self.log_level.as_deref().unwrap_or(level))?;
        Ok(())
    }
}
