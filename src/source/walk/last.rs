//! What the last walk found, so that the next one looks only at what is different.
//!
//! Holds names, never bytes. Kept by `source` between two snapshots.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::super::paths;
use super::Walker;
use crate::problem::Problem;
use crate::revision::{Content, File, Known};
use crate::text::Text;

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// Files, sorted by path.
    leaves: Vec<(Text, Leaf)>,
    problems: Vec<Problem>,
    /// Folders by path: their tree, and the ignore rules above them.
    folders: HashMap<String, (Text, u64)>,
    /// Links, which may lead out of the folder in which they stand.
    links: Vec<String>,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    blob: Text,
    /// Bytes that count against the limit; none for what is no document.
    size: Option<u64>,
}

/// What whoever asks knows already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Wanted<'a> {
    /// Nothing: every document is read.
    #[default]
    All,
    /// These files.
    Unless(&'a Known),
    /// Whatever the tree can name without reading it.
    New,
}

/// What a walk starts from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prior<'a> {
    /// The last walk over an earlier state of the same tree, with the same paths.
    pub(crate) last: Option<&'a Last>,
    /// What need not be read.
    pub(crate) wanted: Wanted<'a>,
}

impl Last {
    /// What was found at a path.
    pub(super) fn leaf(&self, path: &str) -> Option<&(Text, Leaf)> {
        let at = self.leaves.binary_search_by(|(known, _)| known.as_str().cmp(path)).ok()?;
        self.leaves.get(at)
    }

    /// The files below a folder.
    fn below(&self, prefix: &str) -> &[(Text, Leaf)] {
        let from = self.leaves.partition_point(|(path, _)| path.as_str() < prefix);
        let rest = &self.leaves[from..];
        &rest[..rest.partition_point(|(path, _)| path.starts_with(prefix))]
    }
}

impl Leaf {
    pub(super) fn new(blob: Text, size: Option<u64>) -> Self {
        Self { blob, size }
    }

    pub(super) fn blob(&self) -> &Text {
        &self.blob
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }
}

impl Wanted<'_> {
    /// Whether a document need not be read, given the name of its content.
    pub(super) fn has(&self, path: &str, blob: &str) -> bool {
        match self {
            Self::All => false,
            Self::Unless(known) => known.get(path).is_some_and(|known| known == blob),
            Self::New => true,
        }
    }

    /// Whether none of these documents need be read.
    fn has_all(&self, leaves: &[(Text, Leaf)]) -> bool {
        let known = match self {
            Self::All => return leaves.iter().all(|(_, leaf)| leaf.size.is_none()),
            Self::New => return true,
            Self::Unless(known) => known,
        };
        let Some((first, _)) = leaves.first() else { return true };
        // Both are sorted by path.
        let mut known = known.range(first.clone()..).peekable();
        leaves.iter().filter(|(path, leaf)| leaf.size.is_some() && paths::is_document(path)).all(|(path, leaf)| {
            while known.next_if(|(other, _)| *other != path && *other < path).is_some() {}
            known.next_if(|(other, _)| *other == path).is_some_and(|(_, blob)| *blob == leaf.blob)
        })
    }
}

impl<T> Walker<'_, T> {
    /// Takes over a folder from the last walk if nothing in it, or above it that matters to it, is different.
    pub(super) fn reuse(&mut self, folder: &str, tree: Option<Text>) -> bool {
        let Some(tree) = tree.filter(|_| !self.whole) else { return false };
        let state = (tree, self.rules);
        let same = self.prior.last.filter(|last| last.folders.get(folder) == Some(&state));
        if let Some(last) = same
            && self.take_over(folder, last)
        {
            self.folders.insert(folder.to_owned(), state);
            return true;
        }
        self.folders.insert(folder.to_owned(), state);
        false
    }

    fn take_over(&mut self, folder: &str, last: &Last) -> bool {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let leaves = last.below(&prefix);
        let too_many = self.leaves.len() + leaves.len() >= self.limits.files;
        let bytes: u64 = leaves.iter().filter_map(|(_, leaf)| leaf.size).sum();
        let too_large = self.bytes.saturating_add(bytes) > self.limits.total;
        let links = last.links.iter().any(|link| link.starts_with(&prefix));
        // What is told of a limit is told by the walk itself.
        if too_many || too_large || links || !self.prior.wanted.has_all(leaves) {
            return false;
        }
        self.bytes += bytes;
        for (path, leaf) in leaves {
            let ignores = leaf.size.is_some() && !paths::is_document(path);
            let content = match leaf.size {
                None => Content::NotRead,
                Some(_) if ignores => return self.undo(&prefix, bytes),
                Some(_) => Content::Known,
            };
            self.leaves.push((path.clone(), leaf.clone(), content));
        }
        let told = last.problems.iter().filter(|told| told.file.as_ref().is_some_and(|file| file.starts_with(&prefix)));
        self.problems.extend(told.cloned());
        let below = last.folders.iter().filter(|(path, _)| path.starts_with(&prefix));
        self.folders.extend(below.map(|(path, state)| (path.clone(), state.clone())));
        true
    }

    /// An ignore file is handed out with its bytes, so its folder is looked at.
    fn undo(&mut self, prefix: &str, bytes: u64) -> bool {
        self.leaves.retain(|(path, ..)| !path.starts_with(prefix));
        self.bytes -= bytes;
        false
    }

    /// The ignore rules that hold below a folder with rules of its own.
    pub(super) fn with_rules(&self, bytes: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.rules, bytes).hash(&mut hasher);
        hasher.finish()
    }
}

/// What a walk found, sorted: for whoever asked, and for the next walk.
pub(super) fn split(
    mut leaves: Vec<(Text, Leaf, Content)>,
    problems: &[Problem],
    folders: HashMap<String, (Text, u64)>,
    links: Vec<String>,
) -> (std::collections::BTreeMap<Text, File>, Last) {
    // Trees are walked in the order of their names, so this is hardly a sort.
    leaves.sort_by(|a, b| a.0.cmp(&b.0));
    let mut names = Vec::with_capacity(leaves.len());
    let files = leaves.into_iter().map(|(path, leaf, content)| {
        names.push((path.clone(), leaf.clone()));
        (path, File { blob: leaf.blob, content })
    });
    let files = files.collect();
    (files, Last { leaves: names, problems: problems.to_vec(), folders, links })
}
