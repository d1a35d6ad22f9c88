//! `spec.serviceAccountName`: a sync has the rights of an account of its own namespace and no others, and what goes wrong
//! with that account harms this sync only.

use serde_json::{Value, json};

use super::followed::{NAME, READY_MESSAGE, READY_REASON, cluster, map};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

/// An account that may do everything with ConfigMaps of its namespace.
fn tenant(namespace: &str) {
    let cluster = cluster();
    cluster.plane.kubectl(&["create", "namespace", namespace]);
    account(namespace);
    let rbac = "rbac.authorization.k8s.io";
    let metadata = json!({ "name": "tenant", "namespace": namespace });
    cluster.apply(&json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": metadata,
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"] }],
    }));
    cluster.apply(&json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "tenant" },
        "subjects": [{ "kind": "ServiceAccount", "name": "tenant", "namespace": namespace }],
    }));
}

fn account(namespace: &str) {
    let metadata = json!({ "name": "tenant", "namespace": namespace });
    cluster().apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }));
}

fn elsewhere(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  a: b\n")
}

#[test]
fn a_sync_with_an_account_of_one_namespace_can_write_nowhere_else_and_does_not_touch_its_neighbours() {
    let cluster = cluster();
    tenant("tenant");
    cluster.plane.kubectl(&["create", "namespace", "not-theirs"]);
    let repo = GitRepo::with(&[("one.yaml", &map("one")), ("far.yaml", &elsewhere("far", "not-theirs"))]);
    let spec = json!({ "serviceAccountName": "tenant", "retryInterval": "1s" });
    cluster.sync("tenant", "platform", &repo, spec.clone());
    cluster.await_value("tenant", "configmap/one", NAME, "one");
    until_blocking("the refusal is told", || {
        let message = cluster.get("tenant", "gitsync/platform", READY_MESSAGE);
        ["system:serviceaccount:tenant:tenant", "not-theirs", "configmaps"]
            .iter()
            .all(|part| message.contains(part))
            .then_some(())
    });
    assert_eq!(cluster.get("not-theirs", "configmap/far", NAME), "");
    // The inventory is the agent's, the account may not even see Secrets, and status is written.
    assert!(!cluster.get("tenant", "configmap/windlass-inventory-platform-0", NAME).is_empty());
    repo.remove("far.yaml").commit("at home only");
    cluster.await_ready("tenant", "Synced");

    // The account goes while it is in use: said, and nothing is pruned although something left git.
    cluster.plane.kubectl(&["delete", "serviceaccount", "tenant", "-n", "tenant"]);
    repo.write("two.yaml", &map("two")).remove("one.yaml").commit("more and less");
    cluster.await_ready("tenant", "ServiceAccountMissing");
    let message = cluster.get("tenant", "gitsync/platform", READY_MESSAGE);
    assert!(message.contains("tenant/tenant does not exist"), "{message}");
    assert_eq!(cluster.get("tenant", "configmap/one", NAME), "one");
    assert_eq!(cluster.get("tenant", "configmap/two", NAME), "");
    account("tenant");
    cluster.await_value("tenant", "configmap/two", NAME, "two");
    cluster.await_value("tenant", "configmap/one", NAME, "");
    cluster.await_ready("tenant", "Synced");

    // An account of the same name elsewhere is nobody's to use.
    cluster.plane.kubectl(&["create", "namespace", "no-account"]);
    cluster.sync("no-account", "platform", &repo, spec);
    cluster.await_ready("no-account", "ServiceAccountMissing");
    assert_eq!(cluster.get("no-account", "configmap/two", NAME), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_the_right_to_act_as_an_account_says_which_rule_is_missing() {
    let cluster = cluster();
    tenant("unallowed");
    let kubeconfig = cluster.plane.account("unallowed", "agent").await;
    let rbac = "rbac.authorization.k8s.io";
    let allow = |name: &str, rules: Value| {
        let metadata = json!({ "name": name, "namespace": "unallowed" });
        cluster.apply(&json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": metadata, "rules": rules,
        }));
        cluster.apply(&json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": rbac, "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": "agent", "namespace": "unallowed" }],
        }));
    };
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    let windlass = Windlass::on(&kubeconfig);
    let repo = GitRepo::with(&[("one.yaml", &map("one"))]);
    let sync = json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
        "metadata": { "name": "local", "namespace": "unallowed" },
        "spec": { "source": { "url": repo.path() }, "targetNamespace": "unallowed", "serviceAccountName": "tenant" },
    });
    std::fs::write(windlass.home().join("sync.json"), sync.to_string()).unwrap();
    let once = || windlass.run(&["agent", "--once", "-f", "sync.json", "--no-crds"]);

    let no_lease = once();
    assert_eq!(no_lease.code, 2, "{no_lease:#?}");
    assert!(no_lease.stdout.contains("resources: [\"leases\"]"), "{no_lease:#?}");
    allow(
        "leases",
        json!([{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch", "delete"] }]),
    );

    let no_look = once();
    assert!(no_look.code == 2 && no_look.stdout.contains("resources: [\"serviceaccounts\"]"), "{no_look:#?}");
    allow(
        "look",
        json!([
            { "apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["tenant"], "verbs": ["get"] },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": all },
        ]),
    );
    let no_impersonation = once();
    assert_eq!(no_impersonation.code, 2, "{no_impersonation:#?}");
    for part in ["may not act as service account unallowed/tenant", "\"impersonate\"", "resourceNames: [\"tenant\"]"] {
        assert!(no_impersonation.stdout.contains(part), "{part}: {no_impersonation:#?}");
    }
    assert_eq!(cluster.get("unallowed", "configmap/one", NAME), "");

    // Exactly the rule that the message names is enough.
    allow(
        "look",
        json!([
            { "apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["tenant"], "verbs": ["get", "impersonate"] },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": all },
        ]),
    );
    let good = once();
    assert_eq!(good.code, 0, "{good:#?}");
    assert_eq!(cluster.get("unallowed", "configmap/one", NAME), "one");
    assert_eq!(
        cluster.get("unallowed", "gitsync/local", READY_REASON),
        "",
        "a local sync is never sent to the cluster"
    );
}
