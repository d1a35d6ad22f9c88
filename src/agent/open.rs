//! Makes a sync ready to run: state folder, credentials, source, target.
//!
//! IO, but nothing is written to the world. Called by `agent`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, Memory};
use super::scope::Todo;
use super::store::{Place, Store, StoreError};
use super::tenure::Tenure;
use super::writer::Writer;
use super::{Config, timing};
use crate::kinds;
use crate::report::summary::Who;
use crate::source::{Credentials, Source, SourceConfig, SourceError};
use crate::sync::PIN;
use crate::sync::spec::{DriftMode, GitSync, GitSyncSpec, Reference};
use crate::target::dir::Dir;
use crate::target::execute::Pace;
use crate::target::kube::health::HealthChecks;
use crate::target::kube::lease::Lease;
use crate::target::kube::{Kube, Note, Notes, Options, Reports};
use crate::target::{Failure, Target};
use crate::telemetry::WatchEvent;

/// A sync about to be started.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Checked; namespace and name are filled in.
    pub sync: GitSync,
    /// Its state folder.
    pub folder: PathBuf,
    /// Folder with the files of its Secret, if it has one on this machine.
    pub secrets: Option<PathBuf>,
    /// Whether it is a CR in the cluster (its status is then written there).
    pub in_cluster: bool,
}

impl Wanted {
    /// Namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.sync.metadata.namespace.as_deref().unwrap_or(crate::sync::DEFAULT_NAMESPACE)
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.sync.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Why a sync cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its state folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its target.
    #[error(transparent)]
    Target(#[from] Failure),
    /// Its Secret.
    #[error("cannot read the Secret {name} of sync {sync}: {why}")]
    Secret {
        /// Name of the Secret.
        name: String,
        /// `namespace/name`.
        sync: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// A duration or window.
    #[error("cannot start sync {0}: {1}")]
    Spec(String, String),
}

/// Opens a sync.
pub(super) async fn open(config: &Config, wanted: &Wanted) -> Result<(Bench<Target>, Memory), OpenError> {
    let (namespace, name) = (wanted.namespace().to_owned(), wanted.name().to_owned());
    let spec = wanted.sync.spec.clone();
    let store = Store::open(&wanted.folder)?;
    let saved = store.load()?;
    let credentials = credentials(config, wanted).await?;
    let source = Source::open(SourceConfig {
        url: spec.source.url.clone(),
        reference: spec.source.reference.clone(),
        paths: spec.source.paths.clone(),
        clone: wanted.folder.join("clone.git"),
        credentials,
        ..SourceConfig::default()
    })?;
    let identity = store.identity()?;
    let (world, cluster, tenure) = target(config, wanted, &namespace, &name, &identity)?;
    let writer = match (&config.cluster, &tenure) {
        (Some(cluster), Some(tenure)) => {
            let manager = crate::sync::field_manager(&crate::sync::id(&namespace, &name));
            let reports = Reports::fenced(cluster.client.clone(), &manager, &tenure.fence());
            Writer::cluster(reports, wanted.in_cluster, &wanted.sync)
        }
        _ => Writer::Nowhere,
    };
    let time = |text: &str| timing::duration(text).map_err(|why| OpenError::Spec(format!("{namespace}/{name}"), why));
    let bench = Bench {
        sync_id: crate::sync::id(&namespace, &name),
        interval: time(&spec.source.interval)?.max(Duration::from_secs(1)),
        timeout: time(&spec.timeout)?,
        retry_interval: time(&spec.retry_interval)?,
        verify_interval: match spec.drift.mode {
            DriftMode::Correct => Some(time(&spec.drift.verify_interval)?),
            DriftMode::Report => None,
        },
        who: Who {
            generation: wanted.sync.metadata.generation,
            cluster: spec.cluster.clone().unwrap_or(cluster),
            source: spec.source.url.clone(),
            following: following(spec.source.reference.as_ref()),
            namespace,
            name,
        },
        place: Place {
            source: spec.source.url.clone(),
            directory: spec
                .target
                .as_ref()
                .and_then(|target| target.directory.as_ref())
                .map(|dir| dir.path.clone().into()),
        },
        annotations: wanted.sync.metadata.annotations.clone().unwrap_or_default(),
        spec,
        source: Arc::new(source),
        world,
        store,
        writer,
        tenure,
        board: config.board.clone(),
        metrics: Arc::clone(&config.metrics),
        clock: config.clock,
        pace: Pace::default(),
    };
    let mut summary = crate::report::summary::restored(saved.summary);
    if wanted.in_cluster
        && let Some(status) = &wanted.sync.status
    {
        summary.status.clone_from(status);
    }
    let mut control = saved.control;
    if wanted.in_cluster {
        // The GitSync says it, and taking it off takes it back.
        control.pinned = bench.annotations.get(PIN).cloned();
    }
    let memory = Memory { control, summary, todo: Todo::everything(), ..Memory::default() };
    Ok((bench, memory))
}

fn target(
    config: &Config,
    wanted: &Wanted,
    namespace: &str,
    name: &str,
    identity: &str,
) -> Result<(Target, String, Option<Tenure>), OpenError> {
    let spec = &wanted.sync.spec;
    if let Some(directory) = spec.target.as_ref().and_then(|target| target.directory.as_ref()) {
        let dir = Dir::new(Path::new(&directory.path), &wanted.folder, namespace, name, &spec.source.url);
        return Ok((Target::Dir(Box::new(dir)), String::new(), None));
    }
    let Some(cluster) = &config.cluster else {
        let why = "its target is a Kubernetes cluster, and there is no connection to one".to_owned();
        return Err(OpenError::Spec(format!("{namespace}/{name}"), why));
    };
    let mut options = kube_options(namespace, name, spec);
    let metrics = Arc::clone(&config.metrics);
    options.notes = Notes(Some(Arc::new(move |note| match note {
        Note::Restart => metrics.watch_restarted(),
        Note::Ignored => metrics.watch_event(WatchEvent::Ignored),
        Note::Own => metrics.watch_event(WatchEvent::Own),
        Note::Moved => metrics.watch_event(WatchEvent::Moved),
        Note::Suspect => metrics.watch_event(WatchEvent::Suspect),
    })));
    options.claims = config.board.claims.clone();
    options.claims.join(&options.part_of, &format!("{namespace}/{name}"), &options.manager);
    options.account.clone_from(&spec.service_account_name);
    let acting = match &spec.service_account_name {
        Some(account) => cluster.acting_as(namespace, account)?,
        None => cluster.client.clone(),
    };
    let tenure = Tenure::new(
        Lease::new(cluster.client.clone(), &options, identity, config.clock),
        format!("{namespace}/{name}"),
    );
    let kube = Kube::with(acting, cluster.client.clone(), &tenure.fence(), options);
    Ok((Target::Kube(Box::new(kube)), config.cluster_name.clone(), Some(tenure)))
}

/// What a cluster target has to know of a sync.
#[must_use]
pub fn kube_options(namespace: &str, name: &str, spec: &GitSyncSpec) -> Options {
    let mut options = Options::new(namespace, name, &spec.source.url);
    options.adoption = spec.adoption;
    options.take_over = spec.take_over;
    options.strict.clone_from(&spec.strict);
    options.health = HealthChecks::new(&spec.health_checks);
    options.own_kinds = kinds::FAMILIES
        .iter()
        .flat_map(|family| family.kinds)
        .map(|kind| (kind.group.to_owned(), kind.kind.to_owned()))
        .collect();
    options
}

fn following(reference: Option<&Reference>) -> String {
    let Some(Reference { branch, tag, semver, commit }) = reference else { return String::new() };
    [branch, tag, semver, commit].into_iter().flatten().next().cloned().unwrap_or_default()
}

/// What the Secret holds: files of a folder on this machine, else the Secret in the sync's namespace.
async fn credentials(config: &Config, wanted: &Wanted) -> Result<Credentials, OpenError> {
    let reference = wanted.sync.spec.source.secret_ref.as_ref();
    let problem = |name: &str, why: String| OpenError::Secret {
        name: name.to_owned(),
        sync: format!("{}/{}", wanted.namespace(), wanted.name()),
        why,
    };
    let mut values = std::collections::BTreeMap::new();
    match (&wanted.secrets, reference, &config.cluster) {
        (Some(folder), reference, _) => {
            let name = reference.map_or("source", |reference| reference.name.as_str());
            for key in KEYS {
                let path = folder.join(key);
                match std::fs::read(&path) {
                    Ok(bytes) => _ = values.insert((*key).to_owned(), bytes),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(problem(name, format!("{}: {error}", path.display()))),
                }
            }
            if values.is_empty() {
                let why = format!("the folder {} holds none of the files {}", folder.display(), KEYS.join(", "));
                return Err(problem(name, why));
            }
        }
        (None, Some(reference), Some(cluster)) => {
            let reports = Reports::new(cluster.client.clone(), "windlass");
            let read = reports.read_secret(wanted.namespace(), &reference.name).await;
            values = read.map_err(|failure| problem(&reference.name, failure.message))?;
        }
        (None, Some(reference), None) => {
            let why = format!("give --secrets DIR with a folder {} in it", reference.name);
            return Err(problem(&reference.name, why));
        }
        (None, None, _) => return Ok(Credentials::default()),
    }
    let name = reference.map_or("source", |reference| reference.name.as_str());
    let mut take = |key: &str| -> Result<Option<String>, OpenError> {
        let Some(bytes) = values.remove(key) else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| problem(name, format!("{key} is not text")))?;
        // An editor's last line break is not part of a password; keys and certificates keep theirs.
        let line = matches!(key, "username" | "password" | "bearerToken" | "passphrase");
        Ok(Some(if line { text.trim_end_matches(['\r', '\n']).to_owned() } else { text }))
    };
    Ok(Credentials {
        username: take("username")?,
        password: take("password")?,
        bearer_token: take("bearerToken")?,
        identity: take("identity")?,
        passphrase: take("passphrase")?,
        known_hosts: take("known_hosts")?,
        ca: take("ca.crt")?,
    })
}

/// Keys of a source's Secret.
const KEYS: &[&str] = &["username", "password", "bearerToken", "identity", "passphrase", "known_hosts", "ca.crt"];
