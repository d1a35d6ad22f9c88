//! YAML (and so JSON) files to JSON values, each with the place of its nodes.
//!
//! Pure; the only file that knows the YAML crate, of which it uses the event parser: its own resolver reads words
//! otherwise than kubectl in a dozen cases, and gives no place to a value. Never fails as a whole, never panics, and
//! never puts content of a file into a message. Called by `file`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::budget::Budget;
use super::chunks::chunks;
use super::nodes::{
    DIFFERENT_KEY, Fault, ODD_BREAK, OTHER_BOOLEAN, binary, depth, fault, merge_sources, not_a_key, tagged, too_deep,
    weight,
};
use super::places::{self, Mark, Places};
use super::scalar::{self, Key, Scalar};
use crate::problem::Code;

/// Mappings and lists inside one another.
pub(super) const MAX_DEPTH: usize = 64;
/// Documents in one file.
pub(super) const MAX_DOCUMENTS: u32 = 10_000;

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parsed {
    /// Number in the file, from 1; empty documents do not count.
    pub(super) number: u32,
    /// Its value, or why there is none.
    pub(super) value: Result<Value, Fault>,
    /// Where its nodes stand.
    pub(super) places: Places,
    /// What kubectl reads otherwise.
    pub(super) differs: Vec<Fault>,
}

/// Reads a file. An error stands for the whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Parsed>, Fault> {
    let mut documents = Vec::new();
    each(text, &mut |document| documents.push(document))?;
    Ok(documents)
}

/// Reads a file document by document, so that no more than one has to be in memory. An error stands for the whole file,
/// also for what was handed out before.
pub(super) fn each(text: &str, take: &mut dyn FnMut(Parsed)) -> Result<(), Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut budget = Budget::whole();
    let mut count = 0;
    for (chunk, first_line) in chunks(text) {
        read_chunk(chunk, first_line, &mut budget, &mut count, take)?;
    }
    Ok(())
}

fn read_chunk(
    chunk: &str,
    first_line: u32,
    budget: &mut Budget,
    count: &mut u32,
    take: &mut dyn FnMut(Parsed),
) -> Result<(), Fault> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let odd_breaks = chunk.contains(ODD_BREAKS);
    let mut parser = Parser::new_from_str_with_options(chunk, options);
    let mut composer = Composer::new(chunk, first_line - 1, odd_breaks);
    loop {
        let outcome = match parser.next_event() {
            None => return Ok(()),
            Some(Ok((Event::DocumentEnd, _))) => Ok(true),
            Some(Ok((event, span))) => composer.take(event, span, budget).map(|()| false),
            Some(Err(error)) => Err(composer.scan_error(&error)),
        };
        let value = match outcome {
            Ok(false) => continue,
            Ok(true) => Ok(composer.root.take().unwrap_or(Value::Null)),
            Err(fault) => Err(fault),
        };
        let failed = value.is_err();
        if value != Ok(Value::Null) {
            if *count == MAX_DOCUMENTS {
                let message = format!(
                    "reading the file: it holds more than {MAX_DOCUMENTS} documents; split it into several files"
                );
                return Err(Fault { code: Code::TooManyDocuments, mark: composer.start(), message });
            }
            *count += 1;
            take(composer.finish(*count, value));
        }
        if failed {
            return Ok(());
        }
        composer.next_document();
    }
}

/// Ends of lines in YAML 1.1, which kubectl reads, and plain characters in YAML 1.2.
const ODD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

enum Frame {
    Mapping { entries: Map<String, Value>, merged: BTreeSet<String>, key: Option<Slot>, anchor: usize, hash: u64 },
    List { items: Vec<Value>, anchor: usize, hash: u64 },
}

enum Slot {
    Key(String),
    Merge,
}

/// Builds one document's value from events.
struct Composer<'text> {
    text: &'text str,
    lines_above: u32,
    odd_breaks: bool,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, (Value, usize)>,
    nodes: Vec<(u64, Mark)>,
    start: Option<Mark>,
    last: Mark,
    differs: Vec<Fault>,
    root: Option<Value>,
}

impl<'text> Composer<'text> {
    fn new(text: &'text str, lines_above: u32, odd_breaks: bool) -> Self {
        Self {
            text,
            lines_above,
            odd_breaks,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: Vec::new(),
            start: None,
            last: Mark { line: lines_above + 1, column: 1 },
            differs: Vec::new(),
            root: None,
        }
    }

    fn next_document(&mut self) {
        self.stack.clear();
        self.anchors.clear();
        self.nodes.clear();
        self.start = None;
        self.differs.clear();
        self.root = None;
    }

    fn start(&self) -> Mark {
        self.start.unwrap_or(self.last)
    }

    fn finish(&mut self, number: u32, value: Result<Value, Fault>) -> Parsed {
        let places = Places::new(self.start(), std::mem::take(&mut self.nodes));
        Parsed { number, value, places, differs: std::mem::take(&mut self.differs) }
    }

    fn mark(&self, line: usize, column: usize) -> Mark {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Mark { line: small(line).max(1).saturating_add(self.lines_above), column: small(column).saturating_add(1) }
    }

    fn take(&mut self, event: Event<'_>, span: Span, budget: &mut Budget) -> Result<(), Fault> {
        let mark = self.mark(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(mark, budget)?;
                self.odd_break(mark, span);
                self.scalar(&text, style, anchor, tag.as_deref(), mark, budget)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.count(mark, budget)?;
                let hash = self.open(mark, tag.as_deref())?;
                self.stack.push(Frame::List { items: Vec::new(), anchor, hash });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.count(mark, budget)?;
                let hash = self.open(mark, tag.as_deref())?;
                let (entries, merged) = (Map::new(), BTreeSet::new());
                self.stack.push(Frame::Mapping { entries, merged, key: None, anchor, hash });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { items, anchor, .. }) => {
                    self.attach(Value::Array(items), anchor, false, mark, budget)
                }
                Some(Frame::Mapping { entries, anchor, .. }) => {
                    self.attach(Value::Object(entries), anchor, false, mark, budget)
                }
                None => Ok(()),
            },
            Event::Alias(id) => self.alias(id, mark, budget),
            _ => Ok(()),
        }
    }

    fn count(&mut self, mark: Mark, budget: &mut Budget) -> Result<(), Fault> {
        self.last = mark;
        if self.start.is_none() {
            self.start = Some(mark);
            self.nodes.push((places::ROOT, mark));
        }
        budget.count(mark)
    }

    /// Notes where a list or mapping begins and gives the hash of its pointer.
    fn open(&mut self, mark: Mark, tag: Option<&Tag>) -> Result<u64, Fault> {
        known_tag(tag, &["map", "seq", "omap", "set", "pairs"], mark)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(mark));
        }
        match self.stack.last_mut() {
            None => Ok(places::ROOT),
            Some(Frame::List { items, hash, .. }) => {
                let hash = places::child(*hash, &items.len().to_string());
                self.nodes.push((hash, mark));
                Ok(hash)
            }
            Some(Frame::Mapping { key: Some(Slot::Key(name)), hash, .. }) => Ok(places::child(*hash, name)),
            Some(Frame::Mapping { key: Some(Slot::Merge), hash, .. }) => Ok(places::child(*hash, "<<")),
            Some(Frame::Mapping { key: None, .. }) => Err(not_a_key(mark)),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        mark: Mark,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let kind = known_tag(tag, &["str", "int", "float", "bool", "null", "binary", "timestamp", "merge"], mark)?;
        // A lone `!` makes text of a word, as it does to kubectl.
        let bare = kind.is_none() && style == ScalarStyle::Plain;
        if let Some(Frame::Mapping { key: slot @ None, .. }) = self.stack.last_mut() {
            if text == "<<" && (bare || kind == Some("merge")) {
                *slot = Some(Slot::Merge);
                return Ok(());
            }
            let name = if bare { scalar::key(text) } else { Key::Same(text.to_owned()) };
            let name = match name {
                Key::Same(name) => name,
                Key::Null => return Err(not_a_key(mark)),
                Key::Differs => {
                    self.differs.push(fault(Code::ScalarDiffers, mark, DIFFERENT_KEY.to_owned()));
                    text.to_owned()
                }
            };
            if anchor > 0 {
                self.anchors.insert(anchor, (Value::String(name.clone()), weight(&Value::Null) + name.len()));
            }
            return self.name(name, mark);
        }
        let value = match kind {
            Some("str" | "timestamp") => Value::from(text),
            Some("binary") => Value::from(binary(text, mark)?),
            Some("merge") => Value::from(text),
            Some(kind @ ("int" | "float" | "bool" | "null")) => tagged(kind, text, mark)?,
            _ if bare => match scalar::plain(text) {
                Scalar::Same(value) => value,
                Scalar::Boolean => {
                    self.differs.push(fault(Code::ScalarDiffers, mark, OTHER_BOOLEAN.to_owned()));
                    Value::from(text)
                }
                Scalar::NotFinite => {
                    let message =
                        "infinity and not-a-number cannot be sent to Kubernetes; put it in quotes if it is text";
                    return Err(fault(Code::InvalidValue, mark, message.to_owned()));
                }
            },
            _ => Value::from(text),
        };
        self.attach(value, anchor, false, mark, budget)
    }

    /// Takes a text as the name of the next field.
    fn name(&mut self, name: String, mark: Mark) -> Result<(), Fault> {
        let Some(Frame::Mapping { entries, merged, key, hash, .. }) = self.stack.last_mut() else { return Ok(()) };
        if entries.contains_key(&name) && !merged.contains(&name) {
            let message = "the mapping already has this key; remove one of the two".to_owned();
            return Err(fault(Code::DuplicateKey, mark, message));
        }
        self.nodes.push((places::child(*hash, &name), mark));
        *key = Some(Slot::Key(name));
        Ok(())
    }

    fn alias(&mut self, id: usize, mark: Mark, budget: &mut Budget) -> Result<(), Fault> {
        self.count(mark, budget)?;
        let Some((value, weight)) = self.anchors.get(&id) else {
            let message = "not valid YAML: the alias names the mapping or list in which it stands".to_owned();
            return Err(fault(Code::YamlSyntax, mark, message));
        };
        budget.pay(*weight, mark)?;
        if self.stack.len() + depth(value) > MAX_DEPTH {
            return Err(too_deep(mark));
        }
        let value = value.clone();
        if let Some(Frame::Mapping { key: None, .. }) = self.stack.last() {
            return match value {
                Value::String(name) => self.name(name, mark),
                Value::Bool(_) | Value::Number(_) => self.name(value.to_string(), mark),
                _ => Err(not_a_key(mark)),
            };
        }
        self.attach(value, 0, true, mark, budget)
    }

    /// Puts a finished value where it belongs.
    fn attach(
        &mut self,
        value: Value,
        anchor: usize,
        alias: bool,
        mark: Mark,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        if anchor > 0 {
            let weight = weight(&value);
            budget.pay(weight, mark)?;
            self.anchors.insert(anchor, (value.clone(), weight));
        }
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List { items, hash, .. }) => {
                if !matches!(value, Value::Array(_) | Value::Object(_)) || alias {
                    self.nodes.push((places::child(*hash, &items.len().to_string()), mark));
                }
                items.push(value);
            }
            Some(Frame::Mapping { entries, merged, key, .. }) => match key.take() {
                Some(Slot::Key(name)) => {
                    merged.remove(&name);
                    entries.insert(name, value);
                }
                Some(Slot::Merge) => {
                    for (name, value) in merge_sources(value, alias, mark)?.into_iter().rev().flatten() {
                        if !entries.contains_key(&name) {
                            merged.insert(name.clone());
                        }
                        // As in kubectl, the merge also wins over a key that stands before it.
                        entries.insert(name, value);
                    }
                }
                None => return Err(not_a_key(mark)),
            },
        }
        Ok(())
    }

    fn odd_break(&mut self, mark: Mark, span: Span) {
        if self.odd_breaks && span.slice(self.text).is_some_and(|source| source.contains(ODD_BREAKS)) {
            self.differs.push(fault(Code::ScalarDiffers, mark, ODD_BREAK.to_owned()));
        }
    }

    fn scan_error(&self, error: &ScanError) -> Fault {
        let mark = self.mark(error.marker().line(), error.marker().col());
        match error.kind() {
            granit_parser::ErrorKind::RecursionLimitExceeded => too_deep(mark),
            granit_parser::ErrorKind::UnexpectedCharacter { .. } => fault(
                Code::YamlSyntax,
                mark,
                "not valid YAML: this character is not allowed here; in a text, put it in double quotes as an escape"
                    .to_owned(),
            ),
            kind => fault(Code::YamlSyntax, mark, format!("not valid YAML: {kind}")),
        }
    }
}

/// The short name of a tag, if it is one that a document may use here.
fn known_tag(tag: Option<&Tag>, allowed: &[&'static str], mark: Mark) -> Result<Option<&'static str>, Fault> {
    let Some(tag) = tag else { return Ok(None) };
    if tag.parts() == ("", "!") || tag.parts() == ("!", "") {
        return Ok(Some("!"));
    }
    let name = tag.suffix_in_namespace("tag:yaml.org,2002:");
    match allowed.iter().find(|known| name.as_deref() == Some(**known)) {
        Some(known) => Ok(Some(known)),
        None => {
            let message =
                "not valid here: Kubernetes documents have no YAML tags of their own; kubectl would drop the tag";
            Err(fault(Code::YamlSyntax, mark, message.to_owned()))
        }
    }
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
