//! `windlass crds`: prints the CustomResourceDefinitions of every kind that Windlass knows.

use std::io::Write as _;

use super::Exit;

/// Print the CustomResourceDefinitions of all kinds
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windlass crds | kubectl apply --server-side -f -")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout();
    for crd in crate::sync::crds().into_iter().chain(crate::kinds::crds()) {
        write!(out, "---\n{}", crate::plan::yaml::text(&serde_json::to_value(&crd)?))?;
    }
    Ok(Exit::Good)
}
