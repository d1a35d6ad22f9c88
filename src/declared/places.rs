//! Where each node of a document stands in its file.
//!
//! Pure. Made by `yaml`; asked whenever a problem at a JSON pointer needs its line and column. Holds no content: each
//! node is 16 bytes, found by the hash of its pointer. Of a plain object only the few nodes are kept that a problem may
//! name once the document itself was found good.

use std::sync::Arc;

use crate::text::Text;

/// A line and column, from 1; columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line in the file, from 1.
    pub line: u32,
    /// Column in the line, from 1, in characters.
    pub column: u32,
}

/// Line and column of every node of one document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    start: Mark,
    base: Text,
    nodes: Nodes,
}

#[derive(Clone, Debug, PartialEq)]
enum Nodes {
    /// Every node, sorted.
    All(Arc<[(u64, Mark)]>),
    /// The nodes of [`FEW`].
    Few([Mark; FEW.len()]),
}

/// What other documents, or the target, may find wrong with a document that is good by itself.
const FEW: [&str; 4] =
    ["/kind", "/metadata/name", "/metadata/namespace", "/metadata/annotations/windlass.dev~1depends-on"];

impl Default for Nodes {
    fn default() -> Self {
        Self::All(Arc::default())
    }
}

impl Places {
    /// Takes the nodes as they were found.
    pub(super) fn new(start: Mark, mut nodes: Vec<(u64, Mark)>) -> Self {
        nodes.sort_unstable();
        Self { start, base: Text::default(), nodes: Nodes::All(nodes.into()) }
    }

    /// Where the document starts.
    #[must_use]
    pub fn start(&self) -> Mark {
        self.start
    }

    /// Line and column of the node at a JSON pointer into the manifest; of the nearest node above it if there is none
    /// (a field that is missing, or that came through an alias). For a field it is where its name stands.
    #[must_use]
    pub fn find(&self, pointer: &str) -> Mark {
        let nodes = match &self.nodes {
            Nodes::All(nodes) => nodes,
            Nodes::Few(marks) => {
                let known = FEW.iter().position(|known| *known == pointer);
                return known.map_or(self.start, |known| marks[known]);
            }
        };
        let full = self.full(pointer);
        let mut rest = full.as_str();
        loop {
            let hash = hash(rest);
            if let Ok(index) = nodes.binary_search_by_key(&hash, |(known, _)| *known) {
                return nodes[index].1;
            }
            match rest.rfind('/') {
                Some(end) => rest = &rest[..end],
                None => return self.start,
            }
        }
    }

    /// A pointer into the manifest as a pointer into the document of the file: they differ only in a `List`.
    #[must_use]
    pub fn full(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.base)
    }

    /// The places of one item of a list.
    pub(super) fn below(&self, pointer: &str) -> Self {
        Self { start: self.find(pointer), base: self.full(pointer).into(), nodes: self.nodes.clone() }
    }

    /// Without the nodes that nobody will ask for any more.
    pub(super) fn few(&self) -> Self {
        Self { start: self.start, base: self.base.clone(), nodes: Nodes::Few(FEW.map(|pointer| self.find(pointer))) }
    }
}

/// Hash of the document's root.
pub(super) const ROOT: u64 = 0xcbf2_9ce4_8422_2325;

/// Hash of a child, from its parent's (FNV-1a over the pointer's text).
pub(super) fn child(parent: u64, token: &str) -> u64 {
    let mut hash = step(parent, b'/');
    for byte in token.bytes() {
        hash = match byte {
            b'~' => step(step(hash, b'~'), b'0'),
            b'/' => step(step(hash, b'~'), b'1'),
            other => step(hash, other),
        };
    }
    hash
}

fn hash(pointer: &str) -> u64 {
    pointer.bytes().fold(ROOT, step)
}

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Appends a token to a JSON pointer (RFC 6901).
#[must_use]
pub fn join(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_hashes_to_the_same_number_by_steps_and_at_once() {
        let token = "a~b/c";
        assert_eq!(child(child(ROOT, "metadata"), token), hash(&join("/metadata", token)));
        assert_eq!(join("", token), "/a~0b~1c");
    }

    #[test]
    fn what_is_not_there_stands_where_its_parent_stands() {
        let mark = |line| Mark { line, column: 3 };
        let spec = child(ROOT, "spec");
        let places = Places::new(mark(1), vec![(spec, mark(4)), (child(spec, "size"), mark(5)), (ROOT, mark(2))]);
        assert_eq!(places.find("/spec/size").line, 5);
        assert_eq!(places.find("/spec/missing/deeper").line, 4);
        assert_eq!(places.find("/status").line, 2);
        assert_eq!(places.below("/spec").find("/size").line, 5);
        assert_eq!(places.below("/spec").full("/size"), "/spec/size");
        let metadata = child(ROOT, "metadata");
        let places =
            Places::new(mark(1), vec![(metadata, mark(7)), (child(metadata, "name"), mark(8)), (ROOT, mark(1))]);
        for pointer in FEW.iter().chain(&[""]) {
            assert_eq!(places.few().find(pointer), places.find(pointer), "{pointer}");
        }
    }
}
