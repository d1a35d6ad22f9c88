//! The metrics of docs/metrics.md (a test compares them both ways).
//!
//! Values only: no task, no clock, no network. `agent` counts as it goes; what the view knows is read from it at each
//! scrape, so that the two never disagree.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::report::view::View;
use crate::sync::conditions;

/// Content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

macro_rules! labels {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $each:literal])+ $variant:ident => $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $each])+ $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label's value.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

labels! {
    /// How a pass ended.
    Outcome {
        /// Everything was as wanted already, and is ready.
        Unchanged => "unchanged",
        /// Something was written, and everything is ready.
        Changed => "changed",
        /// It ran to its end, but not everything is ready: problems, failed, refused or late steps.
        NotReady => "not_ready",
        /// It could not run: source, target or the GitSync itself.
        Failed => "failed",
        /// It was stopped by a newer revision or by the end of the program.
        Cancelled => "cancelled",
    }
}

labels! {
    /// A part of a pass.
    Stage {
        /// Asking the source, and fetching.
        Fetch => "fetch",
        /// Reading files and documents.
        Declare => "declare",
        /// Expanding documents to steps.
        Expand => "expand",
        /// Reading the world.
        Observe => "observe",
        /// Comparing.
        Diff => "diff",
        /// Writing, and waiting until ready.
        Execute => "execute",
        /// Writing status and Events.
        Report => "report",
    }
}

labels! {
    /// Where requests go.
    TargetKind {
        /// A Kubernetes API server.
        Kube => "kube",
        /// A folder; a request is a file read or written.
        Directory => "directory",
    }
}

labels! {
    /// How a request ended.
    RequestOutcome {
        /// As asked.
        Ok => "ok",
        /// Not found, where that is an answer.
        NotFound => "not_found",
        /// Somebody else was faster.
        Conflict => "conflict",
        /// A right is missing.
        Denied => "denied",
        /// The server asked to slow down.
        Throttled => "throttled",
        /// Anything else, a broken connection included.
        Error => "error",
    }
}

labels! {
    /// What an event of a watch was about.
    WatchEvent {
        /// Nothing that matters: a status, a foreign field.
        Ignored => "ignored",
        /// Our own write.
        Own => "own",
        /// An object that moved, and is compared.
        Moved => "moved",
        /// An object that is applied again to make sure.
        Suspect => "suspect",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    target: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabel {
    sync: String,
}

type PerSync = Family<SyncLabel, Gauge<f64, AtomicU64>>;

/// What is counted. One a process; shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passes: Family<OutcomeLabel, Counter>,
    stages: Family<StageLabel, Histogram, fn() -> Histogram>,
    requests: Family<RequestLabels, Counter>,
    watch_events: Family<OutcomeLabel, Counter>,
    watch_restarts: Counter,
    verified: Counter,
    missed: Counter,
    last_success: Mutex<BTreeMap<String, Timestamp>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero, each label present from the start.
    #[must_use]
    pub fn new() -> Self {
        let passes = Family::<OutcomeLabel, Counter>::default();
        for outcome in Outcome::ALL {
            drop(passes.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }));
        }
        let stages = Family::<StageLabel, Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0])
        });
        for stage in Stage::ALL {
            drop(stages.get_or_create(&StageLabel { stage: stage.as_str() }));
        }
        let requests = Family::<RequestLabels, Counter>::default();
        for target in TargetKind::ALL {
            for outcome in RequestOutcome::ALL {
                let labels = RequestLabels { target: target.as_str(), outcome: outcome.as_str() };
                drop(requests.get_or_create(&labels));
            }
        }
        let watch_events = Family::<OutcomeLabel, Counter>::default();
        for event in WatchEvent::ALL {
            drop(watch_events.get_or_create(&OutcomeLabel { outcome: event.as_str() }));
        }
        let watch_restarts = Counter::default();
        let mut registry = Registry::with_prefix("windlass");
        registry.register(
            "build",
            "The version that is running",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("passes", "Passes by how they ended", passes.clone());
        registry.register("stage_duration_seconds", "How long each stage of a pass took", stages.clone());
        registry.register("target_requests", "Requests to a target by how they ended", requests.clone());
        registry.register("watch_events", "Events of watches by what they were about", watch_events.clone());
        registry.register("watch_restarts", "Watches that broke, hung or were too old", watch_restarts.clone());
        let (verified, missed) = (Counter::default(), Counter::default());
        registry.register(
            "verified",
            "Objects applied again by the sweep or on suspicion, only to make sure",
            verified.clone(),
        );
        registry.register(
            "missed_drift",
            "Objects that the sweep found otherwise than the watches had said, and put right",
            missed.clone(),
        );
        Self {
            registry,
            passes,
            stages,
            requests,
            watch_events,
            watch_restarts,
            verified,
            missed,
            last_success: Mutex::default(),
        }
    }

    /// Counts a pass. `sync` is `<namespace>/<name>`.
    pub fn pass_finished(&self, sync: &str, outcome: Outcome, at: Timestamp) {
        self.passes.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
        if matches!(outcome, Outcome::Unchanged | Outcome::Changed) {
            let mut successes = self.last_success.lock().unwrap_or_else(PoisonError::into_inner);
            successes.insert(sync.to_owned(), at);
        }
    }

    /// Notes how long a stage took.
    pub fn stage(&self, stage: Stage, took: std::time::Duration) {
        self.stages.get_or_create(&StageLabel { stage: stage.as_str() }).observe(took.as_secs_f64());
    }

    /// Counts steps that were applied only to make sure, and those of the sweep that were not as they seemed.
    pub fn verified(&self, verified: u32, missed: usize) {
        self.verified.inc_by(u64::from(verified));
        self.missed.inc_by(missed as u64);
    }

    /// Counts requests to a target.
    pub fn target_requests(&self, target: TargetKind, outcome: RequestOutcome, count: u64) {
        let labels = RequestLabels { target: target.as_str(), outcome: outcome.as_str() };
        self.requests.get_or_create(&labels).inc_by(count);
    }

    /// Counts an event of a watch.
    pub fn watch_event(&self, event: WatchEvent) {
        self.watch_events.get_or_create(&OutcomeLabel { outcome: event.as_str() }).inc();
    }

    /// Counts a watch that had to be opened again.
    pub fn watch_restarted(&self) {
        self.watch_restarts.inc();
    }

    /// Everything in the OpenMetrics text format: the counters, and what the view says at `now`.
    ///
    /// # Errors
    /// Only if text cannot be formatted, which does not happen.
    pub fn render(&self, view: &View, now: Timestamp) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode_registry(&mut page, &self.registry)?;
        text::encode_registry(&mut page, &self.of_view(view, now))?;
        text::encode_eof(&mut page)?;
        Ok(page)
    }

    /// A registry of its own for each scrape: a sync that is gone leaves nothing behind.
    fn of_view(&self, view: &View, now: Timestamp) -> Registry {
        let series = PerSync::default;
        let (ready, success, age, refused) = (series(), series(), series(), series());
        let (active, fights) = (series(), series());
        let successes = self.last_success.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sync in &view.syncs {
            let label = SyncLabel { sync: format!("{}/{}", sync.namespace, sync.name) };
            let is_ready = conditions::find(&sync.conditions, conditions::READY).is_some_and(|c| c.status == "True");
            ready.get_or_create(&label).set(f64::from(u8::from(is_ready)));
            active.get_or_create(&label).set(f64::from(u8::from(!sync.details.elsewhere)));
            refused.get_or_create(&label).set(f64::from(sync.details.refused_deletes));
            fights.get_or_create(&label).set(f64::from(sync.details.fights));
            if let Some(at) = successes.get(&label.sync) {
                success.get_or_create(&label).set(at.as_duration().as_secs_f64());
            }
            let fetched = sync.details.fetched_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
            if let Some(at) = fetched {
                age.get_or_create(&label).set(now.duration_since(at).as_secs_f64().max(0.0));
            }
        }
        let mut registry = Registry::with_prefix("windlass");
        registry.register("ready", "1 if everything that the sync wants is there and ready, else 0", ready);
        registry.register(
            "last_success_timestamp_seconds",
            "When a pass of the sync last ended with everything ready, in seconds since 1970",
            success,
        );
        registry.register("source_age_seconds", "How long ago the sync's source was last read", age);
        registry.register("active", "1 if this agent works for the sync, 0 while another one holds its Lease", active);
        registry.register("refused_deletes", "Deletions that wait for an acknowledgement", refused);
        registry.register("fights", "Objects left alone because somebody changes them back each time", fights);
        registry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::view::{Details, SyncView};
    use crate::sync::conditions::Condition;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn one_sync() -> View {
        let ready = Condition { kind: "Ready".into(), status: "True".into(), ..Condition::default() };
        let details =
            Details { fetched_at: Some("2026-01-01T00:00:00Z".into()), refused_deletes: 3, ..Details::default() };
        let sync = SyncView {
            namespace: "ns".into(),
            name: "a".into(),
            conditions: vec![ready],
            details,
            ..SyncView::default()
        };
        View { syncs: vec![sync] }
    }

    #[test]
    fn a_scrape_shows_the_view_as_it_stands_and_the_age_at_that_moment() {
        let metrics = Metrics::new();
        metrics.pass_finished("ns/a", Outcome::Changed, at("2026-01-01T00:00:10Z"));
        metrics.pass_finished("ns/a", Outcome::Failed, at("2026-01-01T00:00:20Z"));
        let page = metrics.render(&one_sync(), at("2026-01-01T00:00:30Z")).unwrap();
        for line in [
            "windlass_ready{sync=\"ns/a\"} 1.0",
            "windlass_refused_deletes{sync=\"ns/a\"} 3.0",
            "windlass_source_age_seconds{sync=\"ns/a\"} 30.0",
            "windlass_last_success_timestamp_seconds{sync=\"ns/a\"} 1767225610.0",
            "windlass_passes_total{outcome=\"changed\"} 1",
            "windlass_passes_total{outcome=\"failed\"} 1",
            "windlass_passes_total{outcome=\"unchanged\"} 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is missing in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_sync_that_is_gone_leaves_no_series_behind() {
        let metrics = Metrics::new();
        metrics.pass_finished("ns/a", Outcome::Changed, at("2026-01-01T00:00:10Z"));
        let page = metrics.render(&View::default(), at("2026-01-01T00:00:30Z")).unwrap();
        assert!(!page.contains("ns/a"), "{page}");
    }
}
