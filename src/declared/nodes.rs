//! Values of a document that need no parser: tags, merges, how large and deep a value is, and what may be wrong.
//!
//! Pure; knows no YAML crate. Called by `yaml`.

use base64::Engine as _;
use serde_json::{Map, Value};

use super::places::Mark;
use super::scalar::{self, Scalar};
use super::yaml::MAX_DEPTH;
use crate::problem::Code;

/// Something wrong with the text of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) mark: Mark,
    pub(super) message: String,
}

pub(super) const OTHER_BOOLEAN: &str = "this word without quotes is text here (YAML 1.2), but kubectl reads a boolean (YAML 1.1); \
                             write true or false, or put the text in quotes";
pub(super) const DIFFERENT_KEY: &str = "this key without quotes is taken as it stands, but kubectl reads a number or boolean and changes it; put it in quotes";
pub(super) const ODD_BREAK: &str = "this text holds U+0085, U+2028 or U+2029, a character here (YAML 1.2) but the end of a line to \
                         kubectl (YAML 1.1); write it as an escape in double quotes";

pub(super) fn fault(code: Code, mark: Mark, message: String) -> Fault {
    Fault { code, mark, message }
}

pub(super) fn too_deep(mark: Mark) -> Fault {
    fault(Code::YamlBudget, mark, format!("mappings and lists stand more than {MAX_DEPTH} deep in one another"))
}

pub(super) fn not_a_key(mark: Mark) -> Fault {
    fault(Code::WrongType, mark, "a key must be a text; put it in quotes".to_owned())
}

pub(super) fn tagged(kind: &str, text: &str, mark: Mark) -> Result<Value, Fault> {
    let value = match (kind, scalar::plain(text)) {
        ("int", Scalar::Same(Value::Number(value))) if !text.contains(['.', 'e', 'E']) || text.starts_with("0x") => {
            Some(Value::Number(value))
        }
        ("float", Scalar::Same(Value::Number(value))) => Some(Value::Number(value)),
        ("bool", Scalar::Same(value @ Value::Bool(_))) => Some(value),
        ("bool", Scalar::Boolean) => Some(Value::Bool(text.starts_with(['y', 'Y']) || text.eq_ignore_ascii_case("on"))),
        ("null", Scalar::Same(Value::Null)) => Some(Value::Null),
        _ => None,
    };
    value.ok_or_else(|| fault(Code::YamlSyntax, mark, format!("the value is not what its tag !!{kind} says")))
}

pub(super) fn binary(text: &str, mark: Mark) -> Result<String, Fault> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(packed).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        let message = "the value tagged !!binary is not base64 of UTF-8 text; use binaryData or a Secret's data";
        fault(Code::YamlSyntax, mark, message.to_owned())
    })
}

/// What a `<<` brings in: the first mapping wins.
pub(super) fn merge_sources(value: Value, alias: bool, mark: Mark) -> Result<Vec<Map<String, Value>>, Fault> {
    let wrong = || fault(Code::YamlSyntax, mark, "`<<` takes a mapping or a list of mappings".to_owned());
    match value {
        Value::Object(map) => Ok(vec![map]),
        Value::Array(items) if !alias => items
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => Ok(map),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

pub(super) fn weight(value: &Value) -> usize {
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(entries) => entries.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        _ => 0,
    }
}

pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
