//! One file: bytes to typed documents, whatever is wrong with them.
//!
//! Pure, and depends on nothing but the path and the bytes, so that its outcome can be kept (`memo`). Called by `read`.

use super::places::Mark;
use super::typing::{self, Typed};
use super::yaml;
use crate::problem::{Code, Problem, Severity};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Documents whose identity is known, in order.
    pub(super) documents: Vec<Typed>,
    /// What is wrong, with file and place.
    pub(super) problems: Vec<Problem>,
    /// What its CRDs say: whether a kind, by (group, kind), has namespaces.
    pub(super) scopes: Vec<((String, String), bool)>,
}

/// Whether a file's name makes it a document.
pub(super) fn is_document(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name.rsplit_once('.'), Some((stem, "yaml" | "yml" | "json")) if !stem.is_empty())
}

/// Reads a file.
pub(super) fn read(path: &str, bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let read = text(bytes).and_then(|text| {
        yaml::each(text, &mut |document| take(path, document, &mut outcome))
            .map_err(|fault| place(path, None, fault.mark, fault.code, fault.message))
    });
    match read {
        Ok(()) => outcome,
        Err(problem) => Outcome { problems: vec![problem.in_file(path)], ..Outcome::default() },
    }
}

fn take(path: &str, document: yaml::Parsed, outcome: &mut Outcome) {
    let number = document.number;
    match document.value {
        Ok(value) => {
            for fault in document.differs {
                let mut problem = place(path, Some(number), fault.mark, fault.code, fault.message);
                problem.severity = Severity::Warning;
                outcome.problems.push(problem);
            }
            let file = typing::Place { path, number, places: &document.places };
            typing::document(&file, value, outcome);
        }
        Err(fault) => outcome.problems.push(place(path, Some(number), fault.mark, fault.code, fault.message)),
    }
}

fn place(path: &str, number: Option<u32>, mark: Mark, code: Code, message: String) -> Problem {
    let mut problem = Problem::error(code, message).in_file(path).at(mark.line, mark.column);
    problem.document = number;
    problem
}

/// The text of a file, or why it is none.
fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let what = if utf16 {
        "the file is UTF-16; save it as UTF-8"
    } else if bytes.contains(&0) {
        "the file is not text: it holds NUL bytes; remove it or name it in .windlassignore"
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
                let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
                let message = "the file is not UTF-8 from here on; save it as UTF-8, or name it in .windlassignore";
                return Err(Problem::error(Code::FileNotText, message).at(small(line), small(column)));
            }
        }
    };
    Err(Problem::error(Code::FileNotText, what))
}
