//! The tree: every declared document with what it expanded to.
//!
//! Pure. Colours are the caller's: a line says what its parts are, not how they look.

use std::collections::BTreeMap;

use crate::plan::{Plan, Step, StepId};

/// What a line is about, for whoever colours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// A namespace, or the cluster as a whole.
    Scope,
    /// A plain object, declared as it is.
    Plain,
    /// A high-level CR that expanded to something.
    Cr,
    /// What a CR expanded to.
    Child,
}

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Branches before the name, as in `│  └─ `.
    pub indent: String,
    /// `Kind/name`.
    pub name: String,
    /// Where it comes from, as in `web/cache.yaml:1`; empty for children and scopes.
    pub place: String,
    /// What it is about.
    pub tone: Tone,
}

/// Lines by namespace (cluster-scoped objects first), then by name; children below their CR.
#[must_use]
pub fn tree(plan: &Plan) -> Vec<Line> {
    let mut children: BTreeMap<&StepId, Vec<&Step>> = BTreeMap::new();
    let mut scopes: BTreeMap<Option<&str>, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        match &step.owner {
            Some(owner) => children.entry(owner).or_default().push(step),
            None => scopes.entry(step.origin.namespace.as_deref()).or_default().push(step),
        }
    }
    children.values_mut().for_each(|steps| steps.sort_by_key(|step| natural(&step.id)));
    let mut lines = Vec::new();
    for (scope, mut steps) in scopes {
        let name = scope.unwrap_or("(cluster)").to_owned();
        lines.push(Line { indent: String::new(), name, place: String::new(), tone: Tone::Scope });
        steps.sort_by_key(|step| natural(&step.id));
        branch(&mut lines, &steps, "", &children);
    }
    lines
}

/// The tree as plain text: the places stand in one column.
#[must_use]
pub fn tree_text(plan: &Plan) -> String {
    let lines = tree(plan);
    let widest = lines.iter().map(width).max().unwrap_or_default();
    let mut text = String::new();
    for line in &lines {
        text.push_str(&line.indent);
        text.push_str(&line.name);
        if !line.place.is_empty() {
            text.extend(std::iter::repeat_n(' ', widest - width(line) + 2));
            text.push_str(&line.place);
        }
        text.push('\n');
    }
    text
}

fn width(line: &Line) -> usize {
    line.indent.chars().count() + line.name.chars().count()
}

fn branch(lines: &mut Vec<Line>, steps: &[&Step], indent: &str, children: &BTreeMap<&StepId, Vec<&Step>>) {
    for (index, step) in steps.iter().enumerate() {
        let last = index + 1 == steps.len();
        let below = children.get(&step.id).map(Vec::as_slice).unwrap_or_default();
        let tone = match (&step.owner, below) {
            (Some(_), _) => Tone::Child,
            (None, []) => Tone::Plain,
            (None, _) => Tone::Cr,
        };
        let place = match step.owner {
            None => format!("{}:{}", step.origin.path, step.origin.line),
            Some(_) => String::new(),
        };
        let indent_here = format!("{indent}{}", if last { "└─ " } else { "├─ " });
        lines.push(Line { indent: indent_here, name: name(&step.id), place, tone });
        branch(lines, below, &format!("{indent}{}", if last { "   " } else { "│  " }), children);
    }
}

/// `Kind/name` of an object; the whole id of anything else.
fn name(id: &StepId) -> String {
    id.object_parts().map_or_else(|| id.to_string(), |parts| format!("{}/{}", parts.kind, parts.name))
}

/// Sorts `job-2` before `job-10`: the final number of the name counts as a number.
fn natural(id: &StepId) -> (String, u64, &StepId) {
    let name = name(id);
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[stem.len()..].parse().unwrap_or_default();
    (stem.to_owned(), number, id)
}
