//! Whole passes: observe, diff, execute on a real control plane, with every request counted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use windlass::diff::compare::Rules;
use windlass::diff::{Which, diff};
use windlass::inventory::Inventory;
use windlass::plan::{State, Step};
use windlass::sync::spec::Ignore;
use windlass::target::World;
use windlass::target::execute::{Applied, Limits, execute};

use super::sync::{Sync, config_map, deployment, plan};

/// One pass from what is stored.
pub(super) async fn pass(sync: &Sync, steps: &[Step]) -> Applied {
    pass_with(sync, steps, &Rules { prune: true, ..Rules::default() }, &[]).await
}

/// The same with rules of the test's own, and with fields that others may change.
pub(super) async fn pass_with(sync: &Sync, steps: &[Step], rules: &Rules, ignore: &[Ignore]) -> Applied {
    let stored = sync.kube.load_inventory().await.expect("an inventory");
    let fresh = || Inventory::new(sync.options.sync_id.clone(), sync.options.source_url.clone());
    let inventory = stored.unwrap_or_else(fresh);
    let mut plan = plan(steps.to_vec()).ignoring(ignore, None);
    plan.held.present = Arc::new(steps.iter().map(|step| step.origin.path.clone()).collect());
    let observed = sync.kube.observe(&plan, &inventory, Which::All).await;
    let difference = diff(&plan, &observed, &inventory, rules, Which::All);
    let limits = Limits {
        timeout: Duration::from_secs(60),
        concurrency: 32,
        cancel: tokio_util::sync::CancellationToken::new(),
    };
    execute(&sync.kube, &plan, &difference, inventory, &limits, |_, _| {}).await
}

pub(super) fn all_ready(applied: &Applied) {
    for (id, outcome) in &applied.steps {
        assert_eq!(outcome.state, State::Ready, "{id}: {outcome:?}");
    }
    assert_eq!(applied.failure, None);
}

fn job(name: &str, spec: Value) -> Value {
    let mut job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name }, "spec": { "backoffLimit": 0,
        "template": { "spec": { "restartPolicy": "Never",
            "containers": [{ "name": "m", "image": "busybox:1.36", "command": ["sh", "-c", "echo hello"] }] } } } });
    super::sync::merge(&mut job["spec"], spec);
    job
}

#[tokio::test]
async fn a_repository_is_applied_kept_changed_and_pruned_with_as_few_requests_as_that_takes() {
    let sync = Sync::new().await;
    let maps = |changed: Option<usize>| -> Vec<Step> {
        let value = |number| if Some(number) == changed { "2" } else { "1" };
        let map = |number: usize| sync.step(config_map(&format!("c{number}"), json!({ "a": value(number) })));
        let mut steps: Vec<Step> = (0..100).map(map).collect();
        let mut workload = sync.step(deployment("d", json!({}), json!({})));
        workload.needs = steps.iter().map(|step| step.id.clone()).collect();
        steps.push(workload);
        steps
    };
    sync.kube.scopes().await.unwrap();
    sync.proxy.forget();
    let first = pass(&sync, &maps(None)).await;
    all_ready(&first);
    assert_eq!((first.applied, first.inventory.entries.len()), (101, 101));
    let inventory_writes = sync.proxy.writes().iter().filter(|seen| seen.path.contains("windlass-inventory")).count();
    let posts = sync.proxy.writes().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!((sync.proxy.writes().len(), inventory_writes + posts), (103, 2), "one write an object, two inventories");

    sync.proxy.forget();
    let quiet = pass(&sync, &maps(None)).await;
    all_ready(&quiet);
    assert_eq!(quiet.applied, 0);
    assert!(sync.proxy.writes().is_empty(), "{:?}", sync.proxy.writes());
    let requests: Vec<_> = sync.proxy.requests().into_iter().filter(|seen| !seen.is_watch()).collect();
    // The inventory, ConfigMaps, Deployments.
    assert_eq!(requests.len(), 3, "{requests:?}");

    sync.proxy.forget();
    let changed = pass(&sync, &maps(Some(7))).await;
    assert_eq!(changed.applied, 1);
    let writes = sync.proxy.writes();
    assert_eq!(writes.len(), 1, "a change of value writes no inventory: {writes:?}");

    let left: Vec<Step> = maps(Some(7)).into_iter().filter(|step| !step.id.as_str().ends_with("/c9")).collect();
    let pruned = pass(&sync, &left).await;
    assert_eq!(
        pruned.pruned.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("object/core/ConfigMap/{}/c9", &*sync.namespace)]
    );
    let live = sync.get(sync.path("api/v1", "configmaps", "").trim_end_matches('/')).await;
    let names: Vec<_> =
        live["items"].as_array().unwrap().iter().filter_map(|map| map["metadata"]["name"].as_str()).collect();
    assert!(!names.contains(&"c9") && names.contains(&"c8"));
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_hand_edit_is_reverted_and_a_hand_delete_undone() {
    let sync = Sync::new().await;
    let steps =
        [sync.step(config_map("edited", json!({ "a": "1" }))), sync.step(config_map("deleted", json!({ "a": "1" })))];
    all_ready(&pass(&sync, &steps).await);
    sync.patch_by_hand(&sync.path("api/v1", "configmaps", "edited"), &json!({ "data": { "a": "2" } })).await;
    let path = sync.path("api/v1", "configmaps", "deleted");
    sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    let applied = pass(&sync, &steps).await;
    all_ready(&applied);
    assert_eq!(applied.applied, 2);
    for name in ["edited", "deleted"] {
        assert_eq!(sync.get(&sync.path("api/v1", "configmaps", name)).await["data"], json!({ "a": "1" }), "{name}");
    }
    assert_eq!(pass(&sync, &steps).await.applied, 0);
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn job_with_ttl() {
    let sync = Sync::new().await;
    let steps = [sync.step(job("j", json!({ "ttlSecondsAfterFinished": 1 })))];
    all_ready(&pass(&sync, &steps).await);
    let path = sync.path("apis/batch/v1", "jobs", "j");
    crate::support::wait::until("the Job is gone by its TTL", || async {
        sync.by_hand("GET", &path, "application/json", &Value::Null).await.err()
    })
    .await;
    sync.proxy.forget();
    let again = pass(&sync, &steps).await;
    all_ready(&again);
    assert!(sync.proxy.writes().is_empty(), "a Job that is done is not run again: {:?}", sync.proxy.writes());
    let changed = [sync.step(job("j", json!({ "ttlSecondsAfterFinished": 100 })))];
    assert_eq!(pass(&sync, &changed).await.applied, 1, "a changed one is");
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_crd_and_its_objects_land_in_one_pass_and_a_missing_one_blocks_nothing() {
    let sync = Sync::new().await;
    let group = format!("{}.example.com", &*sync.namespace);
    let crd = sync.step(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("things.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
    }));
    let mut thing = sync
        .step(json!({ "apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": { "name": "a" }, "spec": {} }));
    thing.needs = [crd.id.clone()].into();
    let missing =
        sync.step(json!({ "apiVersion": "nobody.example.com/v1", "kind": "Nothing", "metadata": { "name": "a" } }));
    let mut after = sync.step(config_map("after", json!({})));
    after.needs = [missing.id.clone()].into();
    let applied = pass(&sync, &[crd.clone(), missing.clone(), after.clone(), thing.clone()]).await;
    let state = |step: &Step| applied.steps[&step.id].state;
    assert_eq!(
        (state(&crd), state(&thing), state(&missing), state(&after)),
        (State::Ready, State::Ready, State::Skipped, State::Ready),
        "{:?}",
        applied.steps
    );
    // The CRD goes by another hand, and its objects with it: that is seen, not taken as an unreadable kind.
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}");
    sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    crate::support::wait::until("the kind is gone", || async {
        let seen = sync.see(&thing).await;
        (seen == windlass::diff::seen::Seen::Absent).then_some(())
    })
    .await;
    sync.kube.release_inventory().await.unwrap();
}

/// Ten thousand objects: listed in pages, nothing else asked.
#[tokio::test]
async fn a_quiet_look_at_many_pages_is_one_request_a_page() {
    let sync = Sync::new().await;
    let steps: Vec<Step> = (0..1_200).map(|number| sync.step(config_map(&format!("c{number}"), json!({})))).collect();
    let applied = pass(&sync, &steps).await;
    assert_eq!(applied.applied, 1_200);
    sync.proxy.forget();
    assert_eq!(pass(&sync, &steps).await.applied, 0);
    let requests: Vec<_> = sync.proxy.requests().into_iter().filter(|seen| !seen.is_watch()).collect();
    assert_eq!(requests.len(), 4, "three pages and the inventory: {requests:?}");
    sync.kube.release_inventory().await.unwrap();
}
