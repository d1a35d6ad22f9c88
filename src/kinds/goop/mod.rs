//! Goop: a piece of work, done a number of times, once on each node, or by the clock.
//!
//! Pure. In the registry of `kinds`.

mod check;
mod cron;
mod expand;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::ConditionsStatus;
use super::{Family, Kind, image, no_files, schema};

/// The family.
pub static FAMILY: Family = Family {
    name: "goop",
    summary: "Work that is done a number of times, once on each node, or by the clock: Completed when all of it succeeded.",
    kinds: &[Kind {
        group: "goop.example.com",
        version: "v1alpha1",
        kind: "Goop",
        plural: "goops",
        namespaced: true,
        crd,
        check: check::check,
        refers: no_files,
        secrets: &[],
        expand: expand::expand,
        status: status::status,
        writes: &[("apps", "daemonsets"), ("batch", "cronjobs"), ("batch", "jobs")],
    }],
};

/// Image where a CR names none.
const IMAGE: &str = "busybox:1.37";
/// Image of what stands on a node when the work there is done, where a CR names none.
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// Jobs where a CR names no number.
const JOBS: i32 = 1;
/// Retries of a Job's pod where a CR names no number.
const BACKOFF_LIMIT: i32 = 3;

/// Piece of work.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "goop.example.com",
    version = "v1alpha1",
    kind = "Goop",
    plural = "goops",
    namespaced,
    status = "ConditionsStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Jobs","type":"integer","jsonPath":".spec.job_count"}"#,
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.schedule"}"#,
    printcolumn = r#"{"name":"Completed","type":"string","jsonPath":".status.conditions[?(@.type==\"Completed\")].status"}"#,
    printcolumn = r#"{"name":"Failed","type":"string","jsonPath":".status.conditions[?(@.type==\"Failed\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(deny_unknown_fields)]
pub struct GoopSpec {
    /// Text that is echoed if there is no command. Default: none, an empty line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foo: Option<String>,
    /// How the work is spread. Default: Jobs.
    #[serde(default)]
    pub mode: Mode,
    /// Number of Jobs, or of pods of each scheduled Job. Default: 1. With 0 the run is Completed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub job_count: Option<i32>,
    /// Command, one list item an argument; no shell is involved. Default: echo of `foo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// Image. Default: busybox:1.37.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// Image of the container that stands on a node when the work there is done. With `mode: PerNode` only. Default:
    /// registry.k8s.io/pause:3.10.
    #[serde(default, rename = "pauseImage", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub pause_image: Option<String>,
    /// Registry put before every image, as in `registry.local:5000`. Default: none.
    #[serde(default, rename = "imageRegistry", skip_serializing_if = "Option::is_none")]
    pub image_registry: Option<String>,
    /// How often a Job's failed pod is tried again before the Job has failed. Not with `mode: PerNode`. Default: 3.
    #[serde(default, rename = "backoffLimit", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: Option<i32>,
    /// Seconds after which a Job that still runs has failed. Not with `mode: PerNode`. Default: none.
    #[serde(default, rename = "activeDeadlineSeconds", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub active_deadline_seconds: Option<i64>,
    /// When it runs: five fields (minute, hour, day of month, month, day of week). Default: once, now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Time zone of the schedule, a name of the IANA database. Default: that of the cluster.
    #[serde(default, rename = "timeZone", skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What happens if the run before has not ended. With a schedule only. Default: Forbid.
    #[serde(default, rename = "concurrencyPolicy", skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<Concurrency>,
    /// How many succeeded runs are kept. With a schedule only. Default: 3.
    #[serde(default, rename = "successfulJobsHistoryLimit", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_jobs_history_limit: Option<i32>,
    /// How many failed runs are kept. With a schedule only. Default: 1.
    #[serde(default, rename = "failedJobsHistoryLimit", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_jobs_history_limit: Option<i32>,
}

/// How the work is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// As Jobs `<name>-0`, `<name>-1` and so on.
    #[default]
    Jobs,
    /// Once on each node, by a DaemonSet.
    PerNode,
}

/// What happens when it is time and the run before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Concurrency {
    /// Both run.
    Allow,
    /// The new one is left out.
    #[default]
    Forbid,
    /// The old one is ended.
    Replace,
}

impl GoopSpec {
    fn jobs(&self) -> i32 {
        self.job_count.unwrap_or(JOBS)
    }

    fn image(&self) -> String {
        image::prefixed(self.image_registry.as_deref(), self.image.as_deref().unwrap_or(IMAGE))
    }

    fn pause_image(&self) -> String {
        image::prefixed(self.image_registry.as_deref(), self.pause_image.as_deref().unwrap_or(PAUSE_IMAGE))
    }

    fn command(&self) -> Vec<String> {
        let echo = || vec!["echo".to_owned(), self.foo.clone().unwrap_or_default()];
        self.command.clone().unwrap_or_else(echo)
    }
}

fn crd() -> CustomResourceDefinition {
    schema::with_optional_spec(Goop::crd())
}

#[cfg(test)]
mod tests;
