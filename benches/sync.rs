//! A thousand objects against a real API server: Windlass beside a bare loop of server-side applies, in one run.
//!
//! `cargo bench --bench sync` (needs what `tests/run cluster` needs). Goals and figures: docs/benchmarks.md.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its tables and stops at the first surprise"
)]

mod figures;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::windlass::declared::{self, Context, Memo};
use ::windlass::diff::compare::Rules;
use ::windlass::diff::{Which, diff};
use ::windlass::expand::expand;
use ::windlass::inventory::Inventory;
use ::windlass::plan::State;
use ::windlass::source::{Source, SourceConfig};
use ::windlass::target::World;
use ::windlass::target::execute::{Applied, Limits, execute};
use ::windlass::target::kube::connect::connect;
use ::windlass::target::kube::{Kube, Options};
use futures::{StreamExt, stream};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use figures::{Goals, percentile, ratio, row};
use support::control_plane::{ControlPlane, control_plane};
use support::git_repo::GitRepo;
use support::proxy::{Proxy, Seen};
use support::wait;
use support::windlass::Windlass;

/// Objects without their namespaces.
const OBJECTS: usize = 1_000;
const NAMESPACES: usize = 10;
/// Requests in flight, on both sides.
const CONCURRENCY: usize = 32;
/// Measured rounds; one more of each warms up.
const ROUNDS: usize = 7;
/// First sync, by the bare loop.
const GOAL: f64 = 1.5;

fn main() -> ExitCode {
    let plane = control_plane();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut goals = Goals::default();
    runtime.block_on(async {
        first_sync(plane, &mut goals).await;
        requests(plane, &mut goals).await;
    });
    binary(plane, &mut goals);
    goals.end()
}

/// The manifests of one round, in namespaces of its own, the namespaces first.
fn manifests(round: &str) -> Vec<Value> {
    let spaces = (0..NAMESPACES).map(|number| space(round, number));
    let namespace = |name: String| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    spaces.map(namespace).chain((0..OBJECTS).map(|number| manifest(round, number))).collect()
}

fn space(round: &str, number: usize) -> String {
    format!("bench-{round}-{}", number % NAMESPACES)
}

fn manifest(round: &str, number: usize) -> Value {
    let metadata = json!({ "name": format!("object-{number}"), "namespace": space(round, number),
        "labels": { "app.kubernetes.io/name": format!("object-{number}") } });
    let labels = json!({ "app": format!("object-{number}") });
    // Kinds in turns of twenty, so that every namespace has all of them.
    let (version, kind, more) = match number / NAMESPACES % 20 {
        0..=5 => ("v1", "ConfigMap", json!({ "data": { "settings": "a=1\nb=2\n".repeat(20) } })),
        6..=9 => ("v1", "Secret", json!({ "type": "Opaque", "data": { "token": "c2VjcmV0" } })),
        10..=12 => {
            ("v1", "Service", json!({ "spec": { "selector": labels, "ports": [{ "port": 80, "protocol": "TCP" }] } }))
        }
        13..=15 => ("v1", "ServiceAccount", json!({})),
        16..=17 => (
            "apps/v1",
            "Deployment",
            json!({ "spec": { "replicas": 0, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "main", "image": "registry.example.com/app:1.0.0",
                    "env": [{ "name": "MODE", "value": "production" }], "ports": [{ "containerPort": 8080 }] }] } } } }),
        ),
        _ => (
            "rbac.authorization.k8s.io/v1",
            "Role",
            json!({ "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }] }),
        ),
    };
    let mut manifest = json!({ "apiVersion": version, "kind": kind, "metadata": metadata });
    for (key, value) in more.as_object().expect("an object") {
        manifest[key] = value.clone();
    }
    manifest
}

/// A repository with ten documents a file.
fn repository(manifests: &[Value]) -> GitRepo {
    let repository = GitRepo::new();
    for (number, documents) in manifests.chunks(10).enumerate() {
        let mut text = String::new();
        for document in documents {
            write!(text, "---\n{}", serde_saphyr::to_string(document).expect("YAML")).expect("text");
        }
        repository.write(&format!("team-{}/file-{number}.yaml", number % 10), &text);
    }
    repository.commit("a thousand objects");
    repository
}

/// The loop that anyone would write: a client, 32 applies in flight, namespaces first.
async fn bare(client: &Client, manifests: &[Value]) {
    let apply = |manifest: Value| async move {
        let object: DynamicObject = serde_json::from_value(manifest).expect("an object");
        let types = object.types.clone().expect("types");
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let name = object.metadata.name.clone().expect("a name");
        api.patch(&name, &PatchParams::apply("bare-loop").force(), &Patch::Apply(&object)).await.expect("applied");
    };
    let (spaces, objects) = manifests.split_at(NAMESPACES);
    for part in [spaces, objects] {
        stream::iter(part.to_vec())
            .map(apply)
            .buffer_unordered(CONCURRENCY)
            .for_each(|()| std::future::ready(()))
            .await;
    }
}

/// One sync of a repository, as the agent has it.
struct Sync {
    source: Source,
    kube: Kube,
    options: Options,
    memo: Memo,
    _clone: tempfile::TempDir,
}

/// What a pass took.
struct Took {
    /// Reading the revision, discovery, the plan.
    plan: Duration,
    /// Inventory, observation, comparison.
    compare: Duration,
    /// Until the last object was written.
    written: Duration,
    /// Until everything was ready and the inventory stored.
    ready: Duration,
}

impl Sync {
    fn new(client: Client, round: &str, repository: &GitRepo) -> Self {
        let clone = tempfile::tempdir().expect("a folder");
        let config =
            SourceConfig { url: repository.url(), clone: clone.path().join("clone"), ..SourceConfig::default() };
        let options = Options::new("default", &format!("bench-{round}"), &repository.url());
        Self {
            source: Source::open(config).expect("a source"),
            kube: Kube::new(client, options.clone()),
            options,
            memo: Memo::default(),
            _clone: clone,
        }
    }

    /// The stages of a pass in the agent's order.
    async fn pass(&mut self) -> (Applied, Took) {
        let began = Instant::now();
        let revision = self.source.fetch().await.expect("a revision");
        let snapshot = self.source.snapshot(&revision).await.expect("a snapshot");
        let context = Context { target_namespace: None, scopes: self.kube.scopes().await.expect("kinds") };
        let (declared, problems) = declared::read(&snapshot, &context, &mut self.memo);
        assert!(problems.is_empty(), "{problems:?}");
        let (plan, problems) = expand(&declared);
        assert!(problems.is_empty(), "{problems:?}");
        let plan_took = began.elapsed();

        let stored = self.kube.load_inventory().await.expect("an inventory");
        let fresh = || Inventory::new(self.options.sync_id.clone(), self.options.source_url.clone());
        let inventory = stored.unwrap_or_else(fresh);
        let observed = self.kube.observe(&plan, &inventory, Which::All).await;
        let rules = Rules { prune: true, ..Rules::default() };
        let changes = diff(&plan, &observed, &inventory, &rules, Which::All);
        let compare = began.elapsed() - plan_took;

        let last = std::sync::Mutex::new(Duration::ZERO);
        let progress = |_: &_, outcome: &::windlass::target::execute::Outcome| {
            if outcome.reason == ::windlass::target::execute::reasons::APPLYING {
                *last.lock().unwrap() = began.elapsed();
            }
        };
        let limits =
            Limits { timeout: Duration::from_secs(120), concurrency: CONCURRENCY, cancel: CancellationToken::new() };
        let applied = execute(&self.kube, &plan, &changes, inventory, &limits, progress).await;
        for (id, outcome) in &applied.steps {
            assert_eq!(outcome.state, State::Ready, "{id}: {outcome:?}");
        }
        assert_eq!(applied.failure, None);
        let written = *last.lock().unwrap();
        (applied, Took { plan: plan_took, compare, written, ready: began.elapsed() })
    }
}

/// Waits, bounded, until the controllers have nothing more to do for a round, so that it does not slow the next one.
async fn quiet(client: &Client, round: &str) {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
    for number in 0..NAMESPACES {
        let space = space(round, number);
        wait::until("the controllers are done", || async {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), &space);
            let all = deployments.list(&kube::api::ListParams::default()).await.ok()?;
            let seen = |it: &Deployment| it.status.as_ref().and_then(|status| status.observed_generation).is_some();
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &space);
            let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &space);
            let made = accounts.get_opt("default").await.ok()?.is_some()
                && maps.get_opt("kube-root-ca.crt").await.ok()?.is_some();
            (made && all.items.iter().all(seen)).then_some(())
        })
        .await;
    }
}

async fn first_sync(plane: &ControlPlane, goals: &mut Goals) {
    println!("First sync of {OBJECTS} objects in {NAMESPACES} new namespaces, {CONCURRENCY} in flight; milliseconds");
    println!("  {:<34}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "bare loop", "Windlass", "plan", "compare", "written");
    let mut loops = Vec::new();
    let mut syncs = Vec::new();
    for round in 0..=ROUNDS {
        let client = plane.client();
        let name = format!("a{round}");
        let all = manifests(&name);
        let began = Instant::now();
        bare(&client, &all).await;
        let bare_took = began.elapsed();
        quiet(&client, &name).await;

        let name = format!("b{round}");
        let repository = repository(&manifests(&name));
        let connection = connect(Some(&plane.kubeconfig()), None).await.expect("a connection");
        let mut sync = Sync::new(connection.client, &name, &repository);
        let (applied, took) = sync.pass().await;
        assert_eq!(applied.applied as usize, OBJECTS + NAMESPACES);
        quiet(&client, &name).await;

        let title = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
        row(&title, &[bare_took, took.ready, took.plan, took.compare, took.written]);
        if round > 0 {
            loops.push(bare_took);
            syncs.push(took.ready);
        }
    }
    row("median", &[percentile(&loops, 50), percentile(&syncs, 50)]);
    let ratio = ratio(percentile(&syncs, 50), percentile(&loops, 50));
    goals.hold(ratio <= GOAL, &format!("first sync, everything ready: {ratio:.2} times the bare loop (goal {GOAL})"));
}

/// What went through the proxy, sorted by what it was.
fn sort(requests: &[Seen]) -> BTreeMap<&'static str, usize> {
    let mut sorted = BTreeMap::new();
    for seen in requests {
        let parts: Vec<&str> = seen.path.trim_matches('/').split('/').collect();
        let inventory = seen.path.contains("/windlass-inventory") || seen.query.contains("inventory");
        // …/<resource>/<name>, in a namespace or not; a namespace itself is an object too.
        let below = parts.iter().position(|part| *part == "namespaces").map_or(&parts[..], |at| &parts[at..]);
        let object = matches!(below, ["namespaces", _, _, _] | ["namespaces", _]);
        let what = match (seen.is_write(), inventory, object) {
            (true, true, _) => "inventory writes",
            (true, false, _) => "object writes",
            (false, true, _) => "inventory reads",
            (false, false, true) => "object reads",
            (false, false, false) if seen.query.contains("labelSelector") => "LISTs (one a kind and page)",
            (false, false, false) => "discovery",
        };
        *sorted.entry(what).or_default() += 1;
    }
    sorted
}

async fn requests(plane: &ControlPlane, goals: &mut Goals) {
    println!("\nRequests after a first sync, counted by a proxy");
    let proxy = Proxy::start(plane);
    let connection = connect(Some(&proxy.kubeconfig(plane)), None).await.expect("a connection");
    let repository = repository(&manifests("r"));
    let mut sync = Sync::new(connection.client, "r", &repository);
    let (applied, _) = sync.pass().await;
    assert_eq!(applied.applied as usize, OBJECTS + NAMESPACES);

    let one = async |sync: &mut Sync, title: &str| {
        proxy.forget();
        let (applied, took) = sync.pass().await;
        let sorted = sort(&proxy.requests());
        println!("  {title}: {:.0} ms, {sorted:?}", took.ready.as_secs_f64() * 1e3);
        (
            applied.applied,
            sorted.get("object reads").copied().unwrap_or(0),
            sorted.get("object writes").copied().unwrap_or(0),
        )
    };
    let nothing = one(&mut sync, "nothing changed").await;
    goals.hold(nothing == (0, 0, 0), "nothing changed: no request for any object");
    let file = "team-1/file-1.yaml";
    let text = repository.read(file);
    let changed = text.replacen("b=2", "b=3", 1);
    assert_ne!(text, changed, "{text}");
    repository.write(file, &changed).commit("change one");
    let one = one(&mut sync, "one object changed").await;
    goals.hold(one == (1, 0, 1), "one object changed: one object write and nothing else");
}

/// The binary as it is installed: time and memory of a process.
fn binary(plane: &ControlPlane, goals: &mut Goals) {
    println!("\nA whole process, `windlass agent --once`");
    let windlass = Windlass::on(&plane.kubeconfig());
    plane.kubectl(&["create", "namespace", "windlass-system"]);
    let repository = repository(&manifests("p"));
    for (title, expect) in [("first sync", "applied 1010"), ("nothing changed", "nothing changed")] {
        let began = Instant::now();
        let url = repository.url();
        let mut process = windlass.start(&["agent", "--once", "--yes", "--source", &url]);
        let mut peak = 0;
        let end = began + Duration::from_secs(120);
        let code = loop {
            peak = peak.max(peak_memory(process.id()).unwrap_or(0));
            if let Some(code) = process.exited() {
                break code;
            }
            assert!(Instant::now() < end, "it does not end: {}", process.tail());
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = began.elapsed();
        assert_eq!(code, 0, "{}", process.tail());
        assert!(process.log().contains(expect), "{}", process.tail());
        println!("  {title}: {:.0} ms, peak memory {:.1} MiB", took.as_secs_f64() * 1e3, peak as f64 / 1024.0);
        goals.hold(peak < 100 * 1024, "less than 100 MiB");
    }
}

/// The process's highest resident memory so far, in KiB; none once it has ended.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}
