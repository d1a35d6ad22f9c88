//! `windlass completions`: prints a completion script.

use std::io::Write as _;

use clap::CommandFactory as _;

use super::Exit;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windlass completions bash > ~/.local/share/bash-completion/completions/windlass")]
pub(super) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "windlass", &mut script);
    anstream::stdout().write_all(&script)?;
    Ok(Exit::Good)
}
