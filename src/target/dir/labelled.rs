//! What carries a sync's label in a folder, whatever the inventory says, and an inventory recorded again from it.
//!
//! IO. Touches no object's file. Called by `cli`.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use super::{Dir, blocking, file, mismatch, parse, path, pointer};
use crate::inventory::{Entry, Inventory};
use crate::plan::{Manifest, StepId};
use crate::sync::{ORIGIN, PART_OF};
use crate::target::{Failure, Labelled, Repaired, World as _};

impl Dir {
    /// Every file of the folder that carries this sync's label, as an inventory would record it.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn labelled(&self) -> Result<Labelled, Failure> {
        let (root, part_of) = (self.root.clone(), self.part_of.clone());
        blocking(move || {
            let files = match file::list(&root) {
                Ok(files) => files,
                Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(file::failure("read", &root, &error)),
            };
            let mut labelled = Labelled::default();
            for relative in files.iter().filter_map(|path| path.to_str()) {
                let bytes = file::read(&root, relative).ok().flatten().map(|found| found.bytes).unwrap_or_default();
                let Some(manifest) = parse(&bytes) else { continue };
                if pointer(&manifest, "labels", PART_OF).as_deref() != Some(part_of.as_str()) {
                    continue;
                }
                let manifest = Manifest::new(manifest);
                let id = manifest.id();
                // A copy under another name is not what we wrote.
                if path::relative(&id).as_deref() != Some(relative) {
                    labelled.others.insert(id, format!("{relative} is not the file of this object"));
                    continue;
                }
                let origin = parse(&bytes).and_then(|manifest| pointer(&manifest, "annotations", ORIGIN));
                let entry = Entry {
                    api_version: manifest.api_version(),
                    uid: Some(relative.to_owned()),
                    owner: origin.as_deref().and_then(StepId::from_origin).filter(|owner| *owner != id),
                    ..Entry::default()
                };
                labelled.ours.insert(id, entry);
            }
            Ok(labelled)
        })
        .await?
    }

    /// Records entries that the stored inventory lacks; what it has stays as it is. One that cannot be read is made anew.
    ///
    /// # Errors
    /// If it is another sync's or source's, or cannot be written.
    pub async fn repair_inventory(&self, ours: &BTreeMap<StepId, Entry>) -> Result<Repaired, Failure> {
        let mut inventory = match self.stored_inventory().await {
            Ok(Some(inventory)) => inventory,
            Ok(None) => Inventory::new(self.sync.clone(), self.source.clone()),
            Err(failure) if failure.reason == "InventoryUnreadable" => {
                Inventory::new(self.sync.clone(), self.source.clone())
            }
            Err(failure) => return Err(failure),
        };
        inventory.belongs_to(&self.sync, &self.source).map_err(mismatch)?;
        let before = inventory.entries.len();
        for (id, entry) in ours {
            inventory.entries.entry(id.clone()).or_insert_with(|| entry.clone());
        }
        self.store_inventory(&inventory).await?;
        let entries = inventory.entries.len();
        Ok(Repaired { added: entries - before, entries })
    }
}
