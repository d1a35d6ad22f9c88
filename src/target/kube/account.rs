//! Acting as a service account of the sync's namespace: its rights, and no more (`spec.serviceAccountName`).
//!
//! IO. The account's own token is never asked for or seen: the API server is told by request headers whose rights
//! count, and it finds the account's groups itself. Called through `World::admit` and by `agent` when a sync is opened.

use serde_json::Value;

use super::Kube;
use super::answers::{Doing, classify};
use super::discovery::Resource;
use super::wire::{JSON, Refused};
use crate::sync::conditions::reasons::{IMPERSONATION_DENIED, SERVICE_ACCOUNT_MISSING};
use crate::target::{Class, Failure};

/// The user that a service account is to the API server.
#[must_use]
pub(super) fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

impl Kube {
    /// Whether the sync may act at all: its service account is there, and the agent may act as it.
    pub(super) async fn check_account(&self) -> Result<(), Failure> {
        let Some(account) = self.options.account.as_deref() else { return Ok(()) };
        let namespace = self.options.namespace.as_str();
        let resource = accounts();
        let doing = Doing { verb: "get", resource: &resource, namespace: Some(namespace), name: account };
        // With the agent's own rights: impersonation asks nobody whether the account exists.
        let found = match self.own.get(&resource.object(Some(namespace), account), JSON).await {
            Ok(found) => found,
            Err(refused) if refused.is_not_found() => return Err(self.account_missing(account)),
            Err(refused) => {
                let mut failure = classify(&doing, &refused);
                if failure.class == Class::Denied {
                    failure.message = format!(
                        "there is no right to look at service account {namespace}/{account}; {}",
                        rule(namespace, account)
                    );
                }
                return Err(failure);
            }
        };
        if found.pointer("/metadata/deletionTimestamp").is_some_and(|at| *at != Value::Null) {
            return Err(self.account_missing(account));
        }
        Ok(())
    }

    fn account_missing(&self, account: &str) -> Failure {
        let namespace = self.options.namespace.as_str();
        let message = format!(
            "service account {namespace}/{account} does not exist; nothing is applied or deleted without it. Create it, or \
             correct spec.serviceAccountName"
        );
        // It may come back at any time.
        Failure::new(Class::Retry, SERVICE_ACCOUNT_MISSING, message)
    }

    /// What is to be said where the agent itself was refused.
    pub(super) fn not_impersonated(&self, refused: &Refused) -> Option<Failure> {
        let account = self.options.account.as_deref().filter(|_| refused.may_not_impersonate())?;
        let namespace = self.options.namespace.as_str();
        let message =
            format!("the agent may not act as service account {namespace}/{account}; {}", rule(namespace, account));
        // A person may allow it at any time.
        Some(Failure::new(Class::Retry, IMPERSONATION_DENIED, message))
    }
}

fn rule(namespace: &str, account: &str) -> String {
    format!(
        "allow the agent in namespace {namespace} with {{apiGroups: [\"\"], resources: [\"serviceaccounts\"], \
         resourceNames: [\"{account}\"], verbs: [\"get\", \"impersonate\"]}}"
    )
}

fn accounts() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "ServiceAccount".to_owned(),
        plural: "serviceaccounts".to_owned(),
        namespaced: true,
    }
}
