//! A GitSync from JSON: typed, checked, everything wrong with it at once.
//!
//! Pure. Called by `cli` for the documents of `-f FILE` and by `agent` for CRs; both learn the same problems.

use serde_json::Value;

use super::spec::{GitSync, GitSyncSpec, Reference, Target};
use super::{GROUP, support};
use crate::problem::{Code, Problem};

/// At most so many problems are looked for in one document.
const LIMIT: usize = 50;

/// Types and checks one document. The sync is returned only without an error; `durations` says whether a text is a
/// duration and `window` whether a window can be read (both belong to `schedule`).
pub fn read(document: &Value, checks: &Checks) -> (Option<GitSync>, Vec<Problem>) {
    let api_version = document.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    if kind != "GitSync" || !api_version.starts_with(GROUP) {
        return (
            None,
            vec![Problem::error(
                Code::NotAnObject,
                format!(
                    "this is not a GitSync of {GROUP}/v1alpha1. Only GitSyncs may stand here; documents to apply belong into the repository"
                ),
            )],
        );
    }
    if api_version != "windlass.dev/v1alpha1" {
        let message = format!("GitSync {api_version} is not known. Write windlass.dev/v1alpha1");
        return (None, vec![Problem::error(Code::UnknownVersion, message).pointing("/apiVersion")]);
    }
    let mut rest = document.clone();
    // What the server keeps in a CR is not ours to check.
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("status");
    }
    let mut problems = Vec::new();
    let typed = type_all(&mut rest, &mut problems);
    let Some(sync) = typed else { return (None, problems) };
    if sync.metadata.name.as_deref().unwrap_or_default().is_empty() {
        problems.push(Problem::error(Code::InvalidName, "the GitSync has no name").pointing("/metadata/name"));
    }
    names(&sync, &mut problems);
    itself(&sync, &mut problems);
    check(&sync.spec, checks, &mut problems);
    let valid = problems.is_empty();
    (valid.then_some(sync), problems)
}

/// Checks that another room owns, handed in as functions to keep the arrows.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// What is wrong with a duration.
    pub duration: fn(&str) -> Result<(), String>,
    /// What is wrong with a window.
    pub window: fn(&super::spec::Window) -> Result<(), String>,
    /// What is wrong with a health check: the field, and why.
    pub health: fn(&super::spec::HealthCheck) -> Option<(&'static str, String)>,
}

/// serde stops at the first error. The field it names is taken away and the rest typed again, so that one look tells all.
fn type_all(rest: &mut Value, problems: &mut Vec<Problem>) -> Option<GitSync> {
    while problems.len() < LIMIT {
        let error = match serde_path_to_error::deserialize::<_, GitSync>(&*rest) {
            Ok(sync) => return Some(sync),
            Err(error) => error,
        };
        let mut pointer = String::new();
        for segment in error.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let text = error.inner().to_string();
        let (code, message) = if text.starts_with("unknown field") {
            (Code::UnknownField, format!("{text}. Remove it, or correct its spelling"))
        } else if text.starts_with("missing field") {
            (Code::MissingField, text)
        } else if text.starts_with("unknown variant") {
            (Code::InvalidValue, text)
        } else {
            (Code::WrongType, text)
        };
        problems.push(Problem::error(code, message).pointing(pointer.clone()));
        if code == Code::MissingField || !take_away(rest, &pointer) {
            return None;
        }
    }
    None
}

/// Removes what a pointer names; false if there was nothing or nothing may be missing there.
fn take_away(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(&key).is_some(),
        Some(Value::Array(items)) => match key.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a URL holds a password, or a token in place of a user name. The user name of an SSH URL is none.
fn holds_credentials(url: &str) -> bool {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("", url.trim()));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.contains(':') || matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
}

/// Names become parts of paths, on disk and in requests: they are checked here too, since a file has not passed the API
/// server.
fn names(sync: &GitSync, problems: &mut Vec<Problem>) {
    let advice = "Write lower-case letters, digits and inner dashes";
    let mut refuse = |code, pointer: &str, what: &str| {
        problems.push(
            Problem::error(code, format!("{what} is not a name that Kubernetes takes. {advice}")).pointing(pointer),
        );
    };
    if sync.metadata.name.as_deref().is_some_and(|name| !name.is_empty() && !is_name(name, 253)) {
        refuse(Code::InvalidName, "/metadata/name", "the GitSync's name");
    }
    if sync.metadata.namespace.as_deref().is_some_and(|name| name.contains('.') || !is_name(name, 63)) {
        refuse(Code::InvalidNamespace, "/metadata/namespace", "the GitSync's namespace");
    }
    if sync.spec.service_account_name.as_ref().is_some_and(|name| !is_name(name, 253)) {
        refuse(Code::InvalidName, "/spec/serviceAccountName", "the service account's name");
    }
    for (index, text) in sync.spec.depends_on.iter().enumerate() {
        let (namespace, name) = dependency("default", text);
        if namespace.contains('.') || !is_name(&namespace, 63) || !is_name(&name, 253) {
            refuse(Code::InvalidName, &format!("/spec/dependsOn/{index}"), "the name of the sync to wait for");
        }
    }
    if sync.spec.source.secret_ref.as_ref().is_some_and(|reference| !is_name(&reference.name, 253)) {
        refuse(Code::InvalidName, "/spec/source/secretRef/name", "the Secret's name");
    }
}

/// Namespace and name of a sync as `spec.dependsOn` of a sync in `namespace` gives it.
#[must_use]
pub fn dependency(namespace: &str, text: &str) -> (String, String) {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    (namespace.to_owned(), name.to_owned())
}

fn is_name(text: &str, most: usize) -> bool {
    let part = |part: &str| {
        let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(alnum) && part.ends_with(alnum) && part.chars().all(|c| alnum(c) || c == '-')
    };
    text.len() <= most && text.split('.').all(part)
}

/// A sync that waits for itself waits for ever.
fn itself(sync: &GitSync, problems: &mut Vec<Problem>) {
    let namespace = sync.metadata.namespace.as_deref().unwrap_or(super::DEFAULT_NAMESPACE);
    let own = (namespace.to_owned(), sync.metadata.name.clone().unwrap_or_default());
    for (index, text) in sync.spec.depends_on.iter().enumerate() {
        if dependency(namespace, text) == own {
            let message = format!("the sync waits for itself ({text}). Remove it");
            problems.push(Problem::error(Code::InvalidValue, message).pointing(format!("/spec/dependsOn/{index}")));
        }
    }
}

/// Whether a JSON pointer names something that others may change.
fn ignorable(pointer: &str) -> Result<(), String> {
    if !pointer.starts_with('/') || pointer.len() < 2 {
        return Err(format!("`{pointer}` is not a JSON pointer. Write it as in `/spec/replicas`"));
    }
    let escapes = pointer.match_indices('~').all(|(at, _)| matches!(pointer.as_bytes().get(at + 1), Some(b'0' | b'1')));
    if !escapes {
        return Err(format!("`{pointer}` has a `~` that stands for nothing. Write `~0` for `~` and `~1` for `/`"));
    }
    let root = pointer.split('/').nth(1).unwrap_or_default();
    let identity =
        ["/metadata", "/metadata/name", "/metadata/namespace", "/metadata/labels", "/metadata/annotations", "/spec"];
    if matches!(root, "apiVersion" | "kind") || identity.contains(&pointer) || pointer.ends_with('/') {
        return Err(format!(
            "`{pointer}` cannot be left to others: the object would not be this sync's any more. Name single fields"
        ));
    }
    Ok(())
}

fn check(spec: &GitSyncSpec, checks: &Checks, problems: &mut Vec<Problem>) {
    let mut invalid = |pointer: &str, message: String| {
        problems.push(Problem::error(Code::InvalidValue, message).pointing(pointer));
    };
    if spec.source.url.trim().is_empty() {
        invalid("/spec/source/url", "the source has no URL. Write a git URL or a path".to_owned());
    }
    if holds_credentials(&spec.source.url) {
        let message = "the source's URL holds a user name or password, and whoever reads this GitSync reads it. Take it \
                       out of the URL (and change it, if others could read it), and put it into a Secret that \
                       source.secretRef names: username and password, or bearerToken";
        problems.push(Problem::error(Code::SecretInGit, message).pointing("/spec/source/url"));
    }
    let mut invalid = |pointer: &str, message: String| {
        problems.push(Problem::error(Code::InvalidValue, message).pointing(pointer));
    };
    if let Some(reference) = &spec.source.reference {
        let Reference { branch, tag, semver, commit } = reference;
        let given = [branch, tag, semver, commit].into_iter().flatten().count();
        if given != 1 {
            invalid("/spec/source/ref", format!("ref has {given} fields. Give one of branch, tag, semver and commit"));
        }
    }
    if let Some(target) = &spec.target {
        let Target { kube, directory, git } = target;
        let given = usize::from(kube.is_some()) + usize::from(directory.is_some()) + usize::from(git.is_some());
        if given != 1 {
            invalid("/spec/target", format!("target has {given} fields. Give one of kube, directory and git"));
        }
        if directory.as_ref().is_some_and(|directory| directory.path.trim().is_empty()) {
            invalid("/spec/target/directory/path", "the directory has no path".to_owned());
        }
    }
    for (pointer, text) in [
        ("/spec/source/interval", &spec.source.interval),
        ("/spec/timeout", &spec.timeout),
        ("/spec/retryInterval", &spec.retry_interval),
        ("/spec/drift/verifyInterval", &spec.drift.verify_interval),
    ] {
        if let Err(why) = (checks.duration)(text) {
            invalid(pointer, why);
        }
    }
    for (index, window) in spec.windows.iter().enumerate() {
        if let Err(why) = (checks.window)(window) {
            invalid(&format!("/spec/windows/{index}"), why);
        }
    }
    for (index, check) in spec.health_checks.iter().enumerate() {
        if let Some((field, why)) = (checks.health)(check) {
            invalid(&format!("/spec/healthChecks/{index}/{field}"), why);
        }
        let same =
            |other: &super::spec::HealthCheck| (&other.api_version, &other.kind) == (&check.api_version, &check.kind);
        if spec.health_checks[..index].iter().any(same) {
            let message =
                format!("there are two health checks for {} {}. Join them with `&&`", check.api_version, check.kind);
            invalid(&format!("/spec/healthChecks/{index}"), message);
        }
    }
    for (index, ignore) in spec.drift.ignore.iter().enumerate() {
        for (number, pointer) in ignore.json_pointers.iter().enumerate() {
            if let Err(why) = ignorable(pointer) {
                invalid(&format!("/spec/drift/ignore/{index}/jsonPointers/{number}"), why);
            }
        }
        if ignore.json_pointers.is_empty() {
            let message = "no field is named. Write JSON pointers, as in `/spec/replicas`".to_owned();
            invalid(&format!("/spec/drift/ignore/{index}/jsonPointers"), message);
        }
    }
    for (index, kind) in spec.strict.iter().flatten().enumerate() {
        let name = kind.split('.').next().unwrap_or_default();
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            let message =
                format!("`{kind}` is not a kind. Write `Kind` or `Kind.group`, as in `Ingress.networking.k8s.io`");
            invalid(&format!("/spec/strict/{index}"), message);
        }
    }
    if spec.budget.max_delete_percent > 100 {
        invalid("/spec/budget/maxDeletePercent", "a percentage cannot be more than 100".to_owned());
    }
    for (pointer, why) in support::unsupported(spec) {
        let message = format!(
            "this version of Windlass does not act on this field: {why}. Remove it; the sync is not started with it"
        );
        problems.push(Problem::error(Code::NotSupported, message).pointing(pointer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LENIENT: Checks = Checks {
        duration: |text| if text == "soon" { Err("`soon` is not a duration".to_owned()) } else { Ok(()) },
        window: |_| Ok(()),
        health: |check| (check.current == "(").then(|| ("current", "not CEL".to_owned())),
    };

    fn sync(spec: &Value) -> Value {
        json!({"apiVersion": "windlass.dev/v1alpha1", "kind": "GitSync", "metadata": {"name": "platform"}, "spec": spec})
    }

    fn pointers(document: &Value) -> Vec<(Code, String)> {
        let (_, problems) = read(document, &LENIENT);
        problems.into_iter().map(|p| (p.code, p.pointer.unwrap_or_default())).collect()
    }

    #[test]
    fn a_small_document_gets_the_defaults() {
        let (sync, problems) = read(&sync(&json!({"source": {"url": "https://example.org/x.git"}})), &LENIENT);
        assert_eq!(problems, []);
        let spec = sync.unwrap().spec;
        assert!(spec.prune && !spec.suspend);
        assert_eq!((spec.source.interval.as_str(), spec.timeout.as_str()), ("1m", "10m"));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let document = sync(&json!({
            "source": {"url": "u", "intervall": "1m", "interval": "soon", "verify": {"mode": "Head", "secretRef": {"name": "k"}}},
            "prune": "no", "colour": 1, "deletionPolicy": "Shred"
        }));
        assert_eq!(
            pointers(&document),
            [
                (Code::UnknownField, "/spec/colour".to_owned()),
                (Code::InvalidValue, "/spec/deletionPolicy".to_owned()),
                (Code::WrongType, "/spec/prune".to_owned()),
                (Code::UnknownField, "/spec/source/intervall".to_owned()),
                (Code::InvalidValue, "/spec/source/interval".to_owned()),
                (Code::NotSupported, "/spec/source/verify".to_owned()),
            ]
        );
    }

    #[test]
    fn a_protection_that_is_not_built_keeps_the_sync_from_starting() {
        let (sync, problems) = read(
            &sync(
                &json!({"source": {"url": "u"}, "report": {"notes": true}, "decryption": {"provider": "age", "secretRef": {"name": "k"}}}),
            ),
            &LENIENT,
        );
        assert!(sync.is_none());
        assert_eq!(problems.len(), 2);
        assert!(problems.iter().all(|p| p.code == Code::NotSupported));
    }

    #[test]
    fn a_name_that_would_climb_out_of_a_folder_is_refused() {
        let with = |name: &str, namespace: &str, secret: &str| {
            let mut document = sync(&json!({"source": {"url": "u", "secretRef": {"name": secret}}}));
            document["metadata"]["name"] = name.into();
            document["metadata"]["namespace"] = namespace.into();
            pointers(&document)
        };
        assert_eq!(with("platform.a-1", "team-a", "git.credentials"), []);
        for bad in ["../../etc", "..", ".", "a/b", "/etc", "A", "a..b", "-a", "a_b", "a\0"] {
            let found = with(bad, bad, bad);
            let expected = [
                (Code::InvalidName, "/metadata/name".to_owned()),
                (Code::InvalidNamespace, "/metadata/namespace".to_owned()),
                (Code::InvalidName, "/spec/source/secretRef/name".to_owned()),
            ];
            assert_eq!(found, expected, "{bad}");
        }
        assert_eq!(with("a", "b.c", "d").len(), 1, "a namespace has no dots");
    }

    #[test]
    fn a_password_in_the_url_is_told_without_being_repeated() {
        for url in [
            "https://ada:hunter2@git.example/x.git",
            "https://hunter2@git.example/x.git",
            "ssh://git:hunter2@git.example/x.git",
            "git:hunter2@git.example:x.git",
        ] {
            let (sync, problems) = read(&sync(&json!({"source": {"url": url}})), &LENIENT);
            assert!(sync.is_none(), "{url}");
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].code, Code::SecretInGit);
            assert!(!problems[0].message.contains("hunter2"));
        }
        for url in ["git@git.example:x.git", "ssh://git@git.example/x.git", "https://git.example/a@b:c", "/srv/a@b"] {
            assert_eq!(pointers(&sync(&json!({"source": {"url": url}}))), [], "{url}");
        }
    }

    #[test]
    fn what_is_said_of_drift_health_and_strictness_is_checked_where_it_stands() {
        let document = sync(&json!({
            "source": {"url": "u"},
            "strict": ["Ingress.networking.k8s.io", "services"],
            "drift": {"ignore": [
                {"jsonPointers": ["/spec/replicas", "spec/x", "/kind", "/metadata/annotations/a~1b", "/spec/a~b"]},
                {"target": {"kind": "Service"}, "jsonPointers": []},
            ]},
            "healthChecks": [
                {"apiVersion": "a/v1", "kind": "A", "current": "("},
                {"apiVersion": "b/v1", "kind": "B", "current": "true"},
                {"apiVersion": "b/v1", "kind": "B", "current": "true"},
            ],
        }));
        let places: Vec<String> = pointers(&document).into_iter().map(|(_, pointer)| pointer).collect();
        assert_eq!(
            places,
            [
                "/spec/healthChecks/0/current",
                "/spec/healthChecks/2",
                "/spec/drift/ignore/0/jsonPointers/1",
                "/spec/drift/ignore/0/jsonPointers/2",
                "/spec/drift/ignore/0/jsonPointers/4",
                "/spec/drift/ignore/1/jsonPointers",
                "/spec/strict/1",
            ]
        );
    }

    #[test]
    fn one_of_means_exactly_one() {
        let both = sync(&json!({"source": {"url": "u", "ref": {"branch": "a", "tag": "b"}}, "target": {}}));
        assert_eq!(
            pointers(&both),
            [(Code::InvalidValue, "/spec/source/ref".to_owned()), (Code::InvalidValue, "/spec/target".to_owned())]
        );
    }

    #[test]
    fn another_kind_is_refused_with_the_place_where_it_belongs() {
        let (sync, problems) = read(&json!({"apiVersion": "v1", "kind": "ConfigMap"}), &LENIENT);
        assert!(sync.is_none());
        assert!(problems[0].message.contains("belong into the repository"));
    }
}
