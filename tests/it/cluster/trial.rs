//! What the long trials share: a repository that changes all the time, hands that edit the cluster beside it, the agent
//! in between, and what must hold in the end whatever happened.
//!
//! A name that left the repository never comes back, so that a DELETE request for something that has not left yet is a
//! wrong one, whichever revision the agent was at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use windlass::sync::{PART_OF, part_of};

use super::shared::steps_of;
use crate::support::control_plane::ControlPlane;
use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::storm::Front;
use crate::support::windlass::Windlass;

/// Documents in the beginning. Their number stays near it.
const DOCUMENTS: usize = 24;
/// An annotation that git owns.
const OWNED: &str = "trial.example.com/value";
/// How long the world may take to become what git wants once everything works again.
const SETTLE: Duration = Duration::from_secs(180);
const KINDS: [&str; 4] = ["configmaps", "services", "serviceaccounts", "deployments"];
/// Somebody else's objects beside ours.
const FOREIGN: [&str; 3] = ["configmaps/theirs", "configmaps/of-another-sync", "serviceaccounts/theirs"];

/// Whether the trials run in full, as `tests/run soak` has them, instead of small.
pub(super) fn in_full() -> bool {
    std::env::var_os("WINDLASS_TRIALS").is_some_and(|size| size == "full")
}

/// The seed given in `WINDLASS_SEED`, or another one each time.
fn seed() -> u64 {
    let given = std::env::var_os("WINDLASS_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

/// An agent on its repository.
pub(super) struct Trial<'a> {
    pub(super) plane: &'a ControlPlane,
    pub(super) namespace: String,
    pub(super) repo: GitRepo,
    pub(super) proxy: Proxy,
    _front: Front,
    pub(super) windlass: Windlass,
    pub(super) agent: Process,
    pub(super) seed: u64,
    pub(super) rng: Rng,
    /// What the repository holds, as `plural/name`.
    wanted: BTreeSet<String>,
    /// What it once held.
    removed: BTreeSet<String>,
    /// resourceVersions of what is not ours.
    foreign: BTreeMap<&'static str, String>,
    numbers: usize,
    began: Instant,
}

impl<'a> Trial<'a> {
    /// Runs `act` on a first sync that is done. If it panics, says with which seed, and what the agent said last.
    pub(super) fn run(plane: &'a ControlPlane, namespace: &str, act: impl FnOnce(&mut Self)) {
        let mut trial = Self::new(plane, namespace);
        let work = catch_unwind(AssertUnwindSafe(|| {
            trial.settle();
            act(&mut trial);
        }));
        if let Err(panic) = work {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            match message {
                Some(message) => panic!("{message}\n{}", trial.about()),
                None => resume_unwind(panic),
            }
        }
    }

    fn new(plane: &'a ControlPlane, namespace: &str) -> Self {
        let seed = seed();
        plane.kubectl(&["create", "namespace", namespace]);
        let of_another = format!("{PART_OF}={}", part_of("elsewhere", "platform"));
        plane.kubectl(&["create", "configmap", "theirs", "-n", namespace, "--from-literal=a=b"]);
        plane.kubectl(&["create", "configmap", "of-another-sync", "-n", namespace, "--from-literal=a=b"]);
        plane.kubectl(&["label", "configmap", "of-another-sync", "-n", namespace, &of_another]);
        plane.kubectl(&["create", "serviceaccount", "theirs", "-n", namespace]);
        let repo = GitRepo::new();
        let proxy = Proxy::start(plane);
        let front = Front::of(&proxy);
        let kubeconfig = plane.write_kubeconfig(namespace, &front.url(), plane.admin_token(), "default");
        let windlass = Windlass::on(&kubeconfig);
        let sync = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": { "name": "platform", "namespace": namespace },
            "spec": {
                "source": { "url": repo.path(), "interval": "1s" }, "targetNamespace": namespace, "retryInterval": "1s",
                "budget": { "maxDeletes": 1000, "maxDeletePercent": 100 },
            },
        });
        std::fs::write(windlass.home().join("sync.json"), sync.to_string()).unwrap();
        let cache =
            "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata:\n  name: cache\nspec:\n  size: 1\n";
        repo.write("cache.yaml", cache);
        let mut rng = Rng::with_seed(seed);
        let (mut wanted, mut numbers) = (BTreeSet::from(["memcacheds/cache".into(), "deployments/cache".into()]), 0);
        for _ in 0..DOCUMENTS {
            numbers += 1;
            add(&repo, &mut wanted, &mut rng, numbers);
        }
        repo.commit("first");
        let agent = windlass.start(&["agent", "--yes", "-f", "sync.json", "--listen", "127.0.0.1:0"]);
        let (namespace, began) = (namespace.to_owned(), Instant::now());
        let removed = BTreeSet::new();
        let mut trial = Self {
            plane,
            namespace,
            repo,
            proxy,
            _front: front,
            windlass,
            agent,
            seed,
            rng,
            wanted,
            removed,
            foreign: BTreeMap::new(),
            numbers,
            began,
        };
        trial.foreign = trial.versions_of_foreign();
        trial
    }

    /// A new life of the agent, after its last one has ended.
    pub(super) fn start_again(&mut self) {
        let args = ["agent", "--yes", "-f", "sync.json", "--no-crds", "--listen", "127.0.0.1:0"];
        self.agent = self.windlass.start(&args);
    }

    /// One commit: new documents, changed ones, and some that leave.
    pub(super) fn commit(&mut self) {
        let (adds, changes) = (self.rng.usize(0..=2), self.rng.usize(1..=3));
        let removes = if self.wanted.len() > DOCUMENTS { self.rng.usize(0..=3) } else { 0 };
        self.commit_of(adds, changes, removes);
    }

    /// One commit of so many changes each.
    pub(super) fn commit_of(&mut self, adds: usize, changes: usize, removes: usize) {
        self.nothing_wanted_was_deleted();
        for _ in 0..changes {
            self.numbers += 1;
            let key = self.any();
            self.repo.write(&file(&key), &document(&key, self.numbers));
        }
        for _ in 0..removes {
            let key = self.any();
            self.repo.remove(&file(&key));
            self.wanted.remove(&key);
            self.removed.insert(key);
        }
        for _ in 0..adds {
            self.numbers += 1;
            add(&self.repo, &mut self.wanted, &mut self.rng, self.numbers);
        }
        self.repo.commit(&format!("churn {}", self.numbers));
    }

    /// Any document but the one that never leaves.
    fn any(&mut self) -> String {
        let own: Vec<&String> = self.wanted.iter().filter(|key| !key.ends_with("/cache")).collect();
        self.rng.choice(own).expect("documents").clone()
    }

    /// A hand of a person: edits a field of ours, writes one of his own, or deletes. What the agent has not made yet, or a
    /// server that is away, makes it nothing.
    pub(super) fn hand(&mut self) {
        let key = self.any();
        let edited = format!("{OWNED}=edited");
        let args: &[&str] = match self.rng.u8(0..10) {
            0..6 => &["annotate", "--overwrite", &key, &edited],
            6..8 => &["annotate", "--overwrite", &key, "somebody.example.com/note=seen"],
            _ => &["delete", "--wait=false", &key],
        };
        let mut command = self.plane.kubectl_command();
        command.args(["--request-timeout=10s", "-n", &self.namespace]).args(args);
        command.output().expect("kubectl");
    }

    /// Waits for a drawn time, up to `most`: how long nobody does anything.
    pub(super) fn pause(&mut self, most: Duration) {
        let drawn = self.rng.u64(0..u64::try_from(most.as_millis()).unwrap());
        std::thread::sleep(Duration::from_millis(drawn));
    }

    /// Fails if the trial has taken longer than this; called between its steps.
    pub(super) fn within(&self, limit: Duration) {
        assert!(self.began.elapsed() < limit, "the trial takes too long: {:?}", self.began.elapsed());
    }

    /// Revision, reason and message of Ready, as the agent stored them last.
    pub(super) fn told(&self) -> Option<[String; 3]> {
        let path = format!("state/windlass/{}/platform/status.json", self.namespace);
        let stored = std::fs::read(self.windlass.home().join(path)).ok()?;
        let stored: Value = serde_json::from_slice(&stored).ok()?;
        let view = &stored["summary"]["view"];
        let ready = view["conditions"].as_array()?.iter().find(|it| it["type"] == "Ready")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some([text(&view["revision"]), text(&ready["reason"]), text(&ready["message"])])
    }

    /// Whether the agent says that the last revision is live.
    pub(super) fn is_synced(&self) -> bool {
        let head = self.repo.head();
        self.told().is_some_and(|[revision, reason, _]| revision == head && reason == "Synced")
    }

    /// Waits until the world is what git wants: the agent says so, and `windlass diff` finds nothing. Then everything
    /// that must hold is held.
    pub(super) fn settle(&mut self) {
        let end = Instant::now() + SETTLE;
        let mut found = String::from("the agent never said that the last revision is live");
        loop {
            assert!(self.agent.exited().is_none(), "the agent ended");
            if self.is_synced() {
                let diff = self.windlass.run(&["diff", self.repo.path().to_str().unwrap(), "-f", "sync.json"]);
                if diff.code == 0 {
                    break;
                }
                found = format!("windlass diff: {diff:#?}");
            }
            assert!(Instant::now() < end, "the world is not what git wants after {SETTLE:?}: {found}");
            std::thread::sleep(Duration::from_millis(100));
        }
        self.nothing_wanted_was_deleted();
        assert_eq!(self.versions_of_foreign(), self.foreign, "somebody else's objects were touched");
        let live = self.live();
        let missing: Vec<_> = self.wanted.difference(&live).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        let left: Vec<_> = self.removed.intersection(&live).collect();
        assert!(left.is_empty(), "left over: {left:?}");
        assert_eq!(live.len(), steps_of(&self.repo), "{live:?}");
        self.log_is_clean();
    }

    /// No DELETE request for anything that is wanted, or that never was ours. The inventory is its own.
    fn nothing_wanted_was_deleted(&self) {
        for seen in self.proxy.writes().iter().filter(|seen| seen.method == "DELETE") {
            let parts: Vec<&str> = seen.path.rsplitn(3, '/').collect();
            let key = format!("{}/{}", parts[1], parts[0]);
            assert!(self.removed.contains(&key) || key.contains("/windlass-inventory-"), "deleted: {seen:?}");
        }
    }

    /// Lets the proxy forget, and lets requests through it again, once what was asked has been looked at.
    pub(super) fn forget_requests(&self) {
        self.nothing_wanted_was_deleted();
        self.proxy.forget();
    }

    /// The agent said nothing of a fault of its own.
    pub(super) fn log_is_clean(&self) {
        let log = self.agent.log();
        let bad: Vec<_> = log.lines().filter(|line| line.contains("panicked") || line.contains(" ERROR ")).collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }

    /// What carries the label of the sync, as `plural/name`.
    fn live(&self) -> BTreeSet<String> {
        let selector = format!("{PART_OF}={}", part_of(&self.namespace, "platform"));
        let kinds = format!("{},memcacheds,namespaces,secrets,pods,replicasets", KINDS.join(","));
        let text = self.plane.kubectl(&["get", &kinds, "-A", "-l", &selector, "-o", "name"]);
        let plural = |line: &str| {
            let (kind, name) = line.split_once('/').unwrap_or_default();
            format!("{}s/{name}", kind.split('.').next().unwrap_or_default())
        };
        text.lines().map(plural).collect()
    }

    fn versions_of_foreign(&self) -> BTreeMap<&'static str, String> {
        let version = "-o=jsonpath={.metadata.uid} {.metadata.resourceVersion}";
        FOREIGN.iter().map(|key| (*key, self.plane.kubectl(&["get", key, "-n", &self.namespace, version]))).collect()
    }

    /// What somebody who reads a failure needs.
    fn about(&self) -> String {
        let mut text = format!("again with WINDLASS_SEED={}; {:?} after the start\n", self.seed, self.began.elapsed());
        _ = writeln!(text, "head {}, told {:?}", self.repo.head(), self.told());
        _ = writeln!(text, "met {:?}", self.proxy.storm().met());
        text + &self.agent.tail()
    }
}

fn file(key: &str) -> String {
    format!("{key}.yaml")
}

fn add(repo: &GitRepo, wanted: &mut BTreeSet<String>, rng: &mut Rng, number: usize) {
    // Mostly ConfigMaps.
    let kind = KINDS[rng.usize(0..8).saturating_sub(4)];
    let key = format!("{kind}/{}-{number}", &kind[..kind.len() - 1]);
    repo.write(&file(&key), &document(&key, number));
    wanted.insert(key);
}

fn document(key: &str, number: usize) -> String {
    let (kind, name) = key.split_once('/').unwrap_or_default();
    let (version, kind, mut rest) = match kind {
        "configmaps" => ("v1", "ConfigMap", json!({ "data": { "value": number.to_string() } })),
        "services" => {
            let port = 1 + number % 60_000;
            ("v1", "Service", json!({ "spec": { "selector": { "app": name }, "ports": [{ "port": port }] } }))
        }
        "serviceaccounts" => {
            ("v1", "ServiceAccount", json!({ "automountServiceAccountToken": number.is_multiple_of(2) }))
        }
        _ => {
            let container = json!({ "name": "m", "image": "i", "args": [number.to_string()] });
            let template = json!({ "metadata": { "labels": { "app": name } }, "spec": { "containers": [container] } });
            let selector = json!({ "matchLabels": { "app": name } });
            // Without pods: that these come is the matter of other tests.
            let spec = json!({ "replicas": 0, "selector": selector, "template": template });
            ("apps/v1", "Deployment", json!({ "spec": spec }))
        }
    };
    rest["apiVersion"] = version.into();
    rest["kind"] = kind.into();
    rest["metadata"] = json!({ "name": name, "annotations": { OWNED: number.to_string() } });
    rest.to_string()
}
