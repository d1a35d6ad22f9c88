//! GitSyncs of a cluster and the agent that follows them all: requests, releases, other controllers, deletion.

use serde_json::{Value, json};

use super::followed::{NAME, READY_MESSAGE, READY_REASON, cluster, map};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

fn memcached(namespace: &str) -> String {
    format!(
        "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata:\n  name: sessions\n  namespace: {namespace}\nspec:\n  size: 1\n"
    )
}

#[test]
fn deleting_a_gitsync_prunes_or_orphans_as_its_policy_says() {
    let cluster = cluster();
    for (namespace, policy, marked) in [("prunes", "Prune", "windlass.dev/prune"), ("orphans", "Orphan", "")] {
        let repo = GitRepo::with(&[("one.yaml", &map("one")), ("two.yaml", &map("two"))]);
        cluster.follow(namespace, &repo, json!({ "deletionPolicy": policy }));
        cluster.await_ready(namespace, "Synced");
        assert_eq!(cluster.get(namespace, "gitsync/platform", "{.metadata.finalizers[*]}"), marked);
        let somebodys = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "theirs", "namespace": namespace } });
        cluster.apply(&somebodys);
        cluster.plane.kubectl(&["delete", "gitsync/platform", "-n", namespace, "--timeout=60s"]);
        let left = if policy == "Prune" { "" } else { "one" };
        assert_eq!(cluster.get(namespace, "configmap/one", NAME), left, "{policy}");
        assert_eq!(cluster.get(namespace, "configmap/theirs", NAME), "theirs");
    }
}

#[test]
fn a_request_is_answered_and_an_annotation_releases_a_refused_deletion() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("two.yaml", &map("two")), ("three.yaml", &map("three"))]);
    cluster.follow("requests", &repo, json!({ "budget": { "maxDeletes": 1 } }));
    cluster.await_ready("requests", "Synced");
    cluster.plane.kubectl(&["annotate", "gitsync/platform", "-n", "requests", "windlass.dev/requested-at=tea-time"]);
    cluster.await_value("requests", "gitsync/platform", "{.status.lastHandledRequest}", "tea-time");

    repo.remove("one.yaml").remove("two.yaml").commit("two at once");
    cluster.await_ready("requests", "Refused");
    let message = cluster.get("requests", "gitsync/platform", READY_MESSAGE);
    assert_eq!(cluster.get("requests", "configmap/one", NAME), "one");
    let (_, rest) = message.split_once("Windlass-Acknowledge: ").unwrap_or_else(|| panic!("no token in {message}"));
    let token: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    let release = format!("windlass.dev/acknowledge={token}");
    cluster.plane.kubectl(&["annotate", "gitsync/platform", "-n", "requests", &release]);
    cluster.await_ready("requests", "Synced");
    assert_eq!(cluster.get("requests", "configmap/one", NAME), "");

    let owned = cluster.windlass.run(&[
        "inventory",
        "requests/platform",
        "--kubeconfig",
        cluster.plane.kubeconfig().to_str().unwrap(),
    ]);
    assert_eq!(owned.code, 0, "{owned:?}");
    assert!(owned.stdout.starts_with("ConfigMap requests/three"), "{}", owned.stdout);
}

#[test]
fn a_field_that_somebody_adds_is_told_by_one_event() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one"))]);
    cluster.follow("additions", &repo, json!({}));
    cluster.await_ready("additions", "Synced");
    let patch = r#"{"data":{"theirs":"1"}}"#;
    cluster.plane.kubectl(&["patch", "configmap/one", "-n", "additions", "--type=merge", "-p", patch]);
    let told = "{range .items[?(@.reason==\"ForeignFields\")]}{.message}{\"\\n\"}{end}";
    until_blocking("an Event", || (!cluster.get("additions", "events", told).is_empty()).then_some(()));
    repo.write("two.yaml", &map("two")).commit("one more pass");
    cluster.await_value("additions", "configmap/two", NAME, "two");
    cluster.await_ready("additions", "Synced");
    let events = cluster.get("additions", "events", told);
    assert_eq!(events.lines().count(), 1, "{events}");
    assert!(events.contains("ConfigMap/additions/one") && events.contains("data.theirs (kubectl-patch)"), "{events}");
    cluster.await_ready("additions", "Synced");
}

#[test]
fn a_kind_that_appears_later_is_applied_as_the_cluster_has_it() {
    let cluster = cluster();
    let lake = "apiVersion: water.example.com/v1\nkind: Lake\nmetadata:\n  name: garda\n";
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("lake.yaml", lake)]);
    cluster.follow("lakes", &repo, json!({}));
    cluster.await_value("lakes", "configmap/one", NAME, "one");
    until_blocking("the first pass ends", || {
        (!cluster.get("lakes", "gitsync/platform", "{.status.lastAttemptedRevision}").is_empty()).then_some(())
    });
    cluster.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "lakes.water.example.com" },
        "spec": { "group": "water.example.com", "scope": "Cluster",
            "names": { "plural": "lakes", "singular": "lake", "kind": "Lake", "listKind": "LakeList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
    }));
    cluster.await_value("lakes", "lakes.water.example.com/garda", NAME, "garda");
    cluster.await_ready("lakes", "Synced");
}

#[test]
fn a_cr_that_another_controller_acts_on_is_left_to_it_until_the_sync_takes_over() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("cache.yaml", &memcached("others"))]);
    cluster.plane.kubectl(&["create", "namespace", "others"]);
    cluster.apply(&json!({
        "apiVersion": "cache.example.com/v1alpha1", "kind": "Memcached", "spec": { "size": 1 },
        "metadata": { "name": "sessions", "namespace": "others", "finalizers": ["cache.example.com/finalizer"] },
    }));
    let sync = |spec: Value| {
        let mut sync = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": { "name": "platform", "namespace": "others" },
            "spec": { "source": { "url": repo.path(), "interval": "1s" }, "targetNamespace": "others" },
        });
        for (key, value) in spec.as_object().unwrap() {
            sync["spec"][key] = value.clone();
        }
        cluster.apply(&sync);
    };
    sync(json!({}));
    cluster.await_ready("others", "Refused");
    let message = cluster.get("others", "gitsync/platform", READY_MESSAGE);
    assert!(message.contains("its finalizer is cache.example.com/finalizer"), "{message}");
    assert!(message.contains("spec.takeOver"), "{message}");
    assert_eq!(cluster.get("others", "configmap/one", NAME), "one", "its neighbours go on");
    assert_eq!(cluster.get("others", "deployment/sessions", NAME), "");
    assert_eq!(cluster.get("others", "memcached/sessions", "{.status}"), "", "two would write one status");

    sync(json!({ "takeOver": true }));
    cluster.await_ready("others", "Synced");
    assert_eq!(cluster.get("others", "deployment/sessions", NAME), "sessions");
    cluster.await_value("others", "memcached/sessions", READY_REASON, "DeploymentReady");
    until_blocking("an Event about the Memcached", || {
        let reasons = "{.items[?(@.involvedObject.kind==\"Memcached\")].reason}";
        (cluster.get("others", "events", reasons) == "DeploymentReady").then_some(())
    });
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    cluster.plane.kubectl(&["patch", "memcached/sessions", "-n", "others", "--type=merge", "-p", patch]);
}

/// A Deployment whose pods run and do not get ready while they are held.
fn deployment(held: bool) -> String {
    let annotations = if held { json!({ "test.windlass.dev/hold": "true" }) } else { json!({}) };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "slow", "namespace": "default" },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "slow" } }, "template": {
            "metadata": { "labels": { "app": "slow" }, "annotations": annotations },
            "spec": { "containers": [{ "name": "m", "image": "i" }] } } },
    })
    .to_string()
}

#[test]
fn a_pass_that_waits_gives_way_to_a_newer_revision_and_to_a_signal() {
    let cluster = cluster();
    let windlass = Windlass::on(&cluster.plane.kubeconfig());
    let repo = GitRepo::with(&[("slow.yaml", &deployment(true))]);
    let state = windlass.home().join("sync");
    let state = state.to_str().unwrap();
    let source = repo.path().to_str().unwrap();
    let mut agent = windlass.start(&["agent", "--source", source, "--state", state, "--listen", "127.0.0.1:0"]);
    let hold = "{.spec.template.metadata.annotations.test\\.windlass\\.dev/hold}";
    cluster.await_value("default", "deployment/slow", hold, "true");
    repo.write("slow.yaml", &deployment(false)).commit("go on");
    // The first pass alone would wait for ten minutes.
    let ready = || -> Option<Value> {
        let status = windlass.run(&["status", "-o", "json", "--state", state]);
        let view: Value = serde_json::from_str(&status.stdout).ok()?;
        let sync = view["syncs"].get(0)?.clone();
        sync["conditions"]
            .as_array()?
            .iter()
            .find(|it| it["type"] == "Ready")
            .map(|it| json!([sync["revision"], it["reason"]]))
    };
    let wanted = json!([repo.head(), "Synced"]);
    until_blocking("the newer revision is ready", || (ready()? == wanted).then_some(()));

    repo.write("slow.yaml", &deployment(true)).commit("hold again");
    cluster.await_value("default", "deployment/slow", hold, "true");
    agent.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut agent), 0, "{}", agent.log());
    assert_eq!(ready(), Some(json!([repo.head(), "Progressing"])), "what is known is stored");
}
