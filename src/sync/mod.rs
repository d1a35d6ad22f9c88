//! GitSync: the unit of work, the same type as CR in the cluster and as local file (design §5.1).
//!
//! Pure data. Read by `agent` and `cli`; its status is made by `report`.

pub mod conditions;
pub mod load;
pub mod servers;
pub mod source;
pub mod spec;
pub mod status;
pub mod support;

pub use spec::{GitSync, GitSyncSpec};
pub use status::GitSyncStatus;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use crate::canonical;

/// The API group of our own kinds.
pub const GROUP: &str = "windlass.dev";
/// Namespace of a local GitSync that names none, and of the agent in a cluster.
pub const DEFAULT_NAMESPACE: &str = "windlass-system";
/// Label with which an object says to which sync it belongs (KEP-3659, ApplySet).
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// Label on every object that Windlass applies.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation with the content hash of what was applied.
pub const CONTENT_HASH: &str = "windlass.dev/content-hash";
/// Annotation of a Secret whose empty values are made by Windlass.
pub const GENERATE: &str = "windlass.dev/generate";
/// Annotation with the declared document an object comes from: `<Kind>.<group>/<ns>/<name>`.
pub const ORIGIN: &str = "windlass.dev/origin";
/// Annotation on a document: fewer replicas are wanted in earnest.
pub const ALLOW_SCALE_DOWN: &str = "windlass.dev/allow-scale-down";
/// Annotation that a family puts on a DaemonSet whose pods do their work once and then only stand there: it is ready when
/// at least one pod is wanted and every one has done it.
pub const COMPLETES: &str = "windlass.dev/completes";

/// Annotation on a GitSync of the cluster with the commit that it is held at, whatever its source follows.
pub const PIN: &str = "windlass.dev/pin";

/// The CRDs of our own kinds.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    use kube::CustomResourceExt as _;
    let mut crd = GitSync::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            known_formats(schema);
        }
    }
    vec![crd]
}

/// Takes off the number formats that only Rust has: the API server warns of each. Their minimum stays.
fn known_formats(schema: &mut JSONSchemaProps) {
    schema.format.take_if(|format| format.starts_with("uint"));
    schema.properties.iter_mut().flatten().for_each(|(_, field)| known_formats(field));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        known_formats(items);
    }
}

/// Short id of a sync: the first 10 hex digits of sha-256 of `<namespace>/<name>`.
#[must_use]
pub fn id(namespace: &str, name: &str) -> String {
    let mut hash = canonical::hash_bytes(format!("{namespace}/{name}").as_bytes());
    hash.truncate(10);
    hash
}

/// Field manager of a sync's applies (design §4.3).
#[must_use]
pub fn field_manager(sync_id: &str) -> String {
    format!("windlass-{sync_id}")
}

/// Value of the ApplySet part-of label: `applyset-<base64url(sha256(<name>.<namespace>.<kind>.<group>))>-v1`
/// (KEP-3659), also where no GitSync object exists.
#[must_use]
pub fn part_of(namespace: &str, name: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(format!("{name}.{namespace}.GitSync.{GROUP}").as_bytes());
    format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_label_is_a_valid_label_value() {
        let label = part_of("windlass-system", "platform");
        assert!(label.len() <= 63, "{label}");
        assert!(label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{label}");
    }

    #[test]
    fn the_crd_has_no_format_that_kubernetes_does_not_know() {
        let text = serde_json::to_string(&crds()).expect("JSON");
        assert!(!text.contains("\"uint"), "{text}");
        assert!(text.contains("\"minimum\":0"), "no bound is lost");
    }

    #[test]
    fn syncs_of_the_same_name_in_two_namespaces_have_two_ids() {
        assert_ne!(id("a", "x"), id("b", "x"));
        assert_eq!(id("a", "x").len(), 10);
    }
}
