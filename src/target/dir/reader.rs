//! A folder, for whoever only looks: what is owned, what is there, and what would be written.
//!
//! IO, reads only: it is no [`World`](crate::target::World), so nothing can be executed on it. It does not even tidy up,
//! for an agent may be at work in the same folder. Called by `cli`.

use std::collections::BTreeMap;

use super::{Dir, blocking, file, hash_key, look_at, mismatch, parse, path};
use crate::canonical::HashKey;
use crate::diff::render::compare::{Outlook, Pair};
use crate::diff::{Diff, Observed, Op, Seen};
use crate::inventory::Inventory;
use crate::plan::{Plan, StepId};
use crate::target::{Failure, generate};

/// A folder that is only looked at, for one sync.
#[derive(Debug)]
pub struct Reader(Dir);

impl Reader {
    /// Looks at the folder of a target.
    #[must_use]
    pub fn new(dir: Dir) -> Self {
        Self(dir)
    }

    /// What is owned; none if nothing was ever stored.
    ///
    /// # Errors
    /// If it cannot be read, or is another sync's or source's.
    pub async fn inventory(&self) -> Result<Option<Inventory>, Failure> {
        let Some(inventory) = self.0.stored_inventory().await? else { return Ok(None) };
        inventory.belongs_to(&self.0.sync, &self.0.source).map_err(mismatch)?;
        Ok(Some(inventory))
    }

    /// The key for hashes of Secrets, if there is one.
    pub async fn hash_key(&self) -> Option<HashKey> {
        let bytes = tokio::fs::read(self.0.state.join("hash-key")).await.ok()?;
        hash_key::from_stored(&bytes)
    }

    /// Reads the folder as far as plan and inventory are concerned.
    pub async fn observe(&self, plan: &Plan, inventory: &Inventory) -> Observed {
        let (mut observed, looks) = self.0.looks(plan, inventory, crate::diff::Which::All);
        let ids: Vec<StepId> = looks.iter().map(|look| look.id.clone()).collect();
        let (root, part_of) = (self.0.root.clone(), self.0.part_of.clone());
        let seen = blocking(move || {
            looks.into_iter().map(|look| look_at(&root, &part_of, look)).collect::<Vec<(StepId, Seen)>>()
        });
        match seen.await {
            Ok(seen) => observed.extend(seen),
            Err(failure) => observed.extend(ids.into_iter().map(|id| (id, Seen::Unknown(failure.message.clone())))),
        }
        observed
    }

    /// The files behind the changes of a diff: as they are, and as they would be written.
    pub async fn pairs(&self, plan: &Plan, diff: &Diff) -> BTreeMap<StepId, Pair> {
        let concerned = plan.steps.iter().filter_map(|step| {
            let op = &diff.changes().get(&step.id)?.op;
            let read = matches!(op, Op::Update(_) | Op::Refuse(_) | Op::Create);
            read.then(|| Some((step.id.clone(), path::relative(&step.id)?, step.want.object()?.value())))?
        });
        let concerned: Vec<_> = concerned.collect();
        let (root, part_of) = (self.0.root.clone(), self.0.part_of.clone());
        let read = blocking(move || {
            let one = |(id, relative, mut wanted): (StepId, String, serde_json::Value)| {
                let found = file::read(&root, &relative);
                let text = found.ok().flatten().map(|found| found.bytes);
                let before = text.as_deref().and_then(parse);
                if generate::asked(&wanted) {
                    // What is there stays; what is missing is new, and masked like everything in a Secret.
                    _ = generate::fill(&mut wanted, before.as_ref());
                }
                // Whatever is there, somebody put it there.
                let outlook = match (&text, &before) {
                    (Some(_), None) => {
                        Outlook::Unsure("the file is not YAML any more; it is written anew as a whole".to_owned())
                    }
                    (Some(bytes), _) if super::label(bytes).as_deref() != Some(part_of.as_str()) => Outlook::Unsure(
                        "the file there does not carry this sync's label: where this sync did not write it, it is left \
                         alone"
                            .to_owned(),
                    ),
                    _ => Outlook::Plain,
                };
                (id, Pair { before, after: Some(wanted), outlook })
            };
            concerned.into_iter().map(one).collect()
        });
        read.await.unwrap_or_default()
    }
}
