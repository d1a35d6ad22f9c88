//! GitSyncs of a cluster as their users handle them with kubectl: made, changed, paused, deleted with and without what
//! they applied. The agent starts before its cluster answers.

use super::shared::exists;
use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::proxy::{Answer, Proxy};
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

/// The answer of the agent's own address.
fn health(port: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

fn map(namespace: &str, name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  a: {value}\n"
    )
}

fn repo(namespace: &str) -> GitRepo {
    let object = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    GitRepo::with(&[
        ("base/namespace.yaml", &object),
        ("base/one.yaml", &map(namespace, "one", "first")),
        ("more/two.yaml", &map(namespace, "two", "first")),
    ])
}

struct Handle<'a> {
    plane: &'a ControlPlane,
    name: &'static str,
}

impl Handle<'_> {
    fn create(&self, folder: &std::path::Path, repo: &GitRepo, policy: &str) {
        let url = repo.path().display();
        let text = format!(
            r#"{{"apiVersion":"windlass.dev/v1alpha1","kind":"GitSync","metadata":{{"name":"{}","namespace":"windlass-system"}},
            "spec":{{"source":{{"url":"{url}"}},"deletionPolicy":"{policy}","retryInterval":"1s"}}}}"#,
            self.name
        );
        let file = folder.join(format!("{}.json", self.name));
        std::fs::write(&file, text).unwrap();
        self.plane.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    }

    fn patch(&self, patch: &str) {
        self.plane.kubectl(&["patch", "gitsync", self.name, "-n", "windlass-system", "--type=merge", "-p", patch]);
    }

    fn get(&self, path: &str) -> String {
        self.plane.kubectl(&["get", "gitsync", self.name, "-n", "windlass-system", &format!("-o=jsonpath={path}")])
    }

    fn wait(&self, condition: &str) {
        let object = format!("gitsync/{}", self.name);
        self.plane.kubectl(&["wait", &format!("--for={condition}"), "--timeout=60s", "-n", "windlass-system", &object]);
    }

    fn value(&self, namespace: &str, name: &str) -> String {
        self.plane.kubectl(&["get", "configmap", name, "-n", namespace, "--ignore-not-found", "-o=jsonpath={.data.a}"])
    }

    fn becomes(&self, namespace: &str, name: &str, value: &str) {
        until_blocking(&format!("{namespace}/{name} is {value:?}"), || {
            (self.value(namespace, name) == value).then_some(())
        });
    }
}

#[test]
fn a_gitsync_is_followed_from_its_creation_to_its_deletion() {
    let plane = own_control_plane();
    let proxy = Proxy::start(&plane);
    let windlass = Windlass::on(&proxy.kubeconfig(&plane));
    proxy.answer(|_| true, usize::MAX, Answer::unavailable());
    let mut agent = windlass.start(&["agent", "--listen", "127.0.0.1:0"]);
    Windlass::await_output(&mut agent, "the cluster does not answer yet");
    // Whoever asks meanwhile hears that it lives, and that it is not ready.
    let log = agent.log();
    let (_, rest) = log.split_once("127.0.0.1:").expect("its address");
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    assert!(health(&port, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(health(&port, "/readyz").starts_with("HTTP/1.1 503 "));
    proxy.forget();
    plane.kubectl(&["create", "namespace", "windlass-system"]);
    until_blocking("the agent makes its CRDs", || {
        plane.kubectl(&["get", "crd", "-o", "name"]).contains("gitsyncs.windlass.dev").then_some(())
    });
    plane.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/gitsyncs.windlass.dev"]);

    let (kept, dropped) = (Handle { plane: &plane, name: "kept" }, Handle { plane: &plane, name: "dropped" });
    let repository = repo("kept");
    kept.create(windlass.home(), &repository, "Orphan");
    kept.wait("condition=Ready");
    assert_eq!((kept.value("kept", "one"), kept.value("kept", "two")), ("first".into(), "first".into()));
    assert_eq!(kept.get("{.status.lastAppliedRevision}"), repository.head());
    assert_eq!(kept.get("{.metadata.finalizers}"), "", "Orphan needs no finalizer");

    // A status changed by hand is put right by the next pass of the same agent.
    let cache = "apiVersion: cache.example.com/v1alpha1\nkind: Memcached\nmetadata:\n  name: cache\n  namespace: kept\nspec:\n  size: 1\n";
    repository.write("base/cache.yaml", cache).commit("a cache");
    until_blocking("the cache is there", || exists(&plane, "kept", "memcached/cache").then_some(()));
    let wait = ["wait", "--for=condition=Ready", "--timeout=60s", "-n", "kept", "memcached/cache"];
    plane.kubectl(&wait);
    kept.wait("condition=Ready");
    let by_hand = ["patch", "memcached", "cache", "-n", "kept", "--subresource=status", "--type=merge", "-p"];
    plane.kubectl(&[&by_hand[..], &[r#"{"status":{"conditions":[]}}"#]].concat());
    repository.write("more/two.yaml", &map("kept", "two", "other")).commit("another pass");
    plane.kubectl(&wait);

    // A changed spec is a new pass: what is not in its paths any more goes.
    kept.patch(r#"{"spec":{"source":{"paths":["base"]}}}"#);
    kept.becomes("kept", "two", "");
    until_blocking("the new generation is told of", || {
        (kept.get("{.status.observedGeneration}") == kept.get("{.metadata.generation}")).then_some(())
    });

    // Paused: a commit and a request change nothing.
    kept.patch(r#"{"spec":{"suspend":true}}"#);
    kept.wait("jsonpath={.status.conditions[?(@.type==\"Stalled\")].reason}=Suspended");
    repository.write("base/one.yaml", &map("kept", "one", "second")).commit("second");
    kept.patch(r#"{"metadata":{"annotations":{"windlass.dev/requested-at":"now"}}}"#);
    kept.wait("jsonpath={.status.lastHandledRequest}=now");
    assert_eq!(kept.value("kept", "one"), "first");
    kept.patch(r#"{"spec":{"suspend":false}}"#);
    kept.becomes("kept", "one", "second");
    kept.wait("condition=Ready");

    // Deleted: Orphan leaves everything, Prune leaves the namespace only, which is protected and said to be so.
    let repository = repo("dropped");
    repository.remove("base/namespace.yaml").commit("somebody else's namespace");
    plane.kubectl(&["create", "namespace", "dropped"]);
    dropped.create(windlass.home(), &repository, "Prune");
    dropped.wait("condition=Ready");
    for handle in [&kept, &dropped] {
        plane.kubectl(&["delete", "gitsync", handle.name, "-n", "windlass-system", "--wait=true", "--timeout=60s"]);
    }
    dropped.becomes("dropped", "one", "");
    assert!(!exists(&plane, "dropped", "configmap/two"));
    assert!(!exists(&plane, "windlass-system", "configmap/windlass-inventory-dropped-0"));
    assert_eq!(kept.value("kept", "one"), "second");

    agent.signal("TERM");
    assert_eq!(Windlass::await_exit(&mut agent), 0, "{}", agent.tail());
    assert!(!agent.log().contains("panicked"), "{}", agent.tail());
}
