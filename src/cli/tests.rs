//! What docs and help texts tell people to type and to write, held against the parser and the readers of documents.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use super::*;
use crate::agent::CHECKS;
use crate::declared::{self, Context, Memo};
use crate::source::Source;

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = ["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(|name| root.join(name));
    let mut pages: Vec<PathBuf> = ignore::WalkBuilder::new(root.join("docs"))
        .build()
        .filter_map(Result::ok)
        .map(ignore::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain(top)
        .collect();
    pages.sort();
    pages
}

/// The blocks of a page that are fenced as `language`, without the indentation of their fence.
fn blocks(page: &Path, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(named), None) => {
                assert!(!named.is_empty(), "{}: a fence without a language, above: {blocks:?}", page.display());
                open = Some((indent, named == language, String::new()));
            }
            (Some(_), Some((_, wanted, block))) => {
                if *wanted {
                    blocks.push(std::mem::take(block));
                }
                open = None;
            }
            (None, Some((indent, _, block))) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of this program in a shell text, without what surrounds them.
fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ").replace("cargo run --release -- ", "windlass ");
    let parts =
        text.lines().flat_map(|line| line.split(" | ").filter_map(|part| part.split(" > ").next()).map(str::trim));
    parts
        .filter(|part| part.starts_with("windlass "))
        // A column of explanations stands far to the right.
        .map(|part| part.split("   ").next().unwrap_or_default().split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn wrong(text: &str) -> Vec<String> {
    let tried = commands(text).into_iter().map(|words| (words.join(" "), Cli::try_parse_from(&words)));
    tried.filter_map(|(line, parsed)| Some(format!("{line}\n{}", parsed.err()?))).collect()
}

#[test]
fn every_command_that_the_docs_show_is_one() {
    let mut found = 0;
    for page in pages() {
        for block in blocks(&page, "console") {
            found += commands(&block).len();
            assert_eq!(wrong(&block), Vec::<String>::new(), "{}", page.display());
        }
    }
    assert!(found >= 2, "the docs show commands");
}

#[test]
fn every_example_in_the_help_is_a_command() {
    let mut found = 0;
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found += commands(&help).len();
        assert_eq!(wrong(&help), Vec::<String>::new(), "{}", command.get_name());
    }
    assert!(found >= 10, "the help shows examples");
}

/// A part of a GitSync's spec as a GitSync.
fn whole(block: String) -> String {
    match block.strip_prefix("spec:\n") {
        Some(rest) => format!(
            "apiVersion: windlass.dev/v1alpha1\nkind: GitSync\nmetadata: {{ name: part, namespace: windlass-system }}\nspec:\n  \
             source: {{ url: https://git.example.com/platform.git }}\n{rest}"
        ),
        None => block,
    }
}

#[tokio::test]
async fn every_document_that_the_docs_show_is_read_without_a_problem() {
    let mut found = 0;
    for page in pages() {
        for block in blocks(&page, "yaml").into_iter().map(whole) {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("example.yaml"), &block).unwrap();
            let source = Source::disk(folder.path(), &[]).unwrap();
            let snapshot = source.snapshot(&source.fetch().await.unwrap()).await.unwrap();
            let (declared, problems) = declared::read(&snapshot, &Context::default(), &mut Memo::default());
            assert_eq!(problems, [], "{}:\n{block}", page.display());
            for document in &declared.documents {
                found += 1;
                if document.origin.kind == "GitSync" {
                    let (sync, problems) = crate::sync::load::read(&document.manifest.value(), &CHECKS);
                    assert!(sync.is_some(), "{}: {problems:?}\n{block}", page.display());
                }
            }
        }
    }
    assert!(found >= 3, "the docs show documents");
}
