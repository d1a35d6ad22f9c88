//! What carries a sync's mark in the cluster, whatever the inventory says: for `windlass inventory` and its `--repair`.
//!
//! IO, reads only. An object counts only with our part-of
//! label *and* our Apply entry, for labels are copied (a Service's to its EndpointSlices, say). Called by `cli`.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::discovery::{Known, Resource};
use super::observe::controller;
use super::store::config_maps;
use super::wire::{METADATA_LIST, Refused};
use super::{Kube, managed};
use crate::inventory::Entry;
use crate::plan::StepId;
use crate::sync::{ORIGIN, PART_OF};
use crate::target::{Class, Failure, Labelled};

/// LISTs in flight at once.
const AT_ONCE: usize = 16;

impl Kube {
    /// Everything of every kind that carries our part-of label.
    ///
    /// # Errors
    /// If the kinds of the cluster cannot be read.
    pub async fn labelled(&self) -> Result<Labelled, Failure> {
        let kinds = self.discovery.all().await.map_err(|refused| {
            let message = format!("reading the kinds of the cluster: {}", refused.message);
            Failure::new(Class::Retry, "Unreachable", message)
        })?;
        let mut labelled = Labelled::default();
        let lists = kinds.into_iter().map(|kind| async move {
            let listed = self.marked(&kind).await;
            (kind, listed)
        });
        let mut lists = stream::iter(lists.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        while let Some((kind, listed)) = lists.next().await {
            match listed {
                Ok(found) => found.iter().for_each(|object| self.sort_in(&kind, object, &mut labelled)),
                // Not a kind that is listed.
                Err(refused) if matches!(refused.code, 404 | 405) => {}
                Err(refused) => labelled.unread.push(format!("{}: {}", kind.plural, refused.message)),
            }
        }
        labelled.unread.sort();
        Ok(labelled)
    }

    /// Everything of one kind that carries our part-of label, metadata only, page by page.
    async fn marked(&self, resource: &Resource) -> Result<Vec<Value>, Refused> {
        let label = format!("{}%3D{}", PART_OF.replace('/', "%2F"), self.options.part_of);
        let path = format!("{}?labelSelector={label}&", resource.collection(None));
        let mut found = Vec::new();
        let mut each = |item| match item {
            Some(item) => found.push(item),
            None => found.clear(),
        };
        self.mirror.pages(&path, METADATA_LIST, &mut each).await?;
        Ok(found)
    }

    fn sort_in(&self, kind: &Resource, object: &Value, labelled: &mut Labelled) {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
        let id = StepId::object(&kind.group, &kind.kind, namespace, text("/metadata/name"));
        let Some(own) = managed::own(object, &self.options.manager) else {
            labelled.others.insert(id, "it carries the label, but this sync never applied it".to_owned());
            return;
        };
        if let Some(controller) = controller(object) {
            labelled.others.insert(id, format!("{controller} owns it"));
            return;
        }
        let origin = object.pointer("/metadata/annotations").and_then(|all| all.get(ORIGIN)).and_then(Value::as_str);
        let entry = Entry {
            api_version: kind.api_version(),
            uid: Some(text("/metadata/uid").to_owned()),
            fingerprint: Some(managed::fingerprint(own)),
            owner: origin.and_then(StepId::from_origin).filter(|owner| *owner != id),
            ..Entry::default()
        };
        labelled.ours.insert(id, entry);
    }

    /// When each object of an inventory was created (RFC 3339), as far as it can be listed.
    pub async fn births(&self, ids: &BTreeMap<StepId, Entry>) -> BTreeMap<StepId, String> {
        let kinds: BTreeSet<(&str, &str)> =
            ids.iter().filter_map(|(id, entry)| Some((entry.api_version.as_str(), id.object_parts()?.kind))).collect();
        let lists = kinds.into_iter().map(|(version, kind)| async move {
            let Known::Served(resource) = self.discovery.find(version, kind).await else { return Vec::new() };
            let Ok(found) = self.marked(&resource).await else { return Vec::new() };
            let born = |object: &Value| {
                let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
                let id = StepId::object(
                    &resource.group,
                    &resource.kind,
                    text("/metadata/namespace"),
                    text("/metadata/name")?,
                );
                Some((id, text("/metadata/creationTimestamp")?.to_owned()))
            };
            found.iter().filter_map(born).collect::<Vec<_>>()
        });
        let all: Vec<Vec<(StepId, String)>> =
            stream::iter(lists.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        all.into_iter().flatten().collect()
    }

    /// The number of ConfigMaps that hold the inventory, and their bytes.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn stored_size(&self) -> Result<(usize, usize), Failure> {
        let path = format!(
            "{}?labelSelector={}%3D{}",
            config_maps().collection(Some(&self.options.namespace)),
            super::store::LABEL.replace('/', "%2F"),
            self.options.sync_id
        );
        let list = self.wire.get(&path, super::wire::JSON).await;
        let list = list.map_err(|refused| Failure::new(Class::Retry, "Unreachable", refused.message))?;
        let shards = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let size = |map: &Value| map.pointer("/data/shard").and_then(Value::as_str).map_or(0, str::len);
        Ok((shards.len(), shards.iter().map(size).sum()))
    }
}
