//! An Engula Cluster on a real API server with the real controllers: gates that open by readiness, scaling, an older
//! version's objects, and its end.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass::diff::{Rules, Which, diff};
use windlass::inventory::Inventory;
use windlass::plan::{Held, Origin, Plan, Step, StepId, Want, canonical, order};
use windlass::revision::Revision;
use windlass::target::World as _;
use windlass::target::execute::{Limits, execute};
use windlass::target::kube::{Kube, Options};

use super::shared::{Follower, exists};
use crate::support::control_plane::{ControlPlane, control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::proxy::{Proxy, Seen};
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

const PARTS: [&str; 4] = ["engine", "journal", "kernel", "storage"];

/// The Cluster `shop` in a namespace.
fn cluster(namespace: &str, change: impl FnOnce(&mut Value)) -> String {
    let volume = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let part = || json!({"replicas": 1, "volume": volume});
    let mut manifest = json!({
        "apiVersion": "cluster.engula.io/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {
            "name": "shop", "image": {"name": "engula:0.9"},
            "journal": part(), "storage": part(), "kernel": part(), "engine": part(),
        },
    });
    change(&mut manifest);
    manifest.to_string()
}

/// What stays in the repository when the Cluster goes.
fn namespace(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string()
}

fn value(plane: &ControlPlane, namespace: &str, what: &str, path: &str) -> String {
    plane.kubectl(&["get", what, "-n", namespace, "--ignore-not-found", &format!("-o=jsonpath={path}")])
}

fn condition(plane: &ControlPlane, namespace: &str, what: &str, kind: &str, field: &str) -> String {
    value(plane, namespace, what, &format!("{{.status.conditions[?(@.type==\"{kind}\")].{field}}}"))
}

fn set(part: &str) -> String {
    format!("statefulset/shop-{part}")
}

/// Names of the objects of these writes, as in `statefulsets/shop-journal`: neither inventories nor Events nor statuses.
fn objects(writes: &[Seen], method: &str) -> Vec<String> {
    let beside = |path: &str| path.contains("windlass-") || path.contains("/events") || path.ends_with("/status");
    let of_method = writes.iter().filter(|seen| seen.method.as_str() == method && !beside(&seen.path));
    of_method
        .map(|seen| seen.path.rsplit('/').take(2).collect::<Vec<_>>())
        .map(|parts| format!("{}/{}", parts[1], parts[0]))
        .collect()
}

/// An agent that follows a repository all the time.
struct Running {
    plane: &'static ControlPlane,
    namespace: &'static str,
    repo: GitRepo,
    proxy: Proxy,
    windlass: Windlass,
    agent: Process,
}

impl Running {
    fn start(namespace: &'static str, cluster: &str) -> Self {
        let plane = control_plane();
        let repo = GitRepo::with(&[("namespace.yaml", &self::namespace(namespace)), ("cluster.yaml", cluster)]);
        let proxy = Proxy::start(plane);
        let windlass = Windlass::on(&proxy.kubeconfig(plane));
        let sync = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": {"name": namespace},
            "spec": {"source": {"url": repo.path(), "interval": "1s"}, "timeout": "2s", "retryInterval": "1s"},
        });
        std::fs::write(windlass.home().join("sync.json"), sync.to_string()).unwrap();
        let agent = windlass.start(&["agent", "-f", "sync.json", "--listen", "127.0.0.1:0"]);
        Self { plane, namespace, repo, proxy, windlass, agent }
    }

    fn value(&self, what: &str, path: &str) -> String {
        value(self.plane, self.namespace, what, path)
    }

    fn exists(&self, what: &str) -> bool {
        exists(self.plane, self.namespace, what)
    }

    fn condition(&self, what: &str, kind: &str, field: &str) -> String {
        condition(self.plane, self.namespace, what, kind, field)
    }

    fn await_condition(&self, what: &str, kind: &str, field: &str, wanted: &str) {
        until_blocking(&format!("{what} {kind} {field} {wanted}"), || {
            // The kind itself is not known before the agent has applied its CRD.
            let mut command = self.plane.kubectl_command();
            let path = format!("-o=jsonpath={{.status.conditions[?(@.type==\"{kind}\")].{field}}}");
            let output = command.args(["get", what, "-n", self.namespace, &path]).output().unwrap();
            (String::from_utf8_lossy(&output.stdout) == wanted).then_some(())
        });
    }

    /// Asks for a pass.
    fn look(&self) {
        let asked = self.windlass.run(&["sync", self.namespace]);
        assert_eq!(asked.code, 0, "{asked:#?}\n{}", self.agent.tail());
    }

    fn hold(&self, pod: &str, hold: bool) {
        let mark = format!("test.windlass.dev/hold{}", if hold { "=true" } else { "-" });
        self.plane.kubectl(&["annotate", "pod", pod, "-n", self.namespace, &mark]);
    }
}

#[test]
fn components_start_in_order_follow_what_happens_to_them_and_go_in_reverse_order() {
    let journal = |image: &str| {
        let image = json!({"name": image});
        cluster("engula-order", |it| it["spec"]["journal"]["image"] = image)
    };
    let mut run = Running::start("engula-order", &journal("registry.invalid/engula:0.9"));
    let what = "clusters.cluster.engula.io/shop";
    run.await_condition(what, "KernelReady", "reason", "DependencyNotReady");
    run.await_condition(what, "StorageReady", "status", "True");
    assert_eq!(run.condition(what, "Ready", "status"), "False");
    assert!(run.condition(what, "Ready", "message").contains("StatefulSet shop-journal"), "{}", run.agent.tail());
    assert_eq!(run.condition(what, "JournalReady", "status"), "False");
    // Services, rights and resources are there from the start; pods of who would not find the journal are not.
    for part in PARTS {
        assert_eq!(run.value(&format!("service/shop-{part}"), "{.spec.clusterIP}"), "None");
        assert!(run.exists(&format!("{part}s.cluster.engula.io/shop-{part}")));
        assert_eq!(run.exists(&set(part)), ["journal", "storage"].contains(&part), "{part}");
    }
    assert!(run.exists("serviceaccount/shop-sa") && run.exists("rolebinding/shop-binding"));

    run.repo.write("cluster.yaml", &journal("engula:0.9")).commit("an image that can be pulled");
    run.await_condition(what, "Ready", "status", "True");
    let born: BTreeMap<&str, String> = PARTS.map(|part| (part, run.value(&set(part), "{.metadata.uid}"))).into();
    assert!(born.values().all(|uid| !uid.is_empty()));

    // A pod that dies is told at once by the resource and by the Cluster, and costs nobody anything else.
    run.hold("shop-kernel-0", true);
    until_blocking("the pod is not ready", || {
        (run.value(&set("kernel"), "{.status.readyReplicas}") != "1").then_some(())
    });
    run.look();
    run.await_condition("kernels.cluster.engula.io/shop-kernel", "Ready", "status", "False");
    run.await_condition(what, "KernelReady", "status", "False");
    run.await_condition(what, "Ready", "status", "False");
    assert_eq!(run.condition(what, "EngineReady", "status"), "True", "the engine still runs");
    run.hold("shop-kernel-0", false);
    run.await_condition(what, "Ready", "status", "True");
    run.await_condition("kernels.cluster.engula.io/shop-kernel", "Ready", "status", "True");
    assert_eq!(born, PARTS.map(|part| (part, run.value(&set(part), "{.metadata.uid}"))).into());

    // One image is one StatefulSet.
    run.proxy.forget();
    let changed = cluster("engula-order", |it| {
        it["spec"]["journal"]["image"] = json!({"name": "engula:0.9"});
        it["spec"]["storage"]["image"] = json!({"name": "engula:1.0"});
    });
    run.repo.write("cluster.yaml", &changed).commit("a newer storage");
    until_blocking("the new image", || {
        let image = run.value(&set("storage"), "{.spec.template.spec.containers[0].image}");
        (image == "engula:1.0").then_some(())
    });
    run.await_condition(what, "Ready", "status", "True");
    let mut patched = objects(&run.proxy.writes(), "PATCH");
    patched.sort();
    assert_eq!(patched, ["clusters/shop", "statefulsets/shop-storage", "storages/shop-storage"]);

    // Its end: who waits for others goes first, data stays, and what is somebody else's is not looked at.
    run.plane.kubectl(&["create", "configmap", "theirs", "-n", run.namespace]);
    run.proxy.forget();
    run.repo.remove("cluster.yaml").commit("closed");
    until_blocking("the Cluster is gone", || (!run.exists(what)).then_some(()));
    until_blocking("everything of it is gone", || {
        let kinds = "statefulsets,services,serviceaccounts,roles,rolebindings,journals.cluster.engula.io,\
                     kernels.cluster.engula.io,storages.cluster.engula.io,engines.cluster.engula.io";
        let left = run.plane.kubectl(&["get", kinds, "-n", run.namespace, "-o=name"]);
        (left.trim() == "serviceaccount/default").then_some(())
    });
    let deleted = objects(&run.proxy.writes(), "DELETE");
    let place =
        |name: &str| deleted.iter().position(|it| it == name).unwrap_or_else(|| panic!("no {name}: {deleted:?}"));
    assert_eq!(deleted.len(), 16, "{deleted:?}");
    for (first, then) in [
        ("statefulsets/shop-engine", "statefulsets/shop-kernel"),
        ("statefulsets/shop-kernel", "statefulsets/shop-journal"),
        ("statefulsets/shop-kernel", "statefulsets/shop-storage"),
        ("statefulsets/shop-storage", "rolebindings/shop-binding"),
        ("statefulsets/shop-journal", "services/shop-journal"),
        ("rolebindings/shop-binding", "serviceaccounts/shop-sa"),
    ] {
        assert!(place(first) < place(then), "{first} before {then}: {deleted:?}");
    }
    for part in PARTS {
        assert!(run.exists(&format!("persistentvolumeclaim/data-shop-{part}-0")), "{part}");
    }
    assert!(run.exists("configmap/theirs"));
    run.agent.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut run.agent), 0, "{}", run.agent.tail());
}

#[test]
fn more_replicas_are_one_patch_and_fewer_wait_for_leave() {
    let plane = control_plane();
    let namespace = "engula-scale";
    let of = |replicas: u32, change: &dyn Fn(&mut Value)| {
        cluster(namespace, |it| {
            it["spec"]["journal"]["replicas"] = replicas.into();
            change(it);
        })
    };
    let same = |_: &mut Value| ();
    let repo = GitRepo::with(&[("namespace.yaml", &self::namespace(namespace)), ("cluster.yaml", &of(1, &same))]);
    let follower = Follower::of(plane, repo);
    let commit = |text: &str| {
        follower.repo.write("cluster.yaml", text).commit("scale");
    };
    let replicas = || value(plane, namespace, &set("journal"), "{.spec.replicas}");
    follower.good();
    commit(&of(2, &same));
    follower.good();
    let mut patched = objects(&follower.proxy.writes(), "PATCH");
    patched.sort();
    assert_eq!(patched, ["clusters/shop", "journals/shop-journal", "statefulsets/shop-journal"]);
    assert_eq!(replicas(), "2");

    // Down: the resources say what git says, the StatefulSet keeps its pods, and everybody is told what releases it.
    commit(&of(1, &same));
    let held = follower.once();
    assert_eq!(held.code, 1, "{held:#?}");
    assert!(held.stdout.contains("windlass.dev/allow-scale-down: \"true\" on Cluster engula-scale/shop"), "{held:#?}");
    let mut patched = objects(&follower.proxy.writes(), "PATCH");
    patched.sort();
    assert_eq!(patched, ["clusters/shop", "journals/shop-journal"]);
    assert_eq!(replicas(), "2");
    for what in ["clusters.cluster.engula.io/shop", "journals.cluster.engula.io/shop-journal"] {
        assert_eq!(condition(plane, namespace, what, "ScaleDownHeld", "status"), "True", "{what}");
        let message = condition(plane, namespace, what, "ScaleDownHeld", "message");
        assert!(message.contains("windlass.dev/allow-scale-down"), "{message}");
        assert_eq!(condition(plane, namespace, what, "Ready", "reason"), "ScaleDownHeld", "{what}");
        assert_eq!(condition(plane, namespace, what, "Degraded", "status"), "False", "{what}");
    }
    let again = follower.once();
    assert_eq!((again.code, objects(&follower.proxy.writes(), "PATCH")), (1, Vec::new()), "{again:#?}");

    // All else goes on: another image, and a hand that scales up, which is no leave to scale down either.
    plane.kubectl(&["scale", &set("journal"), "-n", namespace, "--replicas=3"]);
    commit(&of(1, &|it| it["spec"]["journal"]["image"] = json!({"name": "engula:1.0"})));
    let held = follower.once();
    assert_eq!((held.code, replicas()), (1, "3".to_owned()), "{held:#?}");
    let image = "{.spec.template.spec.containers[0].image}";
    assert_eq!(value(plane, namespace, &set("journal"), image), "engula:1.0");
    assert_eq!(value(plane, namespace, &set("journal"), "{.status.readyReplicas}"), "3", "{held:#?}");

    commit(&of(1, &|it| {
        it["spec"]["journal"]["image"] = json!({"name": "engula:1.0"});
        it["metadata"]["annotations"] = json!({"windlass.dev/allow-scale-down": "true"});
    }));
    let allowed = follower.good();
    assert_eq!(replicas(), "1", "{allowed:#?}");
    assert_eq!(condition(plane, namespace, "clusters.cluster.engula.io/shop", "Ready", "status"), "True");
    assert_eq!(
        condition(plane, namespace, "journals.cluster.engula.io/shop-journal", "ScaleDownHeld", "status"),
        "False"
    );
    assert!(exists(plane, namespace, "persistentvolumeclaim/data-shop-journal-2"), "data stays");
    follower.quiet();
}

#[test]
fn claims_that_may_go_with_their_component_go_only_once_that_was_acknowledged() {
    let plane = control_plane();
    let namespace = "engula-claims";
    let whole = cluster(namespace, |it| {
        it["spec"]["journal"]["volume"]["retention"] = json!({"whenDeleted": "Delete"});
        it["spec"].as_object_mut().unwrap().remove("engine");
        it["spec"].as_object_mut().unwrap().remove("kernel");
    });
    let repo = GitRepo::with(&[("namespace.yaml", &self::namespace(namespace)), ("cluster.yaml", &whole)]);
    let follower = Follower::of(plane, repo);
    follower.good();
    let claim = |part: &str| format!("persistentvolumeclaim/data-shop-{part}-0");
    assert!(exists(plane, namespace, &claim("journal")) && exists(plane, namespace, &claim("storage")));

    follower.repo.remove("cluster.yaml").commit("closed");
    let refused = follower.once();
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(exists(plane, namespace, &set("journal")) && !exists(plane, namespace, &set("storage")), "{refused:#?}");
    let (_, rest) = refused.stdout.split_once("Windlass-Acknowledge: ").unwrap_or_else(|| panic!("{refused:#?}"));
    let token: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    follower.repo.write("empty.txt", "").commit(&format!("closed for good\n\nWindlass-Acknowledge: {token}"));
    let gone = follower.good();
    assert!(!exists(plane, namespace, &set("journal")), "{gone:#?}");
    until_blocking("the claim is gone", || (!exists(plane, namespace, &claim("journal"))).then_some(()));
    assert!(exists(plane, namespace, &claim("storage")), "by default claims stay");
}

/// The steps of an older version, as `render -o json` printed them then (with the owner of each), in this test's namespace.
fn older(namespace: &str) -> Plan {
    let text = include_str!("engula_older.json").replace("NAMESPACE", namespace);
    let recorded: Vec<Value> = serde_json::from_str(&text).unwrap();
    let steps: Vec<Step> = recorded
        .into_iter()
        .map(|it| {
            let origin: Origin = serde_json::from_value(it["origin"].clone()).unwrap();
            let id = |value: &Value| value.as_str().map(StepId::from_text);
            let want = Want::Object(it["want"]["object"].clone().into());
            let mut step = Step::new(id(&it["id"]).unwrap(), origin.into(), id(&it["owner"]), want);
            step.needs = it["needs"].as_array().unwrap().iter().filter_map(id).collect();
            step
        })
        .collect();
    let steps = order::arrange(steps).steps;
    let digest = canonical::digest(steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
    Plan { revision: Revision::default(), steps, digest, held: Held::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_version_applied_is_taken_further_without_making_a_stateful_set_anew() {
    let plane = control_plane();
    let namespace = "engula-upgrade";
    let repo = GitRepo::with(&[("namespace.yaml", &self::namespace(namespace))]);
    let follower = Follower::of(plane, repo);
    // The CRDs and the namespace.
    follower.good();
    let url = follower.repo.path().canonicalize().unwrap();
    let options = Options::new("windlass-system", &follower.name(), url.to_str().unwrap());
    let sync_id = options.sync_id.clone();
    let own_kinds = windlass::kinds::FAMILIES.iter().flat_map(|family| family.kinds);
    let own_kinds = own_kinds.map(|kind| (kind.group.to_owned(), kind.kind.to_owned())).collect();
    let kube = Kube::new(plane.client(), Options { own_kinds, ..options });
    let plan = older(namespace);
    assert_eq!(plan.steps.len(), 16);
    let inventory =
        kube.load_inventory().await.unwrap().unwrap_or_else(|| Inventory::new(sync_id, url.to_str().unwrap()));
    let observed = kube.observe(&plan, &inventory, Which::All).await;
    let limits = Limits {
        timeout: std::time::Duration::from_secs(60),
        concurrency: 8,
        cancel: tokio_util::sync::CancellationToken::new(),
    };
    let wanted = diff(&plan, &observed, &inventory, &Rules::default(), Which::All);
    let made = execute(&kube, &plan, &wanted, inventory, &limits, |_, _| {}).await;
    assert_eq!((made.applied, made.failure), (16, None), "{:#?}", made.steps);
    let born = || PARTS.map(|part| value(plane, namespace, &set(part), "{.metadata.uid}"));
    let before = born();

    follower.repo.write("cluster.yaml", &cluster(namespace, |_| ())).commit("a newer Windlass reads the same Cluster");
    let taken = follower.good();
    assert_eq!(born(), before, "{taken:#?}");
    assert_eq!(objects(&follower.proxy.writes(), "DELETE"), Vec::<String>::new());
    let sets = objects(&follower.proxy.writes(), "PATCH").into_iter().filter(|it| it.starts_with("statefulsets/"));
    assert_eq!(sets.count(), 4, "each is another one by now, and is changed in place");
    let env = value(plane, namespace, &set("kernel"), "{.spec.template.spec.containers[0].env[*].name}");
    assert_eq!(
        env,
        "POD_NAME kubecluster journalservice journalport storageservice storageport kernelservice kernelport RUST_BACKTRACE"
    );
    follower.quiet();
}
