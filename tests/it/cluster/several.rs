//! Several GitSyncs of one agent: one waits for another, an object moves from one to another, two want the same.

use serde_json::json;

use super::followed::{NAME, READY_MESSAGE, READY_REASON, cluster, map};
use crate::support::git_repo::GitRepo;
use crate::support::wait::until_blocking;

const SLOW_HOLD: &str = "{.spec.template.metadata.annotations.test\\.windlass\\.dev/hold}";

/// A Deployment whose pods do not get ready while they are held.
fn slow(held: bool) -> String {
    let annotations = if held { json!({ "test.windlass.dev/hold": "true" }) } else { json!({}) };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "slow" },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "slow" } }, "template": {
            "metadata": { "labels": { "app": "slow" }, "annotations": annotations },
            "spec": { "containers": [{ "name": "m", "image": "i" }] } } },
    })
    .to_string()
}

/// Field of a sync's status or of anything else.
fn ready_of(namespace: &str, name: &str, path: &str, wanted: &str) {
    cluster().await_value(namespace, &format!("gitsync/{name}"), path, wanted);
}

#[test]
fn a_sync_waits_for_another_of_the_same_repository_without_any_poll() {
    let cluster = cluster();
    let namespace = "waits";
    cluster.plane.kubectl(&["create", "namespace", namespace]);
    let repo = GitRepo::with(&[("infra/slow.yaml", &slow(true)), ("apps/app.yaml", &map("app"))]);
    // Polls that never come: whatever happens is an event.
    let spec = |path: &str, needs: serde_json::Value| json!({ "source": { "url": repo.path(), "interval": "1h", "paths": [path] }, "retryInterval": "1h", "dependsOn": needs });
    cluster.sync(namespace, "apps", &repo, spec("apps", json!(["infra"])));
    ready_of(namespace, "apps", READY_REASON, "DependencyNotReady");
    until_blocking("the missing one is named", || {
        let message = cluster.get(namespace, "gitsync/apps", READY_MESSAGE);
        message.contains("sync waits/infra does not exist").then_some(())
    });
    cluster.sync(namespace, "infra", &repo, spec("infra", json!([])));
    cluster.await_value(namespace, "deployment/slow", SLOW_HOLD, "true");
    until_blocking("it is said to be not ready", || {
        let message = cluster.get(namespace, "gitsync/apps", READY_MESSAGE);
        (message.contains("1 step waits: sync waits/infra is not ready yet")).then_some(())
    });
    assert_eq!(cluster.get(namespace, "configmap/app", NAME), "", "nothing is written before its time");

    repo.write("infra/slow.yaml", &slow(false)).commit("infra gets ready");
    cluster.await_value(namespace, "configmap/app", NAME, "app");
    for name in ["infra", "apps"] {
        ready_of(namespace, name, READY_REASON, "Synced");
    }
    let created =
        |what: &str, path: &str| -> jiff::Timestamp { cluster.get(namespace, what, path).parse().expect("a time") };
    let before = created("gitsync/infra", "{.status.conditions[?(@.type==\"Ready\")].lastTransitionTime}");
    let after = created("configmap/app", "{.metadata.creationTimestamp}");
    // One of the two times is rounded to the second, the other cut off.
    let waited = after.duration_since(before).as_secs();
    assert!((-1..=5).contains(&waited), "its first write comes at once when the other is ready: {after} {before}");

    // One commit for both: the dependent never overtakes.
    repo.write("infra/slow.yaml", &slow(true));
    repo.write("apps/app.yaml", &map("app").replace("a: b", "a: c")).commit("both");
    cluster.await_value(namespace, "deployment/slow", SLOW_HOLD, "true");
    ready_of(namespace, "apps", READY_REASON, "DependencyNotReady");
    assert_eq!(cluster.get(namespace, "configmap/app", "{.data.a}"), "b");
    repo.write("infra/slow.yaml", &slow(false)).commit("ready again");
    cluster.await_value(namespace, "configmap/app", "{.data.a}", "c");

    // A circle is named whole, on each of its members.
    cluster.sync(namespace, "infra", &repo, spec("infra", json!(["apps"])));
    for name in ["infra", "apps"] {
        until_blocking("the circle is named", || {
            let message = cluster.get(namespace, &format!("gitsync/{name}"), READY_MESSAGE);
            let whole = ["in a circle", "waits/infra", "waits/apps"].iter().all(|part| message.contains(part));
            whole.then_some(())
        });
    }
    let itself = r#"{"spec":{"dependsOn":["apps"]}}"#;
    cluster.plane.kubectl(&["patch", "gitsync/apps", "-n", namespace, "--type=merge", "-p", itself]);
    ready_of(namespace, "apps", READY_REASON, "InvalidSpec");
}

#[test]
fn move_between_syncs() {
    let cluster = cluster();
    let namespace = "moves";
    cluster.plane.kubectl(&["create", "namespace", namespace]);
    let repo = GitRepo::with(&[
        ("a/stays.yaml", &map("stays")),
        ("a/moving.yaml", &map("moving").replace("a: b", "a: b\n  old: x")),
        ("b/other.yaml", &map("other")),
    ]);
    for name in ["a", "b"] {
        let spec =
            json!({ "source": { "url": repo.path(), "interval": "1s", "paths": [name] }, "retryInterval": "1s" });
        cluster.sync(namespace, name, &repo, spec);
        ready_of(namespace, name, READY_REASON, "Synced");
    }
    let uid = cluster.get(namespace, "configmap/moving", "{.metadata.uid}");
    let label = |sync: &str| windlass::sync::part_of(namespace, sync);
    let part_of = "{.metadata.labels.applyset\\.kubernetes\\.io/part-of}";
    assert_eq!(cluster.get(namespace, "configmap/moving", part_of), label("a"));

    // There and back, with a value of its own each time: the object is the same one, its owner another.
    for (from, to) in [("a", "b"), ("b", "a")] {
        repo.rename(&format!("{from}/moving.yaml"), &format!("{to}/moving.yaml"));
        repo.write(&format!("{to}/moving.yaml"), &map("moving").replace("a: b", &format!("a: {to}")));
        let revision = repo.commit("move");
        for name in ["a", "b"] {
            ready_of(namespace, name, "{.status.lastAppliedRevision}", &revision);
            ready_of(namespace, name, READY_REASON, "Synced");
        }
        cluster.await_value(namespace, "configmap/moving", part_of, &label(to));
        assert_eq!(cluster.get(namespace, "configmap/moving", "{.data}"), format!("{{\"a\":\"{to}\"}}"));
        assert_eq!(cluster.get(namespace, "configmap/moving", "{.metadata.uid}"), uid, "it was never deleted");
        let managers = cluster.get(namespace, "configmap/moving", "{.metadata.managedFields[*].manager}");
        let manager = windlass::sync::field_manager(&windlass::sync::id(namespace, to));
        assert_eq!(managers, manager, "nobody else holds a field of it");
        // Whoever gave it away lists it no more.
        until_blocking("it is forgotten", || {
            let kubeconfig = cluster.plane.kubeconfig();
            let owned = |name: &str| {
                let name = format!("{namespace}/{name}");
                cluster.windlass.run(&["inventory", &name, "--kubeconfig", kubeconfig.to_str().unwrap()]).stdout
            };
            (!owned(from).contains("/moving") && owned(to).contains("/moving")).then_some(())
        });
    }
    // And it goes with the one that has it last.
    repo.remove("a/moving.yaml").commit("without it");
    cluster.await_value(namespace, "configmap/moving", NAME, "");
}

#[test]
fn two_units_declare_same_object() {
    let cluster = cluster();
    let namespace = "twice";
    cluster.plane.kubectl(&["create", "namespace", namespace]);
    let repo = GitRepo::with(&[("a/one.yaml", &map("one")), ("b/one.yaml", &map("one").replace("a: b", "a: c"))]);
    let spec = |name: &str| json!({ "source": { "url": repo.path(), "interval": "1s", "paths": [name] }, "retryInterval": "1s" });
    cluster.sync(namespace, "a", &repo, spec("a"));
    ready_of(namespace, "a", READY_REASON, "Synced");
    let version = cluster.get(namespace, "configmap/one", "{.metadata.resourceVersion}");
    cluster.sync(namespace, "b", &repo, spec("b"));
    ready_of(namespace, "b", READY_REASON, "StepFailed");
    let message = cluster.get(namespace, "gitsync/b", READY_MESSAGE);
    assert!(message.contains("sync twice/a declares it too"), "{message}");
    repo.write("b/two.yaml", &map("two")).commit("its neighbour goes on");
    cluster.await_value(namespace, "configmap/two", NAME, "two");
    assert_eq!(cluster.get(namespace, "configmap/one", "{.metadata.resourceVersion}"), version, "it was not touched");
    assert_eq!(cluster.get(namespace, "gitsync/a", READY_REASON), "Synced");
    // The first lets go: the second has it, and nothing was deleted.
    repo.remove("a/one.yaml").write("a/three.yaml", &map("three")).commit("only b");
    cluster.await_value(namespace, "configmap/one", "{.data.a}", "c");
    ready_of(namespace, "b", READY_REASON, "Synced");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the window has to close soon")]
fn a_window_that_closes_during_a_pass_ends_it_between_two_writes_and_the_next_one_goes_on() {
    let cluster = cluster();
    let now = || jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    // The denial begins with the next minute: far enough for the first write, near enough to be waited for.
    let now = until_blocking("the first half of a minute", || Some(now()).filter(|now| now.second() < 30));
    let closes = now.checked_add(jiff::Span::new().minutes(1)).unwrap();
    let schedule = format!("{} {} * * *", closes.minute(), closes.hour());
    let after = map("after").replace(
        "metadata:\n",
        "metadata:\n  annotations:\n    windlass.dev/depends-on: object/apps/Deployment/closing/slow\n",
    );
    let repo = GitRepo::with(&[("slow.yaml", &slow(true)), ("after.yaml", &after)]);
    let windows = json!([{ "schedule": schedule, "duration": "15s", "kind": "Deny" }]);
    cluster.follow("closing", &repo, json!({ "windows": windows, "retryInterval": "1h" }));
    cluster.await_value("closing", "deployment/slow", NAME, "slow");
    ready_of("closing", "platform", READY_REASON, "OutsideWindow");
    let message = cluster.get("closing", "gitsync/platform", READY_MESSAGE);
    let opens = closes.strftime("the next window opens at %Y-%m-%dT%H:%M:15Z").to_string();
    assert!(message.contains(&opens), "{message}");
    assert_eq!(cluster.get("closing", "configmap/after", NAME), "");
    repo.write("slow.yaml", &slow(false)).commit("let go");
    cluster.await_value("closing", "configmap/after", NAME, "after");
    ready_of("closing", "platform", READY_REASON, "Synced");
}
