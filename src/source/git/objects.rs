//! A git tree as the walk sees it, read from the object database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use git2::{ObjectType, Oid, Repository};

use super::super::error::{SourceError, reasons};
use super::super::walk::{Node, Read, Tree};
use crate::text::Text;

/// Bytes of blobs that somebody still holds, so that an unchanged file is read once.
#[derive(Debug, Default)]
pub(crate) struct Contents(Mutex<HashMap<Oid, Weak<[u8]>>>);

impl Contents {
    fn get(&self, oid: Oid) -> Option<Arc<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&oid).and_then(Weak::upgrade)
    }

    fn put(&self, oid: Oid, bytes: &Arc<[u8]>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(oid, Arc::downgrade(bytes));
    }

    /// Forgets what nobody holds any more.
    pub(crate) fn sweep(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, bytes| bytes.strong_count() > 0);
    }
}

/// The tree of a commit.
pub(crate) struct GitTree<'a> {
    repository: &'a Repository,
    odb: git2::Odb<'a>,
    root: git2::Tree<'a>,
    contents: Option<&'a Contents>,
}

impl<'a> GitTree<'a> {
    /// With `contents`, what is read is shared with whoever still holds it.
    pub(crate) fn new(
        repository: &'a Repository,
        commit: Oid,
        contents: Option<&'a Contents>,
    ) -> Result<Self, SourceError> {
        let root = repository.find_commit(commit).and_then(|commit| commit.tree()).map_err(|error| corrupt(&error))?;
        let odb = repository.odb().map_err(|error| corrupt(&error))?;
        Ok(Self { repository, odb, root, contents })
    }

    fn tree(&self, folder: &str) -> Result<git2::Tree<'a>, SourceError> {
        if folder.is_empty() {
            return Ok(self.root.clone());
        }
        let entry = self.root.get_path(std::path::Path::new(folder)).map_err(|error| corrupt(&error))?;
        self.repository.find_tree(entry.id()).map_err(|error| corrupt(&error))
    }

    fn look(&self, entry: &git2::TreeEntry<'_>) -> Result<Node, SourceError> {
        Ok(match entry.kind() {
            Some(ObjectType::Tree) => Node::Folder,
            Some(ObjectType::Commit) => Node::Submodule,
            Some(ObjectType::Blob) if entry.filemode() == 0o120_000 => {
                let text = self.repository.find_blob(entry.id()).map_err(|error| corrupt(&error))?;
                Node::Link(text.content().to_vec())
            }
            Some(ObjectType::Blob) => Node::File(Some(entry.id())),
            _ => Node::Other("this is neither a file nor a folder".to_owned()),
        })
    }
}

impl Tree for GitTree<'_> {
    fn node(&self, path: &str) -> Result<Option<Node>, SourceError> {
        match self.root.get_path(std::path::Path::new(path)) {
            Ok(entry) => self.look(&entry).map(Some),
            // A missing object of the tree itself has the class of the object database.
            Err(error) if error.code() == git2::ErrorCode::NotFound && error.class() == git2::ErrorClass::Tree => {
                Ok(None)
            }
            Err(error) => Err(corrupt(&error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(Vec<u8>, Node)>, SourceError> {
        let tree = self.tree(folder)?;
        tree.iter().map(|entry| Ok((entry.name_bytes().to_vec(), self.look(&entry)?))).collect()
    }

    fn read(&self, _path: &str, node: &Node, limit: u64) -> Result<Read, SourceError> {
        let Node::File(Some(oid)) = node else { return Ok(Read::Unreadable("this is not a file".to_owned())) };
        if let Some(bytes) = self.contents.and_then(|contents| contents.get(*oid)) {
            return Ok(Read::Bytes(oid.to_string(), bytes));
        }
        let (size, _) = self.odb.read_header(*oid).map_err(|error| corrupt(&error))?;
        let size = size as u64;
        if size > limit {
            return Ok(Read::TooLarge(size));
        }
        let object = self.odb.read(*oid).map_err(|error| corrupt(&error))?;
        let bytes: Arc<[u8]> = object.data().into();
        if let Some(contents) = self.contents {
            contents.put(*oid, &bytes);
        }
        Ok(Read::Bytes(oid.to_string(), bytes))
    }

    fn hint(&self, _path: &str, node: &Node) -> Option<Text> {
        match node {
            Node::File(Some(oid)) => Some(oid.to_string().into()),
            _ => None,
        }
    }

    fn folder_hint(&self, folder: &str) -> Option<Text> {
        if folder.is_empty() {
            return Some(self.root.id().to_string().into());
        }
        let entry = self.root.get_path(std::path::Path::new(folder)).ok()?;
        Some(entry.id().to_string().into())
    }

    fn name(&self, _path: &str, node: &Node) -> Result<Result<String, String>, SourceError> {
        Ok(match node {
            Node::File(Some(oid)) => Ok(oid.to_string()),
            _ => Err("this is not a file".to_owned()),
        })
    }
}

fn corrupt(error: &git2::Error) -> SourceError {
    SourceError::new(reasons::REPOSITORY_CORRUPT, format!("an object cannot be read: {}", error.message()))
}
