//! Work that fails in the cluster, and documents that cannot work: told where it stands, and nobody else suffers.

use super::shared::{Follower, exists};
use crate::support::control_plane::control_plane;
use crate::support::git_repo::GitRepo;

#[test]
fn a_failed_job_is_told_by_its_goop_and_a_wrong_size_at_its_line_while_neighbours_deploy() {
    let plane = control_plane();
    let object = |version: &str, kind: &str, name: &str, rest: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: trouble\n{rest}\n")
    };
    let memcached = |name: &str, size: u8| {
        object("cache.example.com/v1alpha1", "Memcached", name, &format!("spec:\n  size: {size}"))
    };
    let goop = |command: &str| {
        object(
            "goop.example.com/v1alpha1",
            "Goop",
            "warmup",
            &format!("spec:\n  backoffLimit: 0\n  command: {command}"),
        )
    };
    let follower = Follower::of(
        plane,
        GitRepo::with(&[
            ("namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: trouble\n"),
            ("warmup.yaml", &goop("[sh, -c, exit 3]")),
            ("caches.yaml", &format!("{}---\n{}", memcached("good", 1), memcached("bad", 2))),
        ]),
    );
    let status = |what: &str, kind: &str| {
        let path = format!("-o=jsonpath={{.status.conditions[?(@.type==\"{kind}\")].status}}");
        plane.kubectl(&["get", what, "-n", "trouble", &path])
    };

    let finished = follower.once();
    assert_eq!(finished.code, 1, "{finished:#?}");
    let problem = "caches.yaml:15:3: InvalidValue: ";
    assert!(finished.stdout.contains(problem) && finished.stdout.contains("1 or 3"), "{finished:#?}");
    assert!(finished.stdout.contains("failed, first object/batch/Job/trouble/warmup-0: "), "{finished:#?}");
    for (kind, wanted) in
        [("Initialized", "True"), ("Deployed", "True"), ("Failed", "True"), ("Completed", "False"), ("Ready", "False")]
    {
        assert_eq!(status("goop/warmup", kind), wanted, "{kind}");
    }
    let message = plane.kubectl(&[
        "get",
        "goop/warmup",
        "-n",
        "trouble",
        "-o=jsonpath={.status.conditions[?(@.type==\"Failed\")].message}",
    ]);
    assert!(message.starts_with("Job warmup-0: ") && message.contains("backoff limit"), "{message}");
    assert_eq!(status("memcached/good", "Ready"), "True");
    assert!(exists(plane, "trouble", "deployment/good"));
    assert!(!exists(plane, "trouble", "memcached/bad") && !exists(plane, "trouble", "deployment/bad"));

    // The same trouble again is no news.
    let again = follower.once();
    assert_eq!((again.code, follower.proxy.writes()), (1, vec![]), "{again:#?}");

    follower.repo.write("warmup.yaml", &goop("[echo, done]"));
    follower.repo.write("caches.yaml", &format!("{}---\n{}", memcached("good", 1), memcached("bad", 3))).commit("mend");
    follower.good();
    assert_eq!((status("goop/warmup", "Completed"), status("goop/warmup", "Failed")), ("True".into(), "False".into()));
    assert_eq!(status("memcached/bad", "Ready"), "True");
    follower.quiet();
}

#[test]
fn a_stateful_set_whose_claims_would_go_with_it_is_not_pruned_unasked() {
    let plane = control_plane();
    let set = |name: &str, policy: &str| {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: {name}\n  namespace: claims\nspec:\n  \
             replicas: 1\n  serviceName: {name}\n  persistentVolumeClaimRetentionPolicy:\n    whenDeleted: {policy}\n  \
             selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    \
             spec:\n      containers:\n        - name: main\n          image: busybox:1.37\n"
        )
    };
    let follower = Follower::of(
        plane,
        GitRepo::with(&[
            ("namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: claims\n"),
            ("dear.yaml", &set("dear", "Delete")),
            ("cheap.yaml", &set("cheap", "Retain")),
        ]),
    );
    follower.good();
    follower.repo.remove("dear.yaml").remove("cheap.yaml").commit("without both");
    let refused = follower.once();
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stdout.contains("deleting it deletes its volume claims and their data"), "{refused:#?}");
    assert!(exists(plane, "claims", "statefulset/dear"));
    assert!(!exists(plane, "claims", "statefulset/cheap"));
    let token = refused.stdout.split("Windlass-Acknowledge: ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    follower.repo.commit(&format!("it is meant\n\nWindlass-Acknowledge: {token}"));
    follower.good();
    assert!(!exists(plane, "claims", "statefulset/dear"));
    follower.quiet();
}
