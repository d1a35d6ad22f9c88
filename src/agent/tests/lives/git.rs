//! The repository of the model: what it declares, and how commits change that.

use std::collections::BTreeMap;
use std::path::Path;

use crate::plan::StepId;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It is no YAML.
    Syntax,
    /// One more document without a name stands at its end.
    Nameless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) value: u8,
    pub(super) needs: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) objects: BTreeMap<u8, Declared>,
    pub(super) flaw: Option<Flaw>,
}

/// One revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Git {
    pub(super) files: BTreeMap<u8, File>,
}

/// The newest revision and all before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    pub(super) now: Git,
    past: Vec<Git>,
}

/// A commit. What does not apply changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commit {
    /// Writes an object into a file, and takes it out of any other. The file is sound after it.
    Put {
        name: u8,
        value: u8,
        file: u8,
        needs: Option<u8>,
    },
    Remove(u8),
    Rename {
        from: u8,
        to: u8,
    },
    Break(u8, Flaw),
    Mend(u8),
    /// Back to so many commits ago.
    Revert(u8),
}

impl Repository {
    pub(super) fn commit(&mut self, commit: Commit) {
        let mut next = self.now.clone();
        match commit {
            Commit::Put { name, value, file, needs } => {
                next.remove(name);
                let file = next.files.entry(file).or_default();
                // Only smaller numbers, so that no circle arises.
                file.objects.insert(name, Declared { value, needs: needs.filter(|need| *need < name) });
                file.flaw = None;
            }
            Commit::Remove(name) => next.remove(name),
            Commit::Rename { from, to } => {
                if !next.files.contains_key(&to)
                    && let Some(file) = next.files.remove(&from)
                {
                    next.files.insert(to, file);
                }
            }
            Commit::Break(file, flaw) => {
                if let Some(file) = next.files.get_mut(&file) {
                    file.flaw = Some(flaw);
                }
            }
            Commit::Mend(file) => {
                if let Some(file) = next.files.get_mut(&file) {
                    file.flaw = None;
                }
            }
            Commit::Revert(back) => {
                if let Some(past) = self.past.iter().rev().nth(back.into()) {
                    next.clone_from(past);
                }
            }
        }
        next.files.retain(|_, file| !file.objects.is_empty() || file.flaw.is_some());
        if next != self.now {
            self.past.push(std::mem::replace(&mut self.now, next));
        }
    }

    /// Mends every file, and takes out every need that nothing meets.
    pub(super) fn mend(&mut self) {
        let mut next = self.now.clone();
        for file in next.files.values_mut() {
            file.flaw = None;
            for declared in file.objects.values_mut() {
                declared.needs = declared.needs.filter(|need| self.now.find(*need).is_some());
            }
        }
        next.files.retain(|_, file| !file.objects.is_empty());
        self.now = next;
    }
}

impl Git {
    fn remove(&mut self, name: u8) {
        for file in self.files.values_mut() {
            file.objects.remove(&name);
        }
    }

    pub(super) fn find(&self, name: u8) -> Option<Declared> {
        self.files.values().find_map(|file| file.objects.get(&name)).copied()
    }

    /// Whether it is declared as far as anybody can tell who knows in which file it was before: a file that is no YAML
    /// still declares what it declared, but not what came to it from a file that is sound and there without it.
    pub(super) fn declares(&self, id: &StepId, before: &str) -> bool {
        let has = |file: &File| file.objects.keys().any(|name| super::id_of(*name) == *id);
        let tells = |number: &u8, file: &File| file.flaw != Some(Flaw::Syntax) || path_of(*number) == before;
        self.files.iter().any(|(number, file)| has(file) && tells(number, file))
    }

    /// No file has an error, and no document needs what is not there.
    pub(super) fn is_sound(&self) -> bool {
        let objects = || self.files.values().flat_map(|file| file.objects.values());
        self.files.values().all(|file| file.flaw.is_none())
            && objects().filter_map(|declared| declared.needs).all(|need| self.find(need).is_some())
    }

    /// Whether some file has an error while this one, named as in the inventory, is not there.
    pub(super) fn may_have_moved(&self, path: &str) -> bool {
        self.files.values().any(|file| file.flaw.is_some()) && !self.files.keys().any(|file| path_of(*file) == path)
    }

    /// The fields of every object, by id.
    pub(super) fn wanted(&self) -> BTreeMap<StepId, BTreeMap<String, String>> {
        let objects = self.files.values().flat_map(|file| &file.objects);
        objects.map(|(name, declared)| (super::id_of(*name), fields(declared.value))).collect()
    }

    /// Makes a folder so; `before` is what it holds.
    pub(super) fn write(&self, before: &Self, folder: &Path) {
        for file in before.files.keys().filter(|file| !self.files.contains_key(file)) {
            std::fs::remove_file(folder.join(path_of(*file))).unwrap();
        }
        for (number, file) in self.files.iter().filter(|(number, file)| before.files.get(number) != Some(file)) {
            std::fs::write(folder.join(path_of(*number)), file.text()).unwrap();
        }
    }
}

/// An odd value has one field more.
fn fields(value: u8) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::from([("v".to_owned(), value.to_string())]);
    if value % 2 == 1 {
        fields.insert("odd".to_owned(), "yes".to_owned());
    }
    fields
}

fn path_of(file: u8) -> String {
    format!("f{file}.yaml")
}

impl File {
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, declared) in &self.objects {
            text += &format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: n{name}\n  namespace: web\n");
            if let Some(need) = declared.needs {
                let need = super::id_of(need);
                text += &format!("  annotations:\n    windlass.dev/depends-on: {need}\n");
            }
            text += "data:\n";
            for (key, value) in fields(declared.value) {
                text += &format!("  {key}: \"{value}\"\n");
            }
        }
        match self.flaw {
            None => {}
            Some(Flaw::Syntax) => text += "  : [ {\n",
            Some(Flaw::Nameless) => text += "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
        }
        text
    }
}
