//! Files and folders of the repository that documents refer to: where a reference leads, and what was found there.
//!
//! Pure; touches no file system. What lies in such a folder is no document, whatever its name. Called by `read`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::memo::Memo;
use super::typing::Place;
use crate::kinds::{Files, Reference};
use crate::problem::{Code, Problem, Severity};
use crate::revision::{Content, Snapshot};

/// Where every usable reference of these files leads, as paths from the root of the repository.
pub(super) fn targets(memo: &Memo) -> BTreeSet<String> {
    let files = memo.files.iter().filter(|(_, kept)| kept.refers);
    let documents = files.flat_map(|(path, kept)| kept.entries.iter().map(move |entry| (path, entry)));
    documents
        .flat_map(|(path, entry)| entry.refers.iter().map(move |reference| resolve(path, &reference.path)))
        .filter_map(Result::ok)
        .collect()
}

/// Whether a file is one of the targets or lies below one.
pub(super) fn hold(targets: &BTreeSet<String>, path: &str) -> bool {
    let mut rest = path;
    loop {
        if targets.contains(rest) {
            return true;
        }
        match rest.rsplit_once('/') {
            Some((folder, _)) => rest = folder,
            None => return false,
        }
    }
}

/// What a document refers to. Anything wrong with it is a problem at the field, and the document then has an error.
pub(super) fn files(
    refers: &[Reference],
    place: &Place<'_>,
    snapshot: &Snapshot,
    problems: &mut Vec<Problem>,
) -> Option<Files> {
    let mut files = Files::new();
    let before = problems.len();
    for reference in refers {
        let mut tell = |code, message: String| problems.push(place.error(code, reference.pointer, message));
        let target = match resolve(place.path, &reference.path) {
            Ok(target) => target,
            Err(message) => {
                tell(Code::InvalidValue, message);
                continue;
            }
        };
        let Some(referred) = snapshot.referred.get(&target) else {
            tell(Code::PathMissing, format!("{target}, which it names, was not read"));
            continue;
        };
        for problem in &referred.problems {
            let file = problem.file.as_deref().unwrap_or(&target);
            let what = if file == target { target.clone() } else { format!("{target}, in which {file} is") };
            tell(problem.code, format!("it names {what}: {}", problem.message));
        }
        let read = referred.files.iter().filter_map(|(path, file)| match &file.content {
            Content::Read(bytes) => Some((path.clone(), Arc::clone(bytes))),
            Content::NotRead | Content::Known => None,
        });
        files.insert(reference.pointer, read.collect());
    }
    let failed = problems[before..].iter().any(|problem| problem.severity == Severity::Error);
    (!failed).then_some(files)
}

/// The path from the root that a document means. Text only: links are resolved, inside the tree, when it is read.
fn resolve(file: &str, written: &str) -> Result<String, String> {
    let shown = format!("{written:?}");
    if written.is_empty() || written.starts_with('/') || written.contains('\0') {
        return Err(format!("{shown} is not a path inside the repository; write it relative to the folder of {file}"));
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in written.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(format!("{shown} leads out of the repository, so it is not read; correct it"));
                }
            }
            ".git" => return Err(format!("{shown} leads into git's own files, which are not read; correct it")),
            part => parts.push(part),
        }
    }
    let target = parts.join("/");
    if target.is_empty() || target == file || file.strip_prefix(&target).is_some_and(|rest| rest.starts_with('/')) {
        return Err(format!("{shown} holds {file} itself; move what it refers to into a folder of its own"));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_relative_to_the_documents_folder_and_stays_inside() {
        for (file, written, target) in [
            ("ds/a.yaml", "config", Some("ds/config")),
            ("ds/a.yaml", "./config//x/", Some("ds/config/x")),
            ("ds/a.yaml", "../shared", Some("shared")),
            ("a.yaml", "config/a.json", Some("config/a.json")),
            ("a.yaml", "../config", None),
            ("ds/a.yaml", "../../config", None),
            ("ds/a.yaml", "..", None),
            ("ds/a.yaml", ".", None),
            ("ds/a.yaml", "a.yaml", None),
            ("ds/a.yaml", "/etc", None),
            ("ds/a.yaml", "", None),
            ("ds/a.yaml", "../.git", None),
        ] {
            assert_eq!(resolve(file, written).ok().as_deref(), target, "{file} {written}");
        }
    }

    #[test]
    fn only_what_lies_below_a_target_is_held() {
        let targets = BTreeSet::from(["ds/config".to_owned(), "b.yaml".to_owned()]);
        assert!(hold(&targets, "ds/config/a/b.yaml") && hold(&targets, "b.yaml"));
        assert!(!hold(&targets, "ds/config2/a.yaml") && !hold(&targets, "ds/a.yaml"));
    }
}
