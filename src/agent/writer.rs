//! Tells the cluster what a pass came to: status of the GitSync and of the declared CRs, and Events.
//!
//! Write-only: nothing is read back. A failed write is a log line, never a failed pass. Called by `pass`.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::plan::Plan;
use crate::report::summary::{Summary, Who};
use crate::sync::conditions::{READY, find};
use crate::sync::spec::GitSync;
use crate::target::kube::{EventNote, ObjectName, Reports, Severity};
use crate::target::{Class, Failure};

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

    /// Tells of a sync and of its declared CRs.
    pub(super) async fn write(&self, who: &Who, summary: &Summary, plan: &Plan) {
        self.write_sync(who, summary).await;
        let Self::Cluster(cluster) = self else { return };
        for (id, status) in &summary.crs {
            let (Some(step), Some(parts)) = (plan.step(id), id.object_parts()) else { continue };
            let of = ObjectName {
                api_version: step.origin.api_version.clone(),
                kind: parts.kind.to_owned(),
                namespace: parts.namespace.map(str::to_owned),
                name: parts.name.to_owned(),
                uid: None,
            };
            log(who, cluster.reports.write_status(&of, None, status).await.map(|_| ()));
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
            let severity = if ready.status == "False" { Severity::Warning } else { Severity::Normal };
            let note = EventNote {
                severity,
                reason: ready.reason.clone(),
                action: "Sync".to_owned(),
                note: ready.message.clone(),
            };
            log(who, cluster.reports.emit(of, &note).await);
        }
    }
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
