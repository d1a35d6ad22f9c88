//! The published DataService, alone and with all of its configuration files: exactly these objects.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use windlass::declared::{self, Context, Memo};
use windlass::expand;
use windlass::plan::{Plan, StepId, Want};
use windlass::problem::{Code, Problem, Severity};
use windlass::source::Source;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dataservice")
}

pub(crate) fn published() -> String {
    fs::read_to_string(fixture().join("published.yaml")).unwrap()
}

/// The published resource with the folder `config` beside it.
pub(crate) fn with_files() -> String {
    format!("{}\n  configFrom:\n    path: config\n", published())
}

pub(crate) fn copy_config(to: &Path) {
    copy(&fixture().join("config"), &to.join("config"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn plan_of(folder: &Path) -> (Plan, Vec<Problem>) {
    let source = Source::disk(folder, &[]).unwrap();
    let mut snapshot = source.snapshot(&source.fetch().await.unwrap()).await.unwrap();
    let mut memo = Memo::default();
    snapshot.referred = source.referred(&snapshot, declared::references(&snapshot, &mut memo)).await.unwrap();
    let (declared, mut problems) = declared::read(&snapshot, &Context::default(), &mut memo);
    let (plan, more) = expand::expand(&declared);
    problems.extend(more);
    (plan, problems)
}

async fn plan_with(text: &str, change: impl FnOnce(&Path)) -> (Plan, Vec<Problem>) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("ds")).unwrap();
    fs::write(folder.path().join("ds/dataservice.yaml"), text).unwrap();
    if text.contains("configFrom") {
        copy_config(&folder.path().join("ds"));
    }
    change(folder.path());
    plan_of(folder.path()).await
}

fn objects(plan: &Plan) -> Vec<String> {
    let mut ids: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| step.id.object_parts())
        .map(|parts| {
            assert_eq!(parts.namespace, Some("default"));
            format!("{} {}", parts.kind, parts.name)
        })
        .collect();
    ids.sort();
    ids
}

fn object(plan: &Plan, group: &str, kind: &str, name: &str) -> Value {
    let step =
        plan.step(&StepId::object(group, kind, Some("default"), name)).unwrap_or_else(|| panic!("{kind} {name}"));
    step.want.object().unwrap().value()
}

const SERVICES: [&str; 9] =
    ["api-manager", "auth", "ds-adapter", "es-adapter", "trd-adapter", "gateway-master", "gateway-web", "proxy", "web"];

/// The 22 objects, the Secret and the resource itself.
fn alone() -> Vec<String> {
    let mut wanted = vec![
        "DataService dataservice-sample".to_owned(),
        "Secret mysql-dataservice-password".to_owned(),
        "StatefulSet mysql-dataservice".to_owned(),
        "Service mysql-dataservice".to_owned(),
        "Deployment eureka".to_owned(),
        "Service eureka".to_owned(),
    ];
    wanted.extend(SERVICES.iter().flat_map(|name| [format!("Deployment {name}"), format!("Service {name}")]));
    wanted
}

#[tokio::test]
async fn the_published_resource_alone_is_22_objects_a_secret_and_a_check() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dataservice.yaml"), published()).unwrap();
    let (plan, problems) = plan_of(folder.path()).await;
    assert_eq!(problems, []);
    let mut wanted = alone();
    wanted.sort();
    assert_eq!((objects(&plan), wanted.len()), (wanted, 24));
    let checks: Vec<_> = plan.steps.iter().filter(|step| step.id.object_parts().is_none()).collect();
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].id.as_str(), "probe/default/dataservice-sample/uuc");
    let url = "https://id.cosmoplat.com/duc".to_owned();
    assert_eq!(checks[0].want, Want::Probe { method: "HEAD".into(), url, timeout_seconds: 5 });
    let mut ports: Vec<(String, Value, Value)> = Vec::new();
    for name in SERVICES.into_iter().chain(["eureka", "mysql-dataservice"]) {
        let service = object(&plan, "", "Service", name);
        assert_eq!(service["spec"]["selector"], json!({"app": name}));
        assert_eq!(service["spec"]["type"], if name == "web" { "NodePort" } else { "ClusterIP" });
        ports.push((
            name.to_owned(),
            service["spec"]["ports"][0]["port"].clone(),
            service["spec"]["ports"][0]["nodePort"].clone(),
        ));
    }
    let numbers: Vec<i64> = ports.iter().filter_map(|(_, port, _)| port.as_i64()).collect();
    assert_eq!(numbers, [9085, 9081, 9086, 9087, 9088, 9184, 9084, 9094, 80, 8761, 3306]);
    assert_eq!(ports.iter().filter_map(|(_, _, node)| node.as_i64()).collect::<Vec<_>>(), [30180]);
}

#[tokio::test]
async fn with_all_files_it_is_35_objects_a_secret_and_a_check() {
    let (plan, problems) = plan_with(&with_files(), |_| {}).await;
    assert_eq!(problems, []);
    let maps = [
        ("mysql-dataservice", vec!["my.cnf"]),
        (
            "mysql-dataservice-init",
            vec![
                "cosmo_api_manager.sql",
                "cosmo_datasource.sql",
                "cosmo_gateway.sql",
                "cosmo_proxy.sql",
                "sdh_auth.sql",
                "sdh_auth_data.sql",
            ],
        ),
        ("api-manager", vec!["application.yml"]),
        ("auth", vec!["application.properties"]),
        ("ds-adapter", vec!["application.yml"]),
        ("es-adapter", vec!["application.yml"]),
        ("trd-adapter", vec!["application.yml"]),
        ("trd-adapter-py", vec!["pythonScript.py"]),
        ("gateway-master", vec!["application.yml"]),
        ("gateway-web", vec!["application.yml"]),
        ("proxy", vec!["application.yml"]),
        ("web", vec!["app.config.js"]),
        ("web-template", vec!["default.conf.template"]),
    ];
    let mut wanted = alone();
    wanted.extend(maps.iter().map(|(name, _)| format!("ConfigMap {name}")));
    wanted.sort();
    assert_eq!((objects(&plan), wanted.len()), (wanted, 37));
    for (name, keys) in &maps {
        let data = object(&plan, "", "ConfigMap", name)["data"].clone();
        assert_eq!(data.as_object().unwrap().keys().collect::<Vec<_>>(), *keys, "{name}");
        assert!(!data.to_string().contains("{{"), "{name}: {data}");
    }
    let auth = object(&plan, "", "ConfigMap", "auth")["data"]["application.properties"].clone();
    let auth = auth.as_str().unwrap();
    assert!(auth.contains("jdbc:mysql://mysql-dataservice.default.svc:3306/sdh_auth"), "{auth}");
    assert!(auth.contains("password=${MYSQL_PASSWORD}"), "{auth}");
    assert!(auth.contains("http://eureka.default.svc:8761/eureka") && auth.contains("https://id.cosmoplat.com/duc"));
    let trd = object(&plan, "apps", "Deployment", "trd-adapter");
    assert_eq!(
        trd["spec"]["template"]["spec"]["containers"][0]["volumeMounts"],
        json!([
            {"name": "trd-adapter", "mountPath": "/dataservice/adapter/3rd-adapter/config/application.yml", "subPath": "application.yml"},
            {"name": "trd-adapter-py", "mountPath": "/dataservice/adapter/3rd-adapter/config/pythonScript.py", "subPath": "pythonScript.py"},
        ])
    );
    let password = json!({"secretKeyRef": {"name": "mysql-dataservice-password", "key": "password"}});
    assert_eq!(
        trd["spec"]["template"]["spec"]["containers"][0]["env"],
        json!([{"name": "MYSQL_PASSWORD", "valueFrom": password}])
    );
    let web = object(&plan, "apps", "Deployment", "web");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0].get("env"), None, "no file of web's asks for it");
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_told_at_the_field_and_nothing_is_half_done() {
    let path = |text: &str| with_files().replace("path: config", text);
    for (text, break_it, code, says) in [
        (path("path: cofnig"), None, Code::PathMissing, "ds/cofnig"),
        (path("path: ../../etc"), None, Code::InvalidValue, "out of the repository"),
        (path("path: ."), None, Code::InvalidValue, "ds/dataservice.yaml itself"),
        (
            path("path: config"),
            Some(("auht/application.properties", b"a".to_vec())),
            Code::InvalidValue,
            "Did you mean `auth`?",
        ),
        (path("path: config"), Some(("auth/deep/a", b"a".to_vec())), Code::InvalidValue, "auth/deep/a"),
        (path("path: config"), Some(("auth/bytes", vec![0xff, 0xfe])), Code::FileNotText, "auth/bytes"),
        (
            path("path: config"),
            Some(("web/app.config.js", b"{{mysqlPassword}}".to_vec())),
            Code::InvalidValue,
            ".properties",
        ),
        (path("path: config"), Some(("auth/big", vec![b'a'; (1 << 20) + 1])), Code::FileTooLarge, "auth/"),
    ] {
        let (plan, problems) = plan_with(&text, |folder| {
            if let Some((file, bytes)) = break_it {
                let file = folder.join("ds/config").join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, bytes).unwrap();
            }
        })
        .await;
        // Files that nothing refers to are documents, and these are none.
        let of_it = |problem: &&Problem| problem.file.as_deref() == Some("ds/dataservice.yaml");
        let errors: Vec<&Problem> =
            problems.iter().filter(of_it).filter(|problem| problem.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{says}: {problems:?}");
        let error = errors[0];
        assert_eq!((error.code, error.pointer.as_deref()), (code, Some("/spec/configFrom/path")), "{error}");
        assert_eq!((error.file.as_deref(), error.line), (Some("ds/dataservice.yaml"), Some(78)), "{error}");
        assert!(error.message.contains(says), "{error}");
        assert!(plan.steps.is_empty() && !plan.held.owners.is_empty(), "{says}");
    }
}

#[tokio::test]
async fn a_link_out_of_the_tree_is_never_followed() {
    let (plan, problems) = plan_with(&with_files(), |folder| {
        std::os::unix::fs::symlink("/etc/passwd", folder.join("ds/config/auth/passwd")).unwrap();
    })
    .await;
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [Code::LinkLeavesTree], "{problems:?}");
    assert!(plan.steps.is_empty());
}

#[tokio::test]
async fn a_second_one_in_the_namespace_and_a_taken_port_are_problems() {
    let second = published().replace("dataservice-sample", "another");
    let (plan, problems) = plan_with(&published(), |folder| fs::write(folder.join("b.yaml"), &second).unwrap()).await;
    assert!(plan.steps.is_empty());
    let told: Vec<(Code, &str)> =
        problems.iter().map(|problem| (problem.code, problem.file.as_deref().unwrap())).collect();
    assert_eq!(told, [(Code::NameConflict, "b.yaml"), (Code::NameConflict, "ds/dataservice.yaml")]);
    assert!(problems[0].message.contains("and 22 more objects"), "{}", problems[0]);

    let elsewhere = second.replace("name: another", "name: another\n  namespace: other");
    let (_, problems) = plan_with(&published(), |folder| fs::write(folder.join("b.yaml"), &elsewhere).unwrap()).await;
    let told: Vec<Code> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(told, [Code::PortTaken, Code::PortTaken]);
    assert!(problems[0].message.contains("30180/TCP"), "{}", problems[0]);
}

#[tokio::test]
async fn a_literal_password_is_warned_of_and_stands_in_the_secret_alone() {
    let text = with_files().replacen(
        "    kind: 1\n    thirdParty:\n",
        "    kind: 3\n    thirdParty: {url: 'mysql://db.example.com:3306', username: ds, password: hunter2}\n",
        1,
    );
    let (plan, problems) = plan_with(&text, |_| {}).await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].code, problems[0].severity), (Code::SecretInGit, Severity::Warning));
    assert_eq!(problems[0].pointer.as_deref(), Some("/spec/mysql/thirdParty/password"));
    let holders: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.want.object().is_some_and(|object| object.text().contains("hunter2")))
        .map(|step| step.id.as_str())
        .collect();
    assert_eq!(holders, ["object/core/Secret/default/mysql-dataservice-password"]);
    assert!(!format!("{problems:?}{plan:?}").contains("hunter2"));
    let probe = plan.step(&StepId::probe("default", "dataservice-sample", "mysql")).unwrap();
    let url = "tcp://db.example.com:3306".to_owned();
    assert_eq!(probe.want, Want::Probe { method: "TCP".into(), url, timeout_seconds: 5 });
    let auth = object(&plan, "", "ConfigMap", "auth").to_string();
    assert!(auth.contains("jdbc:mysql://db.example.com:3306/sdh_auth") && auth.contains("username=ds"), "{auth}");
}

#[tokio::test]
async fn changed_middleware_rolls_exactly_the_services_whose_configuration_changed() {
    let hashes = |plan: &Plan| -> Vec<(String, Value)> {
        let workloads = plan.steps.iter().filter(|step| {
            step.id.object_parts().is_some_and(|parts| matches!(parts.kind, "Deployment" | "StatefulSet"))
        });
        workloads
            .map(|step| (step.id.to_string(), step.want.object().unwrap().value()["spec"]["template"].clone()))
            .collect()
    };
    let (before, _) = plan_with(&with_files(), |_| {}).await;
    let changed = |after: &Plan| -> Vec<String> {
        let (before, after) = (hashes(&before), hashes(after));
        let mut names: Vec<String> = after
            .into_iter()
            .filter(|one| !before.contains(one))
            .map(|(id, _)| id.rsplit('/').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let (other_uuc, _) = plan_with(&with_files().replace("url: https://id", "url: https://login"), |_| {}).await;
    assert_eq!(changed(&other_uuc), ["auth", "web"]);
    let third_party = "    kind: 3\n    thirdParty: {url: 'http://eureka.example.com:8761'}\n  api-manager:\n";
    let text = with_files().replace("    kind: 0\n    thirdParty:\n  api-manager:\n", third_party);
    let (other_eureka, problems) = plan_with(&text, |_| {}).await;
    assert_eq!(problems, []);
    let most =
        ["api-manager", "auth", "ds-adapter", "es-adapter", "gateway-master", "gateway-web", "proxy", "trd-adapter"];
    assert_eq!(changed(&other_eureka), most);
    let (init, _) = plan_with(&with_files(), |folder| {
        fs::write(folder.join("ds/config/mysql-dataservice-init/sdh_auth.sql"), "SELECT 1;").unwrap();
    })
    .await;
    assert_eq!(changed(&init), Vec::<String>::new(), "what is read at the first start only rolls nothing");
}

#[test]
fn a_folder_gets_a_generated_password_once_and_shows_it_nowhere_else() {
    use crate::support::git_repo::GitRepo;
    use crate::support::windlass::Windlass;
    use std::os::unix::fs::PermissionsExt as _;
    let own = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: mine\n  annotations: {windlass.dev/generate: password}\nstringData: {token: '', user: me}\n";
    let repo = GitRepo::with(&[("ds.yaml", &published()), ("mine.yaml", own)]);
    let windlass = Windlass::new();
    let out = windlass.home().join("out");
    let target = format!("dir:{}", out.display());
    let args =
        ["agent", "--source", repo.path().to_str().unwrap(), "--target", &target, "--once", "--log-level", "trace"];
    let first = windlass.run(&args);
    assert_eq!(first.code, 0, "{first:?}");
    let read = |name: &str| fs::read_to_string(out.join("default").join(format!("secret-{name}.yaml"))).unwrap();
    let value = |text: &str, key: &str| -> String {
        text.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: "))).unwrap().to_owned()
    };
    let (made, mine) = (read("mysql-dataservice-password"), read("mine"));
    let (password, token) = (value(&made, "password"), value(&mine, "token"));
    assert!(password.len() >= 24 && token.len() >= 24 && password != token, "{made}{mine}");
    assert_eq!(value(&mine, "user"), "me");
    let mode = fs::metadata(out.join("default/secret-mine.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    repo.write("mine.yaml", &own.replace("user: me", "user: you")).commit("another user");
    let second = windlass.run(&args);
    let third = windlass.run(&args);
    assert_eq!(read("mysql-dataservice-password"), made);
    assert_eq!((value(&read("mine"), "token"), value(&read("mine"), "user")), (token.clone(), "you".to_owned()));
    for ran in [&first, &second, &third] {
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!shown.contains(&password) && !shown.contains(&token), "{shown}");
    }
    let rendered = windlass.run(&["render", repo.path().to_str().unwrap(), "-o", "json", "--show-secrets"]);
    assert!(!rendered.stdout.contains(&password));
}
