//! YAML text of a manifest; the only place that writes YAML (`declared::yaml` is the only one that reads it).
//!
//! Pure. Called by `plan::render`, by the directory target and by whatever prints objects.

use serde_json::Value;

/// Block YAML with a final newline and without a document marker: keys sorted, strings quoted where another reading
/// is possible, long lines kept whole so that a text diff shows what changed.
#[must_use]
pub fn text(value: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        folded_wrap_chars: usize::MAX,
    };
    // JSON is YAML: the text stays right even if the writer should refuse a value.
    let mut text = serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| value.to_string());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Reads back what [`text`] wrote; none for what is not YAML. For files of ours only: it checks nothing that documents
/// of a repository are checked for.
#[must_use]
pub fn read_back(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn strings_that_look_like_something_else_are_quoted() {
        for nasty in [
            "0644",
            "08",
            "1_000",
            "1e3",
            "yes",
            "on",
            "y",
            "null",
            "~",
            "",
            "<<",
            "=",
            "2024-01-01",
            "1:30",
            "0x1f",
            "-",
            "# a",
            "a: b",
            " a",
            "*",
            "&",
            "!",
            "%",
            "@",
            "`",
            "true",
            ".5",
            ".inf",
            "a\tb",
            "a\r\nb",
        ] {
            let value = json!({"k": nasty, nasty: [nasty]});
            assert_eq!(read(&text(&value)), value, "{}", text(&value));
            assert!(!text(&value).contains("k: 0644"));
        }
    }

    #[test]
    fn a_script_is_a_block_and_a_long_line_stays_one_line() {
        let long = "word ".repeat(60) + "end";
        let value = json!({"long": long, "script": "a\nb\n"});
        assert_eq!(text(&value), format!("long: {long}\nscript: |\n  a\n  b\n"));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\n\t]{0,40}".prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{1,12}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(value in values()) {
            prop_assert_eq!(read(&text(&value)), value);
        }
    }
}
