//! What server-side apply really does, case by case: hands that add, hands that scale, dry runs that say nothing. The
//! other cases stand beside what they are about; a test of the house rules knows all their names.

use serde_json::{Value, json};
use windlass::diff::compare::Rules;
use windlass::diff::guard::reasons::{DRIFTED, FIGHTING};
use windlass::plan::{State, Step};
use windlass::sync::spec::{Ignore, Selector};
use windlass::target::World;

use super::passes::{all_ready, pass, pass_with};
use super::sync::{Sync, config_map, deployment};

fn network_policy() -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "deny" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } })
}

fn binding() -> Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "nobody" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "any" } })
}

fn extra_container() -> Value {
    json!([
        { "op": "add", "path": "/spec/template/spec/hostPID", "value": true },
        { "op": "add", "path": "/spec/template/spec/containers/-", "value": { "name": "evil", "image": "evil" } },
        { "op": "add", "path": "/spec/minReadySeconds", "value": 1 },
    ])
}

/// What is open to the whole cluster because of one added line rings no fingerprint: it is seen all the same, removed
/// where that is strict, and told elsewhere.
#[tokio::test]
async fn foreign_additions() {
    let sync = Sync::new().await;
    let steps = [
        sync.step(network_policy()),
        sync.step(binding()),
        sync.step(deployment("d", json!({}), json!({ "replicas": 0 }))),
        sync.step(config_map("c", json!({ "a": "1" }))),
    ];
    all_ready(&pass(&sync, &steps).await);
    let network = sync.path("apis/networking.k8s.io/v1", "networkpolicies", "deny");
    let rights = sync.path("apis/rbac.authorization.k8s.io/v1", "rolebindings", "nobody");
    let workload = sync.path("apis/apps/v1", "deployments", "d");
    let map = sync.path("api/v1", "configmaps", "c");
    let subject = json!([{ "kind": "ServiceAccount", "name": "default", "namespace": &*sync.namespace }]);
    let mut before = Vec::new();
    for step in &steps {
        before.push(sync.live(step).await.fingerprint);
    }
    sync.patch_by_hand(&network, &json!({ "spec": { "ingress": [{}] } })).await;
    sync.patch_by_hand(&rights, &json!({ "subjects": subject })).await;
    sync.patch_by_hand(&workload, &extra_container()).await;
    sync.patch_by_hand(&map, &json!({ "data": { "theirs": "1" } })).await;
    for (step, before) in steps.iter().zip(before) {
        let live = sync.live(step).await;
        assert_eq!(live.fingerprint, before, "{}: nothing of ours has moved", step.id);
        assert!(live.additions().iter().any(|it| it.manager == "kubectl-edit"), "{}: {live:?}", step.id);
    }

    let applied = pass(&sync, &steps).await;
    all_ready(&applied);
    assert_eq!(applied.applied, 3, "the ConfigMap is left");
    assert_eq!(sync.get(&network).await["spec"].get("ingress"), None, "nobody is let in");
    assert_eq!(sync.get(&rights).await.get("subjects"), None);
    let live = sync.get(&workload).await;
    assert_eq!(live["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(live["spec"]["template"]["spec"].get("hostPID"), None);
    assert_eq!(live["spec"]["minReadySeconds"], 1, "outside of the template it is only told");
    assert_eq!(sync.get(&map).await["data"]["theirs"], "1");
    let told: Vec<String> = sync
        .live(&steps[3])
        .await
        .additions()
        .iter()
        .map(|it| format!("{} {} {}", it.manager, it.field, it.strict))
        .collect();
    assert_eq!(told, ["kubectl-edit data.theirs false"]);
    assert_eq!(pass(&sync, &steps).await.applied, 0, "that is all");

    // A restart that somebody asked for is not taken back: that would restart everything once more.
    sync.plane.kubectl(&["rollout", "restart", "deployment/d", "-n", &sync.namespace]);
    assert_eq!(pass(&sync, &steps).await.applied, 0);
    let annotations = &sync.get(&workload).await["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations.get("kubectl.kubernetes.io/restartedAt").is_some(), "{annotations}");
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn strict_is_what_the_sync_lists_and_an_empty_list_is_off() {
    let off = Sync::with(|options| options.strict = Some(Vec::new())).await;
    let step = off.step(network_policy());
    all_ready(&pass(&off, std::slice::from_ref(&step)).await);
    let path = off.path("apis/networking.k8s.io/v1", "networkpolicies", "deny");
    off.patch_by_hand(&path, &json!({ "spec": { "ingress": [{}] } })).await;
    assert_eq!(pass(&off, std::slice::from_ref(&step)).await.applied, 0);
    assert_eq!(off.get(&path).await["spec"]["ingress"], json!([{}]));
    off.kube.release_inventory().await.unwrap();

    let on = Sync::with(|options| options.strict = Some(vec!["ConfigMap".into()])).await;
    let step = on.step(config_map("c", json!({ "a": "1" })));
    all_ready(&pass(&on, std::slice::from_ref(&step)).await);
    let path = on.path("api/v1", "configmaps", "c");
    on.patch_by_hand(&path, &json!({ "data": { "theirs": "1" }, "metadata": { "labels": { "theirs": "1" } } })).await;
    // What controllers add is theirs.
    let inject = json!({ "data": { "injected": "1" } });
    on.by_hand("PATCH", &format!("{path}?fieldManager=injector"), "application/merge-patch+json", &inject)
        .await
        .unwrap();
    assert_eq!(pass(&on, std::slice::from_ref(&step)).await.applied, 1);
    let live = on.get(&path).await;
    assert_eq!(live["data"], json!({ "a": "1", "injected": "1" }));
    assert_eq!(live["metadata"]["labels"]["theirs"], "1", "labels are nobody's business");
    on.kube.release_inventory().await.unwrap();
}

async fn replicas(sync: &Sync) -> Value {
    sync.get(&sync.path("apis/apps/v1", "deployments", "d")).await["spec"]["replicas"].clone()
}

fn scale(sync: &Sync, to: u32) {
    sync.plane.kubectl(&["scale", "deployment/d", &format!("--replicas={to}"), "-n", &sync.namespace]);
}

/// Scaling is no drift where somebody else may scale; a commit keeps the live number, and so does one that leaves the
/// number out.
#[tokio::test]
async fn replicas_and_hpa() {
    let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d" });
    let metrics = json!([{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } }]);
    let scaler = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "d" },
        "spec": { "scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 5, "metrics": metrics } });
    let target = Selector { kind: Some("Deployment".into()), ..Selector::default() };
    let rule = Ignore { target: Some(target), json_pointers: vec!["/spec/replicas".into()] };
    for (scaler, ignore) in [(Some(scaler), Vec::new()), (None, vec![rule])] {
        let sync = Sync::new().await;
        let steps = |image: &str, replicas: Value| -> Vec<Step> {
            let mut workload = deployment("d", json!({ "image": image }), json!({ "replicas": replicas }));
            if replicas.is_null() {
                workload["spec"].as_object_mut().unwrap().remove("replicas");
            }
            let mut manifests = vec![workload];
            manifests.extend(scaler.clone());
            manifests.into_iter().map(|it| sync.step(it)).collect()
        };
        let rules = Rules { prune: true, ..Rules::default() };
        let run = |steps: Vec<Step>| {
            let (sync, rules, ignore) = (&sync, &rules, &ignore);
            async move { pass_with(sync, &steps, rules, ignore).await }
        };
        all_ready(&run(steps("busybox:1.36", json!(2))).await);
        assert_eq!(replicas(&sync).await, 2, "made as declared");
        assert_eq!(run(steps("busybox:1.36", Value::Null)).await.applied, 0, "it leaves git");
        assert_eq!(run(steps("busybox:1.37", Value::Null)).await.applied, 1);
        assert_eq!(replicas(&sync).await, 2, "hand-over: its only owner leaves it out, and it stays");
        scale(&sync, 3);
        assert_eq!(
            run(steps("busybox:1.37", json!(1))).await.applied,
            0,
            "neither scaling is a difference nor a number in git"
        );
        assert_eq!(run(steps("busybox:1.38", json!(1))).await.applied, 1);
        assert_eq!(replicas(&sync).await, 3, "a commit keeps the live number");
        scale(&sync, 4);
        assert_eq!(run(steps("busybox:1.36", Value::Null)).await.applied, 1);
        assert_eq!(replicas(&sync).await, 4, "and after it left git once more");
        sync.kube.release_inventory().await.unwrap();
    }
}

/// A field of one item of a list, by its index in the document.
#[tokio::test]
async fn an_ignored_field_of_a_list_item_keeps_its_live_value() {
    let sync = Sync::new().await;
    let ignore = [Ignore { target: None, json_pointers: vec!["/spec/template/spec/containers/0/image".into()] }];
    let rules = Rules { prune: true, ..Rules::default() };
    let step = |replicas: u32| [sync.step(deployment("d", json!({}), json!({ "replicas": replicas })))];
    all_ready(&pass_with(&sync, &step(0), &rules, &ignore).await);
    let path = sync.path("apis/apps/v1", "deployments", "d");
    sync.plane.kubectl(&["set", "image", "deployment/d", "main=updated:2", "-n", &sync.namespace]);
    assert_eq!(pass_with(&sync, &step(0), &rules, &ignore).await.applied, 0);
    assert_eq!(pass_with(&sync, &step(1), &rules, &ignore).await.applied, 1);
    let live = sync.get(&path).await;
    assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "updated:2");
    assert_eq!(live["spec"]["replicas"], 1);
    sync.kube.release_inventory().await.unwrap();
}

/// Only a real apply tells whether something would change: the dry run answers with the live resourceVersion either way.
#[tokio::test]
async fn dry_run_says_nothing() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({ "a": "1" }))).await;
    let path = sync.path("api/v1", "configmaps", "a");
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let dry = format!("{path}?fieldManager={}&force=true&dryRun=All", sync.options.manager);
    let body = |value: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "a": value } });
    let live = version(&sync.get(&path).await);
    for value in ["1", "2"] {
        let told = sync.by_hand("PATCH", &dry, "application/apply-patch+yaml", &body(value)).await.unwrap();
        assert_eq!(version(&told), live, "{value}");
    }
    assert!(!sync.update(&step).await.unwrap().wrote, "nothing to correct: nothing is written");
    assert_eq!(version(&sync.get(&path).await), live);
    sync.patch_by_hand(&path, &json!({ "data": { "a": "2" } })).await;
    assert!(sync.update(&step).await.unwrap().wrote, "what is corrected is counted");
    assert_ne!(version(&sync.get(&path).await), live);
}

/// In mode Report nothing is written, and the step says which fields differ and who holds them.
#[tokio::test]
async fn reported_drift_names_the_fields_and_who_changed_them() {
    let sync = Sync::new().await;
    let workload = sync.step(deployment(
        "d",
        json!({ "env": [{ "name": "A", "value": "t0p-s3cret" }] }),
        json!({ "replicas": 0 }),
    ));
    let secret = sync.step(
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "token": "t0p-s3cret", "user": "u" } }),
    );
    let steps = [workload, secret];
    let rules = Rules { prune: true, report_drift: true, ..Rules::default() };
    all_ready(&pass_with(&sync, &steps, &rules, &[]).await);
    scale(&sync, 2);
    let path = sync.path("apis/apps/v1", "deployments", "d");
    sync.patch_by_hand(&path, &json!([{ "op": "remove", "path": "/spec/template/spec/containers/0/env" }])).await;
    let edit = json!({ "data": { "token": "aHVudGVyMg==", "user": null } });
    sync.patch_by_hand(&sync.path("api/v1", "secrets", "s"), &edit).await;
    sync.proxy.forget();
    let applied = pass_with(&sync, &steps, &rules, &[]).await;
    assert_eq!(applied.applied, 0);
    for step in &steps {
        let outcome = &applied.steps[&step.id];
        assert_eq!((outcome.state, outcome.reason.as_str()), (State::Refused, DRIFTED), "{outcome:?}");
        assert!(outcome.message.contains("overwrites the edit"), "{outcome:?}");
    }
    let explained = sync.kube.explain(&steps[0]).await.unwrap();
    assert!(explained.contains("spec.replicas (now held by kubectl)"), "{explained}");
    assert!(explained.contains("spec.template.spec.containers[name=main].env (removed)"), "{explained}");
    let explained = sync.kube.explain(&steps[1]).await.unwrap();
    assert_eq!(explained, "It differs in data.token (now held by kubectl-edit), data.user (removed)");
    sync.kube.release_inventory().await.unwrap();
}

/// A field that git dropped goes although the process that applied it has ended, and although the co-owner wrote through
/// another version of the kind.
#[tokio::test]
async fn a_removal_removes_in_the_next_process_and_through_every_version() {
    let mut sync = Sync::new().await;
    let path = sync.path("api/v1", "configmaps", "a");
    sync.created(config_map("a", json!({ "keep": "1", "drop": "1" }))).await;
    sync.patch_by_hand(&path, &json!({ "data": { "drop": "2" } })).await;
    sync.patch_by_hand(&path, &json!({ "data": { "drop": "1" } })).await;
    let again = sync.step(config_map("a", json!({ "keep": "1", "drop": "1" })));
    sync.update(&again).await.unwrap();
    sync.restart().await;
    sync.updated(config_map("a", json!({ "keep": "1" }))).await;
    assert_eq!(sync.get(&path).await["data"], json!({ "keep": "1" }), "after a restart");

    let behavior = json!({ "scaleDown": { "stabilizationWindowSeconds": 10 } });
    let scaler = |behavior: Value| {
        let reference = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "none" });
        let mut scaler = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "h" },
            "spec": { "scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 5 } });
        if behavior.is_object() {
            scaler["spec"]["behavior"] = behavior;
            scaler["spec"]["minReplicas"] = json!(3);
        }
        scaler
    };
    sync.created(scaler(behavior.clone())).await;
    let old = sync.path("apis/autoscaling/v1", "horizontalpodautoscalers", "h");
    sync.patch_by_hand(&old, &json!({ "spec": { "minReplicas": 4 } })).await;
    sync.patch_by_hand(&old, &json!({ "spec": { "minReplicas": 3 } })).await;
    sync.updated(scaler(behavior)).await;
    let mut without = scaler(Value::Null);
    without["spec"].as_object_mut().unwrap().remove("minReplicas");
    sync.updated(without).await;
    let live = sync.get(&sync.path("apis/autoscaling/v2", "horizontalpodautoscalers", "h")).await;
    assert_eq!(live["spec"].get("behavior"), None, "{live}");
    assert_eq!(live["spec"]["minReplicas"], 1, "back to its default: {live}");
}

/// What is left alone for a while is refused by name; nothing is sent.
#[tokio::test]
async fn a_fight_is_broken_off_and_names_the_other_manager() {
    let sync = Sync::new().await;
    let step = sync.step(config_map("a", json!({ "a": "1" })));
    all_ready(&pass(&sync, std::slice::from_ref(&step)).await);
    let path = sync.path("api/v1", "configmaps", "a");
    let rival = json!({ "data": { "a": "2" } });
    sync.by_hand("PATCH", &format!("{path}?fieldManager=rival"), "application/merge-patch+json", &rival).await.unwrap();
    let fighting = [(step.id.clone(), "2026-01-01T00:00:00Z".to_owned())].into();
    let rules = Rules { prune: true, fighting, ..Rules::default() };
    sync.proxy.forget();
    let applied = pass_with(&sync, std::slice::from_ref(&step), &rules, &[]).await;
    let outcome = &applied.steps[&step.id];
    assert_eq!((outcome.state, outcome.reason.as_str()), (State::Refused, FIGHTING));
    assert!(outcome.message.contains("field manager rival"), "{outcome:?}");
    assert!(sync.proxy.writes().is_empty(), "{:?}", sync.proxy.writes());
    sync.kube.release_inventory().await.unwrap();
}
