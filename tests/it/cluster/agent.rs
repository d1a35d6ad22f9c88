//! The agent against a real API server: `--once` from a file, and GitSyncs of the cluster.

use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

fn repo(namespace: &str) -> GitRepo {
    let map = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  a: b\n")
    };
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    GitRepo::with(&[("namespace.yaml", &namespace), ("one.yaml", &map("one")), ("two.yaml", &map("two"))])
}

fn gone(plane: &ControlPlane, what: &[&str]) {
    until_blocking("it is gone", || {
        let mut command = plane.kubectl_command();
        command.arg("get").args(what).args(["-o", "name", "--ignore-not-found"]);
        command.output().unwrap().stdout.is_empty().then_some(())
    });
}

#[test]
fn the_agent_applies_keeps_prunes_and_follows_the_gitsyncs_of_a_cluster() {
    let plane = own_control_plane();
    let windlass = Windlass::on(&plane.kubeconfig());

    let repository = repo("files");
    let once = || windlass.run(&["agent", "--once", "--source", repository.path().to_str().unwrap()]);
    let first = once();
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stdout.contains(": applied 3\n"), "{first:?}");
    let second = once();
    assert!(second.code == 0 && second.stdout.contains(": nothing changed\n"), "{second:?}");
    repository.remove("two.yaml").commit("one is enough");
    let third = once();
    assert!(third.code == 0 && third.stdout.contains(": pruned 1\n"), "{third:?}");
    gone(&plane, &["configmap", "two", "-n", "files"]);
    assert_eq!(plane.kubectl(&["get", "configmap", "one", "-n", "files", "-o", "jsonpath={.data.a}"]), "b");

    // No GitSync stands in the cluster: the state folder knows what the sync is.
    let name = repository.path().file_name().unwrap().to_str().unwrap().to_lowercase();
    let owned = windlass.run(&["inventory", &name]);
    assert!(owned.code == 0 && owned.stdout.contains("\n2 entries; "), "{owned:?}");
    let moved = windlass.home().join(&name);
    repository.git(&["clone", "--quiet", ".", moved.to_str().unwrap()]);
    let other_place = || windlass.run(&["agent", "--once", "--source", moved.to_str().unwrap()]);
    let refused = other_place();
    assert!(refused.code == 2 && refused.stdout.contains("--repair"), "{refused:?}");
    let repaired = windlass.run(&["inventory", &name, "--repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let goes_on = other_place();
    assert!(goes_on.code == 0 && goes_on.stdout.contains(": nothing changed\n"), "{goes_on:?}");

    let watched = repo("watched");
    let agent = windlass.start(&["agent", "--listen", "127.0.0.1:0"]);
    let sync = format!(
        r#"{{"apiVersion":"windlass.dev/v1alpha1","kind":"GitSync","metadata":{{"name":"platform","namespace":"windlass-system"}},
        "spec":{{"source":{{"url":"{}"}},"deletionPolicy":"Prune"}}}}"#,
        watched.path().display()
    );
    let file = windlass.home().join("sync.json");
    std::fs::write(&file, sync).unwrap();
    plane.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    plane.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "-n", "windlass-system", "gitsync/platform"]);
    watched.remove("two.yaml").commit("one is enough");
    gone(&plane, &["configmap", "two", "-n", "watched"]);
    let bad = r#"{"spec":{"report":{"notes":true}}}"#;
    plane.kubectl(&["patch", "gitsync", "platform", "-n", "windlass-system", "--type=merge", "-p", bad]);
    plane.kubectl(&["wait", "--for=condition=Stalled", "--timeout=60s", "-n", "windlass-system", "gitsync/platform"]);
    drop(agent);
}
