//! What is wrong with a repository as a whole: nothing in it, files that cannot be read, the same object twice.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{NEIGHBOUR, config_map, outcome, write};

#[tokio::test]
async fn an_empty_repository_declares_nothing_and_says_so() {
    let nothing = "NothingDeclared: the revision declares nothing: no .yaml, .yml or .json file below the paths holds an \
                   object; nothing is applied or pruned until one does";
    let folder = tempfile::tempdir().unwrap();
    for text in [None, Some("# nothing yet\n")] {
        if let Some(text) = text {
            write(folder.path(), "README.md", b"hello");
            write(folder.path(), "a.yaml", text.as_bytes());
        }
        let (told, declared) = outcome(folder.path(), &[]).await;
        assert_eq!(told, [nothing]);
        assert!(declared.held.empty);
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_keeps_what_it_declared() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    let (told, declared) = outcome(folder.path(), &["good", "gone"]).await;
    assert_eq!(
        told,
        [
            "gone: PathMissing: `paths` names gone, which is not in this revision; the root holds good/. Correct `paths` or add the folder.",
        ]
    );
    assert!(declared.held.paths.contains("gone") && !declared.held.empty);
    assert_eq!(declared.documents.len(), 1);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_told_and_held() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    write(&root, "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    write(folder.path(), "outside.yaml", config_map("outside", "").as_bytes());
    let large = std::fs::File::create(root.join("large.yaml")).unwrap();
    large.set_len(50 << 20).unwrap();
    std::os::unix::fs::symlink("../outside.yaml", root.join("out.yaml")).unwrap();
    std::os::unix::fs::symlink("gone.yaml", root.join("broken.yaml")).unwrap();
    write(&root, Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9.yaml")), NEIGHBOUR.as_bytes());
    let (told, declared) = outcome(&root, &[]).await;
    assert_eq!(
        told,
        [
            "broken.yaml: LinkBroken: this link to \"gone.yaml\" points at nothing; point it at a file of the repository or remove it",
            "caf\u{fffd}.yaml: PathNotUtf8: the name of this file is not UTF-8, so it was not read; rename it",
            "large.yaml: FileTooLarge: the file has 50 MiB; a document file may have at most 8 MiB. Split it, or leave it out with \
         .windlassignore",
            "out.yaml: LinkLeavesTree: this link to \"../outside.yaml\" leads out of the repository, so it was not followed; \
         remove it",
        ]
    );
    for path in ["broken.yaml", "caf\u{fffd}.yaml", "large.yaml", "out.yaml"] {
        assert!(declared.held.paths.contains(path), "{path}");
    }
    assert_eq!(declared.documents.len(), 1);
}

#[tokio::test]
async fn the_same_object_in_two_files_is_applied_from_neither() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    write(folder.path(), "a.yaml", config_map("twin", "").as_bytes());
    write(
        folder.path(),
        "b.json",
        br#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "name": "twin"}}"#,
    );
    let (told, declared) = outcome(folder.path(), &[]).await;
    assert_eq!(
        told,
        [
            "a.yaml:4:3: DuplicateObject: object/core/ConfigMap/default/twin is declared twice: also at b.json:1; nothing says \
         which is meant, so none is applied",
            "b.json:1:80: DuplicateObject: object/core/ConfigMap/default/twin is declared twice: also at a.yaml:4; nothing says \
         which is meant, so none is applied",
        ]
    );
    assert_eq!(declared.documents.len(), 1);
    assert_eq!(
        declared.held.owners.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["object/core/ConfigMap/default/twin"]
    );
    assert_eq!(declared.held.paths.iter().collect::<Vec<_>>(), ["a.yaml", "b.json"]);
}

#[tokio::test]
async fn kustomizations_and_charts_are_not_applied_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
    write(folder.path(), "web/kustomization.yaml", b"resources: [deployment.yaml]\n");
    write(folder.path(), "web/deployment.yaml", config_map("web", "").as_bytes());
    write(folder.path(), "chart/Chart.yaml", b"name: chart\n");
    write(folder.path(), "chart/templates/a.yaml", b"{{ if .Values.x }}\n");
    let (told, declared) = outcome(folder.path(), &[]).await;
    assert_eq!(
        told,
        [
            "chart/Chart.yaml: NotRendered: the folder chart is a Helm chart, which Windlass does not render: nothing in it is \
         applied or pruned; commit what `helm template` prints instead, or name this file in .windlassignore to have the \
         other files applied as they stand",
            "web/kustomization.yaml: NotRendered: the folder web is a kustomization, which Windlass does not build: nothing in \
         it is applied or pruned; commit what `kustomize build` prints instead, or name this file in .windlassignore to \
         have the other files applied as they stand",
        ]
    );
    assert_eq!(declared.documents.len(), 1);
    let held: Vec<_> = declared.held.paths.iter().map(String::as_str).collect();
    assert_eq!(held, ["chart/Chart.yaml", "chart/templates/a.yaml", "web/deployment.yaml", "web/kustomization.yaml"]);
    // Named in .windlassignore, the marker no longer speaks for its folder.
    write(folder.path(), "web/.windlassignore", b"kustomization.yaml\n");
    let (told, declared) = outcome(folder.path(), &[]).await;
    assert_eq!((told.len(), declared.documents.len()), (1, 2));
}
