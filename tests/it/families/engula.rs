//! Engula's acceptance example: exactly these objects in this order, and what must not be.

use std::collections::BTreeMap;

use windlass::plan::render::{self, Secrets};
use windlass::plan::{Plan, StepId};
use windlass::problem::Code;

use super::plan;

const SAMPLE: &str = include_str!("engula_cluster.yaml");

fn sample(text: &str) -> Plan {
    let (plan, problems) = plan([("cluster.yaml", text.as_bytes())]);
    assert_eq!(problems, []);
    plan
}

#[test]
fn the_example_is_these_fifteen_objects_and_itself() {
    assert!(!SAMPLE.ends_with('\n'), "as published");
    let found: Vec<String> = sample(SAMPLE).steps.iter().map(|step| step.id.to_string()).collect();
    let group = "object/cluster.engula.io";
    let rbac = "object/rbac.authorization.k8s.io";
    let mut wanted = vec![
        format!("{group}/Cluster/t2/cluster-sample"),
        "object/core/ServiceAccount/t2/cluster-sample-sa".to_owned(),
        format!("{rbac}/Role/t2/cluster-sample-role"),
        format!("{rbac}/RoleBinding/t2/cluster-sample-binding"),
    ];
    for (kind, name) in [("Engine", "engine"), ("Journal", "journal"), ("Kernel", "kernel"), ("Storage", "storage")] {
        wanted.push(format!("{group}/{kind}/t2/cluster-sample-{name}"));
        wanted.push(format!("object/core/Service/t2/cluster-sample-{name}"));
        wanted.push(format!("object/apps/StatefulSet/t2/cluster-sample-{name}"));
    }
    wanted.sort();
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(sorted, wanted);
    assert_eq!(found.len(), 16);
}

#[test]
fn the_example_as_yaml() {
    insta::assert_snapshot!("engula_cluster_yaml", render::yaml(&sample(SAMPLE), Secrets::Masked));
}

#[test]
fn only_stateful_sets_wait_for_other_components() {
    let plan = sample(SAMPLE);
    let set = |name: &str| format!("object/apps/StatefulSet/t2/cluster-sample-{name}");
    let sets: BTreeMap<String, Vec<String>> = plan
        .steps
        .iter()
        .map(|step| {
            let needs = step.needs.iter().map(ToString::to_string).filter(|need| need.contains("/StatefulSet/"));
            (step.id.to_string(), needs.collect())
        })
        .filter(|(_, needs): &(String, Vec<String>)| !needs.is_empty())
        .collect();
    assert_eq!(
        sets,
        BTreeMap::from([(set("kernel"), vec![set("journal"), set("storage")]), (set("engine"), vec![set("kernel")]),])
    );
    let needs = &plan.step(&StepId::from_text(set("journal"))).unwrap().needs;
    let needs: Vec<&str> = needs.iter().map(StepId::as_str).collect();
    assert_eq!(
        needs,
        [
            "object/core/Service/t2/cluster-sample-journal",
            "object/core/ServiceAccount/t2/cluster-sample-sa",
            "object/rbac.authorization.k8s.io/RoleBinding/t2/cluster-sample-binding",
        ]
    );
}

/// Ids of the steps that differ between two plans.
fn changed(before: &Plan, after: &Plan) -> Vec<String> {
    let hashes = |plan: &Plan| -> BTreeMap<String, String> {
        plan.steps.iter().map(|step| (step.id.to_string(), step.hash.clone())).collect()
    };
    let (before, after) = (hashes(before), hashes(after));
    assert_eq!(before.len(), after.len());
    before.into_iter().filter(|(id, hash)| after.get(id) != Some(hash)).map(|(id, _)| id).collect()
}

#[test]
fn a_change_of_one_component_changes_its_stateful_set_and_no_other_object() {
    let before = sample(SAMPLE);
    let expected = |kind: &str, name: &str| {
        [
            format!("object/apps/StatefulSet/t2/cluster-sample-{name}"),
            "object/cluster.engula.io/Cluster/t2/cluster-sample".to_owned(),
            format!("object/cluster.engula.io/{kind}/t2/cluster-sample-{name}"),
        ]
    };
    let more = SAMPLE.replacen("  journal:\n    replicas: 1", "  journal:\n    replicas: 2", 1);
    assert_eq!(changed(&before, &sample(&more)), expected("Journal", "journal"));
    let image = SAMPLE.replacen("    image: null", "    image: {name: \"engula:1.0\"}", 1);
    assert_eq!(changed(&before, &sample(&image)), expected("Storage", "storage"));
}

#[test]
fn a_plan_without_a_component_has_nothing_of_it_and_the_rest_goes_on() {
    let (start, end) = (SAMPLE.find("  journal:").unwrap(), SAMPLE.find("  kernel:").unwrap());
    let plan = sample(&format!("{}{}", &SAMPLE[..start], &SAMPLE[end..]));
    assert_eq!(plan.steps.len(), 13);
    assert!(!plan.steps.iter().any(|step| step.id.as_str().ends_with("-journal")));
}

#[test]
fn what_the_original_crashed_on_is_a_problem_with_its_line() {
    for (from, to, code, line) in [
        ("  kernel:\n    replicas: 1", "  kernel:\n    replicas: 0", Code::InvalidValue, Some(37)),
        (
            "  image:\n    name: uhub.service.ucloud.cn/zojw/engula:0.9\n    pullPolicy: Always\n  background:",
            "  background:",
            Code::MissingField,
            None,
        ),
        ("      source:\n", "      source: {claimName: mine}\n", Code::InvalidValue, Some(17)),
    ] {
        let text = SAMPLE.replacen(from, to, 1);
        assert_ne!(text, SAMPLE, "{from}");
        let (plan, problems) = plan([("cluster.yaml", text.as_bytes())]);
        assert_eq!(plan.steps.len(), 0, "{to}");
        assert!(problems.iter().all(|problem| problem.code == code), "{problems:?}");
        if line.is_some() {
            assert_eq!((problems.len(), problems[0].line), (1, line), "{problems:?}");
        }
    }
}

#[test]
fn a_component_without_fields_as_the_samples_have_it_is_told_what_it_lacks() {
    for kind in ["Background", "Engine", "Journal", "Kernel", "Storage"] {
        let text = format!("apiVersion: cluster.engula.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: sample\nspec:\n");
        let (plan, problems) = plan([("sample.yaml", text.as_bytes())]);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["sample.yaml:5:1: MissingField: `spec` is required."], "{kind}");
        assert_eq!(plan.steps.len(), 0);
    }
}
