//! The main job of the binary: the example repository against a real API server, one pass at a time.

use super::shared::{Follower, example, exists, steps_of};
use crate::support::control_plane::control_plane;
use crate::support::git_repo::GitRepo;

/// Paths of the objects written: neither inventories nor Events nor statuses.
fn objects(follower: &Follower) -> Vec<String> {
    let beside =
        |path: &str| path.contains("windlass-inventory") || path.contains("/events") || path.ends_with("/status");
    follower.proxy.writes().into_iter().map(|seen| seen.path).filter(|path| !beside(path)).collect()
}

#[test]
fn the_example_repository_lands_stays_quiet_and_its_kinds_can_be_waited_for() {
    let plane = control_plane();
    // As it is: what a person who clones the project has.
    let follower = Follower::of(plane, GitRepo::copy_of("example-repo"));
    let first = follower.good();
    let all = format!(": applied {}\n", steps_of(&follower.repo));
    assert!(first.stdout.contains(&all), "{first:#?}");
    assert!(first.stdout.contains("\nLive at "), "{first:#?}");
    for environment in ["staging", "production"] {
        plane.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", "-n", environment, "memcached/sessions"]);
        plane.kubectl(&["wait", "--for=condition=Ready", "--timeout=1s", "-n", environment, "goop/warmup"]);
        plane.kubectl(&["wait", "--for=condition=Available", "--timeout=1s", "-n", environment, "deployment", "--all"]);
        plane.kubectl(&["wait", "--for=condition=Complete", "--timeout=1s", "-n", environment, "job", "--all"]);
    }
    plane.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=1s",
        "-n",
        "production-lending",
        "dataservice/lending",
    ]);
    follower.quiet();
    follower.quiet();
    // A new home: nothing but the cluster is known.
    let stranger =
        Follower { windlass: crate::support::windlass::Windlass::on(&follower.proxy.kubeconfig(plane)), ..follower };
    stranger.quiet();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_document_goes_alone_and_a_renamed_or_broken_one_not_at_all() {
    let plane = control_plane();
    let follower = Follower::of(plane, example("edit"));
    follower.good();
    let before = follower.labelled();
    assert_eq!(before, follower.recorded().await);

    let repo = &follower.repo;
    repo.rename("environments/staging/cache.yaml", "elsewhere/memory.yaml").commit("rename");
    let renamed = follower.good();
    assert_eq!(objects(&follower), [""; 0], "{renamed:#?}");
    assert_eq!(follower.labelled(), before);

    repo.remove("environments/staging/warmup.yaml").commit("no more dust");
    let removed = follower.good();
    assert!(removed.stdout.contains(": pruned 2\n"), "{removed:#?}");
    let after = follower.labelled();
    let gone: Vec<String> = before.difference(&after).map(ToString::to_string).collect();
    assert_eq!(
        gone,
        ["object/batch/Job/edit-staging/warmup-0", "object/goop.example.com/Goop/edit-staging/warmup"],
        "and nothing else"
    );
    assert!(after.is_subset(&before));
    assert_eq!(after, follower.recorded().await);
    follower.quiet();

    // One file no longer parses, another is gone in the same commit, a third has a new value.
    let broken = repo.read("environments/staging/web.yaml").replace("data:\n", "data:\n\t- : [\n");
    repo.write("environments/staging/web.yaml", &broken);
    repo.remove("environments/production/network.yaml");
    let page = repo.read("environments/production/web.yaml").replace("Welcome to", "Welcome back to");
    repo.write("environments/production/web.yaml", &page).commit("a bad day");
    let bad = follower.once();
    assert_eq!(bad.code, 1, "{bad:#?}");
    assert!(bad.stdout.contains("environments/staging/web.yaml:") && bad.stdout.contains("YamlSyntax"), "{bad:#?}");
    assert_eq!(follower.labelled(), after, "a file that does not parse protects what any vanished file declared");
    assert_eq!(objects(&follower), ["/api/v1/namespaces/edit-production/configmaps/page"], "the rest goes on");
    let html = plane.kubectl(&["get", "configmap", "page", "-n", "edit-production", "-o", "jsonpath={.data}"]);
    assert!(html.contains("Welcome back"), "{html}");

    repo.git(&["checkout", "HEAD~1", "--", "environments/staging/web.yaml"]);
    repo.commit("mended");
    let mended = follower.good();
    assert!(mended.stdout.contains(": pruned 1\n"), "{mended:#?}");
    assert!(!exists(plane, "edit-production", "networkpolicy/same-environment"));
    assert!(exists(plane, "edit-staging", "networkpolicy/same-environment"));
    follower.quiet();
}
