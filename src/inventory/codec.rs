//! The stored form of an inventory: shards of zlib-compressed JSON in base64, each small enough for a ConfigMap.
//!
//! Pure. Equal inventories give equal bytes. Every shard is whole in itself (an inventory with a part of the entries,
//! chosen by the hash of their ids), so that a change of one entry rewrites one shard, and shards of two writes can be
//! read together after a crash: the result lists too much, never too little. For that, a store that grows to more
//! shards writes the highest first; one that shrinks writes the lowest first, and then deletes the rest.
//! Called by `target::kube`.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use super::Inventory;
use crate::plan::{StepId, canonical};

/// No more shards than this, whatever the size asked for: an entry alone may be larger than that.
const MAX_SHARDS: u32 = 1024;
/// A shard that inflates to more than this is not ours. Bytes.
const MAX_INFLATED: u64 = 256 << 20;

/// One shard as it is stored.
#[derive(Serialize, Deserialize)]
struct Shard {
    /// Version of this form.
    v: u32,
    /// Number of this shard, from 0.
    shard: u32,
    /// How many there are; a power of two.
    of: u32,
    /// Its part.
    inventory: Inventory,
}

/// Why a stored inventory could not be read. It is then never taken as empty.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A shard is damaged.
    #[error(
        "shard {shard} of the inventory cannot be read ({cause}); nothing is applied or pruned. Restore its ConfigMap from a \
         backup. Without one, take the finalizers off all ConfigMaps of this inventory and delete them: the next pass \
         records anew what the repository declares, and deletes nothing"
    )]
    Damaged {
        /// Its number, from 0.
        shard: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// A newer version wrote it.
    #[error("the inventory was written by a newer version of Windlass (form {0}); upgrade this one")]
    Newer(u32),
    /// A shard is missing.
    #[error(
        "the inventory is incomplete: {found} of {wanted} shards are there; nothing is applied or pruned. Restore the \
         missing ConfigMap from a backup. Without one, take the finalizers off those that are left and delete them: the \
         next pass records anew what the repository declares, and deletes nothing"
    )]
    Incomplete {
        /// Shards that are there.
        found: usize,
        /// Shards that there should be.
        wanted: u32,
    },
    /// Shards of two syncs or sources lie together.
    #[error(
        "the inventory's shards belong to two syncs or sources ({0} and {1}); nothing is applied or pruned. Delete the one that is not this sync's"
    )]
    Mixed(String, String),
}

/// Encodes into shards of at most `max_bytes` (more only if a single entry is larger than that).
#[must_use]
pub fn encode(inventory: &Inventory, max_bytes: usize) -> Vec<String> {
    let mut of = 1;
    loop {
        let shards: Vec<String> = split(inventory, of).iter().map(pack).collect();
        if of >= MAX_SHARDS || shards.iter().all(|shard| shard.len() <= max_bytes) {
            return shards;
        }
        of *= 2;
    }
}

/// Decodes shards, in any order, also those of two writes of which the second was cut short.
///
/// # Errors
/// If a shard is damaged or missing, or if they are not of one sync and source.
pub fn decode(shards: &[String]) -> Result<Inventory, DecodeError> {
    let mut seen: Vec<(u32, u32)> = Vec::with_capacity(shards.len());
    let mut whole: Option<Inventory> = None;
    for (number, text) in shards.iter().enumerate() {
        let shard = unpack(text).map_err(|cause| DecodeError::Damaged { shard: number, cause })?;
        if shard.v > 1 {
            return Err(DecodeError::Newer(shard.v));
        }
        seen.push((shard.shard, shard.of));
        match &mut whole {
            None => whole = Some(shard.inventory),
            Some(whole) if whole.sync != shard.inventory.sync || whole.source != shard.inventory.source => {
                let name = |inventory: &Inventory| format!("{} of {}", inventory.sync, inventory.source);
                return Err(DecodeError::Mixed(name(whole), name(&shard.inventory)));
            }
            Some(whole) => {
                for (id, entry) in shard.inventory.entries {
                    // Of two entries of one thing, the one that knows more about it wins.
                    let kept = whole.entries.entry(id).or_insert_with(|| entry.clone());
                    if kept.uid.is_none() && entry.uid.is_some() {
                        *kept = entry;
                    }
                }
            }
        }
    }
    // Complete if any count that a shard names is there from 0 on, whichever write each shard is from.
    let has = |number: u32| seen.iter().any(|(shard, _)| *shard == number);
    let complete = seen.iter().any(|(_, of)| (0..*of).all(has));
    match whole {
        Some(whole) if complete => Ok(whole),
        _ => Err(DecodeError::Incomplete {
            found: shards.len(),
            wanted: seen.iter().map(|(_, of)| *of).min().unwrap_or(1),
        }),
    }
}

/// What can still be read of shards of which some are damaged, missing or of another form; empty if nothing can. For a
/// repair alone: what it lacks is not known.
#[must_use]
pub fn salvage(shards: &[String]) -> Inventory {
    let mut whole = Inventory::default();
    for shard in shards.iter().filter_map(|text| unpack(text).ok()).filter(|shard| shard.v == 1) {
        whole.sync = shard.inventory.sync;
        whole.source = shard.inventory.source;
        for (id, entry) in shard.inventory.entries {
            let kept = whole.entries.entry(id).or_insert_with(|| entry.clone());
            if kept.uid.is_none() && entry.uid.is_some() {
                *kept = entry;
            }
        }
    }
    whole
}

/// The same shard, recorded for another source.
///
/// # Errors
/// If it is damaged or of a newer version; says why.
pub fn restamp(shard: &str, source: &str) -> Result<String, String> {
    let mut shard = unpack(shard)?;
    if shard.v > 1 {
        return Err(DecodeError::Newer(shard.v).to_string());
    }
    source.clone_into(&mut shard.inventory.source);
    Ok(pack(&shard))
}

fn split(inventory: &Inventory, of: u32) -> Vec<Shard> {
    let empty = || Inventory::new(inventory.sync.clone(), inventory.source.clone());
    let mut shards: Vec<Shard> = (0..of).map(|shard| Shard { v: 1, shard, of, inventory: empty() }).collect();
    for (id, entry) in &inventory.entries {
        if let Some(shard) = shards.get_mut((bucket(id) % of) as usize) {
            shard.inventory.entries.insert(id.clone(), entry.clone());
        }
    }
    shards
}

/// A number that depends on the id alone; with twice the shards, an entry stays or moves up.
fn bucket(id: &StepId) -> u32 {
    canonical::hash_bytes(id.as_str().as_bytes())
        .get(..8)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .unwrap_or(0)
}

fn pack(shard: &Shard) -> String {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(6));
    // Neither serializing this type nor writing to a Vec can fail.
    let json = serde_json::to_vec(shard).unwrap_or_default();
    _ = packed.write_all(&json);
    STANDARD.encode(packed.finish().unwrap_or_default())
}

fn unpack(text: &str) -> Result<Shard, String> {
    let packed = STANDARD.decode(text.trim()).map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    ZlibDecoder::new(packed.as_slice()).take(MAX_INFLATED).read_to_end(&mut json).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}
