//! Watches that break, hang, are too old or not allowed: what happened meanwhile is found, and nothing is asked in quiet.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use windlass::diff::{Seen, Which};
use windlass::target::World as _;
use windlass::target::kube::Kube;
use windlass::target::kube::connect::connect;

use super::follow::{Followed, ours, ready};
use super::sync::{config_map, deployment, plan};
use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::proxy::{Answer, Proxy};
use crate::support::wait::{PATIENCE, until, until_blocking};
use crate::support::windlass::Windlass;

async fn edit(followed: &Followed, value: &str) -> String {
    let path = followed.sync.path("api/v1", "configmaps", "a");
    followed.sync.patch_by_hand(&path, &json!({ "data": { "a": value } })).await;
    path
}

async fn reverted(followed: &Followed, what: &str) {
    let path = followed.sync.path("api/v1", "configmaps", "a");
    followed.corrected_until(what, async || followed.sync.get(&path).await["data"]["a"] == "1").await;
}

#[tokio::test]
async fn a_hand_edit_rings_and_its_revert_is_one_request() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = edit(&followed, "2").await;
    let rung = followed.rung("an edit").await;
    assert_eq!((rung.moved.len(), rung.suspect.len()), (1, 0), "{rung:?}");
    let inventory = followed.inventory().await;
    let observed =
        followed.sync.kube.observe(&plan(followed.steps.clone()), &inventory, Which::Only(&rung.moved)).await;
    let Some(Seen::Present(live)) = observed.values().next() else { panic!("{observed:?}") };
    assert_eq!(live.moved_by.as_deref(), Some("kubectl-edit"));
    ready(&followed.correct(&rung).await);
    assert_eq!(followed.sync.get(&path).await["data"]["a"], "1");
    let asked: Vec<String> = followed.asked().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(asked, [format!("PATCH {path}")]);
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_hand_delete_is_confirmed_by_name_and_undone() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let path = followed.sync.path("api/v1", "configmaps", "a");
    followed.sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    let rung = followed.rung("a delete").await;
    ready(&followed.correct(&rung).await);
    let asked: Vec<String> = followed.asked().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(asked, [format!("GET {path}"), format!("PATCH {path}")]);
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_status_and_a_foreign_field_cost_no_request() {
    let followed = Followed::new([
        config_map("a", json!({ "a": "1" })),
        deployment("d", json!({}), json!({ "replicas": 0, "paused": false })),
    ])
    .await;
    let before = followed.ignored();
    let map = followed.sync.path("api/v1", "configmaps", "a");
    let path = followed.sync.path("apis/apps/v1", "deployments", "d");
    followed.sync.patch_by_hand(&map, &json!({ "metadata": { "labels": { "team": "blue" } } })).await;
    // A controller's fields; what people add is told, and so rings.
    for (path, patch) in
        [(&map, json!({ "data": { "b": "theirs" } })), (&path, json!({ "spec": { "minReadySeconds": 1 } }))]
    {
        let path = format!("{path}?fieldManager=injector");
        followed.sync.by_hand("PATCH", &path, "application/merge-patch+json", &patch).await.unwrap();
    }
    let status = json!({ "status": { "conditions": [{ "type": "Mine", "status": "True" }] } });
    followed.sync.patch_by_hand(&format!("{path}/status"), &status).await;
    followed.has_ignored(before, 4).await;
    assert_eq!(followed.asked(), []);
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn what_happens_while_a_watch_is_cut_is_heard_after_it() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    for value in ["2", "3", "4"] {
        followed.sync.proxy.cut_watches();
        edit(&followed, value).await;
        reverted(&followed, "edited while the watch was cut").await;
    }
    assert!(followed.restarts() > 0);
    let lists = followed.asked().iter().filter(|seen| ours(seen)).count();
    assert_eq!(lists, 0, "a cut watch goes on from where it was: {:?}", followed.asked());
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_watch_that_hangs_is_noticed() {
    let patient = |options: &mut windlass::target::kube::Options| options.timing.silence = Duration::from_secs(3);
    let followed = Followed::with(patient, [config_map("a", json!({ "a": "1" }))]).await;
    followed.sync.proxy.stall_watches(true);
    let before = followed.restarts();
    edit(&followed, "2").await;
    until("the silence is noticed", || async { (followed.restarts() > before).then_some(()) }).await;
    followed.sync.proxy.stall_watches(false);
    reverted(&followed, "edited while the watch hung").await;
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_watch_that_is_too_old_is_preceded_by_a_list() {
    let gone = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version" });
    let inside = format!("{}\n", json!({ "type": "ERROR", "object": gone }));
    for answer in [
        Answer::Http(410, vec![("content-type", "application/json".into())], gone.to_string()),
        Answer::Http(200, vec![("content-type", "application/json".into())], inside),
    ] {
        let followed = Followed::new([config_map("a", json!({ "a": "1" })), config_map("b", json!({}))]).await;
        followed.sync.proxy.answer(|seen| seen.is_watch() && ours(seen), 1, answer);
        followed.sync.proxy.cut_watches();
        edit(&followed, "2").await;
        let path = followed.sync.path("api/v1", "configmaps", "b");
        followed.sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
        let read = || followed.sync.by_hand("GET", &path, "application/json", &Value::Null);
        reverted(&followed, "edited while the watch was too old").await;
        followed.corrected_until("deleted while the watch was too old", async || read().await.is_ok()).await;
        let lists = followed.asked().iter().filter(|seen| ours(seen)).count();
        assert_eq!(lists, 1, "{:?}", followed.asked());
        followed.sync.kube.release_inventory().await.unwrap();
    }
}

#[tokio::test]
async fn a_kind_that_cannot_be_watched_is_polled() {
    let often = |options: &mut windlass::target::kube::Options| options.timing.poll = Duration::from_millis(300);
    let followed = Followed::with(often, [config_map("a", json!({ "a": "1" }))]).await;
    let refusal = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "MethodNotAllowed",
        "code": 405, "message": "the server does not allow this method on the requested resource" });
    let answer = Answer::Http(405, vec![("content-type", "application/json".into())], refusal.to_string());
    followed.sync.proxy.answer(|seen| seen.is_watch() && ours(seen), usize::MAX, answer);
    followed.sync.proxy.cut_watches();
    edit(&followed, "2").await;
    reverted(&followed, "edited, and no watch").await;
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn without_the_right_to_list_everywhere_each_namespace_is_watched() {
    let followed = Followed::new([config_map("a", json!({ "a": "1" }))]).await;
    let second = followed.sync.plane.namespace().await;
    let mut elsewhere = config_map("a", json!({ "a": "1" }));
    elsewhere["metadata"]["namespace"] = json!(&*second);
    let steps = vec![followed.steps[0].clone(), followed.sync.step(elsewhere)];
    for namespace in [&*followed.sync.namespace, &*second] {
        let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"] }]);
        let role: Role = serde_json::from_value(json!({ "metadata": { "name": "limited" }, "rules": rules })).unwrap();
        let binding: RoleBinding = serde_json::from_value(json!({ "metadata": { "name": "limited" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited" },
            "subjects": [{ "kind": "ServiceAccount", "name": "limited", "namespace": &*followed.sync.namespace }] }))
        .unwrap();
        let client = followed.sync.client.clone();
        Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &role).await.unwrap();
        Api::namespaced(client, namespace).create(&PostParams::default(), &binding).await.unwrap();
    }
    let plane = followed.sync.plane;
    plane.account(&followed.sync.namespace, "limited").await;
    let token = plane.token(&followed.sync.namespace, "limited").await;
    let name = format!("limited-{}", &*followed.sync.namespace);
    let kubeconfig = plane.write_kubeconfig(&name, &followed.sync.proxy.url(), &token, "default");
    let connection = connect(Some(&kubeconfig), None).await.expect("a connection");
    let mut options = followed.sync.options.clone();
    options.timing.hold = Duration::from_millis(50);
    let kube = Kube::new(connection.client, options);
    let plan = plan(steps.clone());
    // A new role takes a moment to be known to the server.
    until("both namespaces are read", || async {
        let observed = kube.observe(&plan, &followed.inventory().await, Which::All).await;
        let read = observed.values().all(|seen| !matches!(seen, Seen::Unknown(_)));
        read.then_some(())
    })
    .await;
    let change = windlass::diff::Change { op: windlass::diff::Op::Create, seen: Seen::Absent };
    kube.apply(&steps[1], &change).await.unwrap();
    until("both namespaces are watched", || async {
        let open = followed.sync.proxy.watches();
        let is_open =
            |namespace: &str| open.iter().any(|seen| seen.path == format!("/api/v1/namespaces/{namespace}/configmaps"));
        (is_open(&followed.sync.namespace) && is_open(&second)).then_some(())
    })
    .await;
    drop(kube.rung());
    for namespace in [&*followed.sync.namespace, &*second] {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/a");
        followed.sync.patch_by_hand(&path, &json!({ "data": { "a": "2" } })).await;
        tokio::time::timeout(PATIENCE, kube.ring()).await.expect("rung");
        let rung = kube.rung();
        assert!(rung.moved.iter().any(|id| id.as_str().contains(namespace)), "{rung:?}");
    }
    followed.sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn watches_end_after_the_last_object_of_a_kind_and_with_their_target() {
    let mut followed = Followed::new([
        config_map("a", json!({ "a": "1" })),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "s" } }),
    ])
    .await;
    followed.steps.truncate(1);
    let applied = followed.pass(Which::All, std::collections::BTreeSet::new()).await;
    assert_eq!(applied.pruned.len(), 1);
    let open = || followed.sync.proxy.watches().into_iter().filter(ours).map(|seen| seen.path).collect::<Vec<_>>();
    until("the watch of service accounts ends", || async { (open() == ["/api/v1/configmaps"]).then_some(()) }).await;
    followed.sync.kube.release_inventory().await.unwrap();
    let Followed { sync, .. } = followed;
    let super::sync::Sync { kube, proxy, .. } = sync;
    drop(kube);
    until("all watches end", || async { proxy.watches().is_empty().then_some(()) }).await;
}

/// A control plane that lives as long as the test binary.
fn lasting_control_plane() -> &'static ControlPlane {
    Box::leak(Box::new(own_control_plane()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_killed_and_comes_back_is_watched_again() {
    let plane = tokio::task::spawn_blocking(lasting_control_plane).await.unwrap();
    let maps = (0..20).map(|number| config_map(&format!("c{number}"), json!({ "a": "1" })));
    let all = [config_map("a", json!({ "a": "1" })), deployment("d", json!({}), json!({ "replicas": 0 }))];
    let followed = Followed::on(plane, |_| {}, all.into_iter().chain(maps)).await;
    tokio::task::block_in_place(|| plane.restart_api_server(|| {}));
    // The watches may not be back yet: what happens now has to be found out when they are.
    edit(&followed, "2").await;
    let gone = followed.sync.path("api/v1", "configmaps", "c7");
    followed.sync.by_hand("DELETE", &gone, "application/json", &json!({})).await.unwrap();
    let deployment = followed.sync.path("apis/apps/v1", "deployments", "d");
    followed.sync.patch_by_hand(&deployment, &json!({ "spec": { "replicas": 3 } })).await;
    let right = async || {
        let path = followed.sync.path("api/v1", "configmaps", "a");
        let mended = followed.sync.get(&path).await["data"]["a"] == "1";
        let scaled = followed.sync.get(&deployment).await["spec"]["replicas"] == 0;
        let back = followed.sync.by_hand("GET", &gone, "application/json", &Value::Null).await.is_ok();
        mended && scaled && back
    };
    followed.corrected_until("moved while the API server came back", right).await;
    assert!(followed.restarts() > 0);
    followed.sync.kube.release_inventory().await.unwrap();
}

/// The agent itself, which polls once an hour.
#[test]
fn the_agent_reverts_a_hand_edit_at_once_and_a_status_costs_it_nothing() {
    let plane = crate::support::control_plane::control_plane();
    let namespace = "reverted-at-once";
    let map = |name: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  a: b\n")
    };
    let space = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    let repo = GitRepo::with(&[("namespace.yaml", &space), ("one.yaml", &map("one")), ("two.yaml", &map("two"))]);
    let proxy = Proxy::start(plane);
    let windlass = Windlass::on(&proxy.kubeconfig(plane));
    let sync = json!({ "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": { "name": "reverted" },
        "spec": { "source": { "url": repo.path().to_str().unwrap(), "interval": "1h" } } });
    let file = windlass.home().join("sync.yaml");
    std::fs::write(&file, sync.to_string()).unwrap();
    let agent = windlass.start(&["agent", "--yes", "-f", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let is = |name: &str, value: &str| {
        let data =
            plane.kubectl(&["get", "configmap", name, "-n", namespace, "--ignore-not-found", "-o=jsonpath={.data.a}"]);
        (data == value).then_some(())
    };
    until_blocking("the first sync", || is("two", "b"));
    until_blocking("the watch is open", || {
        proxy.watches().iter().any(|seen| seen.path == "/api/v1/configmaps" && ours(seen)).then_some(())
    });
    for round in 0..3 {
        plane.kubectl(&["patch", "configmap", "one", "-n", namespace, "--type=merge", "-p", r#"{"data":{"a":"x"}}"#]);
        until_blocking("the edit is reverted", || is("one", "b"));
        plane.kubectl(&["delete", "configmap", "two", "-n", namespace]);
        until_blocking("the delete is undone", || is("two", "b"));
        assert!(!agent.log().contains("panicked"), "round {round}: {}", agent.tail());
    }
    let quiet = || {
        let before = proxy.requests().len();
        std::thread::sleep(Duration::from_millis(500));
        (proxy.requests().len() == before).then_some(())
    };
    until_blocking("the agent is quiet", quiet);
    proxy.forget();
    plane.kubectl(&["label", "configmap", "one", "-n", namespace, "team=blue"]);
    plane.kubectl(&["annotate", "namespace", namespace, "note=foreign"]);
    until_blocking("still quiet", quiet);
    assert_eq!(proxy.requests(), [], "{}", agent.tail());
}
