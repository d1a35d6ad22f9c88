//! `windlass validate`: prints what is wrong with documents, and nothing else.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::read::{self, Wish};
use super::render::has_errors;
use super::{Exit, style};
use crate::problem::Problem;

/// Print what is wrong with the documents of a folder or file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line a problem: file:line:column: code: message. Exits with 1 if there is an error.

Examples:
  windlass validate .
  windlass validate envs/prod envs/staging/cache.yaml")]
pub(super) struct Args {
    /// Folders or files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let (mut all, mut documents) = (Vec::new(), 0);
    for path in &args.paths {
        let text = path.to_str().ok_or_else(|| anyhow::anyhow!("the path {} is not UTF-8", path.display()))?;
        anyhow::ensure!(path.exists(), "there is nothing at {text}; give the path of a folder or file");
        let (plan, problems) = read::plan(Wish { source: text, ..Wish::default() }).await?;
        documents += plan.steps.iter().filter(|step| step.is_declared()).count();
        all.extend(problems.into_iter().map(|problem| from_here(path, problem)));
    }
    let mut out = anstream::stdout();
    for problem in &all {
        writeln!(out, "{}", style::plain(&problem.to_string()))?;
    }
    if all.is_empty() {
        let noun = if documents == 1 { "document" } else { "documents" };
        writeln!(anstream::stderr(), "no problem in {documents} {noun}")?;
    }
    Ok(if has_errors(&all) { Exit::NotGood } else { Exit::Good })
}

/// A problem names its file as seen from here, so that an editor finds it.
fn from_here(path: &Path, mut problem: Problem) -> Problem {
    if let Some(file) = &problem.file {
        let full = if path.is_file() { path.to_owned() } else { path.join(file) };
        let full = full.strip_prefix(".").unwrap_or(&full);
        problem.file = Some(full.display().to_string());
    }
    problem
}
