//! A control plane with one agent that follows its GitSyncs, and the hands of a person beside it.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, own_control_plane};
use crate::support::git_repo::GitRepo;
use crate::support::process::Process;
use crate::support::wait::until_blocking;
use crate::support::windlass::Windlass;

/// A control plane with one agent on it, for all tests that use it; each has a namespace of its own.
pub(crate) struct Cluster {
    pub(crate) plane: ControlPlane,
    pub(crate) windlass: Windlass,
    pub(crate) agent: Process,
}

pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let plane = own_control_plane();
        let windlass = Windlass::on(&plane.kubeconfig());
        let mut agent = windlass.start(&["agent", "--listen", "127.0.0.1:0"]);
        // That comes after the CRDs.
        Windlass::await_output(&mut agent, "connected to the cluster");
        Cluster { plane, windlass, agent }
    })
}

impl Cluster {
    pub(crate) fn apply(&self, object: &Value) {
        let file = self.windlass.home().join(format!("{}.json", windlass::canonical::hash(object)));
        std::fs::write(&file, object.to_string()).unwrap();
        self.plane.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    }

    /// A namespace with a GitSync `platform` in it.
    pub(crate) fn follow(&self, namespace: &str, repo: &GitRepo, spec: Value) {
        self.plane.kubectl(&["create", "namespace", namespace]);
        self.sync(namespace, "platform", repo, spec);
    }

    /// Makes or changes a GitSync.
    pub(crate) fn sync(&self, namespace: &str, name: &str, repo: &GitRepo, spec: Value) {
        let mut sync = json!({
            "apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "source": { "url": repo.path(), "interval": "1s" }, "targetNamespace": namespace },
        });
        for (key, value) in spec.as_object().unwrap() {
            sync["spec"][key] = value.clone();
        }
        self.apply(&sync);
    }

    /// What kubectl prints of something in a namespace; empty if it is not there.
    pub(crate) fn get(&self, namespace: &str, what: &str, path: &str) -> String {
        let mut command = self.plane.kubectl_command();
        command.args(["get", what, "-n", namespace, "--ignore-not-found", "-o", &format!("jsonpath={path}")]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    pub(crate) fn await_value(&self, namespace: &str, what: &str, path: &str, wanted: &str) {
        until_blocking(&format!("{what} {path} = {wanted:?} in {namespace}"), || {
            (self.get(namespace, what, path) == wanted).then_some(())
        });
    }

    pub(crate) fn await_ready(&self, namespace: &str, reason: &str) {
        self.await_value(namespace, "gitsync/platform", READY_REASON, reason);
    }
}

pub(crate) const READY_REASON: &str = "{.status.conditions[?(@.type==\"Ready\")].reason}";
pub(crate) const READY_MESSAGE: &str = "{.status.conditions[?(@.type==\"Ready\")].message}";
pub(crate) const NAME: &str = "{.metadata.name}";

pub(crate) fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: b\n")
}
