//! What the docs promise, held against the code.

mod manual;

use windlass::problem::Code;

const PROBLEMS: &str = include_str!("../../docs/problems.md");

#[test]
fn every_problem_code_has_an_entry_and_every_entry_a_code() {
    let headings: Vec<&str> = PROBLEMS.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(headings, codes, "docs/problems.md has one `## Code` a code, in the order of src/problem.rs");
}

#[test]
fn every_entry_has_a_meaning_an_example_of_its_code_and_what_to_do() {
    for entry in PROBLEMS.split("\n## ").skip(1) {
        let (code, text) = entry.split_once("\n\n").expect("a heading and a text");
        let (meaning, rest) = text.split_once("```text\n").unwrap_or_else(|| panic!("{code} has no example"));
        let (example, advice) = rest.split_once("\n```\n").unwrap_or_else(|| panic!("{code}'s example has no end"));
        assert!(meaning.len() > 20, "{code} says what it means");
        assert!(example.contains(&format!("{code}: ")), "the example of {code} is one: {example}");
        assert!(advice.trim().starts_with("**What to do:** "), "{code} says what to do");
    }
}
