//! The life of one agent process at one size: what its passes cost, how fast it is, and what it holds in memory.
//!
//! Prints rows and holds goals. Called by `sync`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::figures::{Goals, percentile};
use super::support::control_plane::ControlPlane;
use super::support::process::Process;
use super::support::proxy::{Proxy, Seen};
use super::support::wait::until_blocking;
use super::support::windlass::Windlass;
use super::{NAMESPACES, manifests, repository, space};

/// How often each thing is measured.
#[derive(Clone, Copy)]
pub(super) struct Often {
    /// Polls, a second each.
    pub(super) polls: u32,
    pub(super) commits: usize,
    pub(super) edits: usize,
}

/// An agent on a repository of so many objects, behind a proxy that counts.
struct Life<'a> {
    round: String,
    windlass: Windlass,
    proxy: Proxy,
    repository: git2::Repository,
    maps: Box<dyn Fn(usize) -> Api<ConfigMap> + 'a>,
    agent: Process,
}

/// One figure: its name, what was measured, and what holds it.
struct Row<'g> {
    size: usize,
    goals: &'g mut Goals,
}

impl Row<'_> {
    fn tell(&self, name: &str, text: &str) {
        println!("  {:>6}  {name:<42} {text}", self.size);
    }

    fn hold(&mut self, met: bool, name: &str, text: &str) {
        self.goals.hold(met, &format!("{:>6}  {name}: {text}", self.size));
    }
}

pub(super) fn life(
    plane: &ControlPlane,
    runtime: &tokio::runtime::Runtime,
    size: usize,
    often: Often,
    goals: &mut Goals,
) {
    let round = format!("l{size}");
    let made = repository(&manifests(&round, size));
    let proxy = Proxy::start(plane);
    let windlass = Windlass::on(&proxy.kubeconfig(plane));
    let sync = json!({
        "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": { "name": round, "namespace": "default" },
        // The sweep is counted apart: within this time it comes to next to nothing.
        "spec": { "source": { "url": made.url(), "interval": "1s" }, "drift": { "verifyInterval": "720h" } },
    });
    std::fs::write(windlass.home().join("sync.json"), sync.to_string()).expect("a GitSync");
    let client = plane.client();
    let name = round.clone();
    let began = Instant::now();
    let agent = start(&windlass);
    let mut life = Life {
        windlass,
        proxy,
        repository: git2::Repository::open(made.path()).expect("a repository"),
        maps: Box::new(move |number| Api::namespaced(client.clone(), &space(&name, number))),
        agent,
        round,
    };
    let mut row = Row { size, goals };
    life.converged();
    row.tell("first sync of a process, ready", &format!("{:.0} ms", began.elapsed().as_secs_f64() * 1e3));
    // The watches of a first sync open a moment after it.
    life.quiet();
    row.tell("memory after it", &format!("{:.1} MiB", life.memory()));
    life.nothing(often.polls, &mut row);
    life.commits(runtime, often.commits, &mut row);
    life.edits(runtime, often.edits, &mut row);
    life.burst(runtime, &mut row);
    life.restart(&mut row);
    let most = if size <= 1_000 { 30.0 } else { 60.0 };
    let memory = life.memory();
    row.hold(size > 10_000 || memory <= most, "memory in the end", &format!("{memory:.1} MiB (goal {most:.0})"));
}

fn start(windlass: &Windlass) -> Process {
    windlass.start(&["agent", "--yes", "-f", "sync.json", "--listen", "127.0.0.1:0"])
}

impl Life<'_> {
    /// Waits until a pass of this process has ended with everything ready.
    fn converged(&mut self) {
        until_blocking("everything is ready", || {
            assert!(self.agent.exited().is_none(), "{}", self.agent.tail());
            let log = self.agent.log();
            log.lines().any(|line| line.contains("pass ended") && !line.contains("not_ready")).then_some(())
        });
    }

    /// Waits until a second goes by without any request but polls of the source.
    fn quiet(&self) {
        until_blocking("nothing more is asked", || {
            self.proxy.forget();
            std::thread::sleep(Duration::from_secs(1));
            self.proxy.requests().is_empty().then_some(())
        });
    }

    fn passes(&self) -> usize {
        self.agent.log().lines().filter(|line| line.contains("pass ended")).count()
    }

    fn nothing(&mut self, polls: u32, row: &mut Row<'_>) {
        self.proxy.forget();
        let before = cpu(self.agent.id());
        std::thread::sleep(Duration::from_secs(u64::from(polls)));
        let each = (cpu(self.agent.id()) - before) / polls;
        let requests = self.proxy.requests();
        let objects = requests.iter().filter(|seen| !seen.is_watch() && is_object(seen)).count();
        row.hold(objects == 0, "nothing changed: requests for objects", &objects.to_string());
        let text = format!("{:.2} ms a poll (goal 5), the poll included", each.as_secs_f64() * 1e3);
        row.hold(each <= Duration::from_millis(5), "nothing changed: processor", &text);
    }

    fn commits(&mut self, runtime: &tokio::runtime::Runtime, commits: usize, row: &mut Row<'_>) {
        let (file, maps) = (PathBuf::from("team-0/file-0.yaml"), (self.maps)(0));
        let before = self.memory();
        let mut times = Vec::new();
        self.proxy.forget();
        for number in 0..commits {
            let value = format!("c={number}");
            let tree = stage(&self.repository, &file, &value);
            commit(&self.repository, tree);
            let began = Instant::now();
            runtime.block_on(seen(&maps, "object-0", &value));
            times.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        let text = format!("p50 {:.1} ms (goal 30), p99 {:.1} ms (goal 150)", ms(p50), ms(p99));
        let met = p50 <= Duration::from_millis(30) && p99 <= Duration::from_millis(150);
        row.hold(met, "one document changed: commit → object", &text);
        let requests = self.proxy.requests();
        let writes = requests.iter().filter(|seen| is_object(seen)).count();
        let others = requests.iter().filter(|seen| !is_object(seen) && !seen.is_watch()).count();
        let text = format!("{writes} for objects and {others} others for {commits} commits (goal 1 and 3 each)");
        row.hold(writes <= commits && others <= 3 * commits, "one document changed: requests", &text);
        row.tell("memory before and after these commits", &format!("{before:.1} and {:.1} MiB", self.memory()));
    }

    fn edits(&mut self, runtime: &tokio::runtime::Runtime, edits: usize, row: &mut Row<'_>) {
        let mut times = Vec::new();
        for number in 1..=edits {
            // Object 0 of every namespace is a ConfigMap.
            let (maps, name) = ((self.maps)(number), format!("object-{}", number % NAMESPACES));
            let wanted = runtime.block_on(maps.get(&name)).expect("a map").data;
            let edit = Patch::Merge(json!({ "data": { "settings": format!("edited {number}") } }));
            let began = runtime.block_on(async {
                maps.patch(&name, &PatchParams { field_manager: Some("hand".into()), ..PatchParams::default() }, &edit)
                    .await
                    .expect("edited");
                Instant::now()
            });
            let end = began + Duration::from_secs(30);
            while runtime.block_on(maps.get(&name)).expect("a map").data != wanted {
                assert!(Instant::now() < end, "a hand edit stays: {}", self.agent.tail());
            }
            times.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(100));
        }
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        let text = format!("p50 {:.1} ms (goal 10), p99 {:.1} ms", ms(p50), ms(p99));
        row.hold(p50 <= Duration::from_millis(10), "hand edit reverted", &text);

        std::thread::sleep(Duration::from_millis(500));
        self.proxy.forget();
        let foreign = Patch::Merge(json!({ "metadata": { "annotations": { "example.com/by": "hand" } } }));
        let params = PatchParams { field_manager: Some("hand".into()), ..PatchParams::default() };
        runtime.block_on((self.maps)(3).patch("object-3", &params, &foreign)).expect("annotated");
        std::thread::sleep(Duration::from_millis(900));
        let requests = self.proxy.requests().iter().filter(|seen| is_object(seen)).count();
        row.hold(requests == 0, "a foreign field: requests for objects", &requests.to_string());
    }

    /// A pass waits for a Deployment that never gets ready, and commits arrive.
    fn burst(&mut self, runtime: &tokio::runtime::Runtime, row: &mut Row<'_>) {
        let waits = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "waits", "namespace": space(&self.round, 0) },
            "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "waits" } }, "template": {
                "metadata": { "labels": { "app": "waits" } },
                "spec": { "containers": [{ "name": "main", "image": "registry.example.com/app:1" }] } } } });
        let file = self.repository.workdir().expect("a work tree").join("waits.json");
        std::fs::write(&file, waits.to_string()).expect("written");
        let tree = add(&self.repository, Path::new("waits.json"));
        commit(&self.repository, tree);
        self.quiet();
        let before = self.passes();
        let file = PathBuf::from("team-0/file-0.yaml");
        for number in 0..100 {
            let tree = stage(&self.repository, &file, &format!("burst={number}"));
            commit(&self.repository, tree);
        }
        runtime.block_on(seen(&(self.maps)(0), "object-0", "burst=99"));
        self.quiet();
        // The pass that waited is one of them.
        let further = (self.passes() - before).saturating_sub(1);
        row.hold(further <= 2, "100 commits while a pass runs: further passes", &further.to_string());
        std::fs::remove_file(self.repository.workdir().expect("a work tree").join("waits.json")).expect("removed");
        let mut index = self.repository.index().expect("an index");
        index.remove_path(Path::new("waits.json")).expect("removed");
        index.write().expect("an index");
        let tree = index.write_tree().expect("a tree");
        commit(&self.repository, tree);
        self.quiet();
    }

    fn restart(&mut self, row: &mut Row<'_>) {
        self.agent.signal("TERM");
        Windlass::await_exit(&mut self.agent);
        self.proxy.forget();
        let began = Instant::now();
        self.agent = start(&self.windlass);
        self.converged();
        let took = began.elapsed();
        let requests = self.proxy.requests();
        let mut sorted: BTreeMap<&str, usize> = BTreeMap::new();
        for seen in requests.iter().filter(|seen| !seen.is_watch()) {
            let lists = seen.query.contains("labelSelector");
            let what = if is_object(seen) {
                "objects"
            } else if lists {
                "LISTs"
            } else {
                "others"
            };
            *sorted.entry(what).or_default() += 1;
        }
        let text = format!("{:.0} ms (goal 1000), {sorted:?}", ms(took));
        row.hold(took <= Duration::from_secs(1) && !sorted.contains_key("objects"), "restart, nothing changed", &text);
    }

    /// Resident memory, MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.agent.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Whether a request is about one object of the repository.
fn is_object(seen: &Seen) -> bool {
    let parts: Vec<&str> = seen.path.trim_matches('/').split('/').collect();
    let below = parts.iter().position(|part| *part == "namespaces").map_or(&parts[..], |at| &parts[at..]);
    let ours = !seen.path.contains("/windlass-") && !seen.path.contains("/events");
    ours && matches!(below, ["namespaces", _, _, _] | ["namespaces", _])
}

/// Time that a process has used the processor, in ticks of 10 ms.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let ticks = after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

/// Waits until a map's settings end with a line.
async fn seen(maps: &Api<ConfigMap>, name: &str, line: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let found = maps.get(name).await.expect("a map").data.unwrap_or_default();
        if found.get("settings").is_some_and(|settings| settings.lines().last() == Some(line)) {
            return;
        }
        assert!(Instant::now() < end, "{line} does not arrive");
    }
}

/// Puts another last line into the settings of the first object of a file, in the work tree and the index.
fn stage(repository: &git2::Repository, file: &Path, line: &str) -> git2::Oid {
    let path = repository.workdir().expect("a work tree").join(file);
    let text = std::fs::read_to_string(&path).expect("a file");
    let documents: Vec<serde_json::Value> = text
        .split("---\n")
        .filter(|part| !part.trim().is_empty())
        .map(|part| serde_saphyr::from_str(part).expect("YAML"))
        .collect();
    let mut written = String::new();
    for mut document in documents {
        if document["metadata"]["name"] == "object-0" {
            document["data"]["settings"] = format!("a=1\n{line}").into();
        }
        written.push_str("---\n");
        written.push_str(&serde_saphyr::to_string(&document).expect("YAML"));
    }
    std::fs::write(&path, written).expect("written");
    add(repository, file)
}

fn add(repository: &git2::Repository, file: &Path) -> git2::Oid {
    let mut index = repository.index().expect("an index");
    index.add_path(file).expect("staged");
    index.write().expect("an index");
    index.write_tree().expect("a tree")
}

fn commit(repository: &git2::Repository, tree: git2::Oid) {
    let who = git2::Signature::now("Ada", "ada@example.com").expect("a signature");
    let tree = repository.find_tree(tree).expect("a tree");
    let head = repository.head().and_then(|head| head.peel_to_commit()).expect("a commit");
    repository.commit(Some("HEAD"), &who, &who, "Another value", &tree, &[&head]).expect("committed");
}
