//! `windlass render`: expands a repository and prints every step.

use std::io::Write as _;
use std::path::PathBuf;

use clap::ValueEnum;

use super::agent::name_of;
use super::read::{self, Wish};
use super::{Exit, gitsync, style};
use crate::expand::rights;
use crate::plan::render::{self, Secrets, Tone};
use crate::problem::{Problem, Severity};

/// Expand a repository and print every step, without any cluster
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  windlass render .                          the tree of everything that would be applied
  windlass render . -o yaml | kubectl diff -f -
  windlass render . --revision HEAD~1 -o json
  windlass render https://example.org/platform.git --path envs/prod --rbac")]
pub(super) struct Args {
    /// A folder or file, read as it is; or a git URL
    #[arg(value_name = "PATH|URL")]
    source: String,
    /// Take paths and namespace from the GitSync in this file
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read from git, at this commit, branch or tag
    #[arg(long)]
    revision: Option<String>,
    /// Only this folder or file of the repository (may be repeated)
    #[arg(long)]
    path: Vec<String>,
    /// Namespace for documents that name none [default: default]
    #[arg(long)]
    namespace: Option<String>,
    /// What is printed
    #[arg(short, long, value_enum, default_value_t = Output::Tree)]
    output: Output,
    /// Print the rights that applying it needs, as a ClusterRole bound to the installed agent
    #[arg(long, conflicts_with_all = ["output", "show_secrets"])]
    rbac: bool,
    /// Print secret values as they are
    #[arg(long)]
    show_secrets: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Every document with what it expands to
    Tree,
    /// Kubernetes objects, one document each
    Yaml,
    /// Everything, for programs
    Json,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let (mut paths, mut namespace) = (args.path.clone(), args.namespace.clone());
    if let Some(file) = &args.file {
        let sync = gitsync::only_one(file)?;
        if paths.is_empty() {
            paths = sync.spec.source.paths;
        }
        namespace = namespace.or(sync.spec.target_namespace);
    }
    let revision = args.revision.as_deref();
    let wish = Wish { source: &args.source, revision, paths: &paths, namespace, ..Wish::default() };
    let (plan, problems) = read::plan(wish).await?;
    let secrets = if args.show_secrets { Secrets::Shown } else { Secrets::Masked };
    let mut out = anstream::stdout();
    if args.rbac {
        write!(out, "{}", rights::yaml(&format!("windlass-apply-{}", name_of(&args.source)), &plan))?;
    } else {
        match args.output {
            Output::Tree => write!(out, "{}", coloured(&plan))?,
            Output::Yaml => write!(out, "{}", render::yaml(&plan, secrets))?,
            Output::Json => writeln!(out, "{}", render::json(&plan, &problems, secrets))?,
        }
    }
    if args.output != Output::Json || args.rbac {
        let mut err = anstream::stderr();
        for problem in &problems {
            writeln!(err, "{}", style::plain(&problem.to_string()))?;
        }
    }
    Ok(if has_errors(&problems) { Exit::NotGood } else { Exit::Good })
}

/// Whether any document is kept from being applied.
pub(super) fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

fn coloured(plan: &crate::plan::Plan) -> String {
    let lines = render::tree(plan);
    let width = |line: &render::Line| line.indent.chars().count() + line.name.chars().count();
    let column = lines.iter().map(width).max().unwrap_or_default();
    let mut text = String::new();
    for line in &lines {
        let name = match line.tone {
            Tone::Scope | Tone::Cr => style::paint(style::STRONG, &line.name),
            Tone::Plain | Tone::Child => line.name.clone(),
        };
        let gap = if line.place.is_empty() { 0 } else { column - width(line) + 2 };
        text.push_str(&format!(
            "{}{name}{}{}\n",
            style::paint(style::QUIET, &line.indent),
            " ".repeat(gap),
            style::paint(style::QUIET, &line.place),
        ));
    }
    text
}
