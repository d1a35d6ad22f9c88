//! Our own writes: an event about one may overtake its answer, and is held until that has come.
//!
//! No IO. Called by `apply` and `remove`, through [`super::Mirror`].

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::{Area, Mirror, Sight};
use crate::plan::StepId;
use crate::target::kube::discovery::Resource;

/// One object that is being written.
#[derive(Default)]
pub(super) struct Flight {
    /// Writes under way.
    count: usize,
    /// The last thing that was heard of it meanwhile.
    held: Option<(Area, Sight)>,
}

impl Flight {
    /// Keeps the newest sight.
    pub(super) fn hold(&mut self, area: &Area, sight: Sight) {
        if self.held.as_ref().is_none_or(|(_, held)| held.version() <= sight.version()) {
            self.held = Some((area.clone(), sight));
        }
    }
}

impl Sight {
    fn version(&self) -> u64 {
        match self {
            Self::Present(record) => record.version,
            Self::Gone(version) => *version,
        }
    }
}

/// While this lives, nothing that is heard of the object counts.
pub(in crate::target::kube) struct Writing {
    mirror: Arc<Mirror>,
    id: StepId,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.mirror.state();
        state.wrote = Some(Instant::now());
        let Some(flight) = state.writing.get_mut(&self.id) else { return };
        flight.count -= 1;
        if flight.count > 0 {
            return;
        }
        let held = state.writing.remove(&self.id).and_then(|flight| flight.held);
        if let Some((area, sight)) = held {
            self.mirror.take(&mut state, &area, self.id.clone(), sight, false);
        }
    }
}

impl Mirror {
    /// An object is about to be written.
    pub(in crate::target::kube) fn writing(self: &Arc<Self>, id: &StepId) -> Writing {
        self.state().writing.entry(id.clone()).or_default().count += 1;
        Writing { mirror: Arc::clone(self), id: id.clone() }
    }

    /// The answer to our write: nothing that is not newer counts any more.
    pub(in crate::target::kube) fn landed(
        self: &Arc<Self>,
        resource: &Resource,
        namespace: Option<&str>,
        object: &Value,
    ) {
        let (id, record) = self.record(resource, object, true);
        let area = self.area(resource, namespace.filter(|_| resource.namespaced));
        self.open(&area);
        let mut state = self.state();
        let Some(watched) = state.areas.get_mut(&area) else { return };
        watched.writes += 1;
        if watched.records.get(&id).is_none_or(|known| known.version <= record.version) {
            watched.records.insert(id, record);
        }
    }

    /// We deleted it, and saw that it is gone.
    pub(in crate::target::kube) fn gone(&self, resource: &Resource, namespace: Option<&str>, id: &StepId) {
        let area = self.area(resource, namespace.filter(|_| resource.namespaced));
        let mut state = self.state();
        if let Some(flight) = state.writing.get_mut(id)
            && matches!(flight.held, Some((_, Sight::Gone(_))))
        {
            flight.held = None;
        }
        let Some(watched) = state.areas.get_mut(&area) else { return };
        watched.writes += 1;
        watched.records.remove(id);
        state.moved.remove(id);
        drop(state);
        self.lens.forget(id);
    }
}
