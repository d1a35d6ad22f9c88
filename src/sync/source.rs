//! `GitSync.spec.source`: where the documents come from, and with which credentials.
//!
//! Pure data with its JSON schema. Part of `spec`, which re-exports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A git repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `https://`, `ssh://`, `file://` URL, scp-like `user@host:path`, or a local path.
    pub url: String,
    /// What to follow. Default: the remote's HEAD.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// How often the remote is asked. A duration; jitter of a tenth is added.
    #[serde(default = "super::spec::minute")]
    pub interval: String,
    /// Secret with `username` and `password`, `bearerToken`, `identity` (SSH key), `known_hosts`, `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Which signatures are asked of a revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// Folders or files in the repository. Default: all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Which forge may call the webhook receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<ProviderRef>,
}

/// What to follow; exactly one field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// A branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// A tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The highest tag in a range, as in `>=1.2.0 <2.0.0` (Cargo's notation; a leading `v` of a tag is ignored).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub semver: Option<String>,
    /// A commit, in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// The name of a Secret in the GitSync's namespace (or of a folder below `--secrets`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name.
    pub name: String,
}

/// A forge and its Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderRef {
    /// `github`, `gitlab`, `gitea` or `generic`.
    pub provider: String,
    /// Its Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// Which signatures are asked of a revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// `Head`, `Tag` or `TagAndHead`.
    pub mode: String,
    /// Secret with the keys.
    pub secret_ref: SecretRef,
}
