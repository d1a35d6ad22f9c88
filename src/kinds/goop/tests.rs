//! Tests of the family.

use serde_json::json;

use super::*;
use crate::kinds::{ChildState, Cr, StatusInput};
use crate::plan::{State, StepId};

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

#[test]
fn what_is_not_built_yet_says_so() {
    let problems = check(&manifest(json!({"mode": "PerNode", "schedule": "0 4 * * *"})));
    let told: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.code)).collect();
    assert_eq!(told, [("/spec/mode", Code::NotSupported), ("/spec/schedule", Code::NotSupported)]);
    assert!(problems[0].message.contains("does not build that yet"), "{}", problems[0].message);
    assert_eq!(check(&manifest(json!({"mode": "Sometimes"})))[0].code, Code::InvalidValue);
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
