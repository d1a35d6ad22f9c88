//! Where state lies: `--state DIR`, else `$XDG_STATE_HOME/windlass`, else `~/.local/state/windlass`.
//!
//! Called by every command that meets a local agent.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The folder that holds `<namespace>/<name>/` of every sync, if the user named none.
pub(super) fn root() -> anyhow::Result<PathBuf> {
    let from = |name: &str| super::env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    from("XDG_STATE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("windlass"))
        .context("neither XDG_STATE_HOME nor HOME is set; say with --state DIR where state belongs")
}

/// Folders of all syncs that ever had an agent here: of `state` itself if it is one sync's, else below it.
pub(super) fn folders(state: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let root = match state {
        Some(state) => state.to_owned(),
        None => match root() {
            Ok(root) => root,
            Err(_) => return Ok(Vec::new()),
        },
    };
    if root.join("status.json").exists() || root.join("requests").exists() {
        return Ok(vec![root]);
    }
    let mut found = Vec::new();
    for namespace in children(&root) {
        found.extend(children(&namespace).into_iter().filter(|folder| folder.join("requests").exists()));
    }
    found.sort();
    Ok(found)
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The state folder of the sync that a person names: `name` or `namespace/name`.
pub(super) fn find(state: Option<&Path>, wanted: &str) -> anyhow::Result<Option<PathBuf>> {
    let (namespace, name) = wanted.split_once('/').map_or((None, wanted), |(namespace, name)| (Some(namespace), name));
    let mut found = Vec::new();
    for folder in folders(state)? {
        let Some(saved) = crate::agent::store::peek(&folder)? else { continue };
        let view = &saved.summary.view;
        if view.name == name && namespace.is_none_or(|namespace| view.namespace == namespace) {
            found.push((format!("{}/{}", view.namespace, view.name), folder));
        }
    }
    if let [(first, _), (second, _), ..] = &found[..] {
        anyhow::bail!("{wanted} may be {first} or {second}; give the namespace too");
    }
    Ok(found.pop().map(|(_, folder)| folder))
}
