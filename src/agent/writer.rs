//! Tells the cluster what a pass came to: status of the GitSync and of the declared CRs, and Events.
//!
//! Write-only: nothing is read back into a plan. A failed write is a log line, never a failed pass. Called by `pass`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::plan::{Plan, State, StepId};
use crate::report::summary::{Summary, Who};
use crate::sync::conditions::reasons::PROGRESSING;
use crate::sync::conditions::{Condition, READY, find};
use crate::sync::spec::GitSync;
use crate::target::execute::reasons::ADDITIONS;
use crate::target::kube::{EventNote, ObjectName, Reports, Severity};
use crate::target::{Class, Failure, LiveStatus};

/// Events about declared CRs that one pass writes at most.
const EVENTS: usize = 50;

/// Where it is told.
pub(super) enum Writer {
    /// Nowhere: the state folder and the API say it.
    Nowhere,
    /// To the cluster.
    Cluster(Box<Cluster>),
}

/// The cluster, and what it was told last.
pub(super) struct Cluster {
    reports: Reports,
    /// The GitSync, if it is a CR.
    sync: Option<ObjectName>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Status of the GitSync, without the time of the last fetch.
    status: Option<Value>,
    /// Status and reason of Ready.
    ready: Option<(String, String)>,
    /// The same of the declared CRs.
    crs: BTreeMap<StepId, (String, String)>,
    /// What was said of fields that somebody set by hand.
    additions: BTreeMap<StepId, String>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Writer {
    pub(super) fn cluster(reports: Reports, in_cluster: bool, sync: &GitSync) -> Self {
        let name = in_cluster.then(|| ObjectName {
            api_version: format!("{}/v1alpha1", crate::sync::GROUP),
            kind: "GitSync".to_owned(),
            namespace: sync.metadata.namespace.clone(),
            name: sync.metadata.name.clone().unwrap_or_default(),
            uid: sync.metadata.uid.clone(),
        });
        Self::Cluster(Box::new(Cluster { reports, sync: name, told: Mutex::default() }))
    }

    /// Tells of a sync, and of those of its declared CRs that were looked at. `live` is what those say of themselves in
    /// the cluster.
    pub(super) async fn write(&self, who: &Who, summary: &Summary, plan: &Plan, live: &BTreeMap<StepId, LiveStatus>) {
        self.write_sync(who, summary).await;
        let Self::Cluster(cluster) = self else { return };
        cluster.tell_additions(who, summary).await;
        if summary.touched.is_empty() {
            return;
        }
        let turned = cluster.turned(summary, plan, live);
        for (id, named) in declared(plan, &summary.touched) {
            let Some(status) = summary.crs.get(id) else { continue };
            let uid = live.get(id).map(|live| live.uid.clone()).filter(|uid| !uid.is_empty());
            let of = ObjectName { uid, ..named.clone() };
            log(who, cluster.reports.write_status(&named, None, status).await.map(|_| ()));
            if let Some(ready) = turned.get(id) {
                log(who, cluster.reports.emit(&of, &note(ready, "Report")).await);
            }
        }
    }

    /// Takes in what the declared CRs said of themselves when a pass began, so that a status changed by hand is put right.
    pub(super) fn saw(&self, plan: &Plan, live: &BTreeMap<StepId, LiveStatus>) {
        let Self::Cluster(cluster) = self else { return };
        if live.is_empty() {
            return;
        }
        for (id, of) in declared(plan, &live.keys().cloned().collect()) {
            cluster.reports.saw(&of, live.get(id).and_then(|live| live.status.as_ref()));
        }
    }

    /// Tells of a sync only.
    pub(super) async fn write_sync(&self, who: &Who, summary: &Summary) {
        let Self::Cluster(cluster) = self else { return };
        let Some(of) = &cluster.sync else { return };
        let Ok(status) = serde_json::to_value(&summary.status) else { return };
        // That a poll found nothing new is no news: else every poll would be a write.
        let mut news = status.clone();
        if let Some(source) = news.pointer_mut("/source").and_then(Value::as_object_mut) {
            source.remove("fetchedAt");
        }
        let ready = find(&summary.status.conditions, READY);
        let now_ready = ready.map(|ready| (ready.status.clone(), ready.reason.clone()));
        let (is_news, turned) = {
            let mut told = cluster.told.lock().unwrap_or_else(PoisonError::into_inner);
            let turned = told.ready != now_ready;
            told.ready.clone_from(&now_ready);
            (told.status.replace(news.clone()).as_ref() != Some(&news), turned)
        };
        if !is_news {
            return;
        }
        log(who, cluster.reports.write_status(of, None, &status).await.map(|_| ()));
        if let (true, Some(ready)) = (turned, ready) {
            log(who, cluster.reports.emit(of, &note(ready, "Sync")).await);
        }
    }
}

impl Cluster {
    /// One Event about the GitSync for each object to which somebody has added fields, when that is new.
    async fn tell_additions(&self, who: &Who, summary: &Summary) {
        let Some(of) = &self.sync else { return };
        // In the middle of a pass it is not known yet what was added.
        if find(&summary.status.conditions, READY).is_none_or(|ready| ready.reason == PROGRESSING) {
            return;
        }
        let now: BTreeMap<StepId, String> = summary
            .view
            .steps
            .iter()
            .filter(|step| step.reason == ADDITIONS)
            .map(|step| (step.id.clone(), step.message.clone()))
            .collect();
        let before = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut told.additions, now.clone())
        };
        let news = now.iter().filter(|(id, message)| before.get(*id) != Some(*message));
        for (id, message) in news.take(EVENTS) {
            let note = EventNote {
                severity: Severity::Warning,
                reason: ADDITIONS.to_owned(),
                action: "Sync".to_owned(),
                note: format!("{id}: {message}"),
            };
            log(who, self.reports.emit(of, &note).await);
        }
    }

    /// Declared CRs whose Ready turned to True, or to False because a step failed, since they were told of last; of one that was not told of yet, since
    /// what it says of itself. What is on its way is no news.
    fn turned(
        &self,
        summary: &Summary,
        plan: &Plan,
        live: &BTreeMap<StepId, LiveStatus>,
    ) -> BTreeMap<StepId, Condition> {
        let counts = summary.view.counts;
        let mut failed: BTreeSet<&StepId> = BTreeSet::new();
        if counts.failed + counts.refused > 0 {
            let steps = plan.steps.iter().zip(&summary.view.steps);
            let steps = steps.filter(|(_, view)| matches!(view.state, State::Failed | State::Refused));
            failed.extend(steps.filter_map(|(step, _)| step.owner.as_ref()));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.crs.retain(|id, _| summary.crs.contains_key(id));
        let mut turned = BTreeMap::new();
        for id in &summary.touched {
            let Some(status) = summary.crs.get(id) else { continue };
            let Some(now) = ready(status) else { continue };
            if now.status != "True" && !(now.status == "False" && failed.contains(id)) {
                continue;
            }
            let state = (now.status.clone(), now.reason.clone());
            let before = told.crs.insert(id.clone(), state.clone());
            let before = before.or_else(|| {
                let said = ready(live.get(id)?.status.as_ref()?)?;
                Some((said.status, said.reason))
            });
            if before.as_ref() != Some(&state) && turned.len() < EVENTS {
                turned.insert(id.clone(), now);
            }
        }
        turned
    }
}

/// The Ready condition of a CR's status.
fn ready(status: &Value) -> Option<Condition> {
    let all = status.get("conditions")?.as_array()?;
    let ready = all.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(READY))?;
    serde_json::from_value(ready.clone()).ok()
}

fn note(ready: &Condition, action: &str) -> EventNote {
    EventNote {
        severity: if ready.status == "False" { Severity::Warning } else { Severity::Normal },
        reason: ready.reason.clone(),
        action: action.to_owned(),
        note: ready.message.clone(),
    }
}

/// The names of declared CRs.
fn declared<'a>(plan: &'a Plan, ids: &BTreeSet<StepId>) -> impl Iterator<Item = (&'a StepId, ObjectName)> {
    let steps = plan.steps.iter().filter(|step| ids.contains(&step.id));
    steps.filter_map(|step| {
        let parts = step.id.object_parts()?;
        let name = ObjectName {
            api_version: step.origin.api_version.to_string(),
            kind: parts.kind.to_owned(),
            namespace: parts.namespace.map(str::to_owned),
            name: parts.name.to_owned(),
            uid: None,
        };
        Some((&step.id, name))
    })
}

fn log(who: &Who, result: Result<(), Failure>) {
    match result {
        Ok(()) => {}
        // The object is gone, or its kind is not there: there is nobody to tell.
        Err(failure) if failure.class == Class::Skipped => {}
        Err(failure) => {
            tracing::warn!(sync = %format!("{}/{}", who.namespace, who.name), error = %failure, "a status or Event was not written");
        }
    }
}
