use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::plan::canonical;
use crate::revision::{Content, File};

fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (path, text) in files {
        let file = File {
            blob: canonical::hash_bytes(text.as_bytes()).into(),
            content: Content::Read(Arc::from(text.as_bytes())),
        };
        snapshot.files.insert((*path).into(), file);
    }
    snapshot
}

fn read_fresh(files: &[(&str, &str)]) -> (Declared, Problems) {
    read(&snapshot(files), &Context::default(), &mut Memo::default())
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata: {x: '1'}\n";

#[test]
fn a_plain_object_passes_through_with_its_namespace_filled_in() {
    let (declared, problems) = read_fresh(&[("a.yaml", MAP)]);
    assert_eq!(problems, []);
    let document = &declared.documents[0];
    assert_eq!(document.id.as_str(), "object/core/ConfigMap/default/a");
    assert_eq!(
        document.manifest.value(),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": {"x": "1"}})
    );
    assert_eq!((document.origin.path.as_str(), document.origin.document, document.origin.line), ("a.yaml", 1, 1));
    assert_eq!(declared.held.present.len(), 1);
    assert!(declared.held.paths.is_empty() && !declared.held.empty);
}

#[test]
fn the_target_namespace_fills_only_a_missing_one() {
    let named = MAP.replace("name: a", "name: b\n  namespace: own");
    let context = Context { target_namespace: Some("team".to_owned()), ..Context::default() };
    let files = snapshot(&[("a.yaml", MAP), ("b.yaml", &named)]);
    let (declared, _) = read(&files, &context, &mut Memo::default());
    let ids: Vec<_> = declared.documents.iter().map(|document| document.id.as_str()).collect();
    assert_eq!(ids, ["object/core/ConfigMap/team/a", "object/core/ConfigMap/own/b"]);
}

#[test]
fn a_list_is_taken_apart_and_its_items_keep_their_places() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n\
                - apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: B\n";
    let (declared, problems) = read_fresh(&[("a.yaml", text)]);
    assert_eq!(declared.documents[0].id.as_str(), "object/core/ConfigMap/default/a");
    assert_eq!(declared.documents[0].origin.line, 4);
    assert_eq!(problems[0].code, Code::InvalidName);
    assert_eq!((problems[0].line, problems[0].column), (Some(10), Some(5)));
    assert_eq!(problems[0].pointer.as_deref(), Some("/items/1/metadata/name"));
}

#[test]
fn nulls_at_the_top_of_plain_objects_are_dropped_and_further_down_they_stay() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: null}\nstatus:\nspec: {selector: null}\n";
    let (declared, problems) = read_fresh(&[("a.yaml", text)]);
    assert_eq!(problems, []);
    let wanted = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "default"}, "spec": {"selector": null}
    });
    assert_eq!(declared.documents[0].manifest.value(), wanted);
}

#[test]
fn what_windlass_writes_on_objects_is_taken_off() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    windlass.dev/origin: x\n    \
                windlass.dev/content-hash: x\n";
    let (declared, problems) = read_fresh(&[("a.yaml", text)]);
    assert_eq!(problems, []);
    assert_eq!(declared.documents[0].manifest.value()["metadata"], json!({"name": "a", "namespace": "default"}));
}

#[test]
fn an_unchanged_file_is_not_parsed_again_and_a_removed_one_is_forgotten() {
    let mut memo = Memo::default();
    let both = snapshot(&[("a.yaml", MAP), ("b.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: b}\n")]);
    let first = read(&both, &Context::default(), &mut memo);
    assert_eq!(memo.counts(), (2, 0));
    assert_eq!(read(&both, &Context::default(), &mut memo), first);
    assert_eq!(memo.counts(), (2, 2));
    let one = snapshot(&[("a.yaml", MAP)]);
    _ = read(&one, &Context::default(), &mut memo);
    assert_eq!(memo.counts(), (2, 3));
    _ = read(&both, &Context::default(), &mut memo);
    assert_eq!(memo.counts(), (3, 4));
}

#[test]
fn a_path_that_the_source_could_not_read_protects_what_it_declared() {
    let mut files = snapshot(&[("a.yaml", MAP)]);
    files.problems.push(Problem::error(Code::FileTooLarge, "too large").in_file("big.yaml"));
    files.problems.push(Problem::error(Code::PathMissing, "no folder apps"));
    let (declared, problems) = read(&files, &Context::default(), &mut Memo::default());
    assert_eq!((declared.documents.len(), problems.len()), (1, 2));
    assert!(declared.held.paths.contains("big.yaml") && declared.held.paths.len() == 2);
}

#[test]
fn ten_thousand_documents_of_a_file_are_read_in_time_that_grows_with_them() {
    let text = |count: usize| {
        (0..count).map(|n| format!("---\n{}", MAP.replace("name: a", &format!("name: a{n}")))).collect::<String>()
    };
    let time = |count: usize| {
        let text = text(count);
        let start = std::time::Instant::now();
        assert_eq!(read_fresh(&[("a.yaml", &text)]).0.documents.len(), count);
        start.elapsed()
    };
    // Quadratic reading would take 100 times as long for 10 times as much.
    let (small, large) = (time(1_000), time(10_000));
    assert!(large < small * 40, "1,000: {small:?}, 10,000: {large:?}");
    println!("1,000: {small:?}, 10,000: {large:?}");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let file = File { blob: "x".into(), content: Content::Read(Arc::from(bytes)) };
        let mut files = Snapshot::default();
        files.files.insert("a.yaml".into(), file);
        _ = read(&files, &Context::default(), &mut Memo::default());
    }

    #[test]
    fn what_is_remembered_reads_as_what_is_read_afresh(
        passes in proptest::collection::vec(
            proptest::collection::btree_map("[abc]", 0usize..6, 0..4), 1..5)
    ) {
        let texts = [
            "", "a: [", MAP, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: B}\n",
            "apiVersion: x.y/v1\nkind: Z\nmetadata: {name: z}\n", "apiVersion: v1\nkind: Node\nmetadata: {name: n, namespace: x}\n",
        ];
        let mut memo = Memo::default();
        for pass in passes {
            let files: Vec<(String, &str)> = pass.into_iter().map(|(name, text)| (format!("{name}.yaml"), texts[text])).collect();
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
            let remembered = read(&snapshot(&files), &Context::default(), &mut memo);
            proptest::prop_assert_eq!(remembered, read_fresh(&files));
        }
    }
}
