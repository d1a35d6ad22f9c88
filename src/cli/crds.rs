//! `windlass crds`: prints the CustomResourceDefinitions of every kind that Windlass knows.

use std::io::Write as _;

use super::Exit;

/// Print the CustomResourceDefinitions of all kinds
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windlass crds | kubectl apply --server-side -f -")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout();
    for crd in
        crate::sync::crds().into_iter().chain(crate::kinds::FAMILIES.iter().flat_map(|f| f.kinds).map(|k| (k.crd)()))
    {
        // A JSON document is a YAML document.
        writeln!(out, "---\n{}", serde_json::to_string_pretty(&crd)?)?;
    }
    Ok(Exit::Good)
}
