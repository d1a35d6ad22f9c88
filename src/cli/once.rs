//! `windlass agent --once`: one pass of each sync, told in plain words.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Exit, style};
use crate::agent::{self, Config, Once, Wanted};
use crate::report::verdict;
use crate::revision::short;

/// Runs all passes, one after the other.
pub(super) async fn run(config: &Config, wanted: &[Wanted], stop: &CancellationToken) -> anyhow::Result<Exit> {
    let (mut ready, mut ran) = (true, true);
    for one in wanted {
        let progress = progress(config, one);
        let once = agent::once(config, one, stop).await;
        if let Some((bar, task)) = progress {
            task.abort();
            bar.finish_and_clear();
        }
        let once = once?;
        tell(&once)?;
        ready &= once.ready;
        ran &= !once.could_not_run;
        if stop.is_cancelled() {
            anyhow::bail!("stopped before the end; what was done is stored, the next run goes on from there");
        }
    }
    // What went wrong is told already.
    anyhow::ensure!(ran, "not every sync could run");
    Ok(if ready { Exit::Good } else { Exit::NotGood })
}

fn tell(once: &Once) -> anyhow::Result<()> {
    let view = &once.summary.view;
    let mut out = anstream::stdout();
    let revision = view.revision.as_deref().map(short).unwrap_or("no revision");
    let did = match (once.wrote.applied, once.wrote.pruned) {
        (0, 0) => "nothing changed".to_owned(),
        (applied, 0) => format!("applied {applied}"),
        (0, pruned) => format!("pruned {pruned}"),
        (applied, pruned) => format!("applied {applied}, pruned {pruned}"),
    };
    writeln!(out, "{}/{} at {revision}: {did}", view.namespace, view.name)?;
    writeln!(out, "{}", style::plain(&verdict::sentence(view)))?;
    for problem in &view.problems {
        writeln!(out, "  {}", style::plain(&problem.to_string()))?;
    }
    Ok(())
}

/// On a terminal, a line that says how far it is.
fn progress(config: &Config, wanted: &Wanted) -> Option<(ProgressBar, tokio::task::JoinHandle<()>)> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(look) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(look);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar.set_message(format!("{}/{}", wanted.namespace(), wanted.name()));
    let mut view = config.board.view();
    let shown = bar.clone();
    let task = tokio::spawn(async move {
        while view.changed().await.is_ok() {
            let line = view.borrow().syncs.last().map(|sync| {
                format!("{}/{}: {} of {} steps ready", sync.namespace, sync.name, sync.counts.ready, sync.counts.steps)
            });
            shown.set_message(line.unwrap_or_default());
        }
    });
    Some((bar, task))
}
