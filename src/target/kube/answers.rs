//! What follows from an answer of the API server: one table, answer → class, reason and a message for people.
//!
//! Pure. Called wherever `target::kube` gives up on a request. A message never holds a value of a Secret: the server
//! quotes what it refuses, so for Secrets only the names of the fields are passed on.

use std::time::Duration;

use super::discovery::Resource;
use super::wire::Refused;
use crate::target::{Class, Failure};

/// What was being done, to what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a> {
    /// RBAC verb: `patch` for an apply.
    pub(super) verb: &'static str,
    /// The kind.
    pub(super) resource: &'a Resource,
    /// Namespace; none if cluster-scoped or all.
    pub(super) namespace: Option<&'a str>,
    /// Name; empty for a list.
    pub(super) name: &'a str,
}

impl std::fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = match self.verb {
            "patch" => "applying",
            "create" => "creating",
            "update" => "updating",
            "delete" => "deleting",
            "list" => "listing",
            "watch" => "watching",
            _ => "reading",
        };
        write!(f, "{verb} {}", self.resource.kind)?;
        match (self.namespace, self.name) {
            (Some(namespace), "") => write!(f, " in namespace {namespace}"),
            (Some(namespace), name) => write!(f, " {namespace}/{name}"),
            (None, name) => write!(f, " {name}"),
        }
    }
}

impl Doing<'_> {
    /// The rule that a role needs so that this is allowed.
    #[must_use]
    pub(super) fn rule(&self) -> String {
        let Resource { group, plural, .. } = self.resource;
        let place = match self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in a ClusterRole".to_owned(),
        };
        format!(
            "allow it {place} with {{apiGroups: [\"{group}\"], resources: [\"{plural}\"], verbs: \
             [\"get\", \"list\", \"watch\", \"create\", \"patch\", \"delete\"]}}"
        )
    }
}

/// The table.
#[must_use]
pub(super) fn classify(doing: &Doing<'_>, refused: &Refused) -> Failure {
    let (class, reason, what) = judge(doing, refused);
    let mut failure = Failure::new(class, reason, format!("{doing}: {what}"));
    failure.retry_after = refused.retry_after;
    if refused.code == 429 && failure.retry_after.is_none() {
        failure.retry_after = Some(Duration::from_secs(1));
    }
    failure
}

fn judge(doing: &Doing<'_>, refused: &Refused) -> (Class, &'static str, String) {
    use Class::{Bug, Denied, Retry, Skipped, Stalled};
    let said = said(doing, refused);
    let has_cause = |reason: &str| refused.details.causes.iter().any(|cause| cause.reason == reason);
    match refused.code {
        0 => (Retry, "Unreachable", format!("the API server did not answer: {said}")),
        400 => (Stalled, "BadRequest", said),
        401 => (Denied, "Unauthorized", format!("the API server does not accept the credentials: {said}")),
        403 if has_cause("NamespaceTerminating") => (Retry, "NamespaceTerminating", said),
        403 if refused.message.contains("exceeded quota") => (Retry, "QuotaExceeded", said),
        403 if refused.message.contains("User \"") && refused.message.contains(" cannot ") => (
            Denied,
            "Forbidden",
            format!("no right to {} {}: {said}; {}", doing.verb, doing.resource.plural, doing.rule()),
        ),
        403 => (Denied, "AdmissionDenied", said),
        404 if refused.reason.is_empty() => (
            Skipped,
            "CrdMissing",
            format!("the cluster does not know kind {} of {}", doing.resource.kind, doing.resource.api_version()),
        ),
        404 if refused.details.kind == "namespaces" && doing.resource.plural != "namespaces" => {
            let namespace = doing.namespace.unwrap_or(&refused.details.name);
            let what = format!("namespace {namespace} does not exist; declare it in the repository or create it");
            (Retry, "NamespaceMissing", what)
        }
        404 => (Retry, "NotFound", "it does not exist".to_owned()),
        409 if refused.reason == "AlreadyExists" => (Retry, "AlreadyExists", said),
        409 => (Retry, "Conflict", said),
        410 => (Retry, "Expired", said),
        413 => (Stalled, "TooLarge", said),
        422 => (Stalled, "Invalid", said),
        429 => (Retry, "TooManyRequests", format!("the API server asks for a pause: {said}")),
        405 | 406 | 415 => (Bug, "NotSupported", said),
        500 if refused.message.contains("failed to create typed patch object") => {
            (Stalled, "SchemaMismatch", format!("a field is unknown or has the wrong type: {said}"))
        }
        _ if refused.message.contains("request is too large") => (Stalled, "TooLarge", said),
        500 if refused.message.contains("failed calling webhook") => (Retry, "WebhookFailed", said),
        500.. => (Retry, "ServerError", said),
        _ => (Bug, "UnexpectedAnswer", format!("answer {}: {said}", refused.code)),
    }
}

/// What the server says, in so far as it may be shown.
fn said(doing: &Doing<'_>, refused: &Refused) -> String {
    let quotes = matches!(refused.code, 400 | 422 | 500);
    if doing.resource.kind == "Secret" && quotes {
        let fields: Vec<&str> = refused.details.causes.iter().map(|cause| cause.field.as_str()).collect();
        return match fields.as_slice() {
            [] => "the API server refuses the Secret (its words are not shown: they may hold a value)".to_owned(),
            fields => format!("the API server refuses the Secret at {}", fields.join(", ")),
        };
    }
    let mut text = refused.message.replace('\n', " ");
    if text.is_empty() {
        text = format!("HTTP status {}", refused.code);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: &str, plural: &str) -> Resource {
        Resource {
            group: "apps".into(),
            version: "v1".into(),
            kind: kind.into(),
            plural: plural.into(),
            namespaced: true,
        }
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
        let terminating = r#"{"name":"front","causes":[{"reason":"NamespaceTerminating","message":"","field":"metadata.namespace"}]}"#;
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
             [\"get\", \"list\", \"watch\", \"create\", \"patch\", \"delete\"]}"
        );
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
        ] {
            let failure = classify(&doing, &refused);
            assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        }
    }
}
