//! Waits for readiness, on top of the mirror: sends no request of its own.
//!
//! Level-based: what is told is always the state as last seen, never a change; a watch only says when to look. May be
//! dropped at any time. Called through `World::settle`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Kube;
use super::discovery::Known;
use super::mirror::Area;
use crate::diff::seen::Readiness;
use crate::plan::{Step, StepId, Want};

/// Without any news, what is known is told again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// After a first change, for more of the same burst.
const BURST: Duration = Duration::from_millis(30);

/// A step as it is waited for.
struct Waited<'a> {
    id: &'a StepId,
    area: Area,
}

impl Kube {
    /// Waits for objects and probes alike. Whichever has news is told of; the others are asked for again.
    pub(super) async fn wait(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        let (probes, objects): (Vec<&Step>, Vec<&Step>) =
            steps.iter().partition(|step| matches!(step.want, Want::Probe { .. }));
        match (probes.is_empty(), objects.is_empty()) {
            (true, _) => self.watch(&objects).await,
            (false, true) => self.probes.settle(&probes).await,
            (false, false) => tokio::select! {
                told = self.watch(&objects) => told,
                told = self.probes.settle(&probes) => told,
            },
        }
    }

    async fn watch(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        let mut told = Vec::with_capacity(steps.len());
        let mut waited = Vec::new();
        for step in steps {
            match self.waited(step).await {
                Ok(Some(it)) => waited.push(it),
                Ok(None) => told.push((step.id.clone(), Readiness::Ready)),
                Err(why) => told.push((step.id.clone(), Readiness::Progressing(why))),
            }
        }
        let areas: BTreeSet<Area> = waited.iter().map(|it| it.area.clone()).collect();
        self.mirror.await_areas(areas);
        let mut bell = self.mirror.bell();
        let read = || waited.iter().map(|it| (it.id.clone(), self.mirror.readiness(&it.area, it.id))).collect();
        let mut now: Vec<(StepId, Readiness)> = read();
        let until = tokio::time::Instant::now() + TELL_AGAIN;
        if !waited.is_empty() && !self.mirror.is_news(&now) {
            while let Ok(Ok(())) = tokio::time::timeout_at(until, bell.changed()).await {
                now = read();
                if self.mirror.is_news(&now) {
                    tokio::time::sleep(BURST).await;
                    now = read();
                    break;
                }
            }
        }
        told.append(&mut now);
        self.mirror.tell(&told);
        told
    }

    /// What has to be watched for a step; none if it is ready by being there.
    async fn waited<'a>(&self, step: &'a Step) -> Result<Option<Waited<'a>>, String> {
        let (Some(object), Some(parts)) = (step.want.object(), step.id.object_parts()) else {
            return Ok(None);
        };
        let api_version = object.api_version();
        let resource = match self.discovery.find(&api_version, parts.kind).await {
            Known::Served(resource) => resource,
            Known::Missing => return Err(format!("the cluster does not know kind {} of {api_version}", parts.kind)),
            Known::Unclear(refused) => return Err(refused.message),
        };
        if self.lens.is_own_kind(&resource) || !self.lens.needs_whole(&resource) {
            return Ok(None);
        }
        Ok(Some(Waited { id: &step.id, area: self.mirror.area(&resource, parts.namespace) }))
    }
}
