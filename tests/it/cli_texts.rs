//! Everything that the command line says about itself, and how a sync looks in `status`, word for word.
//!
//! `INSTA_UPDATE=always cargo test --test it cli_texts::` writes the snapshots anew; read the difference before committing it.

use crate::support::git_repo::GitRepo;
use crate::support::windlass::{Finished, Windlass};

const COMMANDS: &[&str] = &[
    "demo",
    "agent",
    "render",
    "validate",
    "diff",
    "status",
    "sync",
    "suspend",
    "resume",
    "trace",
    "inventory",
    "crds",
    "install",
    "uninstall",
    "completions",
];

#[test]
fn the_help_of_every_command() {
    let windlass = Windlass::new();
    let mut text = windlass.run(&["--help"]).stdout;
    for command in COMMANDS {
        let help = windlass.run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{help:?}");
        text.push_str(&format!("\n──── windlass {command} --help\n{}", help.stdout));
    }
    // A description may go on in the next line, further in.
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed = listed.filter(|line| !line.starts_with("   ")).count();
    assert_eq!(listed, COMMANDS.len(), "every command is shown here");
    insta::assert_snapshot!("help", text);
}

/// The example repository, and a folder that follows it.
struct Bench {
    windlass: Windlass,
    repo: GitRepo,
}

impl Bench {
    fn run(&self, args: &[&str]) -> Finished {
        let state = self.windlass.home().join("sync");
        self.windlass.run(&[args, &["--state", state.to_str().unwrap()]].concat())
    }

    fn once(&self) {
        let (source, target) = (self.repo.path().to_str().unwrap(), self.windlass.home().join("rendered"));
        self.run(&["agent", "--once", "--source", source, "--target", &format!("dir:{}", target.display())]);
    }

    fn name(&self) -> String {
        self.repo.path().file_name().unwrap().to_str().unwrap().to_lowercase()
    }

    /// `status`, without what differs from run to run.
    fn status(&self, args: &[&str]) -> String {
        let status = self.run(&[&["status"], args].concat());
        let text = status.stdout.replace(&self.repo.head()[..7], "COMMIT").replace(&self.name(), "platform");
        format!("{text}──── exit {}\n", status.code)
    }
}

#[test]
fn the_status_of_a_sync_that_is_live_failing_or_suspended() {
    let bench = Bench { windlass: Windlass::new(), repo: GitRepo::copy_of("example-repo") };
    bench.once();
    insta::assert_snapshot!("status_live", bench.status(&[]));
    insta::assert_snapshot!("status_live_everything", bench.status(&[&bench.name()]));

    let cache = "environments/production/cache.yaml";
    bench.repo.write(cache, &bench.repo.read(cache).replace("size: 3", "size: 2")).commit("an even cache");
    bench.once();
    insta::assert_snapshot!("status_failing", bench.status(&[]));

    assert_eq!(bench.run(&["suspend", &bench.name()]).code, 0);
    bench.once();
    insta::assert_snapshot!("status_suspended", bench.status(&[]));
}

#[test]
fn what_validate_prints() {
    let windlass = Windlass::new();
    std::fs::create_dir_all(windlass.home().join("docs")).unwrap();
    for (file, text) in [
        (
            "cache.yaml",
            "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata:\n  name: a\n  namespace: web\nspec:\n  size: 2\n  colour: red\n",
        ),
        ("broken.yaml", "kind: [\n"),
        (
            "twice.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n",
        ),
    ] {
        std::fs::write(windlass.home().join("docs").join(file), text).unwrap();
    }
    let found = windlass.run(&["validate", "docs"]);
    assert_eq!(found.code, 1, "{found:?}");
    insta::assert_snapshot!("validate", format!("{}{}", found.stdout, found.stderr));
}
