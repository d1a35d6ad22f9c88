//! `windlass inventory --repair`: records what the inventory lost, or for which place it is. Touches no object.
//!
//! Called by `inventory`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use super::super::{Exit, cluster, style};
use super::Found;
use crate::agent::store;
use crate::diff::render::words;
use crate::inventory::Entry;
use crate::plan::StepId;
use crate::target::Target;

/// At most so many objects are listed.
const LISTED: usize = 40;

pub(super) async fn run(yes: bool, found: &Found) -> anyhow::Result<Exit> {
    if let (Target::Dir(_), Some(folder)) = (&found.target, &found.folder) {
        anyhow::ensure!(
            !store::is_held(folder),
            "an agent is at work in the state folder {}; stop it first, then repair",
            folder.display()
        );
    }
    let mut recorded = match &found.target {
        Target::Kube(kube) => kube.recorded_sources().await?,
        // One that cannot be read says nothing; it is made anew.
        Target::Dir(dir) => {
            dir.stored_inventory().await.ok().flatten().into_iter().map(|inventory| inventory.source).collect()
        }
    };
    recorded.remove(&found.source);
    match recorded.first() {
        Some(old) => moved(yes, found, old).await,
        None => rebuild(yes, found).await,
    }
}

/// The repository has another URL than the inventory was recorded for.
async fn moved(yes: bool, found: &Found, old: &str) -> anyhow::Result<Exit> {
    let Found { label, source, target, .. } = found;
    let (old, new) = (style::plain(old), style::plain(source));
    agree(
        yes,
        &format!(
            "{label}: what it owns was recorded for {old}; the sync reads {new}. If that is the same repository at \
             another place, record it for {new}: from then on the next pass deletes what {new} does not declare, within \
             the sync's budget."
        ),
    )?;
    match target {
        Target::Kube(kube) => kube.restamp_inventory().await?,
        Target::Dir(dir) => dir.restamp_inventory().await?,
    }
    writeln!(anstream::stdout(), "{label}: recorded for {new}; the next pass goes on with it")?;
    Ok(Exit::Good)
}

/// Looks for what is the sync's in the target, and records what the inventory lacks.
async fn rebuild(yes: bool, found: &Found) -> anyhow::Result<Exit> {
    let Found { label, target, .. } = found;
    let mut out = anstream::stdout();
    let stored = super::stored(target).await;
    let labelled = match target {
        Target::Kube(kube) => kube.labelled().await?,
        Target::Dir(dir) => dir.labelled().await?,
    };
    let known = match &stored {
        Ok(Some(inventory)) => {
            writeln!(out, "{label}: the inventory has {} entries", inventory.entries.len())?;
            inventory.entries.keys().cloned().collect()
        }
        Ok(None) => {
            writeln!(out, "{label}: there is no inventory")?;
            std::collections::BTreeSet::new()
        }
        Err(error) => {
            writeln!(out, "{label}: the inventory cannot be read as it is: {}", style::plain(&format!("{error:#}")))?;
            std::collections::BTreeSet::new()
        }
    };
    for line in &labelled.unread {
        writeln!(out, "  not looked at: {}", style::plain(line))?;
    }
    for (id, why) in labelled.others.iter().take(LISTED) {
        writeln!(out, "  left alone: {} ({})", words::name(id), style::plain(why))?;
    }
    if labelled.others.len() > LISTED {
        writeln!(out, "  left alone: {} more that only carry the label", labelled.others.len() - LISTED)?;
    }
    let missing: BTreeMap<&StepId, &Entry> = labelled.ours.iter().filter(|(id, _)| !known.contains(*id)).collect();
    if missing.is_empty() && stored.is_ok() {
        let count = labelled.ours.len();
        writeln!(out, "{label}: nothing to repair; all {count} objects that are this sync's are in it")?;
        return Ok(Exit::Good);
    }
    writeln!(
        out,
        "{} objects carry this sync's mark; {} of them are to be recorded:",
        labelled.ours.len(),
        missing.len()
    )?;
    for (id, entry) in missing.iter().take(LISTED) {
        let from = entry.owner.as_ref().map(|owner| format!("  from {}", words::name(owner))).unwrap_or_default();
        writeln!(out, "  {}{}", words::name(id), style::paint(style::QUIET, &from))?;
    }
    if missing.len() > LISTED {
        writeln!(out, "  and {} more", missing.len() - LISTED)?;
    }
    out.flush()?;
    agree(
        yes,
        &format!(
            "{label}: record them? No object is touched. The next pass learns where each is declared, and prunes what the \
             repository does not declare any more, within the sync's budget."
        ),
    )?;
    let repaired = match target {
        Target::Kube(kube) => kube.repair_inventory(&labelled.ours).await?,
        Target::Dir(dir) => dir.repair_inventory(&labelled.ours).await?,
    };
    writeln!(out, "{label}: {} entries recorded, {} in all", repaired.added, repaired.entries)?;
    Ok(Exit::Good)
}

fn agree(yes: bool, what: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    anyhow::ensure!(std::io::stdin().is_terminal(), "{what} Give --yes to do so");
    anyhow::ensure!(cluster::answer(&format!("{what} Do it?"))?, "stopped; nothing was written");
    Ok(())
}
