//! Goop: a number of Jobs that all do the same, and are Completed when all of them succeeded.
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
    name: "goop",
    summary: "A run of equal Jobs: Completed when all of them succeeded.",
    kinds: &[Kind {
        group: "goop.example.com",
        version: "v1alpha1",
        kind: "Goop",
        plural: "goops",
        namespaced: true,
        crd,
        check,
        refers: no_files,
        expand: expand::expand,
        status: status::status,
        writes: &[("batch", "jobs")],
    }],
};

/// Image where a CR names none.
const IMAGE: &str = "busybox:1.37";
/// Jobs where a CR names no number.
const JOBS: i32 = 1;
/// Retries of a Job's pod where a CR names no number.
const BACKOFF_LIMIT: i32 = 3;

/// Run of equal Jobs.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "goop.example.com",
    version = "v1alpha1",
    kind = "Goop",
    plural = "goops",
    namespaced,
    status = "ConditionsStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Jobs","type":"integer","jsonPath":".spec.job_count"}"#,
    printcolumn = r#"{"name":"Completed","type":"string","jsonPath":".status.conditions[?(@.type==\"Completed\")].status"}"#,
    printcolumn = r#"{"name":"Failed","type":"string","jsonPath":".status.conditions[?(@.type==\"Failed\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(deny_unknown_fields)]
pub struct GoopSpec {
    /// Text that each Job echoes if there is no command. Default: none, an empty line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foo: Option<String>,
    /// Number of Jobs. Default: 1. With 0 the run is Completed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub job_count: Option<i32>,
    /// Command of each Job, one list item an argument; no shell is involved. Default: echo of `foo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// Image of each Job. Default: busybox:1.37.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// Registry put before the image, as in `registry.local:5000`. Default: none.
    #[serde(default, rename = "imageRegistry", skip_serializing_if = "Option::is_none")]
    pub image_registry: Option<String>,
    /// How often a Job's failed pod is tried again before the Job has failed. Default: 3.
    #[serde(default, rename = "backoffLimit", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: Option<i32>,
    /// How the work is spread. Default: Jobs.
    #[serde(default)]
    pub mode: Mode,
}

/// How the work is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// As Jobs `<name>-0`, `<name>-1` and so on.
    #[default]
    Jobs,
}

impl GoopSpec {
    fn jobs(&self) -> i32 {
        self.job_count.unwrap_or(JOBS)
    }

    fn image(&self) -> String {
        image::prefixed(self.image_registry.as_deref(), self.image.as_deref().unwrap_or(IMAGE))
    }

    fn command(&self) -> Vec<String> {
        let echo = || vec!["echo".to_owned(), self.foo.clone().unwrap_or_default()];
        self.command.clone().unwrap_or_else(echo)
    }
}

fn crd() -> CustomResourceDefinition {
    schema::with_optional_spec(Goop::crd())
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema::of(&crd()));

fn check(manifest: &Value) -> Vec<FieldProblem> {
    let mut problems: Vec<FieldProblem> = schema::check(&SCHEMA, manifest);
    problems.iter_mut().for_each(|problem| not_yet(manifest, problem));
    if !problems.iter().any(|problem| problem.pointer.starts_with("/spec")) {
        match schema::spec::<GoopSpec>(manifest) {
            Ok(spec) => problems.extend(check_spec(manifest, &spec)),
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

fn check_spec(manifest: &Value, spec: &GoopSpec) -> Vec<FieldProblem> {
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    // The longest suffix: the number of the last Job.
    let suffix = format!("-{}", (spec.jobs() - 1).max(0)).len();
    let mut problems = Vec::new();
    problems.extend(image::check_name(name, suffix, "the label that carries a Job's name, `<name>-<number>`,"));
    problems.extend(spec.image.as_deref().and_then(|image| image::check("/spec/image", image)));
    problems.extend(spec.image_registry.as_deref().and_then(|registry| image::check("/spec/imageRegistry", registry)));
    problems
}

/// What is known but not built says so, instead of looking like a slip of the pen.
fn not_yet(manifest: &Value, problem: &mut FieldProblem) {
    let (asked, why) = match problem.pointer.as_str() {
        "/spec/mode" if manifest.pointer("/spec/mode").and_then(Value::as_str) == Some("PerNode") => {
            ("`mode: PerNode`", "once per node, as a DaemonSet")
        }
        "/spec/schedule" => ("`schedule`", "by the clock, as CronJobs"),
        _ => return,
    };
    problem.code = Code::NotSupported;
    problem.message = format!(
        "{asked} asks for a run {why}. Windlass {} does not build that yet; it knows `mode: Jobs` without a schedule \
         only. Take the field away, or declare the object itself beside this Goop.",
        env!("CARGO_PKG_VERSION"),
    );
}

#[cfg(test)]
mod tests;
