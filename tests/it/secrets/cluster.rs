//! Canaries against a real API server, also one that quotes what it refuses.

use serde_json::{Value, json};

use super::{NEIGHBOUR, clean, clean_files, good, secret};
use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::proxy::{Answer, Proxy};
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

/// A Status that quotes the value, as the API server's and webhooks' do.
fn quoting(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        "details": {"causes": [{"field": "data[password]", "message": "Invalid value: \"c4n4ry\"", "reason": "FieldValueInvalid"}]},
    });
    Answer::Http(code, vec![("content-type", "application/json".into())], status.to_string())
}

/// Everything that the program wrote into the cluster beside the Secrets.
fn written(plane: &ControlPlane) -> String {
    let kinds = "gitsyncs.windlass.dev,configmaps,events,namespaces,leases";
    plane.kubectl(&["get", kinds, "-A", "-o", "yaml", "--show-managed-fields"])
}

#[test]
fn a_cluster_shows_no_secret_value_beside_the_secret_and_no_plain_hash_of_it() {
    let plane = own_control_plane();
    let proxy = Proxy::start(&plane);
    let windlass = Windlass::on(&proxy.kubeconfig(&plane));
    plane.kubectl(&["create", "namespace", "windlass-system"]);
    let repo = GitRepo::with(&[
        ("namespace.yaml", super::NAMESPACE),
        ("neighbour.yaml", NEIGHBOUR),
        ("good.yaml", &good("c4n4ry-string")),
        ("bad/base64.yaml", &secret("base64", "data: {a: c4n4ry!!}\n")),
        ("bad/type.yaml", &secret("type", "data: c4n4ry\n")),
        ("bad/field.yaml", &secret("field", "stringdata: {a: c4n4ry}\n")),
    ]);
    for (name, answer) in [
        ("invalid", quoting(422, "Invalid", "Secret \"x\" is invalid: data[password]: Invalid value: \"c4n4ry\"")),
        ("internal", quoting(500, "InternalError", "failed to create typed patch object: c4n4ry")),
        ("denied", quoting(403, "Forbidden", "admission webhook \"no.weak\" denied the request: c4n4ry is weak")),
        ("conflict", quoting(409, "Conflict", "c4n4ry")),
        ("bad", Answer::Http(400, Vec::new(), "cannot read c4n4ry".into())),
    ] {
        repo.write(&format!("refused/{name}.yaml"), &secret(name, "stringData: {password: c4n4ry}\n"));
        let path = format!("/secrets/{name}");
        proxy.answer(move |seen| seen.is_write() && seen.path.ends_with(&path), usize::MAX, answer);
    }
    repo.commit("refused ones");

    let source = repo.path().to_str().unwrap();
    let once = || windlass.run(&["agent", "--once", "--source", source, "--log-level", "trace"]);
    let first = once();
    assert_eq!(first.code, 1, "{first:?}");
    clean("stdout", &first.stdout);
    clean("stderr", &first.stderr);
    let live: Value =
        serde_json::from_str(&plane.kubectl(&["get", "secret", "good", "-n", "web", "-o", "json"])).unwrap();
    assert_eq!(live["data"]["password"], "YzRuNHJ5LXN0cmluZw==");
    clean_files(&windlass.home().join("state"), &|path| path.ends_with("clone.git"));
    let status = windlass.run(&["status", "-o", "json"]);
    clean("status", &status.stdout);
    assert!(status.stdout.contains("admission webhook no.weak refuses the Secret at data[password]"), "{status:?}");
    clean("the cluster", &written(&plane));

    // As a GitSync of the cluster, with its status, Events and inventory.
    let agent = windlass.start(&["agent", "--listen", "127.0.0.1:0", "--log-level", "trace", "--log-format", "json"]);
    let sync = json!({"apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
        "metadata": {"name": "canaries", "namespace": "windlass-system"},
        "spec": {"source": {"url": source}, "adoption": "AdoptAll", "timeout": "20s"}});
    let file = windlass.home().join("sync.json");
    std::fs::write(&file, sync.to_string()).unwrap();
    plane.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let args = ["get", "gitsync", "canaries", "-n", "windlass-system", "-o", "json"];
    until_blocking("a pass with failures in the GitSync's status", || {
        let status: Value = serde_json::from_str(&plane.kubectl(&args)).unwrap();
        (status["status"]["counts"]["failed"].as_u64()? > 0).then_some(())
    });
    clean("the cluster with a GitSync", &written(&plane));
    clean("the agent's log", &agent.log());
}

#[test]
fn a_lost_key_makes_secrets_be_applied_once_more_and_nothing_else() {
    let plane = own_control_plane();
    let windlass = Windlass::on(&plane.kubeconfig());
    let repo = GitRepo::with(&[
        ("namespace.yaml", super::NAMESPACE),
        ("neighbour.yaml", NEIGHBOUR),
        ("good.yaml", &secret("good", "data: {password: YzRuNHJ5}\n")),
    ]);
    let source = repo.path().to_str().unwrap();
    let once = |told: &str| {
        let ran = windlass.run(&["agent", "--once", "--source", source]);
        assert!(ran.code == 0 && ran.stdout.contains(told), "{told}: {ran:?}");
    };
    let key = ["secret", "windlass-hash-key", "-n", "windlass-system"];
    let hash = || {
        let path = "jsonpath={.metadata.annotations.windlass\\.dev/content-hash}";
        plane.kubectl(&["get", "secret", "good", "-n", "web", "-o", path])
    };
    once(": applied 3\n");
    let first = hash();
    let manifest = json!({"object": {"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "good", "namespace": "web"}, "data": {"password": "YzRuNHJ5"}}});
    assert_ne!(first, windlass::canonical::hash(&manifest), "the hash is not keyed");
    once(": nothing changed\n");

    plane.kubectl(&[&["delete"], &key[..]].concat());
    once(": applied 1\n");
    assert_ne!(hash(), first);
    once(": nothing changed\n");

    // Somebody else's Secret of that name is left alone; the hash is then keyed for one run.
    plane.kubectl(&[&["patch"], &key[..], &["--type=merge", "-p", r#"{"data":{"key":"c2hvcnQ="}}"#]].concat());
    let before = hash();
    once(": applied 1\n");
    assert_ne!(hash(), before);
    let kept = plane.kubectl(&[&["get"], &key[..], &["-o", "jsonpath={.data.key}"]].concat());
    assert_eq!(kept, "c2hvcnQ=");
}
