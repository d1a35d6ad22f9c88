//! An inventory that was lost, damaged or cut short is recorded again; no object is touched.
//!
//! IO. Every write carries the resourceVersion that was read. Called by `cli`.

use std::collections::BTreeMap;

use super::super::Kube;
use super::SHARD;
use crate::inventory::{Entry, codec};
use crate::plan::StepId;
use crate::target::{Failure, Repaired};

/// Conflicts in a row after which the repair is given up.
const ATTEMPTS: usize = 4;

impl Kube {
    /// Records entries that the stored inventory lacks; what it has stays as it is. A damaged or incomplete inventory is
    /// made whole from what can still be read of it and from these. Each write carries the resourceVersion that was
    /// read: an agent that writes at the same time loses nothing.
    ///
    /// # Errors
    /// If it belongs to another sync or source, if somebody writes it all the time, or if the cluster refuses.
    pub async fn repair_inventory(&self, ours: &BTreeMap<StepId, Entry>) -> Result<Repaired, Failure> {
        let mut last = Ok(Repaired::default());
        for _ in 0..ATTEMPTS {
            last = self.record_missing(ours).await;
            match &last {
                Err(failure) if failure.reason == "InventoryConflict" => {}
                _ => return last,
            }
        }
        last
    }

    /// See [`Self::repair_inventory`]; once.
    async fn record_missing(&self, ours: &BTreeMap<StepId, Entry>) -> Result<Repaired, Failure> {
        let found = self.found_shards().await?;
        if let Some(other) = found.iter().find(|found| found.source != self.options.source_url) {
            return Err(self.mismatch(&self.shard_name(other.number), &other.source));
        }
        let texts: Vec<String> = found.iter().map(|found| found.shard.text.clone()).collect();
        let mut wanted = codec::salvage(&texts);
        if !texts.is_empty() && !wanted.sync.is_empty() && wanted.sync != self.options.sync_id {
            return Err(self.mismatch(&self.shard_name(0), &format!("sync {}", wanted.sync)));
        }
        wanted.sync.clone_from(&self.options.sync_id);
        wanted.source.clone_from(&self.options.source_url);
        let before = wanted.entries.len();
        for (id, entry) in ours {
            wanted.entries.entry(id.clone()).or_insert_with(|| entry.clone());
        }
        let added = wanted.entries.len() - before;
        // Whole and complete already: nothing is written.
        if added == 0 && codec::decode(&texts).is_ok() {
            return Ok(Repaired { added, entries: before });
        }
        let shards = codec::encode(&wanted, SHARD);
        for (number, text) in shards.iter().enumerate().rev() {
            let version = found.iter().find(|found| found.number == number).map(|found| found.shard.version.as_str());
            self.put_shard(number, text, version).await.map_err(|stop| self.in_between(stop))?;
        }
        for extra in found.iter().filter(|found| found.number >= shards.len()).rev() {
            let deleted = self.delete_shard(extra.number, &extra.shard.version).await;
            deleted.map_err(|stop| self.in_between(stop))?;
        }
        self.stored.lock().await.loaded = false;
        Ok(Repaired { added, entries: wanted.entries.len() })
    }
}
