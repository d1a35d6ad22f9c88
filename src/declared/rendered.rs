//! Folders that are meant to be built by another tool before they are applied: kustomizations and Helm charts.
//!
//! Pure. Nothing below such a folder is applied as it stands: patches and templates are no objects, and bases without
//! their overlay have the wrong names. Called by `read`.

use std::collections::BTreeMap;

use crate::problem::{Code, Problem};
use crate::revision::Snapshot;

/// Said of a document of kustomize under another file name.
pub(super) const KUSTOMIZATION_KIND: &str = "Windlass does not build kustomizations; commit what `kustomize build` prints \
                                             instead, or name the file in .windlassignore";

/// Folders of a snapshot that another tool has to build, each with the file that says so.
#[derive(Debug, Default)]
pub(super) struct Folders(BTreeMap<String, String>);

impl Folders {
    /// Looks at the names of files alone.
    pub(super) fn find(snapshot: &Snapshot) -> Self {
        let mut folders = BTreeMap::new();
        for path in snapshot.files.keys() {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if is_marker(name) {
                folders.entry(folder.to_owned()).or_insert_with(|| path.to_string());
            }
        }
        Self(folders)
    }

    /// Whether a file lies in such a folder or below.
    pub(super) fn hold(&self, path: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let mut rest = path;
        while let Some((folder, _)) = rest.rsplit_once('/') {
            if self.0.contains_key(folder) {
                return true;
            }
            rest = folder;
        }
        self.0.contains_key("")
    }

    /// One problem for each outermost folder.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let outermost = self.0.iter().filter(|(folder, _)| folder.is_empty() || !self.hold(folder));
        outermost.map(|(folder, file)| Problem::error(Code::NotRendered, message(folder, file)).in_file(file)).collect()
    }
}

fn is_marker(name: &str) -> bool {
    matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization" | "Chart.yaml")
}

fn message(folder: &str, file: &str) -> String {
    let (what, tool) = if file.ends_with("Chart.yaml") {
        ("a Helm chart, which Windlass does not render", "helm template")
    } else {
        ("a kustomization, which Windlass does not build", "kustomize build")
    };
    let place = if folder.is_empty() { "the repository".to_owned() } else { format!("the folder {folder}") };
    format!(
        "{place} is {what}: nothing in it is applied or pruned; commit what `{tool}` prints instead, or name this file \
         in .windlassignore to have the other files applied as they stand"
    )
}
