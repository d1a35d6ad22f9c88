//! The page of one sync: verdict, progress, order graph, steps by search and filter, history.
//!
//! Pure, as all of `pages`.

use askama::Template;
use jiff::Timestamp;

use super::super::graph::{self, Graph};
use super::super::words;
use super::{CARDS, Card, Frame, Query, SyncRow, When, card, class, sync_row};
use crate::plan::State;
use crate::problem::Severity;
use crate::report::attention::{self, Tone, name_of, number};
use crate::report::verdict;
use crate::report::view::{StepView, SyncView, View};
use crate::revision;

/// Rows on a page of steps.
const ROWS: usize = 200;

#[derive(Template)]
#[template(path = "sync.html", config = "src/dashboard/askama.toml")]
struct SyncPage {
    frame: Frame,
    verdict: String,
    row: SyncRow,
    source: String,
    following: String,
    fetched: When,
    last_pass: String,
    cards: Vec<Card>,
    more: usize,
    warnings: Vec<Card>,
    segments: Vec<Segment>,
    tallies: Vec<(&'static str, String)>,
    graph: Option<Graph>,
    filters: Vec<Filter>,
    query: Query,
    rows: Vec<StepRow>,
    shown: String,
    matching: String,
    total: u32,
    page: Paging,
    history: Vec<HistoryBar>,
    median: String,
    last: Option<HistoryBar>,
}

struct Segment {
    class: &'static str,
    x: String,
    width: String,
}

struct Filter {
    text: String,
    href: String,
    current: bool,
}

struct StepRow {
    class: &'static str,
    shape: &'static str,
    state: String,
    kind: String,
    name: String,
    id: String,
    note: String,
    place: String,
    place_href: Option<String>,
    since: When,
    waits_for: Vec<(String, String)>,
}

#[derive(Default)]
struct Paging {
    previous: Option<String>,
    next: Option<String>,
    all: Option<String>,
}

struct HistoryBar {
    class: &'static str,
    shape: &'static str,
    x: usize,
    y: usize,
    height: usize,
    title: String,
    revision: String,
    subject: String,
    changes: String,
    when: When,
}

/// `/syncs/{namespace}/{name}`; none if there is no such sync.
pub(in crate::dashboard) fn sync(
    view: &View,
    namespace: &str,
    name: &str,
    query: Query,
    now: Timestamp,
) -> Option<askama::Result<String>> {
    let sync = view.syncs.iter().find(|sync| sync.namespace == namespace && sync.name == name)?;
    let needs_you = attention::tone(sync) == Tone::Failed;
    let mut cards: Vec<Card> = match needs_you {
        true => attention::attention(sync).into_iter().map(|item| card(sync, item)).collect(),
        false => Vec::new(),
    };
    let more = cards.len().saturating_sub(CARDS);
    cards.truncate(CARDS);
    let (rows, matching, page) = steps(sync, &query, now);
    let history = history(sync, now);
    let fetched = sync.details.fetched_at.as_deref().unwrap_or_default();
    let (unchanged, took) = sync.details.last_pass.unwrap_or_default();
    let mut said = Vec::new();
    if sync.details.last_pass.is_some() {
        said.push(format!("{} unchanged", number(unchanged)));
        said.push(format!("pass took {}", words::took(took)));
    }
    let page = SyncPage {
        frame: Frame::of(view, format!("{name} · Windlass"), now),
        verdict: verdict::sentence(sync),
        row: sync_row(sync, now),
        source: sync.details.source.clone(),
        following: sync.details.following.clone(),
        fetched: When::of(now, fetched),
        last_pass: said.join(" · "),
        cards,
        more,
        warnings: warnings(sync),
        segments: segments(sync),
        tallies: tallies(sync),
        graph: graph::of(sync),
        filters: filters(sync, &query),
        query,
        shown: number(u32::try_from(rows.len()).unwrap_or(u32::MAX)),
        matching: number(u32::try_from(matching).unwrap_or(u32::MAX)),
        rows,
        total: sync.counts.steps,
        page,
        median: median(sync),
        last: self::history(sync, now).pop(),
        history,
    };
    Some(page.render())
}

fn warnings(sync: &SyncView) -> Vec<Card> {
    let warnings = sync.problems.iter().filter(|problem| problem.severity == Severity::Warning);
    warnings
        .take(CARDS)
        .map(|problem| card(sync, attention::of_problem(problem)))
        .map(|card| Card { class: "note", ..card })
        .collect()
}

fn tallies(sync: &SyncView) -> Vec<(&'static str, String)> {
    let counts = &sync.counts;
    [
        ("ready", counts.ready, "ready"),
        ("moving", counts.progressing, "moving"),
        ("off", counts.waiting, "waiting"),
        ("failed", counts.failed, "failed"),
        ("failed", counts.refused, "refused"),
        ("off", counts.pending, "pending"),
    ]
    .into_iter()
    .filter(|(_, count, _)| *count > 0)
    .map(|(class, count, word)| (class, format!("{} {word}", number(count))))
    .collect()
}

/// Shares of the progress bar in thousandths; what is there at all is at least 4 wide, so that one of 10,000 is seen.
fn segments(sync: &SyncView) -> Vec<Segment> {
    let counts = &sync.counts;
    let parts = [("ready", counts.ready), ("moving", counts.progressing), ("failed", counts.failed + counts.refused)];
    let total = f64::from(counts.steps.max(1));
    let mut x = 0.0;
    let mut segments = Vec::new();
    for (class, count) in parts.into_iter().rev().filter(|(_, count)| *count > 0) {
        let width = (f64::from(count) / total * 1000.0).max(4.0);
        segments.push((class, width));
    }
    let wide: f64 = segments.iter().map(|(_, width)| width).sum();
    let scale = if wide > 1000.0 { 1000.0 / wide } else { 1.0 };
    segments.reverse();
    segments
        .into_iter()
        .map(|(class, width)| {
            let width = width * scale;
            let segment = Segment { class, x: format!("{x:.1}"), width: format!("{width:.1}") };
            x += width;
            segment
        })
        .collect()
}

fn filters(sync: &SyncView, query: &Query) -> Vec<Filter> {
    let count = |wanted: &str| sync.steps.iter().filter(|step| in_state(step, wanted)).count();
    ["", "failed", "moving", "waiting", "ready", "off"]
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(state, count)| *count > 0 || state.is_empty() || *state == query.state)
        .map(|(state, count)| Filter {
            text: format!(
                "{} {}",
                match state {
                    "" => "All",
                    "failed" => "Needs you",
                    "moving" => "Moving",
                    "waiting" => "Waiting",
                    "ready" => "Ready",
                    _ => "Pending",
                },
                number(u32::try_from(count).unwrap_or(u32::MAX))
            ),
            href: address(query, state, 0, false),
            current: state == query.state,
        })
        .collect()
}

fn address(query: &Query, state: &str, page: usize, all: bool) -> String {
    let mut parts = Vec::new();
    if !query.q.is_empty() {
        parts.push(format!("q={}", words::encode(&query.q, false)));
    }
    if !state.is_empty() {
        parts.push(format!("state={}", words::encode(state, false)));
    }
    if page > 0 {
        parts.push(format!("page={page}"));
    }
    if all {
        parts.push("all=1".to_owned());
    }
    format!("?{}#steps", parts.join("&"))
}

fn in_state(step: &StepView, wanted: &str) -> bool {
    match wanted {
        "" => true,
        "failed" => matches!(step.state, State::Failed | State::Refused),
        "moving" => matches!(step.state, State::Progressing | State::Unknown),
        "waiting" => step.state == State::Waiting,
        "ready" => step.state == State::Ready,
        "off" => matches!(step.state, State::Pending | State::Skipped),
        _ => false,
    }
}

fn steps(sync: &SyncView, query: &Query, now: Timestamp) -> (Vec<StepRow>, usize, Paging) {
    let needle = query.q.trim().to_lowercase();
    let matches = |step: &&StepView| {
        in_state(step, &query.state)
            && (needle.is_empty()
                || [step.id.as_str(), &step.origin.path, &step.origin.name, &step.message, &step.reason]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&needle))
                || step.waits_for.iter().any(|id| id.as_str().to_lowercase().contains(&needle)))
    };
    let mut found: Vec<&StepView> = sync.steps.iter().filter(matches).collect();
    found.sort_by_key(|step| (Tone::of(step.state), step.state));
    let matching = found.len();
    let pages = matching.div_ceil(ROWS).max(1);
    let page = query.page.min(pages - 1);
    let all = query.all == 1;
    let chosen = if all { 0..matching } else { page * ROWS..((page + 1) * ROWS).min(matching) };
    let to = |page: usize| address(query, &query.state, page, false);
    let paging = Paging {
        previous: (!all && page > 0).then(|| to(page - 1)),
        next: (!all && page + 1 < pages).then(|| to(page + 1)),
        all: (!all && pages > 1).then(|| address(query, &query.state, 0, true)),
    };
    (found[chosen].iter().map(|step| step_row(sync, step, now)).collect(), matching, paging)
}

fn step_row(sync: &SyncView, step: &StepView, now: Timestamp) -> StepRow {
    let tone = Tone::of(step.state);
    let (kind, name) = name_of(&step.id);
    let id = sync.revision.as_deref().unwrap_or_default();
    let origin = &step.origin;
    let note = match (step.message.as_str(), step.state) {
        ("", State::Ready) => String::new(),
        ("", State::Waiting) if !step.waits_for.is_empty() => String::new(),
        ("", _) => step.reason.clone(),
        (message, _) => message.to_owned(),
    };
    let waits = step.waits_for.iter().take(5).map(|id| {
        let (kind, name) = name_of(id);
        (format!("{kind} {name}"), format!("?q={}#steps", words::encode(&name, false)))
    });
    StepRow {
        class: class(tone),
        shape: tone.shape(),
        state: format!("{:?}", step.state).to_lowercase(),
        kind,
        name,
        id: step.id.to_string(),
        note,
        place: attention::place_of(origin).unwrap_or_default(),
        place_href: words::forge(&sync.details.source, id, Some((&origin.path, origin.line))),
        since: When::of(now, &step.since),
        waits_for: waits.collect(),
    }
}

/// Oldest first, as bars: height is how long it took, colour is how it came out.
fn history(sync: &SyncView, now: Timestamp) -> Vec<HistoryBar> {
    let slowest = sync.details.history.iter().map(|row| row.duration_ms).max().unwrap_or(1).max(1);
    let rows = sync.details.history.iter().take(15).rev().enumerate();
    rows.map(|(index, row)| {
        let tone = match row.outcome.as_str() {
            "Ready" | "Synced" => Tone::Ready,
            "Progressing" => Tone::Moving,
            _ => Tone::Failed,
        };
        let height = 6 + usize::try_from(row.duration_ms * 54 / slowest).unwrap_or(54);
        let subject = row.subject.clone().unwrap_or_default();
        HistoryBar {
            class: class(tone),
            shape: tone.shape(),
            x: index * 21,
            y: 60 - height,
            height,
            title: format!(
                "{} {subject}: {}, {}",
                revision::short(&row.revision),
                row.outcome,
                words::took(row.duration_ms)
            ),
            revision: revision::short(&row.revision).to_owned(),
            subject,
            changes: format!("{} applied, {} deleted", number(row.applied), number(row.pruned)),
            when: When::of(now, &row.at),
        }
    })
    .collect()
}

fn median(sync: &SyncView) -> String {
    let mut all: Vec<u64> = sync.details.history.iter().map(|row| row.duration_ms).collect();
    all.sort_unstable();
    all.get(all.len() / 2).map(|median| words::took(*median)).unwrap_or_default()
}
