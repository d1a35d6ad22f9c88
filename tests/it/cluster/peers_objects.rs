//! What users of other agents complain of, each case under the name that it goes by, on a real control plane.

use serde_json::{Value, json};
use windlass::diff::guard::reasons::FOREIGN_OWNER;
use windlass::diff::seen::Seen;
use windlass::inventory::Entry;
use windlass::plan::{State, Step};
use windlass::target::{Class, World};

use super::passes::{all_ready, pass};
use super::sync::{Sync, config_map, deployment};
use crate::support::proxy::Answer;

/// The second pass over the same steps, without a write.
async fn is_quiet(sync: &Sync, steps: &[Step]) {
    sync.proxy.forget();
    let again = pass(sync, steps).await;
    all_ready(&again);
    assert!(sync.proxy.writes().is_empty(), "{:?}", sync.proxy.writes());
}

/// A delete that was refused is tried again by the next pass; until then its entry stays.
#[tokio::test]
async fn rejected_delete_retried() {
    let sync = Sync::new().await;
    let steps = [sync.step(config_map("kept", json!({}))), sync.step(config_map("gone", json!({})))];
    all_ready(&pass(&sync, &steps).await);
    let denied = json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "admission webhook \"frozen.example.com\" denied the request: not on Fridays" });
    let answer = Answer::Http(403, vec![("content-type", "application/json".into())], denied.to_string());
    sync.proxy.answer(|seen| seen.method == "DELETE", 1, answer);
    let refused = pass(&sync, &steps[..1]).await;
    let outcome = &refused.steps[&steps[1].id];
    assert_eq!((outcome.state, outcome.reason.as_str()), (State::Failed, "AdmissionDenied"), "{outcome:?}");
    assert!(outcome.message.contains("not on Fridays"), "{outcome:?}");
    assert!(refused.pruned.is_empty() && refused.inventory.entries.contains_key(&steps[1].id));
    let again = pass(&sync, &steps[..1]).await;
    assert_eq!(again.pruned, [steps[1].id.clone()]);
    assert_eq!(sync.see(&steps[1]).await, Seen::Absent);
    sync.kube.release_inventory().await.unwrap();
}

/// An operator copies our labels and annotations to what it makes: that is not ours, and is never deleted, not even when
/// it has the name of something that we once owned.
#[tokio::test]
async fn label_copying_operator() {
    let sync = Sync::new().await;
    let steps = [sync.step(config_map("original", json!({ "a": "1" })))];
    all_ready(&pass(&sync, &steps).await);
    let mut copy = sync.get(&sync.path("api/v1", "configmaps", "original")).await;
    let labels = copy["metadata"]["labels"].clone();
    let annotations = copy["metadata"]["annotations"].clone();
    copy["metadata"] = json!({ "name": "copy", "labels": labels, "annotations": annotations });
    let collection = sync.path("api/v1", "configmaps", "");
    let made = sync.by_hand("POST", collection.trim_end_matches('/'), "application/json", &copy).await.unwrap();
    is_quiet(&sync, &steps).await;
    // The inventory is made to list it: the proofs on the object are missing all the same.
    let id = windlass::plan::StepId::object("", "ConfigMap", Some(&*sync.namespace), "copy");
    let mut inventory = sync.kube.load_inventory().await.unwrap().unwrap();
    let uid = made["metadata"]["uid"].as_str().map(str::to_owned);
    let entry = Entry { api_version: "v1".into(), uid, path: "a.yaml".into(), document: 1, ..Entry::default() };
    inventory.entries.insert(id.clone(), entry);
    sync.kube.store_inventory(&inventory).await.unwrap();
    let refused = pass(&sync, &steps).await;
    assert_eq!((refused.steps[&id].state, refused.steps[&id].reason.as_str()), (State::Refused, "NotOurs"));
    assert_eq!(sync.get(&sync.path("api/v1", "configmaps", "copy")).await["data"]["a"], "1");
    sync.kube.release_inventory().await.unwrap();
}

/// Somebody ties an object of ours to one of theirs: it is applied further on, but deleting it is not ours any more.
#[tokio::test]
async fn object_with_foreign_ownerref() {
    let sync = Sync::new().await;
    let steps = [sync.step(config_map("kept", json!({}))), sync.step(config_map("tied", json!({ "a": "1" })))];
    all_ready(&pass(&sync, &steps).await);
    let collection = sync.path("api/v1", "configmaps", "");
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "theirs" } });
    let owner = sync.by_hand("POST", collection.trim_end_matches('/'), "application/json", &owner).await.unwrap();
    let reference =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": owner["metadata"]["uid"] }]);
    let path = sync.path("api/v1", "configmaps", "tied");
    sync.patch_by_hand(&path, &json!({ "metadata": { "ownerReferences": reference }, "data": { "a": "2" } })).await;
    let healed = pass(&sync, &steps).await;
    all_ready(&healed);
    assert_eq!(sync.get(&path).await["data"]["a"], "1", "it is still kept as git says");
    let refused = pass(&sync, &steps[..1]).await;
    let outcome = &refused.steps[&steps[1].id];
    assert_eq!((outcome.state, outcome.reason.as_str()), (State::Refused, FOREIGN_OWNER), "{outcome:?}");
    assert!(outcome.message.contains("ConfigMap theirs"), "{outcome:?}");
    let failure = sync.delete(&steps[1]).await.unwrap_err();
    assert_eq!(failure.reason, "ForeignOwner", "nor in the last moment: {failure:?}");
    sync.patch_by_hand(&path, &json!({ "metadata": { "ownerReferences": null } })).await;
    assert_eq!(pass(&sync, &steps[..1]).await.pruned.len(), 1);
    sync.kube.release_inventory().await.unwrap();
}

/// A 422 is not taken for an immutable field because it is a 422.
#[tokio::test]
async fn immutable_vs_invalid_distinction() {
    let sync = Sync::new().await;
    let claim = |class: &str, size: &str| {
        json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" }, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": { "requests": { "storage": size } } } })
    };
    let set = |service: &str, replicas: i32| {
        json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "s" }, "spec": {
            "replicas": replicas, "serviceName": service, "selector": { "matchLabels": { "app": "s" } },
            "template": { "metadata": { "labels": { "app": "s" } }, "spec": { "containers": [{ "name": "m", "image": "i" }] } } } })
    };
    let selector = |more: &str, replicas: i32| {
        let labels = json!({ "app": "d", "more": more });
        deployment(
            "d",
            json!({}),
            json!({ "replicas": replicas, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels } } }),
        )
    };
    for (first, immutable, invalid) in [
        (claim("a", "1Gi"), claim("b", "1Gi"), claim("a", "-1Gi")),
        (set("a", 0), set("b", 0), set("a", -1)),
        (selector("a", 0), selector("b", 0), selector("a", -1)),
    ] {
        let uid = {
            sync.created(first.clone()).await;
            sync.live(&sync.step(first)).await.uid
        };
        let step = sync.step(immutable);
        let failure = sync.update(&step).await.unwrap_err();
        assert_eq!((failure.class, failure.reason), (Class::Stalled, "Immutable"), "{failure:?}");
        let failure = sync.update(&sync.step(invalid)).await.unwrap_err();
        assert_eq!((failure.class, failure.reason), (Class::Stalled, "Invalid"), "{failure:?}");
        assert_eq!(sync.live(&step).await.uid, uid, "nothing was deleted for it");
    }
}

/// Lists that merge by key: an entry that was taken out, turned or doubled by hand is as in git after one pass.
#[tokio::test]
async fn ports_env_merge_heal() {
    let sync = Sync::new().await;
    let ports = json!([{ "name": "dns", "port": 53 }, { "name": "dns-udp", "port": 53, "protocol": "UDP" }]);
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "selector": { "app": "d" }, "ports": ports } });
    let env = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]);
    let container = json!({ "env": env, "ports": [{ "containerPort": 80 }, { "containerPort": 81 }] });
    let steps = [sync.step(service), sync.step(deployment("d", container, json!({ "replicas": 0 })))];
    all_ready(&pass(&sync, &steps).await);
    let (service, workload) = (sync.path("api/v1", "services", "s"), sync.path("apis/apps/v1", "deployments", "d"));
    let main = "/spec/template/spec/containers/0";
    let before = (sync.get(&service).await["spec"]["ports"].clone(), sync.get(&workload).await["spec"].clone());
    for (path, edit) in [
        (&service, json!([{ "op": "remove", "path": "/spec/ports/1" }])),
        (&service, json!([{ "op": "replace", "path": "/spec/ports/0/port", "value": 54 }])),
        (&workload, json!([{ "op": "replace", "path": format!("{main}/env/0/value"), "value": "9" }])),
        (
            &workload,
            json!([{ "op": "remove", "path": format!("{main}/env/1") }, { "op": "add", "path": format!("{main}/env/-"), "value": { "name": "C", "value": "3" } }]),
        ),
        (&workload, json!([{ "op": "replace", "path": format!("{main}/ports/0/containerPort"), "value": 8080 }])),
    ] {
        sync.patch_by_hand(path, &edit).await;
        all_ready(&pass(&sync, &steps).await);
        let after = (sync.get(&service).await["spec"]["ports"].clone(), sync.get(&workload).await["spec"].clone());
        assert_eq!(sorted(after), sorted(before.clone()), "{edit}");
        is_quiet(&sync, &steps).await;
    }
    sync.kube.release_inventory().await.unwrap();
}

/// Order in a list that merges by key is the server's.
fn sorted(of: (Value, Value)) -> (Value, Value) {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(ToString::to_string);
            }
            Value::Object(fields) => fields.values_mut().for_each(sort),
            _ => {}
        }
    }
    let (mut a, mut b) = of;
    sort(&mut a);
    sort(&mut b);
    (a, b)
}

/// What the server fills in is no drift, and what it writes differently (quantities, dropped zeros) neither.
#[tokio::test]
async fn defaulted_field_no_drift() {
    let sync = Sync::new().await;
    let resources = json!({ "requests": { "cpu": "1000m", "memory": "1024Mi" }, "limits": { "cpu": 2 } });
    let container = json!({ "resources": resources, "env": [{ "name": "EMPTY", "value": "" }], "ports": [{ "containerPort": 80 }] });
    let steps = [
        sync.step(deployment("d", container, json!({ "replicas": 0, "template": { "spec": { "volumes": [{ "name": "e", "emptyDir": {} }] } } }))),
        sync.step(json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } })),
        sync.step(json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "c" }, "spec": { "schedule": "0 0 1 1 *",
            "jobTemplate": { "spec": { "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "m", "image": "i" }] } } } } } })),
    ];
    all_ready(&pass(&sync, &steps).await);
    is_quiet(&sync, &steps).await;
    sync.kube.release_inventory().await.unwrap();
}

/// Admission changes what we send, each time: that is what the cluster wants, and no drift.
#[tokio::test]
async fn webhook_mutated_field_no_drift() {
    let sync = Sync::new().await;
    let name = format!("mutates-{}", &*sync.namespace);
    let version = "admissionregistration.k8s.io/v1";
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": &*sync.namespace } });
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"] });
    let expression = "Object{data: {\"added\": \"by admission\", \"a\": \"rewritten\"}}";
    let policy = json!({ "apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": { "name": name }, "spec": {
        "matchConstraints": { "namespaceSelector": here, "resourceRules": [rule] }, "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "mutations": [{ "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": expression } }] } });
    let binding = json!({ "apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": { "name": name },
        "spec": { "policyName": name } });
    let root = format!("/apis/{version}");
    sync.by_hand("POST", &format!("{root}/mutatingadmissionpolicies"), "application/json", &policy).await.unwrap();
    sync.by_hand("POST", &format!("{root}/mutatingadmissionpolicybindings"), "application/json", &binding)
        .await
        .unwrap();
    let collection = sync.path("api/v1", "configmaps", "");
    let probe = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "probe-" } });
    crate::support::wait::until("the policy takes effect", || async {
        let made = sync.by_hand("POST", collection.trim_end_matches('/'), "application/json", &probe).await.ok()?;
        (made["data"]["added"] == "by admission").then_some(())
    })
    .await;
    let steps = [sync.step(config_map("m", json!({ "a": "1", "b": "2" })))];
    all_ready(&pass(&sync, &steps).await);
    let path = sync.path("api/v1", "configmaps", "m");
    assert_eq!(sync.get(&path).await["data"], json!({ "a": "rewritten", "added": "by admission", "b": "2" }));
    is_quiet(&sync, &steps).await;
    for plural in ["mutatingadmissionpolicybindings", "mutatingadmissionpolicies"] {
        sync.by_hand("DELETE", &format!("{root}/{plural}/{name}"), "application/json", &json!({})).await.unwrap();
    }
    sync.kube.release_inventory().await.unwrap();
}

/// `stringData` becomes `data`; a key that leaves it goes, and nothing is written twice.
#[tokio::test]
async fn stringdata() {
    let sync = Sync::new().await;
    let secret = |plain: Value| {
        [sync.step(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "data": { "a": "eA==" }, "stringData": plain }))]
    };
    let steps = secret(json!({ "b": "y", "c": "z" }));
    all_ready(&pass(&sync, &steps).await);
    is_quiet(&sync, &steps).await;
    let path = sync.path("api/v1", "secrets", "s");
    assert_eq!(sync.get(&path).await["data"], json!({ "a": "eA==", "b": "eQ==", "c": "eg==" }));
    all_ready(&pass(&sync, &secret(json!({ "b": "y" }))).await);
    assert_eq!(sync.get(&path).await["data"], json!({ "a": "eA==", "b": "eQ==" }));
    sync.patch_by_hand(&path, &json!({ "stringData": { "b": "stolen" } })).await;
    all_ready(&pass(&sync, &secret(json!({ "b": "y" }))).await);
    assert_eq!(sync.get(&path).await["data"]["b"], "eQ==");
    sync.kube.release_inventory().await.unwrap();
}

/// A workload without `replicas` in git is its autoscaler's, from the first pass on.
#[tokio::test]
async fn hpa() {
    let sync = Sync::new().await;
    let without = |image: &str| {
        let mut workload = deployment("d", json!({ "image": image }), json!({}));
        workload["spec"].as_object_mut().unwrap().remove("replicas");
        sync.step(workload)
    };
    let steps = [without("busybox:1.36")];
    all_ready(&pass(&sync, &steps).await);
    sync.plane.kubectl(&["scale", "deployment/d", "--replicas=3", "-n", &sync.namespace]);
    is_quiet(&sync, &steps).await;
    let changed = [without("busybox:1.37")];
    all_ready(&pass(&sync, &changed).await);
    let live = sync.get(&sync.path("apis/apps/v1", "deployments", "d")).await;
    assert_eq!(live["spec"]["replicas"], 3);
    sync.kube.release_inventory().await.unwrap();
}

/// A repository with very much wrong in it does not make a status that the API server refuses.
#[tokio::test]
async fn status_over_1_mib() {
    use windlass::problem::{Code, Problem};
    use windlass::report::summary::{End, Facts, Summary, Who, Wrote, summarize};
    let problems: Vec<Problem> = (0..20_000)
        .map(|number| Problem::error(Code::InvalidValue, format!("value {number} is wrong: {}", "x".repeat(200))))
        .collect();
    let who = Who { name: "platform".into(), namespace: "windlass-system".into(), ..Who::default() };
    let facts = Facts {
        who: &who,
        now: jiff::Timestamp::from_second(1_000_000_000).unwrap(),
        duration_ms: 1,
        revision: None,
        fetched_at: None,
        plan: None,
        problems: &problems,
        inventory: None,
        live: &std::collections::BTreeMap::new(),
        outcomes: &std::collections::BTreeMap::new(),
        wrote: Wrote::default(),
        end: End::Done,
        source_error: None,
        handled: None,
        pinned: None,
        same_plan: false,
        which: windlass::diff::Which::All,
    };
    let status = serde_json::to_string(&summarize(&Summary::default(), &facts).status).unwrap();
    assert!(status.contains("19,999 more") || status.contains("19999 more"), "it says that there is more");
    assert!(status.len() < 32 * 1024, "{} bytes", status.len());
}
