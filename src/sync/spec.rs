//! `GitSync.spec`, field by field (design §5.1). Defaults stand here and nowhere else.
//!
//! Pure data with its JSON schema.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::servers::{DruidCluster, RedisOptions};
pub use super::source::{ProviderRef, Reference, SecretRef, Source, Verify};
use super::status::GitSyncStatus;

/// One source, one path set, one target, one set of policies.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "windlass.dev",
    version = "v1alpha1",
    kind = "GitSync",
    plural = "gitsyncs",
    namespaced,
    status = "GitSyncStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Revision","type":"string","jsonPath":".status.lastAppliedRevision"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitSyncSpec {
    /// Where the documents come from.
    pub source: Source,
    /// Where their objects go. Default: the Kubernetes cluster the agent is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Name of this cluster in reports. Default: the first 8 hex digits of the UID of namespace kube-system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Namespace for objects that name none. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// Whether objects that left the repository are deleted.
    #[serde(default = "yes")]
    pub prune: bool,
    /// What happens to the objects when the GitSync is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Stops all passes until it is false again.
    #[serde(default)]
    pub suspend: bool,
    /// How long a pass waits for objects to become ready. A duration as in `10m` or `90s`.
    #[serde(default = "timeout")]
    pub timeout: String,
    /// How long after a failed pass the next one starts, before backoff and jitter.
    #[serde(default = "minute")]
    pub retry_interval: String,
    /// Names of syncs (`name` or `namespace/name`) that have to be Ready, at their current revision and generation, before
    /// this one writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Service account in the GitSync's own namespace as which everything is read, applied and deleted. Default: the agent's
    /// own rights. The agent has to be allowed to impersonate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// When passes may write. None: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// How many declared documents one revision may remove unasked.
    #[serde(default)]
    pub budget: Budget,
    /// What happens to an object that exists already.
    #[serde(default)]
    pub adoption: Adoption,
    /// Acts even where another controller already acts on a CR.
    #[serde(default)]
    pub take_over: bool,
    /// Kinds (`Kind` or `Kind.group`) in which foreign additions are removed. Default: RBAC, NetworkPolicy, pod templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<Vec<String>>,
    /// What happens when the world moves away from what was applied.
    #[serde(default)]
    pub drift: Drift,
    /// Readiness of kinds that Windlass does not know, in CEL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    /// How encrypted files are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decryption: Option<Decryption>,
    /// Druid clusters by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub druid: Vec<DruidCluster>,
    /// Redis options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisOptions>,
    /// Where status goes besides the GitSync itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Previews of pull requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
}

/// Where objects go; exactly one field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// The Kubernetes cluster that the agent is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube: Option<KubeTarget>,
    /// A folder, one file an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryTarget>,
    /// A branch of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitTarget>,
}

/// No options yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubeTarget {}

/// A folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryTarget {
    /// Path on the agent's machine.
    pub path: String,
}

/// A branch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitTarget {
    /// As `source.url`.
    pub url: String,
    /// Branch.
    pub branch: String,
    /// Folder in the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Credentials that may push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// What happens to the objects when the GitSync is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Orphan,
    /// They are deleted first, by the proofs of every prune.
    Prune,
}

/// What happens to an object that exists before its first apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Adoption {
    /// Only what already belongs to this sync is applied.
    MustMatch,
    /// Objects that belong to no other sync or Apply manager are taken over.
    #[default]
    AdoptUnowned,
    /// Everything is taken over.
    AdoptAll,
}

/// When passes may write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Start, as standard five-field cron.
    pub schedule: String,
    /// How long it lasts. A duration.
    pub duration: String,
    /// IANA time zone. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `Allow` opens, `Deny` closes and wins.
    #[serde(default)]
    pub kind: WindowKind,
}

/// What a window does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    /// Passes may write inside.
    #[default]
    Allow,
    /// Passes may not write inside.
    Deny,
}

/// How many declared documents one revision may remove unasked (design §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// At most so many documents.
    #[serde(default = "max_deletes")]
    pub max_deletes: u32,
    /// At most this part of them, in per cent; counts only from 10 documents up.
    #[serde(default = "max_delete_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub max_delete_percent: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_deletes: max_deletes(), max_delete_percent: max_delete_percent() }
    }
}

/// What happens when the world moves away from what was applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drift {
    /// Revert it, or only say so.
    #[serde(default)]
    pub mode: DriftMode,
    /// Within this time every object is applied again once, for what no watch can see.
    #[serde(default = "hour")]
    pub verify_interval: String,
    /// Fields that others may change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Ignore>,
}

impl Default for Drift {
    fn default() -> Self {
        Self { mode: DriftMode::default(), verify_interval: hour(), ignore: Vec::new() }
    }
}

/// What to do about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftMode {
    /// Apply again.
    #[default]
    Correct,
    /// Say so; the next commit that touches the object overwrites the edit.
    Report,
}

/// Fields that others may change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ignore {
    /// Which objects; a missing field matches all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Selector>,
    /// JSON pointers (RFC 6901).
    pub json_pointers: Vec<String>,
}

/// Which objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// API group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Readiness of a kind in CEL; `self` is the object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// apiVersion of the kind.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// True when it is ready.
    pub current: String,
    /// True when it will not get there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// How encrypted files are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decryption {
    /// `sops` or `age`.
    pub provider: String,
    /// Secret with the keys.
    pub secret_ref: SecretRef,
}

/// Where status goes besides the GitSync itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// To `refs/notes/windlass`.
    #[serde(default)]
    pub notes: bool,
    /// To a branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// As commit status on a forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_status: Option<ProviderRef>,
}

/// Previews of pull requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preview {
    /// `github`, `gitlab` or `gitea`.
    pub provider: String,
    /// Its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// A merge whose changes differ from the reviewed ones waits for approval.
    #[serde(default)]
    pub bind: bool,
    /// Who may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// What is done for forks: `RenderOnly`, `Full` or `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<String>,
}

fn yes() -> bool {
    true
}
fn timeout() -> String {
    "10m".to_owned()
}
pub(super) fn minute() -> String {
    "1m".to_owned()
}
fn hour() -> String {
    "1h".to_owned()
}
fn max_deletes() -> u32 {
    20
}
fn max_delete_percent() -> u32 {
    50
}
