//! What `windlass install` prints is applied as it is, gives the agent the rights it needs and no more, and `windlass
//! uninstall` takes it away again. On a control plane of its own: an installation concerns a whole cluster.

use std::process::Stdio;
use std::sync::OnceLock;

use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::windlass::Windlass;

fn plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(own_control_plane)
}

/// Runs `windlass install` and applies its output.
fn install(plane: &ControlPlane, args: &[&str]) {
    let printed = Windlass::new().run(&[&["install"], args].concat());
    assert_eq!(printed.code, 0, "{printed:?}");
    plane.apply(&printed.stdout);
}

fn can(plane: &ControlPlane, verb: &str, resource: &str, namespace: &str) -> bool {
    let mut command = plane.kubectl_command();
    command.args(["auth", "can-i", verb, resource, "-n", namespace]);
    command.args(["--as", "system:serviceaccount:windlass-system:windlass"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("kubectl").success()
}

#[test]
fn an_installation_runs_has_least_rights_and_is_taken_away_without_a_trace() {
    let plane = plane();
    install(plane, &["--registry", "registry.example.com/team"]);
    plane.kubectl(&["wait", "--for=condition=Available", "--timeout=60s", "-n", "windlass-system", "deploy/windlass"]);
    plane.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/gitsyncs.windlass.dev"]);
    // The namespace enforces the restricted standard, so a running pod has passed it.
    let image = plane.kubectl(&["get", "pods", "-n", "windlass-system", "-o", "jsonpath={..containers[*].image}"]);
    assert_eq!(image, concat!("registry.example.com/team/windlass:", env!("CARGO_PKG_VERSION")));

    for (verb, resource, namespace) in [
        ("create", "deployments.apps", "default"),
        ("patch", "memcacheds.cache.example.com", "default"),
        ("patch", "goops.goop.example.com/status", "default"),
        ("delete", "jobs.batch", "default"),
        ("patch", "gitsyncs.windlass.dev/status", "default"),
        ("get", "secrets", "windlass-system"),
        ("create", "secrets/windlass-hash-key", "windlass-system"),
        ("patch", "secrets/windlass-hash-key", "windlass-system"),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io/gitsyncs.windlass.dev", ""),
    ] {
        assert!(can(plane, verb, resource, namespace), "it may not {verb} {resource} in {namespace:?}");
    }
    for (verb, resource, namespace) in [
        ("get", "secrets", "default"),
        ("patch", "secrets", "windlass-system"),
        ("create", "secrets/another", "windlass-system"),
        ("create", "secrets/windlass-hash-key", "default"),
        ("delete", "secrets/windlass-hash-key", "windlass-system"),
        ("patch", "clusterroles.rbac.authorization.k8s.io", ""),
        ("patch", "customresourcedefinitions.apiextensions.k8s.io/others.example.com", ""),
        ("delete", "customresourcedefinitions.apiextensions.k8s.io/gitsyncs.windlass.dev", ""),
        ("create", "pods/exec", "default"),
    ] {
        assert!(!can(plane, verb, resource, namespace), "it may {verb} {resource} in {namespace:?}");
    }

    // An inventory with its finalizer, as a running agent leaves it; and a neighbour that is none of our business.
    plane.kubectl(&["create", "configmap", "windlass-inventory-a-0", "-n", "windlass-system"]);
    let finalizer = r#"{"metadata":{"labels":{"windlass.dev/inventory":"0"},"finalizers":["windlass.dev/inventory"]}}"#;
    let shard = ["patch", "configmap", "windlass-inventory-a-0", "-n", "windlass-system", "--type=merge", "-p"];
    plane.kubectl(&[&shard[..], &[finalizer]].concat());
    plane.kubectl(&["create", "configmap", "neighbour", "-n", "default"]);
    // Somebody else's agent keeps its inventory in its own namespace, and somebody else's finalizer is on a GitSync.
    plane.kubectl(&["create", "configmap", "windlass-inventory-b-0", "-n", "default"]);
    let label = ["label", "configmap", "windlass-inventory-b-0", "-n", "default", "windlass.dev/inventory=elsewhere"];
    plane.kubectl(&label);
    let sync = r#"{"apiVersion":"windlass.dev/v1alpha1","kind":"GitSync","metadata":{"name":"a","namespace":"default",
        "finalizers":["windlass.dev/prune","example.com/other"]},"spec":{"source":{"url":"https://git.example/a.git"}}}"#;
    plane.apply(sync);

    let windlass = Windlass::on(&plane.kubeconfig());
    let unasked = windlass.run(&["uninstall"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.stderr.contains("nothing was removed; --yes goes on"), "{unasked:?}");
    plane.kubectl(&["get", "deploy", "windlass", "-n", "windlass-system"]);

    let released = windlass.run(&["uninstall", "--yes"]);
    assert_eq!(released.code, 0, "{released:?}");
    assert!(released.stdout.contains("done: release GitSync default/a\n"), "{released:?}");
    let left = plane.kubectl(&["get", "gitsync", "a", "-n", "default", "-o", "jsonpath={.metadata.finalizers}"]);
    assert_eq!(left, r#"["example.com/other"]"#);
    plane.kubectl(&["get", "configmap", "windlass-inventory-b-0", "-n", "default"]);
    plane.kubectl(&[
        "patch",
        "gitsync",
        "a",
        "-n",
        "default",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    let rest = windlass.run(&["uninstall", "--yes", "--crds"]);
    assert_eq!(rest.code, 0, "{rest:?}");
    let removed = format!("{}{}", released.stdout, rest.stdout);
    for line in [
        "in context admin (https://127.0.0.1:",
        "done: remove Deployment windlass-system/windlass",
        "done: remove ConfigMap windlass-system/windlass-inventory-a-0",
        "done: remove CustomResourceDefinition gitsyncs.windlass.dev",
        "done: remove Namespace windlass-system",
    ] {
        assert!(removed.contains(line), "{line}: {removed}");
    }
    let kinds = "namespace,clusterrole,clusterrolebinding,crd,serviceaccount,role,rolebinding,deployment,networkpolicy";
    let left = plane.kubectl(&["get", kinds, "-A", "-o", "name"]);
    assert!(!left.contains("windlass"), "{left}");
    plane.kubectl(&["get", "configmap", "neighbour", "-n", "default"]);

    let again = windlass.run(&["uninstall", "--yes"]);
    assert_eq!((again.code, again.stdout.lines().count()), (0, 1), "{again:?}");
    assert!(again.stdout.starts_with("nothing of Windlass is installed in namespace windlass-system"), "{again:?}");
}
