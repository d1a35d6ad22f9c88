//! The test bench does what the other tests take for granted.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::control_plane::control_plane;
use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::proxy::{Answer, Proxy, When};
use crate::support::wait::until;

fn pod_template(annotations: &Value, restart: &str, command: &[&str]) -> Value {
    json!({
        "metadata": { "labels": { "app": "it" }, "annotations": annotations },
        "spec": {
            "restartPolicy": restart, "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": "busybox:1.36", "command": command }],
        },
    })
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: serde::Serialize + serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("created");
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name }, "data": { "a": "1" } })).expect("a ConfigMap")
}

#[tokio::test]
async fn a_deployment_becomes_available_and_goes_away() {
    let plane = control_plane();
    let namespace = plane.namespace().await;
    let deployments: Api<Deployment> = Api::namespaced(plane.client(), &namespace);
    let deployment = |replicas: u32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "it" } },
                      "template": pod_template(&json!({}), "Always", &["sleep", "1000"]) },
        })
    };
    create(&deployments, deployment(2)).await;
    until("two replicas are available", || async {
        let status = deployments.get_status("web").await.ok()?.status?;
        (status.available_replicas == Some(2)).then_some(())
    })
    .await;
    deployments.patch("web", &PatchParams::apply("it").force(), &Patch::Apply(deployment(0))).await.expect("scaled");
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(plane.client(), &namespace);
    until("no pod is left", || async { pods.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(()) })
        .await;
}

#[tokio::test]
async fn jobs_complete_or_fail_as_their_command_says() {
    let plane = control_plane();
    let namespace = plane.namespace().await;
    let jobs: Api<Job> = Api::namespaced(plane.client(), &namespace);
    for (name, restart, command, ends) in [
        ("good", "Never", "echo hello", "Complete"),
        ("bad", "Never", "exit 3", "Failed"),
        ("bad-in-place", "OnFailure", "exit 3", "Failed"),
    ] {
        let template = pod_template(&json!({}), restart, &["sh", "-c", command]);
        let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
                          "spec": { "backoffLimit": 0, "template": template } });
        create(&jobs, job).await;
        until(&format!("job {name} is {ends}"), || async {
            let conditions = jobs.get_status(name).await.ok()?.status?.conditions?;
            conditions.iter().any(|condition| condition.type_ == ends && condition.status == "True").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_held_pod_is_ready_when_the_annotation_goes() {
    let plane = control_plane();
    let namespace = plane.namespace().await;
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(plane.client(), &namespace);
    let mut pod = pod_template(&json!({ "test.windlass.dev/hold": "true" }), "Always", &["sleep", "1000"]);
    pod["metadata"]["name"] = "held".into();
    until("the service account is there", || async {
        let pod = serde_json::from_value(pod.clone()).expect("a pod");
        pods.create(&PostParams::default(), &pod).await.ok()
    })
    .await;
    let ready = || async {
        let status = pods.get("held").await.ok()?.status?;
        let ready = status.conditions?.into_iter().find(|condition| condition.type_ == "Ready")?;
        Some((status.phase? == "Running").then_some(ready.status)? == "True")
    };
    assert!(!until("it runs", ready).await, "it is ready though held");
    let release = json!({ "metadata": { "annotations": { "test.windlass.dev/hold": null } } });
    pods.patch("held", &PatchParams::default(), &Patch::Merge(release)).await.expect("released");
    until("it is ready", || async { ready().await.filter(|ready| *ready) }).await;
}

#[tokio::test]
async fn an_account_without_rights_may_do_nothing() {
    let plane = control_plane();
    let namespace = plane.namespace().await;
    let kubeconfig = plane.account(&namespace, "nobody").await;
    let theirs: Api<ConfigMap> = Api::namespaced(plane.client_of(&kubeconfig), &namespace);
    let refused = theirs.create(&PostParams::default(), &config_map("a")).await.expect_err("refused");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    let said = plane.kubectl(&["auth", "can-i", "create", "configmaps", "-n", &namespace]);
    assert_eq!(said, "yes\n", "the administrator may");
}

#[tokio::test]
async fn the_proxy_counts_and_answers_itself() {
    let plane = control_plane();
    let namespace = plane.namespace().await;
    let proxy = Proxy::start(plane);
    // Without kube's own retries, so that every answer is seen.
    let mut config = plane.config(&proxy.kubeconfig(plane));
    config.default_retry = false;
    let maps: Api<ConfigMap> = Api::namespaced(kube::Client::try_from(config).expect("a client"), &namespace);
    maps.create(&PostParams::default(), &config_map("a")).await.expect("created");
    maps.get("a").await.expect("read");
    let seen: Vec<String> = proxy.requests().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    assert_eq!(seen, [format!("POST {path}"), format!("GET {path}/a")]);
    assert_eq!(proxy.writes().len(), 1);

    for (answer, says) in
        [(Answer::too_many_requests(1), "429"), (Answer::unavailable(), "503"), (Answer::html(), "expected value")]
    {
        proxy.answer(|seen| seen.path.contains("/configmaps"), 1, answer);
        let error = format!("{:?}", maps.get("a").await.expect_err("the proxy's answer"));
        assert!(error.contains(says), "{says}: {error}");
    }
    maps.get("a").await.expect("each fault was given once");

    proxy.answer(|seen| seen.is_write(), 1, Answer::Lost);
    let lost = maps.create(&PostParams::default(), &config_map("b")).await;
    assert!(lost.is_err(), "the answer is lost: {lost:?}");
    maps.get("b").await.expect("the write was done though");

    proxy.answer(|_| true, 1, Answer::Hang);
    let hung = tokio::time::timeout(Duration::from_millis(300), maps.get("a")).await;
    assert!(hung.is_err(), "no answer comes: {hung:?}");
}

#[tokio::test]
async fn the_proxy_kills_exactly_at_the_kth_write() {
    let plane = control_plane();
    for (when, written) in [(When::BeforeWrite, 2), (When::AfterWrite, 3)] {
        let namespace = plane.namespace().await;
        let proxy = Proxy::start(plane);
        let log = crate::support::process::scratch().join(format!("victim-{when:?}.log"));
        let mut victim =
            Process::start("victim", std::process::Command::new("sleep").arg("600"), log).expect("a victim");
        proxy.kill_at_write(3, when);
        proxy.victim(victim.id());
        let maps: Api<ConfigMap> = Api::namespaced(plane.client_of(&proxy.kubeconfig(plane)), &namespace);
        let names = ["a", "b", "c", "d", "e"].map(config_map);
        let plain = PostParams::default();
        let writes = names.iter().map(|map| maps.create(&plain, map));
        let all = futures::future::join_all(writes);
        let code = until("the kill", || std::future::ready(victim.exited()));
        let futures::future::Either::Right((code, rest)) = futures::future::select(all, Box::pin(code)).await else {
            panic!("no write may get through after the kill");
        };
        assert_eq!(code, -1, "killed by a signal");
        assert!(proxy.killed());
        let rest = tokio::time::timeout(Duration::from_millis(300), rest).await;
        assert!(rest.is_err(), "nothing gets through after the kill: {rest:?}");
        let direct: Api<ConfigMap> = Api::namespaced(plane.client(), &namespace);
        let there = direct.list(&ListParams::default()).await.expect("a list").items;
        let there = there.iter().filter(|map| map.metadata.name.as_deref() != Some("kube-root-ca.crt")).count();
        assert_eq!(there, written, "{when:?}");
    }
}

#[test]
fn repositories_are_made_changed_and_committed() {
    let repo = GitRepo::with(&[("a/one.yaml", "one"), ("two.yaml", "two")]);
    let first = repo.head();
    repo.rename("a/one.yaml", "b/one.yaml").remove("two.yaml").write("three.yaml", "three");
    let second = repo.commit("second");
    assert_ne!(first, second);
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", "HEAD"]), "b/one.yaml\nthree.yaml\n");
    assert_eq!(repo.read("three.yaml"), "three");
    let elsewhere = GitRepo::copy_of("tests/servers");
    assert!(elsewhere.url().starts_with("file:///"));
    assert!(elsewhere.git(&["ls-tree", "-r", "--name-only", "HEAD"]).contains("kubernetes/build.sh"));
}
