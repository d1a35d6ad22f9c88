//! Where a plain server-side apply does not do what it says: what other hands left, defaults, nulls and removals.

use serde_json::{Value, json};
use windlass::plan::Step;
use windlass::sync::spec::Adoption;
use windlass::target::Class;

use super::sync::{Sync, config_map, deployment};

#[tokio::test]
async fn silent_theft() {
    let sync = Sync::new().await;
    let path = sync.path("api/v1", "configmaps", "");
    let other = windlass::sync::part_of("elsewhere", "other");
    for (name, metadata) in [
        ("labelled", json!({ "name": "labelled", "labels": { windlass::sync::PART_OF: other } })),
        ("helm", json!({ "name": "helm", "annotations": { "meta.helm.sh/release-name": "r" } })),
        ("plain", json!({ "name": "plain" })),
    ] {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "theirs": "1" } });
        sync.by_hand("POST", path.trim_end_matches('/'), "application/json", &body).await.unwrap();
        let step = sync.step(config_map(name, json!({ "ours": "1" })));
        let done = sync.create(&step).await;
        let live = sync.get(&sync.path("api/v1", "configmaps", name)).await;
        if name == "plain" {
            assert!(done.unwrap().wrote);
            assert_eq!(live["data"]["ours"], "1");
        } else {
            let failure = done.unwrap_err();
            assert_eq!((failure.class, failure.reason), (Class::Stalled, "NotAdopted"), "{failure:?}");
            assert!(failure.message.contains("held by"), "{}", failure.message);
            assert_eq!(live["data"], json!({ "theirs": "1" }), "{name} was stolen");
        }
    }
}

#[tokio::test]
async fn adopt_all_takes_what_others_hold_and_must_match_takes_nothing() {
    for (adoption, taken) in [(Adoption::AdoptAll, true), (Adoption::MustMatch, false)] {
        let sync = Sync::with(|options| options.adoption = adoption).await;
        let metadata = json!({ "name": "a", "annotations": { "meta.helm.sh/release-name": "r" } });
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "a": "theirs" } });
        let path = sync.path("api/v1", "configmaps", "");
        sync.by_hand("POST", path.trim_end_matches('/'), "application/json", &body).await.unwrap();
        let done = sync.create(&sync.step(config_map("a", json!({ "a": "ours" })))).await;
        assert_eq!(done.is_ok(), taken, "{adoption:?}: {done:?}");
    }
}

/// Adopts what `kubectl apply` made, then drops a key in git: the key goes.
#[tokio::test]
async fn removal_that_does_not_remove() {
    let sync = Sync::new().await;
    let path = sync.path("api/v1", "configmaps", "a");
    let manifest = sync.step(config_map("a", json!({ "keep": "1", "drop": "1" }))).want.object().unwrap().value();
    let collection = format!("{}?fieldManager=kubectl-client-side-apply", path.trim_end_matches("/a"));
    sync.by_hand("POST", &collection, "application/json", &manifest).await.unwrap();

    sync.created(config_map("a", json!({ "keep": "1", "drop": "1" }))).await;
    sync.updated(config_map("a", json!({ "keep": "1" }))).await;
    assert_eq!(sync.get(&path).await["data"], json!({ "keep": "1" }), "after adoption");

    // A hand edit and back leaves the person as a co-owner of the value.
    sync.updated(config_map("a", json!({ "keep": "1", "drop": "1" }))).await;
    sync.patch_by_hand(&path, &json!({ "data": { "drop": "2" } })).await;
    sync.patch_by_hand(&path, &json!({ "data": { "drop": "1" } })).await;
    sync.updated(config_map("a", json!({ "keep": "1", "drop": "1" }))).await;
    sync.updated(config_map("a", json!({ "keep": "1" }))).await;
    assert_eq!(sync.get(&path).await["data"], json!({ "keep": "1" }), "after a hand edit and back");

    // Whoever empties managedFields makes `before-first-apply` the owner of all.
    sync.updated(config_map("a", json!({ "keep": "1", "drop": "1" }))).await;
    let reset = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": [{}] }]);
    sync.patch_by_hand(&path, &reset).await;
    sync.updated(config_map("a", json!({ "keep": "1", "drop": "1" }))).await;
    sync.updated(config_map("a", json!({ "keep": "1" }))).await;
    assert_eq!(sync.get(&path).await["data"], json!({ "keep": "1" }), "after managedFields were emptied");
}

/// Edits by hand, then applies the unchanged manifest again: what it says is there again.
async fn heals(sync: &Sync, step: &Step, path: &str, patch: &Value, pointer: &str, wanted: &Value) {
    sync.patch_by_hand(path, patch).await;
    assert_ne!(sync.get(path).await.pointer(pointer), Some(wanted), "the edit by hand did nothing");
    let done = sync.update(step).await.unwrap_or_else(|failure| panic!("{patch}: {failure:?}"));
    assert!(done.wrote);
    assert_eq!(sync.get(path).await.pointer(pointer), Some(wanted), "{patch}");
}

#[tokio::test]
async fn one_of_by_hand() {
    let sync = Sync::new().await;
    let service = sync
        .created(json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" },
            "spec": { "selector": { "app": "a" }, "ports": [{ "name": "http", "port": 80 }] } }))
        .await;
    let edit = json!([{ "op": "replace", "path": "/spec/ports/0/port", "value": 81 }]);
    let wanted = json!([{ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 80 }]);
    let path = sync.path("api/v1", "services", "a");
    heals(&sync, &service, &path, &edit, "/spec/ports", &wanted).await;

    let container = json!({
        "env": [{ "name": "A", "value": "1" }],
        "livenessProbe": { "httpGet": { "path": "/", "port": 80 } },
        "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
    });
    let spec = json!({ "replicas": 0, "template": { "spec": { "volumes": [{ "name": "v", "configMap": { "name": "c" } }] } } });
    let deployment = sync.created(deployment("d", container, spec)).await;
    let path = sync.path("apis/apps/v1", "deployments", "d");
    let main = "/spec/template/spec/containers/0";
    for (edit, pointer, wanted) in [
        (
            json!([{ "op": "replace", "path": format!("{main}/env/0"), "value":
                { "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } } }]),
            format!("{main}/env"),
            json!([{ "name": "A", "value": "1" }]),
        ),
        (
            json!([{ "op": "replace", "path": "/spec/template/spec/volumes/0", "value": { "name": "v", "emptyDir": {} } }]),
            "/spec/template/spec/volumes/0/emptyDir".to_owned(),
            Value::Null,
        ),
        (
            json!([{ "op": "remove", "path": format!("{main}/livenessProbe/httpGet") },
                   { "op": "add", "path": format!("{main}/livenessProbe/exec"), "value": { "command": ["true"] } }]),
            format!("{main}/livenessProbe/exec"),
            Value::Null,
        ),
    ] {
        sync.patch_by_hand(&path, &edit).await;
        sync.update(&deployment).await.unwrap_or_else(|failure| panic!("{edit}: {failure:?}"));
        let live = sync.get(&path).await;
        assert_eq!(live.pointer(&pointer).unwrap_or(&Value::Null), &wanted, "{edit}");
    }
}

/// What a controller that is no person set is not taken with the rest.
#[tokio::test]
async fn a_takeover_leaves_what_an_injector_set() {
    let sync = Sync::new().await;
    let manifest = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" },
        "spec": { "selector": { "app": "a" }, "ports": [{ "name": "http", "port": 80 }] } });
    let step = sync.created(manifest).await;
    let path = sync.path("api/v1", "services", "a");
    let inject = json!({ "metadata": { "annotations": { "example.com/injected": "yes" } } });
    sync.by_hand("PATCH", &format!("{path}?fieldManager=injector"), "application/merge-patch+json", &inject)
        .await
        .unwrap();
    sync.patch_by_hand(&path, &json!([{ "op": "replace", "path": "/spec/ports/0/port", "value": 81 }])).await;
    sync.update(&step).await.unwrap();
    let live = sync.get(&path).await;
    assert_eq!(live["spec"]["ports"][0]["port"], 80);
    assert_eq!(live["metadata"]["annotations"]["example.com/injected"], "yes");
}

#[tokio::test]
async fn defaulted_one_of_in_a_commit() {
    let sync = Sync::new().await;
    sync.created(deployment("d", json!({}), json!({ "replicas": 0 }))).await;
    sync.updated(deployment("d", json!({}), json!({ "replicas": 0, "strategy": { "type": "Recreate" } }))).await;
    let live = sync.get(&sync.path("apis/apps/v1", "deployments", "d")).await;
    assert_eq!(live["spec"]["strategy"], json!({ "type": "Recreate" }));
}

fn crd(group: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("things.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec, "status": { "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true } } } } }],
        },
    })
}

#[tokio::test]
async fn ssa_writes_null() {
    let sync = Sync::new().await;
    for (group, schema) in [
        ("untyped.example.com", json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })),
        (
            "typed.example.com",
            json!({ "type": "object", "properties": { "b": { "type": "object", "additionalProperties": { "type": "string" } } } }),
        ),
    ] {
        let crd = sync.created(crd(group, &schema)).await;
        super::waiting::settled(&sync, &crd).await;
        let thing = |b: Value| json!({ "apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": { "name": "a" }, "spec": { "b": b } });
        sync.created(thing(json!({ "c": "2" }))).await;
        sync.updated(thing(json!({}))).await;
        let live = sync.get(&sync.path(&format!("apis/{group}/v1"), "things", "a")).await;
        assert_eq!(live["spec"], json!({ "b": {} }), "{group}");
        sync.delete(&crd).await.unwrap();
    }
}

#[tokio::test]
async fn aggregated_clusterrole() {
    let sync = Sync::new().await;
    let name = format!("aggregated-{}", &*sync.namespace);
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": name },
        "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "none": "none" } }] }, "rules": [] });
    let step = sync.created(role).await;
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}");
    let filled = json!({ "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }] });
    let edited = sync.patch_by_hand(&path, &filled).await;
    let done = sync.update(&step).await.unwrap();
    let live = sync.get(&path).await;
    assert!(!done.wrote || live["rules"] != json!([]), "the controller's rules were wiped: {edited}");
    sync.delete(&step).await.unwrap();
}

#[tokio::test]
async fn one_manager_for_all() {
    let sync = Sync::new().await;
    let other = windlass::sync::field_manager(&windlass::sync::id("elsewhere", "other"));
    assert_ne!(other, sync.options.manager);
    sync.created(config_map("a", json!({ "ours": "1" }))).await;
    let path = sync.path("api/v1", "configmaps", "a");
    let theirs =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "theirs": "1" } });
    let apply = format!("{path}?fieldManager={other}");
    sync.by_hand("PATCH", &apply, "application/apply-patch+yaml", &theirs).await.unwrap();
    assert_eq!(sync.get(&path).await["data"], json!({ "ours": "1", "theirs": "1" }));
    let conflict =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "ours": "2" } });
    let refused = sync.by_hand("PATCH", &apply, "application/apply-patch+yaml", &conflict).await.unwrap_err();
    assert!(refused.contains(&sync.options.manager), "{refused}");
}
