//! Bytes of any kind through the whole pure line: read, typed, checked, expanded. It never panics, and what comes out of
//! it stays within its bounds, whatever a repository holds.
//!
//! In three ways: bytes out of nowhere; the files of `corpus/`, broken at random places; and resources of every known kind
//! whose fields exist and whose values do not fit. `PROPTEST_CASES` says how many cases are tried. What once went wrong is
//! kept as a file of `corpus/`; the first test goes through all of them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use windlass::kinds::{FAMILIES, Kind};
use windlass::plan::render::{self, Secrets};
use windlass::plan::yaml;

use super::plan;

/// No document comes to more steps: a Goop's thousand Jobs and itself.
const STEPS: usize = 1001;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/families/corpus");
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Goes all the way; panics if something comes out that should not.
fn through(bytes: &[u8]) {
    let (plan, problems) = plan([("fuzz.yaml", bytes)]);
    let mut documents: Vec<u32> = plan.steps.iter().map(|step| step.origin.document).collect();
    documents.sort_unstable();
    for same in documents.chunk_by(|a, b| a == b) {
        assert!(same.len() <= STEPS.max(bytes.len()), "{} steps of one document", same.len());
    }
    for step in &plan.steps {
        assert!(step.needs.iter().all(|need| plan.step(need).is_some()), "{} needs what is not there", step.id);
        assert!(step.id.as_str().split('/').all(|part| !part.is_empty()), "{}", step.id);
    }
    for problem in &problems {
        assert!(!problem.message.is_empty());
        assert!(problem.message.len() < 64 * 1024, "{} has no end", problem.code);
    }
    // Printing goes through everything once more.
    _ = render::json(&plan, &problems, Secrets::Masked);
}

#[test]
fn the_corpus_goes_through() {
    let corpus = corpus();
    assert!(corpus.len() > 10);
    let mut good = 0;
    for (name, bytes) in &corpus {
        through(bytes);
        good += usize::from(!plan([(name.as_str(), bytes.as_slice())]).0.steps.is_empty());
    }
    assert!(good >= 3, "some of it is right, so that breaking it leads far");
}

/// Takes a file, and breaks it at some places.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let place =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..4), 0..5_u8);
    let pieces: [&[u8]; 12] =
        [b"null", b"~", b": ", b"\n", b"- ", b"{}", b"[]", b"-1", b"99999999999999999999", b"\"", b"---\n", b"&a *a"];
    (prop::sample::select(corpus()), prop::collection::vec(place, 1..8)).prop_map(move |((_, mut bytes), places)| {
        for (at, other, new, how) in places {
            let (from, to) = (at.index(bytes.len() + 1), other.index(bytes.len() + 1));
            match how {
                0 => _ = bytes.splice(from..from, new),
                1 => _ = bytes.splice(from..from, pieces[other.index(pieces.len())].iter().copied()),
                2 => _ = bytes.drain(from.min(to)..from.max(to).min(from.min(to) + 40)),
                3 => {
                    let part = bytes[from.min(to)..from.max(to).min(from.min(to) + 200)].to_vec();
                    bytes.splice(from..from, part);
                }
                _ => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << (to % 8)),
            }
        }
        bytes
    })
}

/// Names that stand in the schema of a kind, at any depth.
fn names(schema: &Value, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        found.push(name.clone());
        names(field, found);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            names(&schema[below], found);
        }
    }
}

fn value(names: Vec<String>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..5_i64).prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        prop::sample::select(vec![
            "",
            "x",
            "Retain",
            "PerNode",
            "Always",
            "1Gi",
            "* * * * *",
            "9-1 L 0 ? 7",
            "UTC",
            "a/b:1@c"
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let name = prop_oneof![9 => prop::sample::select(names.clone()), 1 => "[ -~]{0,8}"];
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => prop::collection::btree_map(name, inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

fn resource() -> impl Strategy<Value = Value> {
    let kinds: Vec<&'static Kind> = FAMILIES.iter().flat_map(|family| family.kinds).collect();
    prop::sample::select(kinds).prop_flat_map(|kind| {
        let crd = serde_json::to_value((kind.crd)()).unwrap();
        let mut found = vec!["zz".to_owned()];
        names(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], &mut found);
        (value(found), "[a-z0-9.-]{0,70}").prop_map(move |(spec, name)| {
            json!({
                "apiVersion": format!("{}/{}", kind.group, kind.version), "kind": kind.kind,
                "metadata": {"name": name}, "spec": spec,
            })
        })
    })
}

proptest! {
    #[test]
    fn bytes_out_of_nowhere_go_through(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        through(&bytes);
    }

    #[test]
    fn broken_files_go_through(bytes in broken()) {
        through(&bytes);
    }

    #[test]
    fn resources_whose_values_do_not_fit_go_through(resource in resource()) {
        through(yaml::text(&resource).as_bytes());
    }
}
