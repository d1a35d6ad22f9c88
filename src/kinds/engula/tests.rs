//! Tests of the family.

use serde_json::{Value, json};

use super::*;
use crate::kinds::{Child, ChildState, Cr, FieldProblem, StatusInput};
use crate::plan::{State, StepId};
use crate::problem::{Code, Severity};

fn claim() -> Value {
    json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "cluster.engula.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "t2"}, "spec": spec,
    })
}

fn cluster(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "name": "sample", "image": {"name": "engula:0.9", "pullPolicy": "Always"},
        "storage": {"replicas": 1, "volume": claim()}, "journal": {"replicas": 1, "volume": claim()},
        "kernel": {"replicas": 1, "volume": claim()}, "engine": {"replicas": 1},
    });
    change(&mut spec);
    manifest("Cluster", "c", spec)
}

fn told(problems: &[FieldProblem]) -> Vec<String> {
    let told = |it: &FieldProblem| {
        let mark = if it.severity == Severity::Warning { " (warning)" } else { "" };
        format!("{} {}{mark}", it.pointer, it.code)
    };
    problems.iter().map(told).collect()
}

fn wrong(change: impl FnOnce(&mut Value)) -> Vec<String> {
    told(&check::cluster(&cluster(change)))
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn components(manifest: &Value) -> Vec<Value> {
    assert_eq!(check::cluster(manifest), []);
    let expansion = expand::cluster(&Cr::new("c", "t2", manifest));
    assert_eq!(expansion.problems, []);
    let objects = expansion.children.iter().map(|child| child.want.object().unwrap().value());
    objects.filter(|object| object["apiVersion"] == "cluster.engula.io/v1alpha1").collect()
}

/// Service and StatefulSet of a component.
fn pods(part: Part, manifest: &Value) -> [Child; 2] {
    assert_eq!(check::part(part, manifest), []);
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let expansion = expand::part(part, &Cr::new(name, "t2", manifest));
    assert_eq!(expansion.problems, []);
    expansion.children.try_into().unwrap()
}

fn set_of(part: Part, spec: Value) -> Value {
    let [_, set] = pods(part, &manifest(part.kind(), "x", spec));
    set.want.object().unwrap().value()
}

#[test]
fn a_component_takes_the_image_of_the_cluster_unless_it_has_its_own() {
    let own = json!({"name": "mine:2"});
    let found = components(&cluster(|spec| spec["kernel"]["image"] = own.clone()));
    let image = |kind: &str| at(found.iter().find(|it| it["kind"] == kind).unwrap(), "/spec/image").clone();
    assert_eq!(image("Kernel"), own);
    assert_eq!(image("Journal"), json!({"name": "engula:0.9", "pullPolicy": "Always"}));
}

#[test]
fn without_components_there_is_nothing() {
    let bare = manifest("Cluster", "c", json!({"name": "x"}));
    assert_eq!(check::cluster(&bare), []);
    assert_eq!(expand::cluster(&Cr::new("c", "t2", &bare)).children, []);
}

#[test]
fn a_port_that_is_not_the_default_one_is_told_to_the_others() {
    let found = components(&cluster(|spec| spec["journal"]["port"] = json!(9001)));
    for component in &found {
        let kind = component["kind"].as_str().unwrap();
        let told = at(component, "/spec/peers");
        let wanted = if kind == "Journal" { Value::Null } else { json!({"journal": {"port": 9001}}) };
        assert_eq!(*told, wanted);
        let part = Part::ALL.into_iter().find(|part| part.kind() == kind).unwrap();
        let [_, set] = pods(part, component);
        let env = at(&set.want.object().unwrap().value(), "/spec/template/spec/containers/0/env").clone();
        let value = |name: &str| env.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap()["value"].clone();
        assert_eq!((value("journalport"), value("kernelport")), (json!("9001"), json!("24567")), "{kind}");
        assert_eq!((value("journalservice"), value("kubecluster")), (json!("c-journal"), json!("c")), "{kind}");
    }
}

#[test]
fn a_component_by_itself_belongs_to_the_cluster_that_its_name_or_label_says() {
    let spec = json!({"replicas": 1, "image": {"name": "i"}, "volume": claim()});
    let mut labelled = manifest("Kernel", "brain", spec.clone());
    labelled["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "shop"});
    for (manifest, cluster) in [
        (manifest("Kernel", "shop-kernel", spec.clone()), "shop"),
        (manifest("Kernel", "brain", spec), "brain"),
        (labelled, "shop"),
    ] {
        let [service, set] = pods(Part::Kernel, &manifest);
        let set_object = &set.want.object().unwrap().value();
        assert_eq!(
            at(&service.want.object().unwrap().value(), "/spec/selector"),
            at(set_object, "/spec/template/metadata/labels")
        );
        assert_eq!(at(set_object, "/spec/selector/matchLabels/app.kubernetes.io~1instance"), cluster);
        assert_eq!(at(set_object, "/spec/template/spec/serviceAccountName"), &Value::Null, "no Cluster made one");
        let after: Vec<String> = set.after.iter().map(|after| after.step.to_string()).collect();
        let id = |part: &str| format!("object/apps/StatefulSet/t2/{cluster}-{part}");
        assert_eq!(after, [id("journal"), id("storage")]);
        assert_eq!(
            set.after[0].by,
            Some(StepId::object("cluster.engula.io", "Journal", Some("t2"), &format!("{cluster}-journal")))
        );
        assert!(set.policy.hold_scale_down && service.after.is_empty());
    }
}

#[test]
fn what_a_component_waits_for_may_have_another_name() {
    let spec = json!({"replicas": 1, "image": {"name": "i"}, "peers": {"kernel": {"service": "brain", "port": 1}}});
    let [_, set] = pods(Part::Engine, &manifest("Engine", "x", spec));
    assert_eq!(set.after[0].step.as_str(), "object/apps/StatefulSet/t2/brain");
    assert!(set.want.object().unwrap().text().contains(r#"{"name":"kernelservice","value":"brain"}"#));
}

#[test]
fn data_lies_in_new_claims_or_in_one_that_exists() {
    let with = |volume: Value| set_of(Part::Storage, json!({"replicas": 1, "image": {"name": "i"}, "volume": volume}));
    let new = with(claim());
    assert_eq!(at(&new, "/spec/volumeClaimTemplates/0/spec"), &claim()["spec"]);
    assert_eq!(at(&new, "/spec/template/spec/volumes"), &Value::Null);
    assert_eq!(
        at(&new, "/spec/persistentVolumeClaimRetentionPolicy"),
        &json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    let mut kept = claim();
    kept["retention"] = json!({"whenScaled": "Delete"});
    assert_eq!(
        at(&with(kept), "/spec/persistentVolumeClaimRetentionPolicy"),
        &json!({"whenDeleted": "Retain", "whenScaled": "Delete"})
    );
    let old = with(json!({"source": {"claimName": "mine", "readOnly": true}}));
    assert_eq!(at(&old, "/spec/volumeClaimTemplates"), &Value::Null);
    assert_eq!(
        at(&old, "/spec/template/spec/volumes"),
        &json!([{"name": "data", "persistentVolumeClaim": {"claimName": "mine", "readOnly": true}}])
    );
    for set in [new, old] {
        assert_eq!(
            at(&set, "/spec/template/spec/containers/0/volumeMounts"),
            &json!([{"name": "data", "mountPath": "/data"}])
        );
    }
    let without = set_of(Part::Engine, json!({"replicas": 1, "image": {"name": "i"}}));
    assert_eq!(at(&without, "/spec/template/spec/containers/0/volumeMounts"), &Value::Null);
}

#[test]
fn both_volumes_are_a_problem_and_so_is_none() {
    let source = json!({"claimName": "mine"});
    assert_eq!(wrong(|spec| spec["kernel"]["volume"]["source"] = source.clone()), ["/spec/kernel/volume InvalidValue"]);
    assert_eq!(wrong(|spec| spec["kernel"]["volume"] = json!({})), ["/spec/kernel/volume MissingField"]);
    assert_eq!(
        wrong(|spec| spec["engine"]["volume"] = json!({"retention": {"whenDeleted": "Delete"}})),
        ["/spec/engine/volume/retention InvalidValue"]
    );
    assert_eq!(
        wrong(|spec| spec["journal"] = json!({"replicas": 2, "volume": {"source": source}})),
        ["/spec/journal/volume/source InvalidValue (warning)"]
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    assert_eq!(
        wrong(|spec| {
            spec["kernel"]["replicas"] = json!(0);
            spec["storage"].as_object_mut().unwrap().remove("volume");
            spec["engine"]["resources"] = json!({});
            spec["background"] = json!({"replicas": 1, "volume": claim()});
            spec["journal"]["volume"]["spec"]["accesModes"] = json!([]);
            spec["image"]["pullPolicy"] = json!("Sometimes");
        }),
        [
            "/spec/background/volume UnknownField",
            "/spec/engine/resources UnknownField",
            "/spec/image/pullPolicy InvalidValue",
            "/spec/journal/volume/spec/accesModes UnknownField",
            "/spec/kernel/replicas InvalidValue",
            "/spec/storage/volume MissingField",
        ]
    );
    assert_eq!(
        wrong(|spec| {
            spec.as_object_mut().unwrap().remove("image");
            spec["kernel"]["image"] = json!({"name": "https://x"});
        }),
        [
            "/spec/engine/image MissingField",
            "/spec/journal/image MissingField",
            "/spec/kernel/image/name InvalidValue",
            "/spec/storage/image MissingField",
        ]
    );
}

#[test]
fn a_component_by_itself_needs_its_own_image_and_is_not_its_own_peer() {
    let sample =
        json!({"apiVersion": "cluster.engula.io/v1alpha1", "kind": "Kernel", "metadata": {"name": "kernel-sample"}});
    assert_eq!(told(&check::part(Part::Kernel, &sample)), ["/spec MissingField"]);
    let found = |spec| told(&check::part(Part::Kernel, &manifest("Kernel", "k", spec)));
    assert_eq!(found(json!({"replicas": 1, "volume": claim()})), ["/spec/image MissingField"]);
    assert_eq!(
        found(json!({"replicas": 1, "volume": claim(), "image": {"name": "i"}, "peers": {"kernel": {"port": 1}}})),
        ["/spec/peers/kernel UnknownField"]
    );
}

#[test]
fn a_name_that_its_objects_cannot_have_is_a_problem() {
    let named = |name: &str| {
        let mut manifest = cluster(|_| ());
        manifest["metadata"]["name"] = name.into();
        let problems = check::cluster(&manifest);
        assert!(problems.iter().all(|problem| problem.code == Code::InvalidName));
        problems.len()
    };
    // `-storage` and 52 characters in all.
    assert_eq!((named(&"a".repeat(44)), named(&"a".repeat(45))), (0, 1));
    assert_eq!((named("9lives"), named("a.b"), named("a-9")), (1, 1, 0));
}

fn state(kind: &str, name: &str, state: State, reason: &str) -> ChildState {
    let group = if kind == "StatefulSet" { "apps" } else { "cluster.engula.io" };
    let id = StepId::object(group, kind, Some("t2"), name);
    ChildState { id, state, reason: reason.into(), message: "because".into() }
}

fn conditions(status: &Value) -> Vec<String> {
    let conditions = status["conditions"].as_array().unwrap().iter();
    conditions.map(|it| format!("{} {} {}", it["type"], it["status"], it["reason"]).replace('"', "")).collect()
}

fn status_of(manifest: &Value, children: &[ChildState], kind: fn(&StatusInput<'_>) -> Option<Value>) -> Option<Value> {
    let cr = Cr::new("c", "t2", manifest);
    kind(&StatusInput { cr, generation: Some(3), previous: None, children, now: "2026-01-01T00:00:00Z" })
}

#[test]
fn a_cluster_is_ready_when_every_component_is() {
    use State::{Failed, Progressing, Ready, Refused, Waiting};
    let manifest = cluster(|_| ());
    let children = |kernel: State, reason: &str| {
        vec![
            state("Engine", "c-engine", Ready, "Ready"),
            state("StatefulSet", "c-journal", Ready, "Ready"),
            state("StatefulSet", "c-storage", Ready, "Ready"),
            state("StatefulSet", "c-kernel", kernel, reason),
            state("StatefulSet", "c-engine", if kernel == Ready { Ready } else { Waiting }, "DependencyNotReady"),
        ]
    };
    let found = |kernel, reason| conditions(&status_of(&manifest, &children(kernel, reason), status::cluster).unwrap());
    let same = |ready: &str, kernel: &str, engine: &str, progressing: &str, degraded: &str, held: &str| {
        [
            format!("Degraded {degraded}"),
            format!("EngineReady {engine}"),
            "JournalReady True ComponentsReady".to_owned(),
            format!("KernelReady {kernel}"),
            format!("Progressing {progressing}"),
            format!("Ready {ready}"),
            format!("ScaleDownHeld {held}"),
            "StorageReady True ComponentsReady".to_owned(),
        ]
    };
    let good = "True ComponentsReady";
    let none = "False NothingHeld";
    let calm = "False ComponentsReady";
    assert_eq!(found(Ready, "Ready"), same(good, good, good, calm, calm, none));
    assert_eq!(
        found(Progressing, "Progressing"),
        same(
            "False Progressing",
            "False Progressing",
            "False DependencyNotReady",
            "True Progressing",
            "False Progressing",
            none
        )
    );
    assert_eq!(
        found(Failed, "Forbidden"),
        same(
            "False Forbidden",
            "False Forbidden",
            "False DependencyNotReady",
            "False Forbidden",
            "True Forbidden",
            none
        )
    );
    let held = "False ScaleDownHeld";
    assert_eq!(
        found(Refused, "ScaleDownHeld"),
        same(held, held, "False DependencyNotReady", held, held, "True ScaleDownHeld")
    );
}

#[test]
fn what_holds_a_scale_down_says_what_allows_it() {
    let manifest = manifest("Kernel", "c", json!({}));
    let held = [state("StatefulSet", "c", State::Refused, "ScaleDownHeld")];
    let status = status_of(&manifest, &held, status::part).unwrap();
    let found = status["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "ScaleDownHeld").unwrap();
    assert!(found["message"].as_str().unwrap().contains("windlass.dev/allow-scale-down"), "{found}");
    assert_eq!(status_of(&manifest, &[], status::part), None, "nothing is said before anything is known");
}
