//! A plan as JSON, YAML and tree text, for people and machines.
//!
//! Pure, byte-identical from run to run; a secret value appears only where the user asked for it. Called by `cli`.

mod tree;

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Plan, Step, Want, yaml};
use crate::problem::Problem;

pub use tree::{Line, Tone, tree, tree_text};

/// Whether secret values are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// As `***`.
    #[default]
    Masked,
    /// As they are (`--show-secrets`).
    Shown,
}

/// `render -o json` (design §5.2): `revision`, `digest`, `steps` in the plan's order, `problems`.
#[must_use]
pub fn json(plan: &Plan, problems: &[Problem], secrets: Secrets) -> Value {
    json!({
        "revision": plan.revision.id,
        "digest": plan.digest,
        "steps": plan.steps.iter().map(|step| step_json(step, secrets)).collect::<Vec<_>>(),
        "problems": problems,
    })
}

/// `render -o yaml`: one document an object, in the plan's order, each under a comment that names its origin. Steps
/// outside Kubernetes are comments only, so that the whole may be piped to kubectl.
#[must_use]
pub fn yaml(plan: &Plan, secrets: Secrets) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let origin = &step.origin;
        // Writing to a String cannot fail.
        _ = writeln!(text, "---\n# {} from {}:{}", one_line(step.id.as_str()), one_line(&origin.path), origin.line);
        match shown(step, secrets) {
            Want::Object(manifest) => text.push_str(&yaml::text(&manifest.value())),
            other => {
                for line in yaml::text(&other.to_json()).lines() {
                    _ = writeln!(text, "# {line}");
                }
            }
        }
    }
    text
}

fn step_json(step: &Step, secrets: Secrets) -> Value {
    json!({
        "id": step.id,
        "needs": step.needs,
        "origin": *step.origin,
        "want": shown(step, secrets).to_json(),
    })
}

/// What a step wants, fit to be shown.
#[must_use]
pub fn shown(step: &Step, secrets: Secrets) -> Want {
    match (&step.want, secrets) {
        (Want::Object(manifest), Secrets::Masked) => Want::Object(manifest.masked()),
        (want, _) => want.clone(),
    }
}

/// A path may hold a line break; a comment must not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '\u{2028}' || c == '\u{2029}' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
