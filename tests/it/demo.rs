//! `windlass demo` as a user runs it: the real binary, a real repository, no cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::support::process::Process;
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

struct Demo {
    process: Process,
    folder: PathBuf,
    address: String,
    // Holds the folder for temporary files.
    _temp: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let windlass = Windlass::new();
        let mut command = windlass.command(&["demo"]);
        command.env("TMPDIR", temp.path());
        let mut process = Process::start("demo", &mut command, temp.path().join("output.log")).unwrap();
        Windlass::await_output(&mut process, "Commits as they land:");
        let output = process.log();
        let folder = std::fs::read_dir(temp.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("windlass-demo-"))
            .unwrap();
        let address = output.lines().find_map(|line| line.split("http://").nth(1)).unwrap();
        let address = address.trim_end_matches('/').to_owned();
        Self { process, folder: folder.canonicalize().unwrap(), address, _temp: temp }
    }

    fn rendered(&self, path: &str) -> PathBuf {
        self.folder.join("rendered").join(path)
    }

    fn git(&self, args: &[&str]) {
        let done = Command::new("git")
            .current_dir(self.folder.join("repo"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

const CACHE: &str = "repo/environments/production/cache.yaml";
const RENDERED: &str = "production/deployment.apps-sessions.yaml";

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_commit_lands_a_hand_edit_is_reverted_a_broken_file_prunes_nothing_and_a_signal_ends_it() {
    let mut demo = Demo::start();
    assert!(std::fs::read_to_string(demo.rendered(RENDERED)).unwrap().contains("replicas: 3"));

    edit(&demo.folder.join(CACHE), "size: 3", "size: 1");
    demo.git(&["commit", "-qam", "One cache is enough"]);
    let committed = Instant::now();
    until_blocking("the commit lands", || {
        std::fs::read_to_string(demo.rendered(RENDERED)).ok().filter(|text| text.contains("replicas: 1"))
    });
    assert!(committed.elapsed().as_secs() < 10, "{:?}", committed.elapsed());
    Windlass::await_output(&mut demo.process, "One cache is enough");

    let wanted = std::fs::read_to_string(demo.rendered(RENDERED)).unwrap();
    std::fs::write(demo.rendered(RENDERED), "oops").unwrap();
    until_blocking("the hand edit is reverted", || {
        std::fs::read_to_string(demo.rendered(RENDERED)).ok().filter(|text| *text == wanted)
    });

    let whole = std::fs::read_to_string(demo.folder.join(CACHE)).unwrap();
    std::fs::write(demo.folder.join(CACHE), format!("{whole}  oops: [\n")).unwrap();
    demo.git(&["commit", "-qam", "Break a file"]);
    Windlass::await_output(&mut demo.process, "Break a file: nothing to change");
    assert!(demo.rendered(RENDERED).exists());
    let status = Windlass::new().run(&["status", "--agent", &format!("http://{}", demo.address)]);
    assert_eq!(status.code, 1, "{}", status.stderr);
    assert!(status.stdout.starts_with("The sync needs you."), "{}", status.stdout);
    assert!(status.stdout.contains("environments/production/cache.yaml:9:9: YamlSyntax:"), "{}", status.stdout);

    std::fs::write(demo.folder.join(CACHE), whole).unwrap();
    demo.git(&["rm", "-q", "environments/staging/cache.yaml"]);
    demo.git(&["commit", "-qam", "Staging needs no cache"]);
    Windlass::await_output(&mut demo.process, "Staging needs no cache: 2 deleted");
    assert!(!demo.rendered("staging/deployment.apps-sessions.yaml").exists());

    demo.process.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut demo.process), 0, "{}", demo.process.log());
    assert!(demo.process.log().contains("Everything stays in"), "{}", demo.process.log());
    assert!(demo.folder.join(CACHE).exists());
}

#[test]
fn the_three_things_to_try_work_word_for_word() {
    let mut demo = Demo::start();
    let printed = demo.process.log();
    let commands: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("     "))
        .filter(|line| ["sed ", "git ", "echo ", "cat "].iter().any(|start| line.starts_with(start)))
        .collect();
    assert_eq!(commands.len(), 8, "{printed}");
    for command in commands {
        let done = Command::new("sh").args(["-c", command]).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
    }
    Windlass::await_output(&mut demo.process, "Remove a file: 2 deleted");
    assert!(!demo.rendered("staging/deployment.apps-sessions.yaml").exists());
    let kept = std::fs::read_to_string(demo.rendered(RENDERED)).unwrap();
    assert!(kept.contains("replicas: 1") && !kept.contains("oops"), "{kept}");
    let status = Windlass::new().run(&["status", "--agent", &format!("http://{}", demo.address)]);
    assert!(status.stdout.starts_with("The sync is live."), "{}", status.stdout);
}
