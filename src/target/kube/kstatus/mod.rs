//! Readiness of an object from what it says of itself (kstatus, with Jobs ready only when succeeded).
//!
//! Pure. Called by `observe`, `apply` and `settle`.

use serde_json::Value;

use super::discovery::split;
use crate::diff::seen::Readiness::{self, Failed, Progressing, Ready};
use crate::sync::COMPLETES;

/// Built-in kinds whose readiness is in their status; for all other built-in kinds being there is being ready, and
/// their metadata is enough.
const WITH_READINESS: &[(&str, &str)] = &[
    ("", "Namespace"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "ReplicationController"),
    ("", "Service"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "Job"),
    ("policy", "PodDisruptionBudget"),
];

/// Whether the readiness of a kind can be told only from whole objects.
#[must_use]
pub(super) fn needs_whole(group: &str, kind: &str) -> bool {
    WITH_READINESS.contains(&(group, kind)) || !is_built_in(group)
}

/// Groups of Kubernetes itself. A CRD's group has a dot by rule; `*.k8s.io` may be a CRD's too, and then conditions
/// of its objects would be missed, which is why only those served by the API server itself are listed.
pub(super) fn is_built_in(group: &str) -> bool {
    const DOTTED: &[&str] = &[
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    ];
    !group.contains('.') || DOTTED.contains(&group)
}

/// The readiness of an object.
#[must_use]
pub(super) fn readiness(object: &Value) -> Readiness {
    let (group, _) = split(text(object, "/apiVersion"));
    let kind = text(object, "/kind");
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Progressing("it is being deleted".to_owned());
    }
    if !needs_whole(group, kind) {
        return Ready;
    }
    if let Some(observed) = object.pointer("/status/observedGeneration").and_then(Value::as_i64)
        && observed < number(object, "/metadata/generation", 0)
    {
        return Progressing("its controller has not seen the change yet".to_owned());
    }
    match (group, kind) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => replica_set(object),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "Service") => service(object),
        ("", "Namespace") => phase(object, "Active"),
        ("policy", "PodDisruptionBudget") => match observed(object) {
            true => Ready,
            false => Progressing("its controller has not seen it yet".to_owned()),
        },
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd(object),
        ("apiregistration.k8s.io", "APIService") => condition(object, "Available"),
        _ => custom(object),
    }
}

fn deployment(object: &Value) -> Readiness {
    if let Some(stuck) = find(object, "Progressing").filter(|it| text(it, "/reason") == "ProgressDeadlineExceeded") {
        return Failed(text(stuck, "/message").to_owned());
    }
    if !observed(object) {
        return Progressing("its controller has not seen it yet".to_owned());
    }
    let wanted = number(object, "/spec/replicas", 1);
    let updated = number(object, "/status/updatedReplicas", 0);
    let all = number(object, "/status/replicas", 0);
    let available = number(object, "/status/availableReplicas", 0);
    if updated < wanted {
        Progressing(format!("{updated} of {wanted} replicas are of the new revision"))
    } else if all > updated {
        Progressing(format!("{} replicas of the old revision are still there", all - updated))
    } else if available < updated {
        Progressing(format!("{available} of {wanted} replicas are available"))
    } else {
        Ready
    }
}

fn stateful_set(object: &Value) -> Readiness {
    if !observed(object) {
        return Progressing("its controller has not seen it yet".to_owned());
    }
    let wanted = number(object, "/spec/replicas", 1);
    let ready = number(object, "/status/readyReplicas", 0);
    let all = number(object, "/status/replicas", 0);
    if ready < wanted {
        return Progressing(format!("{ready} of {wanted} replicas are ready"));
    }
    if all > wanted {
        return Progressing(format!("{} replicas too many are still there", all - wanted));
    }
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    if updated < wanted - partition {
        return Progressing(format!("{updated} of {} replicas are of the new revision", wanted - partition));
    }
    if partition == 0 && text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return Progressing("the new revision is not yet the current one".to_owned());
    }
    Ready
}

fn daemon_set(object: &Value) -> Readiness {
    if !observed(object) {
        return Progressing("its controller has not seen it yet".to_owned());
    }
    let wanted = number(object, "/status/desiredNumberScheduled", 0);
    let updated = number(object, "/status/updatedNumberScheduled", 0);
    let available = number(object, "/status/numberAvailable", 0);
    if object.pointer("/metadata/annotations").is_some_and(|all| all.get(COMPLETES).is_some()) {
        return match wanted {
            0 => Progressing("no node takes its pods".to_owned()),
            // A pod of an older revision did another work.
            _ if available.min(updated) < wanted => {
                Progressing(format!("{} of {wanted} nodes are done", available.min(updated)))
            }
            _ => Ready,
        };
    }
    if updated < wanted && text(object, "/spec/updateStrategy/type") != "OnDelete" {
        Progressing(format!("{updated} of {wanted} pods are of the new revision"))
    } else if available < wanted {
        Progressing(format!("{available} of {wanted} pods are available"))
    } else {
        Ready
    }
}

fn replica_set(object: &Value) -> Readiness {
    let wanted = number(object, "/spec/replicas", 1);
    let available = number(object, "/status/availableReplicas", 0);
    if let Some(failing) = find(object, "ReplicaFailure").filter(|it| text(it, "/status") == "True") {
        return Progressing(text(failing, "/message").to_owned());
    }
    if observed(object) && available >= wanted {
        Ready
    } else {
        Progressing(format!("{available} of {wanted} replicas are available"))
    }
}

fn job(object: &Value) -> Readiness {
    let is = |kind| find(object, kind).filter(|it| text(it, "/status") == "True");
    if let Some(failed) = is("Failed") {
        return Failed(format!("it failed: {}", text(failed, "/message")));
    }
    if is("Complete").is_some() {
        return Ready;
    }
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Progressing("it is suspended".to_owned());
    }
    let done = number(object, "/status/succeeded", 0);
    let wanted = number(object, "/spec/completions", 1);
    Progressing(format!("{done} of {wanted} completions"))
}

fn pod(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => Ready,
        "Failed" => {
            Failed(format!("it failed: {} {}", text(object, "/status/reason"), text(object, "/status/message")))
        }
        _ if find(object, "Ready").is_some_and(|it| text(it, "/status") == "True") => Ready,
        "" => Progressing("it is not scheduled yet".to_owned()),
        phase => Progressing(format!("its phase is {phase}")),
    }
}

/// A claim that waits for its first consumer would wait for ever if the consumer waited for it.
fn claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Lost" => Failed("its volume is lost".to_owned()),
        _ => Ready,
    }
}

fn service(object: &Value) -> Readiness {
    let wants_address = text(object, "/spec/type") == "LoadBalancer";
    let has_address =
        object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if wants_address && !has_address { Progressing("it has no load balancer yet".to_owned()) } else { Ready }
}

fn crd(object: &Value) -> Readiness {
    if let Some(refused) = find(object, "NamesAccepted").filter(|it| text(it, "/status") == "False") {
        return Failed(format!("its names are refused: {}", text(refused, "/message")));
    }
    condition(object, "Established")
}

/// A custom resource: what is Stalled has failed, what is Reconciling is on its way, and else `Ready` decides; without
/// such conditions, being there is being ready. False is not failed: most controllers say so while they work.
fn custom(object: &Value) -> Readiness {
    if let Some(stalled) = find(object, "Stalled").filter(|it| text(it, "/status") == "True") {
        return Failed(text(stalled, "/message").to_owned());
    }
    if let Some(working) = find(object, "Reconciling").filter(|it| text(it, "/status") == "True") {
        return Progressing(format!("its controller is at work: {}", text(working, "/message")));
    }
    let Some(ready) = find(object, "Ready") else { return Ready };
    // Some controllers say only in the condition which generation they speak of.
    let generation = number(object, "/metadata/generation", 0);
    if number(ready, "/observedGeneration", generation) < generation {
        return Progressing("its controller has not seen the change yet".to_owned());
    }
    condition(object, "Ready")
}

fn condition(object: &Value, kind: &str) -> Readiness {
    match find(object, kind) {
        Some(found) if text(found, "/status") == "True" => Ready,
        Some(found) => Progressing(format!(
            "condition {kind} is {}: {} {}",
            text(found, "/status"),
            text(found, "/reason"),
            text(found, "/message")
        )),
        None => Progressing(format!("it has no condition {kind} yet")),
    }
}

fn phase(object: &Value, wanted: &str) -> Readiness {
    match text(object, "/status/phase") {
        // Created a moment ago; the server sets the phase at once, but an answer to a dry-run lacks it.
        "" => Ready,
        phase if phase == wanted => Ready,
        phase => Progressing(format!("its phase is {phase}")),
    }
}

fn observed(object: &Value) -> bool {
    object
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64)
        .is_some_and(|observed| observed >= number(object, "/metadata/generation", 0))
}

fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| text(condition, "/type") == kind)
}

fn number(object: &Value, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
