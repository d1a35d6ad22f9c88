//! The inventory in the cluster: ConfigMaps `windlass-inventory-<name>-<n>` in the GitSync's namespace (design §4.5).
//!
//! IO. Every write and every delete carries the resourceVersion that was read. What is written is what the caller has,
//! united with every entry that the caller was never told of: two agents by accident never lose each other's. An
//! inventory of another sync or source is refused, never overwritten. Called through `World`.

mod repair;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Kube;
use super::answers::{Doing, classify};
use super::discovery::Resource;
use super::wire::{JSON, MERGE_PATCH, Refused, Wire};
use crate::inventory::{Inventory, codec};
use crate::plan::StepId;
use crate::plan::stamp::MANAGER;
use crate::sync::{DEFAULT_NAMESPACE, MANAGED_BY};
use crate::target::{Class, Failure};

/// Label of the shards; its value is the sync's id.
pub(crate) const LABEL: &str = "windlass.dev/inventory";
/// Finalizer: nothing deletes a shard in passing, not even the deletion of its namespace.
const FINALIZER: &str = "windlass.dev/inventory";
/// Annotation with the source's URL.
const SOURCE: &str = "windlass.dev/source";
/// Bytes of one shard; a ConfigMap holds 1 MiB.
const SHARD: usize = 700 * 1024;
/// Conflicts in a row after which the write is given up.
const ATTEMPTS: usize = 8;

/// The inventory as this process last read or wrote it.
#[derive(Default)]
pub(super) struct Stored {
    /// Read at least once.
    loaded: bool,
    shards: Vec<Shard>,
    /// What the shards hold.
    inventory: Option<Inventory>,
    /// Ids that the caller knows of: an entry is taken out only if it is among them.
    told: BTreeSet<StepId>,
}

struct Shard {
    version: String,
    text: String,
}

/// A shard as it is found in the cluster.
struct Found {
    number: usize,
    source: String,
    shard: Shard,
}

impl Kube {
    pub(super) async fn load(&self) -> Result<Option<Inventory>, Failure> {
        let mut stored = self.stored.lock().await;
        *stored = self.read_shards().await?;
        stored.told = stored.inventory.iter().flat_map(|inventory| inventory.entries.keys().cloned()).collect();
        Ok(stored.inventory.clone())
    }

    pub(super) async fn store(&self, inventory: &Inventory) -> Result<(), Failure> {
        let mut stored = self.stored.lock().await;
        for attempt in 0..ATTEMPTS {
            if !stored.loaded {
                let told = std::mem::take(&mut stored.told);
                *stored = self.read_shards().await?;
                stored.told = told;
            }
            let wanted = unite(inventory, &stored.told, stored.inventory.as_ref());
            if stored.inventory.is_none() && wanted.entries.is_empty() {
                return Ok(());
            }
            match self.write_shards(&mut stored, &wanted).await {
                Ok(()) => {
                    stored.inventory = Some(wanted);
                    stored.told = inventory.entries.keys().cloned().collect();
                    return Ok(());
                }
                Err(stop) => {
                    // What was written and what not is not known: read again before the next write.
                    stored.loaded = false;
                    stored.told.extend(inventory.entries.keys().cloned());
                    if let Stop::Failure(failure) = stop {
                        return Err(failure);
                    }
                    // Two that meet again and again step out of each other's way.
                    let most = 10_u64 << attempt.min(6);
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=most))).await;
                }
            }
        }
        let message = format!(
            "storing the inventory of sync {}: another agent writes it all the time; is this sync \
             run twice?",
            self.options.name
        );
        Err(Failure::new(Class::Retry, "InventoryConflict", message))
    }

    /// Gives the inventory up: takes the finalizers off and deletes the shards. The objects stay.
    ///
    /// # Errors
    /// If the cluster refuses.
    pub async fn release_inventory(&self) -> Result<(), Failure> {
        let mut stored = self.stored.lock().await;
        *stored = self.read_shards().await?;
        while let Some(last) = stored.shards.last() {
            self.delete_shard(stored.shards.len() - 1, &last.version).await.map_err(|stop| self.in_between(stop))?;
            stored.shards.pop();
        }
        *stored = Stored::default();
        Ok(())
    }

    /// What is stored, whichever source it is of; none if nothing is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn stored_inventory(&self) -> Result<Option<Inventory>, Failure> {
        Ok(self.unpack(self.found_shards().await?)?.1)
    }

    /// The sources that the stored shards were recorded for; more than one after a cut in [`Self::restamp_inventory`].
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn recorded_sources(&self) -> Result<BTreeSet<String>, Failure> {
        Ok(self.found_shards().await?.into_iter().map(|found| found.source).collect())
    }

    /// Records what is stored for the source that the sync reads now: the repository has moved. Can be cut at any write
    /// and done again.
    ///
    /// # Errors
    /// If a shard is damaged, somebody else writes it, or the cluster refuses.
    pub async fn restamp_inventory(&self) -> Result<(), Failure> {
        for found in self.found_shards().await? {
            if found.source == self.options.source_url {
                continue;
            }
            let damaged = |cause| codec::DecodeError::Damaged { shard: found.number, cause };
            let text = codec::restamp(&found.shard.text, &self.options.source_url)
                .map_err(|cause| self.damaged(&damaged(cause)))?;
            let put = self.put_shard(found.number, &text, Some(&found.shard.version)).await;
            put.map_err(|stop| self.in_between(stop))?;
        }
        *self.stored.lock().await = Stored::default();
        Ok(())
    }

    async fn read_shards(&self) -> Result<Stored, Failure> {
        let found = self.found_shards().await?;
        if let Some(other) = found.iter().find(|found| found.source != self.options.source_url) {
            return Err(self.mismatch(&self.shard_name(other.number), &other.source));
        }
        let (shards, inventory) = self.unpack(found)?;
        if let Some(inventory) = &inventory
            && (inventory.sync != self.options.sync_id || inventory.source != self.options.source_url)
        {
            return Err(self.mismatch(&self.shard_name(0), &inventory.source));
        }
        Ok(Stored { loaded: true, shards, inventory, told: BTreeSet::new() })
    }

    fn unpack(&self, found: Vec<Found>) -> Result<(Vec<Shard>, Option<Inventory>), Failure> {
        if found.is_empty() {
            return Ok((Vec::new(), None));
        }
        let shards: Vec<Shard> = found.into_iter().map(|found| found.shard).collect();
        let texts: Vec<String> = shards.iter().map(|shard| shard.text.clone()).collect();
        let inventory = codec::decode(&texts).map_err(|error| self.damaged(&error))?;
        Ok((shards, Some(inventory)))
    }

    fn damaged(&self, error: &codec::DecodeError) -> Failure {
        let message = format!("reading the inventory of sync {}: {error}", self.options.name);
        Failure::new(Class::Stalled, "InventoryDamaged", message)
    }

    /// Every shard of this sync, by number.
    async fn found_shards(&self) -> Result<Vec<Found>, Failure> {
        let resource = config_maps();
        let selector = format!("{}%3D{}", LABEL.replace('/', "%2F"), self.options.sync_id);
        let path = format!("{}?labelSelector={selector}", resource.collection(Some(&self.options.namespace)));
        let mut list = self.own.get(&path, JSON).await.map_err(|refused| self.stop("list", &refused))?;
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let mut found = Vec::with_capacity(items.len());
        for item in &items {
            let text = |pointer| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let name = text("/metadata/name");
            let Some(number) = name.rsplit_once('-').and_then(|(_, number)| number.parse::<usize>().ok()) else {
                continue;
            };
            let source = item.pointer("/metadata/annotations").and_then(|all| all.get(SOURCE)).and_then(Value::as_str);
            found.push(Found {
                number,
                source: source.unwrap_or("an unknown source").to_owned(),
                shard: Shard { version: text("/metadata/resourceVersion"), text: text("/data/shard") },
            });
        }
        found.sort_by_key(|found| found.number);
        Ok(found)
    }

    /// Writes the shards that differ, in the order in which a crash loses nothing (see [`codec`]).
    async fn write_shards(&self, stored: &mut Stored, inventory: &Inventory) -> Result<(), Stop> {
        let texts = codec::encode(inventory, SHARD);
        let mut order: Vec<usize> = (0..texts.len()).collect();
        if texts.len() > stored.shards.len() {
            order.reverse();
        }
        let mut created = Vec::new();
        for number in order {
            let Some(text) = texts.get(number) else { continue };
            match stored.shards.get_mut(number) {
                Some(shard) if &shard.text == text => {}
                Some(shard) => {
                    shard.version = self.put_shard(number, text, Some(&shard.version)).await?;
                    shard.text.clone_from(text);
                }
                None => {
                    let version = self.put_shard(number, text, None).await?;
                    created.push(Shard { version, text: text.clone() });
                }
            }
        }
        // Highest first was written.
        stored.shards.extend(created.into_iter().rev());
        while let Some(last) = stored.shards.last().filter(|_| stored.shards.len() > texts.len()) {
            self.delete_shard(stored.shards.len() - 1, &last.version).await?;
            stored.shards.pop();
        }
        Ok(())
    }

    /// Creates or replaces a shard; returns its new resourceVersion.
    async fn put_shard(&self, number: usize, text: &str, version: Option<&str>) -> Result<String, Stop> {
        let resource = config_maps();
        let (namespace, name) = (self.options.namespace.as_str(), self.shard_name(number));
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": { MANAGED_BY: MANAGER, LABEL: self.options.sync_id },
                "annotations": {
                    SOURCE: self.options.source_url,
                    "windlass.dev/about": "What Windlass owns for this sync. Deleting it orphans every object of the sync.",
                },
                "finalizers": [FINALIZER],
            },
            "data": { "shard": text },
        });
        let answer = match version {
            Some(version) => {
                if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.insert("resourceVersion".to_owned(), version.into());
                }
                // A patch needs no right beyond those that applying takes.
                self.own.patch(&resource.object(Some(namespace), &name), MERGE_PATCH, &body).await
            }
            None => match self.own.post(&resource.collection(Some(namespace)), &body).await {
                // Only our own default namespace is made; any other is somebody's to decide on.
                Err(refused) if refused.is_not_found() && namespace == DEFAULT_NAMESPACE => {
                    self.make_namespace().await.map_err(Stop::Failure)?;
                    self.own.post(&resource.collection(Some(namespace)), &body).await
                }
                Err(refused) if refused.reason == "AlreadyExists" => return self.judge_existing(&name).await,
                other => other,
            },
        };
        match answer {
            Ok(map) => {
                Ok(map.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned())
            }
            // Gone since it was read, or changed.
            Err(refused) if matches!(refused.code, 404 | 409) && version.is_some() => Err(Stop::Conflict),
            Err(refused) => Err(Stop::Failure(self.stop(if version.is_some() { "patch" } else { "create" }, &refused))),
        }
    }

    /// A shard that is to be created exists: made by another agent of this sync in between, or not ours at all.
    async fn judge_existing(&self, name: &str) -> Result<String, Stop> {
        let path = config_maps().object(Some(&self.options.namespace), name);
        let map = self.own.get(&path, JSON).await.map_err(|refused| Stop::Failure(self.stop("get", &refused)))?;
        let label = super::observe::label(&map, LABEL);
        if label == Some(self.options.sync_id.as_str()) {
            return Err(Stop::Conflict);
        }
        Err(Stop::Failure(self.mismatch(name, &format!("sync {}", label.unwrap_or("unknown")))))
    }

    /// Deletes a shard as it was read: one that somebody wrote since holds entries that nobody else knows.
    async fn delete_shard(&self, number: usize, version: &str) -> Result<(), Stop> {
        let path = config_maps().object(Some(&self.options.namespace), &self.shard_name(number));
        let release = json!({ "metadata": { "finalizers": null, "resourceVersion": version } });
        let deleted = match self.own.patch(&path, MERGE_PATCH, &release).await {
            Ok(released) => self.own.delete(&path, &super::apply::delete_options(&released, false)).await,
            Err(refused) => Err(refused),
        };
        match deleted {
            Ok(_) => Ok(()),
            Err(refused) if refused.is_not_found() => Ok(()),
            Err(refused) if refused.code == 409 => Err(Stop::Conflict),
            Err(refused) => Err(Stop::Failure(self.stop("delete", &refused))),
        }
    }

    fn in_between(&self, stop: Stop) -> Failure {
        match stop {
            Stop::Failure(failure) => failure,
            Stop::Conflict => {
                let message = format!(
                    "the inventory of sync {} was written by somebody else in between; try again",
                    self.options.name
                );
                Failure::new(Class::Retry, "InventoryConflict", message)
            }
        }
    }

    pub(super) async fn make_namespace(&self) -> Result<(), Failure> {
        make_namespace(&self.own).await.map_err(|refused| self.stop("create", &refused))
    }

    fn shard_name(&self, number: usize) -> String {
        format!("windlass-inventory-{}-{number}", self.options.name)
    }

    fn mismatch(&self, name: &str, holder: &str) -> Failure {
        let message = format!(
            "reading the inventory of sync {}: ConfigMap {}/{name} belongs to {holder}, this sync follows {}; nothing is \
             applied or pruned. If the repository has moved, `windlass inventory {}/{} --repair` records it for the new \
             place; if it is another repository, give the sync another name",
            self.options.name,
            self.options.namespace,
            self.options.source_url,
            self.options.namespace,
            self.options.name
        );
        Failure::new(Class::Stalled, crate::sync::conditions::reasons::INVENTORY_MISMATCH, message)
    }

    fn stop(&self, verb: &'static str, refused: &Refused) -> Failure {
        let resource = config_maps();
        let name = self.shard_name(0);
        let name = if verb == "list" { "" } else { name.as_str() };
        let doing = Doing { verb, resource: &resource, namespace: Some(&self.options.namespace), name };
        let mut failure = classify(&doing, refused);
        failure.message = format!("the inventory of sync {}: {}", self.options.name, failure.message);
        failure
    }
}

enum Stop {
    Conflict,
    Failure(Failure),
}

pub(super) fn config_maps() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        plural: "configmaps".to_owned(),
        namespaced: true,
    }
}

/// Makes our own default namespace, if it is not there.
pub(super) async fn make_namespace(wire: &Wire) -> Result<(), Refused> {
    let body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": DEFAULT_NAMESPACE, "labels": { MANAGED_BY: MANAGER } },
    });
    match wire.post("/api/v1/namespaces", &body).await {
        Ok(_) => Ok(()),
        Err(refused) if refused.code == 409 => Ok(()),
        Err(refused) => Err(refused),
    }
}

/// What is to be stored: ours, with every entry of the store that we were never told of. What we were told of and do not
/// have any more, we took out on purpose.
fn unite(ours: &Inventory, told: &BTreeSet<StepId>, stored: Option<&Inventory>) -> Inventory {
    let mut united = ours.clone();
    for (id, entry) in stored.into_iter().flat_map(|stored| &stored.entries) {
        match united.entries.get_mut(id) {
            Some(own) if own.uid.is_none() => own.uid.clone_from(&entry.uid),
            Some(_) => {}
            None if told.contains(id) => {}
            None => _ = united.entries.insert(id.clone(), entry.clone()),
        }
    }
    united
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Entry;

    fn inventory(ids: &[(&str, Option<&str>)]) -> Inventory {
        let mut inventory = Inventory::new("s", "u");
        for (id, uid) in ids {
            let entry = Entry { uid: uid.map(str::to_owned), ..Entry::default() };
            inventory.entries.insert(StepId::from_text(*id), entry);
        }
        inventory
    }

    #[test]
    fn nobodys_entries_are_lost_and_removed_ones_stay_removed() {
        let told = ["a", "gone"].map(StepId::from_text).into();
        let ours = inventory(&[("a", Some("1")), ("mine", None)]);
        let stored = inventory(&[("a", Some("1")), ("gone", Some("2")), ("theirs", Some("3")), ("mine", Some("4"))]);
        assert_eq!(
            unite(&ours, &told, Some(&stored)),
            inventory(&[("a", Some("1")), ("mine", Some("4")), ("theirs", Some("3"))])
        );
        assert_eq!(unite(&ours, &told, None), ours);
    }
}
