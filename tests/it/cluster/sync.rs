//! One sync on the test control plane, as the tests of the cluster target use it: its target, and the hands of a person
//! who edits the cluster beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use serde_json::{Value, json};
use windlass::diff::seen::Seen;
use windlass::diff::{Change, Live, Observed, Op, Reason, Which};
use windlass::inventory::{Entry, Inventory};
use windlass::plan::{Held, Origin, Plan, Step, StepId, Want};
use windlass::revision::Revision;
use windlass::target::kube::connect::connect;
use windlass::target::kube::{Kube, Options};
use windlass::target::{Done, Failure, World};

use crate::support::control_plane::{ControlPlane, Namespace, control_plane};
use crate::support::proxy::Proxy;

/// A sync of one test, in its own namespace, with all its requests counted.
pub(crate) struct Sync {
    pub(crate) plane: &'static ControlPlane,
    pub(crate) namespace: Namespace,
    pub(crate) proxy: Proxy,
    pub(crate) options: Options,
    pub(crate) kube: Kube,
    pub(crate) client: Client,
}

impl Sync {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::on(control_plane(), change).await
    }

    pub(crate) async fn on(plane: &'static ControlPlane, change: impl FnOnce(&mut Options)) -> Self {
        let namespace = plane.namespace().await;
        let proxy = Proxy::start(plane);
        let mut options = Options::new(&namespace, "platform", "https://git.example/platform.git");
        options.delete_wait = std::time::Duration::from_secs(20);
        // No watch is opened in the background, where requests are counted.
        options.timing.hold = std::time::Duration::from_secs(3600);
        change(&mut options);
        let connection = connect(Some(&proxy.kubeconfig(plane)), None).await.expect("a connection");
        let kube = Kube::new(connection.client, options.clone());
        let client = plane.client();
        Self { plane, namespace, proxy, options, kube, client }
    }

    /// Another process takes over: nothing is remembered.
    pub(crate) async fn restart(&mut self) {
        let connection = connect(Some(&self.proxy.kubeconfig(self.plane)), None).await.expect("a connection");
        self.kube = Kube::new(connection.client, self.options.clone());
    }

    /// The step of a manifest. Without a namespace it gets the test's, if `namespaced`.
    pub(crate) fn step(&self, manifest: Value) -> Step {
        let mut manifest = manifest;
        let kind = manifest["kind"].as_str().expect("a kind").to_owned();
        let cluster_scoped = ["Namespace", "ClusterRole", "CustomResourceDefinition"].contains(&kind.as_str());
        if !cluster_scoped && manifest["metadata"].get("namespace").is_none() {
            manifest["metadata"]["namespace"] = json!(&*self.namespace);
        }
        let api_version = manifest["apiVersion"].as_str().expect("an apiVersion").to_owned();
        let name = manifest["metadata"]["name"].as_str().expect("a name").to_owned();
        let namespace = manifest["metadata"]["namespace"].as_str().map(str::to_owned);
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let id = StepId::object(group, &kind, namespace.as_deref(), &name);
        let origin = Origin {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            path: "a.yaml".into(),
            document: 1,
            line: 1,
        };
        Step::new(id, Arc::new(origin), None, Want::Object(manifest.into()))
    }

    pub(crate) async fn create(&self, step: &Step) -> Result<Done, Failure> {
        self.kube.apply(step, &Change { op: Op::Create, seen: Seen::Absent }).await
    }

    /// Creates, and fails the test if that fails.
    pub(crate) async fn created(&self, manifest: Value) -> Step {
        let step = self.step(manifest);
        self.create(&step).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", step.id));
        step
    }

    /// Looks, then applies as a change of the revision.
    pub(crate) async fn update(&self, step: &Step) -> Result<Done, Failure> {
        let seen = self.see(step).await;
        self.kube.apply(step, &Change { op: Op::Update(Reason::Changed), seen }).await
    }

    pub(crate) async fn updated(&self, manifest: Value) -> Done {
        let step = self.step(manifest);
        self.update(&step).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", step.id))
    }

    /// What is seen of a step that the inventory knows by uid.
    pub(crate) async fn see(&self, step: &Step) -> Seen {
        let inventory = inventory(&self.options, [(step.id.clone(), Some("known"))]);
        self.kube.observe(&plan(vec![step.clone()]), &inventory, Which::All).await.remove(&step.id).expect("seen")
    }

    pub(crate) async fn live(&self, step: &Step) -> Live {
        match self.see(step).await {
            Seen::Present(live) => live,
            other => panic!("{}: {other:?}", step.id),
        }
    }

    /// Deletes by the step's id, as a prune does.
    pub(crate) async fn delete(&self, step: &Step) -> Result<(), Failure> {
        let entry = Entry { api_version: step.origin.api_version.to_string(), ..Entry::default() };
        self.kube.delete(&step.id, &entry, &Live::default()).await
    }

    /// A person's request: the answer, or the status code and message of a refusal.
    pub(crate) async fn by_hand(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Value, String> {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", kind)
            .body(body.to_string().into_bytes())
            .expect("a request");
        self.client.request(request).await.map_err(|error| error.to_string())
    }

    /// A person's patch with a field manager that kubectl would use.
    pub(crate) async fn patch_by_hand(&self, path: &str, patch: &Value) -> Value {
        let path = format!("{path}?fieldManager=kubectl-edit");
        let kind = if patch.is_array() { "application/json-patch+json" } else { "application/merge-patch+json" };
        self.by_hand("PATCH", &path, kind, patch).await.expect("patched by hand")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.by_hand("GET", path, "application/json", &Value::Null).await.expect("read")
    }

    /// Path of an object of the test's namespace, below `api/v1` or `apis/<group>/<version>`.
    pub(crate) fn path(&self, root: &str, plural: &str, name: &str) -> String {
        format!("/{root}/namespaces/{}/{plural}/{name}", &*self.namespace)
    }
}

pub(crate) fn plan(steps: Vec<Step>) -> Plan {
    let steps = steps.into_iter().map(Arc::new).collect();
    Plan { revision: Revision::default(), steps, digest: String::new(), held: Held::default() }
}

pub(crate) fn inventory(
    options: &Options,
    entries: impl IntoIterator<Item = (StepId, Option<&'static str>)>,
) -> Inventory {
    let mut inventory = Inventory::new(options.sync_id.clone(), options.source_url.clone());
    for (id, uid) in entries {
        let api_version = match id.object_parts().expect("an object") {
            parts if parts.group.is_empty() => "v1".to_owned(),
            parts => format!("{}/v1", parts.group),
        };
        inventory.entries.insert(id, Entry { api_version, uid: uid.map(str::to_owned), ..Entry::default() });
    }
    inventory
}

pub(crate) fn present(observed: &Observed) -> BTreeMap<&str, &Live> {
    let all = observed.iter().filter_map(|(id, seen)| match seen {
        Seen::Present(live) => Some((id.as_str(), live)),
        _ => None,
    });
    all.collect()
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// A Deployment of one container, with what the test adds to its spec.
pub(crate) fn deployment(name: &str, container: Value, spec: Value) -> Value {
    let mut containers = json!({ "name": "main", "image": "busybox:1.36", "command": ["sleep", "1000"] });
    merge(&mut containers, container);
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "terminationGracePeriodSeconds": 0, "containers": [containers] },
            },
        },
    });
    merge(&mut deployment["spec"], spec);
    deployment
}

pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
