//! Adding a family is one folder and one line: a copy of the crate with a toy family compiles, and nothing else changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::root;

const TOY: &str = r#"//! A toy.
//!
//! Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Child, Cr, Expansion, Family, FieldProblem, Kind, StatusInput};

/// The family.
pub static FAMILY: Family = Family {
    name: "toy",
    summary: "A toy.",
    kinds: &[Kind {
        group: "toy.example.com",
        version: "v1",
        kind: "Toy",
        plural: "toys",
        namespaced: true,
        crd,
        check,
        refers: super::no_files,
        secrets: &[],
        expand,
        status,
        writes: &[("", "configmaps")],
    }],
};

/// A toy.
#[derive(CustomResource, Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(group = "toy.example.com", version = "v1", kind = "Toy", plural = "toys", namespaced)]
pub struct ToySpec {
    /// How loud.
    pub volume: Option<i32>,
}

fn crd() -> CustomResourceDefinition {
    Toy::crd()
}

fn check(manifest: &Value) -> Vec<FieldProblem> {
    super::schema::check(&super::schema::of(&crd()), manifest)
}

fn expand(cr: &Cr<'_>) -> Expansion {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": cr.name, "namespace": cr.namespace}});
    Expansion { children: vec![Child::object(map)], problems: Vec::new() }
}

fn status(_: &StatusInput<'_>) -> Option<Value> {
    None
}
"#;

#[test]
fn a_family_is_one_folder_and_one_line() {
    // The target folder of this very build, so that every dependency is compiled already.
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let copy = temporary.join("toy-family");
    for part in fs::read_dir(root()).unwrap() {
        let part = part.unwrap();
        let name = part.file_name();
        let name = name.to_str().unwrap();
        // Only what the library is made of; what it embeds may lie beside `src`.
        let embedded = ["src", "assets", "templates", "example-repo", "crds", "deploy"];
        if embedded.contains(&name) || ["Cargo.lock", "askama.toml", "build.rs", "README.md"].contains(&name) {
            mirror(&part.path(), &copy.join(name));
        }
    }
    // The copy lies inside of another package's folder, and has no tests of its own.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let library_only: String = manifest.split("\n[[test]]").next().unwrap().to_owned() + "\n[workspace]\n";
    write(&copy.join("Cargo.toml"), library_only.as_bytes());

    let registry = fs::read_to_string(root().join("src/kinds/mod.rs")).unwrap();
    assert_eq!(registry.matches("    memcached,\n").count(), 1);
    let with_toy = registry.replace("    memcached,\n", "    memcached,\n    toy,\n");
    assert_eq!(with_toy.lines().count(), registry.lines().count() + 1);
    write(&copy.join("src/kinds/mod.rs"), with_toy.as_bytes());
    write(&copy.join("src/kinds/toy/mod.rs"), TOY.as_bytes());

    let mut command = Command::new(env!("CARGO"));
    // What cargo tells the tests of this package, build scripts of dependencies take as news about themselves: they and
    // all that needs them would be built again, here and by the next build.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // As a test without code generation: this way the features of all dependencies are those of this build.
    let output = command
        .args(["rustc", "--lib", "--profile", "test", "--offline", "--locked", "--quiet", "--", "--emit=metadata"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", temporary.parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Copies what differs and removes what is gone, so that an unchanged copy is not compiled again.
fn mirror(from: &Path, to: &Path) {
    if from.is_file() {
        return write(to, &fs::read(from).unwrap());
    }
    fs::create_dir_all(to).unwrap();
    let names = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into()).collect()
    };
    for name in names(from) {
        // This file is written by the test itself.
        if !to.join(&name).ends_with("toy-family/src/kinds/mod.rs") {
            mirror(&from.join(&name), &to.join(&name));
        }
    }
    let wanted = names(from);
    for name in names(to).iter().filter(|name| !wanted.contains(name) && *name != Path::new("toy")) {
        let gone = to.join(name);
        if gone.is_dir() { fs::remove_dir_all(gone).unwrap() } else { fs::remove_file(gone).unwrap() }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
