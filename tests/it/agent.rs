//! The agent as a process on a folder: what holds it back, what releases it, and how it ends.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::wait::until_blocking;
use crate::support::windlass::{Finished, Windlass};

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: web\ndata:\n  a: b\n")
}

/// One GitSync in a file, the repository it follows, and the folder it writes.
struct Bench {
    windlass: Windlass,
    repo: GitRepo,
}

impl Bench {
    /// A repository with a ConfigMap a file.
    fn new(names: &[&str]) -> Self {
        let repo = GitRepo::new();
        for name in names {
            repo.write(&format!("{name}.yaml"), &map(name));
        }
        repo.commit("first");
        let bench = Self { windlass: Windlass::new(), repo };
        bench.sync(json!({}), json!({}));
        bench
    }

    /// Writes the GitSync anew, with more metadata and spec.
    fn sync(&self, metadata: Value, spec: Value) {
        let mut sync = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": { "name": "platform" },
            "spec": {
                "source": { "url": self.repo.url(), "interval": "1s" },
                "target": { "directory": { "path": self.rendered("") } },
            },
        });
        for (part, more) in [("metadata", metadata), ("spec", spec)] {
            for (key, value) in more.as_object().unwrap() {
                sync[part][key] = value.clone();
            }
        }
        std::fs::write(self.windlass.home().join("sync.json"), sync.to_string()).unwrap();
    }

    fn once(&self) -> Finished {
        self.windlass.run(&["agent", "--once", "-f", "sync.json"])
    }

    fn start(&self) -> Process {
        let mut process = self.windlass.start(&["agent", "-f", "sync.json", "--listen", "127.0.0.1:0"]);
        Windlass::await_output(&mut process, "pass ended");
        process
    }

    /// Path of a rendered file; of the folder for an empty name.
    fn rendered(&self, name: &str) -> PathBuf {
        let folder = self.windlass.home().join("rendered");
        if name.is_empty() { folder } else { folder.join(format!("web/configmap-{name}.yaml")) }
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.rendered(name).exists())
    }

    fn state(&self, path: &str) -> PathBuf {
        self.windlass.home().join("state/windlass/windlass-system/platform").join(path)
    }

    /// The sync as `status -o json` tells it.
    fn view(&self) -> Value {
        let status = self.windlass.run(&["status", "-o", "json", "--state", self.state("").to_str().unwrap()]);
        let view: Value = serde_json::from_str(&status.stdout).unwrap_or_else(|error| panic!("{error}: {status:?}"));
        view["syncs"][0].clone()
    }

    /// Reason and message of Ready.
    fn ready(&self) -> (String, String) {
        let view = self.view();
        let ready = view["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready").unwrap().clone();
        (ready["reason"].as_str().unwrap().to_owned(), ready["message"].as_str().unwrap().to_owned())
    }

    /// The token that a refusal prints.
    fn token(&self) -> String {
        let (reason, message) = self.ready();
        assert_eq!(reason, "Refused", "{message}");
        let (_, rest) = message.split_once("Windlass-Acknowledge: ").unwrap_or_else(|| panic!("no token in {message}"));
        rest.chars().take_while(char::is_ascii_alphanumeric).collect()
    }
}

#[test]
fn a_commit_trailer_releases_exactly_the_deletions_that_were_refused() {
    let bench = Bench::new(&["a", "b", "c", "d"]);
    bench.sync(json!({}), json!({ "budget": { "maxDeletes": 1 } }));
    assert_eq!(bench.once().code, 0);
    bench.repo.remove("a.yaml").remove("b.yaml").commit("two at once");
    let refused = bench.once();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(bench.has(&["a", "b", "c", "d"]), "{refused:?}");
    let token = bench.token();

    bench.repo.commit("Not that\n\nWindlass-Acknowledge: 0123456789");
    assert_eq!(bench.once().code, 1);
    assert!(bench.has(&["a", "b"]));

    // One more than was seen is another list.
    bench.repo.remove("c.yaml").commit(&format!("Go on\n\nWindlass-Acknowledge: {token}"));
    assert_eq!(bench.once().code, 1);
    assert!(bench.has(&["a", "b", "c"]));

    bench.repo.write("c.yaml", &map("c")).commit(&format!("Go on\n\nWindlass-Acknowledge: {token}"));
    let released = bench.once();
    assert_eq!(released.code, 0, "{released:?}");
    assert!(!bench.rendered("a").exists() && !bench.rendered("b").exists() && bench.has(&["c", "d"]));
}

#[test]
fn an_annotation_of_the_gitsync_releases_a_refused_deletion() {
    let bench = Bench::new(&["a", "b", "c"]);
    let budget = json!({ "budget": { "maxDeletes": 1 } });
    bench.sync(json!({}), budget.clone());
    assert_eq!(bench.once().code, 0);
    bench.repo.remove("a.yaml").remove("b.yaml").commit("two at once");
    assert_eq!(bench.once().code, 1);
    bench.sync(json!({ "annotations": { "windlass.dev/acknowledge": bench.token() } }), budget);
    assert_eq!(bench.once().code, 0);
    assert!(!bench.rendered("a").exists() && bench.has(&["c"]));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the window has to lie far from today")]
fn a_closed_window_holds_writes_and_names_its_next_opening() {
    let bench = Bench::new(&["a", "b"]);
    assert_eq!(bench.once().code, 0);
    // Far from today, whatever day it is.
    let opening =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(jiff::Span::new().days(40)).unwrap();
    let schedule = format!("0 0 {} {} *", opening.day(), opening.month());
    bench.sync(json!({}), json!({ "windows": [{ "schedule": schedule, "duration": "1h" }] }));
    let quiet = bench.once();
    assert_eq!(quiet.code, 0, "nothing to write waits for nothing: {quiet:?}");

    bench.repo.remove("a.yaml").write("c.yaml", &map("c")).commit("more");
    let held = bench.once();
    assert_eq!(held.code, 1, "{held:?}");
    assert!(bench.has(&["a", "b"]) && !bench.rendered("c").exists());
    let (reason, message) = bench.ready();
    assert_eq!(reason, "OutsideWindow");
    let day = opening.strftime("%Y-%m-%dT00:00:00Z").to_string();
    assert_eq!(message, format!("2 steps wait for a window; the next window opens at {day}."));

    bench.sync(json!({}), json!({}));
    assert_eq!(bench.once().code, 0);
    assert!(bench.has(&["b", "c"]) && !bench.rendered("a").exists());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the window has to lie far from today")]
fn drift_outside_of_windows_is_reported_and_not_corrected() {
    let bench = Bench::new(&["a"]);
    assert_eq!(bench.once().code, 0);
    let opening =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).checked_add(jiff::Span::new().days(40)).unwrap();
    let schedule = format!("0 0 {} {} *", opening.day(), opening.month());
    bench.sync(json!({}), json!({ "windows": [{ "schedule": schedule, "duration": "1h" }] }));
    std::fs::write(bench.rendered("a"), std::fs::read_to_string(bench.rendered("a")).unwrap().replace("a: b", "a: c"))
        .unwrap();
    assert_eq!(bench.once().code, 1);
    assert!(std::fs::read_to_string(bench.rendered("a")).unwrap().contains("a: c"), "it is left as it is");
    let view = bench.view();
    let step = &view["steps"][0];
    assert_eq!((step["state"].as_str(), step["reason"].as_str()), (Some("Waiting"), Some("OutsideWindow")));
    assert!(
        step["message"].as_str().unwrap().starts_with("was changed by somebody else and is to be put back"),
        "{step}"
    );
}

#[test]
fn a_suspended_sync_leaves_drift_alone_says_so_and_acts_at_once_when_resumed() {
    let bench = Bench::new(&["a"]);
    let mut agent = bench.start();
    let wanted = std::fs::read_to_string(bench.rendered("a")).unwrap();
    assert_eq!(bench.windlass.run(&["suspend", "platform"]).code, 0);
    let stalled = || {
        let view = bench.view();
        let stalled = view["conditions"].as_array()?.iter().find(|it| it["type"] == "Stalled")?.clone();
        (stalled["reason"] == "Suspended").then_some(())
    };
    until_blocking("it is suspended", stalled);
    std::fs::write(bench.rendered("a"), "edited").unwrap();
    bench.repo.write("b.yaml", &map("b")).commit("more");
    // A request is a pass, also while suspended: once it is over, nothing has been done.
    assert_eq!(bench.windlass.run(&["sync", "platform"]).code, 0);
    until_blocking("the request is taken", || {
        let left = std::fs::read_dir(bench.state("requests")).unwrap().count();
        (left == 0 && agent.log().matches("pass ended").count() >= 3).then_some(())
    });
    assert_eq!(std::fs::read_to_string(bench.rendered("a")).unwrap(), "edited");
    assert!(!bench.rendered("b").exists() && stalled().is_some());
    assert_eq!(bench.windlass.run(&["resume", "platform"]).code, 0);
    until_blocking("both are put right", || {
        (bench.has(&["b"]) && std::fs::read_to_string(bench.rendered("a")).unwrap() == wanted).then_some(())
    });
    agent.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut agent), 0, "{}", agent.log());
}

#[test]
fn syncs_of_one_file_run_in_the_order_of_need_and_a_flaw_ends_the_start() {
    let windlass = Windlass::new();
    let repo = GitRepo::with(&[("infra/a.yaml", &map("a")), ("apps/b.yaml", &map("b"))]);
    let sync = |name: &str, needs: &[&str]| {
        json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": { "name": name },
            "spec": {
                "source": { "url": repo.url(), "paths": [name] }, "dependsOn": needs,
                "target": { "directory": { "path": windlass.home().join(format!("rendered-{name}")) } },
            },
        })
        .to_string()
    };
    let run = |syncs: &[String]| {
        std::fs::write(windlass.home().join("syncs.yaml"), syncs.join("\n---\n")).unwrap();
        windlass.run(&["agent", "--once", "-f", "syncs.yaml"])
    };
    for (needs, told) in [
        (&["apps"][..], "goes in a circle: windlass-system/apps"),
        (&["gone"], "sync windlass-system/gone does not exist"),
    ] {
        let flawed = run(&[sync("apps", &["infra"]), sync("infra", needs)]);
        assert!(flawed.code == 2 && flawed.stderr.contains(told), "{flawed:#?}");
    }
    let own = run(&[sync("apps", &["windlass-system/apps"])]);
    assert!(own.code == 2 && own.stderr.contains("waits for itself"), "{own:#?}");
    assert!(!windlass.home().join("rendered-apps").exists());

    // What it waits for is not ready: it is not written, and says for what it waits.
    repo.write("infra/broken.yaml", "kind: [\n").commit("break");
    let waits = run(&[sync("apps", &["infra"]), sync("infra", &[])]);
    assert_eq!(waits.code, 1, "{waits:#?}");
    assert!(
        waits.stdout.contains("1 step waits: sync windlass-system/infra is not ready yet (Problems)."),
        "{waits:#?}"
    );
    assert!(!windlass.home().join("rendered-apps/web").exists());
    repo.remove("infra/broken.yaml").commit("mend");
    let good = run(&[sync("apps", &["infra"]), sync("infra", &[])]);
    assert_eq!(good.code, 0, "{good:#?}");
    let (first, second) = (good.stdout.find("windlass-system/infra at"), good.stdout.find("windlass-system/apps at"));
    assert!(first.is_some() && first < second, "{good:#?}");
}

#[test]
fn with_its_source_down_the_last_revision_stays_and_drift_is_corrected() {
    let bench = Bench::new(&["a", "b"]);
    assert_eq!(bench.once().code, 0);
    let wanted = std::fs::read_to_string(bench.rendered("a")).unwrap();
    let away = bench.windlass.home().join("away");
    std::fs::rename(bench.repo.path(), &away).unwrap();

    std::fs::write(bench.rendered("a"), "edited").unwrap();
    std::fs::remove_file(bench.rendered("b")).unwrap();
    let down = bench.once();
    assert_eq!(down.code, 1, "{down:?}");
    assert_eq!(bench.ready().0, "SourceUnavailable", "{down:?}");
    assert_eq!(std::fs::read_to_string(bench.rendered("a")).unwrap(), wanted);
    assert!(bench.has(&["b"]));

    // Without the clone nothing is known of the revision: it is only reported.
    std::fs::remove_dir_all(bench.state("clone.git")).unwrap();
    std::fs::create_dir(bench.repo.path()).unwrap();
    bench.repo.git(&["init", "--quiet", "."]);
    std::fs::write(bench.rendered("a"), "edited").unwrap();
    let blind = bench.once();
    assert_eq!(blind.code, 2, "{blind:?}");
    assert_eq!(bench.ready().0, "SourceUnavailable");
    assert_eq!(std::fs::read_to_string(bench.rendered("a")).unwrap(), "edited");
    assert!(bench.has(&["b"]));

    std::fs::remove_dir_all(bench.repo.path()).unwrap();
    std::fs::rename(&away, bench.repo.path()).unwrap();
    assert_eq!(bench.once().code, 0);
    assert_eq!(std::fs::read_to_string(bench.rendered("a")).unwrap(), wanted);
}

#[test]
fn two_agents_never_share_a_state_folder_and_a_running_one_hears_requests() {
    let bench = Bench::new(&["a"]);
    let first = bench.repo.head();
    let mut agent = bench.start();
    let second = bench.once();
    assert_eq!(second.code, 2, "{second:?}");
    let who = format!("is in use by another agent (process {} on ", agent.id());
    assert!(second.stderr.contains(&who) && second.stderr.contains("; stop that one"), "{}", second.stderr);

    bench.repo.write("b.yaml", &map("b")).commit("more");
    until_blocking("the commit lands", || bench.has(&["b"]).then_some(()));
    let held = bench.windlass.run(&["sync", "platform", "--revision", &first]);
    assert_eq!(held.code, 0, "{held:?}");
    assert!(held.stdout.contains("the agent does it now"), "{}", held.stdout);
    until_blocking("the old revision is back", || (!bench.rendered("b").exists()).then_some(()));
    assert_eq!(bench.windlass.run(&["sync", "platform"]).code, 0);
    until_blocking("the branch is followed again", || bench.has(&["b"]).then_some(()));

    agent.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut agent), 0, "{}", agent.log());
    assert_eq!(bench.once().code, 0);
}

#[test]
fn a_repository_that_moved_is_refused_until_the_inventory_is_recorded_for_its_new_place() {
    let bench = Bench::new(&["a", "b"]);
    assert_eq!(bench.once().code, 0);
    let nothing = bench.windlass.run(&["inventory", "platform", "--repair"]);
    assert!(nothing.code == 0 && nothing.stdout.contains("nothing to repair"), "{nothing:?}");

    let moved = bench.windlass.home().join("moved");
    bench.repo.remove("a.yaml").commit("one less");
    bench.repo.git(&["clone", "--quiet", ".", moved.to_str().unwrap()]);
    bench.sync(json!({}), json!({ "source": { "url": format!("file://{}", moved.display()) } }));
    let refused = bench.once();
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stdout.contains("windlass inventory NAME --repair"), "{}", refused.stdout);
    assert!(bench.has(&["a", "b"]));

    let listed = bench.windlass.run(&["inventory", "platform"]);
    assert!(listed.code == 0 && listed.stdout.contains("\n2 entries; "), "{listed:?}");
    let unasked = bench.windlass.run(&["inventory", "platform", "--repair"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.stderr.contains("Give --yes"), "{}", unasked.stderr);
    assert_eq!(bench.once().code, 2);

    assert_eq!(bench.windlass.run(&["inventory", "platform", "--repair", "--yes"]).code, 0);
    let goes_on = bench.once();
    assert!(goes_on.code == 0 && goes_on.stdout.contains(": pruned 1\n"), "{goes_on:?}");
    assert!(!bench.rendered("a").exists() && bench.has(&["b"]));
}

#[test]
fn once_says_what_came_of_it_by_its_exit_code() {
    let bench = Bench::new(&["a"]);
    assert_eq!(bench.once().code, 0);
    let again = bench.once();
    assert_eq!(again.code, 0);
    assert!(again.stdout.contains(": nothing changed\n"), "{}", again.stdout);
    bench.repo.write("broken.yaml", "kind: [\n").commit("break");
    assert_eq!(bench.once().code, 1);
    bench.sync(json!({}), json!({ "source": { "url": "file:///does/not/exist" } }));
    let unusable = bench.once();
    assert_eq!(unusable.code, 2, "{unusable:?}");
    bench.sync(json!({}), json!({ "prun": true }));
    assert_eq!(bench.once().code, 2);
}
