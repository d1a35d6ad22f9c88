//! The agent with no rights but those that `windlass install` gives it: what it may not do is named with the rule that
//! is missing, and that rule, once there, is enough.

use std::time::{Duration, Instant};

use super::shared::steps_of;
use crate::support::control_plane::own_control_plane;
use crate::support::git_repo::GitRepo;
use crate::support::wait::{PATIENCE, until_blocking};
use crate::support::windlass::Windlass;

const ACCOUNT: &str = "system:serviceaccount:windlass-system:windlass";

#[test]
fn the_installed_rights_apply_what_the_registry_names_and_the_printed_rules_are_enough_for_the_rest() {
    let plane = own_control_plane();
    let install = Windlass::new().run(&["install", "--rights", "registry"]);
    plane.apply(&install.stdout);
    // The agent runs here, as that account, not in the pod.
    plane.kubectl(&["scale", "deploy/windlass", "-n", "windlass-system", "--replicas=0"]);
    let token = plane.kubectl(&["create", "token", "windlass", "-n", "windlass-system", "--duration=1h"]);
    let server = plane.kubectl(&["config", "view", "-o=jsonpath={.clusters[0].cluster.server}"]);
    let windlass = Windlass::on(&plane.write_kubeconfig("account", &server, token.trim(), "windlass-system"));

    let repo = GitRepo::copy_of("example-repo");
    // A kind that neither the registry nor the list of plain objects names.
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata:\n  name: readers-first\nvalue: 10\n";
    repo.write("environments/production/priority.yaml", class).commit("a class of pods");
    let steps = steps_of(&repo);
    let sync = format!(
        "apiVersion: windlass.dev/v1alpha1\nkind: GitSync\nmetadata:\n  name: platform\n  namespace: windlass-system\nspec:\n  \
         retryInterval: 1s\n  source:\n    url: {}\n",
        repo.path().display()
    );
    plane.apply(&sync);
    let agent = windlass.start(&["agent", "--listen", "127.0.0.1:0"]);
    let get = |path: &str| {
        plane.kubectl(&["get", "gitsync/platform", "-n", "windlass-system", &format!("-o=jsonpath={path}")])
    };
    let ready = |reason: &str| {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = get("{.status.conditions[?(@.type==\"Ready\")].reason}");
            let message = get("{.status.conditions[?(@.type==\"Ready\")].message}");
            if found == reason {
                return message;
            }
            assert!(Instant::now() < end, "Ready is {found}, not {reason}: {message}\n{}", agent.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    };

    // Everything else is there.
    let message = ready("TargetUnavailable");
    for part in [
        "object/scheduling.k8s.io/PriorityClass",
        "no right to ",
        "apiGroups: [\"scheduling.k8s.io\"]",
        "windlass render --rbac",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Some of it comes up in turn.
    until_blocking("all but the class is ready", || {
        (get("{.status.counts.ready}") == (steps - 1).to_string()).then_some(())
    });
    plane.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=60s",
        "-n",
        "staging",
        "memcached/sessions",
        "goop/warmup",
    ]);
    plane.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=60s",
        "-n",
        "production",
        "memcached/sessions",
        "goop/warmup",
    ]);

    // What is printed covers the kinds; that a role may only be given by who holds it is Kubernetes' own rule.
    let rules = Windlass::new().run(&["render", "--rbac", repo.path().to_str().unwrap()]);
    assert!(rules.stdout.contains("escalate"), "{rules:#?}");
    plane.apply(&rules.stdout);
    let message = ready("Synced");
    assert!(message.contains(&format!("all {steps} steps are ready")), "{message}\n{}", agent.tail());
    let may =
        plane.kubectl_command().args(["auth", "can-i", "get", "secrets", "-n", "production", "--as", ACCOUNT]).output();
    assert!(!may.expect("kubectl").status.success(), "the printed rules are no more than it takes");
    assert!(!agent.log().contains("panicked"), "{}", agent.tail());
}
