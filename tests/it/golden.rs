//! The example repository as a golden test: what it declares, expands to and prints as; and what a plan must not depend on.
//!
//! `INSTA_UPDATE=always cargo test --test it golden::` writes the snapshots anew; read the difference before committing it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use windlass::canonical;
use windlass::declared::{self, Context, Memo};
use windlass::expand;
use windlass::kinds::{FAMILIES, Kind};
use windlass::plan::render::{self, Secrets};
use windlass::plan::{Plan, yaml};
use windlass::problem::Problem;
use windlass::revision::{Content, File, Referred, Revision, Snapshot};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A revision of files, with a fixed id so that snapshots stay.
fn snapshot(files: BTreeMap<String, Vec<u8>>) -> Snapshot {
    let files = files.into_iter().map(|(path, bytes)| {
        let blob = canonical::hash_bytes(&bytes);
        (path.into(), File { blob: blob.into(), content: Content::Read(Arc::from(bytes)) })
    });
    let revision = Revision { id: "0123456789abcdef".into(), ..Revision::default() };
    let mut snapshot = Snapshot { revision, files: files.collect(), ..Snapshot::default() };
    for target in declared::references(&snapshot, &mut Memo::default()) {
        let below = format!("{target}/");
        let found = snapshot.files.iter().filter_map(|(path, file)| Some((path.strip_prefix(&below)?, file)));
        let files = found.map(|(path, file)| (path.to_owned(), file.clone())).collect();
        snapshot.referred.insert(target, Referred { files, ..Referred::default() });
    }
    snapshot
}

fn plan(snapshot: &Snapshot) -> (Plan, Vec<Problem>) {
    let (declared, mut problems) = declared::read(snapshot, &Context::default(), &mut Memo::default());
    let (plan, more) = expand::expand(&declared);
    problems.extend(more);
    (plan, problems)
}

fn example() -> Snapshot {
    let mut files = BTreeMap::new();
    read_below(&root().join("example-repo"), "", &mut files);
    // What the repository's .windlassignore leaves out; the rule itself is tested in the source.
    files.retain(|path, _| !path.starts_with("drafts/"));
    snapshot(files)
}

fn read_below(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_below(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

fn rendered(plan: &Plan, problems: &[Problem]) -> String {
    serde_json::to_string_pretty(&render::json(plan, problems, Secrets::Masked)).unwrap()
}

#[test]
fn the_example_repository_has_no_problem_and_a_fitting_size() {
    let (plan, problems) = plan(&example());
    assert_eq!(problems, []);
    assert!((15..=100).contains(&plan.steps.len()), "{} steps", plan.steps.len());
    assert!(plan.steps.iter().all(|step| step.origin.path.starts_with("environments/")));
}

#[test]
fn the_example_repository_as_json() {
    let (plan, problems) = plan(&example());
    insta::assert_snapshot!("example_repo_json", rendered(&plan, &problems));
}

#[test]
fn the_example_repository_as_yaml() {
    insta::assert_snapshot!("example_repo_yaml", render::yaml(&plan(&example()).0, Secrets::Masked));
}

#[test]
fn the_example_repository_as_tree() {
    insta::assert_snapshot!("example_repo_tree", render::tree_text(&plan(&example()).0));
}

#[test]
fn the_rights_that_the_example_repository_needs() {
    insta::assert_snapshot!("example_repo_rights", expand::rights::yaml("windlass-apply", &plan(&example()).0));
}

#[test]
fn a_plan_is_byte_identical_from_run_to_run() {
    let first = plan(&example());
    for _ in 0..3 {
        let again = plan(&example());
        assert_eq!(rendered(&again.0, &again.1), rendered(&first.0, &first.1));
    }
}

/// How a document is written down.
#[derive(Clone, Copy, Debug)]
enum Form {
    Yaml,
    YamlWithComments,
    Json,
    PrettyJson,
}

fn write(manifest: &Value, form: Form) -> String {
    match form {
        Form::Yaml => yaml::text(manifest),
        Form::YamlWithComments => {
            // A comment line may stand before a key of the document itself without changing anything.
            let lines = yaml::text(manifest);
            let spread = |line: &str| {
                if line.starts_with(char::is_alphabetic) { format!("\n# why\n{line}\n") } else { format!("{line}\n") }
            };
            lines.lines().map(spread).collect()
        }
        Form::Json => format!("{manifest}\n"),
        Form::PrettyJson => format!("{manifest:#}\n"),
    }
}

/// The folder of the example's documents that refer to files.
const FOLDER: &str = "environments/production/";

/// What the example's documents refer to.
fn beside() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let folder = format!("{FOLDER}lending/");
    read_below(&root().join("example-repo").join(&folder), &folder, &mut files);
    assert_eq!(files.len(), 3);
    files
}

fn manifests() -> Vec<Value> {
    let snapshot = example();
    let (declared, _) = declared::read(&snapshot, &Context::default(), &mut Memo::default());
    declared.documents.iter().map(|document| document.manifest.value()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_does_not_depend_on_files_order_or_formatting(
        mut order in Just(manifests()).prop_shuffle(),
        places in prop::collection::vec(0..4_u8, 128),
        forms in prop::collection::vec(prop_oneof![
            Just(Form::Yaml), Just(Form::YamlWithComments), Just(Form::Json), Just(Form::PrettyJson),
        ], 128),
    ) {
        let (expected, _) = plan(&example());
        // Files that documents refer to stay where they are, and with them the folder of the documents.
        let mut files = beside();
        for (index, manifest) in order.drain(..).enumerate() {
            let file = files.entry(format!("{FOLDER}{}.yaml", places[index])).or_default();
            file.extend_from_slice(b"---\n");
            file.extend_from_slice(write(&manifest, forms[index]).as_bytes());
        }
        let (found, problems) = plan(&snapshot(files));
        prop_assert_eq!(problems, []);
        prop_assert_eq!(&found.digest, &expected.digest);
        let shape = |plan: &Plan| -> Vec<_> {
            plan.steps.iter().map(|step| (step.id.clone(), step.needs.clone(), step.want.clone())).collect()
        };
        prop_assert_eq!(shape(&found), shape(&expected));
    }
}

/// The first YAML block of a kind's page.
fn documented_example(page: &str) -> &str {
    page.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("```")).expect("a YAML example").0
}

fn page(family: &str) -> String {
    fs::read_to_string(root().join(format!("docs/kinds/{family}.md")))
        .unwrap_or_else(|error| panic!("docs/kinds/{family}.md: {error}"))
}

#[test]
fn every_documented_example_expands_without_a_problem() {
    for family in FAMILIES {
        let text = documented_example(&page(family.name)).as_bytes().to_vec();
        let (plan, problems) = plan(&snapshot(BTreeMap::from([("example.yaml".to_owned(), text)])));
        assert!(
            problems.iter().all(|problem| problem.severity != windlass::problem::Severity::Error),
            "{}: {problems:?}",
            family.name
        );
        assert!(plan.steps.iter().any(|step| step.owner.is_some()), "{} expands to nothing", family.name);
    }
}

#[test]
fn the_page_of_a_kind_names_every_field_and_no_other() {
    for family in FAMILIES {
        let page = page(family.name);
        let documented: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `spec.")?.split_once('`'))
            .map(|(field, _)| field)
            .collect();
        let mut fields: Vec<String> = family.kinds.iter().flat_map(spec_fields).collect();
        // Kinds of one family may share fields.
        fields.sort();
        fields.dedup();
        let mut found = documented.clone();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, fields, "docs/kinds/{}.md", family.name);
    }
}

fn spec_fields(kind: &Kind) -> Vec<String> {
    let crd = serde_json::to_value((kind.crd)()).unwrap();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
    spec.as_object().unwrap().keys().cloned().collect()
}
