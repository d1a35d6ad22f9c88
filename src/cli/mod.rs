//! The command line: one file a subcommand; the only reader of the environment, and the only room that prints.
//!
//! Calls `agent` and the rooms before it; called by `main` alone. Exit codes: 0 good, 1 differences, problems or not
//! ready, 2 could not run or usage.

mod agent;
mod clock;
mod cluster;
mod completions;
mod control;
mod crds;
mod demo;
mod diff;
mod gitsync;
mod install;
mod inventory;
mod logs;
mod once;
mod read;
mod render;
mod signals;
mod state;
mod status;
mod style;
#[cfg(test)]
mod tests;
mod trace;
mod uninstall;
mod validate;

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
    Demo(demo::Args),
    Agent(Box<agent::Args>),
    Render(render::Args),
    Validate(validate::Args),
    Diff(Box<diff::Args>),
    Status(status::Args),
    Sync(control::SyncArgs),
    Suspend(control::SuspendArgs),
    Resume(control::ResumeArgs),
    Trace(trace::Args),
    Inventory(inventory::Args),
    Crds(crds::Args),
    Install(install::Args),
    Uninstall(uninstall::Args),
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
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Agent(args) => block_on(agent::run(*args)),
        Command::Render(args) => block_on(render::run(&args)),
        Command::Validate(args) => block_on(validate::run(&args)),
        Command::Diff(args) => block_on(diff::run(*args)),
        Command::Status(args) => block_on(status::run(args)),
        Command::Sync(args) => block_on(control::sync(args)),
        Command::Suspend(args) => block_on(control::suspend(args)),
        Command::Resume(args) => block_on(control::resume(args)),
        Command::Trace(args) => block_on(trace::run(args)),
        Command::Inventory(args) => block_on(inventory::run(args)),
        Command::Crds(args) => crds::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Uninstall(args) => uninstall::run(&args),
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

/// Runs a command that waits. Threads that are left behind by a blocking call do not hold the program.
fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// The environment is read here and nowhere else.
#[expect(clippy::disallowed_methods, reason = "the edge of the program is where the environment is read")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Chooses the cryptography that every TLS connection of this program uses.
fn crypto() {
    // An error means that it was chosen before.
    _ = rustls::crypto::ring::default_provider().install_default();
}
