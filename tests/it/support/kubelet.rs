//! A kubelet and scheduler that run nothing: pods are bound to one node and their status is made to say what a real
//! node would say in the end, so that waiting for readiness is real in tests.
//!
//! How a pod fares follows from its spec, or from these annotations (which may be changed while it runs):
//! - `test.windlass.dev/delay: 300` – milliseconds between start and its next state (default 20);
//! - `test.windlass.dev/hold: "true"` – runs, but is not ready (and does not complete) until the annotation is removed;
//! - `test.windlass.dev/fail: "true"` – its containers exit with code 1, as they do with `exit 1` or `false` as command;
//! - an image from a registry `*.invalid/…` cannot be pulled;
//! - an init container with `exit 1` or `false` as command fails for ever, and the pod does not get further.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// The only node.
pub(crate) const NODE: &str = "node-of-the-test-bench";
const PREFIX: &str = "test.windlass.dev/";

/// Registers the node, ready and without taints.
pub(crate) async fn register(client: &Client) {
    let nodes: Api<Node> = Api::all(client.clone());
    let capacity = json!({ "cpu": "10000", "memory": "10000Gi", "pods": "100000", "ephemeral-storage": "10000Gi" });
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": NODE, "labels": { "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux" } },
    });
    let node: Node = serde_json::from_value(node).expect("a node");
    nodes.create(&PostParams::default(), &node).await.expect("the node is registered");
    let status = json!({ "status": {
        "capacity": capacity, "allocatable": capacity,
        "conditions": [{ "type": "Ready", "status": "True", "reason": "TestBench", "message": "runs nothing" }],
    }});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.expect("the node is ready");
    // Admission taints every new node; the controller that would take the taint away is not running.
    let taints = json!({ "spec": { "taints": null } });
    nodes.patch(NODE, &PatchParams::default(), &Patch::Merge(taints)).await.expect("the node has no taints");
}

/// Serves all pods for ever.
pub(crate) async fn run(client: Client) {
    let busy = Arc::new(Mutex::new(HashSet::new()));
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff().applied_objects();
    let mut pods = std::pin::pin!(pods);
    while let Some(pod) = pods.next().await {
        let Ok(pod) = pod else { continue };
        // One task a pod and version; a newer version supersedes the older one by the server's own conflict checks.
        let key = (pod.uid(), pod.resource_version());
        if busy.lock().expect("not poisoned").insert(key.clone()) {
            let (client, busy) = (client.clone(), Arc::clone(&busy));
            tokio::spawn(async move {
                serve(client, pod).await;
                busy.lock().expect("not poisoned").remove(&key);
            });
        }
    }
}

/// What a node would do next with a pod.
#[derive(Debug, PartialEq)]
enum Next {
    Remove,
    Bind,
    Status(Value),
    Nothing,
}

async fn serve(client: Client, pod: Pod) {
    let name = pod.name_any();
    let api: Api<Pod> = Api::namespaced(client, pod.namespace().as_deref().unwrap_or("default"));
    let next = next(&pod);
    if next == Next::Nothing {
        return;
    }
    if next != Next::Bind {
        tokio::time::sleep(delay(&pod)).await;
    }
    // A failure means that the pod has changed or gone meanwhile, and then there is an event for that.
    match next {
        Next::Remove => {
            let mut now = DeleteParams::default().grace_period(0);
            now.preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
            _ = api.delete(&name, &now).await;
        }
        Next::Bind => {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding",
                "metadata": { "name": name, "uid": pod.uid() },
                "target": { "apiVersion": "v1", "kind": "Node", "name": NODE },
            });
            _ = api.create_subresource::<Value, Value>("binding", &name, &PostParams::default(), &binding).await;
        }
        Next::Status(status) => {
            let patch = json!({
                "metadata": { "uid": pod.uid(), "resourceVersion": pod.resource_version() }, "status": status,
            });
            _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        }
        Next::Nothing => {}
    }
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.annotations().get(&format!("{PREFIX}{name}")).map(String::as_str)
}

fn delay(pod: &Pod) -> Duration {
    Duration::from_millis(annotation(pod, "delay").and_then(|delay| delay.parse().ok()).unwrap_or(20))
}

/// How a pod's containers fare once they are started.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    CannotPull,
    CannotBegin,
    Held,
    Exits(i32),
    Runs,
}

fn fate(pod: &Pod) -> Fate {
    let Some(spec) = &pod.spec else { return Fate::Runs };
    let images = spec.containers.iter().filter_map(|container| container.image.as_deref());
    if images.into_iter().any(|image| image.split('/').next().is_some_and(|host| host.ends_with(".invalid"))) {
        return Fate::CannotPull;
    }
    if spec.init_containers.iter().flatten().any(|container| exit_code(container) != 0) {
        return Fate::CannotBegin;
    }
    if annotation(pod, "hold").is_some() {
        return Fate::Held;
    }
    let code = spec.containers.iter().map(exit_code).max().unwrap_or(0);
    let fails = annotation(pod, "fail").is_some();
    match spec.restart_policy.as_deref() {
        _ if fails || code != 0 => Fate::Exits(code.max(1)),
        Some("Never" | "OnFailure") => Fate::Exits(0),
        _ => Fate::Runs,
    }
}

/// The code of an `exit N` in the command, 1 for `false`, else 0.
fn exit_code(container: &k8s_openapi::api::core::v1::Container) -> i32 {
    let line: Vec<&str> = container
        .command
        .iter()
        .chain(&container.args)
        .flatten()
        .flat_map(|word| word.split([' ', ';', '\n']))
        .collect();
    let exit = line.windows(2).find(|pair| pair[0] == "exit").and_then(|pair| pair[1].parse().ok());
    exit.unwrap_or_else(|| i32::from(line.first().is_some_and(|program| program.rsplit('/').next() == Some("false"))))
}

fn next(pod: &Pod) -> Next {
    let (Some(spec), status) = (&pod.spec, pod.status.clone().unwrap_or_default()) else { return Next::Nothing };
    if pod.metadata.deletion_timestamp.is_some() {
        return Next::Remove;
    }
    if spec.node_name.is_none() {
        return if spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty) { Next::Bind } else { Next::Nothing };
    }
    let phase = status.phase.as_deref().unwrap_or("Pending");
    if spec.node_name.as_deref() != Some(NODE) || matches!(phase, "Succeeded" | "Failed") {
        return Next::Nothing;
    }
    let fate = fate(pod);
    let restarts =
        status.container_statuses.iter().flatten().map(|container| container.restart_count).max().unwrap_or(0);
    let on_failure = spec.restart_policy.as_deref() == Some("OnFailure");
    // A pod that ends is first seen running, as it would be.
    let (phase, ready, restarts) = match fate {
        Fate::CannotPull | Fate::CannotBegin => ("Pending", false, 0),
        Fate::Runs => ("Running", true, restarts),
        Fate::Held => ("Running", false, restarts),
        Fate::Exits(_) if phase == "Pending" => ("Running", false, restarts),
        Fate::Exits(0) => ("Succeeded", false, restarts),
        // Restarted by the node, at most ten times in all.
        Fate::Exits(_) if on_failure || spec.restart_policy.as_deref() == Some("Always") => {
            ("Running", false, (restarts + 1).min(10))
        }
        Fate::Exits(_) => ("Failed", false, restarts),
    };
    let wanted = status_of(pod, phase, ready, restarts, fate);
    if same(&wanted, &serde_json::to_value(&status).unwrap_or_default()) { Next::Nothing } else { Next::Status(wanted) }
}

/// Whether the parts that matter are there already.
fn same(wanted: &Value, live: &Value) -> bool {
    let essence = |status: &Value| {
        let containers: Vec<Value> = status["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|container| json!([container["ready"], container["restartCount"], container["name"]]))
            .collect();
        json!([status["phase"], containers])
    };
    essence(wanted) == essence(live)
}

fn status_of(pod: &Pod, phase: &str, ready: bool, restarts: i32, fate: Fate) -> Value {
    let now = now();
    let spec = pod.spec.clone().unwrap_or_default();
    let state = match (phase, fate) {
        (_, Fate::CannotPull) => {
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image: no such host" } })
        }
        (_, Fate::CannotBegin) => json!({ "waiting": { "reason": "PodInitializing" } }),
        ("Succeeded" | "Failed", Fate::Exits(code)) => json!({ "terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }, "finishedAt": now, "startedAt": now,
        }}),
        (_, Fate::Exits(code)) if code != 0 && restarts > 0 => {
            json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off restarting failed container" } })
        }
        _ => json!({ "running": { "startedAt": now } }),
    };
    let container = |name: &str, image: Option<&str>, ready: bool, state: &Value| {
        let image = image.unwrap_or_default();
        json!({ "name": name, "image": image, "imageID": image, "ready": ready, "started": ready,
                "restartCount": restarts, "state": state })
    };
    let done = json!({ "terminated": { "exitCode": 0, "reason": "Completed", "finishedAt": now, "startedAt": now } });
    let containers: Vec<Value> =
        spec.containers.iter().map(|each| container(&each.name, each.image.as_deref(), ready, &state)).collect();
    let begun = fate != Fate::CannotBegin;
    let init_state = if begun {
        done
    } else {
        json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off restarting failed container" } })
    };
    let init: Vec<Value> = spec
        .init_containers
        .iter()
        .flatten()
        .map(|each| container(&each.name, each.image.as_deref(), begun, &init_state))
        .collect();
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        json!({ "type": kind, "status": status, "lastTransitionTime": now })
    };
    let ip = address(pod);
    json!({
        "phase": phase, "hostIP": "10.0.0.1", "podIP": ip, "podIPs": [{ "ip": ip }], "startTime": now,
        "conditions": [
            condition("PodScheduled", true), condition("Initialized", begun),
            condition("ContainersReady", ready), condition("Ready", ready),
        ],
        "containerStatuses": containers, "initContainerStatuses": init,
    })
}

/// An address of its own, from the uid. Not loopback, which EndpointSlices refuse.
fn address(pod: &Pod) -> String {
    let uid = pod.uid().unwrap_or_default();
    let byte = |at: usize| uid.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(1);
    format!("10.{}.{}.{}", byte(0), byte(2), byte(4).clamp(1, 254))
}

#[expect(clippy::disallowed_methods, reason = "the pretended node has a clock")]
fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
