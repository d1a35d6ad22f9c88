//! Files that are generated from the code and stand in the repository all the same. `UPDATE=1 cargo test --test it tidy::`
//! writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use windlass::kinds::FAMILIES;
use windlass::plan::yaml;

use super::{files, none, read, root};

/// Compares files with what they should hold; writes them if asked to.
fn compare(wanted: &BTreeMap<String, String>) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differ = Vec::new();
    for (path, text) in wanted {
        if fs::read_to_string(root().join(path)).is_ok_and(|found| found == *text) {
            continue;
        }
        if update {
            fs::write(root().join(path), text).unwrap();
        } else {
            differ.push(path.clone());
        }
    }
    none(&differ, "not what the code says; `UPDATE=1 cargo test --test it tidy::` writes these anew");
}

#[test]
fn crds_are_up_to_date() {
    let crds = windlass::sync::crds().into_iter().chain(windlass::kinds::crds());
    let wanted: BTreeMap<String, String> = crds
        .map(|crd| {
            let path = format!("crds/{}.yaml", crd.metadata.name.as_deref().unwrap());
            (path, yaml::text(&serde_json::to_value(&crd).unwrap()))
        })
        .collect();
    compare(&wanted);
    let left: Vec<String> = files("crds", "yaml").into_iter().filter(|path| !wanted.contains_key(path)).collect();
    none(&left, "no kind has these CRDs; delete them");
}

#[test]
fn the_index_of_kinds_is_up_to_date() {
    let mut text =
        "# Kinds\n\nHigh-level resources that Windlass expands. Generated from the registry in `src/kinds/`.\n\n\
                    | family | kinds | what it is |\n|---|---|---|\n"
            .to_owned();
    for family in FAMILIES {
        let kinds = family.kinds.iter().map(|kind| format!("`{}/{}` {}", kind.group, kind.version, kind.kind));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        writeln!(text, "| [{0}]({0}.md) | {kinds} | {1} |", family.name, family.summary).unwrap();
    }
    compare(&BTreeMap::from([("docs/kinds/README.md".to_owned(), text)]));
    let left: Vec<String> = files("docs/kinds", "md")
        .into_iter()
        .filter(|path| !path.ends_with("/README.md"))
        .filter(|path| !FAMILIES.iter().any(|family| path.ends_with(&format!("/{}.md", family.name))))
        .collect();
    none(&left, "no family has these pages");
}

#[test]
fn families_are_formatted() {
    // `cargo fmt` does not see modules that a macro declares.
    let families = files("src/kinds", "rs");
    let check = Command::new("rustfmt")
        .args(["--check", "--edition", "2024"])
        .args(families.iter().filter(|path| path.matches('/').count() > 2))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "run `rustfmt --edition 2024 src/kinds/*/*.rs`\n{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

#[test]
fn maps_are_sorted() {
    // Canonical JSON rests on it: no dependency may switch on `preserve_order` in serde_json.
    let value: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
    assert_eq!(value.to_string(), r#"{"a":2,"b":1}"#);
    assert!(!read("Cargo.toml").contains("preserve_order"));
}
