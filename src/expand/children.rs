//! One document to its steps: itself, and what its kind expands it to, again and again.
//!
//! Pure. Called by `expand`.

use std::sync::Arc;

use serde_json::Value;

use super::{Unit, wishes};
use crate::declared::{Document, Problems};
use crate::kinds::{self, Child, Cr, FieldProblem, Files, Kind};
use crate::plan::{Needs, Origin, Policy, Step, StepId, Want};
use crate::problem::{Code, Severity};

/// How deep kinds may expand to kinds. The deepest known chain has three.
const DEPTH: usize = 8;

/// The unit of one document.
pub(super) fn unit(document: &Document, problems: &mut Problems) -> Unit {
    let policy = wishes::policy(&document.manifest);
    let (origin, files) = (&document.origin, &document.files);
    let mut expander = Expander { origin, files, policy: &policy, steps: Vec::new(), told: Vec::new() };
    expander.object(document.id.clone(), None, document.manifest.clone(), Policy::default(), Needs::default(), 0);
    let (steps, told) = (expander.steps, expander.told);
    let mut unit = Unit {
        origin: document.origin.clone(),
        places: document.places.clone(),
        steps,
        wishes: wishes::wishes(&document.manifest),
        out: false,
    };
    for problem in told {
        unit.out |= problem.severity == Severity::Error;
        problems.push(unit.problem(problem.severity, problem.code, &problem.pointer, problem.message));
    }
    unit
}

struct Expander<'a> {
    origin: &'a Arc<Origin>,
    files: &'a Files,
    policy: &'a Policy,
    steps: Vec<Step>,
    told: Vec<FieldProblem>,
}

impl Expander<'_> {
    fn object(
        &mut self,
        id: StepId,
        owner: Option<StepId>,
        mut manifest: Value,
        own: Policy,
        needs: Needs,
        depth: usize,
    ) {
        let kind = id.object_parts().and_then(|parts| kinds::find(parts.group, parts.kind));
        if kind.is_some()
            && let Some(fields) = manifest.as_object_mut()
        {
            // Status is ours to report, never read from git.
            fields.remove("status");
        }
        if kind.is_some() && owner.is_some() {
            // What a document says was checked when it was read; what a family made of it was not.
            let found = kind.map(|kind| (kind.check)(&manifest)).unwrap_or_default();
            self.told.extend(found.into_iter().map(|problem| below(&id, problem)));
        }
        let expanded = kind.map(|kind| (kind, manifest.clone()));
        self.push(id.clone(), owner, Want::Object(manifest.into()), own, needs);
        if let Some((kind, manifest)) = expanded {
            self.expand(kind, &id, &manifest, depth);
        }
    }

    fn expand(&mut self, kind: &Kind, id: &StepId, manifest: &Value, depth: usize) {
        if self.told.iter().any(|problem| problem.severity == Severity::Error) {
            return;
        }
        if depth == DEPTH {
            let message = format!("{id} expands more than {DEPTH} levels deep. Declare its parts by themselves.");
            self.told.push(FieldProblem {
                severity: Severity::Error,
                code: Code::NotSupported,
                pointer: String::new(),
                message,
            });
            return;
        }
        let Some(parts) = id.object_parts() else { return };
        let nested = depth > 0;
        let mut cr = Cr::new(parts.name, parts.namespace.unwrap_or_default(), manifest);
        if !nested {
            cr.files = self.files;
        }
        let expansion = (kind.expand)(&cr);
        self.told.extend(expansion.problems.into_iter().map(|found| if nested { below(id, found) } else { found }));
        for Child { want, id: given, needs, policy } in expansion.children {
            let needs = needs.into_iter().collect();
            match want {
                Want::Object(manifest) => {
                    let child = given.unwrap_or_else(|| manifest.id());
                    self.object(child, Some(id.clone()), manifest.value(), policy, needs, depth + 1);
                }
                want => {
                    // Only objects have an id that follows from what they are.
                    if let Some(child) = given {
                        self.push(child, Some(id.clone()), want, policy, needs);
                    }
                }
            }
        }
    }

    fn push(&mut self, id: StepId, owner: Option<StepId>, want: Want, own: Policy, needs: Needs) {
        let mut step = Step::new(id, self.origin.clone(), owner, want);
        step.needs = needs;
        step.policy = own.inherit(self.policy);
        // A Job that ran is done, whoever declared it.
        step.policy.once_done |=
            step.id.object_parts().is_some_and(|parts| (parts.group, parts.kind) == ("batch", "Job"));
        self.steps.push(step);
    }
}

/// A problem of something that the document does not hold itself.
fn below(id: &StepId, problem: FieldProblem) -> FieldProblem {
    FieldProblem {
        pointer: String::new(),
        message: format!("In {id}, which it expands to: {}", problem.message),
        ..problem
    }
}
