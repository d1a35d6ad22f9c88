//! Files and folders that documents refer to: every file in them is read, whatever its name, with the links and limits
//! of the walk. Ignore files say nothing here: what is named is meant.
//!
//! Never leaves the tree. Called by `source` for git trees and folders alike.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::SourceError;
use super::super::paths;
use super::{Limits, Node, Prior, Tree, Walker};
use crate::problem::{Code, Problem};
use crate::revision::{File, Referred};

/// Reads what lies at each of these paths (normal, from the root).
///
/// # Errors
/// If the tree as a whole cannot be read or is too large.
pub(crate) fn referred<T: Tree>(
    tree: &T,
    targets: &BTreeSet<String>,
    limits: Limits,
) -> Result<BTreeMap<String, Referred>, SourceError> {
    let mut walker = Walker { whole: true, ..Walker::new(tree, limits, Prior::default()) };
    let mut found = BTreeMap::new();
    for target in targets {
        match walker.entry(target)? {
            Some(Node::Folder) => walker.folder(target, &mut Vec::new(), 0)?,
            Some(node) => walker.leaf(target, &node)?,
            None => {
                let message = "there is no such file or folder in this revision; correct the path or add it";
                walker.problems.push(Problem::error(Code::PathMissing, message).in_file(target));
            }
        }
        let prefix = format!("{target}/");
        let files = std::mem::take(&mut walker.leaves).into_iter().map(|(path, leaf, content)| {
            let name = path.strip_prefix(&prefix).unwrap_or_else(|| paths::file_name(&path)).to_owned();
            (name, File { blob: leaf.blob().clone(), content })
        });
        let files = files.collect();
        let mut problems = std::mem::take(&mut walker.problems);
        problems.sort();
        found.insert(target.clone(), Referred { files, problems });
    }
    Ok(found)
}
