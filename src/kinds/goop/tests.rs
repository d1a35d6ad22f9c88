//! Tests of the family.

use serde_json::{Value, json};

use super::check::check;
use super::*;
use crate::kinds::{ChildState, Cr, StatusInput};
use crate::plan::{Policy, State, StepId};
use crate::problem::Code;

fn manifest(spec: Value) -> Value {
    json!({
        "apiVersion": "goop.example.com/v1alpha1", "kind": "Goop",
        "metadata": {"name": "test", "namespace": "default", "labels": {"run": "test"}}, "spec": spec,
    })
}

fn jobs(manifest: &Value) -> Vec<Value> {
    assert_eq!(check(manifest), []);
    let expansion = expand::expand(&Cr::new("test", "default", manifest));
    assert_eq!(expansion.problems, []);
    assert!(expansion.children.iter().all(|child| child.policy.replace && child.policy.once_done));
    expansion.children.iter().map(|child| child.want.object().unwrap().value()).collect()
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

#[test]
fn the_sample_is_two_jobs_that_echo_its_text() {
    let jobs = jobs(&manifest(json!({"foo": "some string", "job_count": 2})));
    let names: Vec<&Value> = jobs.iter().map(|job| at(job, "/metadata/name")).collect();
    assert_eq!(names, ["test-0", "test-1"]);
    assert_eq!(
        jobs[0],
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "test-0", "namespace": "default"},
            "spec": {
                "backoffLimit": 3,
                "template": {
                    "metadata": {"labels": {
                        "app.kubernetes.io/name": "Goop",
                        "app.kubernetes.io/instance": "test",
                        "app.kubernetes.io/version": "1.37",
                        "app.kubernetes.io/part-of": "goop-operator",
                        "app.kubernetes.io/created-by": "controller-manager",
                    }},
                    "spec": {
                        "restartPolicy": "Never",
                        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": "goop-job",
                            "image": "busybox:1.37",
                            "command": ["echo", "some string"],
                            "resources": {
                                "limits": {"cpu": "100m", "memory": "128Mi"},
                                "requests": {"cpu": "10m", "memory": "64Mi"},
                            },
                            "securityContext": {
                                "runAsNonRoot": true, "runAsUser": 1001, "allowPrivilegeEscalation": false,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }],
                    },
                },
            },
        })
    );
}

#[test]
fn an_empty_spec_is_one_job_and_job_count_0_is_none() {
    let mut bare = manifest(json!({}));
    bare.as_object_mut().unwrap().remove("spec");
    assert_eq!(jobs(&bare).len(), 1);
    assert_eq!(jobs(&manifest(json!({"job_count": 0}))).len(), 0);
}

#[test]
fn image_registry_and_command_are_the_users() {
    let spec = json!({"imageRegistry": "local:5000", "image": "team/tool", "command": ["tool", "--all"], "backoffLimit": 0, "mode": "Jobs"});
    let job = &jobs(&manifest(spec))[0];
    assert_eq!(at(job, "/spec/template/spec/containers/0/image"), "local:5000/team/tool");
    assert_eq!(at(job, "/spec/template/spec/containers/0/command"), &json!(["tool", "--all"]));
    assert_eq!(at(job, "/spec/template/metadata/labels/app.kubernetes.io~1version"), "latest");
    assert_eq!(at(job, "/spec/backoffLimit"), 0);
}

fn told(spec: Value) -> Vec<String> {
    check(&manifest(spec)).iter().map(|problem| format!("{} {}", problem.pointer, problem.code)).collect()
}

/// The one object of a Goop that is no run of Jobs.
fn only(spec: Value) -> (Value, Policy) {
    let manifest = manifest(spec);
    assert_eq!(check(&manifest), []);
    let expansion = expand::expand(&Cr::new("test", "default", &manifest));
    let [child] = expansion.children.try_into().unwrap();
    (child.want.object().unwrap().value(), child.policy)
}

#[test]
fn once_on_each_node_is_a_daemon_set_whose_init_container_does_the_work() {
    let (set, policy) =
        only(json!({"mode": "PerNode", "command": ["sleep", "11"], "imageRegistry": "k3d:5000", "image": "busybox:1"}));
    assert!(policy.replace && !policy.once_done, "a change is a new run; one that is gone is made again");
    assert_eq!((at(&set, "/kind"), at(&set, "/metadata/name")), (&json!("DaemonSet"), &json!("test")));
    assert_eq!(at(&set, "/metadata/annotations"), &json!({"windlass.dev/completes": "true"}));
    assert_eq!(at(&set, "/spec/updateStrategy"), &json!({"type": "OnDelete"}));
    assert_eq!(at(&set, "/spec/selector/matchLabels"), at(&set, "/spec/template/metadata/labels"));
    let init = at(&set, "/spec/template/spec/initContainers");
    assert_eq!(init.as_array().unwrap().len(), 1);
    assert_eq!(at(init, "/0/command"), &json!(["sleep", "11"]));
    let security = json!({
        "runAsNonRoot": true, "runAsUser": 1001, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(
        at(&set, "/spec/template/spec/containers"),
        &json!([{
            "name": "pause", "image": "k3d:5000/registry.k8s.io/pause:3.10",
            "resources": {"limits": {"cpu": "50m", "memory": "128Mi"}}, "securityContext": security,
        }])
    );
    assert_eq!((at(init, "/0/image"), at(init, "/0/securityContext")), (&json!("k3d:5000/busybox:1"), &security));
}

#[test]
fn a_schedule_is_one_cron_job() {
    let (cron, policy) = only(json!({"schedule": "30 4 * * 1-5"}));
    assert!(!policy.replace, "runs that are still to come are changed in place");
    let job = jobs(&manifest(json!({})))[0]["spec"].clone();
    assert_eq!(
        cron,
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "test", "namespace": "default"},
            "spec": {
                "schedule": "30 4 * * 1-5", "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": job},
            },
        })
    );
    let (cron, _) = only(json!({
        "schedule": "0 4 * * *", "timeZone": "Europe/Berlin", "concurrencyPolicy": "Replace", "job_count": 2,
        "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 5, "activeDeadlineSeconds": 60,
    }));
    assert_eq!(at(&cron, "/spec/timeZone"), "Europe/Berlin");
    assert_eq!(at(&cron, "/spec/concurrencyPolicy"), "Replace");
    assert_eq!(
        (at(&cron, "/spec/successfulJobsHistoryLimit"), at(&cron, "/spec/failedJobsHistoryLimit")),
        (&json!(0), &json!(5))
    );
    let job = at(&cron, "/spec/jobTemplate/spec");
    assert_eq!((at(job, "/completions"), at(job, "/parallelism")), (&json!(2), &json!(2)));
    assert_eq!(at(job, "/activeDeadlineSeconds"), 60);
}

#[test]
fn a_field_that_would_be_ignored_is_a_problem() {
    assert_eq!(told(json!({"mode": "Sometimes"})), ["/spec/mode InvalidValue"]);
    assert_eq!(
        told(
            json!({"mode": "PerNode", "job_count": 2, "backoffLimit": 1, "activeDeadlineSeconds": 9, "schedule": "0 4 * * *"})
        ),
        [
            "/spec/job_count InvalidValue",
            "/spec/backoffLimit InvalidValue",
            "/spec/activeDeadlineSeconds InvalidValue",
            "/spec/schedule InvalidValue",
        ]
    );
    assert_eq!(
        told(json!({"timeZone": "UTC", "concurrencyPolicy": "Allow", "pauseImage": "p"})),
        ["/spec/pauseImage InvalidValue", "/spec/timeZone InvalidValue", "/spec/concurrencyPolicy InvalidValue"]
    );
    assert_eq!(told(json!({"schedule": "0 4 * * *", "pauseImage": "p"})), ["/spec/pauseImage InvalidValue"]);
}

#[test]
fn a_schedule_that_never_runs_is_a_problem() {
    assert_eq!(told(json!({"schedule": "@daily"})), ["/spec/schedule InvalidValue"]);
    assert_eq!(told(json!({"schedule": "0 4 * * *", "timeZone": "Mars/Olympus"})), ["/spec/timeZone InvalidValue"]);
    assert_eq!(told(json!({"schedule": "0 4 * * *", "job_count": 0})), ["/spec/job_count InvalidValue"]);
    let mut long = manifest(json!({"schedule": "0 4 * * *"}));
    long["metadata"]["name"] = "a".repeat(53).into();
    assert_eq!(check(&long)[0].code, Code::InvalidName);
}

#[test]
fn the_status_speaks_of_nodes_or_of_the_clock() {
    use State::{Failed, Progressing, Ready, Waiting};
    for (states, expected) in [
        (&[Waiting][..], ["True", "False", "False", "False", "False"]),
        (&[Progressing], ["True", "True", "False", "False", "False"]),
        (&[Ready], ["True", "True", "True", "False", "True"]),
        (&[Failed], ["True", "True", "False", "True", "False"]),
    ] {
        assert_eq!(row(&status_of(json!({"mode": "PerNode"}), states, None, "t")), expected, "{states:?}");
    }
    let status = status_of(json!({"mode": "PerNode"}), &[Progressing], None, "t");
    assert_eq!(condition(&status, "Ready")["message"], "DaemonSet test: of something.");
    let status = status_of(json!({"schedule": "0 4 * * *"}), &[Ready], None, "t");
    assert_eq!(row(&status), ["True", "True", "False", "False", "True"], "ready and never over");
    assert_eq!(condition(&status, "Ready")["reason"], "Scheduled");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let problems = check(&manifest(json!({"jobCount": 2, "command": "echo", "job_count": -1})));
    let told: Vec<_> = problems.iter().map(|problem| format!("{} {}", problem.pointer, problem.code)).collect();
    assert_eq!(told, ["/spec/command WrongType", "/spec/jobCount UnknownField", "/spec/job_count InvalidValue"]);
    assert!(problems[1].message.contains("Did you mean `job_count`?"), "{}", problems[1].message);
}

#[test]
fn a_name_that_leaves_no_room_for_numbers_is_a_problem() {
    let mut long = manifest(json!({"job_count": 11}));
    long["metadata"]["name"] = "a".repeat(61).into();
    assert_eq!(check(&long)[0].code, Code::InvalidName);
    long["metadata"]["name"] = "a".repeat(60).into();
    assert_eq!(check(&long), []);
}

fn status_of(spec: Value, states: &[State], previous: Option<&Value>, now: &str) -> Value {
    let manifest = manifest(spec);
    let children: Vec<ChildState> = states
        .iter()
        .enumerate()
        .map(|(index, state)| ChildState {
            id: StepId::object("batch", "Job", Some("default"), &format!("test-{index}")),
            state: *state,
            reason: if *state == State::Failed { "Unhealthy" } else { "Because" }.into(),
            message: "of something".into(),
        })
        .collect();
    let cr = Cr::new("test", "default", &manifest);
    status::status(&StatusInput { cr, generation: Some(1), previous, children: &children, now }).unwrap()
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == kind).unwrap()
}

/// Initialized, Deployed, Completed, Failed, Ready.
fn row(status: &Value) -> [String; 5] {
    ["Initialized", "Deployed", "Completed", "Failed", "Ready"]
        .map(|kind| condition(status, kind)["status"].as_str().unwrap().to_owned())
}

#[test]
fn a_run_is_completed_only_when_all_jobs_succeeded() {
    use State::{Failed, Progressing, Ready, Unknown, Waiting};
    let two = json!({"job_count": 2});
    for (states, expected) in [
        (&[Waiting, Waiting][..], ["True", "False", "False", "False", "False"]),
        (&[Progressing, Waiting], ["True", "False", "False", "False", "False"]),
        (&[Progressing, Progressing], ["True", "True", "False", "False", "False"]),
        (&[Ready, Progressing], ["True", "True", "False", "False", "False"]),
        (&[Ready, Ready], ["True", "True", "True", "False", "True"]),
        (&[Ready, Failed], ["True", "True", "False", "True", "False"]),
        (&[Ready, Unknown], ["True", "Unknown", "Unknown", "False", "Unknown"]),
        (&[Ready], ["True", "False", "False", "False", "False"]),
        (&[], ["True", "False", "False", "False", "False"]),
    ] {
        assert_eq!(row(&status_of(two.clone(), states, None, "t")), expected, "{states:?}");
    }
}

#[test]
fn a_job_that_could_not_be_created_is_not_deployed() {
    let run = manifest(json!({}));
    let children = [ChildState {
        id: StepId::object("batch", "Job", Some("default"), "test-0"),
        state: State::Failed,
        reason: "Denied".into(),
        message: "no right to create Jobs".into(),
    }];
    let cr = Cr::new("test", "default", &run);
    let input = StatusInput { cr, generation: None, previous: None, children: &children, now: "t" };
    assert_eq!(row(&status::status(&input).unwrap()), ["True", "False", "False", "True", "False"]);
}

#[test]
fn without_jobs_the_run_is_completed_at_once() {
    assert_eq!(row(&status_of(json!({"job_count": 0}), &[], None, "t")), ["True", "True", "True", "False", "True"]);
}

#[test]
fn a_failed_job_is_named() {
    let status = status_of(json!({"job_count": 2}), &[State::Ready, State::Failed], None, "t");
    assert_eq!(condition(&status, "Failed")["message"], "Job test-1: of something");
    assert_eq!(condition(&status, "Ready")["reason"], "JobFailed");
}

#[test]
fn transition_times_move_only_when_a_status_moves() {
    let two = json!({"job_count": 2});
    let first = status_of(two.clone(), &[State::Progressing, State::Progressing], None, "2026-01-01T00:00:00Z");
    assert_eq!(status_of(two.clone(), &[State::Progressing, State::Progressing], Some(&first), "later"), first);
    let done = status_of(two, &[State::Ready, State::Ready], Some(&first), "2026-01-01T00:05:00Z");
    assert_eq!(condition(&done, "Completed")["lastTransitionTime"], "2026-01-01T00:05:00Z");
    assert_eq!(condition(&done, "Deployed")["lastTransitionTime"], "2026-01-01T00:00:00Z");
}
