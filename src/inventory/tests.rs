use super::codec::{DecodeError, decode, encode};
use super::*;

fn inventory(count: usize) -> Inventory {
    let mut inventory = Inventory::new("0123456789", "https://example.com/platform.git");
    for number in 0..count {
        inventory.entries.insert(
            StepId::object("apps", "Deployment", Some("web"), &format!("front-{number}")),
            Entry {
                uid: Some(format!("uid-{number}")),
                path: format!("apps/{number}.yaml"),
                document: 1,
                ..Entry::default()
            },
        );
    }
    inventory
}

#[test]
fn what_is_encoded_decodes_the_same_in_any_order() {
    for (count, max) in [(0, 100), (1, 100_000), (500, 4_000)] {
        let whole = inventory(count);
        let mut shards = encode(&whole, max);
        assert!(shards.iter().all(|shard| shard.len() <= max.max(300)), "{count}");
        assert_eq!(shards, encode(&whole.clone(), max));
        shards.reverse();
        assert_eq!(decode(&shards).unwrap(), whole);
    }
    assert!(encode(&inventory(500), 4_000).len() > 1);
}

#[test]
fn ten_thousand_entries_fit_one_config_map() {
    let shards = encode(&inventory(10_000), 900_000);
    assert_eq!(shards.len(), 1);
}

#[test]
fn one_changed_entry_changes_one_shard() {
    let (mut whole, max) = (inventory(500), 4_000);
    let before = encode(&whole, max);
    whole.record(&StepId::object("apps", "Deployment", Some("web"), "front-7"), "other", None);
    let after = encode(&whole, max);
    assert_eq!(before.len(), after.len());
    assert_eq!(before.iter().zip(&after).filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn a_cut_at_any_shard_write_loses_no_entry() {
    let (small, large) = (inventory(60), inventory(900));
    let max = 3_000;
    let (few, many) = (encode(&small, max), encode(&large, max));
    assert!(few.len() < many.len());
    // Growing: highest first.
    let mut store: BTreeMap<usize, String> = few.iter().cloned().enumerate().collect();
    for (number, shard) in many.iter().enumerate().rev() {
        store.insert(number, shard.clone());
        let read = decode(&store.values().cloned().collect::<Vec<_>>()).unwrap();
        assert!(small.entries.keys().all(|id| read.entries.contains_key(id)), "growing, after shard {number}");
    }
    assert_eq!(decode(&many).unwrap(), large);
    // Shrinking: lowest first, then the rest goes.
    for (number, shard) in few.iter().enumerate() {
        store.insert(number, shard.clone());
        let read = decode(&store.values().cloned().collect::<Vec<_>>()).unwrap();
        assert!(small.entries.keys().all(|id| read.entries.contains_key(id)), "shrinking, after shard {number}");
    }
    for number in (few.len()..many.len()).rev() {
        store.remove(&number);
        let read = decode(&store.values().cloned().collect::<Vec<_>>()).unwrap();
        assert!(small.entries.keys().all(|id| read.entries.contains_key(id)), "shrinking, without shard {number}");
    }
    assert_eq!(decode(&store.values().cloned().collect::<Vec<_>>()).unwrap(), small);
}

#[test]
fn a_missing_or_damaged_shard_is_never_an_empty_inventory() {
    let shards = encode(&inventory(500), 4_000);
    assert!(matches!(decode(&[]), Err(DecodeError::Incomplete { .. })));
    for missing in 0..shards.len() {
        let mut rest = shards.clone();
        rest.remove(missing);
        assert!(matches!(decode(&rest), Err(DecodeError::Incomplete { .. })), "{missing}");
    }
    let mut damaged = shards;
    damaged[1].truncate(40);
    assert!(matches!(decode(&damaged), Err(DecodeError::Damaged { shard: 1, .. })));
}

#[test]
fn shards_of_two_syncs_are_refused() {
    let mut other = inventory(1);
    other.sync = "9876543210".into();
    let shards = [encode(&inventory(1), 10_000), encode(&other, 10_000)].concat();
    assert!(matches!(decode(&shards), Err(DecodeError::Mixed(..))));
}

#[test]
fn another_sync_or_source_is_refused_with_what_to_do() {
    let whole = inventory(1);
    assert_eq!(whole.belongs_to("0123456789", "https://example.com/platform.git"), Ok(()));
    let sync = whole.belongs_to("other", "https://example.com/platform.git").unwrap_err().to_string();
    assert!(sync.contains("of its own"), "{sync}");
    let source = whole.belongs_to("0123456789", "https://example.com/other.git").unwrap_err().to_string();
    assert!(source.contains("--repair"), "{source}");
}
