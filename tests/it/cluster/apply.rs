//! Applying: what is sent, what is answered, what is refused and how it is told.

use serde_json::json;
use windlass::diff::seen::{Readiness, Seen};
use windlass::diff::{Change, Op, Reason, Which};
use windlass::target::kube::{CrdState, EventNote, Kube, ObjectName, Reports, Severity, ensure_crds};
use windlass::target::{Class, World};

use super::sync::{Sync, config_map, deployment, inventory, plan, present};
use crate::support::proxy::Answer;
use crate::support::wait::until;

#[tokio::test]
async fn a_first_sync_is_one_write_an_object_and_a_quiet_look_is_one_list_a_kind() {
    let sync = Sync::new().await;
    let mut steps: Vec<_> =
        (0..40).map(|number| sync.step(config_map(&format!("c{number}"), json!({ "a": "1" })))).collect();
    steps.extend((0..10).map(|number| {
        sync.step(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": format!("s{number}") } }))
    }));
    sync.kube.scopes().await.unwrap();
    sync.proxy.forget();
    for step in &steps {
        assert!(sync.create(step).await.unwrap().wrote);
    }
    assert_eq!((sync.proxy.writes().len(), sync.proxy.requests().len()), (50, 50));

    sync.proxy.forget();
    let known = inventory(&sync.options, steps.iter().map(|step| (step.id.clone(), Some("known"))));
    let observed = sync.kube.observe(&plan(steps.clone()), &known, Which::All).await;
    assert_eq!(present(&observed).len(), 50);
    for step in &steps {
        let live = present(&observed)[step.id.as_str()];
        assert_eq!(live.content_hash.as_deref(), Some(step.hash.as_str()));
        assert!(live.ours && live.fingerprint.is_some() && live.readiness == Readiness::Ready, "{live:?}");
    }
    let requests = sync.proxy.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert!(sync.proxy.writes().is_empty());
}

#[tokio::test]
async fn an_apply_of_what_is_there_already_says_that_it_wrote_nothing() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({ "a": "1" }))).await;
    let seen = sync.see(&step).await;
    let done = sync.kube.apply(&step, &Change { op: Op::Update(Reason::Drifted), seen }).await.unwrap();
    assert!(!done.wrote);
}

#[tokio::test]
async fn the_fingerprint_moves_when_somebody_changes_a_value_of_ours_and_only_then() {
    let sync = Sync::new().await;
    let manifest = deployment("d", json!({ "env": [{ "name": "A", "value": "1" }] }), json!({ "replicas": 0 }));
    let step = sync.created(manifest).await;
    let path = sync.path("apis/apps/v1", "deployments", "d");
    let before = sync.live(&step).await.fingerprint.unwrap();
    for quiet in [json!({ "metadata": { "labels": { "theirs": "1" } } }), json!({ "spec": { "minReadySeconds": 1 } })] {
        sync.patch_by_hand(&path, &quiet).await;
        assert_eq!(sync.live(&step).await.fingerprint.as_deref(), Some(before.as_str()), "{quiet}");
    }
    for loud in [
        json!([{ "op": "replace", "path": "/spec/replicas", "value": 1 }]),
        json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "other" }]),
        json!([{ "op": "remove", "path": "/spec/template/spec/containers/0/env" }]),
    ] {
        sync.patch_by_hand(&path, &loud).await;
        assert_ne!(sync.live(&step).await.fingerprint.as_deref(), Some(before.as_str()), "{loud}");
        sync.update(&step).await.unwrap();
        assert_eq!(sync.live(&step).await.fingerprint.as_deref(), Some(before.as_str()), "after {loud}");
    }
}

#[tokio::test]
async fn part_of_label_removed() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({}))).await;
    let before = sync.live(&step).await;
    let path = sync.path("api/v1", "configmaps", "a");
    sync.patch_by_hand(&path, &json!({ "metadata": { "labels": { windlass::sync::PART_OF: null } } })).await;
    let live = sync.live(&step).await;
    assert_eq!(live.uid, before.uid, "it is still seen");
    assert!(!live.ours && live.fingerprint != before.fingerprint, "{live:?}");
    sync.update(&step).await.unwrap();
    assert!(sync.live(&step).await.ours);
}

#[tokio::test]
async fn schema_errors_are_500() {
    let sync = Sync::new().await;
    let step =
        sync.step(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "a": 1 } }));
    let failure = sync.create(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Stalled, "SchemaMismatch"), "{failure:?}");
    assert!(failure.message.contains(".data.a"), "{}", failure.message);
}

#[tokio::test]
async fn terminating_namespace_is_403() {
    let sync = Sync::new().await;
    let holder = sync.plane.namespace().await;
    let held = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": {},
        "metadata": { "name": "held", "namespace": &*holder, "finalizers": ["test.windlass.dev/held"] } });
    let collection = format!("/api/v1/namespaces/{}/configmaps", &*holder);
    sync.by_hand("POST", &collection, "application/json", &held).await.unwrap();
    sync.by_hand("DELETE", &format!("/api/v1/namespaces/{}", &*holder), "application/json", &json!({})).await.unwrap();
    let mut manifest = config_map("a", json!({}));
    manifest["metadata"]["namespace"] = json!(&*holder);
    let step = sync.step(manifest);
    let failure = until("the namespace is closed", || async { sync.create(&step).await.err() }).await;
    assert_eq!((failure.class, failure.reason), (Class::Retry, "NamespaceTerminating"), "{failure:?}");
    let release = json!({ "metadata": { "finalizers": null } });
    sync.patch_by_hand(&format!("{collection}/held"), &release).await;
}

#[tokio::test]
async fn a_404_has_three_meanings() {
    let sync = Sync::new().await;
    let mut manifest = config_map("a", json!({}));
    manifest["metadata"]["namespace"] = json!("nowhere");
    let failure = sync.create(&sync.step(manifest)).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Retry, "NamespaceMissing"), "{failure:?}");
    let unknown =
        sync.step(json!({ "apiVersion": "nobody.example.com/v1", "kind": "Nothing", "metadata": { "name": "a" } }));
    let failure = sync.create(&unknown).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Skipped, "CrdMissing"), "{failure:?}");
    assert_eq!(sync.see(&unknown).await, Seen::Absent);
    assert_eq!(sync.see(&sync.step(config_map("a", json!({})))).await, Seen::Absent);
}

#[tokio::test]
async fn immutable_has_no_cause() {
    let sync = Sync::new().await;
    let old = sync.created(deployment("d", json!({}), json!({ "replicas": 0 }))).await;
    let uid = sync.live(&old).await.uid;
    let other = json!({ "replicas": 0, "selector": { "matchLabels": { "app": "d", "more": "1" } },
        "template": { "metadata": { "labels": { "more": "1" } } } });
    let mut step = sync.step(deployment("d", json!({}), other));
    let failure = sync.update(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Stalled, "Immutable"), "{failure:?}");
    assert!(failure.message.contains("windlass.dev/recreate"), "{}", failure.message);
    assert_eq!(sync.live(&step).await.uid, uid, "nothing was recreated unasked");

    step.policy.recreate = true;
    let done = sync.update(&step).await.unwrap();
    assert_ne!(done.uid, uid);
    assert!(done.wrote);

    // Invalid by itself: no recreation helps.
    let invalid = sync.step(deployment("d", json!({ "image": "" }), json!({ "replicas": -1 })));
    let failure = sync.update(&invalid).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Stalled, "Invalid"), "{failure:?}");
}

#[tokio::test]
async fn a_stateful_set_is_not_recreated_because_its_cr_says_recreate() {
    let sync = Sync::new().await;
    let set = |service: &str| {
        json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "s" },
            "spec": { "replicas": 0, "serviceName": service, "selector": { "matchLabels": { "app": "s" } },
                "template": { "metadata": { "labels": { "app": "s" } }, "spec": { "containers": [{ "name": "m", "image": "i" }] } } } })
    };
    sync.created(set("a")).await;
    let mut step = sync.step(set("b"));
    step.policy.recreate = true;
    step.owner = Some(windlass::plan::StepId::from_text("object/example.com/X/a/b"));
    let failure = sync.update(&step).await.unwrap_err();
    assert_eq!(failure.reason, "Immutable", "{failure:?}");
    step.owner = None;
    assert!(sync.update(&step).await.unwrap().wrote, "named by an annotation of its own");
}

#[tokio::test]
async fn a_replaced_job_is_deleted_and_created_on_change_but_not_on_drift() {
    let sync = Sync::new().await;
    let job = |text: &str| {
        json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" }, "spec": { "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "m", "image": "busybox:1.36", "command": ["echo", text] }] } } } })
    };
    let mut step = sync.step(job("one"));
    step.policy.replace = true;
    let first = sync.create(&step).await.unwrap();
    let seen = sync.see(&step).await;
    let done = sync.kube.apply(&step, &Change { op: Op::Update(Reason::Drifted), seen }).await.unwrap();
    assert_eq!(done.uid, first.uid, "drift does not run a Job again");
    let mut step = sync.step(job("two"));
    step.policy.replace = true;
    assert_ne!(sync.update(&step).await.unwrap().uid, first.uid);
    assert!(sync.kube.finishes(&step));
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_rule_to_add() {
    let sync = Sync::new().await;
    let kubeconfig = sync.plane.account(&sync.namespace, "limited").await;
    let limited = Kube::new(sync.plane.client_of(&kubeconfig), sync.options.clone());
    let step = sync.step(config_map("a", json!({})));
    let failure = limited.apply(&step, &Change { op: Op::Create, seen: Seen::Absent }).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Denied, "Forbidden"), "{failure:?}");
    assert!(failure.message.contains(r#"resources: ["configmaps"]"#), "{}", failure.message);

    let known = inventory(&sync.options, [(step.id.clone(), Some("known"))]);
    let observed = limited.observe(&plan(vec![step.clone()]), &known, Which::All).await;
    let Some(Seen::Unknown(why)) = observed.get(&step.id) else { panic!("{observed:?}") };
    assert!(why.contains(r#"resources: ["configmaps"]"#), "{why}");

    // With rights in the namespace alone it works by namespace.
    let rule = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"] }]);
    let rbac = |kind: &str, more: serde_json::Value| {
        let mut object =
            json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": "limited" } });
        super::sync::merge(&mut object, more);
        object
    };
    sync.created(rbac("Role", json!({ "rules": rule }))).await;
    let subject = json!([{ "kind": "ServiceAccount", "name": "limited", "namespace": &*sync.namespace }]);
    let reference = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited" });
    sync.created(rbac("RoleBinding", json!({ "subjects": subject, "roleRef": reference }))).await;
    let create = Change { op: Op::Create, seen: Seen::Absent };
    until("the role takes effect", || async { limited.apply(&step, &create).await.ok() }).await;
    let observed = limited.observe(&plan(vec![step.clone()]), &known, Which::All).await;
    assert!(present(&observed).contains_key(step.id.as_str()), "{observed:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_well_is_never_an_empty_one() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({}))).await;
    let other = Answer::Http(200, vec![("content-type", "application/json".into())], "{}".into());
    // A read is tried four times; what is no list at all is none the fourth time either.
    for (answer, times) in
        [(Answer::unavailable(), 4), (Answer::too_many_requests(1), 4), (Answer::html(), 4), (other, 1)]
    {
        sync.proxy.answer(|seen| seen.path.ends_with("/configmaps"), times, answer);
        let seen = sync.see(&step).await;
        assert!(matches!(seen, Seen::Unknown(_)), "{seen:?}");
    }
    sync.proxy.answer(|seen| seen.is_write(), 1, Answer::too_many_requests(3));
    let failure = sync.update(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.retry_after.map(|it| it.as_secs())), (Class::Retry, Some(3)));
}

fn own_crd(
    group: &str,
) -> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": { "name": format!("widgets.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": "widgets", "singular": "widget", "kind": "Widget" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
    }))
    .unwrap()
}

#[tokio::test]
async fn crds_are_applied_once_and_foreign_ones_are_left_alone() {
    let sync = Sync::new().await;
    let (ours, theirs) = (own_crd("ours.example.com"), own_crd("theirs.example.com"));
    let mut body = serde_json::to_value(&theirs).unwrap();
    super::sync::merge(
        &mut body,
        json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition" }),
    );
    let collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    sync.by_hand("POST", collection, "application/json", &body).await.unwrap();
    let client = sync.plane.client_of(&sync.proxy.kubeconfig(sync.plane));
    let all = [ours, theirs];
    let states = |done: Vec<(String, CrdState)>| done.into_iter().map(|(_, state)| state).collect::<Vec<_>>();
    assert_eq!(states(ensure_crds(&client, &all).await.unwrap()), [CrdState::Applied, CrdState::Foreign]);
    sync.proxy.forget();
    assert_eq!(states(ensure_crds(&client, &all).await.unwrap()), [CrdState::Current, CrdState::Foreign]);
    assert!(sync.proxy.writes().is_empty());
    let mut changed = own_crd("ours.example.com");
    changed.spec.names.short_names = Some(vec!["wdg".into()]);
    assert_eq!(states(ensure_crds(&client, &[changed]).await.unwrap()), [CrdState::Applied]);
    for group in ["ours", "theirs"] {
        let path = format!("{collection}/widgets.{group}.example.com");
        sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn status_apply_adds_an_entry() {
    let sync = Sync::with(|options| {
        options.own_kinds.insert(("status.example.com".into(), "Widget".into()));
    })
    .await;
    ensure_crds(&sync.client, &[own_crd("status.example.com")]).await.unwrap();
    let step = sync
        .created(json!({ "apiVersion": "status.example.com/v1", "kind": "Widget", "metadata": { "name": "w" }, "spec": { "a": 1 } }))
        .await;
    let before = sync.live(&step).await;
    let reports = Reports::new(sync.plane.client_of(&sync.proxy.kubeconfig(sync.plane)), &sync.options.manager);
    let name = ObjectName {
        api_version: "status.example.com/v1".into(),
        kind: "Widget".into(),
        namespace: Some(sync.namespace.to_string()),
        name: "w".into(),
        uid: None,
    };
    let status = json!({ "conditions": [{ "type": "Ready", "status": "False", "reason": "R", "message": "m" }] });
    assert!(reports.write_status(&name, None, &status).await.unwrap());
    let after = sync.live(&step).await;
    assert_eq!((after.fingerprint, after.ours), (before.fingerprint, true));
    assert_eq!(after.readiness, Readiness::Ready, "the Ready condition of our own kinds is an output");
    assert_eq!(sync.kube.statuses()[&step.id].status.as_ref(), Some(&status));

    sync.proxy.forget();
    assert!(!reports.write_status(&name, None, &status).await.unwrap());
    assert!(sync.proxy.requests().is_empty(), "the same status is not sent twice");
    let anew = Reports::new(sync.plane.client_of(&sync.proxy.kubeconfig(sync.plane)), &sync.options.manager);
    assert!(!anew.write_status(&name, None, &status).await.unwrap());
    assert!(sync.proxy.writes().is_empty(), "nor by a process that was just started");

    let missing = ObjectName { name: "gone".into(), ..name };
    assert_eq!(reports.write_status(&missing, None, &status).await.unwrap_err().class, Class::Skipped);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.status.example.com";
    sync.by_hand("DELETE", path, "application/json", &json!({})).await.unwrap();
}

#[tokio::test]
async fn an_event_is_written_about_an_object_and_a_secret_is_read_for_its_keys() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({}))).await;
    let reports = Reports::new(sync.client.clone(), &sync.options.manager);
    let about = ObjectName {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some(sync.namespace.to_string()),
        name: "a".into(),
        uid: Some(sync.live(&step).await.uid),
    };
    let note = EventNote {
        severity: Severity::Warning,
        reason: "Refused".into(),
        action: "Sync".into(),
        note: "ü".repeat(2_000),
    };
    reports.emit(&about, &note).await.unwrap();
    let told = sync.plane.kubectl(&["describe", "configmap", "a", "-n", &sync.namespace]);
    assert!(told.contains("Warning") && told.contains("Refused"), "{told}");

    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "token": "t0p" } });
    sync.created(secret).await;
    let read = reports.read_secret(&sync.namespace, "s").await.unwrap();
    assert_eq!(read["token"], b"t0p");
    let failure = reports.read_secret(&sync.namespace, "missing").await.unwrap_err();
    assert_eq!(failure.reason, "NotFound", "{failure:?}");
}
