//! What is kept of an object, and what a new sight of it means.
//!
//! Pure. Called by `mirror` for every event and every item of a LIST.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::diff::Live;
use crate::diff::seen::Readiness;

/// One object as last seen or written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::target::kube) struct Record {
    live: Kept,
    /// resourceVersion as a number: what is not newer is nothing new.
    pub(super) version: u64,
    /// `metadata.generation`; 0 for kinds without one.
    generation: i64,
    /// When our entry was last written, as the server says it, hashed. Other managers never move it.
    entry_time: Option<u64>,
    /// Entries of all others but those of `status`, hashed: they explain why a generation moved.
    others: u64,
}

/// What is told of an object, in little space: most objects are ours and ready, and only their numbers differ.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Plain(Plain),
    /// Anything else.
    Whole(Box<Live>),
}

/// An object of ours that is there, ready and moved by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    uid: [u8; 16],
    version: u64,
    hash: [u8; 32],
    fingerprint: [u8; 8],
}

impl Plain {
    /// None if more is to be told than fits in here.
    fn of(live: &Live) -> Option<Self> {
        let plain = Self {
            uid: bytes(&live.uid.replace('-', ""))?,
            version: live.resource_version.parse().ok()?,
            hash: bytes(live.content_hash.as_deref()?)?,
            fingerprint: bytes(live.fingerprint.as_deref()?)?,
        };
        // Whatever a Live holds beside, today or one day, makes a difference here.
        (plain.live() == *live).then_some(plain)
    }

    fn live(&self) -> Live {
        let uid = hex(&self.uid);
        let parts = [&uid[..8], &uid[8..12], &uid[12..16], &uid[16..20], &uid[20..]];
        Live {
            uid: parts.join("-"),
            resource_version: self.version.to_string(),
            content_hash: Some(hex(&self.hash)),
            fingerprint: Some(hex(&self.fingerprint)),
            ours: true,
            ..Live::default()
        }
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// What differs between two sights of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// It may not be as wanted any more: the diff will tell.
    pub(super) moved: bool,
    /// Nothing that the diff compares differs, and yet somebody wrote: it is to be applied again.
    pub(super) suspect: bool,
    /// Its readiness, or the words for it.
    pub(super) readiness: bool,
}

impl Record {
    /// What is kept of an object.
    pub(super) fn of(live: Live, object: &Value, manager: &str) -> Self {
        Self {
            version: version(object),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
            entry_time: entries(object).find(|entry| is_own(entry, manager)).map(|entry| digest(text(entry, "time"))),
            others: others(object, manager),
            live: Plain::of(&live).map_or_else(|| Kept::Whole(Box::new(live)), Kept::Plain),
        }
    }

    /// What is told of it.
    pub(super) fn live(&self) -> Live {
        match &self.live {
            Kept::Plain(plain) => plain.live(),
            Kept::Whole(live) => (**live).clone(),
        }
    }

    /// Its readiness.
    pub(super) fn readiness(&self) -> Readiness {
        match &self.live {
            Kept::Plain(_) => Readiness::Ready,
            Kept::Whole(live) => live.readiness.clone(),
        }
    }

    /// Whether it carries our label and our entry.
    pub(super) fn is_ours(&self) -> bool {
        match &self.live {
            Kept::Plain(_) => true,
            Kept::Whole(live) => live.ours,
        }
    }

    /// Whether our entry says that it is our business; labels alone are copied by controllers.
    pub(super) fn is_applied(&self) -> bool {
        match &self.live {
            Kept::Plain(_) => true,
            Kept::Whole(live) => live.fingerprint.is_some(),
        }
    }

    /// What a newer sight of the same name says.
    pub(super) fn compare(&self, newer: &Self) -> Difference {
        let (old, new) = (self.live(), newer.live());
        let moved = old.uid != new.uid
            || old.content_hash != new.content_hash
            || old.fingerprint != new.fingerprint
            || old.ours != new.ours
            || old.other_owner != new.other_owner
            || old.acted_on != new.acted_on
            || old.terminating != new.terminating
            || old.takes_data != new.takes_data
            || old.additions() != new.additions();
        let unexplained = self.generation != newer.generation && self.others == newer.others;
        Difference {
            moved,
            suspect: !moved && newer.is_applied() && (self.entry_time != newer.entry_time || unexplained),
            readiness: old.readiness != new.readiness,
        }
    }
}

impl Difference {
    /// Nothing of interest: a status, a foreign label.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The resourceVersion as a number.
pub(super) fn version(object: &Value) -> u64 {
    let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// The field manager that wrote last, if that was not us; a status is no such write.
pub(in crate::target::kube) fn mover<'a>(object: &'a Value, manager: &str) -> Option<&'a str> {
    let own = entries(object).find(|entry| is_own(entry, manager)).map_or("", |entry| text(entry, "time"));
    entries(object)
        .filter(|entry| !is_own(entry, manager) && text(entry, "subresource") != "status")
        .map(|entry| (text(entry, "time"), text(entry, "manager")))
        // Times are RFC 3339 in UTC: they sort as text.
        .max()
        .filter(|(time, _)| *time >= own)
        .map(|(_, name)| name)
}

fn others(object: &Value, manager: &str) -> u64 {
    let all = entries(object).filter(|entry| !is_own(entry, manager) && text(entry, "subresource") != "status");
    // The server sorts entries by time, so that order may move with ours.
    all.fold(0, |sum: u64, entry| sum.wrapping_add(digest(entry)))
}

fn is_own(entry: &Value, manager: &str) -> bool {
    text(entry, "manager") == manager && text(entry, "operation") == "Apply" && text(entry, "subresource").is_empty()
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn digest(value: impl Hash) -> u64 {
    // Never leaves the process: the hasher's keys are fixed, its algorithm need not be.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
