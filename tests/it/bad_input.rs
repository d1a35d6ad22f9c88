//! Bad input, always: what is wrong with a repository or document is told with file, line and one clear sentence, a good
//! neighbour is still declared, and nothing that the bad file used to declare can be taken for removed.

mod cases;
mod repositories;

use std::path::Path;

use windlass::declared::{self, Context, Declared, Memo};
use windlass::expand;
use windlass::source::Source;

const NEIGHBOUR: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: neighbour, namespace: good}\ndata: {a: b}\n";
const NEIGHBOUR_ID: &str = "object/core/ConfigMap/good/neighbour";

/// What a folder comes to: everything that is wrong, as `windlass validate` prints it, and what is declared.
async fn outcome(folder: &Path, paths: &[&str]) -> (Vec<String>, Declared) {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let source = Source::disk(folder, &paths).unwrap();
    let revision = source.fetch().await.unwrap();
    let snapshot = source.snapshot(&revision).await.unwrap();
    let (declared, mut problems) = declared::read(&snapshot, &Context::default(), &mut Memo::default());
    let (plan, found) = expand::expand(&declared);
    problems.extend(found);
    let present = plan.steps.iter().any(|step| step.id.as_str() == NEIGHBOUR_ID);
    assert_eq!(present, snapshot.files.contains_key("good/neighbour.yaml"), "the neighbour is in the plan");
    (problems.iter().map(ToString::to_string).collect(), declared)
}

fn write(folder: &Path, path: impl AsRef<Path>, bytes: &[u8]) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn config_map(name: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{more}")
}

fn memcached(version: &str, spec: &str) -> String {
    let known = windlass::kinds::FAMILIES.iter().flat_map(|family| family.kinds).find(|kind| kind.kind == "Memcached");
    let known = known.expect("the registry has Memcached");
    let version = if version == "VERSION" { known.version } else { version };
    format!("apiVersion: {}/{version}\nkind: Memcached\nmetadata:\n  name: m\nspec:\n{spec}", known.group)
}

#[tokio::test]
async fn every_bad_document_is_told_exactly_and_harms_only_itself() {
    let mut wrong = String::new();
    for case in cases::cases() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "good/neighbour.yaml", NEIGHBOUR.as_bytes());
        write(folder.path(), "bad.yaml", &case.text);
        let (told, declared) = outcome(folder.path(), &[]).await;
        if told != case.told {
            wrong += &format!("{}:\n{told:#?}\n", case.what);
        }
        assert_eq!(declared.documents.len(), case.declared + 1, "{}: {told:#?}", case.what);
        assert!(!declared.held.empty && declared.held.present.contains("bad.yaml"), "{}", case.what);
        // The errors of expansion are held in the plan.
        let errors = told.iter().any(|line| !line.contains(": warning: ") && !line.contains("DependencyCycle"));
        assert_eq!(declared.held.paths.contains("bad.yaml"), errors, "{}", case.what);
        assert_eq!(declared.held.paths.len(), usize::from(errors), "{}", case.what);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_secret_never_shows_in_a_problem() {
    const SECRET: &str = "hunter2hunter2";
    for body in [
        "data: {p: hunter2hunter2, p: x}",
        "stringData: {p: [hunter2hunter2]}",
        "stringData: {p: !x hunter2hunter2}",
        "stringData: hunter2hunter2",
        "data:\n  p: \"hunter2hunter2",
        "data:\n\tp: hunter2hunter2",
        "data: {p: *hunter2hunter2}",
        "stringData: {p: hunter2hunter2: hunter2hunter2}",
        "type: [hunter2hunter2",
        "data:\n p: 'hunter2hunter2' x",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{body}\n");
        write(folder.path(), "bad.yaml", text.as_bytes());
        let (told, declared) = outcome(folder.path(), &[]).await;
        assert!(!told.is_empty() && declared.documents.is_empty(), "{body}");
        assert!(!told.concat().contains(SECRET), "{told:#?}");
    }
}
