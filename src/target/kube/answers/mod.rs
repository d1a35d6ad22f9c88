//! What follows from an answer of the API server: one table, answer → class, reason and a message for people.
//!
//! Pure. Called wherever `target::kube` gives up on a request. A message never holds a value of a Secret: the server
//! quotes what it refuses, so for Secrets only the names of the fields are passed on.

use std::time::Duration;

use super::discovery::Resource;
use super::wire::{LEASE_LOST, Refused};
use crate::sync::conditions::reasons::IMPERSONATION_DENIED;
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
            (None, "") => write!(f, " in all namespaces"),
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
             [\"get\", \"list\", \"watch\", \"create\", \"patch\", \"delete\"]}}; `windlass render --rbac` prints \
             every rule that a repository needs"
        )
    }

    /// What else it takes to write roles and bindings.
    fn grants(&self) -> String {
        let Resource { group, plural, .. } = self.resource;
        let verb = if plural.ends_with("bindings") { "bind" } else { "escalate" };
        let roles = plural.replace("rolebindings", "roles");
        format!(
            "whoever writes {plural} has to hold every right that they grant: give those rights to the agent too, or \
             {{apiGroups: [\"{group}\"], resources: [\"{roles}\"], verbs: [\"{verb}\"]}}, with which it could give \
             itself anything"
        )
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

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
        0 if refused.reason == LEASE_LOST => {
            let what =
                "nothing was sent: the Lease of this sync was not renewed in time, and another agent may hold it";
            (Retry, LEASE_LOST, what.to_owned())
        }
        403 if refused.may_not_impersonate() => {
            (Denied, IMPERSONATION_DENIED, format!("the agent may not act as the sync's service account: {said}"))
        }
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
        403 if doing.resource.group == RBAC && refused.message.contains("attempting to grant RBAC permissions") => {
            (Denied, "Forbidden", format!("{said}; {}", doing.grants()))
        }
        403 => (Denied, "AdmissionDenied", said),
        404 if refused.reason.is_empty() => (
            Skipped,
            "CrdMissing",
            format!("the cluster does not know kind {} of {}", doing.resource.kind, doing.resource.api_version()),
        ),
        404 if refused.details.kind == "namespaces" && doing.resource.plural != "namespaces" => {
            let namespace = doing.namespace.unwrap_or(&refused.details.name);
            let what = format!(
                "namespace {namespace} does not exist; declare it in the repository (a Namespace is applied first), or create it"
            );
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
    if doing.resource.kind == "Secret" && !is_plain(refused) {
        let who = match webhook(&refused.message) {
            Some(name) => format!("admission webhook {name}"),
            None => "the API server".to_owned(),
        };
        let fields: Vec<&str> = refused.details.causes.iter().map(|cause| cause.field.as_str()).collect();
        let fields: Vec<&str> = fields.into_iter().filter(|field| is_field(field)).collect();
        let place = if fields.is_empty() { String::new() } else { format!(" at {}", fields.join(", ")) };
        return format!(
            "{who} refuses the Secret{place} (status {}; its words are not shown, they may hold a value; `kubectl apply \
             --dry-run=server` shows them to you)",
            refused.code
        );
    }
    let mut text = refused.message.replace('\n', " ");
    if text.is_empty() {
        text = format!("HTTP status {}", refused.code);
    }
    text
}

/// Whether the words are the API server's own, of a kind that never quotes what was sent.
fn is_plain(refused: &Refused) -> bool {
    let message = refused.message.as_str();
    match refused.code {
        // No answer came: these are our words.
        0 => true,
        401 | 404 | 410 | 429 => webhook(message).is_none(),
        403 => ["User \"", "exceeded quota", "unable to create new content in namespace"]
            .iter()
            .any(|own| forbidden(message).is_some_and(|rest| rest.starts_with(own))),
        409 => message.starts_with("Operation cannot be fulfilled on secrets ") || refused.reason == "AlreadyExists",
        _ => false,
    }
}

/// What follows `secrets "name" is forbidden: ` or `secrets is forbidden: `.
fn forbidden(message: &str) -> Option<&str> {
    let (what, rest) = message.strip_prefix("secrets ")?.split_once("is forbidden: ")?;
    let name = what.trim_end();
    let quoted = name.len() >= 2 && name.starts_with('"') && name.ends_with('"');
    (name.is_empty() || quoted && !name.contains(' ')).then_some(rest)
}

/// The admission webhook that a refusal names.
fn webhook(message: &str) -> Option<&str> {
    let rest = ["admission webhook \"", "failed calling webhook \""].iter().find_map(|start| {
        let at = message.find(start)?;
        message.get(at + start.len()..)
    })?;
    let name = rest.split_once('"')?.0;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// Whether a cause's field is a path of keys, and nothing that a webhook made up.
fn is_field(field: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']' | '/');
    ["data", "stringData", "metadata", "type", "immutable"].iter().any(|root| field.starts_with(root))
        && field.len() <= 300
        && field.chars().all(inner)
}

#[cfg(test)]
mod tests;
