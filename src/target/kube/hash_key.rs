//! The key for hashes of secret values: Secret `windlass-hash-key` in the GitSync's namespace, made once (design §4.7).
//!
//! IO. Never overwrites a Secret that is there, and never says what is in it. Called through `World::hash_key`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Kube;
use super::answers::{Doing, classify};
use super::discovery::Resource;
use super::wire::{APPLY, JSON};
use crate::canonical::HashKey;
use crate::plan::stamp::MANAGER;
use crate::sync::{DEFAULT_NAMESPACE, MANAGED_BY};
use crate::target::{Class, Failure, hash_key};

/// Name of the Secret. The agent's role names it.
pub(crate) const NAME: &str = "windlass-hash-key";
/// Label of the Secret.
pub(crate) const LABEL: &str = "windlass.dev/hash-key";
/// Key in the Secret.
const KEY: &str = "key";
/// Looks and writes in a row after which it is given up.
const ATTEMPTS: usize = 4;

impl Kube {
    /// Reads the key, or makes it; remembered as long as this target lives. Without the right to do so there is one of
    /// this process alone.
    pub(super) async fn key(&self) -> Result<HashKey, Failure> {
        let mut known = self.hash_key.lock().await;
        if let Some(key) = known.as_ref() {
            return Ok(key.clone());
        }
        let key = match self.stored_key().await {
            Ok(key) => key,
            Err(failure) if failure.class == Class::Retry => return Err(failure),
            Err(failure) => hash_key::temporary(&failure.message)?,
        };
        *known = Some(key.clone());
        Ok(key)
    }

    /// The key as it is stored; none if there is none, or none that may be read. Makes nothing.
    pub(super) async fn key_as_stored(&self) -> Option<HashKey> {
        let path = secrets().object(Some(&self.options.namespace), NAME);
        read(&self.wire.get(&path, JSON).await.ok()?)
    }

    async fn stored_key(&self) -> Result<HashKey, Failure> {
        let resource = secrets();
        let namespace = self.options.namespace.as_str();
        let path = resource.object(Some(namespace), NAME);
        let doing = |verb| Doing { verb, resource: &resource, namespace: Some(namespace), name: NAME };
        for _ in 0..ATTEMPTS {
            match self.own.get(&path, JSON).await {
                Ok(secret) => return read(&secret).ok_or_else(|| unreadable(namespace)),
                Err(refused) if refused.is_not_found() => {}
                Err(refused) => return Err(explained(classify(&doing("get"), &refused), namespace)),
            }
            let bytes = hash_key::fresh()?;
            // A resourceVersion that no object ever has: the apply creates, and never changes one that is there.
            let body = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": NAME,
                    "namespace": namespace,
                    "resourceVersion": "1",
                    "labels": { MANAGED_BY: MANAGER, LABEL: "" },
                    "annotations": {
                        "windlass.dev/about": "Keys the content hashes of Secrets, so that nobody can try out values. \
                                               If it is lost, Secrets are applied once more, nothing else happens.",
                    },
                },
                "type": "Opaque",
                "data": { KEY: STANDARD.encode(bytes) },
            });
            match self.own.patch(&format!("{path}?fieldManager={MANAGER}"), APPLY, &body).await {
                Ok(_) => return Ok(HashKey::new(&bytes)),
                // Made by another sync in between.
                Err(refused) if refused.code == 409 => {}
                // Only our own default namespace is made; any other is somebody's to decide on.
                Err(refused) if refused.is_not_found() && namespace == DEFAULT_NAMESPACE => {
                    self.make_namespace().await?;
                }
                Err(refused) => return Err(explained(classify(&doing("patch"), &refused), namespace)),
            }
        }
        let message = format!("making Secret {namespace}/{NAME}: it comes and goes; it is tried again");
        Err(Failure::new(Class::Retry, "HashKeyUnstable", message))
    }
}

fn read(secret: &Value) -> Option<HashKey> {
    let text = secret.get("data")?.get(KEY)?.as_str()?;
    hash_key::from_stored(&STANDARD.decode(text).ok()?)
}

fn unreadable(namespace: &str) -> Failure {
    let message = format!(
        "Secret {namespace}/{NAME} holds no `{KEY}` of {} bytes; delete it, and a new one is made at the next start",
        HashKey::BYTES
    );
    Failure::new(Class::Stalled, "HashKeyUnreadable", message)
}

fn explained(mut failure: Failure, namespace: &str) -> Failure {
    if failure.class == Class::Denied {
        failure.message = format!(
            "there is no right to keep a key in Secret {namespace}/{NAME}; allow it in namespace {namespace} with \
             {{apiGroups: [\"\"], resources: [\"secrets\"], resourceNames: [\"{NAME}\"], verbs: [\"get\", \"create\", \
             \"patch\"]}}"
        );
    }
    failure
}

fn secrets() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        plural: "secrets".to_owned(),
        namespaced: true,
    }
}
