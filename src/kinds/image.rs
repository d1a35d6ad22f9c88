//! What families say of container images.
//!
//! Pure. Called by the families.

use super::FieldProblem;
use crate::problem::Code;

/// The image with a registry before it, as in `registry.local:5000/busybox:1.37`.
pub(super) fn prefixed(registry: Option<&str>, image: &str) -> String {
    match registry.map(|registry| registry.trim_end_matches('/')).filter(|registry| !registry.is_empty()) {
        Some(registry) => format!("{registry}/{image}"),
        None => image.to_owned(),
    }
}

/// The version label of an image: its tag, or `latest` without one. The colon of a registry's port is not a tag's, and a
/// digest is not a version. A tag that a label cannot hold is shortened.
pub(super) fn version(image: &str) -> String {
    let named = image.split_once('@').map_or(image, |(named, _digest)| named);
    let last = named.rsplit_once('/').map_or(named, |(_, last)| last);
    let tag = last.split_once(':').map_or("", |(_, tag)| tag);
    let label: String = tag.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(63).collect();
    match label.trim_matches(|c: char| !c.is_ascii_alphanumeric()) {
        "" => "latest".to_owned(),
        label => label.to_owned(),
    }
}

/// What is wrong with an image or a registry prefix, at a pointer.
pub(super) fn check(pointer: &str, text: &str) -> Option<FieldProblem> {
    let wrong = if text.is_empty() {
        "is empty; leave the field out for the default"
    } else if text.contains("://") {
        "names a protocol; an image is `registry/name:tag` without `https://`"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "holds white space"
    } else {
        return None;
    };
    let field = pointer.rsplit('/').next().unwrap_or(pointer);
    Some(FieldProblem::error(Code::InvalidValue, pointer, format!("`{field}` {wrong}.")))
}

/// A CR's name becomes a label value, and with a suffix an object's name that becomes one.
pub(super) fn check_name(name: &str, suffix: usize, what: &str) -> Option<FieldProblem> {
    let most = 63 - suffix;
    (name.len() > most).then(|| {
        FieldProblem::error(
            Code::InvalidName,
            "/metadata/name",
            format!("The name has {} characters; {what} leaves room for {most}. Choose a shorter name.", name.len()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_tag_and_never_the_port_of_a_registry() {
        for (image, label) in [
            ("memcached:1.4.36-alpine", "1.4.36-alpine"),
            ("memcached", "latest"),
            ("registry:5000/name", "latest"),
            ("registry:5000/team/name:2", "2"),
            ("name@sha256:0123", "latest"),
            ("registry:5000/name:3@sha256:0123", "3"),
            ("name:_x-", "x"),
        ] {
            assert_eq!(version(image), label, "{image}");
        }
        assert_eq!(version(&format!("name:{}", "a".repeat(100))).len(), 63);
    }

    #[test]
    fn a_registry_goes_before_the_image() {
        assert_eq!(prefixed(Some("local:5000/"), "a/b:1"), "local:5000/a/b:1");
        assert_eq!(prefixed(Some(""), "b"), "b");
        assert_eq!(prefixed(None, "b"), "b");
    }
}
