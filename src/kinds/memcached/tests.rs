//! Tests of the family.

use serde_json::json;

use super::*;
use crate::kinds::{ChildState, Cr, StatusInput};
use crate::plan::{State, StepId};

fn manifest(spec: Value) -> Value {
    json!({
        "apiVersion": "cache.example.com/v1alpha1", "kind": "Memcached",
        "metadata": {"name": "memcached-sample", "namespace": "web"}, "spec": spec,
    })
}

fn expand(manifest: &Value) -> Vec<Value> {
    assert_eq!(check(manifest), []);
    let cr = Cr::new("memcached-sample", "web", manifest);
    let expansion = expand::expand(&cr);
    assert_eq!(expansion.problems, []);
    expansion.children.iter().map(|child| child.want.object().unwrap().value()).collect()
}

fn told(spec: Value) -> Vec<String> {
    check(&manifest(spec)).iter().map(|problem| format!("{} {}", problem.pointer, problem.code)).collect()
}

#[test]
fn the_sample_is_one_deployment() {
    let labels = json!({
        "app.kubernetes.io/name": "Memcached",
        "app.kubernetes.io/instance": "memcached-sample",
        "app.kubernetes.io/version": "1.4.36-alpine",
        "app.kubernetes.io/part-of": "memcached-operator",
        "app.kubernetes.io/created-by": "controller-manager",
    });
    assert_eq!(
        expand(&manifest(json!({"size": 1, "containerPort": 11311}))),
        [json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "memcached-sample", "namespace": "web"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": "memcached",
                            "image": "memcached:1.4.36-alpine",
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["memcached", "-m=64", "-o", "modern", "-v", "-p", "11311"],
                            "ports": [{"name": "memcached", "containerPort": 11311, "protocol": "TCP"}],
                            "securityContext": {
                                "runAsNonRoot": true, "runAsUser": 1001, "allowPrivilegeEscalation": false,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }],
                    },
                },
            },
        })]
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let mut bare = manifest(json!({}));
    bare.as_object_mut().unwrap().remove("spec");
    let deployment = &expand(&bare)[0];
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment.pointer("/spec/template/spec/containers/0/ports/0/containerPort").unwrap(), 11211);
    assert_eq!(expand(&manifest(json!({"size": 0})))[0], *deployment);
}

#[test]
fn an_even_size_is_a_problem_that_says_why() {
    let problems = check(&manifest(json!({"size": 2})));
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].pointer.as_str(), problems[0].code), ("/spec/size", Code::InvalidValue));
    assert!(problems[0].message.contains("1 or 3"), "{}", problems[0].message);
}

#[test]
fn everything_wrong_is_told_at_once() {
    assert_eq!(
        told(json!({"size": 4, "containerPort": "x", "imgae": "y"})),
        ["/spec/containerPort WrongType", "/spec/imgae UnknownField", "/spec/size InvalidValue",]
    );
    assert_eq!(
        told(json!({"size": 2, "image": "https://x/y"})),
        ["/spec/size InvalidValue", "/spec/image InvalidValue"]
    );
}

#[test]
fn a_name_that_no_label_can_hold_is_a_problem() {
    let mut long = manifest(json!({}));
    long["metadata"]["name"] = "a".repeat(64).into();
    assert_eq!(check(&long)[0].code, Code::InvalidName);
}

fn status_of(state: State, previous: Option<&Value>, now: &str) -> Value {
    let manifest = manifest(json!({}));
    let children = [ChildState {
        id: StepId::object("apps", "Deployment", Some("web"), "memcached-sample"),
        state,
        reason: "Because".into(),
        message: "1 of 3 ready".into(),
    }];
    status::status(&StatusInput {
        cr: Cr::new("memcached-sample", "web", &manifest),
        generation: Some(4),
        previous,
        children: &children,
        now,
    })
    .unwrap()
}

fn conditions(status: &Value) -> Vec<(String, String)> {
    let text = |condition: &Value, key: &str| condition[key].as_str().unwrap().to_owned();
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().map(|condition| (text(condition, "type"), text(condition, "status"))).collect()
}

#[test]
fn available_means_really_ready() {
    let expected = |available: &str, degraded: &str, progressing: &str, ready: &str| {
        [("Available", available), ("Degraded", degraded), ("Progressing", progressing), ("Ready", ready)]
            .map(|(kind, status)| (kind.to_owned(), status.to_owned()))
            .to_vec()
    };
    for (state, conditions_expected) in [
        (State::Ready, expected("True", "False", "False", "True")),
        (State::Progressing, expected("False", "False", "True", "False")),
        (State::Waiting, expected("False", "False", "True", "False")),
        (State::Failed, expected("False", "True", "False", "False")),
        (State::Refused, expected("False", "True", "False", "False")),
        (State::Unknown, expected("Unknown", "Unknown", "Unknown", "Unknown")),
    ] {
        let status = status_of(state, None, "2026-01-01T00:00:00Z");
        assert_eq!(conditions(&status), conditions_expected, "{state:?}");
        assert_eq!(status["observedGeneration"], 4);
    }
}

#[test]
fn transition_times_move_only_when_a_status_moves() {
    let first = status_of(State::Progressing, None, "2026-01-01T00:00:00Z");
    assert_eq!(status_of(State::Progressing, Some(&first), "2026-01-01T00:01:00Z"), first);
    let ready = status_of(State::Ready, Some(&first), "2026-01-01T00:02:00Z");
    let times: Vec<&str> =
        ready["conditions"].as_array().unwrap().iter().map(|c| c["lastTransitionTime"].as_str().unwrap()).collect();
    // Available, Degraded, Progressing, Ready: only Degraded stays as it was.
    assert_eq!(times, ["2026-01-01T00:02:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:02:00Z", "2026-01-01T00:02:00Z"]);
}

#[test]
fn nothing_is_said_before_anything_is_known() {
    let manifest = manifest(json!({}));
    let cr = Cr::new("memcached-sample", "web", &manifest);
    let input = StatusInput { cr, generation: None, previous: None, children: &[], now: "2026-01-01T00:00:00Z" };
    assert_eq!(status::status(&input), None);
}
