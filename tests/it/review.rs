//! `windlass diff`, `trace` and `inventory --repair` without a cluster: two revisions, a folder, and their words.
//!
//! `INSTA_UPDATE=always cargo test --test it review::` writes the snapshots anew; read the difference before committing it.

use std::path::PathBuf;

use crate::support::git_repo::GitRepo;
use crate::support::windlass::{Finished, Windlass};

/// A branch that touches most of what a change can touch.
fn history() -> GitRepo {
    let repo = GitRepo::copy_of("example-repo");
    repo.git(&["branch", "base"]);
    let edit = |file: &str, from: &str, to: &str| {
        let text = repo.read(file);
        assert!(text.contains(from), "{file} holds {from}");
        repo.write(file, &text.replace(from, to));
    };
    edit("environments/production/cache.yaml", "size: 3", "size: 1");
    edit("environments/staging/web.yaml", "busybox:1.37", "busybox:1.38");
    repo.remove("environments/staging/network.yaml");
    repo.write(
        "environments/staging/login.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n  namespace: staging\nstringData:\n  password: c4n4ry-new\n",
    );
    edit("environments/production/warmup.yaml", "job_count: 2", "job_count: 3");
    repo.commit("Touch most of it");
    repo
}

fn run(windlass: &Windlass, repo: &GitRepo, args: &[&str]) -> Finished {
    let all = [&["diff", repo.path().to_str().unwrap()], args].concat();
    let mut finished = windlass.run(&all);
    let head = repo.head();
    for (from, to) in [(head.as_str(), "HEAD-ID"), (&head[..7], "HEAD")] {
        finished.stdout = finished.stdout.replace(from, to);
    }
    let base = repo.git(&["rev-parse", "--short=7", "base"]);
    finished.stdout = finished.stdout.replace(base.trim(), "BASE");
    finished
}

#[test]
fn two_revisions_of_the_example_in_all_three_forms() {
    let (windlass, repo) = (Windlass::new(), history());
    let args = ["--base", "base", "--head", "main"];
    for (name, more) in
        [("review_text", &[][..]), ("review_markdown", &["-o", "markdown"]), ("review_json", &["-o", "json"])]
    {
        let found = run(&windlass, &repo, &[&args[..], more].concat());
        assert_eq!(found.code, 1, "{found:?}");
        assert_eq!(found.stderr, "");
        assert!(!found.stdout.contains("c4n4ry"), "{}", found.stdout);
        insta::assert_snapshot!(name, found.stdout);
    }
    let back = run(&windlass, &repo, &["--base", "main", "--head", "main"]);
    assert_eq!(
        (back.code, back.stdout.as_str()),
        (0, "main (HEAD) → main (HEAD)\nnothing differs: 73 steps as wanted\n")
    );
}

#[test]
fn without_a_head_the_folder_is_read_as_it_is() {
    let (windlass, repo) = (Windlass::new(), GitRepo::with(&[("a.yaml", &map("a", "1"))]));
    repo.write("a.yaml", &map("a", "2"));
    let found = windlass.finish(windlass.command(&["diff", ".", "--base", "main"]).current_dir(repo.path()));
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains("→ the working copy\n"), "{}", found.stdout);
    assert!(found.stdout.contains("~ data.v: \"1\" → \"2\"\n"), "{}", found.stdout);
    let unknown = windlass.run(&["diff", repo.path().to_str().unwrap(), "--base", "nowhere"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("cannot read nowhere: "), "{}", unknown.stderr);
}

fn map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\ndata:\n  v: \"{value}\"\n"
    )
}

fn secret(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\n  namespace: default\nstringData:\n  password: {value}\n"
    )
}

/// A repository, and the folder that an agent keeps like it.
struct Bench {
    windlass: Windlass,
    repo: GitRepo,
}

impl Bench {
    fn new() -> Self {
        let repo = GitRepo::with(&[
            ("a.yaml", &map("a", "1")),
            ("b.yaml", &map("b", "1")),
            ("login.yaml", &secret("c4n4ry-one")),
        ]);
        Self { windlass: Windlass::new(), repo }
    }

    fn source(&self) -> &str {
        self.repo.path().to_str().unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.windlass.home().join("rendered")
    }

    fn target(&self) -> String {
        format!("dir:{}", self.folder().display())
    }

    fn once(&self) -> Finished {
        self.windlass.run(&["agent", "--once", "--source", self.source(), "--target", &self.target()])
    }

    fn diff(&self, args: &[&str]) -> Finished {
        self.windlass.run(&[&["diff", self.source(), "--target", &self.target()], args].concat())
    }

    fn name(&self) -> String {
        self.repo.path().file_name().unwrap().to_str().unwrap().to_lowercase()
    }

    fn state(&self, file: &str) -> PathBuf {
        self.windlass.home().join("state/windlass/windlass-system").join(self.name()).join(file)
    }
}

#[test]
fn a_folder_is_compared_as_it_is_and_stays_so() {
    let bench = Bench::new();
    let all = bench.diff(&[]);
    assert_eq!(all.code, 1, "{all:?}");
    assert!(all.stdout.ends_with("3 created; 0 steps as wanted\n"), "{}", all.stdout);
    assert!(!bench.folder().exists() && !bench.state("").exists(), "a look makes nothing");

    assert_eq!(bench.once().code, 0);
    let quiet = bench.diff(&[]);
    assert_eq!(quiet.code, 0, "{quiet:?}");
    assert!(quiet.stdout.ends_with("nothing differs: 3 steps as wanted\n"), "{}", quiet.stdout);

    let file = bench.folder().join("default/configmap-a.yaml");
    let edited = std::fs::read_to_string(&file).unwrap().replace("v: \"1\"", "v: \"7\"");
    std::fs::write(&file, &edited).unwrap();
    bench.repo.remove("b.yaml").write("c.yaml", &map("c", "1")).write("login.yaml", &secret("c4n4ry-two"));
    for form in ["text", "markdown", "json"] {
        let found = bench.diff(&["-o", form, "--full"]);
        assert_eq!(found.code, 1, "{found:?}");
        assert!(!found.stdout.contains("c4n4ry") && !found.stdout.contains("YzRuNHJ5"), "{}", found.stdout);
    }
    let found = bench.diff(&[]);
    for line in [
        "DELETE    ConfigMap default/b",
        "change    ConfigMap default/a   a.yaml:1\n          somebody else changed it in the target\n          ~ data.v: \"7\" → \"1\"\n",
        "change    Secret default/login  login.yaml:1\n          ~ stringData.password: changed, not shown\n",
        "create    ConfigMap default/c   c.yaml:1\n",
        "1 deleted, 2 changed, 1 created; 0 steps as wanted\n",
    ] {
        assert!(found.stdout.contains(line), "{line}: {}", found.stdout);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited, "a look changes nothing");
}

#[test]
fn what_is_refused_says_why_and_how_it_is_released() {
    let bench = Bench::new();
    for number in 0..12 {
        bench.repo.write(&format!("many/{number}.yaml"), &map(&format!("many-{number}"), "1"));
    }
    bench.repo.commit("many");
    assert_eq!(bench.once().code, 0);
    for number in 0..12 {
        bench.repo.remove(&format!("many/{number}.yaml"));
    }
    let found = bench.diff(&[]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains("12 refused; 3 steps as wanted\n"), "{}", found.stdout);
    assert!(found.stdout.contains("Windlass-Acknowledge: "), "{}", found.stdout);
    assert_eq!(found.stdout.matches("as above").count(), 11, "{}", found.stdout);
}

#[test]
fn a_file_of_a_folder_is_traced_to_its_commit_and_line() {
    let bench = Bench::new();
    assert_eq!(bench.once().code, 0);
    let traced = bench.windlass.run(&["trace", "cm", "default/a"]);
    assert_eq!(traced.code, 0, "{traced:?}");
    let commit = format!("  commit    {}  first\n", &bench.repo.head()[..7]);
    for line in ["ConfigMap default/a\n", &commit, "  file      a.yaml:1, document 1\n", "Ready\n"] {
        assert!(traced.stdout.contains(line), "{line}: {}", traced.stdout);
    }
    assert!(traced.stdout.contains("rendered/default/configmap-a.yaml\n"), "{}", traced.stdout);
}

#[test]
fn a_lost_inventory_of_a_folder_is_recorded_again_and_prunes_as_before() {
    let bench = Bench::new();
    assert_eq!(bench.once().code, 0);
    let listed = bench.windlass.run(&["inventory", &bench.name()]);
    assert!(listed.stdout.contains("ConfigMap default/a   a.yaml#1\n"), "{}", listed.stdout);
    assert!(listed.stdout.contains("3 entries; of "), "{}", listed.stdout);
    std::fs::remove_file(bench.state("inventory.json")).unwrap();
    std::fs::write(bench.folder().join("default/of-somebody.yaml"), "a: b\n").unwrap();

    let unasked = bench.windlass.run(&["inventory", &bench.name(), "--repair"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.stdout.contains("3 objects carry this sync's mark"), "{}", unasked.stdout);
    assert!(!bench.state("inventory.json").exists());
    let repaired = bench.windlass.run(&["inventory", &bench.name(), "--repair", "--yes"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert!(repaired.stdout.contains(": 3 entries recorded, 3 in all\n"), "{}", repaired.stdout);

    bench.repo.remove("b.yaml").commit("one less");
    assert_eq!(bench.once().code, 0);
    assert!(!bench.folder().join("default/configmap-b.yaml").exists());
    assert!(bench.folder().join("default/of-somebody.yaml").exists());
}

#[test]
fn an_older_commit_is_gone_to_while_the_forge_is_down() {
    let bench = Bench::new();
    let first = bench.repo.head();
    assert_eq!(bench.once().code, 0);
    bench.repo.write("c.yaml", &map("c", "1")).commit("more");
    assert_eq!(bench.once().code, 0);
    let (file, name) = (bench.folder().join("default/configmap-c.yaml"), bench.name());
    assert!(file.exists());
    let away = bench.windlass.home().join("away");
    std::fs::rename(bench.repo.path(), &away).unwrap();

    let asked = bench.windlass.run(&["sync", &name, "--revision", &first[..9]]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(asked.stdout.contains(&format!("`windlass sync {name}` follows the source again")), "{}", asked.stdout);
    let held = bench.once();
    assert_eq!(held.code, 0, "{held:?}");
    assert!(!file.exists(), "the older commit knows no c");
    let status = bench.windlass.run(&["status"]);
    assert!(status.stdout.contains(&format!("It is held at {}; ", &first[..7])), "{}", status.stdout);

    std::fs::rename(&away, bench.repo.path()).unwrap();
    assert_eq!(bench.windlass.run(&["sync", &name]).code, 0);
    assert_eq!(bench.once().code, 0);
    assert!(file.exists());
    assert!(!bench.windlass.run(&["status"]).stdout.contains("held at"));
}

#[test]
fn a_gitsync_in_a_repository_is_checked_as_the_agent_will() {
    let windlass = Windlass::new();
    let sync = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n---\napiVersion: windlass.dev/v1alpha1\n\
        kind: GitSync\nmetadata: {name: platform, namespace: windlass-system}\nspec:\n  source:\n    url: https://example.org/a.git\n    \
        interval: soon\n  pruned: true\n  preview:\n    provider: github\n";
    std::fs::create_dir(windlass.home().join("docs")).unwrap();
    std::fs::write(windlass.home().join("docs/sync.yaml"), sync).unwrap();
    let found = windlass.run(&["validate", "docs"]);
    assert_eq!(found.code, 1, "{found:?}");
    for part in ["docs/sync.yaml:11:", "docs/sync.yaml:12:3: UnknownField: ", "NotSupported: warning: "] {
        assert!(found.stdout.contains(part), "{part}: {}", found.stdout);
    }
}
