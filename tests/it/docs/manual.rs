//! README, operation pages and links, held against the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder (or the file itself) whose name ends so.
fn files(below: &str, end: &str) -> Vec<PathBuf> {
    let walk = ignore::WalkBuilder::new(Path::new(ROOT).join(below)).build();
    walk.filter_map(Result::ok)
        .map(ignore::DirEntry::into_path)
        .filter(|p| p.to_string_lossy().ends_with(end))
        .collect()
}

fn pages() -> Vec<PathBuf> {
    let top = ["README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let top = top.into_iter().map(|name| Path::new(ROOT).join(name)).filter(|path| path.exists());
    files("docs", ".md").into_iter().chain(top).collect()
}

/// Headings as the anchors that forges make of them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let whole =
                anchor.is_empty() || std::fs::read_to_string(&to).is_ok_and(|text| anchors(&text).contains(anchor));
            if !to.exists() || !whole {
                broken.push(format!("{} → {target}", page.strip_prefix(ROOT).unwrap().display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// First cells of the table rows of a page, without backticks.
fn first_cells(page: &str) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|row| row.split(" |").next());
    rows.map(|cell| cell.trim_matches('`').to_owned()).collect()
}

/// What stands before a reason outside a `mod reasons`.
const MARKS: &[&str] = &["reason: \"", "Retry, \"", "Stalled, \"", "Denied, \"", "Skipped, \"", "Bug, \""];

/// CamelCase words in quotes on lines of the code that say a reason.
fn reasons() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files("src", ".rs") {
        let name = path.to_string_lossy().into_owned();
        if name.contains("tests") || name.contains("/kinds/") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let mut in_reasons = false;
        for line in text.lines() {
            in_reasons |= line.contains("mod reasons {");
            in_reasons &= line != "}";
            let marks: &[&str] = if in_reasons { &["&str = \""] } else { MARKS };
            let after = marks.iter().flat_map(|mark| line.split(mark).skip(1));
            let words = after.filter_map(|rest| rest.split('"').next());
            found.extend(words.filter(|word| is_camel(word)).map(str::to_owned));
        }
    }
    found
}

fn is_camel(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn every_reason_in_the_code_is_explained() {
    let explained: BTreeSet<String> = first_cells(&read("docs/operations/troubleshooting.md")).into_iter().collect();
    let reasons = reasons();
    assert!(reasons.len() > 20, "the reasons are found in the code: {reasons:?}");
    let missing: Vec<&String> = reasons.iter().filter(|reason| !explained.contains(*reason)).collect();
    assert!(missing.is_empty(), "docs/operations/troubleshooting.md lacks {missing:?}");
}

#[test]
fn the_readme_names_exactly_the_dependencies_with_a_reason_each() {
    let manifest = read("Cargo.toml");
    let mut wanted = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]" || line == "[dev-dependencies]";
        } else if inside && let Some((name, _)) = line.split_once(" = ") {
            wanted.push(name.to_owned());
        }
    }
    let readme = read("README.md");
    let (_, table) = readme.split_once("| dependency | for |\n|---|---|\n").expect("the table of dependencies");
    let (table, _) = table.split_once("\n\n").unwrap();
    let named = first_cells(table);
    assert_eq!(named, wanted);
    assert!(table.lines().all(|row| row.split('|').nth(2).is_some_and(|why| why.trim().len() > 3)), "{table}");
}

#[test]
fn the_readme_says_of_each_package_that_was_asked_for_whether_it_is_used() {
    let cells = first_cells(&read("README.md"));
    for name in ["git2", "kube", "tokio", "serde_yaml", "notify", "sha2", "tracing", "reqwest", "cron"] {
        assert!(cells.iter().any(|cell| cell == name), "{name}");
    }
}

#[test]
fn every_subcommand_stands_in_the_readme() {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_windlass")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let readme = read("README.md");
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"crds"), "{help}");
    for name in names {
        assert!(readme.contains(&format!("`windlass {name}")), "the README lacks `windlass {name}`");
    }
}
