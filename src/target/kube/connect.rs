//! The way into a cluster: kubeconfig or service account → client.
//!
//! IO. No client-side throttle and no hidden retries: the server has Priority and Fairness, and `answers` decides what is
//! tried again. Called by `cli` and `agent`.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::target::{Class, Failure};

/// A client and what it is connected to.
#[derive(Clone)]
pub struct Connection {
    /// Client.
    pub client: Client,
    /// What the client was made of.
    config: Config,
    /// Context of the kubeconfig, or `in-cluster`.
    pub context: String,
    /// URL of the API server.
    pub server: String,
    /// Namespace of the context or of the service account.
    pub namespace: String,
}

/// Connects: by the kubeconfig given, else as `kubectl` would (`KUBECONFIG`, `~/.kube/config`), else by the service
/// account of the pod. Sends nothing.
///
/// # Errors
/// If there is no usable configuration.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Connection, Failure> {
    let (mut config, context) = match find(kubeconfig, context).await {
        Ok(found) => found,
        // In a pod there is no kubeconfig; an explicit one that cannot be read is an error of its own.
        Err(why) if kubeconfig.is_none() && context.is_none() => match Config::incluster() {
            Ok(config) => (config, "in-cluster".to_owned()),
            Err(_) => return Err(failure(&why)),
        },
        Err(why) => return Err(failure(&why)),
    };
    config.connect_timeout = Some(Duration::from_secs(5));
    // Watches are quiet for up to a minute, and have a deadline of their own, as answers have: this is the last resort.
    config.read_timeout = Some(Duration::from_secs(150));
    config.reset_reader_on_write = true;
    config.write_timeout = Some(Duration::from_secs(30));
    config.default_retry = false;
    let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
    let client = Client::try_from(config.clone()).map_err(|error| failure(&error.to_string()))?;
    Ok(Connection { client, config, context, server, namespace })
}

impl Connection {
    /// A client with the rights of a service account: the agent's credentials, the account's name in every request.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn acting_as(&self, namespace: &str, account: &str) -> Result<Client, Failure> {
        let mut config = self.config.clone();
        // The API server adds the groups of a service account itself; to name them would take one more right.
        config.auth_info.impersonate = Some(super::account::user(namespace, account));
        Client::try_from(config).map_err(|error| failure(&error.to_string()))
    }
}

async fn find(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<(Config, String), String> {
    let file = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| format!("kubeconfig {}: {error}", path.display()))?,
        None => Kubeconfig::read().map_err(|error| format!("no kubeconfig: {error}"))?,
    };
    let name = context.map(str::to_owned).or_else(|| file.current_context.clone()).unwrap_or_default();
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(file, &options).await.map_err(|error| error.to_string())?;
    Ok((config, name))
}

fn failure(why: &str) -> Failure {
    let message = format!(
        "connecting to a cluster: {why}. Pass --kubeconfig and --context, set KUBECONFIG, or use a directory target \
         (--target dir:PATH), which needs no cluster"
    );
    Failure::new(Class::Stalled, "NoCluster", message)
}
