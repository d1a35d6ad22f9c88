//! What the tests of the whole binary share: repositories to apply, one agent's life, and what is asked of the cluster
//! afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use windlass::inventory::Inventory;
use windlass::plan::StepId;
use windlass::target::World as _;
use windlass::target::kube::{Kube, Options};

use crate::support::control_plane::ControlPlane;
use crate::support::git_repo::GitRepo;
use crate::support::proxy::Proxy;
use crate::support::windlass::{Finished, Windlass};

/// The example repository, its two environments renamed so that tests on one control plane do not meet.
pub(crate) fn example(prefix: &str) -> GitRepo {
    let repo = GitRepo::copy_of("example-repo");
    rename_environments(repo.path(), prefix);
    repo.commit("environments of this test");
    repo
}

fn rename_environments(folder: &Path, prefix: &str) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".git") {
            rename_environments(&path, prefix);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let mut text = std::fs::read_to_string(&path).unwrap();
            for environment in ["staging", "production"] {
                text = text.replace(environment, &format!("{prefix}-{environment}"));
            }
            std::fs::write(&path, text).unwrap();
        }
    }
}

/// One repository, and the binary that follows it through a proxy.
pub(crate) struct Follower {
    pub(crate) plane: &'static ControlPlane,
    pub(crate) repo: GitRepo,
    pub(crate) proxy: Proxy,
    pub(crate) windlass: Windlass,
}

impl Follower {
    pub(crate) fn of(plane: &'static ControlPlane, repo: GitRepo) -> Self {
        let proxy = Proxy::start(plane);
        let windlass = Windlass::on(&proxy.kubeconfig(plane));
        Self { plane, repo, proxy, windlass }
    }

    pub(crate) fn args(&self) -> Vec<String> {
        ["agent", "--once", "--source", self.repo.path().to_str().unwrap()].map(str::to_owned).to_vec()
    }

    /// One pass with no fault, its requests counted from here.
    pub(crate) fn once(&self) -> Finished {
        self.proxy.forget();
        self.windlass.run(&self.args())
    }

    /// One pass that must end ready.
    pub(crate) fn good(&self) -> Finished {
        let finished = self.once();
        assert_eq!(finished.code, 0, "{finished:#?}\n{:#?}", self.proxy.writes());
        finished
    }

    /// One pass that must find everything done: not a single write.
    pub(crate) fn quiet(&self) {
        let finished = self.good();
        assert_eq!(self.proxy.writes(), [], "{finished:#?}");
        assert!(finished.stdout.contains(": nothing changed\n"), "{finished:#?}");
    }

    /// Name of the sync: the repository's folder, in lower case.
    pub(crate) fn name(&self) -> String {
        let name = self.repo.path().file_name().unwrap().to_str().unwrap().to_lowercase();
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect::<String>()
            .trim_matches('-')
            .into()
    }

    fn url(&self) -> PathBuf {
        self.repo.path().canonicalize().unwrap()
    }

    /// What the stored inventory holds; none if nothing is stored.
    pub(crate) async fn inventory(&self) -> Option<Inventory> {
        let options = Options::new("windlass-system", &self.name(), self.url().to_str().unwrap());
        Kube::new(self.plane.client(), options).load_inventory().await.expect("a readable inventory")
    }

    /// Ids in the stored inventory.
    pub(crate) async fn recorded(&self) -> BTreeSet<StepId> {
        self.inventory().await.map(|inventory| inventory.entries.into_keys().collect()).unwrap_or_default()
    }

    /// Ids of every object that carries the sync's label, as the API server has them.
    pub(crate) fn labelled(&self) -> BTreeSet<StepId> {
        let selector =
            format!("{}={}", windlass::sync::PART_OF, windlass::sync::part_of("windlass-system", &self.name()));
        let kinds = "namespaces,configmaps,services,serviceaccounts,deployments.apps,jobs.batch,networkpolicies,\
                     statefulsets.apps,daemonsets.apps,cronjobs.batch,\
                     roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io,\
                     clusters.cluster.engula.io,journals.cluster.engula.io,storages.cluster.engula.io,\
                     kernels.cluster.engula.io,engines.cluster.engula.io,backgrounds.cluster.engula.io,\
                     memcacheds.cache.example.com,goops.goop.example.com,dataservices.d3os-product.com.d3os";
        let columns =
            "-o=jsonpath={range .items[*]}{.apiVersion}|{.kind}|{.metadata.namespace}|{.metadata.name}{\"\\n\"}{end}";
        let text = self.plane.kubectl(&["get", kinds, "-A", "-l", &selector, columns]);
        text.lines()
            .map(|line| {
                let parts: Vec<&str> = line.split('|').collect();
                let group = parts[0].split_once('/').map_or("", |(group, _)| group);
                StepId::object(group, parts[1], Some(parts[2]).filter(|namespace| !namespace.is_empty()), parts[3])
            })
            .collect()
    }
}

/// How many steps a repository comes to.
pub(crate) fn steps_of(repo: &GitRepo) -> usize {
    let rendered = Windlass::new().run(&["render", "-o", "json", repo.path().to_str().unwrap()]);
    let rendered: serde_json::Value = serde_json::from_str(&rendered.stdout).unwrap();
    rendered["steps"].as_array().unwrap().len()
}

/// Whether kubectl finds it.
pub(crate) fn exists(plane: &ControlPlane, namespace: &str, what: &str) -> bool {
    !plane.kubectl(&["get", what, "-n", namespace, "-o", "name", "--ignore-not-found"]).is_empty()
}
