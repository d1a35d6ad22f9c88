//! The inventory in ConfigMaps: round trip, two agents, shards, refusals.

use serde_json::json;
use windlass::inventory::{Entry, Inventory};
use windlass::plan::StepId;
use windlass::target::World;
use windlass::target::kube::{Kube, Options};

use super::sync::{Sync, inventory};

fn second(sync: &Sync) -> Kube {
    Kube::new(sync.plane.client(), sync.options.clone())
}

fn id(name: &str) -> StepId {
    StepId::object("", "ConfigMap", Some("a"), name)
}

#[tokio::test]
async fn what_is_stored_is_loaded_and_stored_again_without_a_write() {
    let sync = Sync::new().await;
    assert_eq!(sync.kube.load_inventory().await.unwrap(), None);
    let some = inventory(&sync.options, [(id("a"), Some("1")), (id("b"), None)]);
    sync.kube.store_inventory(&some).await.unwrap();
    assert_eq!(second(&sync).load_inventory().await.unwrap().as_ref(), Some(&some));
    sync.proxy.forget();
    sync.kube.store_inventory(&some).await.unwrap();
    assert!(sync.proxy.requests().is_empty());
    let map = sync.get(&sync.path("api/v1", "configmaps", "windlass-inventory-platform-0")).await;
    assert_eq!(map["metadata"]["finalizers"], json!(["windlass.dev/inventory"]));
    sync.kube.release_inventory().await.unwrap();
    assert_eq!(second(&sync).load_inventory().await.unwrap(), None);
}

#[tokio::test]
async fn two_agents_never_lose_each_others_entries() {
    let sync = Sync::new().await;
    let other = second(&sync);
    sync.kube.store_inventory(&inventory(&sync.options, [(id("both"), Some("1"))])).await.unwrap();
    other.load_inventory().await.unwrap();
    sync.kube
        .store_inventory(&inventory(&sync.options, [(id("both"), Some("1")), (id("one"), Some("2"))]))
        .await
        .unwrap();
    other.store_inventory(&inventory(&sync.options, [(id("both"), Some("1")), (id("two"), Some("3"))])).await.unwrap();
    let all = second(&sync).load_inventory().await.unwrap().unwrap();
    let ids: Vec<&str> = all.entries.keys().map(StepId::as_str).collect();
    assert_eq!(ids, ["object/core/ConfigMap/a/both", "object/core/ConfigMap/a/one", "object/core/ConfigMap/a/two"]);
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn two_agents_that_store_for_the_first_time_at_once_lose_nothing() {
    let sync = Sync::new().await;
    let other = second(&sync);
    assert_eq!(sync.kube.load_inventory().await.unwrap(), None);
    assert_eq!(other.load_inventory().await.unwrap(), None);
    let (one, two) = (inventory(&sync.options, [(id("one"), None)]), inventory(&sync.options, [(id("two"), None)]));
    let (a, b) = tokio::join!(sync.kube.store_inventory(&one), other.store_inventory(&two));
    a.unwrap();
    b.unwrap();
    assert_eq!(second(&sync).load_inventory().await.unwrap().unwrap().entries.len(), 2);
    sync.kube.release_inventory().await.unwrap();
}

/// Both go on for many passes: each adds entries, and takes out only what it knows of.
#[tokio::test]
async fn two_agents_that_go_on_writing_never_take_out_what_they_were_not_told_of() {
    const ROUNDS: usize = 12;
    let sync = Sync::new().await;
    let write = async |kube: &Kube, who: &str| {
        let mut own = kube.load_inventory().await.unwrap().unwrap_or_else(|| inventory(&sync.options, []));
        for round in 0..ROUNDS {
            own.entries.insert(id(&format!("{who}-{round}")), Entry { uid: Some(who.into()), ..Entry::default() });
            own.entries.insert(id(&format!("{who}-for-a-while")), Entry::default());
            kube.store_inventory(&own).await.unwrap();
            own.entries.remove(&id(&format!("{who}-for-a-while")));
            kube.store_inventory(&own).await.unwrap();
        }
    };
    let other = second(&sync);
    tokio::join!(write(&sync.kube, "one"), write(&other, "two"));
    let all = second(&sync).load_inventory().await.unwrap().unwrap();
    let expected: std::collections::BTreeSet<StepId> =
        ["one", "two"].iter().flat_map(|who| (0..ROUNDS).map(move |round| id(&format!("{who}-{round}")))).collect();
    assert_eq!(all.entries.keys().cloned().collect::<std::collections::BTreeSet<_>>(), expected);
    sync.kube.release_inventory().await.unwrap();
}

/// One agent's inventory shrinks to fewer shards while another, by accident, has just put an entry into a shard that goes.
#[tokio::test]
async fn a_shard_that_goes_takes_no_entry_of_another_agent_along() {
    let sync = Sync::new().await;
    let many = |count: u32| {
        let entry = |number: u32| {
            let hash = windlass::plan::canonical::hash_bytes(&number.to_be_bytes());
            (id(&format!("n{number}")), Entry { uid: Some(hash), ..Entry::default() })
        };
        Inventory { entries: (0..count).map(entry).collect(), ..inventory(&sync.options, []) }
    };
    sync.kube.store_inventory(&many(16_000)).await.unwrap();
    let shards = sync.get(&format!("/api/v1/namespaces/{}/configmaps", &*sync.namespace)).await;
    let shards = shards["items"].as_array().unwrap().iter().filter(|map| map["data"].get("shard").is_some()).count();
    assert!(shards > 1, "one shard");
    let other = second(&sync);
    let mut theirs = other.load_inventory().await.unwrap().unwrap();
    let foreign: Vec<StepId> = (0..20).map(|number| id(&format!("theirs-{number}"))).collect();
    theirs.entries.extend(foreign.iter().map(|id| (id.clone(), Entry::default())));
    other.store_inventory(&theirs).await.unwrap();
    sync.kube.store_inventory(&many(10)).await.unwrap();
    let all = second(&sync).load_inventory().await.unwrap().unwrap();
    assert!(foreign.iter().all(|id| all.entries.contains_key(id)), "{:?}", all.entries.keys());
    assert_eq!(all.entries.len(), 30);
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn configmap_limit() {
    let sync = Sync::new().await;
    let many = |count: u32| {
        let mut many = Inventory::new(sync.options.sync_id.clone(), sync.options.source_url.clone());
        for number in 0..count {
            // Hex of a hash does not compress away.
            let hash = windlass::plan::canonical::hash_bytes(&number.to_be_bytes());
            let entry = Entry {
                uid: Some(hash[..36].to_owned()),
                fingerprint: Some(hash[36..52].to_owned()),
                ..Entry::default()
            };
            many.entries.insert(id(&format!("object-number-{number}")), entry);
        }
        many
    };
    for count in [100, 30_000, 50] {
        let wanted = many(count);
        sync.kube.store_inventory(&wanted).await.unwrap();
        assert_eq!(second(&sync).load_inventory().await.unwrap().as_ref(), Some(&wanted), "{count}");
    }
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn an_inventory_of_another_source_is_refused() {
    let sync = Sync::new().await;
    sync.kube.store_inventory(&inventory(&sync.options, [(id("a"), Some("1"))])).await.unwrap();
    let moved = Options { source_url: "https://git.example/other.git".into(), ..sync.options.clone() };
    let other = Kube::new(sync.plane.client(), moved.clone());
    let failure = other.load_inventory().await.unwrap_err();
    assert_eq!(failure.reason, "InventoryMismatch");
    assert!(failure.message.contains("https://git.example/platform.git"), "{}", failure.message);
    let failure = other.store_inventory(&inventory(&moved, [(id("b"), None)])).await.unwrap_err();
    assert_eq!(failure.reason, "InventoryMismatch");
    sync.kube.release_inventory().await.unwrap();
}

#[tokio::test]
async fn a_damaged_or_incomplete_inventory_is_never_an_empty_one() {
    let sync = Sync::new().await;
    sync.kube.store_inventory(&inventory(&sync.options, [(id("a"), Some("1"))])).await.unwrap();
    let path = sync.path("api/v1", "configmaps", "windlass-inventory-platform-0");
    sync.patch_by_hand(&path, &json!({ "data": { "shard": "bm90IGFuIGludmVudG9yeQ==" } })).await;
    assert_eq!(second(&sync).load_inventory().await.unwrap_err().reason, "InventoryDamaged");
    sync.patch_by_hand(&path, &json!({ "metadata": { "finalizers": null } })).await;
}

#[tokio::test]
async fn a_namespace_that_is_not_our_default_is_not_made() {
    let sync = Sync::with(|options| options.namespace = "not-made-by-us".into()).await;
    let failure = sync.kube.store_inventory(&inventory(&sync.options, [(id("a"), None)])).await.unwrap_err();
    assert_eq!(failure.reason, "NamespaceMissing", "{failure:?}");
}

/// A deletion of the namespace has to wait for us: what we own is not forgotten in passing.
#[tokio::test]
async fn namespace_deletion() {
    let sync = Sync::new().await;
    let holder = sync.plane.namespace().await;
    let options = Options::new(&holder, "platform", "https://git.example/platform.git");
    let kube = Kube::new(sync.plane.client(), options.clone());
    let some = inventory(&options, [(id("a"), Some("1"))]);
    kube.store_inventory(&some).await.unwrap();
    let path = format!("/api/v1/namespaces/{}", &*holder);
    sync.by_hand("DELETE", &path, "application/json", &json!({})).await.unwrap();
    crate::support::wait::until("the shard is being deleted", || async {
        let map = sync.get(&format!("{path}/configmaps/windlass-inventory-platform-0")).await;
        map["metadata"].get("deletionTimestamp").map(|_| ())
    })
    .await;
    assert_eq!(kube.load_inventory().await.unwrap().as_ref(), Some(&some));
    kube.release_inventory().await.unwrap();
}
