use serde_json::json;

use super::*;

fn values(text: &str) -> Vec<Value> {
    parse(text).unwrap().into_iter().map(|document| document.value.unwrap()).collect()
}

fn first_fault(text: &str) -> (Code, u32, u32) {
    let fault = match parse(text) {
        Err(fault) => fault,
        Ok(documents) => documents.into_iter().find_map(|document| document.value.err()).unwrap(),
    };
    (fault.code, fault.mark.line, fault.mark.column)
}

#[test]
fn every_node_has_the_place_where_it_stands() {
    let documents = parse("# comment\n---\na: 1\n---\nb:\n  - c: x\n    d: {e: 2}\n").unwrap();
    assert_eq!(documents[0].places.start(), Mark { line: 3, column: 1 });
    assert_eq!(documents[1].number, 2);
    for (pointer, line, column) in
        [("", 5, 1), ("/b", 5, 1), ("/b/0", 6, 5), ("/b/0/c", 6, 5), ("/b/0/d", 7, 5), ("/b/0/d/e", 7, 9)]
    {
        assert_eq!(documents[1].places.find(pointer), Mark { line, column }, "{pointer}");
    }
}

#[test]
fn empty_documents_comments_and_end_marks_are_passed_over() {
    for text in ["", "\n", "# only\n", "---\n", "---\n...\n---\n# x\n", "~\n---\nnull\n"] {
        assert_eq!(values(text), Vec::<Value>::new(), "{text:?}");
    }
    assert_eq!(values("---\na: 1\n...\n---\n---\nb: 2\n"), [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(values("--- {a: 1}\n--- # c\nb: 2\n"), [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(values("%YAML 1.2\n---\na: 1\n"), [json!({"a": 1})]);
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let plain = "a: |\n  x\n  y\nb: 'p\n  q'\n---\nc: 1\n";
    assert_eq!(values(plain), values(&plain.replace('\n', "\r\n")));
    assert_eq!(values(plain), values(&format!("\u{feff}{plain}")));
}

#[test]
fn json_is_read_too() {
    let text = "{\n\t\"a\": [1, 2.5, true, null, \"x\\/\\ud83d\\ude00\"],\n\t\"b\": {}\n}\n";
    assert_eq!(values(text), [serde_json::from_str::<Value>(text).unwrap()]);
}

#[test]
fn a_document_that_cannot_be_read_leaves_its_neighbours_alone() {
    let documents = parse("a: 1\n---\nb: [\n---\nc: 3\n").unwrap();
    let read: Vec<_> = documents.iter().map(|document| document.value.is_ok()).collect();
    assert_eq!(read, [true, false, true]);
    assert_eq!(documents[2].places.start().line, 5);
    assert_eq!(documents[2].number, 3);
}

#[test]
fn duplicate_keys_are_refused_where_the_second_stands() {
    assert_eq!(first_fault("a:\n  b: 1\n  c: 2\n  b: 3\n"), (Code::DuplicateKey, 4, 3));
    assert_eq!(first_fault("{a: 1, 'a': 2}\n"), (Code::DuplicateKey, 1, 8));
}

#[test]
fn merges_are_read_as_kubectl_reads_them() {
    let text = "base: &b {x: 1, y: 2}\na: {<<: *b, x: 3}\nb: {x: 3, <<: *b}\nc: {<<: [{x: 5}, *b]}\n";
    let value = &values(text)[0];
    assert_eq!(value["a"], json!({"x": 3, "y": 2}));
    assert_eq!(value["b"], json!({"x": 1, "y": 2}));
    assert_eq!(value["c"], json!({"x": 5, "y": 2}));
    assert_eq!(first_fault("a: {<<: 1}\n").0, Code::YamlSyntax);
}

#[test]
fn aliases_that_explode_are_refused() {
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(", "));
    }
    assert_eq!(first_fault(&bomb).0, Code::YamlBudget);
    assert_eq!(first_fault("a: &a [*a]\n").0, Code::YamlSyntax);
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1000].join(", "));
    assert_eq!(first_fault(&long).0, Code::YamlBudget);
}

#[test]
fn nesting_is_bounded_in_flow_block_and_aliases() {
    let flow = |depth: usize| format!("a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(values(&flow(63)).len(), 1);
    assert_eq!(first_fault(&flow(64)).0, Code::YamlBudget);
    assert_eq!(first_fault(&flow(100_000)).0, Code::YamlBudget);
    let block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(first_fault(&block).0, Code::YamlBudget);
    let nested = format!("a: &a {}{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert_eq!(first_fault(&nested).0, Code::YamlBudget);
}

#[test]
fn a_file_has_at_most_ten_thousand_documents() {
    let most = MAX_DOCUMENTS as usize;
    let many = |count: usize| "---\na: 1\n".repeat(count);
    assert_eq!(parse(&many(most)).unwrap().len(), most);
    assert_eq!(parse(&many(most + 1)).unwrap_err().code, Code::TooManyDocuments);
}

#[test]
fn words_that_kubectl_reads_otherwise_are_named_where_they_stand() {
    let documents = parse("a: yes\non: 1\nb: 'yes'\nc: \"x\u{2028}y\"\nd: \"\\u2028\"\n").unwrap();
    let places: Vec<_> = documents[0].differs.iter().map(|fault| (fault.mark.line, fault.mark.column)).collect();
    assert_eq!(places, [(1, 4), (2, 1), (4, 4)]);
    assert_eq!(documents[0].value, Ok(json!({"a": "yes", "on": 1, "b": "yes", "c": "x\u{2028}y", "d": "\u{2028}"})));
}

#[test]
fn tags_of_other_programs_are_refused() {
    assert_eq!(first_fault("a: !Ref b\n"), (Code::YamlSyntax, 1, 9));
    assert_eq!(values("a: !!str 1\nb: !!int '5'\nc: !!binary aGk=\n"), [json!({"a": "1", "b": 5, "c": "hi"})]);
    assert_eq!(first_fault("a: !!int x\n").0, Code::YamlSyntax);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ \\-\\[\\]{}:,&*!#|>'\"%@`~a-c0-9<=.\n\t\r\u{feff}\u{2028}]{0,120}") {
        _ = parse(&text);
    }

    #[test]
    fn json_means_the_same_as_to_a_json_reader(value in json_value()) {
        let text = value.to_string();
        let read: Vec<Value> = parse(&text).unwrap().into_iter().map(|document| document.value.unwrap()).collect();
        let wanted: Vec<Value> = if value.is_null() { Vec::new() } else { vec![value] };
        proptest::prop_assert_eq!(read, wanted);
    }
}

fn json_value() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = proptest::prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[^\\u{7f}-\\u{9f}\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        proptest::prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z ]{0,8}", inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}
