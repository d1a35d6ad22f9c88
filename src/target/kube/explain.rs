//! Which fields of a drifted object are not as they were applied, and who holds them now.
//!
//! IO: one read of metadata, and only where drift is reported rather than corrected. Names fields, never values. Called
//! through `World::explain`.

use serde_json::Value;

use super::Kube;
use super::discovery::Known;
use super::managed::foreign;
use super::normalise::normalise;
use super::wire::METADATA;
use crate::plan::{Step, stamp};

/// So many fields are named.
const NAMED: usize = 6;

impl Kube {
    /// One sentence; none if nothing can be said.
    pub(super) async fn explain_drift(&self, step: &Step) -> Option<String> {
        let parts = step.id.object_parts()?;
        let stamped = normalise(stamp(step, &self.options.part_of)?);
        let api_version = stamped.get("apiVersion").and_then(Value::as_str)?;
        let Known::Served(resource) = self.discovery.find(api_version, parts.kind).await else { return None };
        let live = self.wire.get(&resource.object(parts.namespace, parts.name), METADATA).await.ok()?;
        let ignored = self.lens.ignored(&step.id);
        let lost = foreign::lost(&stamped, &live, &self.options.manager, ignored.as_deref());
        let named = lost.iter().take(NAMED).map(|(field, by)| match by {
            Some(by) => format!("{field} (now held by {by})"),
            None => format!("{field} (removed)"),
        });
        let named: Vec<String> = named.collect();
        let more = lost.len().saturating_sub(NAMED);
        match named.as_slice() {
            [] => None,
            some if more > 0 => Some(format!("It differs in {} and {more} more", some.join(", "))),
            some => Some(format!("It differs in {}", some.join(", "))),
        }
    }
}
