//! The command line as people and scripts meet it: the real binary, a cleared environment, whole outputs and exit codes.

use std::path::Path;

use crate::support::git_repo::GitRepo;
use crate::support::windlass::{Finished, Windlass};

const SETTINGS: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: web\ndata:\n  colour: green\n";
const PAGE: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: page\n  namespace: web\ndata:\n  title: hello\n";
const CACHE: &str = "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata:\n  name: sessions\n  namespace: web\nspec:\n  size: 3\n";

/// A repository, the folder that follows it, and the state between runs.
struct Bench {
    windlass: Windlass,
    repo: GitRepo,
}

impl Bench {
    fn new() -> Self {
        let files = [("settings.yaml", SETTINGS), ("page.yaml", PAGE), ("cache.yaml", CACHE)];
        Self { windlass: Windlass::new(), repo: GitRepo::with(&files) }
    }

    fn once(&self) -> Finished {
        let (source, target) = (self.repo.path().to_str().unwrap(), format!("dir:{}", self.rendered("").display()));
        let state = self.state();
        self.windlass.run(&["agent", "--once", "--source", source, "--target", &target, "--state", &state])
    }

    fn state(&self) -> String {
        self.windlass.home().join("sync").to_str().unwrap().to_owned()
    }

    fn rendered(&self, path: &str) -> std::path::PathBuf {
        self.windlass.home().join("rendered").join(path)
    }

    fn first_line(finished: &Finished) -> String {
        let line = finished.stdout.lines().next().unwrap_or_default();
        line.split_once(": ").map(|(_, did)| did.to_owned()).unwrap_or_else(|| format!("{finished:?}"))
    }
}

#[test]
fn a_second_run_changes_nothing_a_rename_prunes_nothing_and_a_removal_prunes_its_own() {
    let bench = Bench::new();
    let first = bench.once();
    assert_eq!((first.code, Bench::first_line(&first).as_str()), (0, "applied 4"), "{first:?}");
    assert!(bench.rendered("web/deployment.apps-sessions.yaml").exists());

    let second = bench.once();
    assert_eq!((second.code, Bench::first_line(&second).as_str()), (0, "nothing changed"), "{second:?}");

    bench.repo.rename("page.yaml", "moved/page.yaml").commit("rename");
    let renamed = bench.once();
    assert_eq!((renamed.code, Bench::first_line(&renamed).as_str()), (0, "nothing changed"), "{renamed:?}");

    bench.repo.write("moved/page.yaml", "kind: [\n").commit("break");
    let broken = bench.once();
    assert_eq!((broken.code, Bench::first_line(&broken).as_str()), (1, "nothing changed"), "{broken:?}");
    assert!(broken.stdout.contains("YamlSyntax"), "{}", broken.stdout);
    assert!(bench.rendered("web/configmap-page.yaml").exists());

    bench.repo.write("moved/page.yaml", PAGE).remove("cache.yaml").commit("no cache");
    let removed = bench.once();
    assert_eq!((removed.code, Bench::first_line(&removed).as_str()), (0, "pruned 2"), "{removed:?}");
    assert!(!bench.rendered("web/deployment.apps-sessions.yaml").exists());
    assert!(bench.rendered("web/configmap-page.yaml").exists());
}

#[test]
fn an_empty_repository_prunes_nothing() {
    let bench = Bench::new();
    assert_eq!(bench.once().code, 0);
    bench.repo.remove("settings.yaml").remove("page.yaml").remove("cache.yaml").write("README", "x").commit("empty");
    let empty = bench.once();
    assert_eq!(empty.code, 1, "{empty:?}");
    assert!(bench.rendered("web/configmap-page.yaml").exists());
}

#[test]
fn status_suspend_resume_and_inventory_work_on_what_an_agent_left() {
    let bench = Bench::new();
    assert_eq!(bench.once().code, 0);
    let state = bench.state();
    let windlass = &bench.windlass;

    let status = windlass.run(&["status", "--state", &state]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.stdout.starts_with("The sync is live.\n"), "{}", status.stdout);
    let json = windlass.run(&["status", "--state", &state, "-o", "json"]);
    let view: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(view["syncs"][0]["counts"]["ready"], 4);
    let name = view["syncs"][0]["name"].as_str().unwrap().to_owned();

    let owned = windlass.run(&["inventory", &name, "--state", &state]);
    assert_eq!(owned.code, 0, "{owned:?}");
    assert!(owned.stdout.contains("\n4 entries; "), "{}", owned.stdout);

    let suspended = windlass.run(&["suspend", &name, "--state", &state]);
    assert_eq!(suspended.code, 0, "{suspended:?}");
    assert!(suspended.stdout.contains("no agent is running: the next one does it first"), "{}", suspended.stdout);
    bench.repo.remove("cache.yaml").commit("no cache");
    bench.once();
    assert!(bench.rendered("web/deployment.apps-sessions.yaml").exists(), "a suspended sync wrote");
    let status = windlass.run(&["status", "--state", &state]);
    assert!(status.stdout.starts_with("The sync is suspended."), "{}", status.stdout);

    assert_eq!(windlass.run(&["resume", "--all", "--state", &state]).code, 0);
    assert_eq!(bench.once().code, 0);
    assert!(!bench.rendered("web/deployment.apps-sessions.yaml").exists());

    let nobody = windlass.run(&["sync", "nobody", "--state", &state]);
    assert_eq!(nobody.code, 2, "{nobody:?}");
}

#[test]
fn a_killed_agent_converges_at_its_next_start() {
    let bench = Bench::new();
    let (source, target) = (bench.repo.path().to_str().unwrap(), format!("dir:{}", bench.rendered("").display()));
    let state = bench.state();
    for pause in [0, 5, 20, 40, 80] {
        let args = ["agent", "--source", source, "--target", &target, "--state", &state, "--listen", "127.0.0.1:0"];
        let process = bench.windlass.start(&args);
        std::thread::sleep(std::time::Duration::from_millis(pause));
        process.signal("KILL");
        drop(process);
    }
    let healed = bench.once();
    assert_eq!(healed.code, 0, "{healed:?}");
    assert_eq!(Bench::first_line(&bench.once()), "nothing changed");
    bench.repo.remove("cache.yaml").commit("no cache");
    assert_eq!(Bench::first_line(&bench.once()), "pruned 2");
}

#[test]
fn validate_names_the_line_and_render_goes_on_with_the_rest() {
    let windlass = Windlass::new();
    let broken = CACHE.replace("size: 3", "size: 2");
    let write = |path: &str, text: &str| {
        let path = windlass.home().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("docs/cache.yaml", &broken);
    write("docs/page.yaml", PAGE);
    let validate = windlass.run(&["validate", "docs"]);
    assert_eq!(validate.code, 1, "{validate:?}");
    assert!(validate.stdout.starts_with("docs/cache.yaml:7:"), "{}", validate.stdout);
    let render = windlass.run(&["render", "docs", "-o", "json"]);
    assert_eq!(render.code, 1, "{render:?}");
    let plan: serde_json::Value = serde_json::from_str(&render.stdout).unwrap();
    assert_eq!(plan["steps"][0]["id"], "object/core/ConfigMap/web/page");
    assert_eq!(windlass.run(&["render", "docs", "-o", "json"]).stdout, render.stdout);
    assert_eq!(windlass.run(&["validate", "docs/page.yaml"]).code, 0);
    assert_eq!(windlass.run(&["validate", "nowhere"]).code, 2);
}

#[test]
fn a_gitsync_that_asks_for_what_is_not_built_is_not_started() {
    let windlass = Windlass::new();
    let file = windlass.home().join("sync.yaml");
    let text = "apiVersion: windlass.dev/v1alpha1\nkind: GitSync\nmetadata:\n  name: platform\nspec:\n  source:\n    url: /nowhere\n    verify:\n      mode: Head\n      secretRef:\n        name: keys\n  prun: true\n";
    std::fs::write(&file, text).unwrap();
    let refused = windlass.run(&["agent", "--once", "-f", "sync.yaml"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("sync.yaml:8:5: NotSupported:"), "{}", refused.stderr);
    assert!(refused.stderr.contains("sync.yaml:12:3: UnknownField:"), "{}", refused.stderr);
    assert!(!Path::new(&windlass.home().join("state")).exists());
}

#[test]
fn usage_errors_exit_with_2_and_every_command_teaches_by_example() {
    let windlass = Windlass::new();
    assert_eq!(windlass.run(&["agent", "--sauce", "."]).code, 2);
    assert_eq!(windlass.run(&["nonsense"]).code, 2);
    for command in ["agent", "render", "validate", "status", "sync", "suspend", "resume", "inventory", "crds"] {
        let help = windlass.run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{help:?}");
        assert!(
            help.stdout.contains("Example") && help.stdout.contains(&format!("windlass {command}")),
            "{}",
            help.stdout
        );
    }
    let crds = windlass::sync::crds().len() + windlass::kinds::crds().len();
    assert_eq!(windlass.run(&["crds"]).stdout.matches("kind: CustomResourceDefinition").count(), crds);
}
