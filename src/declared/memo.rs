//! What was read before: an unchanged file is not parsed again, and nothing of it is kept but its documents.
//!
//! Pure. Bounded to the files of the newest snapshot. Held by `agent` between two passes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::file::{self, Outcome};
use super::rendered::Folders;
use super::typing::Typed;
use super::{Document, Problems, Scopes};
use crate::kinds::{Files, Reference};
use crate::plan::{Origin, StepId};
use crate::problem::{Code, Problem};
use crate::revision::{Content, File, Known, Snapshot};
use crate::text::Text;

/// What was parsed before, by path and blob.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    /// Every file of the newest snapshot that can hold documents.
    pub(super) files: BTreeMap<Text, Kept>,
    /// The same as [`Memo::known`] says it.
    known: Known,
    /// What the documents were settled with.
    pub(super) settled: Surroundings,
    /// How many documents declare an id.
    pub(super) ids: HashMap<StepId, u32>,
    /// How many ids are declared more than once.
    pub(super) twins: usize,
    /// Every path of the newest snapshot.
    pub(super) present: Arc<BTreeSet<Text>>,
    words: HashSet<Text>,
    parsed: u64,
    reused: u64,
}

/// What a document's id and manifest depend on besides itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Surroundings {
    /// Namespace of documents that name none.
    pub(super) fill: Text,
    /// What the CRDs of the revision say.
    pub(super) declared: Scopes,
    /// What the target says.
    pub(super) discovered: Scopes,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) blob: Text,
    pub(super) entries: Vec<Entry>,
    /// What is wrong by itself.
    pub(super) problems: Problems,
    /// What is wrong in its surroundings.
    pub(super) told: Problems,
    pub(super) scopes: Vec<((String, String), bool)>,
    /// Whether the entries are settled (and counted in [`Memo::ids`]).
    pub(super) settled: bool,
    /// Whether an entry refers to files.
    pub(super) refers: bool,
    /// Documents of the file before it changed.
    pub(super) before: Vec<Arc<Document>>,
}

/// One document whose identity is known.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) group: Text,
    /// The namespace that it names itself.
    pub(super) named: Option<Text>,
    pub(super) refers: Vec<Reference>,
    /// It has an error of its own.
    pub(super) failed: bool,
    /// It has an error in its surroundings.
    pub(super) out: bool,
    /// Whether its kind has namespaces is not known.
    pub(super) assumed: bool,
    pub(super) document: Arc<Document>,
}

impl Memo {
    /// Files parsed and files taken from memory since this memo was made.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.parsed, self.reused)
    }

    /// What need not be read again.
    #[must_use]
    pub fn known(&self) -> Known {
        Arc::clone(&self.known)
    }

    /// Brings the files in line with a snapshot: new ones are parsed, those that are gone are forgotten.
    pub(super) fn parse(&mut self, snapshot: &Snapshot, folders: &Folders) {
        let wanted = |path: &str, file: &File| match file.content {
            Content::NotRead => false,
            Content::Read(_) | Content::Known => file::is_document(path) && !folders.hold(path),
        };
        let mut gone = Vec::new();
        let mut new = Vec::new();
        let mut old = self.files.iter().peekable();
        let mut reused = 0;
        for (path, file) in snapshot.files.iter().filter(|(path, file)| wanted(path, file)) {
            while let Some((known, _)) = old.next_if(|(known, _)| *known != path && *known < path) {
                gone.push(known.clone());
            }
            match old.next_if(|(known, _)| *known == path) {
                Some((_, kept)) if kept.blob == file.blob => reused += 1,
                _ => new.push((path, file)),
            }
        }
        gone.extend(old.map(|(path, _)| path.clone()));
        self.reused += reused;
        for path in gone {
            self.forget(&path);
            Arc::make_mut(&mut self.known).remove(&path);
        }
        for (path, file) in new {
            let outcome = match &file.content {
                Content::Read(bytes) => file::read(path, bytes),
                // Whoever asked knew another state of the file. Nothing is taken to be gone for it.
                Content::Known | Content::NotRead => {
                    let message = "the file was not handed over; it is read at the next pass";
                    let problems = vec![Problem::error(Code::FileUnreadable, message).in_file(path.as_str())];
                    Outcome { problems, ..Outcome::default() }
                }
            };
            self.parsed += 1;
            let before = self.forget(path);
            let refers = outcome.documents.iter().any(|typed| !typed.refers.is_empty());
            let mut entries: Vec<Entry> = Vec::with_capacity(outcome.documents.len());
            entries.extend(outcome.documents.into_iter().map(|typed| self.entry(path, typed)));
            let Outcome { mut problems, mut scopes, .. } = outcome;
            problems.shrink_to_fit();
            scopes.shrink_to_fit();
            let (told, settled) = (Vec::new(), false);
            let blob = if let Content::Read(_) = file.content {
                Arc::make_mut(&mut self.known).insert(path.clone(), file.blob.clone());
                file.blob.clone()
            } else {
                Text::default()
            };
            let kept = Kept { blob, entries, problems, told, scopes, settled, refers, before };
            self.files.insert(path.clone(), kept);
        }
        if !snapshot.files.keys().eq(self.present.iter()) {
            self.present = Arc::new(snapshot.files.keys().cloned().collect());
        }
    }

    /// Forgets a file; gives the documents that it held.
    fn forget(&mut self, path: &str) -> Vec<Arc<Document>> {
        let Some(mut kept) = self.files.remove(path) else { return Vec::new() };
        self.uncount(&mut kept);
        kept.entries.into_iter().map(|entry| entry.document).collect()
    }

    /// Takes the documents of a file out of the counts.
    pub(super) fn uncount(&mut self, kept: &mut Kept) {
        if !std::mem::take(&mut kept.settled) {
            return;
        }
        for entry in &kept.entries {
            let Some(count) = self.ids.get_mut(&entry.document.id) else { continue };
            *count -= 1;
            match *count {
                0 => _ = self.ids.remove(&entry.document.id),
                1 => self.twins -= 1,
                _ => {}
            }
        }
    }

    /// Takes the documents of a file into the counts.
    pub(super) fn count(&mut self, kept: &mut Kept) {
        kept.settled = true;
        for entry in &kept.entries {
            let count = self.ids.entry(entry.document.id.clone()).or_default();
            *count += 1;
            if *count == 2 {
                self.twins += 1;
            }
        }
    }

    fn entry(&mut self, path: &Text, typed: Typed) -> Entry {
        let Typed { api_version, group, kind, name, namespace, manifest, number, places, failed, refers } = typed;
        let named = namespace.map(|namespace| self.word(&namespace));
        let group = self.word(&group);
        let origin = Origin {
            api_version: self.word(&api_version),
            kind: self.word(&kind),
            // What is not settled yet has the namespace that it names itself.
            namespace: named.clone(),
            name: name.into(),
            path: path.clone(),
            document: number,
            line: places.start().line,
        };
        let id = StepId::object(&group, &origin.kind, origin.namespace.as_deref(), &origin.name);
        let document = Document { id, origin: Arc::new(origin), manifest, places, files: Files::new() };
        let document = Arc::new(document);
        Entry { group, named, refers, failed, out: false, assumed: false, document }
    }

    /// A word that stands in many documents.
    pub(super) fn word(&mut self, word: &str) -> Text {
        if let Some(known) = self.words.get(word) {
            return known.clone();
        }
        let word = Text::from(word);
        self.words.insert(word.clone());
        word
    }
}
