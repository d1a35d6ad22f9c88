//! A sync with health checks, fields for others and drift that is only reported, as the binary runs it and `status` tells
//! of it.

use serde_json::{Value, json};

use super::sync::deployment;
use crate::support::control_plane::control_plane;
use crate::support::git_repo::GitRepo;
use crate::support::windlass::Windlass;

struct Bench {
    windlass: Windlass,
    file: String,
}

impl Bench {
    /// One pass: the exit code, and state, reason and message of the step whose id ends so.
    fn pass(&self, step: &str) -> (i32, String, String, String) {
        let ended = self.windlass.run(&["agent", "--once", "-f", &self.file]);
        let status = self.windlass.run(&["status", "-o", "json"]);
        let view: Value =
            serde_json::from_str(&status.stdout).unwrap_or_else(|error| panic!("{error}: {status:#?} {ended:#?}"));
        let steps = view["syncs"][0]["steps"].as_array().cloned().unwrap_or_default();
        let found = steps.iter().find(|it| it["id"].as_str().is_some_and(|id| id.ends_with(step)));
        let found = found.unwrap_or_else(|| panic!("no step {step} in {view:#} {ended:#?}"));
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        (ended.code, text("state"), text("reason"), text("message"))
    }
}

#[tokio::test]
async fn a_sync_says_what_other_hands_did_and_when_a_kind_of_its_own_is_ready() {
    let plane = control_plane();
    let kept = plane.namespace().await;
    let namespace = kept.to_string();
    let group = format!("{namespace}.example.com");
    let crd = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": format!("lakes.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": "lakes", "singular": "lake", "kind": "Lake" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} }, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } });
    let lake = json!({ "apiVersion": format!("{group}/v1"), "kind": "Lake", "metadata": { "name": "garda" }, "spec": { "depth": 346 } });
    let map =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "page" }, "data": { "title": "a" } });
    let mut workload = deployment("front", json!({}), json!({ "replicas": 1 }));
    workload["metadata"]["namespace"] = json!(namespace);
    let repo = GitRepo::with(&[
        ("crd.yaml", &crd.to_string()),
        ("lake.yaml", &lake.to_string()),
        ("map.yaml", &map.to_string()),
        ("front.yaml", &workload.to_string()),
    ]);
    let windlass = Windlass::on(&plane.kubeconfig());
    let sync = json!({ "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": { "name": "platform", "namespace": namespace }, "spec": {
        "source": { "url": repo.path() }, "targetNamespace": namespace, "timeout": "4s",
        "drift": { "mode": "Report", "ignore": [{ "target": { "kind": "Deployment" }, "jsonPointers": ["/spec/replicas"] }] },
        "healthChecks": [{ "apiVersion": format!("{group}/v1"), "kind": "Lake",
            "current": "self.status.level >= self.spec.depth", "failed": "self.status.phase == 'Dry'" }] } });
    let file = windlass.home().join("sync.json");
    std::fs::write(&file, sync.to_string()).unwrap();
    let bench = Bench { windlass, file: file.to_str().unwrap().to_owned() };

    let (code, state, reason, message) = bench.pass("/garda");
    assert_eq!((code, state.as_str(), reason.as_str()), (1, "Progressing", "TimedOut"), "{message}");
    assert!(message.contains("there is no field"), "{message}");
    let status = |status: Value| {
        let patch = json!({ "status": status }).to_string();
        let of = format!("lakes.{group}/garda");
        plane.kubectl(&["patch", &of, "-n", &namespace, "--subresource=status", "--type=merge", "-p", &patch]);
    };
    status(json!({ "level": 0, "phase": "Dry" }));
    assert_eq!(bench.pass("/garda").1, "Failed");
    status(json!({ "level": 346, "phase": "Full" }));
    let (code, state, ..) = bench.pass("/garda");
    assert_eq!((code, state.as_str()), (0, "Ready"));

    plane.kubectl(&["scale", "deployment/front", "--replicas=2", "-n", &namespace]);
    let (code, state, reason, message) = bench.pass("/front");
    assert_eq!((code, state.as_str(), reason.as_str()), (0, "Ready", "Ready"), "{message}");
    let replicas = ["get", "deployment/front", "-n", &namespace, "-o", "jsonpath={.spec.replicas}"];
    assert_eq!(plane.kubectl(&replicas), "2");

    let add = json!({ "data": { "subtitle": "theirs" } }).to_string();
    plane.kubectl(&["patch", "configmap/page", "-n", &namespace, "--type=merge", "-p", &add]);
    let (code, state, reason, message) = bench.pass("/page");
    assert_eq!((code, state.as_str(), reason.as_str()), (0, "Ready", "ForeignFields"), "{message}");
    assert!(message.contains("data.subtitle (kubectl-patch)"), "{message}");

    let edit = json!({ "data": { "title": "edited" } }).to_string();
    plane.kubectl(&["patch", "configmap/page", "-n", &namespace, "--type=merge", "-p", &edit]);
    let (code, state, reason, message) = bench.pass("/page");
    assert_eq!((code, state.as_str(), reason.as_str()), (1, "Refused", "Drifted"), "{message}");
    assert!(message.starts_with("It differs in data.title (now held by kubectl-patch)."), "{message}");
    assert!(message.contains("overwrites the edit") && !message.contains("edited"), "{message}");
    repo.write("map.yaml", &map.to_string().replace("\"a\"", "\"b\"")).commit("another title");
    assert_eq!(bench.pass("/page").0, 0);
    let title = ["get", "configmap/page", "-n", &namespace, "-o", "jsonpath={.data.title}"];
    assert_eq!(plane.kubectl(&title), "b", "as it said");
}

/// An expression that is no CEL keeps the sync from starting, and says where it stands.
#[test]
fn a_health_check_that_cannot_be_read_is_a_problem_with_its_place() {
    let windlass = Windlass::new();
    let sync = json!({ "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": { "name": "platform" }, "spec": {
        "source": { "url": "/nowhere" }, "target": { "directory": { "path": "out" } },
        "healthChecks": [{ "apiVersion": "a/v1", "kind": "A", "current": "self.status." }] } });
    let file = windlass.home().join("sync.json");
    std::fs::write(&file, sync.to_string()).unwrap();
    let ended = windlass.run(&["agent", "--once", "-f", file.to_str().unwrap()]);
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(ended.stderr.contains("sync.json:1:"), "{ended:#?}");
    assert!(ended.stderr.contains("InvalidValue: the expression is not CEL at 1:"), "{ended:#?}");
}
