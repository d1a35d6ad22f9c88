//! Tests of expansion, order and what is left out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::declared::{Document, Places};
use crate::plan::{Manifest, Origin, StepId};
use crate::problem::{Code, Problem};

/// Declares manifests, each in a file of its own.
fn declare(manifests: &[Value]) -> Declared {
    let documents = manifests.iter().enumerate().map(|(index, manifest)| {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let origin = Origin {
            api_version: text("/apiVersion").unwrap().into(),
            kind: text("/kind").unwrap().into(),
            namespace: text("/metadata/namespace").map(Into::into),
            name: text("/metadata/name").unwrap().into(),
            path: format!("{index:02}.yaml").into(),
            document: 1,
            line: 1,
        };
        let manifest = Manifest::new(manifest.clone());
        let (places, files) = (Places::default(), crate::kinds::Files::new());
        Arc::new(Document { id: manifest.id(), origin: Arc::new(origin), manifest, places, files })
    });
    Declared { documents: documents.collect(), ..Declared::default() }
}

fn object(api_version: &str, kind: &str, namespace: &str, name: &str, rest: Value) -> Value {
    let mut manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if !namespace.is_empty() {
        manifest["metadata"]["namespace"] = namespace.into();
    }
    for (key, value) in rest.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    manifest
}

fn config(name: &str) -> Value {
    object("v1", "ConfigMap", "web", name, json!({"data": {}}))
}

fn annotated(mut manifest: Value, key: &str, value: &str) -> Value {
    manifest["metadata"]["annotations"][format!("windlass.dev/{key}")] = value.into();
    manifest
}

fn after(manifest: Value, ids: &str) -> Value {
    annotated(manifest, "depends-on", ids)
}

fn memcached(name: &str) -> Value {
    object("cache.example.com/v1alpha1", "Memcached", "web", name, json!({"spec": {"size": 1}}))
}

fn goop(name: &str, jobs: u32) -> Value {
    object("goop.example.com/v1alpha1", "Goop", "web", name, json!({"spec": {"job_count": jobs}}))
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

fn needs(plan: &Plan, id: &str) -> Vec<String> {
    let step = plan.step(&StepId::from_text(id)).unwrap_or_else(|| panic!("no {id} in {:?}", ids(plan)));
    step.needs.iter().map(ToString::to_string).collect()
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

const CACHE: &str = "object/cache.example.com/Memcached/web/cache";
const CACHE_PODS: &str = "object/apps/Deployment/web/cache";
const A: &str = "object/core/ConfigMap/web/a";
const B: &str = "object/core/ConfigMap/web/b";
const C: &str = "object/core/ConfigMap/web/c";

#[test]
fn a_cr_is_a_step_and_owns_what_it_expands_to() {
    let mut cache = annotated(memcached("cache"), "prune", "disabled");
    cache["status"] = json!({"conditions": []});
    let (plan, problems) = expand(&declare(&[cache]));
    assert_eq!(problems, []);
    assert_eq!(ids(&plan), [CACHE_PODS, CACHE]);
    let (pods, cr) = (&plan.steps[0], &plan.steps[1]);
    assert_eq!((pods.owner.as_ref(), cr.owner.as_ref()), (Some(&cr.id), None));
    assert_eq!(pods.origin, cr.origin);
    assert!(pods.policy.keep && cr.policy.keep);
    assert!(pods.needs.is_empty(), "a child does not wait for its CR: {:?}", pods.needs);
    assert!(cr.want.object().unwrap().value().get("status").is_none());
}

#[test]
fn jobs_run_once_whoever_declares_them() {
    let plain = object("batch/v1", "Job", "web", "plain", json!({"spec": {"template": {"spec": {}}}}));
    let (plan, _) = expand(&declare(&[goop("run", 1), plain]));
    let policy = |id: &str| plan.step(&StepId::from_text(id)).unwrap().policy.clone();
    assert!(policy("object/batch/Job/web/run-0").once_done && policy("object/batch/Job/web/run-0").replace);
    assert!(policy("object/batch/Job/web/plain").once_done && !policy("object/batch/Job/web/plain").replace);
}

#[test]
fn a_namespace_and_a_crd_come_before_what_is_in_them() {
    let crd = object(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "",
        "memcacheds.cache.example.com",
        json!({
            "spec": {"group": "cache.example.com", "names": {"kind": "Memcached", "plural": "memcacheds"}},
        }),
    );
    let namespace = object("v1", "Namespace", "", "web", json!({}));
    let (plan, _) = expand(&declare(&[memcached("cache"), crd, namespace]));
    let (crd, namespace) = (
        "object/apiextensions.k8s.io/CustomResourceDefinition/-/memcacheds.cache.example.com",
        "object/core/Namespace/-/web",
    );
    assert_eq!(needs(&plan, CACHE), [crd, namespace]);
    assert_eq!(needs(&plan, CACHE_PODS), [namespace]);
    assert_eq!(ids(&plan), [crd, namespace, CACHE_PODS, CACHE]);
}

#[test]
fn a_workload_waits_for_what_it_names() {
    let binding = object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "web",
        "app",
        json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app"},
            "subjects": [{"kind": "ServiceAccount", "name": "app"}],
        }),
    );
    let pods = json!({"spec": {"template": {"metadata": {"labels": {"app": "x", "tier": "y"}}, "spec": {
        "serviceAccountName": "app",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"configMap": {"name": "a"}},
            {"secret": {"secretName": "mounted"}},
            {"projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "absent"}}]}},
        ],
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "b"}}]}],
        "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "variable", "key": "k"}}}]}],
    }}}});
    let secret = |name: &str| object("v1", "Secret", "web", name, json!({}));
    let (plan, _) = expand(&declare(&[
        object("apps/v1", "Deployment", "web", "app", pods),
        config("a"),
        config("b"),
        config("c"),
        secret("pull"),
        secret("mounted"),
        secret("projected"),
        secret("variable"),
        object("v1", "ServiceAccount", "web", "app", json!({})),
        object("rbac.authorization.k8s.io/v1", "Role", "web", "app", json!({})),
        binding,
        object("networking.k8s.io/v1", "NetworkPolicy", "web", "deny", json!({})),
        object("v1", "Service", "web", "app", json!({"spec": {"selector": {"app": "x"}}})),
        object(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "",
            "hook",
            json!({
                "webhooks": [{"clientConfig": {"service": {"namespace": "web", "name": "app"}}}],
            }),
        ),
        object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "web",
            "app",
            json!({
                "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}},
            }),
        ),
    ]));
    assert_eq!(
        needs(&plan, "object/apps/Deployment/web/app"),
        [
            A,
            B,
            "object/core/Secret/web/mounted",
            "object/core/Secret/web/projected",
            "object/core/Secret/web/pull",
            "object/core/Secret/web/variable",
            "object/core/ServiceAccount/web/app",
            "object/networking.k8s.io/NetworkPolicy/web/deny",
            "object/rbac.authorization.k8s.io/RoleBinding/web/app",
        ]
    );
    assert_eq!(
        needs(&plan, "object/rbac.authorization.k8s.io/RoleBinding/web/app"),
        ["object/core/ServiceAccount/web/app", "object/rbac.authorization.k8s.io/Role/web/app",]
    );
    assert_eq!(
        needs(&plan, "object/admissionregistration.k8s.io/ValidatingWebhookConfiguration/-/hook"),
        ["object/apps/Deployment/web/app", "object/core/Service/web/app",]
    );
    assert_eq!(needs(&plan, "object/autoscaling/HorizontalPodAutoscaler/web/app"), ["object/apps/Deployment/web/app"]);
    let place = |id: &str| plan.steps.iter().position(|step| step.id.as_str() == id).unwrap();
    for step in &plan.steps {
        assert!(step.needs.iter().all(|need| place(need.as_str()) < place(step.id.as_str())), "{}", step.id);
    }
}

#[test]
fn ten_thousand_objects_have_a_bounded_number_of_edges() {
    let mut manifests = vec![object("v1", "Namespace", "", "web", json!({}))];
    for index in 0..2000 {
        let name = format!("n{index}");
        manifests.push(config(&name));
        manifests.push(object("v1", "ServiceAccount", "web", &name, json!({})));
        manifests.push(object("networking.k8s.io/v1", "NetworkPolicy", "web", &name, json!({})));
        // The worst there is: every binding binds the account of every workload.
        manifests.push(object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "web",
            &name,
            json!({
                "roleRef": {"kind": "Role", "name": name}, "subjects": [{"kind": "ServiceAccount", "name": "n0"}],
            }),
        ));
        manifests.push(object("apps/v1", "Deployment", "web", &name, json!({
            "spec": {"template": {"spec": {"serviceAccountName": "n0", "volumes": [{"configMap": {"name": name}}]}}},
        })));
    }
    let (plan, problems) = expand(&declare(&manifests));
    assert_eq!((plan.steps.len(), problems.len()), (10_001, 0));
    let edges: usize = plan.steps.iter().map(|step| step.needs.len()).sum();
    assert!(edges < 10 * plan.steps.len(), "{edges} edges");
}

#[test]
fn who_depends_on_a_cr_waits_for_its_children() {
    let (plan, problems) = expand(&declare(&[
        after(goop("run", 2), A),
        config("a"),
        after(config("b"), "object/goop.example.com/Goop/web/run"),
    ]));
    assert_eq!(problems, []);
    assert_eq!(needs(&plan, "object/batch/Job/web/run-1"), [A]);
    assert_eq!(
        needs(&plan, B),
        ["object/batch/Job/web/run-0", "object/batch/Job/web/run-1", "object/goop.example.com/Goop/web/run",]
    );
}

#[test]
fn a_dependency_that_is_not_there_harms_its_document_and_what_depends_on_that() {
    let (plan, problems) =
        expand(&declare(&[after(config("a"), "object/core/ConfigMap/web/bb"), config("b"), after(config("c"), A)]));
    assert_eq!(ids(&plan), [B]);
    assert_eq!(
        told(&problems),
        [
            "00.yaml:0:0: DependencyMissing: It depends on object/core/ConfigMap/web/bb, which is not in the plan. Did you \
         mean object/core/ConfigMap/web/b? `windlass render` lists the ids of all steps; an object's is \
         object/<group|core>/<Kind>/<namespace|->/<name>.",
            "02.yaml:0:0: DependencyMissing: It depends on object/core/ConfigMap/web/a, which has a problem of its own and is \
         left out. Solve that one first.",
        ]
    );
    assert_eq!(problems[0].pointer.as_deref(), Some("/metadata/annotations/windlass.dev~1depends-on"));
    let held: Vec<&str> = plan.held.owners.iter().map(StepId::as_str).collect();
    assert_eq!(held, [A, C]);
}

#[test]
fn a_circle_is_named_and_the_rest_goes_on() {
    let (plan, problems) = expand(&declare(&[
        after(config("a"), B),
        after(config("b"), A),
        after(config("c"), A),
        config("d"),
        after(config("e"), "object/core/ConfigMap/web/e"),
    ]));
    assert_eq!(ids(&plan), ["object/core/ConfigMap/web/d"]);
    let told = told(&problems);
    assert_eq!(told.len(), 4, "{told:#?}");
    for (line, wanted) in told.iter().zip([
        format!("00.yaml:0:0: DependencyCycle: Its steps wait for one another in a circle: {A} → {B} → {A}."),
        format!("01.yaml:0:0: DependencyCycle: Its steps wait for one another in a circle: {A} → {B} → {A}."),
        format!("02.yaml:0:0: DependencyMissing: It depends on {A}, which has a problem of its own"),
        "04.yaml:0:0: DependencyCycle: Its steps wait for one another in a circle: object/core/ConfigMap/web/e → \
         object/core/ConfigMap/web/e."
            .to_owned(),
    ]) {
        assert!(line.starts_with(&wanted), "{line}\n{wanted}");
    }
    assert_eq!(plan.held.owners.len(), 4);
}

#[test]
fn a_wish_against_the_default_order_is_a_circle() {
    let namespace = after(object("v1", "Namespace", "", "web", json!({})), A);
    let (plan, problems) = expand(&declare(&[namespace, config("a"), config("b")]));
    assert!(problems.iter().all(|problem| problem.code == Code::DependencyCycle));
    // What only stands in the namespace did not ask for it by name and goes on.
    assert_eq!((ids(&plan), problems.len()), (vec![B], 2));
}

#[test]
fn a_declared_object_wins_over_a_child_of_the_same_name() {
    let declared = object("apps/v1", "Deployment", "web", "cache", json!({"spec": {}}));
    let (plan, problems) = expand(&declare(&[memcached("cache"), declared, config("a")]));
    assert_eq!(ids(&plan), [CACHE_PODS, A]);
    assert!(plan.steps[0].owner.is_none());
    assert_eq!(
        told(&problems),
        ["00.yaml:0:0: NameConflict: Memcached cache claims object/apps/Deployment/web/cache, which is claimed by \
         Deployment cache (01.yaml:1) too. Rename one of them.",]
    );
    assert!(plan.held.owners.contains(&StepId::from_text(CACHE)));
}

#[test]
fn of_two_crs_that_claim_the_same_neither_is_applied() {
    let declared = declare(&[memcached("one"), memcached("two"), memcached("three")]);
    let (mut problems, mut memo) = (Problems::new(), Memo::default());
    memo.take(&declared.documents);
    // No two kinds of today meet in a name, so the second is given the first one's child.
    memo.units[1].cells[1].id = memo.units[0].cells[1].id;
    let mut shape = Shape::of(&memo.units, &memo.ids);
    conflicts::find(&memo.units, &memo.ids, &mut shape, &mut problems);
    assert_eq!([0, 1, 2].map(|unit| shape.is_out(unit)), [true, true, false]);
    assert_eq!(
        told(&problems),
        [
            "00.yaml:0:0: NameConflict: Memcached one claims object/apps/Deployment/web/one, which is claimed by Memcached two \
         (01.yaml:1) too. Rename one of them.",
            "01.yaml:0:0: NameConflict: Memcached two claims object/apps/Deployment/web/one, which is claimed by Memcached one \
         (00.yaml:1) too. Rename one of them.",
        ]
    );
}

#[test]
fn the_plan_does_not_depend_on_the_order_of_documents() {
    let manifests = [memcached("cache"), goop("run", 3), after(config("a"), B), config("b"), config("c")];
    let mut turned = manifests.clone();
    turned.reverse();
    let (one, two) = (expand(&declare(&manifests)).0, expand(&declare(&turned)).0);
    assert_eq!(one.digest, two.digest);
    assert_eq!(ids(&one), ids(&two));
}

#[test]
fn the_rights_of_a_plan_are_one_rule_a_group() {
    let (plan, _) = expand(&declare(&[memcached("cache"), config("a"), object("v1", "Secret", "web", "s", json!({}))]));
    let role = rights::cluster_role("windlass-apply", &plan);
    let verbs = json!(["create", "delete", "get", "list", "patch", "watch"]);
    assert_eq!(
        role["rules"],
        json!([
            {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": verbs},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs},
            {"apiGroups": ["cache.example.com"], "resources": ["memcacheds"], "verbs": verbs},
            {"apiGroups": ["cache.example.com"], "resources": ["memcacheds/status"], "verbs": ["get", "patch"]},
        ])
    );
}

fn engula(kind: &str, name: &str) -> Value {
    let volume = json!({"spec": {"accessModes": ["ReadWriteOnce"]}});
    let mut spec = json!({"replicas": 1, "image": {"name": "engula:0.9"}});
    if kind != "Engine" {
        spec["volume"] = volume;
    }
    object("cluster.engula.io/v1alpha1", kind, "web", name, json!({"spec": spec}))
}

const KERNEL: &str = "object/apps/StatefulSet/web/c-kernel";
const KERNEL_SERVICE: &str = "object/core/Service/web/c-kernel";
const JOURNAL: &str = "object/apps/StatefulSet/web/c-journal";

#[test]
fn what_is_waited_for_where_it_is_there_is_found_in_any_document() {
    let (plan, problems) = expand(&declare(&[engula("Kernel", "c-kernel")]));
    assert_eq!((needs(&plan, KERNEL), problems), (vec![KERNEL_SERVICE.to_owned()], vec![]), "there is no journal here");
    let (plan, _) = expand(&declare(&[engula("Kernel", "c-kernel"), engula("Journal", "c-journal")]));
    assert_eq!(needs(&plan, KERNEL), [JOURNAL, KERNEL_SERVICE]);
}

#[test]
fn what_would_be_waited_for_is_not_passed_over_because_its_document_is_broken() {
    // By a problem that is found when it is expanded with the others, and by one found before.
    let journal = after(engula("Journal", "c-journal"), "object/core/ConfigMap/web/none");
    let (plan, problems) = expand(&declare(&[engula("Kernel", "c-kernel"), journal]));
    assert_eq!(ids(&plan), Vec::<&str>::new());
    assert!(
        told(&problems)[0].contains(&format!("It depends on {JOURNAL}, which has a problem of its own")),
        "{problems:?}"
    );
    let mut declared = declare(&[engula("Kernel", "c-kernel")]);
    declared.held.owners.insert(StepId::object("cluster.engula.io", "Journal", Some("web"), "c-journal"));
    let (plan, problems) = expand(&declared);
    assert_eq!((plan.steps.len(), problems.len()), (0, 1), "{problems:?}");
}

#[test]
fn an_annotation_on_the_document_allows_fewer_replicas_below_it() {
    let cluster = |manifest: Value| {
        let (plan, problems) = expand(&declare(&[manifest]));
        assert_eq!(problems, []);
        plan.step(&StepId::from_text(JOURNAL)).unwrap().policy.hold_scale_down
    };
    let part = json!({"replicas": 1, "image": {"name": "i"}, "volume": {"spec": {"accessModes": ["ReadWriteOnce"]}}});
    let manifest =
        object("cluster.engula.io/v1alpha1", "Cluster", "web", "c", json!({"spec": {"name": "c", "journal": part}}));
    assert!(cluster(manifest.clone()));
    assert!(!cluster(annotated(manifest, "allow-scale-down", "true")));
}
