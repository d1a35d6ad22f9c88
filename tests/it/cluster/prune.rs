//! Deleting: the proofs, the preconditions, the wait; and that nothing else is ever deleted.

use serde_json::json;
use windlass::diff::seen::Seen;
use windlass::target::Class;

use super::sync::{Sync, config_map, deployment};
use crate::support::wait::until;

#[tokio::test]
async fn what_is_ours_is_deleted_and_its_absence_confirmed() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({}))).await;
    sync.delete(&step).await.unwrap();
    assert_eq!(sync.see(&step).await, Seen::Absent);
    sync.delete(&step).await.expect("a second delete of what is gone is done");
    let deletes: Vec<_> = sync.proxy.requests().into_iter().filter(|seen| seen.method == "DELETE").collect();
    assert_eq!(deletes.len(), 1);
}

#[tokio::test]
async fn a_deployment_goes_with_its_pods() {
    let sync = Sync::new().await;
    let step = sync.created(deployment("d", json!({}), json!({}))).await;
    super::waiting::settled(&sync, &step).await;
    sync.delete(&step).await.unwrap();
    let pods = sync.get(sync.path("api/v1", "pods", "").trim_end_matches('/')).await;
    assert_eq!(pods["items"], json!([]), "children go first");
}

#[tokio::test]
async fn uid_proof_both_ways() {
    let sync = Sync::new().await;
    let path = sync.path("api/v1", "configmaps", "a");
    // Without our label, nothing is deleted, whatever the inventory says.
    let step = sync.created(config_map("a", json!({}))).await;
    sync.patch_by_hand(&path, &json!({ "metadata": { "labels": { windlass::sync::PART_OF: null } } })).await;
    let failure = sync.delete(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Stalled, "NotOurs"), "{failure:?}");
    // Recreated by us under a new uid, it is ours by label and entry.
    sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    sync.create(&step).await.unwrap();
    sync.delete(&step).await.unwrap();
    assert_eq!(sync.see(&step).await, Seen::Absent);

    // Its label is moved after our read and before our delete, which the uid alone would let through.
    sync.create(&step).await.unwrap();
    let moved = std::sync::atomic::AtomicBool::new(false);
    let (plane, namespace) = (sync.plane, sync.namespace.to_string());
    let label = format!("{}=applyset-other-v1", windlass::sync::PART_OF);
    let move_label = move |seen: &crate::support::proxy::Seen| {
        if seen.method == "DELETE" && !moved.swap(true, std::sync::atomic::Ordering::SeqCst) {
            plane.kubectl(&["label", "configmap", "a", "-n", &namespace, "--overwrite", &label]);
        }
        false
    };
    sync.proxy.forget();
    sync.proxy.answer(move_label, 1, crate::support::proxy::Answer::unavailable());
    let failure = sync.delete(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Stalled, "NotOurs"), "{failure:?}");
    assert!(failure.message.contains("applyset-other-v1"), "{}", failure.message);
    let deletes = sync.proxy.writes().len();
    assert_eq!(deletes, 1, "one delete, refused by the server");
    assert_eq!(sync.get(&path).await["metadata"]["name"], "a", "it is still there");
}

#[tokio::test]
async fn copied_labels() {
    let sync = Sync::new().await;
    let step = sync.step(config_map("copy", json!({})));
    let metadata = json!({ "name": "copy", "labels": { windlass::sync::PART_OF: sync.options.part_of } });
    let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata });
    let collection = sync.path("api/v1", "configmaps", "");
    sync.by_hand("POST", collection.trim_end_matches('/'), "application/json", &body).await.unwrap();
    assert!(!sync.live(&step).await.ours);
    let failure = sync.delete(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Stalled, "NotOurs"), "{failure:?}");
}

#[tokio::test]
async fn what_a_controller_owns_is_refused_by_name() {
    let sync = Sync::new().await;
    let step = sync.created(config_map("a", json!({}))).await;
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "00000000-0000-0000-0000-000000000000", "controller": true }]);
    let path = sync.path("api/v1", "configmaps", "a");
    // One request: the garbage collector would otherwise remove an object whose owner does not exist before we look.
    sync.patch_by_hand(
        &path,
        &json!({ "metadata": { "finalizers": ["test.windlass.dev/held"], "ownerReferences": owner } }),
    )
    .await;
    assert_eq!(sync.live(&step).await.other_owner.as_deref(), Some("ReplicaSet r"));
    let failure = sync.delete(&step).await.unwrap_err();
    assert_eq!(failure.reason, "ForeignOwner", "{failure:?}");
    assert!(failure.message.contains("ReplicaSet r"), "{}", failure.message);
    sync.patch_by_hand(&path, &json!({ "metadata": { "finalizers": null } })).await;
}

#[tokio::test]
async fn a_finalizer_that_holds_an_object_is_named() {
    let sync = Sync::with(|options| options.delete_wait = std::time::Duration::from_millis(300)).await;
    let mut manifest = config_map("a", json!({}));
    manifest["metadata"]["finalizers"] = json!(["test.windlass.dev/held"]);
    let step = sync.created(manifest).await;
    let failure = sync.delete(&step).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Retry, "Terminating"), "{failure:?}");
    assert!(failure.message.contains("test.windlass.dev/held"), "{}", failure.message);
    assert!(sync.live(&step).await.terminating);
    let failure = sync.update(&step).await.unwrap_err();
    assert_eq!(failure.reason, "Terminating", "what is going is not applied: {failure:?}");
    let path = sync.path("api/v1", "configmaps", "a");
    sync.patch_by_hand(&path, &json!({ "metadata": { "finalizers": null } })).await;
    until("it is gone", || async { (sync.see(&step).await == Seen::Absent).then_some(()) }).await;
}
