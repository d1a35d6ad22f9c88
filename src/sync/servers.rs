//! The part of `GitSync.spec` that says how servers outside Kubernetes are reached.
//!
//! Pure data with its JSON schema. Used by `spec`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::SecretRef;

/// A Druid cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DruidCluster {
    /// Name in `spec.druidCluster` of CRs.
    pub cluster: String,
    /// Router or overlord.
    pub url: String,
    /// Coordinator, where the router does not serve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator_url: Option<String>,
    /// Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// CA certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretRef>,
    /// How often state is read.
    #[serde(default = "ten_seconds")]
    pub interval: String,
}

/// Redis options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisOptions {
    /// How often cluster state is read.
    #[serde(default = "ten_seconds")]
    pub status_interval: String,
}

fn ten_seconds() -> String {
    "10s".to_owned()
}
