//! Names, labels and annotations as the Kubernetes API server takes them.
//!
//! Pure. Each check gives what is wrong as the rest of a sentence, without the value where that might be a secret.
//! Called by `typing`.

/// The longest name of an object.
const MAX_NAME: usize = 253;
/// The longest label value, name part of a key, and name of a namespace.
const MAX_LABEL: usize = 63;
/// All keys and values of an object's annotations together.
pub(super) const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Checks `metadata.name` by the rule of its kind.
pub(super) fn object(group: &str, kind: &str, name: &str) -> Result<(), String> {
    match (group, kind) {
        ("rbac.authorization.k8s.io", _) => path_segment(name),
        ("", "Namespace" | "Service") => dns_label(name),
        _ => dns_subdomain(name),
    }
}

/// A name that only has to fit into a URL's path.
fn path_segment(name: &str) -> Result<(), String> {
    if matches!(name, "." | "..") || name.contains(['/', '%']) {
        return Err("must not be `.` or `..` or hold `/` or `%`".to_owned());
    }
    Ok(())
}

/// DNS-1123 label, as a namespace's name must be.
pub(super) fn dns_label(name: &str) -> Result<(), String> {
    if name.len() > MAX_LABEL {
        return Err(format!("is longer than {MAX_LABEL} characters"));
    }
    if label_part(name) {
        return Ok(());
    }
    Err("must be lower-case letters, digits and `-`, and begin and end with a letter or digit".to_owned())
}

/// DNS-1123 subdomain, as most names must be.
pub(super) fn dns_subdomain(name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} characters"));
    }
    if name.split('.').all(label_part) {
        return Ok(());
    }
    let rule =
        "must be lower-case letters, digits, `-` and `.`, and each part must begin and end with a letter or digit";
    Err(rule.to_owned())
}

fn label_part(part: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
        && bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
}

/// The key of a label or annotation: `[prefix/]name`. The case of an annotation's key does not matter.
pub(super) fn qualified(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        dns_subdomain(&prefix.to_ascii_lowercase()).map_err(|rule| format!("has a prefix that {rule}"))?;
    }
    if name.is_empty() || name.len() > MAX_LABEL {
        return Err(format!("must have a name part of 1 to {MAX_LABEL} characters"));
    }
    if !words(name) {
        return Err("must have a name part of letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
            .to_owned());
    }
    Ok(())
}

/// A label's value.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    if value.len() > MAX_LABEL {
        return Err(format!("is longer than {MAX_LABEL} characters"));
    }
    if value.is_empty() || words(value) {
        return Ok(());
    }
    Err("must be letters, digits, `-`, `_` and `.`, with a letter or digit at both ends".to_owned())
}

fn words(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_their_kind() {
        for (group, kind, name, good) in [
            ("apps", "Deployment", "front.v1-a", true),
            ("apps", "Deployment", "Front", false),
            ("apps", "Deployment", "front_end", false),
            ("apps", "Deployment", "a..b", false),
            ("apps", "Deployment", "-a", false),
            ("", "Namespace", "a.b", false),
            ("", "Service", "a.b", false),
            ("rbac.authorization.k8s.io", "ClusterRole", "system:Node_Reader", true),
            ("rbac.authorization.k8s.io", "ClusterRole", "a/b", false),
            ("rbac.authorization.k8s.io", "ClusterRole", "..", false),
        ] {
            assert_eq!(object(group, kind, name).is_ok(), good, "{kind} {name}");
        }
        assert!(object("apps", "Deployment", &"a".repeat(253)).is_ok());
        assert!(object("apps", "Deployment", &"a".repeat(254)).is_err());
        assert!(dns_label(&"a".repeat(64)).is_err());
    }

    #[test]
    fn keys_and_values_of_labels_are_bounded() {
        for key in ["app", "app.kubernetes.io/name", "A_b.c-d", "Example.COM/x"] {
            assert_eq!(qualified(key), Ok(()), "{key}");
        }
        for key in ["", "a/", "/a", "a/b/c", "-a", "a b", "a_b/c", &"a".repeat(64)] {
            assert!(qualified(key).is_err(), "{key}");
        }
        for value in ["", "a", "1.2_3-b"] {
            assert_eq!(label_value(value), Ok(()), "{value}");
        }
        for value in ["a b", "-", "a/b", &"a".repeat(64)] {
            assert!(label_value(value).is_err(), "{value}");
        }
    }
}
