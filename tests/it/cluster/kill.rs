//! `kill -9` around every single write of a small plan: whatever was made is recorded, and the next run goes on from
//! there as if nothing had happened.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shared::Follower;
use crate::support::control_plane::{ControlPlane, control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::proxy::When;
use crate::support::windlass::Windlass;

/// Runs at once: each waits for readiness most of the time.
const AT_ONCE: usize = 4;

/// Eight objects, four of them declared as high-level kinds, in the namespace given.
fn repo(namespace: &str) -> GitRepo {
    let object = |version: &str, kind: &str, name: &str, rest: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n{rest}\n")
    };
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    GitRepo::with(&[
        ("namespace.yaml", &namespace),
        ("settings.yaml", &object("v1", "ConfigMap", "settings", "data:\n  colour: green")),
        ("old.yaml", &object("v1", "ConfigMap", "old", "data:\n  a: b")),
        ("cache.yaml", &object("cache.example.com/v1alpha1", "Memcached", "cache", "spec:\n  size: 1")),
        ("warmup.yaml", &object("goop.example.com/v1alpha1", "Goop", "warmup", "spec:\n  foo: bar")),
        ("last.yaml", &object("goop.example.com/v1alpha1", "Goop", "last", "spec:\n  foo: bar")),
    ])
}

/// Starts a pass that is killed at its k-th write; false if it ended before that.
fn killed(follower: &Follower, k: usize, when: When) -> bool {
    follower.proxy.forget();
    follower.proxy.kill_at_write(k, when);
    let mut agent = follower.windlass.start(&follower.args());
    follower.proxy.victim(agent.id());
    let code = Windlass::await_exit(&mut agent);
    let killed = follower.proxy.killed();
    assert!(if killed { code == -1 } else { code == 0 }, "write {k}, {when:?}: {code}\n{}", agent.tail());
    killed
}

/// Does `one` for every write of a pass, until a pass has fewer.
fn every_write(one: impl Fn(usize, When) -> bool + Sync) -> usize {
    let next = AtomicUsize::new(0);
    let last = Mutex::new(usize::MAX);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let (k, when) = (number / 2 + 1, [When::BeforeWrite, When::AfterWrite][number % 2]);
                    if k >= *last.lock().unwrap() {
                        return;
                    }
                    if !one(k, when) {
                        let mut last = last.lock().unwrap();
                        *last = k.min(*last);
                    }
                }
            });
        }
    });
    last.into_inner().unwrap() - 1
}

/// What is in the cluster under the sync's label is in the inventory.
async fn all_is_recorded(follower: &Follower, what: &str) {
    let labelled = follower.labelled();
    let recorded = follower.recorded().await;
    assert!(labelled.is_subset(&recorded), "{what}: made and not recorded: {:?}", &labelled - &recorded);
}

/// Everything is there once, is recorded, and nothing else is.
async fn converges(plane: &ControlPlane, follower: &Follower, namespace: &str, what: &str, maps: &[&str], jobs: usize) {
    follower.good();
    follower.quiet();
    let labelled = follower.labelled();
    assert_eq!(labelled, follower.recorded().await, "{what}");
    assert_eq!(labelled.len(), 1 + maps.len() + 2 + 2 * jobs, "{what}: {labelled:?}");
    let names = |kind: &str| {
        let text = plane.kubectl(&["get", kind, "-n", namespace, "-o=jsonpath={.items[*].metadata.name}"]);
        text.split(' ')
            .filter(|name| !name.is_empty() && *name != "kube-root-ca.crt")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("configmaps"), maps, "{what}");
    assert_eq!(names("deployments"), ["cache"], "{what}");
    assert_eq!(names("jobs").len(), jobs, "{what}: a Job ran twice or not at all");
    assert_eq!(names("goops").len(), jobs, "{what}");
}

#[test]
fn a_kill_around_any_write_of_a_first_sync_loses_nothing_and_the_next_run_converges() {
    let plane = control_plane();
    Follower::of(plane, repo("kill-none")).good();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let writes = every_write(|k, when| {
        let namespace = format!("kill-{k}-{}", if when == When::BeforeWrite { "before" } else { "after" });
        let what = format!("killed {when:?} {k}");
        let follower = Follower::of(plane, repo(&namespace));
        let was_killed = killed(&follower, k, when);
        runtime.block_on(async {
            all_is_recorded(&follower, &what).await;
            converges(plane, &follower, &namespace, &what, &["old", "settings"], 2).await;
        });
        was_killed
    });
    // Eight objects, the inventory before and after them, and what is told.
    assert!(writes >= 11, "only {writes} writes were met");
}

#[test]
fn a_kill_around_any_write_of_a_revision_that_prunes_loses_nothing_and_the_next_run_converges() {
    let plane = control_plane();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let writes = every_write(|k, when| {
        let namespace = format!("prune-{k}-{}", if when == When::BeforeWrite { "before" } else { "after" });
        let what = format!("killed {when:?} {k} while pruning");
        let follower = Follower::of(plane, repo(&namespace));
        follower.good();
        let value = follower.repo.read("settings.yaml").replace("green", "blue");
        follower.repo.write("settings.yaml", &value).remove("old.yaml").remove("last.yaml").commit("less");
        let was_killed = killed(&follower, k, when);
        runtime.block_on(async {
            all_is_recorded(&follower, &what).await;
            converges(plane, &follower, &namespace, &what, &["settings"], 1).await;
        });
        was_killed
    });
    // A value, the intent, three deletes, what is left.
    assert!(writes >= 6, "only {writes} writes were met");
}
