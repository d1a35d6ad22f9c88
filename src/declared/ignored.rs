//! `.windlassignore`: files that look like documents and are none, in the syntax of .gitignore.
//!
//! Pure: the patterns come from the snapshot, never from a disk. Called by `read`.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::problem::{Code, Problem};
use crate::revision::{Content, Snapshot};

/// Name of the file; each holds for its own folder and what is below.
const NAME: &str = ".windlassignore";

/// The patterns of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// Folder with its patterns, outermost first.
    rules: Vec<(String, Gitignore)>,
    /// Folders whose patterns could not be read: what lies there is not known to be a document.
    pub(super) broken: Vec<String>,
}

impl Ignored {
    /// Reads every `.windlassignore`.
    pub(super) fn read(snapshot: &Snapshot, problems: &mut Vec<Problem>) -> Self {
        let mut found = Self::default();
        for (path, file) in &snapshot.files {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if name != NAME {
                continue;
            }
            let Content::Read(bytes) = &file.content else { continue };
            match std::str::from_utf8(bytes).map_err(|_| (None, "it is not UTF-8".to_owned())).and_then(rules) {
                Ok(rules) => found.rules.push((folder.to_owned(), rules)),
                Err((line, what)) => {
                    let message = format!(
                        "reading the patterns: {what}; until it is right, nothing in this folder is applied or pruned"
                    );
                    let code = if line.is_some() { Code::InvalidValue } else { Code::FileNotText };
                    let mut problem = Problem::error(code, message).in_file(path);
                    problem.line = line;
                    problems.push(problem);
                    found.broken.push(folder.to_owned());
                }
            }
        }
        found.rules.sort_by_key(|(folder, _)| folder.matches('/').count() + usize::from(!folder.is_empty()));
        found
    }

    /// Whether a path is ignored. The pattern nearest to the file decides.
    pub(super) fn matches(&self, path: &str) -> bool {
        for (folder, rules) in self.rules.iter().rev() {
            if let Some(below) = below(folder, path) {
                let verdict = rules.matched_path_or_any_parents(Path::new(below), false);
                if !verdict.is_none() {
                    return verdict.is_ignore();
                }
            }
        }
        false
    }

    /// Whether it is not known if a path is ignored.
    pub(super) fn unsure(&self, path: &str) -> bool {
        self.broken.iter().any(|folder| below(folder, path).is_some())
    }
}

/// A path relative to a folder, if it lies below.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}

fn rules(text: &str) -> Result<Gitignore, (Option<u32>, String)> {
    let mut builder = GitignoreBuilder::new("");
    for (number, line) in (1u32..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        builder
            .add_line(None, line)
            .map_err(|_| (Some(number), "the line is not a pattern of .gitignore".to_owned()))?;
    }
    builder.build().map_err(|_| (Some(1), "the patterns are too many or too large".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::revision::File;

    fn ignored(files: &[(&str, &str)]) -> (Ignored, Vec<Problem>) {
        let mut snapshot = Snapshot::default();
        for (path, text) in files {
            let content = Content::Read(Arc::from(text.as_bytes()));
            snapshot.files.insert((*path).to_owned(), File { blob: String::new(), content });
        }
        let mut problems = Vec::new();
        (Ignored::read(&snapshot, &mut problems), problems)
    }

    #[test]
    fn patterns_hold_for_their_folder_and_the_nearest_decides() {
        let (ignored, problems) = ignored(&[
            (".windlassignore", "# values\r\nvalues*.yaml\n/ci/\n!keep/values.yaml\n"),
            ("apps/a/.windlassignore", "*.json\n!values-a.yaml\n"),
        ]);
        assert_eq!(problems, []);
        for path in ["values.yaml", "apps/values-b.yaml", "ci/deep/x.yaml", "apps/a/b.json"] {
            assert!(ignored.matches(path), "{path}");
        }
        for path in ["keep/values.yaml", "apps/ci/x.yaml", "apps/a/values-a.yaml", "apps/b.json"] {
            assert!(!ignored.matches(path), "{path}");
        }
    }

    #[test]
    fn a_broken_pattern_makes_its_folder_unsure() {
        let (ignored, problems) = ignored(&[("a/.windlassignore", "ok\n[z-a]\n")]);
        assert_eq!((problems[0].code, problems[0].line), (Code::InvalidValue, Some(2)));
        assert!(ignored.unsure("a/b/c.yaml") && !ignored.unsure("b.yaml"));
    }
}
