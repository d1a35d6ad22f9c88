//! What a plan costs, in time and memory: from nothing, after a commit that changes one document, and after one that
//! changes nothing.
//!
//! `cargo bench --bench plan` (needs nothing). Goals and figures: docs/benchmarks.md.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints its tables and stops at the first surprise"
)]

#[expect(dead_code, reason = "the other benchmarks use the rest of it")]
mod figures;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod support;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::windlass::declared::{self, Context};
use ::windlass::expand;
use ::windlass::plan::{Plan, changed};
use ::windlass::source::{Source, SourceConfig};

use figures::{Goals, percentile};
use support::git_repo::GitRepo;

/// Documents a file.
const PER_FILE: usize = 10;
/// Commits that change one document each.
const COMMITS: usize = 30;

fn main() -> ExitCode {
    let mut goals = Goals::default();
    println!("A plan from a local repository of mixed documents, {PER_FILE} a file; milliseconds of CPU, MiB resident");
    println!(
        "  {:>9}{:>9}{:>12}{:>14}{:>10}{:>10}{:>12}{:>11}{:>11}",
        "documents", "steps", "nothing new", "one, p50", "one, p99", "fetch", "from nothing", "resident", "peak"
    );
    for documents in [1_000, 10_000] {
        // Each size in a process of its own, so that the memory of one is not that of another.
        match std::env::args().nth(1).and_then(|own| own.parse::<usize>().ok()) {
            Some(own) if own == documents => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(measure(documents));
                return ExitCode::SUCCESS;
            }
            Some(_) => {}
            None => {
                let this = std::env::current_exe().expect("this program");
                let output = std::process::Command::new(this).arg(documents.to_string()).output().expect("a process");
                let text = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
                let row = text.lines().last().unwrap_or_default();
                println!("{row}");
                let cells: Vec<f64> = row.split_whitespace().filter_map(|cell| cell.parse().ok()).collect();
                let [_, _, same, one, .., grown, _] = cells[..] else { panic!("{row}") };
                let (most, memory) = if documents == 1_000 { (5.0, 4.0) } else { (15.0, 25.0) };
                goals.hold(one <= most, &format!("{documents}: a change of one document takes at most {most} ms"));
                goals.hold(same <= most, &format!("{documents}: so does a commit that changes nothing"));
                goals.hold(grown <= memory, &format!("{documents}: source and plan take at most {memory} MiB"));
            }
        }
    }
    goals.end()
}

/// What the agent holds of a source between two passes.
struct Reader {
    source: Source,
    memo: declared::Memo,
    expanded: expand::Memo,
    plan: Option<Plan>,
}

impl Reader {
    /// A pass up to the plan; the time that the fetch took, the rest, and how many steps differ.
    async fn pass(&mut self) -> (Duration, Duration, usize) {
        let began = cpu();
        let revision = self.source.fetch().await.expect("a revision");
        let fetched = cpu();
        let mut snapshot = self.source.snapshot_unless(&revision, self.memo.known()).await.expect("a snapshot");
        let named = declared::references(&snapshot, &mut self.memo);
        snapshot.referred = self.source.referred(&snapshot, named).await.expect("files");
        let (declared, problems) = declared::read(&snapshot, &Context::default(), &mut self.memo);
        drop(snapshot);
        assert!(problems.is_empty(), "{problems:?}");
        let (plan, problems) = expand::update(&declared, &mut self.expanded);
        assert!(problems.is_empty(), "{problems:?}");
        let differ = self.plan.as_ref().map_or(plan.steps.len(), |before| changed(before, &plan).len());
        self.plan = Some(plan);
        (fetched - began, cpu() - fetched, differ)
    }
}

async fn measure(documents: usize) {
    let repository = repository(documents);
    let clone = tempfile::tempdir().expect("a folder");
    let config = SourceConfig { url: repository.url(), clone: clone.path().join("clone"), ..SourceConfig::default() };
    let bare = resident();
    let source = Source::open(config).expect("a source");
    let mut reader = Reader { source, memo: declared::Memo::default(), expanded: expand::Memo::default(), plan: None };
    let (_, from_nothing, steps) = reader.pass().await;
    let (mut fetches, mut ones, mut sames) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..COMMITS {
        let file = format!("team-{}/file-{number}.yaml", number % 10);
        let text = repository.read(&file);
        repository.write(&file, &text.replacen("b=2", &format!("b={}", 3 + number), 1)).commit("change one");
        let began = Instant::now();
        let (fetch, one, differ) = reader.pass().await;
        assert!(differ == 1, "{differ} steps differ in {:?}", began.elapsed());
        fetches.push(fetch);
        ones.push(one);
        repository.write("notes.txt", &number.to_string()).commit("change nothing");
        let (_, same, differ) = reader.pass().await;
        assert_eq!(differ, 0);
        sames.push(same);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "  {documents:>9}{steps:>9}{:>12.2}{:>14.2}{:>10.2}{:>10.2}{:>12.0}{:>11.1}{:>11.1}",
        ms(percentile(&sames, 50)),
        ms(percentile(&ones, 50)),
        ms(percentile(&ones, 99)),
        ms(percentile(&fetches, 50)),
        ms(from_nothing),
        resident() - bare,
        memory("VmHWM:"),
    );
}

/// ConfigMaps, Secrets, Services, ServiceAccounts, Deployments, Roles and CRs in ten namespaces.
fn repository(documents: usize) -> GitRepo {
    let repository = GitRepo::new();
    for file in 0..documents / PER_FILE {
        let text = (0..PER_FILE).fold(String::new(), |text, at| text + &document(file * PER_FILE + at, at));
        repository.write(&format!("team-{}/file-{file}.yaml", file % 10), &text);
    }
    let mut namespaces = String::new();
    for number in 0..10 {
        write!(namespaces, "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: team-{number}}}\n").expect("text");
    }
    repository.write("namespaces.yaml", &namespaces).commit("everything");
    repository
}

fn document(number: usize, at: usize) -> String {
    let header = |version: &str, kind: &str| {
        format!(
            "---\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: object-{number}\n  namespace: team-{}\n  \
             labels:\n    app.kubernetes.io/name: object-{number}\n",
            number / PER_FILE % 10
        )
    };
    match at {
        0..=2 => {
            let lines = "    a=1\n    b=2\n".repeat(15);
            format!("{}data:\n  settings: |\n{lines}", header("v1", "ConfigMap"))
        }
        3 => format!("{}type: Opaque\ndata: {{token: c2VjcmV0}}\n", header("v1", "Secret")),
        4 => format!(
            "{}spec:\n  selector: {{app: object-{number}}}\n  ports:\n  - {{port: 80, protocol: TCP}}\n",
            header("v1", "Service")
        ),
        5 => header("v1", "ServiceAccount"),
        6..=7 => format!(
            "{}spec:\n  replicas: 2\n  selector:\n    matchLabels: {{app: object-{number}}}\n  template:\n    metadata:\n      \
             labels: {{app: object-{number}}}\n    spec:\n      containers:\n      - name: main\n        image: \
             registry.example.com/app:1.0.0\n        env:\n        - {{name: MODE, value: production}}\n        ports:\n        - \
             containerPort: 8080\n",
            header("apps/v1", "Deployment")
        ),
        8 => format!(
            "{}rules:\n- apiGroups: ['']\n  resources: [configmaps]\n  verbs: [get, list]\n",
            header("rbac.authorization.k8s.io/v1", "Role")
        ),
        _ => format!("{}spec: {{size: 1}}\n", header("cache.example.com/v1alpha1", "Memcached")),
    }
}

/// CPU that all threads of this process used so far.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let times = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// Resident memory without pages of the program itself, in MiB.
fn resident() -> f64 {
    memory("RssAnon:")
}

fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
