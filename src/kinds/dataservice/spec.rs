//! What a DataService says.
//!
//! Pure data; published field names are kept as they are (`replica`, kebab-case services, `kind` as a number).

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::DataServiceStatus;

/// A data service: three middleware systems and nine services on top of them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "d3os-product.com.d3os",
    version = "v1",
    kind = "DataService",
    plural = "dataservices",
    namespaced,
    status = "DataServiceStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DataServiceSpec {
    /// MySQL, in which every service but the front end keeps its data.
    pub mysql: Middleware,
    /// The user centre that people log in with.
    pub uuc: Middleware,
    /// Eureka, in which services find one another. With `image`, `port` and `replica` and without `kind` it is described
    /// as a service.
    pub eureka: Middleware,
    /// Service api-manager.
    pub api_manager: Service,
    /// Service auth.
    pub auth: Service,
    /// Service ds-adapter.
    pub ds_adapter: Service,
    /// Service es-adapter.
    pub es_adapter: Service,
    /// Service trd-adapter.
    pub trd_adapter: Service,
    /// Service gateway-master.
    pub gateway_master: Service,
    /// Service gateway-web.
    pub gateway_web: Service,
    /// Service proxy.
    pub proxy: Service,
    /// The front end.
    pub web: Service,
    /// Where the configuration files are. Default: there are none.
    #[serde(default, rename = "configFrom", skip_serializing_if = "Option::is_none")]
    pub config_from: Option<ConfigFrom>,
}

/// Where configuration files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFrom {
    /// Folder of the repository, relative to the folder of this file. Holds one folder for each ConfigMap, and in it one
    /// file for each key.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// A middleware system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Middleware {
    /// Its name: `mysql-dataservice`, `uuc` or `eureka`.
    pub name: String,
    /// What runs it: 0 a Deployment, 1 a StatefulSet, 2 a DaemonSet, 3 somebody else (`thirdParty`). Required, but for
    /// eureka described as a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3))]
    pub kind: Option<i32>,
    /// Where it is, with kind 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub third_party: Option<ThirdParty>,
    /// Image. Default: the published one of mysql and of eureka; uuc has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// Port. Default: 3306 for mysql, 8761 for eureka; uuc has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Number of pods. Default: 1. MySQL is one, and a DaemonSet has one on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replica: Option<i32>,
    /// Port on every node. Default, and with 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub node_port: Option<i32>,
    /// Environment, beside and above what is set anyway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where MySQL keeps its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Secret that holds MySQL's password. Default: one with a generated password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_from: Option<PasswordFrom>,
}

/// A middleware system that somebody else runs.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ThirdParty {
    /// Where it is, as services are to read it: `mysql://host:3306`, `https://host/path`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// How to see that it is there: a line as for `curl`. It is read, never run. Default: whether `url` answers.
    #[serde(default, rename = "checkCMD", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub check_cmd: Option<String>,
    /// User of MySQL. Default: root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password of MySQL, readable by everybody who reads the repository; `passwordFrom` is the better place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Notes of the user. Nothing reads them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: BTreeMap<String, String>,
}

impl std::fmt::Debug for ThirdParty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThirdParty").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Where MySQL keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// Size of the volume. Default: 10Gi. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub size: Option<String>,
    /// Class of the volume. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub storage_class_name: Option<String>,
    /// What becomes of the volume when the DataService goes. Default: Retain.
    #[serde(default)]
    pub retention: Retention,
}

/// What becomes of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// It stays.
    #[default]
    Retain,
    /// It goes with the StatefulSet.
    Delete,
}

impl Retention {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "Retain",
            Self::Delete => "Delete",
        }
    }
}

/// A password in a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordFrom {
    /// Name of the Secret.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Key in it. Default: password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its name: the same as the field's.
    pub name: String,
    /// Image.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Port on which it listens, named `http`. May be left out where `ports` says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Further ports. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ports: Vec<Port>,
    /// Number of pods.
    #[schemars(range(min = 0, max = 1000))]
    pub replica: i32,
    /// Port on every node for `port`. Default, and with 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub node_port: Option<i32>,
    /// Environment. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// One more port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// Its name, at most 15 characters.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Port on every node. Default, and with 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub node_port: Option<i32>,
}

impl DataServiceSpec {
    /// A middleware system by the field's name.
    pub(super) fn middleware(&self, field: &str) -> &Middleware {
        match field {
            "mysql" => &self.mysql,
            "uuc" => &self.uuc,
            _ => &self.eureka,
        }
    }

    /// Every service, by the field's name, in the order in which users know them.
    pub(super) fn services(&self) -> [(&'static str, &Service); 9] {
        [
            ("api-manager", &self.api_manager),
            ("auth", &self.auth),
            ("ds-adapter", &self.ds_adapter),
            ("es-adapter", &self.es_adapter),
            ("trd-adapter", &self.trd_adapter),
            ("gateway-master", &self.gateway_master),
            ("gateway-web", &self.gateway_web),
            ("proxy", &self.proxy),
            ("web", &self.web),
        ]
    }
}
