//! Our own CRDs, applied when the agent starts.
//!
//! IO. A CRD of the same name that someone else installed is used as it is and never overwritten. Nothing is sent for one
//! that is as wanted. Called by `agent` and `cli`.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::answers::{Doing, classify};
use super::discovery::{Discovery, Known, Resource};
use super::wire::{APPLY, JSON, METADATA_LIST, Wire};
use super::{kstatus, managed};
use crate::diff::seen::Readiness;
use crate::plan::canonical;
use crate::plan::stamp::MANAGER;
use crate::sync::{CONTENT_HASH, MANAGED_BY};
use crate::target::{Class, Failure};

/// How long a CRD may take to be established.
const ESTABLISHED: Duration = Duration::from_secs(30);
/// How often another agent may be faster.
const CONFLICTS: u32 = 5;
/// How long the API server may then take to serve and to name its kind; it says neither in the CRD.
const SERVED: Duration = Duration::from_secs(10);

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
    let apply = format!("{path}?fieldManager={MANAGER}&force=true");
    let mut conflicts = 0;
    let (mut now, state) = loop {
        let live = match wire.get(&path, JSON).await {
            Ok(live) => live,
            Err(refused) if refused.is_not_found() => Value::Null,
            Err(refused) => return Err(classify(&Doing { verb: "get", ..doing }, &refused)),
        };
        if !live.is_null() && managed::own(&live, MANAGER).is_none() {
            break (live, CrdState::Foreign);
        }
        if hash_of(&live) == Some(hash.as_str()) {
            break (live, CrdState::Current);
        }
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            // Create-only: one that appears in between is looked at again.
            match live.is_null() {
                true => metadata.insert("resourceVersion".to_owned(), "1".into()),
                false => metadata.remove("resourceVersion"),
            };
        }
        match wire.patch(&apply, APPLY, &body).await {
            Ok(applied) => break (applied, CrdState::Applied),
            Err(refused) if refused.code == 409 && conflicts < CONFLICTS => conflicts += 1,
            Err(refused) => return Err(classify(&doing, &refused)),
        }
    };
    let until = Instant::now() + ESTABLISHED;
    loop {
        let why = match kstatus::readiness(&now) {
            Readiness::Ready => break,
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
    if state == CrdState::Applied {
        served(wire, crd).await;
    }
    Ok((name, state))
}

/// Waits until the kind is among those that the server names, and its objects can be asked for. If that takes too long,
/// whoever needs the kind says so.
async fn served(wire: &Wire, crd: &CustomResourceDefinition) {
    let spec = &crd.spec;
    let Some(version) = spec.versions.iter().find(|version| version.served).map(|version| version.name.as_str()) else {
        return;
    };
    let discovery = Discovery::new(wire.clone());
    let until = Instant::now() + SERVED;
    while Instant::now() < until {
        if discovery.find(&format!("{}/{version}", spec.group), &spec.names.kind).await != Known::Missing {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let path = format!("/apis/{}/{version}/{}?limit=1", spec.group, spec.names.plural);
    while Instant::now() < until {
        match wire.get(&path, METADATA_LIST).await {
            Err(refused) if matches!(refused.code, 404 | 429 | 503) => {}
            _ => break,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn hash_of(crd: &Value) -> Option<&str> {
    crd.pointer("/metadata/annotations")?.get(CONTENT_HASH)?.as_str()
}
