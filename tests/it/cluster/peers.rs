//! What other GitOps tools got wrong, by the names under which their users know it. Cases that are tested elsewhere are
//! listed in docs/decisions.md.

use serde_json::json;

use super::followed::{NAME, READY_MESSAGE, READY_REASON, cluster, map};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;

/// Commits the token that the sync's status asks for.
fn acknowledge(namespace: &str, repo: &GitRepo) {
    let message = until_blocking("a token", || {
        let message = cluster().get(namespace, "gitsync/platform", READY_MESSAGE);
        message.contains("Windlass-Acknowledge: ").then_some(message)
    });
    let (_, rest) = message.split_once("Windlass-Acknowledge: ").expect("a token");
    let token: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    repo.commit(&format!("it is meant\n\nWindlass-Acknowledge: {token}"));
}

fn crd(group: &str) -> String {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("ponds.{group}") },
        "spec": { "group": group, "scope": "Namespaced",
            "names": { "plural": "ponds", "singular": "pond", "kind": "Pond", "listKind": "PondList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
    })
    .to_string()
}

fn pond(group: &str) -> String {
    format!("apiVersion: {group}/v1\nkind: Pond\nmetadata:\n  name: duck\nspec:\n  depth: 2\n")
}

/// A Deployment whose pods do not get ready while they are held.
fn slow(held: bool) -> String {
    let annotations = if held { json!({ "test.windlass.dev/hold": "true" }) } else { json!({}) };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "slow" },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "slow" } }, "template": {
            "metadata": { "labels": { "app": "slow" }, "annotations": annotations },
            "spec": { "containers": [{ "name": "m", "image": "i" }] } } },
    })
    .to_string()
}

/// How many passes of a sync the agent has told of.
fn passes(namespace: &str) -> usize {
    let log = cluster().agent.log();
    log.lines().filter(|line| line.contains("pass ended") && line.contains(&format!("{namespace}/platform"))).count()
}

#[test]
fn empty_source_guard() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("two.yaml", &map("two"))]);
    cluster.follow("emptied", &repo, json!({}));
    cluster.await_ready("emptied", "Synced");
    repo.remove("one.yaml").remove("two.yaml").commit("nothing left");
    let revision = repo.head();
    cluster.await_value("emptied", "gitsync/platform", "{.status.lastAttemptedRevision}", &revision);
    let refused = until_blocking("both are held", || {
        let refused = cluster.get("emptied", "gitsync/platform", "{.status.counts.refused}");
        (refused == "2").then(|| cluster.get("emptied", "gitsync/platform", "{.status}"))
    });
    assert!(!refused.contains("Windlass-Acknowledge"), "not even an acknowledgement empties a sync: {refused}");
    assert_ne!(cluster.get("emptied", "gitsync/platform", READY_REASON), "Synced");
    assert_eq!(cluster.get("emptied", "configmap/one", NAME), "one");
}

#[test]
fn partial_apply_keeps_inventory() {
    let cluster = cluster();
    let service = |port: u32| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: door\nspec:\n  selector:\n    app: door\n  ports:\n    - port: {port}\n"
        )
    };
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("door.yaml", &service(80)), ("two.yaml", &map("two"))]);
    cluster.follow("partial", &repo, json!({ "retryInterval": "1h" }));
    cluster.await_ready("partial", "Synced");
    // One object cannot be applied any more, another one left: what failed stays owned, what left goes.
    repo.write("door.yaml", &service(70_000)).remove("two.yaml").commit("a port too far");
    cluster.await_ready("partial", "StepFailed");
    cluster.await_value("partial", "configmap/two", NAME, "");
    assert_eq!(cluster.get("partial", "service/door", "{.spec.ports[0].port}"), "80");
    repo.remove("door.yaml").commit("without a door");
    cluster.await_ready("partial", "Synced");
    assert_eq!(cluster.get("partial", "service/door", NAME), "", "it was still known as ours");
}

#[test]
fn crd_and_cr_in_the_same_commit_and_crd_removed_with_its_crs() {
    let cluster = cluster();
    let group = "ponds.example.com";
    let repo = GitRepo::with(&[("pond.yaml", &pond(group)), ("crd.yaml", &crd(group)), ("one.yaml", &map("one"))]);
    cluster.follow(
        "ponds",
        &repo,
        json!({ "source": { "url": repo.path(), "interval": "1h" }, "retryInterval": "1h" }),
    );
    cluster.await_ready("ponds", "Synced");
    let what = format!("ponds.{group}/duck");
    assert_eq!(cluster.get("ponds", &what, "{.spec.depth}"), "2");

    repo.remove("pond.yaml").remove("crd.yaml").commit("drained");
    acknowledge("ponds", &repo);
    cluster.await_ready("ponds", "Synced");
    until_blocking("the CRD is gone", || {
        cluster.get("ponds", &format!("crd/ponds.{group}"), NAME).is_empty().then_some(())
    });
}

#[test]
fn namespace_removed_with_its_members() {
    let cluster = cluster();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: members-inner\n";
    let member = map("member").replace("metadata:\n", "metadata:\n  namespace: members-inner\n");
    let repo = GitRepo::with(&[("namespace.yaml", namespace), ("member.yaml", &member), ("one.yaml", &map("one"))]);
    cluster.follow("members", &repo, json!({}));
    cluster.await_ready("members", "Synced");
    repo.remove("namespace.yaml").remove("member.yaml").commit("both at once");
    acknowledge("members", &repo);
    cluster.await_ready("members", "Synced");
    cluster.await_value("members", "namespace/members-inner", NAME, "");
    assert_eq!(cluster.get("members", "configmap/one", NAME), "one");
}

#[test]
fn force_push_of_source_branch() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one"))]);
    repo.write("two.yaml", &map("two")).commit("to be forgotten");
    cluster.follow("forced", &repo, json!({}));
    cluster.await_ready("forced", "Synced");
    repo.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    repo.write("three.yaml", &map("three"));
    repo.git(&["add", "--all"]);
    repo.git(&["commit", "--quiet", "--amend", "--message", "another history"]);
    cluster.await_value("forced", "gitsync/platform", "{.status.lastAppliedRevision}", &repo.head());
    assert_eq!(cluster.get("forced", "configmap/three", NAME), "three");
    assert_eq!(cluster.get("forced", "configmap/two", NAME), "", "what the new history does not want goes, as ever");
    assert_eq!(cluster.get("forced", "configmap/one", NAME), "one");
}

#[test]
fn source_branch_deleted() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one"))]);
    repo.git(&["branch", "live"]);
    let source = json!({ "url": repo.path(), "interval": "1s", "ref": { "branch": "live" } });
    cluster.follow("unbranched", &repo, json!({ "source": source, "retryInterval": "1s" }));
    cluster.await_ready("unbranched", "Synced");
    repo.git(&["branch", "--quiet", "-D", "live"]);
    cluster.await_ready("unbranched", "SourceUnavailable");
    // The last revision stays the authority.
    let edit = r#"{"data":{"a":"by hand"}}"#;
    cluster.plane.kubectl(&["patch", "configmap/one", "-n", "unbranched", "--type=merge", "-p", edit]);
    cluster.await_value("unbranched", "configmap/one", "{.data.a}", "b");
    repo.write("two.yaml", &map("two")).commit("two");
    repo.git(&["branch", "live"]);
    cluster.await_ready("unbranched", "Synced");
    cluster.await_value("unbranched", "configmap/two", NAME, "two");
}

#[test]
fn new_revision_during_health_wait() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("slow.yaml", &slow(true))]);
    cluster.follow(
        "health",
        &repo,
        json!({ "source": { "url": repo.path(), "interval": "1h" }, "retryInterval": "1h" }),
    );
    cluster.await_value("health", "deployment/slow", NAME, "slow");
    // The first pass alone would wait for ten minutes.
    repo.write("slow.yaml", &slow(false)).commit("mended");
    cluster.await_value("health", "gitsync/platform", "{.status.lastAppliedRevision}", &repo.head());
    cluster.await_ready("health", "Synced");
}

#[test]
fn hundred_rapid_commits() {
    let cluster = cluster();
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("slow.yaml", &slow(true))]);
    cluster.follow(
        "rapid",
        &repo,
        json!({ "source": { "url": repo.path(), "interval": "1h" }, "retryInterval": "1h" }),
    );
    cluster.await_value("rapid", "deployment/slow", NAME, "slow");
    for number in 0..100 {
        repo.write("one.yaml", &map("one").replace("a: b", &format!("a: n{number}"))).commit("another");
    }
    repo.write("slow.yaml", &slow(false)).commit("the last");
    cluster.await_value("rapid", "gitsync/platform", "{.status.lastAppliedRevision}", &repo.head());
    cluster.await_ready("rapid", "Synced");
    assert_eq!(cluster.get("rapid", "configmap/one", "{.data.a}"), "n99");
    let passes = passes("rapid");
    assert!(passes <= 90, "commits that come together are one pass: {passes} passes for 101 commits");
}

#[test]
fn secret_never_in_status_event_condition_or_log_on_error_paths() {
    let cluster = cluster();
    let word = "correct-horse-battery";
    let secret = |name: &str, rest: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{rest}stringData:\n  password: {word}\n")
    };
    // One is fine, one has a type whose keys are missing, one cannot change because it is immutable.
    let repo = GitRepo::with(&[
        ("fine.yaml", &secret("fine", "")),
        ("wrong.yaml", &secret("wrong", "type: kubernetes.io/tls\n")),
        ("fixed.yaml", &secret("fixed", "immutable: true\n")),
    ]);
    cluster.follow("hushed", &repo, json!({ "retryInterval": "1s" }));
    cluster.await_value("hushed", "secret/fixed", NAME, "fixed");
    cluster.await_ready("hushed", "StepFailed");
    repo.write("fixed.yaml", &secret("fixed", "immutable: true\n").replace(word, &format!("{word}-again")));
    let revision = repo.commit("another word");
    cluster.await_value("hushed", "gitsync/platform", "{.status.lastAttemptedRevision}", &revision);
    until_blocking("both are told of", || {
        let counts = cluster.get("hushed", "gitsync/platform", "{.status.counts.failed}");
        (counts == "2").then_some(())
    });
    let kubeconfig = cluster.plane.kubeconfig();
    let encoded = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5";
    for (what, text) in [
        ("status", cluster.get("hushed", "gitsync/platform", "{.status}")),
        ("Events", cluster.plane.kubectl(&["get", "events", "-n", "hushed", "-o", "json"])),
        ("log", cluster.agent.log()),
        ("inventory", cluster.plane.kubectl(&["get", "configmaps", "-n", "hushed", "-o", "json"])),
        (
            "owned",
            cluster
                .windlass
                .run(&["inventory", "hushed/platform", "--kubeconfig", kubeconfig.to_str().unwrap()])
                .stdout,
        ),
    ] {
        assert!(!text.is_empty(), "{what}");
        assert!(!text.contains(word) && !text.contains(encoded), "{what} holds the secret: {text}");
    }
    assert_eq!(cluster.get("hushed", "gitsync/platform", READY_REASON), "StepFailed");
}
