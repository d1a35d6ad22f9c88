//! A comparison as lines for a terminal: parts with a meaning, coloured by the caller.
//!
//! Pure. Every part that has a colour has a word or sign too. Called by `cli`.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::words::{self, plain};
use super::{Comparison, Entry, FieldChange, What};
use crate::problem::Severity;

/// What a part of a line means, for whoever colours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// Less important.
    Quiet,
    /// Read first.
    Strong,
    /// Comes.
    Added,
    /// Goes.
    Removed,
    /// Changes.
    Changed,
    /// Goes, and takes something along; or will fail.
    Loud,
}

/// One line of output, in parts.
pub type Line = Vec<(Tone, String)>;

/// Lines around a change in a text of many lines.
const AROUND: usize = 3;
/// Width of the verbs.
const VERBS: usize = 8;

/// Everything, ending with a line that counts. `whole`: also what is created or deleted, in full.
#[must_use]
pub fn text(comparison: &Comparison, whole: bool) -> Vec<Line> {
    let mut lines = vec![vec![(Tone::Quiet, plain(&format!("{} → {}", comparison.from, comparison.to)))]];
    let width = comparison.entries.iter().map(|entry| words::name(&entry.id).chars().count()).max().unwrap_or(0);
    for problem in &comparison.problems {
        let tone = if problem.severity == Severity::Error { Tone::Loud } else { Tone::Changed };
        lines.push(vec![(tone, "problem   ".to_owned()), (Tone::Plain, plain(&problem.to_string()))]);
    }
    let mut above = None;
    for entry in &comparison.entries {
        one(entry, above.replace(entry), width, whole, &mut lines);
    }
    lines.push(vec![(Tone::Strong, last(comparison))]);
    lines
}

/// The lines of the fields of one entry, without its name.
#[must_use]
pub fn fields(entry: &Entry) -> Vec<Line> {
    let mut lines = Vec::new();
    entry.fields.iter().for_each(|change| field(change, &mut lines));
    lines
}

fn one(entry: &Entry, above: Option<&Entry>, width: usize, whole: bool, lines: &mut Vec<Line>) {
    let tone = match entry.what {
        What::Delete | What::Recreate | What::Fail => Tone::Loud,
        What::Refuse | What::Update | What::Adopt => Tone::Changed,
        What::Create => Tone::Added,
        What::Leave => Tone::Quiet,
    };
    let name = words::name(&entry.id);
    let gap = " ".repeat(width - name.chars().count() + 2);
    lines.push(vec![
        (tone, format!("{:VERBS$}  ", words::verb(entry.what))),
        (Tone::Strong, name),
        (Tone::Quiet, format!("{gap}{}", words::place(entry)).trim_end().to_owned()),
    ]);
    let below = |line: Line| -> Line { [vec![(Tone::Plain, " ".repeat(VERBS + 2))], line].concat() };
    let notes = words::because(entry).into_iter().chain(words::note(entry, above));
    lines.extend(notes.map(|note| below(vec![(Tone::Plain, plain(note))])));
    lines.extend(fields(entry).into_iter().map(below));
    if let Some(value) = entry.whole.as_ref().filter(|_| whole) {
        let (tone, sign) = if entry.after.is_some() { (Tone::Added, '+') } else { (Tone::Removed, '-') };
        lines.extend(words::lines(value).iter().map(|line| below(vec![(tone, format!("{sign} {line}"))])));
    }
}

fn field(change: &FieldChange, lines: &mut Vec<Line>) {
    let path = plain(&change.path);
    let (sign, tone) = match (&change.before, &change.after) {
        (None, _) => ("+", Tone::Added),
        (_, None) => ("-", Tone::Removed),
        _ => ("~", Tone::Changed),
    };
    let head = |rest: &str| vec![(tone, format!("{sign} ")), (Tone::Plain, format!("{path}{rest}"))];
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if change.order => {
            let mut line = head(" in another order: ");
            line.push((Tone::Removed, words::one_line(before)));
            line.push((Tone::Quiet, " → ".to_owned()));
            line.push((Tone::Added, words::one_line(after)));
            lines.push(line);
        }
        (Some(_), Some(_)) if change.secret => {
            lines.push([head(": "), vec![(Tone::Changed, "changed, not shown".to_owned())]].concat());
        }
        (Some(Value::String(before)), Some(Value::String(after))) if before.contains('\n') || after.contains('\n') => {
            lines.push(head(":"));
            lines.extend(unified(before, after));
        }
        (Some(before), Some(after)) if words::is_block(before) || words::is_block(after) => {
            lines.push(head(":"));
            lines.extend(block(before, Tone::Removed, '-'));
            lines.extend(block(after, Tone::Added, '+'));
        }
        (Some(before), Some(after)) => {
            let mut line = head(": ");
            line.push((Tone::Removed, words::one_line(before)));
            line.push((Tone::Quiet, " → ".to_owned()));
            line.push((Tone::Added, words::one_line(after)));
            lines.push(line);
        }
        (before, after) => {
            let Some(value) = before.as_ref().or(after.as_ref()) else { return };
            if words::is_block(value) {
                lines.push(head(":"));
                lines.extend(block(value, tone, sign.chars().next().unwrap_or(' ')));
            } else {
                lines.push([head(": "), vec![(tone, words::one_line(value))]].concat());
            }
        }
    }
}

fn block(value: &Value, tone: Tone, sign: char) -> Vec<Line> {
    let lines = if words::is_block(value) { words::lines(value) } else { vec![words::one_line(value)] };
    lines.iter().map(|line| vec![(tone, format!("  {sign} {line}"))]).collect()
}

/// A text of many lines: what changed, with a few lines around it.
fn unified(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        let at = group.first().map_or(0, |op| op.old_range().start + 1);
        if number > 0 || at > 1 {
            lines.push(vec![(Tone::Quiet, format!("  @@ line {at}"))]);
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (tone, sign) = match change.tag() {
                ChangeTag::Delete => (Tone::Removed, '-'),
                ChangeTag::Insert => (Tone::Added, '+'),
                ChangeTag::Equal => (Tone::Quiet, ' '),
            };
            let line = plain(change.value().trim_end_matches(['\n', '\r']));
            lines.push(vec![(tone, format!("  {sign} {line}"))]);
            if change.missing_newline() {
                lines.push(vec![(Tone::Quiet, "    (no line break at the end)".to_owned())]);
            }
        }
    }
    lines
}

fn last(comparison: &Comparison) -> String {
    let steps = |count: usize| format!("{count} step{}", if count == 1 { "" } else { "s" });
    let mut parts: Vec<String> = words::counts(comparison).into_iter().chain(words::problems(comparison)).collect();
    if parts.is_empty() {
        return format!("nothing differs: {} as wanted", steps(comparison.same));
    }
    if words::counts(comparison).is_none() {
        parts.insert(0, "nothing differs".to_owned());
    }
    format!("{}; {} as wanted", parts.join("; "), steps(comparison.same))
}
