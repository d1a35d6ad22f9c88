//! Tests of the family.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::kinds::{ChildState, Cr, Expansion, Files, StatusInput};
use crate::plan::{State, StepId};
use crate::problem::Code;

fn service(name: &str, port: i32) -> Value {
    json!({"name": name, "image": format!("registry.local/{name}:1"), "port": port, "replica": 1})
}

fn manifest(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "mysql": {"name": "mysql-dataservice", "kind": 1},
        "uuc": {"name": "uuc", "kind": 3, "thirdParty": {"url": "https://id.example.com/duc"}},
        "eureka": {"name": "eureka", "kind": 0},
    });
    for (at, name) in ["api-manager", "auth", "ds-adapter", "es-adapter", "trd-adapter"].iter().enumerate() {
        spec[*name] = service(name, 9081 + i32::try_from(at).unwrap());
    }
    for (name, port) in [("gateway-master", 9184), ("gateway-web", 9084), ("proxy", 9094), ("web", 80)] {
        spec[name] = service(name, port);
    }
    change(&mut spec);
    json!({
        "apiVersion": "d3os-product.com.d3os/v1", "kind": "DataService",
        "metadata": {"name": "one", "namespace": "shop"}, "spec": spec,
    })
}

fn told(change: impl FnOnce(&mut Value)) -> Vec<(Severity, Code, String)> {
    check(&manifest(change)).into_iter().map(|problem| (problem.severity, problem.code, problem.pointer)).collect()
}

fn expanded(manifest: &Value, files: &[(&str, &str)]) -> Expansion {
    let below: BTreeMap<String, Arc<[u8]>> =
        files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(text.as_bytes()))).collect();
    let files = Files::from([(configuration::POINTER, below)]);
    let mut cr = Cr::new("one", "shop", manifest);
    cr.files = &files;
    (FAMILY.kinds[0].expand)(&cr)
}

fn objects(expansion: &Expansion) -> BTreeMap<String, Value> {
    let objects = expansion.children.iter().filter_map(|child| child.want.object());
    objects.map(|object| (object.id().to_string(), object.value())).collect()
}

fn needs(expansion: &Expansion, of: &str) -> Vec<String> {
    let child = expansion
        .children
        .iter()
        .find(|child| child.want.object().is_some_and(|object| object.id().as_str() == of))
        .unwrap_or_else(|| panic!("{of}"));
    let mut needs: Vec<String> = child.needs.iter().map(ToString::to_string).collect();
    needs.sort();
    needs
}

#[test]
fn services_wait_only_for_what_they_need_and_middleware_for_one_another() {
    let expansion = expanded(&manifest(|_| {}), &[("auth/application.properties", "a=1")]);
    assert_eq!(expansion.problems, []);
    let mysql = "object/apps/StatefulSet/shop/mysql-dataservice";
    let (uuc, eureka) = ("probe/shop/one/uuc", "object/apps/Deployment/shop/eureka");
    assert_eq!(needs(&expansion, mysql), Vec::<String>::new());
    assert_eq!(needs(&expansion, eureka), [mysql, uuc], "a probe is not remembered, so what is behind it is");
    assert_eq!(needs(&expansion, "object/core/Service/shop/eureka"), [mysql, uuc], "nothing of it is there before");
    assert_eq!(needs(&expansion, "object/apps/Deployment/shop/proxy"), [eureka, mysql]);
    for of in ["object/apps/Deployment/shop/auth", "object/core/ConfigMap/shop/auth", "object/core/Service/shop/auth"] {
        assert_eq!(needs(&expansion, of), [eureka, mysql, uuc]);
    }
    let (proxy, gateway) = ("object/apps/Deployment/shop/proxy", "object/apps/Deployment/shop/gateway-master");
    assert_eq!(needs(&expansion, "object/apps/Deployment/shop/web"), [gateway, proxy, mysql, uuc]);
    let probe = expansion.children.iter().find(|child| child.id == Some(StepId::from_text(uuc))).unwrap();
    assert_eq!(probe.needs, [StepId::from_text(mysql)]);
}

#[test]
fn every_middleware_system_runs_as_every_kind() {
    for (kind, name) in [(0, "Deployment"), (1, "StatefulSet"), (2, "DaemonSet")] {
        let manifest = manifest(|spec| {
            spec["mysql"]["kind"] = kind.into();
            spec["uuc"] = json!({"name": "uuc", "kind": kind, "image": "registry.local/uuc:1", "port": 8080});
            spec["eureka"]["kind"] = kind.into();
        });
        let errors: Vec<_> =
            check(&manifest).into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert_eq!(errors, []);
        let objects = objects(&expanded(&manifest, &[("web/app.config.js", "{{uucUrl}}")]));
        for part in ["mysql-dataservice", "uuc", "eureka"] {
            let workload = &objects[&format!("object/apps/{name}/shop/{part}")];
            assert_eq!(workload["spec"]["selector"]["matchLabels"], json!({"app": part}));
            assert_eq!(workload["metadata"]["labels"], json!({"app": part, "dataservice": "one"}));
            assert!(objects.contains_key(&format!("object/core/Service/shop/{part}")));
        }
        let claim = objects.contains_key("object/core/PersistentVolumeClaim/shop/mysql-dataservice");
        assert_eq!(claim, name == "Deployment");
        let web = &objects["object/core/ConfigMap/shop/web"];
        assert_eq!(web["data"]["app.config.js"], "http://uuc.shop.svc:8080");
    }
    let third = |field: &str, name: &str| json!({"name": name, "kind": 3, "thirdParty": {"url": format!("http://{field}.example.com")}});
    let manifest = manifest(|spec| {
        spec["mysql"] =
            json!({"name": "mysql-dataservice", "kind": 3, "thirdParty": {"url": "mysql://db.example.com:3306"}});
        spec["eureka"] = third("eureka", "eureka");
    });
    assert_eq!(check(&manifest), []);
    let expansion = expanded(&manifest, &[]);
    let probes: Vec<_> = expansion.children.iter().filter_map(|child| child.id.clone()).collect();
    let wanted = ["mysql", "uuc", "eureka"].map(|field| StepId::probe("shop", "one", field));
    assert_eq!(probes, wanted);
    assert_eq!(objects(&expansion).len(), 18, "nine services and nothing else");
}

#[test]
fn eureka_may_be_described_as_a_service() {
    let as_service =
        json!({"name": "eureka", "image": "registry.local/eureka:2", "port": 8762, "replica": 2, "nodePort": 30161});
    let manifest = manifest(|spec| spec["eureka"] = as_service.clone());
    assert_eq!(check(&manifest), []);
    let objects = objects(&expanded(&manifest, &[]));
    let eureka = &objects["object/apps/Deployment/shop/eureka"];
    assert_eq!(
        (&eureka["spec"]["replicas"], &eureka["spec"]["template"]["spec"]["containers"][0]["image"]),
        (&json!(2), &json!("registry.local/eureka:2"))
    );
    let ports = &objects["object/core/Service/shop/eureka"]["spec"]["ports"];
    assert_eq!(
        ports,
        &json!([{"name": "http", "port": 8762, "targetPort": 8762, "protocol": "TCP", "nodePort": 30161}])
    );
    let missing = told(|spec| spec["eureka"] = json!({"name": "eureka", "image": "a:1"}));
    let required = |field: &str| (Severity::Error, Code::MissingField, format!("/spec/eureka/{field}"));
    assert_eq!(missing, [required("port"), required("replica")]);
}

#[test]
fn what_is_wrong_is_told_at_its_field_and_what_has_no_effect_too() {
    let error = |code, pointer: &str| (Severity::Error, code, pointer.to_owned());
    let warning = |code, pointer: &str| (Severity::Warning, code, pointer.to_owned());
    let one = |set: &dyn Fn(&mut Value), wanted: (Severity, Code, String)| assert_eq!(told(|spec| set(spec)), [wanted]);
    one(&|s| s["auth"]["name"] = "aut".into(), error(Code::InvalidValue, "/spec/auth/name"));
    one(&|s| s["autth"] = json!({}), error(Code::UnknownField, "/spec/autth"));
    one(&|s| s["mysql"]["kind"] = 4.into(), error(Code::InvalidValue, "/spec/mysql/kind"));
    one(&|s| s["mysql"]["replica"] = 2.into(), error(Code::InvalidValue, "/spec/mysql/replica"));
    one(
        &|s| s["uuc"]["thirdParty"]["url"] = "id.example.com".into(),
        error(Code::InvalidValue, "/spec/uuc/thirdParty/url"),
    );
    one(
        &|s| s["uuc"]["thirdParty"]["url"] = "https://u:hunter2@id".into(),
        error(Code::SecretInGit, "/spec/uuc/thirdParty/url"),
    );
    one(
        &|s| s["uuc"]["thirdParty"]["checkCMD"] = "rm -rf /".into(),
        error(Code::InvalidValue, "/spec/uuc/thirdParty/checkCMD"),
    );
    one(
        &|s| s["uuc"]["thirdParty"]["checkCMD"] = "curl http://169.254.169.254/".into(),
        error(Code::InvalidValue, "/spec/uuc/thirdParty/checkCMD"),
    );
    one(
        &|s| _ = s["uuc"].as_object_mut().unwrap().remove("thirdParty"),
        error(Code::MissingField, "/spec/uuc/thirdParty"),
    );
    one(&|s| _ = s["auth"].as_object_mut().unwrap().remove("port"), error(Code::MissingField, "/spec/auth/port"));
    one(
        &|s| s["auth"]["env"] = json!({"MYSQL_PASSWORD": "x"}),
        error(Code::SecretInGit, "/spec/auth/env/MYSQL_PASSWORD"),
    );
    one(&|s| s["auth"]["env"] = json!({"a=b": "x"}), error(Code::InvalidValue, "/spec/auth/env/a=b"));
    one(
        &|s| s["auth"]["ports"] = json!([{"name": "http", "port": 1}]),
        error(Code::InvalidValue, "/spec/auth/ports/0/name"),
    );
    one(
        &|s| s["auth"]["ports"] = json!([{"name": "UP", "port": 1}]),
        error(Code::InvalidValue, "/spec/auth/ports/0/name"),
    );
    one(
        &|s| s["auth"]["ports"] = json!([{"name": "a", "port": 9082}]),
        error(Code::InvalidValue, "/spec/auth/ports/0/port"),
    );
    one(&|s| s["auth"]["nodePort"] = 80.into(), warning(Code::InvalidValue, "/spec/auth/nodePort"));
    one(&|s| s["mysql"]["storage"] = json!({"size": "much"}), error(Code::InvalidValue, "/spec/mysql/storage/size"));
    one(&|s| s["eureka"]["storage"] = json!({}), warning(Code::InvalidValue, "/spec/eureka/storage"));
    one(&|s| s["uuc"]["image"] = "a:1".into(), warning(Code::InvalidValue, "/spec/uuc/image"));
    one(
        &|s| s["eureka"]["thirdParty"] = json!({"url": "http://e"}),
        warning(Code::InvalidValue, "/spec/eureka/thirdParty"),
    );
    assert_eq!(
        told(|spec| {
            spec["auth"]["nodePort"] = 30_001.into();
            spec["web"]["nodePort"] = 30_001.into();
        }),
        [error(Code::PortTaken, "/spec/web/nodePort")]
    );
    let messages: String = check(&manifest(|s| s["uuc"]["thirdParty"]["url"] = "https://u:hunter2@id".into()))
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert!(!messages.contains("hunter2"));
}

#[test]
fn ports_beside_the_port_and_the_environment_in_its_order() {
    let manifest = manifest(|spec| {
        spec["proxy"]["ports"] = json!([{"name": "admin", "port": 9095, "nodePort": 30095}]);
        spec["proxy"]["env"] = json!({"b": "2", "a": "1"});
    });
    assert_eq!(check(&manifest), []);
    let objects = objects(&expanded(&manifest, &[("proxy/application.yml", "password: {{mysqlPassword}}")]));
    let container = &objects["object/apps/Deployment/shop/proxy"]["spec"]["template"]["spec"]["containers"][0];
    let names: Vec<&Value> = container["env"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["MYSQL_PASSWORD", "a", "b"]);
    assert_eq!(container["ports"].as_array().unwrap().len(), 2);
    let service = &objects["object/core/Service/shop/proxy"]["spec"];
    assert_eq!((&service["type"], &service["ports"][1]["nodePort"]), (&json!("NodePort"), &json!(30095)));
}

#[test]
fn a_password_is_generated_named_or_moved_and_never_shown() {
    let secret = "object/core/Secret/shop/mysql-dataservice-password";
    let expansion = expanded(&manifest(|_| {}), &[]);
    let generated = &objects(&expansion)[secret];
    assert_eq!(generated["metadata"]["annotations"], json!({"windlass.dev/generate": "password"}));
    assert_eq!(generated["stringData"], json!({"password": ""}));
    let child = expansion.children.iter().find(|child| !child.policy.claims.is_empty()).unwrap();
    assert_eq!(child.policy.claims, ["data-mysql-dataservice-0"]);
    let named = manifest(|spec| spec["mysql"]["passwordFrom"] = json!({"name": "db", "key": "root"}));
    let objects = objects(&expanded(&named, &[]));
    assert!(!objects.contains_key(secret));
    let env =
        &objects["object/apps/StatefulSet/shop/mysql-dataservice"]["spec"]["template"]["spec"]["containers"][0]["env"];
    let root = env.as_array().unwrap().iter().find(|one| one["name"] == "MYSQL_ROOT_PASSWORD").unwrap();
    assert_eq!(root["valueFrom"], json!({"secretKeyRef": {"name": "db", "key": "root"}}));
    // A third party's password that nobody named cannot be asked for.
    let unknown = manifest(|spec| {
        spec["mysql"] = json!({"name": "mysql-dataservice", "kind": 3, "thirdParty": {"url": "mysql://db:3306"}});
    });
    let problems = expanded(&unknown, &[("proxy/application.yml", "{{mysqlPassword}}")]).problems;
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::MissingField]);
}

/// Every part up, but for those named.
fn status_with(down: &[(&str, State, &str)]) -> Value {
    let manifest = manifest(|_| {});
    let expansion = expanded(&manifest, &[]);
    let children: Vec<ChildState> = expansion
        .children
        .iter()
        .map(|child| child.id.clone().or_else(|| child.want.object().map(|object| object.id())).unwrap())
        .map(|id| {
            let found = down.iter().find(|(wanted, ..)| id.as_str().ends_with(wanted));
            let (state, message) = found.map_or((State::Ready, ""), |(_, state, message)| (*state, *message));
            ChildState { id, state, reason: format!("{state:?}"), message: message.to_owned() }
        })
        .collect();
    let input = StatusInput {
        cr: Cr::new("one", "shop", &manifest),
        generation: Some(2),
        previous: None,
        children: &children,
        now: "2026-01-01T00:00:00Z",
    };
    (FAMILY.kinds[0].status)(&input).unwrap()
}

fn condition<'a>(status: &'a Value, kind: &str) -> (&'a str, &'a str) {
    let all = status["conditions"].as_array().unwrap();
    let one = all.iter().find(|one| one["type"] == kind).unwrap();
    (one["status"].as_str().unwrap(), one["message"].as_str().unwrap())
}

#[test]
fn phase_and_chain_say_how_far_it_is_and_go_back_when_something_goes_down() {
    let up = status_with(&[]);
    assert_eq!(up["phase"], "web已部署");
    assert_eq!(
        up["message"],
        "mysql->uuc->eureka->api-manager->auth->ds-adapter->es-adapter->trd-adapter->gateway-master->gateway-web->proxy->[web]"
    );
    assert_eq!(condition(&up, "Ready").0, "True");
    assert_eq!(up["observedGeneration"], 2);
    let (configured, message) = condition(&up, "Configured");
    assert_eq!(
        (configured, message.starts_with("The services have no configuration files")),
        ("False", true),
        "{message}"
    );

    let held = status_with(&[
        ("one/uuc", State::Progressing, "HEAD https://id.example.com/duc: answered 503"),
        ("shop/eureka", State::Waiting, "waits for uuc"),
        ("shop/auth", State::Waiting, "waits for uuc"),
    ]);
    assert_eq!(held["phase"], "mysql已部署");
    assert!(held["message"].as_str().unwrap().starts_with("[mysql]->uuc->eureka"), "{held}");
    let (ready, why) = condition(&held, "Ready");
    assert_eq!(ready, "False");
    assert_eq!(why, "uuc: HEAD https://id.example.com/duc: answered 503. 2 other parts are not up either.");
    assert_eq!((condition(&held, "Progressing").0, condition(&held, "Degraded").0), ("True", "False"));

    let none = status_with(&[("StatefulSet/shop/mysql-dataservice", State::Failed, "no volume")]);
    assert_eq!(none["phase"], "等待部署");
    assert_eq!(condition(&none, "Degraded"), ("True", "mysql: no volume."));
    let folder = status_with(&[("one/uuc", State::Pending, "nothing asks")]);
    assert_eq!(folder["phase"], "web已部署", "where nothing can ask, it blocks nothing");
}

/// Fields that change nothing but the resource itself, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("/name", "each has one allowed value"),
    ("/thirdParty/custom", "notes of the user, which the published kind reads nowhere either"),
];

#[test]
fn every_field_changes_the_plan_or_is_named_with_its_reason() {
    let base = |spec: &mut Value| {
        spec["mysql"]["storage"] = json!({"size": "1Gi", "storageClassName": "a", "retention": "Retain"});
        spec["mysql"]["passwordFrom"] = json!({"name": "a", "key": "a"});
        spec["mysql"]["env"] = json!({"A": "1"});
        spec["mysql"]["image"] = "a:1".into();
        spec["mysql"]["port"] = 3306.into();
        spec["mysql"]["nodePort"] = 30000.into();
        spec["uuc"]["thirdParty"] = json!({"url": "https://a/", "checkCMD": "curl https://a/"});
        spec["eureka"]["replica"] = 1.into();
        spec["auth"]["nodePort"] = 30001.into();
        spec["auth"]["env"] = json!({"A": "1"});
        spec["auth"]["ports"] = json!([{"name": "a", "port": 1, "nodePort": 30002}]);
    };
    let third = |spec: &mut Value| {
        spec["mysql"] = json!({"name": "mysql-dataservice", "kind": 3, "thirdParty":
            {"url": "mysql://a:1", "checkCMD": "nc -z a 1", "username": "a", "password": "a", "custom": {"a": "a"}}});
    };
    let files = [
        ("auth/application.properties", "{{mysqlUrl}} {{mysqlUsername}} {{mysqlPassword}} {{eurekaUrl}} {{uucUrl}}"),
        ("web/app.config.js", "{{uucUrl}}"),
    ];
    let plan = |spec: &Value| expanded(&manifest(|all| *all = spec.clone()), &files).children;
    let mut tried = 0;
    for set in [&base as &dyn Fn(&mut Value), &third] {
        let before = manifest(|spec| set(spec))["spec"].clone();
        for pointer in leaves(&before, "") {
            let mut after = before.clone();
            let value = after.pointer_mut(&pointer).unwrap();
            *value = other(&pointer, value);
            let excepted =
                WITHOUT_EFFECT.iter().any(|(part, _)| pointer.contains(part) && !pointer.contains("/ports/"))
                    && !pointer.contains("passwordFrom");
            assert_eq!(plan(&before) == plan(&after), excepted, "{pointer}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    let schema = SCHEMA.pointer("/properties/spec/properties").unwrap();
    let known = |field: &str, more: &[&str]| {
        let fields = schema[field]["properties"].as_object().unwrap();
        assert_eq!(
            fields.keys().filter(|name| !more.contains(&name.as_str())).count(),
            0,
            "a field that no test changes"
        );
    };
    known("auth", &["name", "image", "port", "ports", "replica", "nodePort", "env"]);
    known(
        "mysql",
        &["name", "kind", "thirdParty", "image", "port", "replica", "nodePort", "env", "storage", "passwordFrom"],
    );
}

fn leaves(value: &Value, pointer: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| leaves(value, &format!("{pointer}/{key}"))).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(at, value)| leaves(value, &format!("{pointer}/{at}"))).collect()
        }
        _ => vec![pointer.to_owned()],
    }
}

/// Another value that the field may have.
fn other(pointer: &str, value: &Value) -> Value {
    match pointer {
        "/mysql/storage/retention" => "Delete".into(),
        "/mysql/storage/size" => "2Gi".into(),
        "/uuc/kind" => 0.into(),
        "/mysql/kind" => (if value == 3 { 1 } else { 0 }).into(),
        "/uuc/thirdParty/checkCMD" => "curl https://b/".into(),
        "/mysql/thirdParty/checkCMD" => "nc -z b 1".into(),
        "/mysql/thirdParty/url" => "mysql://b:1".into(),
        "/uuc/thirdParty/url" => "https://b/".into(),
        _ => match value {
            Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
            value => format!("{}b", value.as_str().unwrap()).into(),
        },
    }
}
