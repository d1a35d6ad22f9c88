//! Memcached: one Deployment of memcached processes that share nothing.
//!
//! Pure. In the registry of `kinds`.

mod expand;
mod status;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::ConditionsStatus;
use super::{Family, FieldProblem, Kind, image, no_files, schema};
use crate::problem::Code;

/// The family.
pub static FAMILY: Family = Family {
    name: "memcached",
    summary: "A group of memcached processes: one Deployment.",
    kinds: &[Kind {
        group: "cache.example.com",
        version: "v1alpha1",
        kind: "Memcached",
        plural: "memcacheds",
        namespaced: true,
        crd,
        check,
        refers: no_files,
        secrets: &[],
        expand: expand::expand,
        status: status::status,
        writes: &[("apps", "deployments")],
    }],
};

/// Image where a CR names none.
const IMAGE: &str = "memcached:1.4.36-alpine";
/// Port where a CR names none.
const PORT: i32 = 11211;
/// Processes where a CR names no number, or 0.
const SIZE: i32 = 3;

/// Group of memcached processes.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cache.example.com",
    version = "v1alpha1",
    kind = "Memcached",
    plural = "memcacheds",
    namespaced,
    status = "ConditionsStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Size","type":"integer","jsonPath":".spec.size"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemcachedSpec {
    /// Number of processes: 1 or 3. Default: 3, also for 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        range(min = 0, max = 3),
        extend("x-kubernetes-validations" = [{"rule": "self != 2", "message": "size has to be 1 or 3 (0 means 3)"}])
    )]
    pub size: Option<i32>,
    /// Port on which memcached listens. Default: 11211.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: Option<i32>,
    /// Image. Default: memcached:1.4.36-alpine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
}

impl MemcachedSpec {
    fn size(&self) -> i32 {
        self.size.filter(|size| *size != 0).unwrap_or(SIZE)
    }

    fn port(&self) -> i32 {
        self.container_port.unwrap_or(PORT)
    }

    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(IMAGE)
    }
}

fn crd() -> CustomResourceDefinition {
    schema::with_optional_spec(Memcached::crd())
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema::of(&crd()));

fn check(manifest: &Value) -> Vec<FieldProblem> {
    let mut problems = schema::check(&SCHEMA, manifest);
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    problems.extend(image::check_name(name, 0, "the label `app.kubernetes.io/instance`, which is the name,"));
    if !problems.iter().any(|problem| problem.pointer.starts_with("/spec")) {
        match schema::spec::<MemcachedSpec>(manifest) {
            Ok(spec) => problems.extend(check_spec(&spec)),
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

fn check_spec(spec: &MemcachedSpec) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    if spec.size == Some(2) {
        problems.push(FieldProblem::error(
            Code::InvalidValue,
            "/spec/size",
            "`spec.size` is 2, but has to be odd: 1 or 3. Of two processes neither is a majority, so one that is lost \
             takes half of the cache with it.",
        ));
    }
    problems.extend(spec.image.as_deref().and_then(|image| image::check("/spec/image", image)));
    problems
}

#[cfg(test)]
mod tests;
