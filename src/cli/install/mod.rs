//! `windlass install`: prints everything that an installation in a cluster needs. Writes nothing to any cluster.
//!
//! `deploy/` holds the same manifests for the default options (a test compares them).

mod agent;
mod rights;

use std::io::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::Exit;
use crate::sync::DEFAULT_NAMESPACE;

/// Name of everything that is installed.
pub(super) const NAME: &str = "windlass";
/// Label that tells our installation's objects from others. Not the label of applied objects: nothing here is pruned.
pub(super) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", NAME);

/// Print everything to install the agent in a cluster
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  windlass install --registry registry.example.com/team | kubectl apply --server-side -f -"
)]
pub(super) struct Args {
    /// Image of the agent
    #[arg(long, default_value = concat!("windlass:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// Registry, with an optional path, to pull the image from; put before the image's name
    #[arg(long, value_name = "HOST[/PATH]")]
    registry: Option<String>,
    /// Namespace of the agent and of its GitSyncs
    #[arg(long, default_value = DEFAULT_NAMESPACE, value_parser = namespace)]
    namespace: String,
    /// What the agent may write
    #[arg(long, value_enum, default_value_t = Rights::Registry)]
    rights: Rights,
}

/// What the agent may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rights {
    /// Windlass' kinds, what they expand to, and everyday plain objects; no Secrets, no RBAC
    Registry,
    /// Everything
    ClusterAdmin,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut out = anstream::stdout();
    let mut print = |object: &Value| write!(out, "---\n{}", crate::plan::yaml::text(object));
    let (namespace, rest) = manifests(args);
    print(&namespace)?;
    for crd in crate::sync::crds().into_iter().chain(crate::kinds::crds()) {
        print(&serde_json::to_value(&crd)?)?;
    }
    for object in rest.iter().flat_map(|(_, objects)| objects) {
        print(object)?;
    }
    Ok(Exit::Good)
}

/// The namespace, then the other objects by the file of `deploy/` that holds them.
fn manifests(args: &Args) -> (Value, [(&'static str, Vec<Value>); 2]) {
    let mut labels = labels();
    if let Some(labels) = labels.as_object_mut() {
        labels.insert("pod-security.kubernetes.io/enforce".into(), "restricted".into());
    }
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": args.namespace, "labels": labels },
    });
    let image = match &args.registry {
        Some(registry) => format!("{}/{}", registry.trim_end_matches('/'), args.image),
        None => args.image.clone(),
    };
    let rights = rights::objects(&args.namespace, args.rights == Rights::ClusterAdmin);
    (namespace, [("10-rights.yaml", rights), ("20-agent.yaml", agent::objects(&args.namespace, &image))])
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/name": NAME, PART_OF.0: PART_OF.1 })
}

fn metadata(namespace: Option<&str>) -> Value {
    let mut metadata = json!({ "name": NAME, "labels": labels() });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

fn namespace(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c != '-');
    if text.len() <= 63 && text.chars().all(inner) && edge(text.chars().next()) && edge(text.chars().last()) {
        Ok(text.to_owned())
    } else {
        Err("a namespace is at most 63 lower-case letters, digits and inner dashes".to_owned())
    }
}

#[cfg(test)]
mod tests;
