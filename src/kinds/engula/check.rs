//! What is wrong with a Cluster or a component beyond what their schemas say.
//!
//! Pure. Called through the registry.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::part::{Need, Part};
use super::types::{self, ClusterSpec, PartSpec};
use crate::kinds::{FieldProblem, image, schema};
use crate::problem::{Code, Severity};

static CLUSTER: LazyLock<Value> = LazyLock::new(|| schema::of(&types::cluster_crd()));
static PARTS: LazyLock<BTreeMap<Part, Value>> =
    LazyLock::new(|| Part::ALL.into_iter().map(|part| (part, schema::of(&types::part_crd(part)))).collect());

/// Longest name of a StatefulSet: with the hash of a revision it becomes a label of its pods.
const LONGEST: usize = 52;

pub(super) fn cluster(manifest: &Value) -> Vec<FieldProblem> {
    let mut problems = schema::check(&CLUSTER, manifest);
    if problems.iter().any(|problem| problem.pointer.starts_with("/spec")) {
        return problems;
    }
    let spec = match schema::spec::<ClusterSpec>(manifest) {
        Ok(spec) => spec,
        Err(problem) => return vec![problem],
    };
    let suffix = spec.parts().map(|(part, _)| part.name().len() + 1).max().unwrap_or(0);
    problems.extend(name(manifest, suffix));
    problems.extend(spec.image.as_ref().and_then(|it| image::check("/spec/image/name", &it.name)));
    for (part, fields) in spec.parts() {
        let at = format!("/spec/{}", part.name());
        if spec.image.is_none() && fields.image.is_none() {
            let message = format!(
                "`spec.{0}` has no image, and there is no `spec.image` to fall back on. Set one of the two.",
                part.name()
            );
            problems.push(FieldProblem::error(Code::MissingField, format!("{at}/image"), message));
        }
        problems.extend(fields_of(part, &at, fields));
    }
    problems
}

pub(super) fn part(part: Part, manifest: &Value) -> Vec<FieldProblem> {
    let mut problems = PARTS.get(&part).map(|of_part| schema::check(of_part, manifest)).unwrap_or_default();
    if problems.iter().any(|problem| problem.pointer.starts_with("/spec")) {
        return problems;
    }
    let spec = match schema::spec::<PartSpec>(manifest) {
        Ok(spec) => spec,
        Err(problem) => return vec![problem],
    };
    problems.extend(name(manifest, 0));
    problems.extend(fields_of(part, "/spec", &spec));
    problems
}

/// The name becomes that of a Service and a StatefulSet, and part of their pods' labels.
fn name(manifest: &Value, suffix: usize) -> Option<FieldProblem> {
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let letter = |c: char| c.is_ascii_lowercase();
    let wrong = if !name.starts_with(letter) || name.contains('.') {
        "has to start with a letter and hold no dot, since it becomes the name of a Service".to_owned()
    } else if name.len() + suffix > LONGEST {
        format!("has {} characters; the names of its StatefulSets leave room for {}", name.len(), LONGEST - suffix)
    } else {
        return None;
    };
    Some(FieldProblem::error(Code::InvalidName, "/metadata/name", format!("The name {wrong}. Choose another one.")))
}

fn fields_of(part: Part, at: &str, spec: &PartSpec) -> Vec<FieldProblem> {
    let mut problems = Vec::new();
    problems.extend(spec.image.as_ref().and_then(|it| image::check(&format!("{at}/image/name"), &it.name)));
    let Some(volume) = &spec.volume else { return problems };
    let at = format!("{at}/volume");
    let what = part.name();
    match (&volume.spec, &volume.source) {
        (Some(_), Some(_)) => problems.push(FieldProblem::error(
            Code::InvalidValue,
            at.as_str(),
            format!(
                "The volume of `{what}` has both `spec` (a new claim for each node) and `source` (a claim that exists). \
                 Keep one of the two."
            ),
        )),
        (None, None) if part.volume() == Need::Required => problems.push(FieldProblem::error(
            Code::MissingField,
            at.as_str(),
            format!(
                "The volume of `{what}` is empty. Give it `spec` for a new claim for each node, or `source` for a claim \
                 that exists."
            ),
        )),
        (None, Some(source)) if spec.replicas > 1 && source.read_only != Some(true) => {
            let message = format!(
                "All {} nodes of `{what}` write to the same claim {}. Use `volume.spec`, which makes one for each.",
                spec.replicas, source.claim_name
            );
            let problem = FieldProblem::error(Code::InvalidValue, format!("{at}/source"), message);
            problems.push(FieldProblem { severity: Severity::Warning, ..problem });
        }
        _ => {}
    }
    if volume.spec.is_none() && volume.retention.is_some() {
        problems.push(FieldProblem::error(
            Code::InvalidValue,
            format!("{at}/retention"),
            "`retention` speaks of claims that `volume.spec` makes, and there is no `volume.spec`. A claim that existed \
             before is never deleted; take `retention` away.",
        ));
    }
    problems
}
