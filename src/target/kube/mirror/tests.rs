//! What a sight of an object means, without a server: nothing here listens at the address that the client is given.

use serde_json::json;

use super::*;
use crate::diff::Seen;

const MANAGER: &str = "windlass-me";

/// A ConfigMap as the server shows it.
fn object(version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "a", "namespace": "ns", "uid": "u1", "resourceVersion": version.to_string(), "generation": 3,
            "labels": { crate::sync::PART_OF: options().part_of },
            "annotations": { crate::sync::CONTENT_HASH: "h1" },
            "managedFields": [
                entry(&options().manager, "Apply", "2026-01-01T00:00:01Z", "", &json!({ "f:data": { "f:a": {} } })),
                entry("kube-controller-manager", "Update", "2026-01-01T00:00:02Z", "status", &json!({ "f:status": {} })),
            ],
        },
    })
}

fn entry(manager: &str, operation: &str, time: &str, subresource: &str, fields: &Value) -> Value {
    let mut entry =
        json!({ "manager": manager, "operation": operation, "apiVersion": "v1", "time": time, "fieldsV1": fields });
    if !subresource.is_empty() {
        entry["subresource"] = subresource.into();
    }
    entry
}

fn options() -> Options {
    Options::new("windlass-system", "platform", "https://example.com/a.git")
}

fn kind() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".into(),
        kind: "ConfigMap".into(),
        plural: "configmaps".into(),
        namespaced: true,
    }
}

fn id() -> StepId {
    StepId::object("", "ConfigMap", Some("ns"), "a")
}

fn mirror() -> Arc<Mirror> {
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    let wire = Wire::new(kube::Client::try_from(config).unwrap());
    let options = Arc::new(options());
    let lens = Arc::new(Lens::new(Arc::clone(&options)));
    Mirror::new(wire.clone(), options, Arc::new(Discovery::new(wire)), lens)
}

/// A mirror that has listed what is given.
fn listed(objects: &[Value]) -> (Arc<Mirror>, DropGuard, Area) {
    let mirror = mirror();
    let area = mirror.area(&kind(), Some("ns"));
    mirror.open(&area);
    for object in objects {
        see(&mirror, &area, object);
    }
    mirror.state().areas.get_mut(&area).unwrap().listed = Some(Instant::now());
    assert!(!mirror.has_rung(), "a first list rings nothing");
    let end = mirror.end();
    (mirror, end, area)
}

fn see(mirror: &Mirror, area: &Area, object: &Value) {
    let (id, record) = mirror.record(&area.resource, object, false);
    mirror.take(&mut mirror.state(), area, id, Sight::Present(Box::new(record)), false);
}

fn rung(mirror: &Mirror) -> (usize, usize) {
    let rung = mirror.rung();
    (rung.moved.len(), rung.suspect.len())
}

fn difference(change: impl FnOnce(&mut Value)) -> record::Difference {
    let mirror_lens = Lens::new(Arc::new(options()));
    let record = |object: &Value| Record::of(mirror_lens.live(&id(), &kind(), object), object, &options().manager);
    let old = record(&object(7));
    let mut newer = object(8);
    change(&mut newer);
    old.compare(&record(&newer))
}

fn moved() -> record::Difference {
    record::Difference { moved: true, ..Default::default() }
}

fn suspect() -> record::Difference {
    record::Difference { suspect: true, ..Default::default() }
}

#[test]
fn a_status_a_foreign_label_and_a_foreign_field_are_nothing() {
    assert!(difference(|_| {}).is_nothing());
    assert!(difference(|it| it["metadata"]["managedFields"][1]["time"] = "2026-01-01T00:09:00Z".into()).is_nothing());
    assert!(difference(|it| it["metadata"]["labels"]["team"] = "blue".into()).is_nothing());
    // An autoscaler: the generation moves, and an entry of somebody else says why.
    let scaled = difference(|it| {
        it["metadata"]["generation"] = 4.into();
        let fields = json!({ "f:spec": { "f:replicas": {} } });
        let all = it["metadata"]["managedFields"].as_array_mut().unwrap();
        all.push(entry("kube-controller-manager", "Update", "2026-01-01T00:00:03Z", "scale", &fields));
    });
    assert!(scaled.is_nothing(), "{scaled:?}");
}

#[test]
fn what_the_diff_compares_moves() {
    for change in [
        |it: &mut Value| it["metadata"]["uid"] = "u2".into(),
        |it: &mut Value| it["metadata"]["annotations"][crate::sync::CONTENT_HASH] = "h2".into(),
        |it: &mut Value| it["metadata"]["managedFields"][0]["fieldsV1"] = json!({ "f:data": {} }),
        |it: &mut Value| it["metadata"]["managedFields"] = json!([]),
        |it: &mut Value| it["metadata"]["labels"] = json!({}),
        |it: &mut Value| it["metadata"]["labels"][crate::sync::PART_OF] = "another".into(),
        |it: &mut Value| it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:09Z".into(),
        |it: &mut Value| {
            it["metadata"]["ownerReferences"] = json!([{ "kind": "Set", "name": "s", "controller": true }]);
        },
    ] {
        let found = difference(change);
        assert!(found.moved && !found.suspect, "{found:?}");
    }
    assert_eq!(difference(|it| it["metadata"]["uid"] = "u2".into()), moved());
}

#[test]
fn a_write_that_changed_nothing_visible_is_suspect() {
    assert_eq!(difference(|it| it["metadata"]["generation"] = 4.into()), suspect(), "the order of a list");
    let by_our_name = difference(|it| it["metadata"]["managedFields"][0]["time"] = "2026-01-01T00:00:05Z".into());
    assert_eq!(by_our_name, suspect(), "somebody used our manager's name");
}

#[test]
fn the_order_of_entries_and_keys_means_nothing() {
    let turned = difference(|it| it["metadata"]["managedFields"].as_array_mut().unwrap().reverse());
    assert!(turned.is_nothing());
}

#[test]
fn who_wrote_last_is_named_unless_it_was_us_or_a_status() {
    let manager = options().manager;
    assert_eq!(record::mover(&object(7), &manager), None);
    let mut edited = object(7);
    let all = edited["metadata"]["managedFields"].as_array_mut().unwrap();
    all.push(entry("kubectl-edit", "Update", "2026-01-01T00:00:01Z", "", &json!({ "f:data": { "f:a": {} } })));
    assert_eq!(record::mover(&edited, &manager), Some("kubectl-edit"));
    edited["metadata"]["managedFields"][0]["time"] = "2026-01-01T00:01:00Z".into();
    assert_eq!(record::mover(&edited, &manager), None, "we wrote after that");
    assert_eq!(record::mover(&edited, MANAGER), Some(manager.as_str()), "another sync is somebody else");
}

#[tokio::test]
async fn what_is_not_newer_is_nothing_new() {
    let (mirror, _end, area) = listed(&[object(7)]);
    let mut older = object(6);
    older["metadata"]["uid"] = "u0".into();
    see(&mirror, &area, &older);
    assert_eq!(rung(&mirror), (0, 0));
    let mut newer = object(8);
    newer["metadata"]["uid"] = "u2".into();
    see(&mirror, &area, &newer);
    assert_eq!(rung(&mirror), (1, 0));
    assert_eq!(rung(&mirror), (0, 0), "what rang is taken once");
}

#[tokio::test]
async fn an_event_that_overtakes_our_answer_is_held_and_then_known_as_our_own() {
    let (mirror, _end, area) = listed(&[object(7)]);
    let mut ours = object(8);
    ours["metadata"]["annotations"][crate::sync::CONTENT_HASH] = "h2".into();
    let writing = mirror.writing(&id());
    see(&mirror, &area, &ours);
    assert!(!mirror.has_rung());
    mirror.landed(&kind(), Some("ns"), &ours);
    drop(writing);
    assert_eq!(rung(&mirror), (0, 0));

    // Somebody writes after us, before our answer is here.
    let writing = mirror.writing(&id());
    let mut theirs = object(10);
    theirs["metadata"]["managedFields"][0]["fieldsV1"] = json!({ "f:data": {} });
    see(&mirror, &area, &theirs);
    mirror.landed(&kind(), Some("ns"), &object(9));
    assert!(!mirror.has_rung());
    drop(writing);
    assert_eq!(rung(&mirror), (1, 0));

    // Our answer never comes: what was heard counts.
    let writing = mirror.writing(&id());
    see(&mirror, &area, &object(11));
    drop(writing);
    assert_eq!(rung(&mirror), (1, 0));
}

#[tokio::test]
async fn what_is_gone_rings_and_what_we_deleted_does_not() {
    let (mirror, _end, area) = listed(&[object(7)]);
    mirror.take(&mut mirror.state(), &area, id(), Sight::Gone(6), false);
    assert!(!mirror.has_rung(), "an older list does not know it yet");
    mirror.take(&mut mirror.state(), &area, id(), Sight::Gone(8), false);
    assert_eq!(rung(&mirror), (1, 0));
    assert_eq!(mirror.see(&kind(), [(&id(), Some("ns"))]), [None]);

    see(&mirror, &area, &object(9));
    assert_eq!(rung(&mirror), (1, 0), "it came back");
    let writing = mirror.writing(&id());
    mirror.take(&mut mirror.state(), &area, id(), Sight::Gone(10), false);
    mirror.gone(&kind(), Some("ns"), &id());
    drop(writing);
    assert_eq!(rung(&mirror), (0, 0));
}

#[tokio::test]
async fn copied_labels_ring_nothing() {
    let (mirror, _end, area) = listed(&[]);
    let mut copy = object(7);
    copy["metadata"]["managedFields"] = json!([entry("endpointslice-controller", "Update", "t", "", &json!({}))]);
    see(&mirror, &area, &copy);
    copy["metadata"]["resourceVersion"] = "8".into();
    copy["metadata"]["labels"] = json!({});
    see(&mirror, &area, &copy);
    assert_eq!(rung(&mirror), (0, 0));
}

#[tokio::test]
async fn a_readiness_that_a_wait_was_told_does_not_ring() {
    let (mirror, _end, area) = listed(&[object(7)]);
    let mut late = object(8);
    late["kind"] = "Job".into();
    late["apiVersion"] = "batch/v1".into();
    see(&mirror, &area, &late);
    assert!(mirror.has_rung());
    let now = [(id(), mirror.readiness(&area, &id()))];
    assert!(mirror.is_news(&now));
    mirror.tell(&now);
    assert!(!mirror.is_news(&now) && !mirror.has_rung());
}

#[tokio::test]
async fn watches_of_what_is_neither_owned_nor_wanted_end() {
    let (mirror, _end, area) = listed(&[object(7)]);
    let mut inventory = Inventory::default();
    inventory.entries.insert(id(), crate::inventory::Entry::default());
    mirror.retire(&inventory);
    assert!(mirror.state().areas.contains_key(&area));
    mirror.retire(&Inventory::default());
    assert!(mirror.state().areas.is_empty());
    // What a task that is ending still hears is nothing.
    see(&mirror, &area, &object(9));
    assert!(!mirror.has_rung());
}

#[tokio::test]
async fn a_wait_for_a_ring_ends_when_something_rings() {
    let (mirror, _end, area) = listed(&[object(7)]);
    let mut edited = object(8);
    edited["metadata"]["uid"] = "u2".into();
    let ((), ()) = tokio::join!(mirror.ring(), async { see(&mirror, &area, &edited) });
    let seen: Vec<_> = mirror.see(&kind(), [(&id(), Some("ns"))]).into_iter().flatten().map(Seen::Present).collect();
    assert_eq!(seen.len(), 1);
    assert!(!mirror.has_rung(), "who looks is told");
}

#[test]
fn a_record_tells_what_was_seen_however_little_space_it_takes() {
    let lens = Lens::new(Arc::new(options()));
    let mut plain = object(7);
    plain["metadata"]["uid"] = "01234567-89ab-cdef-0123-456789abcdef".into();
    plain["metadata"]["annotations"][crate::sync::CONTENT_HASH] = "0f".repeat(32).into();
    let mut edited = plain.clone();
    edited["metadata"]["labels"] = json!({});
    let mut odd = plain.clone();
    odd["metadata"]["annotations"][crate::sync::CONTENT_HASH] = "of another length".into();
    let mut large = plain.clone();
    large["metadata"]["annotations"][crate::sync::CONTENT_HASH] = "0F".repeat(32).into();
    for object in [plain, edited, odd, large, object(7)] {
        let live = lens.live(&id(), &kind(), &object);
        let record = Record::of(live.clone(), &object, &options().manager);
        assert_eq!(record.live(), live);
        assert_eq!((record.is_ours(), record.is_applied()), (live.ours, live.fingerprint.is_some()));
    }
}

/// Ten thousand records have to fit into about 10 MiB.
#[test]
fn a_record_is_small() {
    assert!(size_of::<Record>() + size_of::<StepId>() <= 128, "{}", size_of::<Record>());
}
