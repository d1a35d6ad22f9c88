//! Tests of the renderers.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::plan::{Held, Origin, StepId, canonical};
use crate::problem::Code;
use crate::revision::Revision;

fn step(id: &str, owner: Option<&str>, manifest: Value) -> Step {
    let origin = Origin {
        api_version: "cache.example.com/v1alpha1".into(),
        kind: "Memcached".into(),
        namespace: Some("web".into()),
        name: "front".into(),
        path: "web/cache.yaml".into(),
        document: 1,
        line: 3,
    };
    Step::new(StepId::from_text(id), Arc::new(origin), owner.map(StepId::from_text), Want::Object(manifest.into()))
}

fn plan(steps: Vec<Step>) -> Plan {
    let digest = canonical::digest(steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
    let steps = steps.into_iter().map(Arc::new).collect();
    Plan { revision: Revision { id: "abc".into(), ..Revision::default() }, steps, digest, held: Held::default() }
}

#[test]
fn json_has_the_keys_of_the_contract() {
    let plan = plan(vec![step("object/core/ConfigMap/web/a", None, json!({"kind": "ConfigMap"}))]);
    let problems =
        [Problem::error(Code::InvalidValue, "no").in_file("a.yaml").in_document(1).at(2, 3).pointing("/spec")];
    assert_eq!(
        json(&plan, &problems, Secrets::Masked),
        json!({
            "revision": "abc",
            "digest": plan.digest,
            "steps": [{
                "id": "object/core/ConfigMap/web/a",
                "needs": [],
                "origin": {
                    "apiVersion": "cache.example.com/v1alpha1", "kind": "Memcached", "namespace": "web",
                    "name": "front", "path": "web/cache.yaml", "document": 1, "line": 3,
                },
                "want": {"object": {"kind": "ConfigMap"}},
            }],
            "problems": [{
                "code": "InvalidValue", "severity": "error", "file": "a.yaml", "document": 1, "line": 2, "column": 3,
                "pointer": "/spec", "message": "no",
            }],
        })
    );
}

#[test]
fn yaml_is_one_document_an_object_with_its_origin() {
    let plan = plan(vec![
        step("object/core/ConfigMap/web/a", None, json!({"kind": "ConfigMap"})),
        step("object/core/ConfigMap/web/b", None, json!({"kind": "ConfigMap"})),
    ]);
    assert_eq!(
        yaml(&plan, Secrets::Masked),
        "---\n# object/core/ConfigMap/web/a from web/cache.yaml:3\nkind: ConfigMap\n\
         ---\n# object/core/ConfigMap/web/b from web/cache.yaml:3\nkind: ConfigMap\n"
    );
}

#[test]
fn a_path_cannot_end_a_comment() {
    let mut bad = step("object/core/ConfigMap/web/a", None, json!({"kind": "ConfigMap"}));
    Arc::make_mut(&mut bad.origin).path = "a\nkind: Evil\n.yaml".into();
    assert!(!yaml(&plan(vec![bad]), Secrets::Masked).contains("\nkind: Evil"));
}

#[test]
fn the_tree_shows_children_below_their_cr_in_the_order_of_numbers() {
    let cr = "object/goop.example.com/Goop/web/run";
    let mut steps = vec![step(cr, None, json!({}))];
    for index in [10, 2, 0] {
        steps.push(step(&format!("object/batch/Job/web/run-{index}"), Some(cr), json!({"i": index})));
    }
    steps.push(step("object/core/ConfigMap/web/a", None, json!({})));
    assert_eq!(
        tree_text(&plan(steps)),
        "web\n\
         ├─ ConfigMap/a    web/cache.yaml:3\n\
         └─ Goop/run       web/cache.yaml:3\n   \
            ├─ Job/run-0\n   \
            ├─ Job/run-2\n   \
            └─ Job/run-10\n"
    );
}

proptest! {
    #[test]
    fn nothing_rendered_contains_a_secret_value(value in "[a-zA-Z0-9]{12,40}", field in prop_oneof![Just("data"), Just("stringData")], malformed: bool) {
        let held = if malformed { json!([value]) } else { json!({"password": value}) };
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {
                "name": "s",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":\"{value}\"}}")},
            },
            field: held,
        });
        let plan = plan(vec![
            step("object/core/Secret/web/s", None, manifest.clone()),
            step("object/core/List/web/l", None, json!({"apiVersion": "v1", "kind": "List", "items": [manifest]})),
        ]);
        prop_assert!(!json(&plan, &[], Secrets::Masked).to_string().contains(&value));
        prop_assert!(!yaml(&plan, Secrets::Masked).contains(&value));
        prop_assert!(!tree_text(&plan).contains(&value));
        prop_assert!(json(&plan, &[], Secrets::Shown).to_string().contains(&value));
    }
}
