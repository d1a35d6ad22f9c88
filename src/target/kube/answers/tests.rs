//! Every row of the table.

use super::*;

fn resource(kind: &str, plural: &str) -> Resource {
    Resource { group: "apps".into(), version: "v1".into(), kind: kind.into(), plural: plural.into(), namespaced: true }
}

fn status(code: u16, reason: &str, message: &str, details: &str) -> Refused {
    let body = format!(
        r#"{{"kind":"Status","status":"Failure","message":{message:?},"reason":{reason:?},"details":{details}}}"#
    );
    Refused::from_answer(code, body.as_bytes(), None)
}

fn judged(refused: &Refused) -> (Class, &'static str) {
    let resource = resource("Deployment", "deployments");
    let failure =
        classify(&Doing { verb: "patch", resource: &resource, namespace: Some("web"), name: "front" }, refused);
    (failure.class, failure.reason)
}

#[test]
fn every_answer_has_its_class() {
    use Class::{Bug, Denied, Retry, Skipped, Stalled};
    let rbac = r#"deployments.apps "front" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "deployments" in API group "apps" in the namespace "web""#;
    let quota = r#"pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"#;
    let terminating =
        r#"{"name":"front","causes":[{"reason":"NamespaceTerminating","message":"","field":"metadata.namespace"}]}"#;
    for (refused, class, reason) in [
        (Refused::unsent("connection refused".into()), Retry, "Unreachable"),
        (status(400, "BadRequest", "x", "{}"), Stalled, "BadRequest"),
        (status(401, "Unauthorized", "x", "{}"), Denied, "Unauthorized"),
        (status(403, "Forbidden", rbac, "{}"), Denied, "Forbidden"),
        (status(403, "Forbidden", "being terminated", terminating), Retry, "NamespaceTerminating"),
        (status(403, "Forbidden", quota, "{}"), Retry, "QuotaExceeded"),
        (status(403, "Forbidden", "admission webhook denied the request", "{}"), Denied, "AdmissionDenied"),
        (Refused::from_answer(404, b"404 page not found\n", None), Skipped, "CrdMissing"),
        (status(404, "NotFound", "x", r#"{"name":"web","kind":"namespaces"}"#), Retry, "NamespaceMissing"),
        (status(404, "NotFound", "x", r#"{"name":"front","kind":"deployments"}"#), Retry, "NotFound"),
        (status(405, "MethodNotAllowed", "x", "{}"), Bug, "NotSupported"),
        (status(409, "AlreadyExists", "x", "{}"), Retry, "AlreadyExists"),
        (status(409, "Conflict", "x", "{}"), Retry, "Conflict"),
        (status(410, "Expired", "x", "{}"), Retry, "Expired"),
        (Refused::from_answer(413, b"too large", None), Stalled, "TooLarge"),
        (status(422, "Invalid", "x", "{}"), Stalled, "Invalid"),
        (Refused::from_answer(429, b"Too many requests", None), Retry, "TooManyRequests"),
        (status(500, "", "failed to create typed patch object (x)", "{}"), Stalled, "SchemaMismatch"),
        (status(500, "InternalError", "failed calling webhook x", "{}"), Retry, "WebhookFailed"),
        (status(500, "", "etcdserver: request is too large", "{}"), Stalled, "TooLarge"),
        (status(503, "ServiceUnavailable", "x", "{}"), Retry, "ServerError"),
        (status(504, "Timeout", "x", "{}"), Retry, "ServerError"),
        (Refused { code: 302, ..Refused::default() }, Bug, "UnexpectedAnswer"),
    ] {
        assert_eq!(judged(&refused), (class, reason), "{refused:?}");
    }
}

#[test]
fn a_missing_right_names_the_rule_to_add() {
    let message = r#"User "u" cannot patch resource "deployments""#;
    let resource = resource("Deployment", "deployments");
    let doing = Doing { verb: "patch", resource: &resource, namespace: Some("web"), name: "front" };
    let failure = classify(&doing, &status(403, "Forbidden", message, "{}"));
    assert_eq!(
        failure.message,
        "applying Deployment web/front: no right to patch deployments: User \"u\" cannot patch resource \
         \"deployments\"; allow it in namespace web with {apiGroups: [\"apps\"], resources: [\"deployments\"], verbs: \
         [\"get\", \"list\", \"watch\", \"create\", \"patch\", \"delete\"]}; `windlass render --rbac` prints every \
         rule that a repository needs"
    );
}

#[test]
fn writing_roles_takes_the_rights_that_they_grant_and_the_message_says_so() {
    let said = "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"u\" is attempting to grant RBAC permissions not \
                currently held: {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}";
    for (kind, plural, rule) in [
        ("Role", "roles", r#"resources: ["roles"], verbs: ["escalate"]"#),
        ("ClusterRoleBinding", "clusterrolebindings", r#"resources: ["clusterroles"], verbs: ["bind"]"#),
    ] {
        let resource = Resource { group: RBAC.into(), ..resource(kind, plural) };
        let doing = Doing { verb: "patch", resource: &resource, namespace: None, name: "r" };
        let failure = classify(&doing, &status(403, "Forbidden", said, "{}"));
        assert_eq!((failure.class, failure.reason), (Class::Denied, "Forbidden"));
        assert!(failure.message.contains("hold every right") && failure.message.contains(rule), "{}", failure.message);
    }
}

#[test]
fn a_pause_that_is_asked_for_is_passed_on() {
    let resource = resource("Deployment", "deployments");
    let doing = Doing { verb: "patch", resource: &resource, namespace: None, name: "front" };
    let refused = Refused::from_answer(429, b"busy", Some(Duration::from_secs(7)));
    assert_eq!(classify(&doing, &refused).retry_after, Some(Duration::from_secs(7)));
    let refused = status(503, "ServiceUnavailable", "x", r#"{"retryAfterSeconds":3}"#);
    assert_eq!(classify(&doing, &refused).retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn the_servers_words_about_a_secret_are_not_passed_on() {
    let resource = resource("Secret", "secrets");
    let doing = Doing { verb: "patch", resource: &resource, namespace: Some("web"), name: "s" };
    let cause = r#"{"causes":[{"field":"data[password]","message":"Invalid value: \"hunter2\""}]}"#;
    for refused in [
        status(422, "Invalid", "Invalid value: hunter2", cause),
        status(500, "", "failed to create typed patch object hunter2", "{}"),
        status(403, "Forbidden", "admission webhook \"no.weak\" denied the request: hunter2 is weak", "{}"),
        status(403, "Forbidden", "secrets \"s\" is forbidden: ValidatingAdmissionPolicy 'p' denied: hunter2", "{}"),
        status(403, "Forbidden", "secrets \"s\" is forbidden: hunter2 is forbidden: User \"u\" cannot", "{}"),
        status(409, "Conflict", "hunter2", "{}"),
        status(404, "NotFound", "admission webhook \"no.weak\" denied the request: hunter2", "{}"),
        status(422, "Invalid", "x", r#"{"causes":[{"field":"data[a]: hunter2"},{"field":"hunter2"}]}"#),
        status(503, "", "hunter2", "{}"),
        Refused::from_answer(418, b"hunter2", None),
        Refused::from_answer(502, b"hunter2", None),
    ] {
        let failure = classify(&doing, &refused);
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
    }
}

#[test]
fn what_the_server_says_without_quoting_is_passed_on_about_a_secret_too() {
    let resource = resource("Secret", "secrets");
    let doing = Doing { verb: "patch", resource: &resource, namespace: Some("web"), name: "s" };
    let said = |refused: Refused| classify(&doing, &refused).message;
    let rbac =
        r#"secrets "s" is forbidden: User "u" cannot patch resource "secrets" in API group "" in the namespace "web""#;
    assert!(said(status(403, "Forbidden", rbac, "{}")).contains("no right to patch secrets"));
    let quota = r#"secrets "s" is forbidden: exceeded quota: few, requested: count/secrets=1"#;
    assert!(said(status(403, "Forbidden", quota, "{}")).contains("exceeded quota: few"));
    let cause = r#"{"causes":[{"field":"data[password]","message":"x"}]}"#;
    let denied = r#"admission webhook "no.weak" denied the request: too weak"#;
    let shown = said(status(403, "Forbidden", denied, cause));
    assert!(shown.contains("admission webhook no.weak refuses the Secret at data[password] (status 403"), "{shown}");
    assert!(said(Refused::unsent("connection refused".into())).contains("connection refused"));
}
