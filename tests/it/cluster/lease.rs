//! Two installations of one sync: only the holder of its Lease writes, and a holder that slept does not write on waking.

use std::time::{Duration, Instant};

use super::shared::exists;
use crate::support::control_plane::{ControlPlane, control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::proxy::{Answer, Proxy};
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

/// Longer than a Lease lasts.
const OVER: Duration = Duration::from_secs(15);

/// One of two agents for the same sync, behind a proxy of its own.
struct Agent {
    proxy: Proxy,
    windlass: Windlass,
    file: String,
}

impl Agent {
    fn new(plane: &ControlPlane, namespace: &str, repo: &GitRepo) -> Self {
        let proxy = Proxy::start(plane);
        let windlass = Windlass::on(&proxy.kubeconfig(plane));
        let sync = serde_json::json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": { "name": "platform", "namespace": namespace },
            "spec": { "source": { "url": repo.path(), "interval": "1s" }, "targetNamespace": namespace, "retryInterval": "1s" },
        });
        std::fs::write(windlass.home().join("sync.json"), sync.to_string()).unwrap();
        Self { proxy, windlass, file: "sync.json".to_owned() }
    }

    fn start(&self) -> Process {
        self.windlass.start(&["agent", "-f", &self.file, "--no-crds", "--listen", "127.0.0.1:0"])
    }

    fn once(&self) -> crate::support::windlass::Finished {
        self.windlass.run(&["agent", "--once", "-f", &self.file, "--no-crds"])
    }

    /// Reason of Ready, as this agent sees it.
    fn ready(&self) -> Option<(String, String)> {
        let status = self.windlass.run(&["status", "-o", "json"]);
        let view: serde_json::Value = serde_json::from_str(&status.stdout).ok()?;
        let conditions = view["syncs"].get(0)?["conditions"].as_array()?.clone();
        let ready = conditions.iter().find(|it| it["type"] == "Ready")?;
        Some((ready["reason"].as_str()?.to_owned(), ready["message"].as_str()?.to_owned()))
    }

    fn await_ready(&self, reason: &str) -> String {
        until_blocking(&format!("Ready is {reason}"), || {
            let (found, message) = self.ready()?;
            (found == reason).then_some(message)
        })
    }
}

fn map(name: &str, rest: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{rest}data:\n  a: b\n")
}

fn holder(plane: &ControlPlane, namespace: &str) -> String {
    let path = "-o=jsonpath={.spec.holderIdentity}";
    plane.kubectl(&["get", "lease", "windlass-platform", "-n", namespace, "--ignore-not-found", path])
}

#[test]
fn the_second_agent_writes_nothing_names_the_first_and_takes_over_when_that_one_ends_or_is_gone() {
    let plane = control_plane();
    let namespace = "two-agents";
    plane.kubectl(&["create", "namespace", namespace]);
    let repo = GitRepo::with(&[("one.yaml", &map("one", ""))]);
    let (first, second) = (Agent::new(plane, namespace, &repo), Agent::new(plane, namespace, &repo));
    let mut running = first.start();
    first.await_ready("Synced");
    let held = holder(plane, namespace);
    assert!(!held.is_empty());

    let waiting = second.start();
    let message = second.await_ready("HeldByOtherAgent");
    assert!(message.contains(&held) && message.contains(" since 20"), "{message}");
    repo.write("two.yaml", &map("two", "")).commit("two");
    until_blocking("the first goes on", || exists(plane, namespace, "configmap/two").then_some(()));
    let refused = second.windlass.run(&["agent", "--once", "-f", "sync.json", "--no-crds", "--state", "other"]);
    assert_eq!(refused.code, 2, "{refused:#?}");
    assert!(refused.stdout.contains(&held), "one pass takes the Lease too: {refused:#?}");
    assert_eq!(second.proxy.writes(), []);

    // A clean end gives it up at once: nobody waits for the Lease to run out.
    running.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut running), 0, "{}", running.tail());
    let ended = Instant::now();
    second.await_ready("Synced");
    assert!(ended.elapsed() < OVER, "{:?}", ended.elapsed());
    let mine = holder(plane, namespace);
    assert_ne!(mine, held);

    // A crash does not; the next life of the same agent goes on at once, another one after the Lease has run out.
    waiting.signal("KILL");
    drop(waiting);
    assert_eq!(holder(plane, namespace), mine);
    let again = second.once();
    assert_eq!(again.code, 0, "{again:#?}");
    assert_eq!(holder(plane, namespace), "", "given up at the end of a single pass");
    let crashing = second.start();
    until_blocking("it holds the Lease", || (holder(plane, namespace) == mine).then_some(()));
    crashing.signal("KILL");
    drop(crashing);
    repo.write("three.yaml", &map("three", "")).commit("three");
    let began = Instant::now();
    let taken = first.once();
    assert_eq!(taken.code, 0, "{taken:#?}");
    assert!(began.elapsed() >= OVER, "it was taken too early: {:?}", began.elapsed());
    assert!(exists(plane, namespace, "configmap/three"));
}

#[test]
fn an_agent_that_slept_longer_than_its_lease_does_not_write_when_it_wakes_up() {
    let plane = control_plane();
    let namespace = "asleep";
    plane.kubectl(&["create", "namespace", namespace]);
    let after_one = "  annotations:\n    windlass.dev/depends-on: object/core/ConfigMap/asleep/one\n";
    let repo = GitRepo::with(&[("one.yaml", &map("one", "")), ("two.yaml", &map("two", after_one))]);
    let (sleeper, other) = (Agent::new(plane, namespace, &repo), Agent::new(plane, namespace, &repo));
    // It sleeps in the middle of a pass, with one write on its way and another one to come.
    sleeper.proxy.answer(|seen| seen.path.ends_with("/configmaps/one"), 1, Answer::Hang);
    let mut asleep = sleeper.start();
    until_blocking("its first write is on its way", || {
        sleeper.proxy.requests().iter().any(|seen| seen.path.ends_with("/configmaps/one")).then_some(())
    });
    asleep.signal("STOP");
    let running = other.start();
    other.await_ready("Synced");
    let now = holder(plane, namespace);
    repo.write("two.yaml", &map("two", after_one).replace("a: b", "a: newer")).commit("newer");
    until_blocking("the other goes on", || {
        let value = plane.kubectl(&["get", "configmap", "two", "-n", namespace, "-o=jsonpath={.data.a}"]);
        (value == "newer").then_some(())
    });
    sleeper.proxy.forget();
    asleep.signal("CONT");
    let message = sleeper.await_ready("HeldByOtherAgent");
    assert!(message.contains(&now), "{message}");
    assert_eq!(sleeper.proxy.writes(), [], "not a single write on waking");
    assert_eq!(holder(plane, namespace), now);
    drop(running);
    asleep.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut asleep), 0, "{}", asleep.tail());
    assert!(!asleep.log().contains("panicked"), "{}", asleep.tail());
}
