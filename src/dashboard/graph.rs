//! The order graph: what waits for what, from left to right, one box a declared document.
//!
//! Pure. Made from the plan's edges; used by `pages`.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{State, StepId};
use crate::report::attention::{Tone, name_of};
use crate::report::view::SyncView;

use super::words;

/// Boxes at most; above, only what is not ready and what it needs is drawn.
const MOST: usize = 36;
const BOX: (usize, usize) = (184, 50);
const GAP: (usize, usize) = (36, 14);

/// Ready to be drawn.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<String>,
    /// Documents with edges that are not drawn.
    pub(super) hidden: usize,
}

/// One declared document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) tone: Tone,
    pub(super) title: String,
    pub(super) full: String,
    pub(super) note: String,
    pub(super) query: String,
}

struct Document {
    kind: String,
    name: String,
    worst: State,
    ready: usize,
    all: usize,
    note: String,
}

/// None where nothing has to wait for anything.
pub(super) fn of(sync: &SyncView) -> Option<Graph> {
    let mut documents: Vec<Document> = Vec::new();
    let mut by_place: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    let mut of_step: BTreeMap<&StepId, usize> = BTreeMap::new();
    for step in &sync.steps {
        let place = (step.origin.path.as_str(), step.origin.document);
        let index = *by_place.entry(place).or_insert_with(|| {
            let (kind, name) = (step.origin.kind.to_string(), step.origin.name.to_string());
            documents.push(Document { kind, name, worst: State::Ready, ready: 0, all: 0, note: String::new() });
            documents.len() - 1
        });
        of_step.insert(&step.id, index);
        let document = &mut documents[index];
        document.all += 1;
        document.ready += usize::from(step.state == State::Ready);
        if urgency(step.state) > urgency(document.worst) {
            document.worst = step.state;
            document.note = match step.waits_for.first() {
                Some(first) => format!("waits for {}", name_of(first).1),
                None => step.reason.clone(),
            };
        }
    }
    let mut edges: BTreeSet<(usize, usize)> = BTreeSet::new();
    let waits = sync.steps.iter().map(|step| (&step.id, &step.waits_for));
    for (step, needs) in sync.details.needs.iter().chain(waits) {
        let Some(&to) = of_step.get(step) else { continue };
        let from = needs.iter().filter_map(|need| of_step.get(need).copied());
        edges.extend(from.filter(|from| *from != to).map(|from| (from, to)));
    }
    draw(&documents, &edges)
}

fn draw(documents: &[Document], edges: &BTreeSet<(usize, usize)>) -> Option<Graph> {
    let mut shown: BTreeSet<usize> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let all = shown.len();
    if all > MOST {
        let open: BTreeSet<usize> =
            shown.iter().copied().filter(|index| documents[*index].worst != State::Ready).collect();
        let before = edges.iter().filter(|(_, to)| open.contains(to)).map(|(from, _)| *from);
        shown = open.iter().copied().chain(before).collect::<BTreeSet<_>>().into_iter().take(MOST).collect();
    }
    let edges: Vec<_> = edges.iter().filter(|(from, to)| shown.contains(from) && shown.contains(to)).collect();
    if edges.is_empty() {
        return None;
    }
    let mut layer: BTreeMap<usize, usize> = shown.iter().map(|index| (*index, 0)).collect();
    // As many rounds as there are boxes: two documents may need one another in different steps.
    for _ in 0..shown.len() {
        let mut moved = false;
        for (from, to) in &edges {
            let wanted = layer[from] + 1;
            if layer[to] < wanted && wanted < shown.len() {
                layer.insert(*to, wanted);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut place: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (index, layer) in &layer {
        let row = rows.entry(*layer).or_default();
        place.insert(*index, (layer * (BOX.0 + GAP.0) + 1, *row * (BOX.1 + GAP.1) + 1));
        *row += 1;
    }
    let columns = rows.keys().max().map_or(0, |last| last + 1);
    let tallest = rows.values().max().copied().unwrap_or_default();
    Some(Graph {
        width: columns * (BOX.0 + GAP.0) - GAP.0 + 2,
        height: tallest * (BOX.1 + GAP.1) - GAP.1 + 2,
        nodes: place.iter().map(|(index, at)| node(&documents[*index], *at)).collect(),
        edges: edges.iter().map(|(from, to)| curve(place[from], place[to])).collect(),
        hidden: all - shown.len(),
    })
}

fn node(document: &Document, (x, y): (usize, usize)) -> Node {
    let note = match document.worst {
        State::Ready if document.all == 1 => document.kind.clone(),
        State::Ready => format!("{} · {} steps", document.kind, document.all),
        _ if document.note.is_empty() => format!("{} of {} ready", document.ready, document.all),
        _ => document.note.clone(),
    };
    Node {
        x,
        y,
        tone: Tone::of(document.worst),
        title: words::short(&document.name, 18),
        full: format!("{} {}", document.kind, document.name),
        note: words::short(&note, 22),
        query: words::encode(&document.name, false),
    }
}

fn curve(from: (usize, usize), to: (usize, usize)) -> String {
    let (x1, y1) = (from.0 + BOX.0, from.1 + BOX.1 / 2);
    let (x2, y2) = (to.0, to.1 + BOX.1 / 2);
    let middle = usize::midpoint(x1, x2);
    format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")
}

fn urgency(state: State) -> u8 {
    match state {
        State::Failed | State::Refused => 4,
        State::Progressing | State::Unknown => 3,
        State::Waiting => 2,
        State::Pending | State::Skipped => 1,
        State::Ready => 0,
    }
}
