//! The nasty words of YAML against kubectl's own reading: what Windlass reads, what was recorded, and what the real
//! kubectl reads today are the same; where they differ on purpose, each place has a warning.
//!
//! Needs kubectl, but no server: `kubectl label --local` prints what it read.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use windlass::declared::{self, Context, Memo};
use windlass::problem::Code;
use windlass::revision::{Content, File, Snapshot};

const SAME: &str = include_str!("scalars/same.yaml");
const SAME_JSON: &str = include_str!("scalars/same.json");
const DIFFER: &str = include_str!("scalars/differ.yaml");

fn kubectl() -> PathBuf {
    if let Some(given) = std::env::var_os("WINDLASS_TEST_KUBECTL") {
        return given.into();
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let built = cache.join("windlass-tests/kubernetes-v1.36.3/kubectl");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(built)
        .chain(std::env::split_paths(&path).map(|folder| folder.join("kubectl")))
        .find(|file| file.is_file())
        .expect("kubectl is missing; run tests/run, which builds it, or set WINDLASS_TEST_KUBECTL")
}

/// What kubectl reads, without the label that makes it print.
fn kubectl_reads(text: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let arguments = ["label", "--local", "-o", "json", "windlass.test/read=yes", "-f"];
    let mut command = Command::new(kubectl());
    command.args(arguments).arg(file.path()).env("KUBECONFIG", "/dev/null").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut value: Value = serde_json::from_slice(&output.stdout).unwrap();
    value["metadata"].as_object_mut().unwrap().remove("labels");
    value
}

/// What Windlass reads, without the namespace it fills in, and its warnings.
fn windlass_reads(text: &str) -> (Value, Vec<(u32, u32)>) {
    let mut snapshot = Snapshot::default();
    let content = Content::Read(Arc::from(text.as_bytes()));
    snapshot.files.insert("scalars.yaml".into(), File { blob: "1".into(), content });
    let scopes = [(("example.com".to_owned(), "Scalars".to_owned()), true)].into();
    let context = Context { scopes, ..Context::default() };
    let (declared, problems) = declared::read(&snapshot, &context, &mut Memo::default());
    assert!(problems.iter().all(|problem| problem.code == Code::ScalarDiffers), "{problems:#?}");
    let places = problems.iter().map(|problem| (problem.line.unwrap(), problem.column.unwrap())).collect();
    let mut manifest = declared.documents.into_iter().next().expect("a document").manifest.value();
    manifest["metadata"].as_object_mut().unwrap().remove("namespace");
    (manifest, places)
}

/// A null at the top is the one value that Windlass drops.
fn without_top_nulls(mut value: Value) -> Value {
    value.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    value
}

/// Go prints a float beyond 64 bits without an exponent, so that it comes back as an integer here: compare what it is.
fn beyond_integers_are_floats(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_i64() => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(beyond_integers_are_floats),
        Value::Object(entries) => entries.values_mut().for_each(beyond_integers_are_floats),
        _ => {}
    }
}

#[test]
fn nasty_scalars_are_read_as_kubectl_reads_them() {
    let recorded: Value = serde_json::from_str(SAME_JSON).unwrap();
    assert_eq!(kubectl_reads(SAME), recorded, "kubectl reads otherwise than recorded in tests/it/scalars/same.json");
    let (read, warnings) = windlass_reads(SAME);
    let mut wanted = without_top_nulls(recorded);
    beyond_integers_are_floats(&mut wanted);
    for (field, value) in wanted.as_object().unwrap() {
        assert_eq!(&read[field], value, "{field}");
    }
    assert_eq!(read, wanted);
    assert_eq!(warnings, []);
}

#[test]
fn what_is_read_otherwise_than_by_kubectl_has_a_warning_at_its_place() {
    let (read, warnings) = windlass_reads(DIFFER);
    let kubectl = kubectl_reads(DIFFER);
    let words = read["words"].as_array().unwrap();
    assert!(words.iter().all(Value::is_string) && kubectl["words"].as_array().unwrap().iter().all(Value::is_boolean));
    let keys = |value: &Value| value["keys"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&read), ["1.0", "1e7", "off", "y"]);
    assert_eq!(keys(&kubectl), ["1", "1e+07", "false", "true"]);
    let on = |line: u32| warnings.iter().filter(|place| place.0 == line).count();
    assert_eq!((on(5), on(6), on(7)), (words.len(), 4, 2), "{warnings:?}");
    assert_ne!(read["breaks"], kubectl["breaks"]);
}
