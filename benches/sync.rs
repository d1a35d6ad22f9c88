//! Thousands of objects against a real API server: a first sync beside a bare loop of server-side applies, then the life of
//! an agent process. Tables at three sizes in one run.
//!
//! `cargo bench --bench sync` (needs what `tests/run cluster` needs); with `-- --quick` one small size, once. Goals and
//! figures: docs/benchmarks.md.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its tables and stops at the first surprise"
)]

mod figures;
mod life;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod support;

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
use life::{Often, life};
use support::control_plane::{ControlPlane, control_plane};
use support::git_repo::GitRepo;
use support::wait;

/// Objects without their namespaces, how many rounds of first syncs are measured, and how the life of an agent is.
const SIZES: [(usize, usize, Often); 3] = [
    (1_000, 5, Often { polls: 30, commits: 100, edits: 50 }),
    (5_000, 2, Often { polls: 20, commits: 50, edits: 30 }),
    (10_000, 2, Often { polls: 20, commits: 100, edits: 50 }),
];
const QUICK: [(usize, usize, Often); 1] = [(200, 1, Often { polls: 5, commits: 10, edits: 10 })];
const NAMESPACES: usize = 10;
/// Requests in flight, on both sides.
const CONCURRENCY: usize = 32;
/// First sync, until the last apply is answered, by the bare loop.
const GOAL: f64 = 1.15;

fn main() -> ExitCode {
    let plane = control_plane();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut goals = Goals::default();
    let quick = std::env::args().any(|arg| arg == "--quick");
    let sizes: &[(usize, usize, Often)] = if quick { &QUICK } else { &SIZES };
    for (size, rounds, _) in sizes {
        runtime.block_on(first_sync(plane, *size, *rounds, &mut goals));
    }
    println!("\nThe life of an agent process, by the number of objects");
    for (size, _, often) in sizes {
        life(plane, &runtime, *size, *often, &mut goals);
    }
    goals.end()
}

/// The manifests of one round, in namespaces of its own, the namespaces first.
fn manifests(round: &str, size: usize) -> Vec<Value> {
    let spaces = (0..NAMESPACES).map(|number| space(round, number));
    let namespace = |name: String| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    spaces.map(namespace).chain((0..size).map(|number| manifest(round, number))).collect()
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
    repository.commit("many objects");
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

        // Steps under way, and when the last of them was answered.
        let last = std::sync::Mutex::new((std::collections::HashSet::new(), Duration::ZERO));
        let progress = |id: &::windlass::plan::StepId, outcome: &::windlass::target::execute::Outcome| {
            let mut last = last.lock().unwrap();
            if outcome.reason == ::windlass::target::execute::reasons::APPLYING {
                last.0.insert(id.clone());
            } else if last.0.remove(id) {
                last.1 = began.elapsed();
            }
        };
        let limits =
            Limits { timeout: Duration::from_secs(120), concurrency: CONCURRENCY, cancel: CancellationToken::new() };
        let applied = execute(&self.kube, &plan, &changes, inventory, &limits, progress).await;
        for (id, outcome) in &applied.steps {
            assert_eq!(outcome.state, State::Ready, "{id}: {outcome:?}");
        }
        assert_eq!(applied.failure, None);
        let written = last.lock().unwrap().1;
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

async fn first_sync(plane: &ControlPlane, size: usize, rounds: usize, goals: &mut Goals) {
    println!("\nFirst sync of {size} objects in {NAMESPACES} new namespaces, {CONCURRENCY} in flight; milliseconds");
    println!("  {:<34}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "bare loop", "written", "ready", "plan", "compare");
    let mut loops = Vec::new();
    let mut syncs = Vec::new();
    // One more warms up.
    for round in 0..=rounds {
        let client = plane.client();
        let name = format!("a{size}-{round}");
        let all = manifests(&name, size);
        let began = Instant::now();
        bare(&client, &all).await;
        let bare_took = began.elapsed();
        quiet(&client, &name).await;

        let name = format!("b{size}-{round}");
        let repository = repository(&manifests(&name, size));
        let connection = connect(Some(&plane.kubeconfig()), None).await.expect("a connection");
        let mut sync = Sync::new(connection.client, &name, &repository);
        let (applied, took) = sync.pass().await;
        assert_eq!(applied.applied as usize, size + NAMESPACES);
        quiet(&client, &name).await;

        let title = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
        row(&title, &[bare_took, took.written, took.ready, took.plan, took.compare]);
        if round > 0 {
            loops.push(bare_took);
            syncs.push(took.written);
        }
    }
    row("median", &[percentile(&loops, 50), percentile(&syncs, 50)]);
    let ratio = ratio(percentile(&syncs, 50), percentile(&loops, 50));
    goals.hold(ratio <= GOAL, &format!("{size:>6}  first sync, written: {ratio:.2} times the bare loop (goal {GOAL})"));
}
