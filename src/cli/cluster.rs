//! The cluster that a command works with: which context, and whether its owner agrees.
//!
//! Called by every command that may use a cluster.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use crate::target::kube::connect::{Connection, connect};

/// Which cluster
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Path of the kubeconfig [default: as kubectl]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long)]
    pub(super) context: Option<String>,
}

impl Args {
    /// Connects and says where to.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        super::crypto();
        let connection = connect(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        writeln!(anstream::stderr(), "context {} ({})", connection.context, connection.server)?;
        Ok(connection)
    }
}

/// Asks on a terminal before the first write to a cluster; programs are not asked.
pub(super) fn agree(connection: &Connection, what: &str, yes: bool) -> anyhow::Result<()> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    let agreed = answer(&format!("{what} in context {}?", connection.context))?;
    anyhow::ensure!(agreed, "stopped; nothing was written (--yes skips the question)");
    Ok(())
}

/// Asks a question on a terminal; true for a yes.
pub(super) fn answer(question: &str) -> anyhow::Result<bool> {
    let mut err = anstream::stderr();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
