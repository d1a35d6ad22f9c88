//! Which kinds the API server serves: (group, version, kind) → plural and scope.
//!
//! IO. Read once (two requests), read again when a kind is asked for that is not known. A kind is only said to be
//! missing when the server itself says so: an aggregated API that is down is not a missing kind. Called by all of
//! `target::kube`; its [`Scopes`] go to `declared`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::wire::{Refused, Wire};

/// Whether a kind is namespaced, by (group, kind).
pub type Scopes = BTreeMap<(String, String), bool>;

/// A kind as the server serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Resource {
    /// Group; empty for core.
    pub(super) group: String,
    /// Version.
    pub(super) version: String,
    /// Kind.
    pub(super) kind: String,
    /// Plural, as in URLs and RBAC.
    pub(super) plural: String,
    /// Whether its objects have a namespace.
    pub(super) namespaced: bool,
}

impl Resource {
    /// `group/version`, or `version` for core.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// URL path of the collection; of all namespaces if none is given.
    pub(super) fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural),
            None => format!("{root}/{}/{}", self.version, self.plural),
        }
    }

    /// URL path of one object.
    pub(super) fn object(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }
}

/// All kinds at one time.
#[derive(Debug, Default)]
struct Catalog {
    /// By (group, kind), versions in the server's order of preference.
    kinds: BTreeMap<(String, String), Vec<Resource>>,
    /// Groups whose server does not answer.
    stale: BTreeSet<String>,
}

/// What is known of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is served.
    Served(Resource),
    /// The server says that it is not.
    Missing,
    /// It cannot be told.
    Unclear(Refused),
}

/// The kinds, cached.
pub(super) struct Discovery {
    wire: Wire,
    catalog: RwLock<Option<Arc<Catalog>>>,
    /// Until when a missing kind may only be late: a CRD was applied a moment ago.
    fresh: RwLock<Option<Instant>>,
}

/// Short names of built-in kinds, as kubectl takes them.
const SHORT: &[(&str, &str)] = &[
    ("cj", "cronjobs"),
    ("cm", "configmaps"),
    ("crd", "customresourcedefinitions"),
    ("deploy", "deployments"),
    ("ds", "daemonsets"),
    ("ep", "endpoints"),
    ("hpa", "horizontalpodautoscalers"),
    ("ing", "ingresses"),
    ("netpol", "networkpolicies"),
    ("ns", "namespaces"),
    ("pdb", "poddisruptionbudgets"),
    ("po", "pods"),
    ("pv", "persistentvolumes"),
    ("pvc", "persistentvolumeclaims"),
    ("rs", "replicasets"),
    ("sa", "serviceaccounts"),
    ("sts", "statefulsets"),
    ("svc", "services"),
];

/// How long a kind may lag behind its CRD.
const LAG: Duration = Duration::from_secs(5);

impl Discovery {
    /// Nothing read yet.
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, catalog: RwLock::default(), fresh: RwLock::default() }
    }

    /// Scope of every kind.
    pub(super) async fn scopes(&self) -> Result<Scopes, Refused> {
        let catalog = self.refresh().await?;
        let scopes = catalog.kinds.iter().filter_map(|(key, served)| Some((key.clone(), served.first()?.namespaced)));
        Ok(scopes.collect())
    }

    /// The server has answered that a kind it served is not known: everything is asked again.
    pub(super) fn forget(&self) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A CRD was applied: kinds may appear, and schemas change, for a short while.
    pub(super) fn expect_more(&self) {
        *self.fresh.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + LAG);
    }

    /// Whether a CRD was applied a moment ago.
    pub(super) fn is_changing(&self) -> bool {
        self.fresh.read().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
    }

    /// Finds a kind in the version asked for or, if that is not served, in the group's preferred one. Asks the server
    /// again if it is not known, for as long as a CRD applied a moment ago may explain it.
    pub(super) async fn find(&self, api_version: &str, kind: &str) -> Known {
        let cached = self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(found) = cached.and_then(|catalog| catalog.find(api_version, kind)) {
            return Known::Served(found);
        }
        loop {
            let catalog = match self.refresh().await {
                Ok(catalog) => catalog,
                Err(refused) => return Known::Unclear(refused),
            };
            let (group, _) = split(api_version);
            if let Some(found) = catalog.find(api_version, kind) {
                return Known::Served(found);
            }
            if catalog.stale.contains(group) {
                return Known::Unclear(Refused::unsent(format!("the server of API group {group} does not answer")));
            }
            if !self.is_changing() {
                return Known::Missing;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The kinds that a person may mean: by kind, plural or usual short name, with `.GROUP` or without.
    pub(super) async fn meant(&self, text: &str) -> Result<Vec<Resource>, Refused> {
        let mut all = self.all().await?;
        all.retain(|it| means(text, &it.kind, &it.group, &it.plural));
        Ok(all)
    }

    /// Every kind, each in the version that the server prefers.
    pub(super) async fn all(&self) -> Result<Vec<Resource>, Refused> {
        let catalog = self.refresh().await?;
        Ok(catalog.kinds.values().filter_map(|served| served.first().cloned()).collect())
    }

    async fn refresh(&self) -> Result<Arc<Catalog>, Refused> {
        const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let (core, groups) = tokio::join!(self.wire.get("/api", ACCEPT), self.wire.get("/apis", ACCEPT));
        let mut catalog = Catalog::default();
        for list in [core?, groups?] {
            catalog.read(&list)?;
        }
        let catalog = Arc::new(catalog);
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Some(catalog.clone());
        Ok(catalog)
    }
}

impl Catalog {
    /// Reads an aggregated discovery document.
    fn read(&mut self, list: &serde_json::Value) -> Result<(), Refused> {
        let unread = |why: &str| {
            Refused::unsent(format!("the list of kinds cannot be read ({why}); Kubernetes 1.31 or later is needed"))
        };
        if list.get("kind").and_then(serde_json::Value::as_str) != Some("APIGroupDiscoveryList") {
            return Err(unread("it is no aggregated discovery document"));
        }
        let list: kube::client::APIGroupDiscoveryList =
            serde_json::from_value(list.clone()).map_err(|error| unread(&error.to_string()))?;
        for group in list.items {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for version in group.versions {
                if version.freshness.as_deref() == Some("Stale") {
                    self.stale.insert(name.clone());
                }
                for resource in version.resources {
                    let Some(kind) = resource.response_kind.and_then(|kind| kind.kind) else { continue };
                    let (Some(plural), Some(version)) = (resource.resource, version.version.clone()) else { continue };
                    let namespaced = resource.scope.as_deref() == Some("Namespaced");
                    // What cannot be patched (TokenReview, say) is not something to manage.
                    if !resource.verbs.iter().any(|verb| verb == "patch") {
                        continue;
                    }
                    self.kinds.entry((name.clone(), kind.clone())).or_default().push(Resource {
                        group: name.clone(),
                        version,
                        kind,
                        plural,
                        namespaced,
                    });
                }
            }
        }
        Ok(())
    }

    fn find(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let (group, version) = split(api_version);
        let served = self.kinds.get(&(group.to_owned(), kind.to_owned()))?;
        served.iter().find(|resource| resource.version == version).or_else(|| served.first()).cloned()
    }
}

/// Whether a person who writes `text` means this kind: `Deployment`, `deployments`, `deploy`, each also with `.apps`.
#[must_use]
pub fn means(text: &str, kind: &str, group: &str, plural: &str) -> bool {
    let (name, wanted) = text.split_once('.').map_or((text, None), |(name, group)| (name, Some(group)));
    let name = name.to_lowercase();
    let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name.as_str(), |(_, plural)| plural);
    (kind.to_lowercase() == name || plural == name) && wanted.is_none_or(|wanted| wanted == group)
}

/// Group and version of an apiVersion.
pub(super) fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}
