//! Goops on a real API server: once on each node, by the clock, and what a changed command does to each.

use serde_json::{Value, json};

use super::shared::Follower;
use crate::support::control_plane::{ControlPlane, control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;

fn goop(name: &str, namespace: &str, spec: Value) -> String {
    json!({
        "apiVersion": "goop.example.com/v1alpha1", "kind": "Goop",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
    .to_string()
}

fn get(plane: &ControlPlane, namespace: &str, what: &str, path: &str) -> String {
    plane.kubectl(&["get", what, "-n", namespace, "--ignore-not-found", &format!("-o=jsonpath={path}")])
}

fn condition(plane: &ControlPlane, namespace: &str, name: &str, kind: &str, field: &str) -> String {
    get(plane, namespace, &format!("goop/{name}"), &format!("{{.status.conditions[?(@.type==\"{kind}\")].{field}}}"))
}

const UID: &str = "{.metadata.uid}";

#[test]
fn a_changed_command_is_a_new_run_of_jobs_and_nodes_and_the_next_run_of_a_schedule() {
    let plane = control_plane();
    let namespace = "goop-ways";
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string();
    let all = |word: &str| {
        let command = json!(["echo", word]);
        [
            ("jobs.yaml", goop("jobs", namespace, json!({"job_count": 2, "command": command}))),
            ("nodes.yaml", goop("nodes", namespace, json!({"mode": "PerNode", "command": command}))),
            (
                "clock.yaml",
                goop(
                    "clock",
                    namespace,
                    json!({"schedule": "0 4 * * *", "timeZone": "Europe/Berlin", "command": command}),
                ),
            ),
        ]
    };
    let repo = GitRepo::with(&[("namespace.yaml", &space)]);
    let commit = |repo: &GitRepo, word: &str| {
        for (path, text) in all(word) {
            repo.write(path, &text);
        }
        repo.commit(word);
    };
    commit(&repo, "one");
    let follower = Follower::of(plane, repo);
    follower.good();
    for (name, completed, reason) in
        [("jobs", "True", "Completed"), ("nodes", "True", "Completed"), ("clock", "False", "Scheduled")]
    {
        assert_eq!(condition(plane, namespace, name, "Completed", "status"), completed, "{name}");
        assert_eq!(condition(plane, namespace, name, "Ready", "status"), "True", "{name}");
        assert_eq!(condition(plane, namespace, name, "Ready", "reason"), reason, "{name}");
    }
    assert_eq!(get(plane, namespace, "daemonset/nodes", "{.status.numberAvailable}"), "1");
    assert_eq!(get(plane, namespace, "cronjob/clock", "{.spec.timeZone}"), "Europe/Berlin");
    follower.quiet();

    let uids = || {
        ["job/jobs-0", "job/jobs-1", "daemonset/nodes", "cronjob/clock"].map(|what| get(plane, namespace, what, UID))
    };
    let [job, other, nodes, clock] = uids();
    commit(&follower.repo, "two");
    let second = follower.good();
    let [job_now, other_now, nodes_now, clock_now] = uids();
    assert!(job != job_now && other != other_now && nodes != nodes_now, "{second:#?}");
    assert_eq!(clock, clock_now, "a schedule is changed in place");
    let word = |what: &str, at: &str| get(plane, namespace, what, &format!("{{{at}.command[1]}}"));
    assert_eq!(word("job/jobs-1", ".spec.template.spec.containers[0]"), "two");
    assert_eq!(word("daemonset/nodes", ".spec.template.spec.initContainers[0]"), "two");
    assert_eq!(word("cronjob/clock", ".spec.jobTemplate.spec.template.spec.containers[0]"), "two");
    assert_eq!(condition(plane, namespace, "nodes", "Completed", "status"), "True");
    follower.quiet();

    // A Job that ran is done when it is gone; a DaemonSet stands for nodes that are still to come.
    plane.kubectl(&["delete", "job/jobs-0", "daemonset/nodes", "-n", namespace]);
    follower.good();
    assert_eq!(get(plane, namespace, "job/jobs-0", UID), "");
    assert_ne!(get(plane, namespace, "daemonset/nodes", UID), "");
}

#[test]
fn work_on_nodes_is_not_completed_while_it_fails_on_one_and_is_once_it_succeeds() {
    let plane = control_plane();
    let namespace = "goop-fails";
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string();
    let nodes = |code: &str| goop("nodes", namespace, json!({"mode": "PerNode", "command": ["sh", "-c", code]}));
    let follower = Follower::of(plane, GitRepo::with(&[("namespace.yaml", &space), ("nodes.yaml", &nodes("exit 1"))]));
    let sync = json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": {"name": namespace},
        "spec": {"source": {"url": follower.repo.path(), "interval": "1s"}, "timeout": "2s", "retryInterval": "1s"},
    });
    std::fs::write(follower.windlass.home().join("sync.json"), sync.to_string()).unwrap();
    let short = follower.windlass.run(&["agent", "--once", "-f", "sync.json"]);
    assert_eq!(short.code, 1, "{short:#?}");
    assert_eq!(condition(plane, namespace, "nodes", "Deployed", "status"), "True");
    assert_eq!(condition(plane, namespace, "nodes", "Completed", "status"), "False");
    let message = condition(plane, namespace, "nodes", "Ready", "message");
    assert!(message.contains("0 of 1 nodes are done"), "{message}");

    follower.repo.write("nodes.yaml", &nodes("exit 0")).commit("better");
    until_blocking("the work is done", || {
        follower.windlass.run(&["agent", "--once", "-f", "sync.json"]);
        (condition(plane, namespace, "nodes", "Completed", "status") == "True").then_some(())
    });
    assert_eq!(condition(plane, namespace, "nodes", "Ready", "message"), "Every node is done.");
}
