//! Windlass' own labels and annotations on an object: put on when it is applied, taken off before it is hashed or shown.
//!
//! Pure. `stamp` is called by both targets just before a write; `unstamp` whenever a [`super::Manifest`] is made.

use serde_json::{Map, Value};

use super::Step;
use crate::sync::{CONTENT_HASH, MANAGED_BY, ORIGIN, PART_OF};

/// Value of [`MANAGED_BY`].
pub const MANAGER: &str = "windlass";

/// The manifest as it is written: with the labels `managed-by` and `part-of` and the annotations `origin` and
/// `content-hash`, on the object's own metadata only. None for a step that is not an object.
#[must_use]
pub fn stamp(step: &Step, part_of: &str) -> Option<Value> {
    let mut manifest = step.want.object()?.value();
    let metadata = child(manifest.as_object_mut()?, "metadata")?;
    let labels = child(metadata, "labels")?;
    labels.insert(MANAGED_BY.to_owned(), MANAGER.into());
    labels.insert(PART_OF.to_owned(), part_of.into());
    let annotations = child(metadata, "annotations")?;
    annotations.insert(ORIGIN.to_owned(), step.origin.text().into());
    annotations.insert(CONTENT_HASH.to_owned(), step.hash.as_str().into());
    Some(manifest)
}

/// The manifest without what [`stamp`] adds. A map that is empty without it goes too.
#[must_use]
pub fn unstamp(mut manifest: Value) -> Value {
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for (map, keys) in [("labels", [MANAGED_BY, PART_OF]), ("annotations", [ORIGIN, CONTENT_HASH])] {
            let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) else { continue };
            let before = entries.len();
            entries.retain(|key, _| !keys.contains(&key.as_str()));
            if entries.is_empty() && before > 0 {
                metadata.remove(map);
            }
        }
    }
    manifest
}

/// The mapping below a key; made if there is none (or if something else stands there).
fn child<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    if !map.get(key).is_some_and(Value::is_object) {
        map.insert(key.to_owned(), Value::Object(Map::new()));
    }
    map.get_mut(key)?.as_object_mut()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::plan::{Origin, StepId, Want};

    fn step(manifest: Value) -> Step {
        let origin = Origin {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("web".into()),
            name: "front".into(),
            ..Origin::default()
        };
        Step::new(
            StepId::from_text("object/apps/Deployment/web/front"),
            Arc::new(origin),
            None,
            Want::Object(manifest.into()),
        )
    }

    #[test]
    fn a_stamp_is_on_the_objects_own_metadata_only() {
        let step =
            step(json!({"metadata": {"name": "front", "labels": {"a": "b"}}, "spec": {"template": {"metadata": {}}}}));
        assert_eq!(
            stamp(&step, "applyset-x-v1").unwrap(),
            json!({
                "metadata": {
                    "name": "front",
                    "labels": {"a": "b", MANAGED_BY: "windlass", PART_OF: "applyset-x-v1"},
                    "annotations": {ORIGIN: "Deployment.apps/web/front", CONTENT_HASH: step.hash},
                },
                "spec": {"template": {"metadata": {}}},
            })
        );
    }

    #[test]
    fn a_stamped_manifest_has_the_hash_of_the_bare_one() {
        let bare = step(json!({"metadata": {"name": "front"}}));
        let again = step(stamp(&bare, "x").unwrap());
        assert_eq!(bare, again);
    }

    #[test]
    fn an_empty_map_that_was_declared_stays() {
        let manifest = json!({"metadata": {"labels": {}, "annotations": {"mine": "1"}}});
        assert_eq!(unstamp(manifest.clone()), manifest);
    }

    #[test]
    fn the_origin_of_a_core_object_without_namespace_is_written_out() {
        let origin =
            Origin { api_version: "v1".into(), kind: "Namespace".into(), name: "web".into(), ..Origin::default() };
        assert_eq!(origin.text(), "Namespace.core/-/web");
    }
}
