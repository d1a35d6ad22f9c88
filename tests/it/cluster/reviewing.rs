//! `windlass diff`, `trace` and `inventory --repair` against a real API server.

use super::shared::{Follower, exists};
use crate::support::control_plane::control_plane;
use crate::support::git_repo::GitRepo;
use crate::support::windlass::Finished;

fn deployment(namespace: &str, image: &str, sidecar: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: front\n  namespace: {namespace}\nspec:\n  replicas: 1\n  \
         selector:\n    matchLabels:\n      app: front\n  template:\n    metadata:\n      labels:\n        app: front\n    \
         spec:\n      containers:\n{sidecar}      - name: web\n        image: {image}\n        ports:\n        - containerPort: \
         80\n"
    )
}

fn map(namespace: &str, name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  v: \"{value}\"\n"
    )
}

fn secret(namespace: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n  namespace: {namespace}\nstringData:\n  password: {value}\n"
    )
}

fn follower(namespace: &str) -> Follower {
    let object = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    let repo = GitRepo::with(&[
        ("namespace.yaml", &object),
        ("front.yaml", &deployment(namespace, "nginx:1", "")),
        ("a.yaml", &map(namespace, "a", "1")),
        ("b.yaml", &map(namespace, "b", "1")),
        ("login.yaml", &secret(namespace, "c4n4ry-one")),
    ]);
    Follower::of(control_plane(), repo)
}

fn diff(follower: &Follower, args: &[&str]) -> Finished {
    follower.windlass.run(&[&["diff", follower.repo.path().to_str().unwrap()], args].concat())
}

#[test]
fn what_is_live_is_compared_field_by_field_and_nothing_is_written() {
    let namespace = "reviewing-live";
    let follower = follower(namespace);
    let nothing_yet = diff(&follower, &[]);
    assert_eq!(nothing_yet.code, 1, "{nothing_yet:?}");
    assert!(nothing_yet.stdout.ends_with("5 created; 0 steps as wanted\n"), "{}", nothing_yet.stdout);
    assert!(!exists(follower.plane, "default", &format!("namespace/{namespace}")));

    follower.good();
    follower.proxy.forget();
    let quiet = diff(&follower, &[]);
    assert_eq!(quiet.code, 0, "{quiet:?}");
    assert!(quiet.stdout.ends_with("nothing differs: 5 steps as wanted\n"), "{}", quiet.stdout);
    assert_eq!(follower.proxy.writes(), []);

    // A hand edit, and a commit to be.
    follower.plane.kubectl(&[
        "patch",
        "configmap/a",
        "-n",
        namespace,
        "-p",
        r#"{"data":{"v":"by hand","theirs":"x"}}"#,
    ]);
    let sidecar = "      - name: proxy\n        image: envoy:2\n";
    follower
        .repo
        .remove("b.yaml")
        .write("c.yaml", &map(namespace, "c", "1"))
        .write("front.yaml", &deployment(namespace, "nginx:2", sidecar))
        .write("login.yaml", &secret(namespace, "c4n4ry-two"));
    let found = diff(&follower, &[]);
    assert_eq!(found.code, 1, "{found:?}");
    let text = &found.stdout;
    for part in [
        "DELETE    ConfigMap reviewing-live/b",
        "somebody else changed it in the target\n          ~ data.v: by hand → \"1\"\n",
        "~ data.password: changed, not shown\n",
        "~ spec.template.spec.containers[web].image: nginx:1 → nginx:2\n",
        "+ spec.template.spec.containers[proxy]:\n",
        "+ image: envoy:2\n",
        "create    ConfigMap reviewing-live/c",
        "1 deleted, 3 changed, 1 created; 1 step as wanted\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("theirs"), "what somebody else added stays: {text}");
    assert_eq!(follower.proxy.writes(), []);
    let rehearsed = follower.proxy.requests().into_iter().filter(|seen| seen.query.contains("dryRun=All")).count();
    assert!(rehearsed >= 4, "{rehearsed}");
    for form in ["text", "markdown", "json"] {
        let found = diff(&follower, &["-o", form, "--full"]);
        for canary in ["c4n4ry", "YzRuNHJ5"] {
            assert!(!found.stdout.contains(canary) && !found.stderr.contains(canary), "{form}: {found:?}");
        }
    }
    assert_eq!(follower.plane.kubectl(&["get", "configmap/a", "-n", namespace, "-o=jsonpath={.data.v}"]), "by hand");

    // What was shown is what is done.
    follower.repo.commit("as reviewed");
    let done = follower.good();
    assert!(done.stdout.contains(": applied 4, pruned 1\n"), "{done:?}");
    assert_eq!(diff(&follower, &[]).code, 0);
}

#[test]
fn whoever_may_only_read_sees_the_same_without_a_rehearsal() {
    let namespace = "reviewing-reader";
    let follower = follower(namespace);
    follower.good();
    let plane = follower.plane;
    let kubeconfig = tokio::runtime::Runtime::new().unwrap().block_on(plane.account(namespace, "reader"));
    plane.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {namespace}\nrules:\n- apiGroups: ['*']\n  \
         resources: ['*']\n  verbs: [get, list, watch]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: \
         ClusterRoleBinding\nmetadata:\n  name: {namespace}\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: \
         ClusterRole\n  name: {namespace}\nsubjects:\n- kind: ServiceAccount\n  name: reader\n  namespace: {namespace}\n"
    ));

    let sidecar = "      - name: proxy\n        image: envoy:2\n";
    follower
        .repo
        .write("front.yaml", &deployment(namespace, "nginx:2", sidecar))
        .write("a.yaml", &map(namespace, "a", "2"));
    let found = diff(&follower, &["--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!(found.code, 1, "{found:?}");
    for part in [
        "~ data.v: \"1\" → \"2\"\n",
        "~ spec.template.spec.containers[web].image: nginx:1 → nginx:2\n",
        "+ spec.template.spec.containers[proxy]:\n",
        "2 changed; 3 steps as wanted\n",
    ] {
        assert!(found.stdout.contains(part), "{part}: {}", found.stdout);
    }
    assert!(found.stderr.contains("could not be rehearsed"), "{}", found.stderr);
}

#[test]
fn what_would_fail_or_be_adopted_is_told_before() {
    let namespace = "reviewing-trouble";
    let follower = follower(namespace);
    follower.good();
    follower.plane.kubectl(&["create", "configmap", "theirs", "-n", namespace, "--from-literal=v=old"]);
    let text = deployment(namespace, "nginx:1", "").replace("app: front", "app: other");
    follower.repo.write("front.yaml", &text).write("theirs.yaml", &map(namespace, "theirs", "new"));
    let found = diff(&follower, &[]);
    assert_eq!(found.code, 1, "{found:?}");
    for part in [
        "FAILS     Deployment reviewing-trouble/front",
        "windlass.dev/recreate",
        "adopt     ConfigMap reviewing-trouble/theirs",
        "~ data.v: old → new\n",
    ] {
        assert!(found.stdout.contains(part), "{part}: {}", found.stdout);
    }
}

#[test]
fn an_object_is_traced_to_what_was_committed_and_a_foreign_one_to_whose_it_is() {
    let namespace = "reviewing-trace";
    let follower = follower(namespace);
    follower.good();
    let plane = follower.plane;
    let trace = |kind: &str, object: &str| follower.windlass.run(&["trace", kind, object]);
    let own = trace("deploy", &format!("{namespace}/front"));
    assert_eq!(own.code, 0, "{own:?}");
    let commit = format!("  commit    {}  first\n", &follower.repo.head()[..7]);
    for part in [commit.as_str(), "  file      front.yaml:1, document 1\n", "  sync      windlass-system/"] {
        assert!(own.stdout.contains(part), "{part}: {}", own.stdout);
    }
    // Through its owners up to the Deployment.
    let pod =
        plane.kubectl(&["get", "pods", "-n", namespace, "-l", "app=front", "-o=jsonpath={.items[0].metadata.name}"]);
    let pod = trace("pod", &format!("{namespace}/{pod}"));
    assert_eq!(pod.code, 0, "{pod:?}");
    for part in ["is owned by ReplicaSet", "is owned by Deployment reviewing-trace/front\n", "front.yaml:1, document 1"]
    {
        assert!(pod.stdout.contains(part), "{part}: {}", pod.stdout);
    }
    let foreign = trace("configmaps", &format!("{namespace}/kube-root-ca.crt"));
    assert_eq!(foreign.code, 1, "{foreign:?}");
    for part in ["was not made by a sync", "made by   kube-controller-manager (Update, "] {
        assert!(foreign.stdout.contains(part), "{part}: {}", foreign.stdout);
    }
    let nothing = trace("cm", &format!("{namespace}/nowhere"));
    assert_eq!(nothing.code, 2, "{nothing:?}");

    // Without the state folder, the inventory knows.
    std::fs::remove_dir_all(follower.windlass.home().join("state")).unwrap();
    let name = follower.name();
    let sync = format!(
        "apiVersion: windlass.dev/v1alpha1\nkind: GitSync\nmetadata:\n  name: {name}\n  namespace: windlass-system\nspec:\n  \
         suspend: true\n  source:\n    url: {}\n",
        follower.repo.path().canonicalize().unwrap().display()
    );
    plane.apply(&sync);
    let own = trace("deployments.apps", &format!("{namespace}/front"));
    assert_eq!(own.code, 0, "{own:?}");
    assert!(own.stdout.contains("  file      front.yaml, document 1\n"), "{}", own.stdout);
    plane.kubectl(&["delete", "gitsync", &name, "-n", "windlass-system"]);
}

#[tokio::test]
async fn an_inventory_deleted_by_hand_is_rebuilt_and_owns_what_it_owned() {
    let namespace = "reviewing-repair";
    let follower = follower(namespace);
    follower.good();
    let (plane, name) = (follower.plane, follower.name());
    let before = follower.recorded().await;
    let listed = follower.windlass.run(&["inventory", &name]);
    assert!(listed.stdout.contains("5 entries; 1 ConfigMap, "), "{}", listed.stdout);

    // A label that was copied makes nothing ours.
    let label = format!("{}={}", windlass::sync::PART_OF, windlass::sync::part_of("windlass-system", &name));
    plane.kubectl(&["create", "configmap", "copied", "-n", namespace]);
    plane.kubectl(&["label", "configmap/copied", "-n", namespace, &label]);
    let shard = format!("configmap/windlass-inventory-{name}-0");
    let free = r#"{"metadata":{"finalizers":null}}"#;
    plane.kubectl(&["patch", &shard, "-n", "windlass-system", "--type=merge", "-p", free]);
    plane.kubectl(&["delete", &shard, "-n", "windlass-system"]);
    assert_eq!(follower.inventory().await, None);

    let unasked = follower.windlass.run(&["inventory", &name, "--repair"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert_eq!(follower.inventory().await, None);
    follower.proxy.forget();
    let repaired = follower.windlass.run(&["inventory", &name, "--repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    for part in
        ["there is no inventory", "left alone: ConfigMap reviewing-repair/copied", ": 5 entries recorded, 5 in all\n"]
    {
        assert!(repaired.stdout.contains(part), "{part}: {}", repaired.stdout);
    }
    let written: Vec<String> = follower.proxy.writes().into_iter().map(|seen| seen.path).collect();
    assert!(written.iter().all(|path| path.contains("/namespaces/windlass-system/configmaps")), "{written:?}");
    assert_eq!(follower.recorded().await, before);
    let again = follower.windlass.run(&["inventory", &name, "--repair", "--yes"]);
    assert!(again.code == 0 && again.stdout.contains("nothing to repair"), "{again:?}");

    follower.repo.remove("b.yaml").commit("one less");
    let pruned = follower.good();
    assert!(pruned.stdout.contains(", pruned 1\n") || pruned.stdout.contains(": pruned 1\n"), "{pruned:?}");
    assert!(!exists(plane, namespace, "configmap/b") && exists(plane, namespace, "configmap/copied"));
}

#[tokio::test]
async fn a_damaged_inventory_is_made_whole_from_the_labels() {
    let namespace = "reviewing-damage";
    let follower = follower(namespace);
    follower.good();
    let (plane, name) = (follower.plane, follower.name());
    let before = follower.recorded().await;
    let shard = format!("configmap/windlass-inventory-{name}-0");
    plane.kubectl(&[
        "patch",
        &shard,
        "-n",
        "windlass-system",
        "-p",
        r#"{"data":{"shard":"bm90IGFuIGludmVudG9yeQ=="}}"#,
    ]);
    let failed = follower.once();
    assert_eq!(failed.code, 2, "{failed:?}");
    let repaired = follower.windlass.run(&["inventory", &name, "--repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert!(repaired.stdout.contains("cannot be read as it is"), "{}", repaired.stdout);
    assert_eq!(follower.recorded().await, before);
    follower.good();
    follower.quiet();
}
