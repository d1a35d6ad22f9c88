//! Where a link of the tree leads: its text, resolved part by part inside the tree.
//!
//! Never asks the operating system. Called by `walk`.

use super::super::error::SourceError;
use super::super::paths::{self, Target};
use super::{Node, Tree, Walker};
use crate::problem::{Code, Problem, Severity};

/// As many links as a path may lead through.
const MAX_HOPS: u32 = 40;

impl<T: Tree> Walker<'_, T> {
    /// Follows a link inside the tree to a file.
    pub(super) fn resolve(&self, path: &str, text: &[u8]) -> Result<Result<(String, Node), Problem>, SourceError> {
        let shown = String::from_utf8_lossy(text).into_owned();
        let broken = |what: &str| {
            let message = format!("this link to {shown:?} {what}; point it at a file of the repository or remove it");
            // A link that could not have been a document keeps nothing from being applied.
            Problem::new(self.severity(path, Severity::Warning), Code::LinkBroken, message)
        };
        let leaves = || {
            let message =
                format!("this link to {shown:?} leads out of the repository, so it was not followed; remove it");
            Problem::new(self.severity(path, Severity::Warning), Code::LinkLeavesTree, message)
        };
        let mut hops = 1;
        let Target::Inside(mut todo) = paths::link_parts(paths::parent(path), text) else { return Ok(Err(leaves())) };
        todo.reverse();
        let mut at = String::new();
        let mut node = Node::Folder;
        while let Some(part) = todo.pop() {
            if part == ".." {
                if at.is_empty() {
                    return Ok(Err(leaves()));
                }
                at = paths::parent(&at).to_owned();
                node = Node::Folder;
                continue;
            }
            if node != Node::Folder {
                return Ok(Err(broken("points at nothing")));
            }
            let next = paths::join(&at, &part);
            match self.tree.node(&next)? {
                None => return Ok(Err(broken("points at nothing"))),
                Some(Node::Link(text)) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Ok(Err(broken("leads in a circle")));
                    }
                    let Target::Inside(parts) = paths::link_parts(&at, &text) else { return Ok(Err(leaves())) };
                    todo.extend(parts.into_iter().rev());
                    at = String::new();
                    node = Node::Folder;
                }
                Some(found) => {
                    at = next;
                    node = found;
                }
            }
        }
        Ok(match node {
            Node::File(_) => Ok((at, node)),
            Node::Folder => Err(broken("points at a folder")),
            Node::Submodule => Err(broken("points at a submodule")),
            Node::Link(_) | Node::Other(_) => Err(broken("points at something that is not a file")),
        })
    }
}
