//! A folder as target: the embedded default. One file an object, nothing else in the folder.
//!
//! IO. Deletes only files that the inventory lists and that carry this sync's label; a file that somebody else put there
//! is reported and left alone. What is not an object (Druid, Redis, probes, calls) has no server here and is pending.
//! Called by `agent` through [`World`].

mod file;
mod labelled;
pub mod path;
mod reader;
pub mod watch;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use reader::Reader;
pub use watch::{Watch, watch};

use super::{Class, Done, Failure, World, generate, hash_key};
use crate::canonical::HashKey;
use crate::diff::seen::Readiness;
use crate::diff::{Change, Live, Observed, Op, Reason, Seen, Which};
use crate::inventory::{Entry, Inventory};
use crate::plan::stamp;
use crate::plan::{Plan, Step, StepId, Want, yaml};
use crate::sync::{CONTENT_HASH, PART_OF};

/// Fingerprint of a file that is not as it was written. Not a hash: the file may be a Secret.
const EDITED: &str = "edited";
/// Mode of files that hold no secret.
const OPEN: u32 = 0o644;
/// Mode of Secrets and of the inventory.
const CLOSED: u32 = 0o600;

/// A folder of rendered objects, for one sync.
#[derive(Debug)]
pub struct Dir {
    root: PathBuf,
    state: PathBuf,
    sync: String,
    part_of: String,
    source: String,
    /// Read from the state folder when a Secret is first met.
    hash_key: tokio::sync::OnceCell<HashKey>,
    /// Files of others as last reported, so that each is reported once.
    foreign: Mutex<BTreeSet<PathBuf>>,
}

/// One file to look at.
struct Look {
    id: StepId,
    relative: String,
    /// Whether nobody else may read it.
    secret: bool,
    /// What the plan wants in it, and its content hash; none for what left the repository.
    wanted: Option<(String, String)>,
    /// The manifest, if values are generated: the file tells which.
    generated: Option<serde_json::Value>,
}

impl Dir {
    /// A folder for the sync `namespace/name`, which reads `source` (URL without credentials). Its inventory lies in
    /// `state`. Touches nothing yet; both folders are made when first written.
    #[must_use]
    pub fn new(root: &Path, state: &Path, namespace: &str, name: &str, source: &str) -> Self {
        Self {
            root: root.to_owned(),
            state: state.to_owned(),
            sync: crate::sync::id(namespace, name),
            part_of: crate::sync::part_of(namespace, name),
            source: source.to_owned(),
            hash_key: tokio::sync::OnceCell::new(),
            foreign: Mutex::default(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is stored, whichever sync and source it is of; none if nothing is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn stored_inventory(&self) -> Result<Option<Inventory>, Failure> {
        let path = self.inventory_path();
        let bytes = match tokio::fs::read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file::failure("read", &path, &error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let message = format!(
                "cannot read the inventory {}: {error}; nothing is applied or pruned. Restore the file from a backup. \
                 Without one, remove it: the next pass records anew what the repository declares, and deletes nothing",
                path.display()
            );
            Failure::new(Class::Stalled, "InventoryUnreadable", message)
        })
    }

    /// Records what is stored for the source that the sync reads now: the repository has moved.
    ///
    /// # Errors
    /// If it is another sync's, or cannot be read or written.
    pub async fn restamp_inventory(&self) -> Result<(), Failure> {
        let Some(mut inventory) = self.stored_inventory().await? else { return Ok(()) };
        inventory.source.clone_from(&self.source);
        inventory.belongs_to(&self.sync, &self.source).map_err(mismatch)?;
        self.store_inventory(&inventory).await
    }

    fn inventory_path(&self) -> PathBuf {
        self.state.join("inventory.json")
    }

    /// Files in the folder that are nobody's as far as this sync knows, sorted; said once each in the log.
    fn report_foreign(&self, files: Vec<PathBuf>, known: &BTreeSet<String>) {
        let foreign: BTreeSet<PathBuf> =
            files.into_iter().filter(|path| !path.to_str().is_some_and(|path| known.contains(path))).collect();
        let Ok(mut last) = self.foreign.lock() else { return };
        for path in foreign.difference(&last) {
            tracing::warn!(
                target.path = %self.root.join(path).display(),
                "a file in the target folder is not of this sync; it is left alone, move it away",
            );
        }
        *last = foreign;
    }

    /// Files of others in the folder, as the last `observe` saw them.
    #[must_use]
    pub fn foreign(&self) -> Vec<PathBuf> {
        self.foreign.lock().map(|foreign| foreign.iter().cloned().collect()).unwrap_or_default()
    }

    /// The key in the state folder, made if there is none.
    async fn key(&self) -> Result<HashKey, Failure> {
        let path = self.state.join("hash-key");
        let read = || blocking(move || stored_key(&path));
        self.hash_key.get_or_try_init(|| async { read().await? }).await.cloned()
    }

    /// Which files are to be looked at; and what is known without a look.
    fn looks(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> (Observed, Vec<Look>) {
        let mut observed = Observed::new();
        let mut looks = Vec::with_capacity(plan.steps.len());
        for step in plan.steps.iter().filter(|step| which.has(&step.id)) {
            match (path::relative(&step.id), self.text(step)) {
                (Some(relative), Some(text)) => {
                    let (id, secret) = (step.id.clone(), step.want.holds_secret());
                    let generated = generate::stamped(step, &self.part_of);
                    looks.push(Look { id, relative, secret, wanted: Some((text, step.hash.clone())), generated });
                }
                _ => {
                    observed.insert(step.id.clone(), Seen::Pending(no_server(&step.want)));
                }
            }
        }
        for (id, _) in inventory.unwanted(plan).filter(|(id, _)| which.has(id)) {
            match path::relative(id) {
                Some(relative) => {
                    let id = id.clone();
                    looks.push(Look { id, relative, secret: false, wanted: None, generated: None });
                }
                None => {
                    let why = "no server is configured for it, so it cannot be removed there".to_owned();
                    observed.insert(id.clone(), Seen::Pending(why));
                }
            }
        }
        (observed, looks)
    }

    fn text(&self, step: &Step) -> Option<String> {
        stamp::stamp(step, &self.part_of).map(|manifest| yaml::text(&manifest))
    }
}

fn mismatch(error: crate::inventory::Mismatch) -> Failure {
    Failure::new(Class::Stalled, crate::sync::conditions::reasons::INVENTORY_MISMATCH, error.to_string())
}

impl World for Dir {
    async fn load_inventory(&self) -> Result<Option<Inventory>, Failure> {
        let Some(inventory) = self.stored_inventory().await? else { return Ok(None) };
        inventory.belongs_to(&self.sync, &self.source).map_err(mismatch)?;
        Ok(Some(inventory))
    }

    async fn store_inventory(&self, inventory: &Inventory) -> Result<(), Failure> {
        let path = self.inventory_path();
        let mut stamped = inventory.clone();
        stamped.sync.clone_from(&self.sync);
        stamped.source.clone_from(&self.source);
        let mut text = serde_json::to_vec_pretty(&stamped).map_err(|error| {
            Failure::new(Class::Bug, "InventoryUnreadable", format!("cannot put the inventory into JSON: {error}"))
        })?;
        text.push(b'\n');
        blocking(move || file::write(&path, &text, CLOSED)).await?
    }

    async fn observe(&self, plan: &Plan, inventory: &Inventory, which: Which<'_>) -> Observed {
        let (mut observed, looks) = self.looks(plan, inventory, which);
        let ids: Vec<StepId> = looks.iter().map(|look| look.id.clone()).collect();
        // Of a part, it cannot be told which files are of others.
        let known: Option<BTreeSet<String>> =
            matches!(which, Which::All).then(|| looks.iter().map(|look| look.relative.clone()).collect());
        let (root, part_of, list) = (self.root.clone(), self.part_of.clone(), known.is_some());
        let seen = blocking(move || {
            // The list is for reports only: what it cannot read, the looks name.
            let files = if list { file::list(&root).unwrap_or_default() } else { Vec::new() };
            (looks.into_iter().map(|look| look_at(&root, &part_of, look)).collect::<Vec<_>>(), files)
        });
        match seen.await {
            Ok((seen, files)) => {
                observed.extend(seen);
                if let Some(known) = &known {
                    self.report_foreign(files, known);
                }
            }
            Err(failure) => observed.extend(ids.into_iter().map(|id| (id, Seen::Unknown(failure.message.clone())))),
        }
        observed
    }

    async fn apply(&self, step: &Step, change: &Change) -> Result<Done, Failure> {
        let (Some(relative), Some(text)) = (path::relative(&step.id), self.text(step)) else {
            return Err(Failure::new(
                Class::Bug,
                "NotAnObject",
                format!("{} is not an object and has no file", step.id),
            ));
        };
        let path = self.root.join(&relative);
        let create = change.op == Op::Create;
        let done = Done { uid: relative.clone(), fingerprint: None, readiness: Readiness::Ready, wrote: true };
        // Unrecorded after a crash, or only verified: the file may be as wanted already.
        let maybe_same = matches!(change.op, Op::Update(Reason::Unrecorded | Reason::Verify));
        let (root, part_of, mode) = (self.root.clone(), self.part_of.clone(), mode(step));
        let generated = generate::stamped(step, &self.part_of);
        blocking(move || {
            let found =
                file::read(&root, &relative).map_err(|message| Failure::new(Class::Stalled, "Obstructed", message))?;
            // Create-only, whatever was seen before: somebody may have put it there since.
            if create && found.as_ref().is_some_and(|found| label(&found.bytes).as_deref() != Some(part_of.as_str())) {
                let message = format!(
                    "{} is there already and is not of this sync (it lacks the label {PART_OF}); it is left alone. \
                     Move it away or delete it",
                    path.display()
                );
                return Err(Failure::new(Class::Stalled, "FileExists", message));
            }
            let text = match generated {
                Some(mut manifest) => {
                    generate::fill(&mut manifest, found.as_ref().and_then(|found| parse(&found.bytes)).as_ref())?;
                    yaml::text(&manifest)
                }
                None => text,
            };
            if maybe_same && found.is_some_and(|found| found.bytes == text.as_bytes() && found.mode == mode) {
                return Ok(Done { wrote: false, ..done });
            }
            file::write(&path, text.as_bytes(), mode)?;
            Ok(done)
        })
        .await?
    }

    async fn delete(&self, id: &StepId, _entry: &Entry, _live: &Live) -> Result<(), Failure> {
        let Some(relative) = path::relative(id) else {
            return Err(Failure::new(Class::Bug, "NotAnObject", format!("{id} is not an object and has no file")));
        };
        let (root, part_of, path) = (self.root.clone(), self.part_of.clone(), self.root.join(&relative));
        blocking(move || {
            let found =
                file::read(&root, &relative).map_err(|message| Failure::new(Class::Stalled, "Obstructed", message))?;
            let Some(found) = found else { return Ok(()) };
            // Looked at once more: it may have been replaced since it was observed.
            if label(&found.bytes).as_deref() != Some(part_of.as_str()) {
                let message = format!("{} lacks the label {PART_OF} of this sync; it is not removed", path.display());
                return Err(Failure::new(Class::Stalled, "NotOurs", message));
            }
            file::remove(&root, &path)
        })
        .await?
    }

    async fn hash_key(&self) -> Result<Option<HashKey>, Failure> {
        self.key().await.map(Some)
    }

    async fn settle(&self, steps: &[&Step]) -> Vec<(StepId, Readiness)> {
        // An object is ready when written.
        steps.iter().map(|step| (step.id.clone(), Readiness::Ready)).collect()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Failure::new(Class::Bug, "Interrupted", format!("a file operation ended before its result: {error}"))
    })
}

fn stored_key(path: &Path) -> Result<HashKey, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => {
            if let Some(key) = hash_key::from_stored(&bytes) {
                return Ok(key);
            }
            tracing::warn!(path = %path.display(), "the key for hashes of Secrets is damaged; it is made anew, and Secrets are written once more");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(file::failure("read", path, &error)),
    }
    let bytes = hash_key::fresh()?;
    file::write(path, &bytes, CLOSED)?;
    Ok(HashKey::new(&bytes))
}

fn mode(step: &Step) -> u32 {
    if step.want.holds_secret() { CLOSED } else { OPEN }
}

fn no_server(want: &Want) -> String {
    let what = match want {
        Want::Druid { .. } => "Druid",
        Want::Redis(_) => "Redis",
        Want::Probe { .. } => "probes",
        Want::Once { .. } => "calls",
        Want::Object(_) => "an object without metadata",
    };
    format!("no server is configured for {what}: a folder only holds objects")
}

/// What a file says of itself. `fingerprint` is set only when somebody edited it.
fn look_at(root: &Path, part_of: &str, look: Look) -> (StepId, Seen) {
    let found = match file::read(root, &look.relative) {
        Ok(Some(found)) => found,
        Ok(None) => return (look.id, Seen::Absent),
        Err(why) => return (look.id, Seen::Unknown(why)),
    };
    let mut live = Live { uid: look.relative, ..Live::default() };
    // A Secret that others may read is drift; how open other files are is the folder's owner's business.
    let closed_enough = !look.secret || found.mode == CLOSED;
    // Values that are there are as good as any; one that is missing makes the file differ.
    let wanted = look.wanted.as_ref().and_then(|(text, hash)| match look.generated {
        Some(mut manifest) => {
            let filled = generate::fill(&mut manifest, parse(&found.bytes).as_ref());
            matches!(filled, Ok(false)).then(|| (yaml::text(&manifest), hash))
        }
        None => Some((text.clone(), hash)),
    });
    match wanted {
        Some((text, hash)) if found.bytes == text.as_bytes() && closed_enough => {
            live.ours = true;
            live.content_hash = Some(hash.clone());
        }
        _ => {
            let Some(manifest) = parse(&found.bytes) else {
                live.fingerprint = Some(EDITED.to_owned());
                return (look.id, Seen::Present(live));
            };
            let owner = pointer(&manifest, "labels", PART_OF);
            live.ours = owner.as_deref() == Some(part_of);
            live.other_owner = owner
                .filter(|owner| owner != part_of)
                .map(|owner| format!("another sync (its label {PART_OF} is {owner})"));
            live.content_hash = pointer(&manifest, "annotations", CONTENT_HASH);
            // As an older revision left it, or as another key hashed it: that is a change of ours, no hand edit.
            let older = look.wanted.is_none_or(|(_, wanted)| live.content_hash.as_ref() != Some(&wanted));
            live.fingerprint = (!older || !closed_enough).then(|| EDITED.to_owned());
        }
    }
    (look.id, Seen::Present(live))
}

fn parse(bytes: &[u8]) -> Option<serde_json::Value> {
    yaml::read_back(std::str::from_utf8(bytes).ok()?)
}

fn label(bytes: &[u8]) -> Option<String> {
    pointer(&parse(bytes)?, "labels", PART_OF)
}

fn pointer(manifest: &serde_json::Value, map: &str, key: &str) -> Option<String> {
    manifest.get("metadata")?.get(map)?.get(key)?.as_str().map(str::to_owned)
}
