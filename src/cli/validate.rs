//! `windlass validate`: prints what is wrong with documents, and nothing else.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::read::{self, Wish};
use super::render::has_errors;
use super::{Exit, gitsync, style};
use crate::plan::{Plan, Step};
use crate::problem::Problem;

/// Print what is wrong with the documents of a folder or file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line a problem: file:line:column: code: message. Exits with 1 if there is an error. GitSyncs among the
documents are checked too.

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
        all.extend(gitsyncs(path, &plan));
        documents += plan.steps.iter().filter(|step| step.is_declared()).count();
        all.extend(problems.into_iter().map(|problem| from_here(path, problem)));
    }
    all.sort();
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

/// The GitSyncs of the repository are objects to apply, and checked as the agent that follows them will.
fn gitsyncs(path: &Path, plan: &Plan) -> Vec<Problem> {
    let is_sync = |step: &&std::sync::Arc<Step>| {
        step.id.object_parts().is_some_and(|parts| parts.kind == "GitSync" && parts.group == crate::sync::GROUP)
    };
    let files: BTreeSet<&str> = plan.steps.iter().filter(is_sync).map(|step| step.origin.path.as_str()).collect();
    let read = |file: &str| std::fs::read_to_string(if path.is_file() { path.to_owned() } else { path.join(file) });
    let checked = files.into_iter().filter_map(|file| Some(gitsync::check(file, &read(file).ok()?)));
    checked.flatten().map(|problem| from_here(path, problem)).collect()
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
