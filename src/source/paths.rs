//! Paths inside a repository: what `paths` may say, and how links resolve. Text only.
//!
//! Pure; touches no file system. Used by the walk of git trees and of folders alike.

use super::error::{SourceError, reasons};

/// Cleans the entries of `paths`: no `.`, no double or final slash, no entry inside another. The empty string means the
/// whole repository; an empty list means the same.
///
/// # Errors
/// If an entry is absolute or climbs with `..`.
pub(crate) fn normalize(paths: &[String]) -> Result<Vec<String>, SourceError> {
    let mut clean = Vec::with_capacity(paths.len().max(1));
    for path in paths {
        if path.starts_with('/') {
            return Err(SourceError::new(
                reasons::SPEC_INVALID,
                format!("`paths` names {path:?}, which is absolute; write it relative to the root of the repository"),
            ));
        }
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    return Err(SourceError::new(
                        reasons::SPEC_INVALID,
                        format!("`paths` names {path:?}; `..` is not allowed: a path stays inside the repository"),
                    ));
                }
                part if part.contains('\0') => {
                    return Err(SourceError::new(
                        reasons::SPEC_INVALID,
                        format!("`paths` names {path:?}, which holds a NUL byte"),
                    ));
                }
                part => parts.push(part),
            }
        }
        clean.push(parts.join("/"));
    }
    if clean.is_empty() {
        clean.push(String::new());
    }
    clean.sort();
    clean.dedup();
    let all = clean.clone();
    clean.retain(|path| !all.iter().any(|other| other != path && is_inside(path, other)));
    Ok(clean)
}

/// Whether `path` is `folder` or lies below it. The empty folder is the root.
pub(crate) fn is_inside(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The folder of a path; empty for a file in the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Puts a name behind a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a file is read as documents, by its name.
pub(crate) fn is_document(path: &str) -> bool {
    matches!(file_name(path).rsplit_once('.'), Some((_, "yaml" | "yml" | "json")))
}

/// What a link's text is, seen from the folder it lies in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// These parts, relative to the root; `..` are resolved as far as the text goes.
    Inside(Vec<String>),
    /// Out of the repository, or not sayable in UTF-8.
    Outside,
}

/// Reads a link's text. `..` is resolved by the caller part by part where folders may be links themselves, so it stays
/// in the result; only what can never be inside is `Outside` here.
pub(crate) fn link_parts(folder: &str, text: &[u8]) -> Target {
    let Ok(text) = std::str::from_utf8(text) else { return Target::Outside };
    if text.starts_with('/') || text.contains('\0') {
        return Target::Outside;
    }
    let mut parts: Vec<String> = folder.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            part => parts.push(part.to_owned()),
        }
    }
    Target::Inside(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(paths: &[&str]) -> Vec<String> {
        normalize(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn no_path_means_the_whole_repository() {
        assert_eq!(normal(&[]), [""]);
        assert_eq!(normal(&["."]), [""]);
        assert_eq!(normal(&["./"]), [""]);
    }

    #[test]
    fn paths_are_cleaned_and_nested_ones_dropped() {
        assert_eq!(normal(&["./apps//web/", "infra/."]), ["apps/web", "infra"]);
        assert_eq!(normal(&["apps/web", "apps", "apps2"]), ["apps", "apps2"]);
        assert_eq!(normal(&["apps", ""]), [""]);
    }

    #[test]
    fn a_path_that_leaves_the_repository_is_refused() {
        for path in ["/etc", "..", "apps/../../x", "a/.."] {
            let error = normalize(&[path.to_owned()]).unwrap_err();
            assert_eq!(error.reason, reasons::SPEC_INVALID);
            assert!(error.message.contains(path), "{error}");
        }
    }

    #[test]
    fn documents_are_known_by_their_ending() {
        for path in ["a.yaml", "b/c.yml", "d.json", "x.y.yaml"] {
            assert!(is_document(path), "{path}");
        }
        for path in ["a.YAML", "yaml", "b.yaml/c", "a.yaml.bak", "README.md"] {
            assert!(!is_document(path), "{path}");
        }
    }

    #[test]
    fn an_absolute_or_unreadable_link_is_outside() {
        assert_eq!(link_parts("a", b"/etc/passwd"), Target::Outside);
        assert_eq!(link_parts("a", b"\xff"), Target::Outside);
        assert_eq!(link_parts("a", b"./b//c"), Target::Inside(vec!["a".into(), "b".into(), "c".into()]));
    }

    proptest! {
        #[test]
        fn normal_paths_stay_normal(paths in prop::collection::vec("[a-c./]{0,8}", 0..5)) {
            if let Ok(once) = normalize(&paths) {
                prop_assert_eq!(normalize(&once).unwrap(), once.clone());
                for path in once {
                    prop_assert!(!path.starts_with('/') && !path.ends_with('/') && !path.contains("//"));
                    prop_assert!(path.split('/').all(|part| part != "." && part != ".."));
                }
            }
        }
    }
}
