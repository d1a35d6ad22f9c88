//! A DataService on a real API server with real controllers: its order, its gates, its password, its end.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::dataservice::{copy_config, with_files};
use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

const SPACE: &str = "shop";
const SERVICES: [&str; 9] =
    ["api-manager", "auth", "ds-adapter", "es-adapter", "gateway-master", "gateway-web", "proxy", "trd-adapter", "web"];

/// A user centre that is up or down.
fn user_centre() -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 1024];
            _ = stream.read(&mut bytes);
            let status = if is_up.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" };
            _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, up)
}

struct Shop {
    plane: ControlPlane,
    /// Between the agent and the API server; it sees what is written, in order.
    proxy: Proxy,
    windlass: Windlass,
    agent: Option<Process>,
    repo: GitRepo,
    text: String,
}

impl Shop {
    fn new(centre: &str) -> Self {
        let plane = own_control_plane();
        let proxy = Proxy::start(&plane);
        let windlass = Windlass::on(&proxy.kubeconfig(&plane));
        let repo = GitRepo::new();
        repo.write("keep.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: keep\n");
        copy_config(&repo.path().join("ds"));
        let text = with_files().replace("https://id.cosmoplat.com/duc", &format!("http://{centre}/duc")).replace(
            "    name: mysql-dataservice\n",
            "    name: mysql-dataservice\n    image: mysql.invalid/mysql:8\n",
        );
        repo.write("ds/dataservice.yaml", &text).commit("first");
        plane.kubectl(&["create", "namespace", SPACE]);
        let mut shop = Self { plane, proxy, windlass, agent: None, repo, text };
        shop.restart();
        let sync = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": { "name": "platform", "namespace": SPACE },
            "spec": { "source": { "url": shop.repo.path(), "interval": "1s" }, "targetNamespace": SPACE },
        });
        let file = shop.windlass.home().join("sync.json");
        std::fs::write(&file, sync.to_string()).unwrap();
        shop.plane.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        shop
    }

    fn restart(&mut self) {
        drop(self.agent.take());
        let mut agent = self.windlass.start(&["agent", "--listen", "127.0.0.1:0"]);
        Windlass::await_output(&mut agent, "dashboard listens");
        self.agent = Some(agent);
    }

    fn change(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from}");
        self.text = self.text.replace(from, to);
        self.repo.write("ds/dataservice.yaml", &self.text).commit("change");
    }

    fn get(&self, what: &str, path: &str) -> String {
        let mut command = self.plane.kubectl_command();
        command.args(["get", what, "-n", SPACE, "--ignore-not-found", "-o", &format!("jsonpath={path}")]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    fn condition(&self, kind: &str, field: &str) -> String {
        self.get("dataservice/dataservice-sample", &format!("{{.status.conditions[?(@.type==\"{kind}\")].{field}}}"))
    }

    fn phase(&self) -> String {
        self.get("dataservice/dataservice-sample", "{.status.phase}")
    }

    fn until(&self, what: &str, check: impl Fn(&Self) -> bool) {
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until_blocking(what, || check(self).then_some(()));
        }));
        if waited.is_err() {
            let of = |what: &str| self.get(what, "{range .items[*]}{.metadata.name} {.status}{\"\\n\"}{end}");
            panic!("still waiting: {what}\n{}\n{}", of("dataservices"), of("gitsyncs"));
        }
    }

    fn names(&self, kind: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.get(kind, "{.items[*].metadata.name}").split_whitespace().map(str::to_owned).collect();
        names.retain(|name| name != "kube-root-ca.crt" && name != "keep" && !name.starts_with("windlass-"));
        names.sort();
        names
    }

    /// Generation of every Deployment and of the StatefulSet.
    fn generations(&self) -> BTreeMap<String, String> {
        let text =
            self.get("deployments,statefulsets", "{range .items[*]}{.metadata.name}={.metadata.generation} {end}");
        text.split_whitespace()
            .filter_map(|one| one.split_once('='))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }

    fn changed_since(&self, before: &BTreeMap<String, String>) -> Vec<String> {
        self.generations()
            .into_iter()
            .filter(|(name, now)| before.get(name) != Some(now))
            .map(|(name, _)| name)
            .collect()
    }

    fn password(&self) -> String {
        self.get("secret/mysql-dataservice-password", "{.data.password}")
    }

    fn annotate_pod(&self, app: &str, annotation: &str) {
        let pods = format!("app={app}");
        self.plane.kubectl(&["annotate", "pods", "-n", SPACE, "-l", &pods, annotation, "--overwrite"]);
    }

    /// Workloads in the order in which the agent asked for their end.
    fn deleted_workloads(&self) -> Vec<String> {
        let deletions = self.proxy.writes().into_iter().filter(|seen| seen.method == "DELETE");
        let workload = |path: &str| {
            ["/deployments/", "/statefulsets/"].iter().find_map(|kind| Some(path.split_once(kind)?.1.to_owned()))
        };
        deletions.filter_map(|seen| workload(&seen.path)).collect()
    }

    fn synced_revision(&self) -> bool {
        self.get("gitsync/platform", "{.status.lastAppliedRevision}") == self.repo.head()
    }
}

#[test]
fn a_data_service_comes_up_in_order_shows_outages_rolls_what_changed_and_goes() {
    let (centre, up) = user_centre();
    let mut shop = Shop::new(&centre);

    // MySQL cannot start: nothing after it is there.
    shop.until("MySQL is there", |shop| shop.names("statefulsets") == ["mysql-dataservice"]);
    shop.until("the status holds at MySQL", |shop| {
        shop.phase() == "等待部署" && shop.condition("Ready", "message").starts_with("mysql: ")
    });
    assert_eq!(shop.names("deployments"), Vec::<String>::new());
    assert_eq!(shop.names("services"), ["mysql-dataservice"]);
    assert_eq!(shop.names("configmaps"), ["mysql-dataservice", "mysql-dataservice-init"]);
    assert_eq!(shop.names("secrets"), ["mysql-dataservice-password"]);
    let password = shop.password();
    assert!(password.len() > 20, "it is filled");

    // MySQL starts, and the user centre is down.
    shop.change("mysql.invalid/mysql:8", "registry.local/mysql:8");
    shop.until("it holds at uuc and says why", |shop| {
        let why = shop.condition("Ready", "message");
        shop.phase() == "mysql已部署" && why.starts_with("uuc: HEAD http://") && why.contains("answered 503")
    });
    assert_eq!(shop.names("deployments"), Vec::<String>::new());

    up.store(true, Ordering::SeqCst);
    shop.until("all is up", |shop| shop.phase() == "web已部署" && shop.condition("Ready", "status") == "True");
    assert_eq!(shop.condition("Configured", "status"), "True");
    let mut all = vec!["eureka"];
    all.extend(SERVICES);
    all.sort_unstable();
    assert_eq!(shop.names("deployments"), all);
    assert_eq!(shop.names("configmaps").len(), 13);
    assert_eq!(shop.names("services").len(), 11);

    // A later outage shows, and nothing goes.
    up.store(false, Ordering::SeqCst);
    shop.until("the outage shows", |shop| shop.condition("Ready", "message").contains("answered 503"));
    assert_eq!((shop.condition("Ready", "status").as_str(), shop.names("deployments").len()), ("False", 10));
    up.store(true, Ordering::SeqCst);
    shop.until("its end shows", |shop| shop.condition("Ready", "status") == "True");

    // A pod dies and returns.
    shop.annotate_pod("auth", "test.windlass.dev/hold=true");
    shop.until("the dead pod shows", |shop| shop.condition("Ready", "message").starts_with("auth: "));
    shop.annotate_pod("auth", "test.windlass.dev/hold-");
    shop.until("its return shows", |shop| shop.condition("Ready", "status") == "True");

    // One image: one Deployment. Another user centre: what names it, and nothing else.
    let before = shop.generations();
    shop.change("dataservice/proxy:v1.4", "dataservice/proxy:v1.5");
    shop.until("the image is rolled out", |shop| shop.synced_revision() && shop.condition("Ready", "status") == "True");
    assert_eq!(shop.changed_since(&before), ["proxy"]);
    let before = shop.generations();
    let (other, other_up) = user_centre();
    other_up.store(true, Ordering::SeqCst);
    shop.change(&centre, &other);
    shop.until("the middleware is changed", |shop| {
        shop.synced_revision() && shop.condition("Ready", "status") == "True"
    });
    assert_eq!(shop.changed_since(&before), ["auth", "web"]);

    // The password outlives changes of its Secret, restarts and hand edits elsewhere.
    shop.restart();
    shop.plane.kubectl(&["label", "secret/mysql-dataservice-password", "-n", SPACE, "app=other", "--overwrite"]);
    shop.until("the label is put back", |shop| {
        shop.get("secret/mysql-dataservice-password", "{.metadata.labels.app}") == "mysql-dataservice"
    });
    assert_eq!(shop.password(), password);

    // Gone from git: everything goes but the claim and the password that its data needs.
    shop.proxy.forget();
    shop.repo.remove("ds").commit("away");
    shop.until("all is gone", |shop| {
        ["deployments", "statefulsets", "services", "configmaps", "dataservices"]
            .iter()
            .all(|kind| shop.names(kind).is_empty())
    });
    ends_in_reverse_order(&shop.deleted_workloads());
    assert_eq!(shop.names("persistentvolumeclaims"), ["data-mysql-dataservice-0"]);
    assert_eq!(shop.password(), password);
    assert_eq!(shop.get("configmap/keep", "{.metadata.name}"), "keep");

    // Back: the same password for the same data. The claim gone: a password that nobody needs any more goes.
    copy_config(&shop.repo.path().join("ds"));
    let text = shop.text.clone();
    shop.repo.write("ds/dataservice.yaml", &text).commit("back");
    shop.until("it is back", |shop| shop.phase() == "web已部署");
    assert_eq!(shop.password(), password);
    shop.plane.kubectl(&["delete", "secret/mysql-dataservice-password", "-n", SPACE]);
    shop.until("a lost password is said", |shop| {
        shop.condition("Ready", "message").contains("data-mysql-dataservice-0")
    });
    assert_eq!(shop.password(), "", "none is made for data that needs the old one");
    shop.repo.remove("ds").commit("away again");
    shop.until("all is gone again", |shop| {
        shop.names("statefulsets").is_empty() && shop.names("deployments").is_empty()
    });
    shop.plane.kubectl(&["delete", "pvc/data-mysql-dataservice-0", "-n", SPACE, "--timeout=60s"]);
    copy_config(&shop.repo.path().join("ds"));
    shop.repo.write("ds/dataservice.yaml", &text).commit("anew");
    shop.until("it begins anew", |shop| !shop.password().is_empty());
    assert_ne!(shop.password(), password);
    let log: Value = json!(shop.get("events", "{.items[*].message}"));
    assert!(!log.to_string().contains(&password));

    // A claim that may go is not let go of without a word.
    shop.change("    name: mysql-dataservice\n", "    name: mysql-dataservice\n    storage: {retention: Delete}\n");
    let retention = "{.spec.persistentVolumeClaimRetentionPolicy.whenDeleted}";
    shop.until("the claim may go", |shop| {
        shop.get("statefulset/mysql-dataservice", retention) == "Delete" && shop.phase() == "web已部署"
    });
    shop.repo.remove("ds").commit("away for good");
    let asks = |shop: &Shop| {
        let message = shop.get("gitsync/platform", "{.status.conditions[?(@.type==\"Ready\")].message}");
        let (_, rest) = message.split_once("Windlass-Acknowledge: ")?;
        Some(rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>())
    };
    shop.until("it asks, and all but MySQL is gone", |shop| {
        asks(shop).is_some() && shop.names("deployments").is_empty()
    });
    assert_eq!(shop.names("statefulsets"), ["mysql-dataservice"]);
    assert_eq!(shop.names("persistentvolumeclaims"), ["data-mysql-dataservice-0"]);
    let token = asks(&shop).unwrap();
    shop.repo.commit(&format!("it is meant\n\nWindlass-Acknowledge: {token}"));
    shop.until("MySQL is gone", |shop| shop.names("statefulsets").is_empty());
}

/// What waits for another goes before it.
fn ends_in_reverse_order(deleted: &[String]) {
    let at = |name: &str| deleted.iter().position(|one| one == name).unwrap_or_else(|| panic!("{name}: {deleted:?}"));
    assert_eq!(deleted.len(), 11, "{deleted:?}");
    assert_eq!((deleted[9].as_str(), deleted[10].as_str()), ("eureka", "mysql-dataservice"), "{deleted:?}");
    assert!(at("web") < at("gateway-master") && at("web") < at("proxy"), "{deleted:?}");
}
