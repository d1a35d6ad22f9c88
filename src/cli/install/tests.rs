use std::path::Path;

use clap::Parser;
use serde_json::Value;

use super::{Args, manifests};
use crate::kinds;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn args(given: &[&str]) -> Args {
    Cli::parse_from([&["install"], given].concat()).args
}

fn all(given: &[&str]) -> Vec<Value> {
    let (namespace, rest) = manifests(&args(given));
    std::iter::once(namespace).chain(rest.into_iter().flat_map(|(_, objects)| objects)).collect()
}

fn of<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn deploy_holds_what_install_prints() {
    let (namespace, rest) = manifests(&args(&[]));
    let files = [("00-namespace.yaml", vec![namespace])].into_iter().chain(rest);
    for (file, objects) in files {
        let text: String = objects.iter().map(|object| format!("---\n{}", crate::plan::yaml::text(object))).collect();
        let text =
            format!("# Generated from `windlass install`; UPDATE=1 cargo test deploy_holds rewrites it.\n{text}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("deploy/");
            std::fs::write(&path, &text).expect("written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(there, text, "{} is not what `windlass install` prints: run with UPDATE=1", path.display());
    }
}

#[test]
fn every_kind_of_the_registry_and_all_that_it_writes_but_secrets_is_allowed() {
    let objects = all(&[]);
    let rules = of(&objects, "ClusterRole")["rules"].as_array().expect("rules");
    let allowed = |group: &str, resource: &str, verb: &str| {
        let has = |rule: &Value, field: &str, value: &str| {
            rule[field].as_array().is_some_and(|all| all.iter().any(|each| each == value))
        };
        rules
            .iter()
            .any(|rule| has(rule, "apiGroups", group) && has(rule, "resources", resource) && has(rule, "verbs", verb))
    };
    for kind in kinds::FAMILIES.iter().flat_map(|family| family.kinds) {
        assert!(allowed(kind.group, &format!("{}/status", kind.plural), "patch"), "{}/status", kind.plural);
        let own = [(kind.group, kind.plural)];
        for (group, plural) in own.iter().chain(kind.writes).filter(|writes| **writes != ("", "secrets")) {
            for verb in ["get", "list", "watch", "create", "patch", "delete"] {
                assert!(allowed(group, plural, verb), "{verb} {plural}.{group}");
            }
        }
    }
    assert!(!allowed("", "secrets", "get"), "Secrets of other namespaces are none of its business");
    assert!(!allowed("rbac.authorization.k8s.io", "clusterroles", "patch"), "it may not widen its own rights");
}

#[test]
fn only_cluster_admin_binds_that_role_and_then_no_other_is_made() {
    let objects = all(&["--rights", "cluster-admin"]);
    assert_eq!(of(&objects, "ClusterRoleBinding")["roleRef"]["name"], "cluster-admin");
    assert!(objects.iter().all(|object| object["kind"] != "ClusterRole"));
    assert_eq!(of(&all(&[]), "ClusterRoleBinding")["roleRef"]["name"], "windlass");
}

#[test]
fn image_registry_and_namespace_reach_every_object() {
    let objects = all(&["--image", "agent:7", "--registry", "registry.example.com/team/", "--namespace", "ops"]);
    let container = &of(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/team/agent:7");
    assert_eq!(of(&objects, "Namespace")["metadata"]["name"], "ops");
    for object in &objects {
        let namespace = &object["metadata"]["namespace"];
        assert!(namespace.is_null() || namespace == "ops", "{object}");
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], "ops");
        }
    }
}

#[test]
fn a_namespace_that_kubernetes_would_refuse_is_refused_at_once() {
    for bad in ["", "Upper", "-a", "a-", "a.b", &"a".repeat(64)] {
        assert!(super::namespace(bad).is_err(), "{bad:?}");
    }
    assert_eq!(super::namespace("team-1"), Ok("team-1".to_owned()));
}
