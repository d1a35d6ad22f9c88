//! Readiness, as the watch and the objects' own words tell it.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass::diff::seen::Readiness;
use windlass::plan::Step;
use windlass::target::World;

use super::sync::{Sync, config_map, deployment};
use crate::support::wait::PATIENCE;

/// Waits until a step is ready or has failed.
pub(crate) async fn settled(sync: &Sync, step: &Step) -> Readiness {
    let end = Instant::now() + PATIENCE;
    loop {
        let told = sync.kube.settle(&[step]).await;
        let (_, readiness) = told.into_iter().find(|(id, _)| *id == step.id).expect("told of the step");
        if !matches!(readiness, Readiness::Progressing(_)) {
            return readiness;
        }
        assert!(Instant::now() < end, "{}: {readiness:?}", step.id);
    }
}

fn job(name: &str, command: &str) -> serde_json::Value {
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name }, "spec": { "backoffLimit": 0, "template": {
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "m", "image": "busybox:1.36", "command": ["sh", "-c", command] }] } } } })
}

#[tokio::test]
async fn each_kind_gets_ready_in_its_own_words() {
    let sync = Sync::new().await;
    let mut steps = Vec::new();
    for manifest in [
        config_map("c", json!({})),
        deployment("d", json!({}), json!({ "replicas": 2 })),
        job("good", "echo hello"),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } }),
        json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "set" }, "spec": {
            "replicas": 2, "serviceName": "s", "selector": { "matchLabels": { "app": "set" } }, "template": {
                "metadata": { "labels": { "app": "set" } }, "spec": { "containers": [{ "name": "m", "image": "i" }] } } } }),
    ] {
        steps.push(sync.created(manifest).await);
    }
    for step in &steps {
        assert_eq!(settled(&sync, step).await, Readiness::Ready, "{}", step.id);
    }
    let failing = sync.created(job("bad", "exit 3")).await;
    assert!(matches!(settled(&sync, &failing).await, Readiness::Failed(_)));
}

#[tokio::test]
async fn a_wait_wakes_when_something_changes_and_not_before() {
    let sync = Sync::new().await;
    let template = json!({ "template": { "metadata": { "annotations": { "test.windlass.dev/hold": "true" } } } });
    let step = sync.created(deployment("d", json!({}), template)).await;
    // Until the pod is held there are changes; then the wait lasts its full time.
    let path = sync.path("api/v1", "pods", "");
    let pod = crate::support::wait::until("the pod runs", || async {
        let pods = sync.get(path.trim_end_matches('/')).await;
        let pod = pods["items"].get(0)?;
        (pod["status"]["phase"] == "Running").then(|| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    let quiet = async {
        loop {
            let start = Instant::now();
            let told = sync.kube.settle(&[&step]).await;
            assert!(matches!(told[0].1, Readiness::Progressing(_)), "{told:?}");
            if start.elapsed() > Duration::from_secs(4) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, quiet).await.expect("a wait without news lasts 5 s");
    let start = Instant::now();
    let release = async {
        let patch = json!({ "metadata": { "annotations": { "test.windlass.dev/hold": null } } });
        sync.patch_by_hand(&sync.path("api/v1", "pods", &pod), &patch).await;
    };
    let (readiness, ()) = tokio::join!(settled(&sync, &step), release);
    assert_eq!(readiness, Readiness::Ready);
    assert!(start.elapsed() < Duration::from_secs(4), "woken by the watch, not by the clock: {:?}", start.elapsed());
}

#[tokio::test]
async fn an_update_is_not_ready_because_its_predecessor_was() {
    let sync = Sync::new().await;
    let step = sync.created(deployment("d", json!({}), json!({}))).await;
    assert_eq!(settled(&sync, &step).await, Readiness::Ready);
    let hold = json!({ "template": { "metadata": { "annotations": { "test.windlass.dev/hold": "true" } } } });
    let step = sync.step(deployment("d", json!({}), hold));
    sync.update(&step).await.unwrap();
    for _ in 0..3 {
        let told = sync.kube.settle(&[&step]).await;
        assert!(matches!(told[0].1, Readiness::Progressing(_)), "{told:?}");
    }
}
