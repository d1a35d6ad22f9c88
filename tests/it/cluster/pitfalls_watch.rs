//! What a watch of metadata does not say by itself, one test a case; each was shown on a real API server.

use serde_json::{Value, json};
use windlass::target::World as _;

use super::follow::{Followed, crd, ready};
use super::sync::{config_map, deployment};
use crate::support::wait::until;

async fn labels(followed: &Followed, path: &str) -> Value {
    followed.sync.get(path).await["metadata"]["labels"].clone()
}

#[tokio::test]
async fn keyed_list_reorder() {
    let env = json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }]);
    let followed = Followed::new([deployment("d", json!({ "env": env }), json!({ "replicas": 0 }))]).await;
    let path = followed.sync.path("apis/apps/v1", "deployments", "d");
    let mut object = followed.sync.get(&path).await;
    let list = object["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    list.reverse();
    followed.sync.by_hand("PUT", &path, "application/json", &object).await.unwrap();
    let rung = followed.rung("a list was turned around").await;
    assert_eq!(rung.suspect.len(), 1, "{rung:?}");
    ready(&followed.correct(&rung).await);
    assert_eq!(followed.sync.get(&path).await["spec"]["template"]["spec"]["containers"][0]["env"], env);
    followed.watched().await;
    assert!(followed.asked().is_empty(), "once is enough: {:?}", followed.asked());
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn admission_on_third_party_write() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = followed.sync.path("api/v1", "configmaps", "a");
    let value = async || followed.sync.get(&path).await["data"]["a"].clone();
    let root = "/apis/admissionregistration.k8s.io/v1";
    let name = format!("meddle-{}", &*followed.sync.namespace);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": &*followed.sync.namespace } },
                "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                    "resources": ["configmaps"] }],
            },
            "reinvocationPolicy": "Never", "failurePolicy": "Fail",
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression":
                "[JSONPatch{op: \"replace\", path: \"/data/a\", value: \"meddled\"}]" } }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": name }, "spec": { "policyName": name },
    });
    until("policies are watched", || async {
        let open = followed.sync.proxy.watches();
        let is_open = |plural: &str| open.iter().any(|seen| seen.path.ends_with(plural));
        (is_open("/mutatingadmissionpolicies") && is_open("/mutatingadmissionpolicybindings")).then_some(())
    })
    .await;
    for (plural, object) in [("mutatingadmissionpolicies", &policy), ("mutatingadmissionpolicybindings", &binding)] {
        followed.sync.by_hand("POST", &format!("{root}/{plural}"), "application/json", object).await.unwrap();
    }
    // A new policy takes a moment to reach the server's admission.
    until("the policy meddles", || async {
        let patch = json!({ "metadata": { "annotations": { "test.windlass.dev/touched": "yes" } } });
        followed.sync.patch_by_hand(&path, &patch).await;
        let patch = json!({ "metadata": { "annotations": { "test.windlass.dev/touched": null } } });
        followed.sync.patch_by_hand(&path, &patch).await;
        (value().await == "meddled").then_some(())
    })
    .await;
    let delete = async |plural: &str| {
        let path = format!("{root}/{plural}/{name}");
        followed.sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    };
    delete("mutatingadmissionpolicybindings").await;
    until("the policy meddles no more", || async {
        let (dry, kind) = (format!("{path}?dryRun=All"), "application/merge-patch+json");
        let answer = followed.sync.by_hand("PATCH", &dry, kind, &json!({ "data": { "a": "x" } })).await.unwrap();
        (answer["data"]["a"] == "x").then_some(())
    })
    .await;
    assert_eq!(value().await, "meddled");
    delete("mutatingadmissionpolicies").await;
    followed.corrected_until("a policy was there", async || value().await == "1").await;
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn our_manager_name_by_hand() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = followed.sync.path("api/v1", "configmaps", "a");
    let live = followed.sync.get(&path).await;
    let metadata =
        json!({ "name": "a", "labels": live["metadata"]["labels"], "annotations": live["metadata"]["annotations"] });
    let edited = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "a": "2" } });
    // Times of managers have whole seconds.
    let query = format!("{path}?fieldManager={}&force=true", followed.sync.options.manager);
    let before = live["metadata"]["managedFields"][0]["time"].clone();
    until("the server's clock moves on", || async {
        let dry = format!("{query}&dryRun=All");
        let answer = followed.sync.by_hand("PATCH", &dry, "application/apply-patch+yaml", &edited).await.unwrap();
        (answer["metadata"]["managedFields"][0]["time"] != before).then_some(())
    })
    .await;
    followed.sync.by_hand("PATCH", &query, "application/apply-patch+yaml", &edited).await.unwrap();
    let rung = followed.rung("somebody applied under our name").await;
    assert_eq!(rung.suspect.len(), 1, "{rung:?}");
    ready(&followed.correct(&rung).await);
    assert_eq!(followed.sync.get(&path).await["data"]["a"], "1");
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn backup_restore() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = followed.sync.path("api/v1", "configmaps", "a");
    let mut saved = followed.sync.get(&path).await;
    let managed = saved["metadata"]["managedFields"].clone();
    followed.sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        saved["metadata"].as_object_mut().unwrap().remove(field);
    }
    saved["data"]["a"] = "2".into();
    let folder = followed.sync.path("api/v1", "configmaps", "");
    let folder = folder.trim_end_matches('/');
    followed.sync.by_hand("POST", folder, "application/json", &saved).await.unwrap();
    let patch = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": managed }]);
    followed.sync.by_hand("PATCH", &path, "application/json-patch+json", &patch).await.unwrap();
    let value = async || followed.sync.get(&path).await["data"]["a"].clone();
    followed.corrected_until("it was deleted and restored", async || value().await == "1").await;
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn crd_field_dropped_and_restored() {
    let followed = Followed::new([config_map("other", json!({}))]).await;
    let group = format!("{}.example.com", &*followed.sync.namespace);
    let fields = json!({ "size": { "type": "integer" }, "colour": { "type": "string" } });
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    followed.sync.by_hand("POST", crds, "application/json", &crd(&group, &fields)).await.unwrap();
    let mut followed = followed;
    let thing = json!({ "apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": { "name": "a" },
        "spec": { "size": 3, "colour": "green" } });
    let path = format!("/apis/{group}/v1/namespaces/{}/things/a", &*followed.sync.namespace);
    until("the kind is served", || async {
        let list = path.trim_end_matches("/a");
        followed.sync.by_hand("GET", list, "application/json", &Value::Null).await.ok()
    })
    .await;
    followed.sync.kube.scopes().await.unwrap();
    followed.steps.push(followed.sync.step(thing));
    followed.apply().await;
    until("CRDs are watched", || async {
        followed.sync.proxy.watches().iter().any(|seen| seen.path == crds).then_some(())
    })
    .await;
    let schema = async |fields: Value| {
        let pointer = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let patch = json!([{ "op": "replace", "path": pointer, "value": fields }]);
        followed.sync.patch_by_hand(&format!("{crds}/things.{group}"), &patch).await;
    };
    let value = async || followed.sync.get(&path).await["spec"]["colour"].clone();
    schema(json!({ "size": { "type": "integer" } })).await;
    until("a foreign write loses the field", || async {
        for touched in [json!("yes"), Value::Null] {
            let patch = json!({ "metadata": { "annotations": { "test.windlass.dev/touched": touched } } });
            followed.sync.patch_by_hand(&path, &patch).await;
        }
        let raw = followed.sync.get(&path).await;
        raw["spec"].get("colour").is_none().then_some(())
    })
    .await;
    schema(fields).await;
    followed.corrected_until("the schema came back", async || value().await == "green").await;
    followed.sync.by_hand("DELETE", &format!("{crds}/things.{group}"), "application/json", &json!({})).await.unwrap();
    let gone = followed.rung("the kind is gone").await;
    assert!(gone.moved.iter().any(|id| id.as_str().contains("/Thing/")), "{gone:?}");
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn part_of_label_removed() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = followed.sync.path("api/v1", "configmaps", "a");
    let before = followed.sync.get(&path).await;
    let patch = json!({ "metadata": { "labels": { windlass::sync::PART_OF: null } } });
    followed.sync.patch_by_hand(&path, &patch).await;
    let rung = followed.rung("our label was taken off").await;
    ready(&followed.correct(&rung).await);
    let asked: Vec<String> = followed.asked().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(asked, [format!("GET {path}"), format!("PATCH {path}")], "confirmed by name, and not created");
    let after = followed.sync.get(&path).await;
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    // It is seen again from now on.
    followed.sync.patch_by_hand(&path, &json!({ "data": { "a": "2" } })).await;
    followed.corrected_until("edited", async || followed.sync.get(&path).await["data"]["a"] == "1").await;
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn copied_labels() {
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "selector": { "app": "s" }, "ports": [{ "port": 80, "protocol": "TCP" }] } });
    let slice = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "mine" },
        "addressType": "IPv4", "endpoints": [{ "addresses": ["10.1.2.3"] }] });
    let followed = Followed::new([service, slice]).await;
    let slices = followed.sync.path("apis/discovery.k8s.io/v1", "endpointslices", "");
    let copy = until("the controller copies our labels to a slice of its own", || async {
        let all = followed.sync.get(slices.trim_end_matches('/')).await;
        let copied = |it: &&Value| {
            it["metadata"]["name"] != "mine" && it["metadata"]["labels"].get(windlass::sync::PART_OF).is_some()
        };
        Some(all["items"].as_array()?.iter().find(copied)?["metadata"]["name"].as_str()?.to_owned())
    })
    .await;
    followed.watched().await;
    let before = followed.ignored();
    let path = format!("{slices}{copy}");
    followed.sync.patch_by_hand(&path, &json!({ "metadata": { "annotations": { "a": "b" } } })).await;
    followed.has_ignored(before, 1).await;
    followed.sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    followed.has_ignored(before, 2).await;
    assert!(followed.sync.kube.rung().is_empty());
    let recorded = followed.inventory().await;
    assert!(!recorded.entries.keys().any(|id| id.as_str().ends_with(&copy)));
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn status_apply_adds_an_entry() {
    let followed = Followed::new([deployment("d", json!({}), json!({ "replicas": 0 }))]).await;
    let path = followed.sync.path("apis/apps/v1", "deployments", "d");
    let before = followed.ignored();
    let status = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "status": { "conditions": [{ "type": "Mine", "status": "True" }] } });
    let to = format!("{path}/status?fieldManager={}&force=true", followed.sync.options.manager);
    followed.sync.by_hand("PATCH", &to, "application/apply-patch+yaml", &status).await.unwrap();
    let object = followed.sync.get(&path).await;
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let ours = |entry: &&Value| entry["manager"] == *followed.sync.options.manager;
    assert_eq!(entries.iter().filter(ours).count(), 2, "{entries:?}");
    followed.has_ignored(before, 1).await;
    assert!(followed.sync.kube.rung().is_empty());
    assert!(followed.asked().is_empty(), "{:?}", followed.asked());
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_label_that_another_controller_left_is_restored_without_a_poll() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = followed.sync.path("api/v1", "configmaps", "a");
    let wanted = labels(&followed, &path).await;
    let patch = json!({ "metadata": { "labels": { windlass::sync::PART_OF: "applyset-another-v1" } } });
    followed.sync.patch_by_hand(&path, &patch).await;
    let rung = followed.rung("somebody else's label").await;
    let applied = followed.correct(&rung).await;
    // It is another sync's now: named, not stolen back.
    let outcome = applied.steps.values().next().unwrap();
    assert_eq!(outcome.reason, "ForeignOwner", "{outcome:?}");
    let patch = json!({ "metadata": { "labels": wanted } });
    followed.sync.patch_by_hand(&path, &patch).await;
    followed.rung("it is ours again").await;
    followed.sync.kube.release_inventory().await.unwrap();
}
