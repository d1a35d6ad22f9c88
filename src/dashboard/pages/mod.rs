//! The pages: a view turned into what the templates print.
//!
//! Pure: (view, query, now) → HTML. Every verdict comes from `report`. Used by `routes`.

mod one_sync;

use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;

use super::words;
use crate::report::attention::{self, Attention, Tone, name_of, number};
use crate::report::verdict;
use crate::report::view::{SyncView, View};
use crate::revision;

pub(super) use one_sync::sync;

/// Cards of what needs a person.
const CARDS: usize = 10;

/// What the address of a sync's page may ask.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    page: usize,
    #[serde(default)]
    all: u8,
}

/// The frame of every page.
struct Frame {
    title: String,
    cluster: String,
    at: String,
}

impl Frame {
    fn of(view: &View, title: String, now: Timestamp) -> Self {
        let mut clusters: Vec<&str> = view.syncs.iter().map(|sync| sync.cluster.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        let cluster = match clusters.as_slice() {
            [only] => (*only).to_owned(),
            _ => String::new(),
        };
        Self { title, cluster, at: now.strftime("%H:%M:%S UTC").to_string() }
    }
}

struct When {
    at: String,
    ago: String,
}

impl When {
    fn of(now: Timestamp, at: &str) -> Self {
        Self { at: at.to_owned(), ago: words::ago(now, at) }
    }
}

struct Card {
    class: &'static str,
    sync: String,
    item: Attention,
    href: Option<String>,
    steps: String,
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/dashboard/askama.toml")]
struct Overview {
    frame: Frame,
    verdict: String,
    facts: Vec<String>,
    cards: Vec<Card>,
    more: usize,
    rows: Vec<SyncRow>,
}

struct SyncRow {
    class: &'static str,
    shape: &'static str,
    label: String,
    name: String,
    namespace: String,
    href: String,
    revision: String,
    commit_href: Option<String>,
    subject: String,
    author: String,
    since: When,
    steps: String,
}

/// `/`
pub(super) fn overview(view: &View, now: Timestamp) -> askama::Result<String> {
    let mut syncs: Vec<&SyncView> = view.syncs.iter().collect();
    syncs.sort_by_key(|sync| attention::tone(sync));
    let mut cards: Vec<Card> = syncs
        .iter()
        .filter(|sync| attention::tone(sync) == Tone::Failed)
        .flat_map(|sync| attention::attention(sync).into_iter().map(|item| card(sync, item)))
        .collect();
    let more = cards.len().saturating_sub(CARDS);
    cards.truncate(CARDS);
    let steps = view.syncs.iter().map(|sync| sync.counts.steps).sum();
    let mut facts = Vec::new();
    if let Some(at) = view.syncs.iter().filter_map(|sync| sync.details.fetched_at.as_deref()).max() {
        facts.push(format!("Last look at the source {}", words::ago(now, at)));
    }
    if !view.syncs.is_empty() {
        facts.push(format!("{} {}", number(steps), if steps == 1 { "step" } else { "steps" }));
        let refused: u32 = view.syncs.iter().map(|sync| sync.details.refused_deletes).sum();
        if refused > 0 {
            facts.push(format!("{} deletions wait for an acknowledgement", number(refused)));
        }
    }
    let rows = syncs.iter().map(|sync| sync_row(sync, now)).collect();
    let frame = Frame::of(view, "Windlass".to_owned(), now);
    Overview { frame, verdict: verdict::verdict(view), facts, cards, more, rows }.render()
}

fn sync_row(sync: &SyncView, now: Timestamp) -> SyncRow {
    let tone = attention::tone(sync);
    let commit = sync.details.commit.as_ref();
    let id = sync.revision.as_deref().unwrap_or_default();
    let since = sync.conditions.iter().map(|c| c.last_transition_time.as_str()).max().unwrap_or_default();
    SyncRow {
        class: class(tone),
        shape: tone.shape(),
        label: attention::label(sync),
        name: sync.name.clone(),
        namespace: sync.namespace.clone(),
        href: href(sync),
        revision: revision::short(id).to_owned(),
        commit_href: words::forge(&sync.details.source, id, None),
        subject: commit.and_then(|c| c.subject.clone()).unwrap_or_default(),
        author: commit.and_then(|c| c.author.clone()).unwrap_or_default(),
        since: When::of(now, since),
        steps: number(sync.counts.steps),
    }
}

fn href(sync: &SyncView) -> String {
    format!("/syncs/{}/{}", words::encode(&sync.namespace, false), words::encode(&sync.name, false))
}

fn card(sync: &SyncView, item: Attention) -> Card {
    let id = sync.revision.as_deref().unwrap_or_default();
    let href = item.place.as_deref().and_then(|place| {
        let (file, line) = place.rsplit_once(':')?;
        words::forge(&sync.details.source, id, Some((file, line.parse().ok()?)))
    });
    let steps = match &item.step {
        Some(step) => format!("{}?q={}#steps", self::href(sync), words::encode(&name_of(step).1, false)),
        None => self::href(sync),
    };
    Card { class: "failed", sync: sync.name.clone(), item, href, steps }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Failed => "failed",
        Tone::Moving => "moving",
        Tone::Off => "off",
        Tone::Ready => "ready",
    }
}

#[derive(Template)]
#[template(path = "missing.html", config = "src/dashboard/askama.toml")]
struct Missing {
    frame: Frame,
}

/// What stands where nothing is.
pub(super) fn missing(view: &View, now: Timestamp) -> askama::Result<String> {
    Missing { frame: Frame::of(view, "Not here · Windlass".to_owned(), now) }.render()
}
