//! An API server that is busy, broken, replaced by something else, or silent: nothing is deleted, the reason is told, the
//! end comes in time, and the next pass makes good.

use std::time::{Duration, Instant};

use super::shared::{Follower, exists};
use crate::support::control_plane::{ControlPlane, control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::proxy::{Answer, Seen};
use crate::support::windlass::Windlass;

/// What goes wrong, and a word of how it is told.
fn faults() -> [(&'static str, Answer, &'static str); 5] {
    [
        ("busy", Answer::too_many_requests(1), "asks for a pause"),
        ("unavailable", Answer::unavailable(), "no healthy upstream"),
        ("portal", Answer::html(), "not JSON"),
        ("reset", Answer::Lost, "did not answer"),
        ("silent", Answer::Hang, "no answer within 30 seconds"),
    ]
}

/// Which request it happens to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    List,
    Apply,
    ReadInventory,
    StoreInventory,
}

impl Victim {
    fn is(self, seen: &Seen) -> bool {
        let inventory = seen.path.contains("/namespaces/windlass-system/configmaps");
        match self {
            Self::List => seen.method == "GET" && seen.path == "/api/v1/configmaps" && !seen.is_watch(),
            Self::Apply => seen.method == "PATCH" && seen.path.ends_with("/configmaps/changed"),
            Self::ReadInventory => seen.method == "GET" && inventory,
            Self::StoreInventory => seen.is_write() && inventory,
        }
    }
}

fn map(namespace: &str, name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  a: {value}\n"
    )
}

fn repo(namespace: &str) -> GitRepo {
    GitRepo::with(&[
        ("namespace.yaml", &format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n")),
        ("changed.yaml", &map(namespace, "changed", "before")),
        ("removed.yaml", &map(namespace, "removed", "before")),
    ])
}

/// A revision that changes one object, removes one and adds one.
fn move_on(follower: &Follower, namespace: &str) {
    follower.repo.write("changed.yaml", &map(namespace, "changed", "after"));
    follower.repo.write("added.yaml", &map(namespace, "added", "after")).remove("removed.yaml").commit("move on");
}

fn survives(plane: &'static ControlPlane, victim: Victim, (name, answer, told): (&str, Answer, &str)) {
    let namespace = format!("fault-{name}-{victim:?}").to_lowercase();
    let follower = Follower::of(plane, repo(&namespace));
    follower.good();
    move_on(&follower, &namespace);
    follower.proxy.forget();
    follower.proxy.answer(move |seen| victim.is(seen), usize::MAX, answer);
    let began = Instant::now();
    let finished = follower.windlass.run(&follower.args());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(75), "{namespace}: {took:?}");
    // A write whose answer is lost is found done when the inventory is read again.
    let healed = victim == Victim::StoreInventory && name == "reset";
    let code = match victim {
        _ if healed => 0,
        Victim::List | Victim::Apply => 1,
        Victim::ReadInventory | Victim::StoreInventory => 2,
    };
    // A write whose answer is lost may be seen by the watch before the tries are over.
    let healed = healed || (victim == Victim::Apply && name == "reset" && finished.code == 0);
    assert_eq!(finished.code, if healed { 0 } else { code }, "{namespace}: {finished:#?}");
    assert!(healed || finished.stdout.contains(told), "{namespace}: {finished:#?}");
    let deletes = follower.proxy.writes().iter().filter(|seen| seen.method == "DELETE").count();
    // What left the repository goes all the same where only another object could not be written.
    assert_eq!(deletes, usize::from(victim == Victim::Apply || healed), "{namespace}: {finished:#?}");
    assert!(exists(plane, &namespace, "configmap/changed"), "{namespace}");

    follower.good();
    follower.quiet();
    assert!(!exists(plane, &namespace, "configmap/removed") && exists(plane, &namespace, "configmap/added"));
}

#[test]
fn a_server_that_fails_for_a_whole_pass_costs_that_pass_only() {
    let plane = control_plane();
    std::thread::scope(|scope| {
        for victim in [Victim::List, Victim::Apply, Victim::ReadInventory, Victim::StoreInventory] {
            scope.spawn(move || faults().into_iter().for_each(|fault| survives(plane, victim, fault)));
        }
    });
}

#[test]
fn a_server_that_fails_twice_costs_nothing() {
    let plane = control_plane();
    for (name, answer, _) in faults().into_iter().take(4) {
        let namespace = format!("twice-{name}");
        let follower = Follower::of(plane, repo(&namespace));
        follower.good();
        move_on(&follower, &namespace);
        follower.proxy.forget();
        for victim in [Victim::List, Victim::Apply, Victim::ReadInventory, Victim::StoreInventory] {
            follower.proxy.answer(move |seen| victim.is(seen), 2, answer.clone());
        }
        let finished = follower.windlass.run(&follower.args());
        assert_eq!(finished.code, 0, "{name}: {finished:#?}");
        assert!(finished.stdout.contains(": applied 2, pruned 1\n"), "{name}: {finished:#?}");
        follower.quiet();
    }
}

#[test]
fn one_pass_without_a_cluster_says_so_at_once() {
    let plane = control_plane();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = plane.write_kubeconfig("nobody-there", &format!("http://{closed}"), "t", "default");
    let folder = repo("nowhere");
    let finished = Windlass::on(&kubeconfig).run(&["agent", "--once", "--source", folder.path().to_str().unwrap()]);
    assert_eq!(finished.code, 2, "{finished:#?}");
    for part in ["cannot apply the CRDs", "the API server did not answer", "Connection refused"] {
        assert!(finished.stderr.contains(part), "{part}: {finished:#?}");
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
}
