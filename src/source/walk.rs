//! From a tree of files to a [`Snapshot`](crate::revision::Snapshot): which files count, what `.windlassignore` leaves
//! out, where links lead, and the limits. The same for git trees and for folders, which differ only in their [`Tree`].
//!
//! Never follows a link through the operating system: a link is text, resolved part by part inside the tree.

mod last;
mod links;
mod referred;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use last::Leaf;
pub(crate) use last::{Last, Prior, Wanted};
pub(crate) use referred::referred;

use super::error::{SourceError, reasons};
use super::paths;
use crate::problem::{Code, Problem, Severity};
use crate::revision::{Content, File};
use crate::text::Text;

/// Name of the files that say what is left out (gitignore syntax).
const IGNORE_FILE: &str = ".windlassignore";
/// Folders deeper than this are not walked.
const MAX_DEPTH: usize = 100;

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one document file.
    pub file: u64,
    /// Bytes of all document files together.
    pub total: u64,
    /// Number of files, documents or not.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 8 << 20, total: 256 << 20, files: 100_000 }
    }
}

/// What stands at a path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A folder.
    Folder,
    /// A file, with its object name where it has one.
    File(Option<git2::Oid>),
    /// A symbolic link, with its text.
    Link(Vec<u8>),
    /// Another repository.
    Submodule,
    /// A socket, a device, something that cannot be looked at; the text says what.
    Other(String),
}

/// What reading a file gave.
pub(crate) enum Read {
    /// Its name (see [`File::blob`]) and its bytes.
    Bytes(String, Arc<[u8]>),
    /// It is larger than the limit: this many bytes.
    TooLarge(u64),
    /// It cannot be read, and why.
    Unreadable(String),
}

/// A tree of files: a git tree or a folder. Paths are relative, `/`-separated, without `..`; the root is empty.
pub(crate) trait Tree {
    /// What stands at a path, itself no link's target. None if nothing.
    fn node(&self, path: &str) -> Result<Option<Node>, SourceError>;
    /// What is in a folder, by name in bytes.
    fn list(&self, folder: &str) -> Result<Vec<(Vec<u8>, Node)>, SourceError>;
    /// Reads a file of at most `limit` bytes.
    fn read(&self, path: &str, node: &Node, limit: u64) -> Result<Read, SourceError>;
    /// Names a file's content where that takes no reading.
    fn hint(&self, path: &str, node: &Node) -> Option<Text>;
    /// Names what is in a folder and below as a whole, where that takes no reading.
    fn folder_hint(&self, folder: &str) -> Option<Text>;
    /// Names a file's content without handing out the bytes.
    fn name(&self, path: &str, node: &Node) -> Result<Result<String, String>, SourceError>;
}

/// What a walk found.
pub(crate) struct Walked {
    /// The files.
    pub files: BTreeMap<Text, File>,
    /// What is wrong with some of them.
    pub problems: Vec<Problem>,
    /// For the next walk.
    pub last: Last,
}

/// The files of a tree below `paths` (normalized) and what is wrong with some of them.
///
/// # Errors
/// If the tree as a whole cannot be read or is too large.
pub(crate) fn walk<T: Tree>(
    tree: &T,
    paths: &[String],
    limits: Limits,
    prior: Prior<'_>,
) -> Result<Walked, SourceError> {
    let mut walker = Walker::new(tree, limits, prior);
    for path in paths {
        walker.start(path)?;
    }
    let Walker { leaves, mut problems, folders, links, .. } = walker;
    problems.sort();
    problems.dedup();
    let (files, last) = last::split(leaves, &problems, folders, links);
    Ok(Walked { files, problems, last })
}

struct Walker<'a, T> {
    tree: &'a T,
    limits: Limits,
    prior: Prior<'a>,
    leaves: Vec<(Text, Leaf, Content)>,
    problems: Vec<Problem>,
    bytes: u64,
    folders: HashMap<String, (Text, u64)>,
    links: Vec<String>,
    /// Names the ignore rules that hold where the walk is.
    rules: u64,
    /// Every file is read and none is ignored: a document refers to what is walked.
    whole: bool,
}

impl<'a, T: Tree> Walker<'a, T> {
    fn new(tree: &'a T, limits: Limits, prior: Prior<'a>) -> Self {
        Self {
            tree,
            limits,
            prior,
            leaves: Vec::new(),
            problems: Vec::new(),
            bytes: 0,
            folders: HashMap::new(),
            links: Vec::new(),
            rules: 0,
            whole: false,
        }
    }

    /// Walks one entry of `paths`; the ignore files of the folders above it count.
    fn start(&mut self, path: &str) -> Result<(), SourceError> {
        let Some(node) = self.entry(path)? else {
            let message = self.missing(path)?;
            self.problems.push(Problem::error(Code::PathMissing, message).in_file(path));
            return Ok(());
        };
        let mut ignores = Vec::new();
        self.rules = 0;
        if !path.is_empty() {
            let mut folder = String::new();
            ignores.extend(self.ignore_file(&folder)?);
            for part in paths::parent(path).split('/').filter(|part| !part.is_empty()) {
                folder = paths::join(&folder, part);
                ignores.extend(self.ignore_file(&folder)?);
            }
        }
        match node {
            Node::Folder => self.folder(path, &mut ignores, 0),
            node => self.leaf(path, &node),
        }
    }

    /// What an entry of `paths` names; folders that are links lead nowhere.
    fn entry(&self, path: &str) -> Result<Option<Node>, SourceError> {
        let mut at = String::new();
        let mut node = Node::Folder;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if node != Node::Folder {
                return Ok(None);
            }
            at = paths::join(&at, part);
            match self.tree.node(&at)? {
                Some(found) => node = found,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// Says that an entry of `paths` is not there, and what is.
    fn missing(&self, path: &str) -> Result<String, SourceError> {
        let mut folder = paths::parent(path);
        while !folder.is_empty() && !matches!(self.tree.node(folder)?, Some(Node::Folder)) {
            folder = paths::parent(folder);
        }
        let mut names: Vec<String> = self
            .tree
            .list(folder)?
            .into_iter()
            .filter(|(name, _)| !name.starts_with(b"."))
            .map(|(name, node)| {
                let slash = if node == Node::Folder { "/" } else { "" };
                format!("{}{slash}", String::from_utf8_lossy(&name))
            })
            .collect();
        names.sort();
        let more = names.len().saturating_sub(10);
        names.truncate(10);
        let place = if folder.is_empty() { "the root".to_owned() } else { format!("{folder}/") };
        let there = match (names.is_empty(), more) {
            (true, _) => "nothing".to_owned(),
            (false, 0) => names.join(", "),
            (false, more) => format!("{} and {more} more", names.join(", ")),
        };
        Ok(format!(
            "`paths` names {path}, which is not in this revision; {place} holds {there}. Correct `paths` or add the folder."
        ))
    }

    fn folder(&mut self, folder: &str, ignores: &mut Vec<Gitignore>, depth: usize) -> Result<(), SourceError> {
        if depth > MAX_DEPTH {
            return Err(SourceError::new(
                reasons::LIMIT_EXCEEDED,
                format!("folders are nested more than {MAX_DEPTH} deep at {folder}; leave them out with {IGNORE_FILE}"),
            ));
        }
        if self.reuse(folder, self.tree.folder_hint(folder)) {
            return Ok(());
        }
        let above = self.rules;
        let rules = if self.whole { None } else { self.ignore_file(folder)? };
        let pushed = match rules {
            Some(ignore) => {
                ignores.push(ignore);
                true
            }
            None => false,
        };
        for (name, node) in self.tree.list(folder)? {
            let name = match String::from_utf8(name) {
                Ok(name) => name,
                Err(error) => {
                    self.unsayable(folder, error.as_bytes(), &node);
                    continue;
                }
            };
            let path = paths::join(folder, &name);
            match node {
                Node::Folder
                    if name == ".git" || (name.starts_with('.') && !self.whole) || ignored(ignores, &path, true) => {}
                Node::Folder => self.folder(&path, ignores, depth + 1)?,
                _ if name != IGNORE_FILE && ignored(ignores, &path, false) => {}
                node => self.leaf(&path, &node)?,
            }
        }
        if pushed {
            ignores.pop();
        }
        self.rules = above;
        Ok(())
    }

    /// A name that is not UTF-8 cannot be a key; it harms only itself.
    fn unsayable(&mut self, folder: &str, name: &[u8], node: &Node) {
        let shown = paths::join(folder, &String::from_utf8_lossy(name));
        let what = if *node == Node::Folder { "folder" } else { "file" };
        let message = format!("the name of this {what} is not UTF-8, so it was not read; rename it");
        self.problems.push(Problem::error(Code::PathNotUtf8, message).in_file(shown));
    }

    /// A file, link or something else.
    fn leaf(&mut self, path: &str, node: &Node) -> Result<(), SourceError> {
        if self.leaves.len() >= self.limits.files {
            return Err(SourceError::new(
                reasons::LIMIT_EXCEEDED,
                format!(
                    "there are more than {} files below `paths`; name the folders with documents in `paths`, or leave \
                     the others out with {IGNORE_FILE}",
                    self.limits.files
                ),
            ));
        }
        match node {
            Node::Folder => Ok(()),
            Node::File(_) => self.file(path, path, node),
            Node::Link(text) => {
                self.links.push(path.to_owned());
                match self.resolve(path, text)? {
                    Ok((at, node)) => self.file(path, &at, &node),
                    Err(problem) => {
                        self.problems.push(problem.in_file(path));
                        Ok(())
                    }
                }
            }
            Node::Submodule => {
                let message = "this is a submodule; its files were not read. Give it a GitSync of its own, or name it in \
                               .windlassignore";
                let problem = Problem::warning(Code::SubmoduleSkipped, message).in_file(path);
                self.problems.push(Problem { severity: self.severity(path, problem.severity), ..problem });
                Ok(())
            }
            Node::Other(why) => {
                if self.whole || paths::is_document(path) {
                    self.problems.push(Problem::error(Code::FileUnreadable, why.clone()).in_file(path));
                }
                Ok(())
            }
        }
    }

    /// Whatever is wrong with a file that is referred to keeps the document that refers to it from being applied.
    fn severity(&self, path: &str, otherwise: Severity) -> Severity {
        if self.whole || paths::is_document(path) { Severity::Error } else { otherwise }
    }

    /// Reads the file at `at` as `path`.
    fn file(&mut self, path: &str, at: &str, node: &Node) -> Result<(), SourceError> {
        let read = self.whole || paths::is_document(path) || paths::file_name(path) == IGNORE_FILE;
        if !read {
            // A file that is no document and cannot be named harms nobody.
            let blob = match self.tree.hint(at, node) {
                Some(blob) => Some(blob),
                None => self.tree.name(at, node)?.ok().map(Text::from),
            };
            if let Some(blob) = blob {
                self.keep(path, blob, None, Content::NotRead);
            }
            return Ok(());
        }
        if !self.whole
            && paths::is_document(path)
            && let Some(blob) = self.tree.hint(at, node)
            && self.prior.wanted.has(path, &blob)
            && let Some(size) = self.known_size(path, &blob)
        {
            self.count(size)?;
            self.keep(path, blob, Some(size), Content::Known);
            return Ok(());
        }
        match self.tree.read(at, node, self.limits.file)? {
            Read::Bytes(blob, bytes) => {
                let size = bytes.len() as u64;
                self.count(size)?;
                self.keep(path, blob.into(), Some(size), Content::Read(bytes));
            }
            Read::TooLarge(bytes) => self.problems.push(
                Problem::error(
                    Code::FileTooLarge,
                    format!(
                        "the file has {}; a document file may have at most {}. Split it, or leave it out with \
                         {IGNORE_FILE}",
                        size(bytes),
                        size(self.limits.file)
                    ),
                )
                .in_file(path),
            ),
            Read::Unreadable(why) => {
                self.problems.push(Problem::error(Code::FileUnreadable, why).in_file(path));
            }
        }
        Ok(())
    }

    /// The size of a document that is as the last walk found it.
    fn known_size(&self, path: &str, blob: &str) -> Option<u64> {
        let (_, leaf) = self.prior.last?.leaf(path)?;
        leaf.size().filter(|_| leaf.blob() == blob)
    }

    /// Counts the bytes of a document.
    fn count(&mut self, bytes: u64) -> Result<(), SourceError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.limits.total {
            return Ok(());
        }
        Err(SourceError::new(
            reasons::LIMIT_EXCEEDED,
            format!(
                "the documents below `paths` are larger than {} together; name fewer folders in `paths`, or leave files \
                 out with {IGNORE_FILE}",
                size(self.limits.total)
            ),
        ))
    }

    /// Notes a file; its names are in memory once, however often they are found.
    fn keep(&mut self, path: &str, blob: Text, size: Option<u64>, content: Content) {
        let before = self.prior.last.and_then(|last| last.leaf(path));
        let blob = before.map(|(_, leaf)| leaf.blob()).filter(|known| **known == blob).cloned().unwrap_or(blob);
        let path = before.map_or_else(|| path.into(), |(path, _)| path.clone());
        self.leaves.push((path, Leaf::new(blob, size), content));
    }

    /// The rules in a folder, if it has any. From here on they count as those that hold.
    fn ignore_file(&mut self, folder: &str) -> Result<Option<Gitignore>, SourceError> {
        let path = paths::join(folder, IGNORE_FILE);
        let Some(node @ Node::File(_)) = self.tree.node(&path)? else { return Ok(None) };
        let Read::Bytes(_, bytes) = self.tree.read(&path, &node, self.limits.file)? else { return Ok(None) };
        self.rules = self.with_rules(&bytes);
        let mut builder = GitignoreBuilder::new(folder);
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            // A byte order mark is not part of the first rule.
            let line = if index == 0 { line.trim_start_matches('\u{feff}') } else { line };
            if let Err(error) = builder.add_line(None, line) {
                let at = u32::try_from(index + 1).unwrap_or(u32::MAX);
                self.problems.push(
                    Problem::error(Code::InvalidValue, format!("this rule is not valid and ignores nothing: {error}"))
                        .in_file(&path)
                        .at(at, 1),
                );
            }
        }
        builder.build().map(Some).map_err(|error| {
            SourceError::new(reasons::SPEC_INVALID, format!("the rules of {path} cannot be used together: {error}"))
        })
    }
}

/// Whether a path is left out: the innermost rule that says something decides. Folders above were asked before.
fn ignored(ignores: &[Gitignore], path: &str, folder: bool) -> bool {
    for ignore in ignores.iter().rev() {
        match ignore.matched(path, folder) {
            Match::None => {}
            Match::Ignore(_) => return true,
            Match::Whitelist(_) => return false,
        }
    }
    false
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else if bytes >= MIB {
        format!("{} MiB ({bytes} bytes)", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

#[cfg(test)]
mod tests;
