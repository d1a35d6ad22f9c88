//! Our own CRDs, applied when the agent starts.
//!
//! IO. A CRD of the same name that someone else installed is used as it is and never overwritten. Nothing is sent for one
//! that is as wanted. Called by `agent` and `cli`.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::answers::{Doing, classify};
use super::discovery::Resource;
use super::wire::{APPLY, JSON, Wire};
use super::{kstatus, managed};
use crate::diff::seen::Readiness;
use crate::plan::canonical;
use crate::plan::stamp::MANAGER;
use crate::sync::{CONTENT_HASH, MANAGED_BY};
use crate::target::{Class, Failure};

/// How long a CRD may take to be established.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// What became of a CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrdState {
    /// It was as wanted.
    Current,
    /// It was created or updated.
    Applied,
    /// Someone else installed it: used as it is.
    Foreign,
}

/// Applies CRDs and waits until each is established. Returns each name with what became of it.
///
/// # Errors
/// The first refusal of the cluster, or a CRD that is not established in time.
pub async fn ensure_crds(
    client: &kube::Client,
    crds: &[CustomResourceDefinition],
) -> Result<Vec<(String, CrdState)>, Failure> {
    let wire = Wire::new(client.clone());
    let each = crds.iter().map(|crd| ensure(&wire, crd));
    let done: Vec<_> = stream::iter(each).buffered(8).collect().await;
    done.into_iter().collect()
}

async fn ensure(wire: &Wire, crd: &CustomResourceDefinition) -> Result<(String, CrdState), Failure> {
    let resource = Resource {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
        namespaced: false,
    };
    let name = crd.metadata.name.clone().unwrap_or_default();
    let doing = Doing { verb: "patch", resource: &resource, namespace: None, name: &name };
    let mut body = serde_json::to_value(crd)
        .map_err(|error| Failure::new(Class::Bug, "NotSerializable", format!("{doing}: {error}")))?;
    body.as_object_mut().map(|object| object.remove("status"));
    let hash = canonical::hash(&body);
    let metadata = json!({
        "name": name,
        "labels": { MANAGED_BY: MANAGER },
        "annotations": { CONTENT_HASH: hash },
    });
    if let Some(object) = body.as_object_mut() {
        object.insert("metadata".to_owned(), metadata);
    }
    let path = resource.object(None, &name);
    let live = match wire.get(&path, JSON).await {
        Ok(live) => Some(live),
        Err(refused) if refused.is_not_found() => None,
        Err(refused) => return Err(classify(&Doing { verb: "get", ..doing }, &refused)),
    };
    let state = match &live {
        Some(live) if managed::own(live, MANAGER).is_none() => CrdState::Foreign,
        Some(live) if hash_of(live) == Some(hash.as_str()) => CrdState::Current,
        _ => CrdState::Applied,
    };
    let mut now = live.unwrap_or_default();
    if state == CrdState::Applied {
        if now.is_null()
            && let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut)
        {
            // Create-only: one that appears in between is somebody else's.
            metadata.insert("resourceVersion".to_owned(), "1".into());
        }
        let apply = format!("{path}?fieldManager={MANAGER}&force=true");
        now = wire.patch(&apply, APPLY, &body).await.map_err(|refused| classify(&doing, &refused))?;
    }
    let until = Instant::now() + ESTABLISHED;
    loop {
        let why = match kstatus::readiness(&now) {
            Readiness::Ready => return Ok((name, state)),
            Readiness::Failed(why) => {
                return Err(Failure::new(Class::Stalled, "CrdRefused", format!("{doing}: {why}")));
            }
            Readiness::Progressing(why) => why,
        };
        if Instant::now() >= until {
            return Err(Failure::new(Class::Retry, "CrdNotEstablished", format!("{doing}: {why}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        now = wire.get(&path, JSON).await.map_err(|refused| classify(&Doing { verb: "get", ..doing }, &refused))?;
    }
}

fn hash_of(crd: &Value) -> Option<&str> {
    crd.pointer("/metadata/annotations")?.get(CONTENT_HASH)?.as_str()
}
