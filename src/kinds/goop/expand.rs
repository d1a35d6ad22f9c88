//! Goop → Jobs, a DaemonSet, or a CronJob.
//!
//! Pure.

use serde_json::{Value, json};

use super::{BACKOFF_LIMIT, GoopSpec, Mode};
use crate::kinds::{Child, Cr, Expansion, image, schema};
use crate::plan::Policy;
use crate::sync::COMPLETES;

/// Runs that are kept where a CR names no number; as Kubernetes has it.
const SUCCEEDED: i32 = 3;
const FAILED: i32 = 1;

pub(super) fn expand(cr: &Cr<'_>) -> Expansion {
    let spec = match schema::spec::<GoopSpec>(cr.manifest) {
        Ok(spec) => spec,
        Err(problem) => return Expansion { children: Vec::new(), problems: vec![problem] },
    };
    let work = Work { cr, spec: &spec };
    let children = match (&spec.schedule, spec.mode) {
        (Some(schedule), _) => vec![Child::object(work.cron_job(schedule))],
        (None, Mode::Jobs) => (0..spec.jobs()).map(|index| run(work.job(index), true)).collect(),
        (None, Mode::PerNode) => vec![run(work.daemon_set(), false)],
    };
    Expansion { children, problems: Vec::new() }
}

/// Whatever changes is a new run: the object is deleted with its pods and made anew, never edited. A Job that ran is not
/// missing when it is gone; a DaemonSet stands for nodes that are still to come and is.
fn run(object: Value, once_done: bool) -> Child {
    Child { policy: Policy { replace: true, once_done, ..Policy::default() }, ..Child::object(object) }
}

struct Work<'a> {
    cr: &'a Cr<'a>,
    spec: &'a GoopSpec,
}

impl Work<'_> {
    fn job(&self, index: i32) -> Value {
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": format!("{}-{index}", self.cr.name), "namespace": self.cr.namespace},
            "spec": self.job_spec(),
        })
    }

    fn cron_job(&self, schedule: &str) -> Value {
        let mut job = self.job_spec();
        if let Some(fields) = job.as_object_mut().filter(|_| self.spec.jobs() != 1) {
            fields.insert("completions".to_owned(), self.spec.jobs().into());
            fields.insert("parallelism".to_owned(), self.spec.jobs().into());
        }
        let mut spec = json!({
            "schedule": schedule,
            "concurrencyPolicy": self.spec.concurrency_policy.unwrap_or_default(),
            "successfulJobsHistoryLimit": self.spec.successful_jobs_history_limit.unwrap_or(SUCCEEDED),
            "failedJobsHistoryLimit": self.spec.failed_jobs_history_limit.unwrap_or(FAILED),
            "jobTemplate": {"spec": job},
        });
        if let (Some(zone), Some(fields)) = (&self.spec.time_zone, spec.as_object_mut()) {
            fields.insert("timeZone".to_owned(), zone.as_str().into());
        }
        json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": self.cr.name, "namespace": self.cr.namespace},
            "spec": spec,
        })
    }

    fn job_spec(&self) -> Value {
        let mut spec = json!({
            "backoffLimit": self.spec.backoff_limit.unwrap_or(BACKOFF_LIMIT),
            "template": {
                // On pods only; a Job's selector is made by Kubernetes.
                "metadata": {"labels": self.labels()},
                "spec": {
                    "restartPolicy": "Never",
                    "securityContext": pod_security(),
                    "containers": [self.container()],
                },
            },
        });
        if let (Some(seconds), Some(fields)) = (self.spec.active_deadline_seconds, spec.as_object_mut()) {
            fields.insert("activeDeadlineSeconds".to_owned(), seconds.into());
        }
        spec
    }

    /// The work is an init container, so that a pod is ready once it is done; then something stands there that does
    /// nothing, since pods of a DaemonSet may not end.
    fn daemon_set(&self) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": self.cr.name, "namespace": self.cr.namespace, "annotations": {COMPLETES: "true"}},
            "spec": {
                "updateStrategy": {"type": "OnDelete"},
                "selector": {"matchLabels": self.labels()},
                "template": {
                    "metadata": {"labels": self.labels()},
                    "spec": {
                        "securityContext": pod_security(),
                        "initContainers": [self.container()],
                        "containers": [{
                            "name": "pause",
                            "image": self.spec.pause_image(),
                            "resources": {"limits": {"cpu": "50m", "memory": "128Mi"}},
                            "securityContext": container_security(),
                        }],
                    },
                },
            },
        })
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "Goop",
            "app.kubernetes.io/instance": self.cr.name,
            "app.kubernetes.io/version": image::version(&self.spec.image()),
            "app.kubernetes.io/part-of": "goop-operator",
            "app.kubernetes.io/created-by": "controller-manager",
        })
    }

    fn container(&self) -> Value {
        json!({
            "name": "goop-job",
            "image": self.spec.image(),
            "command": self.spec.command(),
            "resources": {
                "limits": {"cpu": "100m", "memory": "128Mi"},
                "requests": {"cpu": "10m", "memory": "64Mi"},
            },
            "securityContext": container_security(),
        })
    }
}

fn pod_security() -> Value {
    json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
}

fn container_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": 1001,
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
    })
}
