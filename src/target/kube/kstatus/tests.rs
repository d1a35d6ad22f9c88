//! Each kind in each of its states.

use serde_json::json;

use super::*;

fn of(api_version: &str, kind: &str, spec: Value, status: Value) -> Readiness {
    readiness(
        &json!({"apiVersion": api_version, "kind": kind, "metadata": {"generation": 2}, "spec": spec, "status": status}),
    )
}

fn conditions(kind: &str, status: &str) -> Value {
    json!({"observedGeneration": 2, "conditions": [{"type": kind, "status": status, "reason": "R", "message": "m"}]})
}

/// A DaemonSet whose pods do their work once.
fn done_on(wanted: u32, updated: u32, available: u32) -> Readiness {
    readiness(&json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"generation": 2, "annotations": {"windlass.dev/completes": "true"}},
        "spec": {"updateStrategy": {"type": "OnDelete"}},
        "status": {
            "observedGeneration": 2, "desiredNumberScheduled": wanted, "updatedNumberScheduled": updated,
            "numberAvailable": available,
        },
    }))
}

#[test]
fn each_kind_is_ready_progressing_or_failed() {
    let deployment = |status| of("apps/v1", "Deployment", json!({"replicas": 2}), status);
    let set = |status| of("apps/v1", "StatefulSet", json!({"replicas": 2}), status);
    let daemon = |status| of("apps/v1", "DaemonSet", json!({}), status);
    for (name, found, wanted) in [
        (
            "rolled out",
            deployment(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})),
            'r',
        ),
        (
            "of the generation before",
            deployment(json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})),
            'p',
        ),
        ("unseen", deployment(json!({})), 'p'),
        (
            "old replicas left",
            deployment(json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3})),
            'p',
        ),
        ("not available", deployment(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2})), 'p'),
        (
            "stuck",
            deployment(
                json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}),
            ),
            'f',
        ),
        (
            "set ready",
            set(
                json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "currentRevision": "a", "updateRevision": "a"}),
            ),
            'r',
        ),
        (
            "set rolling",
            set(
                json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "currentRevision": "a", "updateRevision": "b"}),
            ),
            'p',
        ),
        ("set short", set(json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 1})), 'p'),
        ("daemons without nodes", daemon(json!({"observedGeneration": 2})), 'r'),
        (
            "daemons short",
            daemon(
                json!({"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}),
            ),
            'p',
        ),
        ("node work without nodes", done_on(0, 0, 0), 'p'),
        ("node work half done", done_on(2, 2, 1), 'p'),
        ("node work of an older revision", done_on(2, 1, 2), 'p'),
        ("node work done", done_on(2, 2, 2), 'r'),
        ("cron job", of("batch/v1", "CronJob", json!({}), json!({})), 'r'),
        ("job running", of("batch/v1", "Job", json!({}), json!({"active": 1})), 'p'),
        ("job succeeded", of("batch/v1", "Job", json!({}), conditions("Complete", "True")), 'r'),
        ("job failed", of("batch/v1", "Job", json!({}), conditions("Failed", "True")), 'f'),
        (
            "pod running",
            of(
                "v1",
                "Pod",
                json!({}),
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            ),
            'r',
        ),
        ("pod pending", of("v1", "Pod", json!({}), json!({"phase": "Pending"})), 'p'),
        ("pod failed", of("v1", "Pod", json!({}), json!({"phase": "Failed"})), 'f'),
        ("claim waiting", of("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Pending"})), 'r'),
        ("claim lost", of("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Lost"})), 'f'),
        ("service", of("v1", "Service", json!({}), json!({"loadBalancer": {}})), 'r'),
        (
            "balancer without address",
            of("v1", "Service", json!({"type": "LoadBalancer"}), json!({"loadBalancer": {}})),
            'p',
        ),
        (
            "balancer",
            of("v1", "Service", json!({"type": "LoadBalancer"}), json!({"loadBalancer": {"ingress": [{}]}})),
            'r',
        ),
        ("namespace", of("v1", "Namespace", json!({}), json!({"phase": "Active"})), 'r'),
        ("namespace going", of("v1", "Namespace", json!({}), json!({"phase": "Terminating"})), 'p'),
        (
            "crd",
            of("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), conditions("Established", "True")),
            'r',
        ),
        ("crd new", of("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), json!({})), 'p'),
        (
            "crd refused",
            of("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), conditions("NamesAccepted", "False")),
            'f',
        ),
        (
            "api service",
            of("apiregistration.k8s.io/v1", "APIService", json!({}), conditions("Available", "False")),
            'p',
        ),
        ("custom without status", of("example.com/v1", "X", json!({}), json!(null)), 'r'),
        ("custom ready", of("example.com/v1", "X", json!({}), conditions("Ready", "True")), 'r'),
        ("custom not ready", of("example.com/v1", "X", json!({}), conditions("Ready", "False")), 'p'),
        ("custom stalled", of("example.com/v1", "X", json!({}), conditions("Stalled", "True")), 'f'),
        (
            "custom unseen",
            of(
                "example.com/v1",
                "X",
                json!({}),
                json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}),
            ),
            'p',
        ),
        ("config map", of("v1", "ConfigMap", json!({}), json!(null)), 'r'),
    ] {
        let letter = match &found {
            Ready => 'r',
            Progressing(_) => 'p',
            Failed(_) => 'f',
        };
        assert_eq!(letter, wanted, "{name}: {found:?}");
    }
}

/// What a controller says, in the words of kstatus: Reconciling, Stalled and Ready, and the generation that it speaks of.
/// `r`, `p` and `f` are ready, progressing and failed.
#[test]
fn custom_resources_follow_kstatus() {
    // Ready, Reconciling and Stalled as True, False, Unknown or absent; observedGeneration of 2.
    const TABLE: &[(&str, &str, &str, Option<i64>, char)] = &[
        ("", "", "", None, 'r'),
        ("", "", "", Some(1), 'p'),
        ("", "", "", Some(2), 'r'),
        ("T", "", "", None, 'r'),
        ("T", "", "", Some(1), 'p'),
        ("F", "", "", Some(2), 'p'),
        ("U", "", "", Some(2), 'p'),
        ("", "T", "", Some(2), 'p'),
        ("T", "T", "", Some(2), 'p'),
        ("T", "F", "", Some(2), 'r'),
        ("", "", "T", Some(2), 'f'),
        ("F", "", "T", Some(2), 'f'),
        ("T", "", "F", Some(2), 'r'),
        ("F", "", "F", Some(2), 'p'),
        ("F", "T", "T", Some(2), 'f'),
        ("", "", "T", Some(1), 'p'),
    ];
    for (ready, reconciling, stalled, observed, wanted) in TABLE {
        let status = |letter: &str| match letter {
            "T" => "True",
            "F" => "False",
            _ => "Unknown",
        };
        let all = [("Ready", ready), ("Reconciling", reconciling), ("Stalled", stalled)];
        let conditions: Vec<Value> = all
            .iter()
            .filter(|(_, letter)| !letter.is_empty())
            .map(|(kind, letter)| json!({"type": kind, "status": status(letter), "reason": "R", "message": "m"}))
            .collect();
        let found =
            of("example.com/v1", "X", json!({}), json!({"observedGeneration": observed, "conditions": conditions}));
        let letter = match &found {
            Ready => 'r',
            Progressing(_) => 'p',
            Failed(_) => 'f',
        };
        assert_eq!(letter, *wanted, "{ready:?} {reconciling:?} {stalled:?} {observed:?}: {found:?}");
    }
    let old = json!({"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]});
    assert!(
        matches!(of("example.com/v1", "X", json!({}), old), Progressing(_)),
        "a condition of the generation before"
    );
}

#[test]
fn what_is_being_deleted_is_not_ready() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "x"}});
    assert!(matches!(readiness(&object), Progressing(_)));
}

#[test]
fn metadata_is_enough_for_config() {
    assert!(!needs_whole("", "ConfigMap"));
    assert!(!needs_whole("rbac.authorization.k8s.io", "Role"));
    assert!(needs_whole("apps", "Deployment"));
    assert!(needs_whole("example.com", "X"));
    assert!(needs_whole("gateway.networking.k8s.io", "Gateway"));
}
