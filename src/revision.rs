//! What a source hands on: a revision and the files in it, as plain values.
//!
//! Pure data; reads nothing. Made by `source`, read by `declared` and everything after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::text::Text;

/// One state of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The commit's object name in hex, or `dir:<sha256>` for a plain folder.
    pub id: String,
    /// The ref it was found at, as in `refs/heads/main`; none for a pinned commit or a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Name of the commit's author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// First line of the commit message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whole commit message (trailers are read from it).
    #[serde(default, skip)]
    pub message: String,
    /// Commit time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<jiff::Timestamp>,
}

impl Revision {
    /// The id as people read it: 7 characters of a commit, `dir:` and 7 of a folder.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.id)
    }
}

/// Shortens a revision id for people.
#[must_use]
pub fn short(id: &str) -> &str {
    let keep = if id.starts_with("dir:") { 11 } else { 7 };
    id.get(..keep).unwrap_or(id)
}

/// A revision's files, below the paths asked for. Keys are `/`-separated paths inside the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Which revision this is.
    pub revision: Revision,
    /// Every file below the paths, without dot-folders; `.windlassignore` files are among them.
    pub files: BTreeMap<Text, File>,
    /// What could not be read, each with its file. A file that stands here protects what it used to declare.
    pub problems: Vec<Problem>,
    /// What documents refer to, by the file or folder named, read in a second step (`declared::references` says what).
    pub referred: BTreeMap<String, Referred>,
}

/// The files behind one reference of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referred {
    /// Every file of the folder, by its path below the folder; a single file by its name. All are read.
    pub files: BTreeMap<String, File>,
    /// What keeps it from being used; each is an error of every document that refers to it.
    pub problems: Vec<Problem>,
}

/// Files that were read before, by path: the name of the content. What is as it was need not be read again.
pub type Known = Arc<BTreeMap<Text, Text>>;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Name of the content: the blob's object name in hex, or the sha-256 of the bytes of a file in a folder.
    pub blob: Text,
    /// Bytes.
    pub content: Content,
}

/// What is known of a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Read.
    Read(Arc<[u8]>),
    /// A document that whoever asked has read before (see [`Known`]), and so was not read again.
    Known,
    /// Not a document (by its name) and so not read.
    NotRead,
}
