//! The house rules that a compiler does not hold: arrows between rooms, pure rooms, short files, generated files that
//! are up to date.

mod family;
mod generated;
mod pitfalls;
mod rooms;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with one of these extensions, sorted, as a path from the repository's root.
fn files(folder: &str, extension: &str) -> Vec<String> {
    fn below(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    below(&root().join(folder), extension, &mut found);
    found.sort();
    found.iter().map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files() -> Vec<String> {
    let mut all = files("src", "rs");
    all.extend(files("tests", "rs"));
    all.extend(files("benches", "rs"));
    all
}

/// Fails with every finding at once.
fn none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn every_module_says_what_it_is() {
    // Unit tests in a file of their own are part of the module beside them.
    let unit_tests = |path: &str| path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    let files = rust_files().into_iter().filter(|path| !unit_tests(path));
    let silent: Vec<String> = files.filter(|path| !read(path).starts_with("//! ")).collect();
    none(&silent, "these files do not open with `//!`");
}

#[test]
fn files_are_short() {
    const MOST: usize = 450;
    let long = rust_files().into_iter().filter_map(|path| {
        let lines = read(&path).lines().count();
        (lines > MOST).then(|| format!("{path}: {lines} lines"))
    });
    none(&long.collect::<Vec<_>>(), "split these by concept (400 lines is the aim)");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks = [
        ["#[ig", "nore"].concat(),
        ["todo", "!("].concat(),
        ["unimpl", "emented!("].concat(),
        ["Not writ", "ten yet"].concat(),
    ];
    let mut found = Vec::new();
    for path in rust_files() {
        for (number, line) in read(&path).lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(&found, "finish these or take them away");
}

#[test]
fn no_test_file_is_forgotten() {
    let main = read("tests/it/main.rs");
    let mut forgotten = Vec::new();
    for path in files("tests/it", "rs") {
        let inside = path.strip_prefix("tests/it/").unwrap();
        if inside == "main.rs" {
            continue;
        }
        let stem = inside.trim_end_matches(".rs").trim_end_matches("/mod");
        let (text, name) = match stem.rsplit_once('/') {
            None => (main.clone(), stem),
            Some((parent, name)) => {
                let parents = [format!("tests/it/{parent}.rs"), format!("tests/it/{parent}/mod.rs")];
                let text = parents.iter().find_map(|path| fs::read_to_string(root().join(path)).ok());
                (text.unwrap_or_default(), name)
            }
        };
        if !text
            .lines()
            .any(|line| line.trim_end_matches(';').split_whitespace().collect::<Vec<_>>().ends_with(&["mod", name]))
        {
            forgotten.push(path);
        }
    }
    none(&forgotten, "no `mod` line names these");
}

#[test]
fn every_problem_code_is_told_by_somebody() {
    let code: String = files("src", "rs")
        .iter()
        .filter(|path| *path != "src/problem.rs" && !path.ends_with("tests.rs"))
        // What stands below the unit tests of a file tells nothing to anybody.
        .map(|path| read(path).split("#[cfg(test)]").next().unwrap_or_default().to_owned())
        .collect();
    let told = |name: &str| {
        code.match_indices(&format!("Code::{name}")).any(|(at, found)| {
            !code[at + found.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
        })
    };
    let imported = code.contains("use crate::problem::Code::{");
    assert!(!imported, "name codes as `Code::Name`, so that this test finds them");
    let silent = windlass::problem::Code::ALL.iter().filter(|code| !told(code.as_str()));
    none(&silent.map(ToString::to_string).collect::<Vec<_>>(), "nobody tells these codes; take them away");
}

#[test]
fn no_snapshot_is_left_over() {
    let mut left = Vec::new();
    for path in files("tests", "snap").into_iter().chain(files("src", "snap")) {
        // `it__golden__name.snap` beside `golden.rs`.
        let file = path.rsplit('/').next().unwrap().trim_end_matches(".snap");
        let (module, name) = file.rsplit_once("__").unwrap_or(("", file));
        let source =
            read(&path).lines().find_map(|line| line.strip_prefix("source: ").map(str::to_owned)).unwrap_or_default();
        let text = fs::read_to_string(root().join(&source)).unwrap_or_default();
        // Named in the assertion, or after the test.
        if !text.contains(&format!("\"{name}\"")) && !text.contains(&format!("fn {name}(")) {
            left.push(format!("{path} (module {module}, source {source})"));
        }
    }
    left.extend(files("tests", "new").into_iter().chain(files("src", "new")));
    none(&left, "no assertion refers to these snapshots; delete them");
}
