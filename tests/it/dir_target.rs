//! The folder target against a real file system: layout, hand edits, foreign files, obstacles, the bell.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use windlass::diff::{Op, Reason, Rules, Seen, Which, diff};
use windlass::inventory::Inventory;
use windlass::plan::{Held, Origin, Plan, State, Step, StepId, Want, order};
use windlass::revision::Revision;
use windlass::target::World as _;
use windlass::target::dir::{Dir, watch};
use windlass::target::execute::{Applied, Limits, execute};

struct Folder {
    _temp: tempfile::TempDir,
    root: PathBuf,
    state: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self { root: temp.path().join("out"), state: temp.path().join("state"), _temp: temp }
    }

    fn open(&self) -> Dir {
        Dir::new(&self.root, &self.state, "windlass-system", "demo", "/repo")
    }

    async fn pass(&self, plan: &Plan) -> Applied {
        self.pass_with(plan, &rules()).await
    }

    async fn pass_with(&self, plan: &Plan, rules: &Rules) -> Applied {
        let dir = self.open();
        let inventory = dir.load_inventory().await.unwrap().unwrap_or_else(|| Inventory::new("", ""));
        let observed = dir.observe(plan, &inventory, Which::All).await;
        let diff = diff(plan, &observed, &inventory, rules, Which::All);
        let limits = Limits { timeout: Duration::from_secs(5), concurrency: 8, cancel: CancellationToken::new() };
        execute(&dir, plan, &diff, inventory, &limits, |_, _| {}).await
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap()
    }
}

fn rules() -> Rules {
    Rules { prune: true, ..Rules::default() }
}

fn object(group: &str, kind: &str, namespace: Option<&str>, name: &str, rest: Value) -> Step {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let mut manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        manifest["metadata"]["namespace"] = namespace.into();
    }
    for (key, value) in rest.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    let origin = Origin {
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
        path: "a.yaml".into(),
        document: 1,
        ..Origin::default()
    };
    Step::new(StepId::object(group, kind, namespace, name), Arc::new(origin), None, Want::Object(manifest.into()))
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        revision: Revision::default(),
        steps: order::arrange(steps).steps,
        digest: String::new(),
        held: Held::default(),
    }
}

fn map(name: &str, value: &str) -> Step {
    object("", "ConfigMap", Some("web"), name, json!({"data": {"v": value}}))
}

#[tokio::test]
async fn every_object_is_one_file_with_labels_and_nothing_else_is_there() {
    let folder = Folder::new();
    let steps = vec![
        object("", "Namespace", None, "web", json!({})),
        object("apps", "Deployment", Some("web"), "front", json!({"spec": {"mode": "0644", "on": "yes"}})),
        object("", "Secret", Some("web"), "key", json!({"stringData": {"password": "hunter2"}})),
    ];
    let applied = folder.pass(&plan(steps.clone())).await;
    assert!(applied.steps.values().all(|outcome| outcome.state == State::Ready), "{:?}", applied.steps);
    let mut files: Vec<_> = ["_cluster", "web"]
        .iter()
        .flat_map(|name| fs::read_dir(folder.root.join(name)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["deployment.apps-front.yaml", "namespace-web.yaml", "secret-key.yaml"]);
    let text = folder.text("web/deployment.apps-front.yaml");
    assert!(
        text.contains("app.kubernetes.io/managed-by: windlass") && text.contains("windlass.dev/content-hash:"),
        "{text}"
    );
    let mode = |file: &str| fs::metadata(folder.root.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("web/secret-key.yaml"), mode("web/deployment.apps-front.yaml")), (0o600, 0o644));
    let again = folder.pass(&plan(steps)).await;
    assert_eq!((again.applied, again.pruned.len()), (0, 0));
}

#[tokio::test]
async fn a_pass_with_nothing_to_do_writes_no_file_at_all() {
    let folder = Folder::new();
    folder.pass(&plan(vec![map("a", "1")])).await;
    let times = || {
        [folder.root.join("web/configmap-a.yaml"), folder.state.join("inventory.json")]
            .map(|path| fs::metadata(path).unwrap().modified().unwrap())
    };
    let before = times();
    folder.pass(&plan(vec![map("a", "1")])).await;
    assert_eq!(times(), before);
    folder.pass(&plan(vec![map("a", "2")])).await;
    assert_eq!(times()[1], before[1], "a changed value writes no inventory");
    assert_ne!(times()[0], before[0]);
}

#[tokio::test]
async fn hand_edits_removals_and_loosened_secrets_are_reverted() {
    let folder = Folder::new();
    let steps =
        plan(vec![map("a", "1"), map("b", "1"), map("c", "1"), object("", "Secret", Some("web"), "key", json!({}))]);
    folder.pass(&steps).await;
    let path = |name: &str| folder.root.join("web").join(name);
    let before = ["configmap-a.yaml", "configmap-b.yaml", "configmap-c.yaml"]
        .map(|file| fs::read_to_string(path(file)).unwrap());
    fs::write(
        path("configmap-a.yaml"),
        before[0].replace("v: '1'", "v: '2'").replace("v: \"1\"", "v: \"2\"") + "# edited\n",
    )
    .unwrap();
    fs::write(path("configmap-b.yaml"), "{{ not yaml").unwrap();
    fs::remove_file(path("configmap-c.yaml")).unwrap();
    fs::set_permissions(path("secret-key.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let dir = folder.open();
    let inventory = dir.load_inventory().await.unwrap().unwrap();
    let changes = diff(&steps, &dir.observe(&steps, &inventory, Which::All).await, &inventory, &rules(), Which::All);
    let op = |step: &Step| changes.changes()[&step.id].op.clone();
    assert_eq!(op(&map("a", "1")), Op::Update(Reason::Drifted));
    assert_eq!(op(&map("b", "1")), Op::Update(Reason::Drifted));
    assert_eq!(op(&map("c", "1")), Op::Create);
    assert_eq!(folder.pass(&steps).await.applied, 4);
    let after = ["configmap-a.yaml", "configmap-b.yaml", "configmap-c.yaml"]
        .map(|file| fs::read_to_string(path(file)).unwrap());
    assert_eq!(after, before);
    assert_eq!(fs::metadata(path("secret-key.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn in_report_mode_a_hand_edit_stays_until_the_next_commit_touches_it() {
    let folder = Folder::new();
    let report = Rules { report_drift: true, ..rules() };
    folder.pass(&plan(vec![map("a", "1")])).await;
    let path = folder.root.join("web/configmap-a.yaml");
    let edited = fs::read_to_string(&path).unwrap() + "# mine\n";
    fs::write(&path, &edited).unwrap();
    let applied = folder.pass_with(&plan(vec![map("a", "1")]), &report).await;
    assert_eq!(applied.steps[&map("a", "1").id].reason, "Drifted");
    assert_eq!(fs::read_to_string(&path).unwrap(), edited);
    folder.pass_with(&plan(vec![map("a", "2")]), &report).await;
    assert!(!fs::read_to_string(&path).unwrap().contains("# mine"));
}

#[tokio::test]
async fn what_left_the_plan_is_removed_and_files_of_others_are_left_and_named() {
    let folder = Folder::new();
    folder.pass(&plan(vec![map("a", "1"), object("", "ConfigMap", Some("old"), "b", json!({}))])).await;
    fs::write(folder.root.join("web/notes.txt"), "mine").unwrap();
    let applied = folder.pass(&plan(vec![map("a", "1")])).await;
    assert_eq!(applied.pruned.len(), 1);
    assert!(!folder.root.join("old").exists(), "an empty folder goes too");
    assert_eq!(folder.text("web/notes.txt"), "mine");
    let dir = folder.open();
    dir.observe(&plan(vec![map("a", "1")]), &Inventory::default(), Which::All).await;
    assert_eq!(dir.foreign(), [PathBuf::from("web/notes.txt")]);
}

#[tokio::test]
async fn a_file_of_somebody_else_is_neither_overwritten_nor_deleted() {
    let folder = Folder::new();
    fs::create_dir_all(folder.root.join("web")).unwrap();
    fs::write(folder.root.join("web/configmap-a.yaml"), "kind: ConfigMap\n").unwrap();
    let applied = folder.pass(&plan(vec![map("a", "1"), map("b", "1")])).await;
    assert_eq!(
        (applied.steps[&map("a", "1").id].state, applied.steps[&map("a", "1").id].reason.as_str()),
        (State::Failed, "FileExists")
    );
    assert_eq!(applied.steps[&map("b", "1").id].state, State::Ready);
    folder.pass(&plan(vec![map("b", "1")])).await;
    assert_eq!(folder.text("web/configmap-a.yaml"), "kind: ConfigMap\n");
}

#[tokio::test]
async fn links_and_obstacles_are_named_and_never_followed() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir_all(&folder.root).unwrap();
    symlink(elsewhere.path(), folder.root.join("web")).unwrap();
    fs::write(folder.root.join("_cluster"), "a file where a folder should be").unwrap();
    let namespace = object("", "Namespace", None, "web", json!({}));
    let other = object("", "ConfigMap", Some("other"), "c", json!({}));
    let applied = folder.pass(&plan(vec![map("a", "1"), namespace.clone(), other.clone()])).await;
    let outcome = &applied.steps[&map("a", "1").id];
    assert_eq!(outcome.state, State::Unknown);
    assert!(outcome.message.contains("symbolic link"), "{}", outcome.message);
    assert_eq!(applied.steps[&namespace.id].state, State::Unknown);
    assert!(applied.steps[&namespace.id].message.contains("move it away"));
    assert_eq!(applied.steps[&other.id].state, State::Ready);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_not_an_object_is_pending_and_blocks_nothing() {
    let folder = Folder::new();
    let want = Want::Probe { method: "GET".into(), url: "http://example.com".into(), timeout_seconds: 5 };
    let probe = Step::new(StepId::probe("web", "front", "home"), Arc::default(), None, want);
    let mut after = map("a", "1");
    after.needs.insert(probe.id.clone());
    let applied = folder.pass(&plan(vec![probe.clone(), after.clone()])).await;
    assert_eq!(applied.steps[&probe.id].state, State::Pending);
    assert!(applied.steps[&probe.id].message.contains("no server is configured"));
    assert_eq!(applied.steps[&after.id].state, State::Ready);
}

#[tokio::test]
async fn an_inventory_of_another_sync_or_a_damaged_one_is_refused() {
    let folder = Folder::new();
    folder.pass(&plan(vec![map("a", "1")])).await;
    let other = Dir::new(&folder.root, &folder.state, "windlass-system", "other", "/repo");
    assert_eq!(other.load_inventory().await.unwrap_err().reason, "InventoryMismatch");
    let moved = Dir::new(&folder.root, &folder.state, "windlass-system", "demo", "/elsewhere");
    assert_eq!(moved.load_inventory().await.unwrap_err().reason, "InventoryMismatch");
    fs::write(folder.state.join("inventory.json"), "{").unwrap();
    assert_eq!(folder.open().load_inventory().await.unwrap_err().reason, "InventoryUnreadable");
}

#[tokio::test]
async fn with_a_lost_inventory_our_files_are_found_again_and_not_rewritten() {
    let folder = Folder::new();
    folder.pass(&plan(vec![map("a", "1")])).await;
    fs::remove_file(folder.state.join("inventory.json")).unwrap();
    let applied = folder.pass(&plan(vec![map("a", "1")])).await;
    assert_eq!((applied.applied, applied.inventory.entries.len()), (0, 1));
    let observed = folder.open().observe(&plan(vec![map("a", "1")]), &applied.inventory, Which::All).await;
    assert!(matches!(&observed[&map("a", "1").id], Seen::Present(live) if live.ours));
}

#[tokio::test]
async fn a_hand_edit_rings_the_bell_and_so_does_one_in_a_folder_made_anew() {
    let folder = Folder::new();
    folder.pass(&plan(vec![map("a", "1")])).await;
    let (bell, mut rung) = tokio::sync::mpsc::channel(1);
    let _watch = watch(&folder.root, bell).unwrap();
    let wait = Duration::from_secs(10);
    fs::write(folder.root.join("web/configmap-a.yaml"), "edited").unwrap();
    tokio::time::timeout(wait, rung.recv()).await.expect("an edit rings");
    fs::remove_dir_all(&folder.root).unwrap();
    tokio::time::timeout(wait, rung.recv()).await.expect("a removal rings");
    folder.pass(&plan(vec![map("a", "1")])).await;
    // The watch is taken up again within half a second; until it is, edits are found by its own ring.
    tokio::time::timeout(wait, async {
        loop {
            fs::write(folder.root.join("web/configmap-a.yaml"), "edited again").unwrap();
            if tokio::time::timeout(Duration::from_millis(300), rung.recv()).await.is_ok() {
                break;
            }
        }
    })
    .await
    .expect("an edit in the new folder rings");
}
