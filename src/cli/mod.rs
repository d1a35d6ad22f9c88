//! The command line: one file a subcommand; the only reader of the environment, and the only room that prints.
//!
//! Calls `agent` and the rooms before it; called by `main` alone. Exit codes: 0 good, 1 differences, problems or not
//! ready, 2 could not run or usage.

mod completions;
mod crds;
mod install;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a command came to; anything that kept it from running is an error and exits with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as it should be.
    Good,
    /// There are differences or problems, or something is not ready.
    NotGood,
}

#[derive(Debug, Parser)]
#[command(
    name = "windlass",
    version,
    about = "Pulls a git repository of custom resources and makes the world match it",
    after_help = "Start here: `windlass demo` needs no cluster, no flags and no configuration.",
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Crds(crds::Args),
    Install(install::Args),
    Completions(completions::Args),
}

/// Parses the arguments, runs the command, tells what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with exit code 0. A closed pipe is nobody's concern.
            _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Command::Crds(args) => crds::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(Exit::Good) => ExitCode::SUCCESS,
        Ok(Exit::NotGood) => ExitCode::from(1),
        // Whoever reads the output has read enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}
