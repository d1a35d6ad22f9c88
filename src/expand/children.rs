//! One document to its steps: itself, and what its kind expands it to, again and again.
//!
//! Pure. Called by `expand`.

use std::sync::Arc;

use serde_json::Value;

use super::ids::{Ids, Number};
use super::links::{self, Links};
use super::unit::{self, Cell, Unit};
use super::wishes;
use crate::declared::Document;
use crate::kinds::{self, After, Child, Cr, FieldProblem, Kind};
use crate::plan::canonical::HashKey;
use crate::plan::{Manifest, Policy, Step, StepId, Want};
use crate::problem::{Code, Severity};

/// How deep kinds may expand to kinds. The deepest known chain has three.
const DEPTH: usize = 8;

/// The unit of one document.
pub(super) fn unit(document: &Arc<Document>, ids: &mut Ids, key: Option<&HashKey>) -> Unit {
    let manifest = document.manifest.value();
    let policy = wishes::policy(&manifest);
    let wishes: Box<[Number]> = wishes::wishes(&manifest).into_iter().map(|id| ids.number(id)).collect();
    let mut expander = Expander { document, policy: &policy, ids, key, cells: Vec::new(), told: Vec::new() };
    expander.object(document.id.clone(), None, Object::Declared(manifest), Policy::default(), (&[], &[]), 0);
    let Expander { mut cells, told, .. } = expander;
    cells.shrink_to_fit();
    let failed = told.iter().any(|problem| problem.severity == Severity::Error);
    let problem = |told: FieldProblem| unit::problem(document, told.severity, told.code, &told.pointer, told.message);
    let told = told.into_iter().map(problem).collect();
    Unit { document: Arc::clone(document), cells, wishes, told, failed }
}

struct Expander<'a> {
    document: &'a Document,
    policy: &'a Policy,
    ids: &'a mut Ids,
    key: Option<&'a HashKey>,
    cells: Vec<Cell>,
    told: Vec<FieldProblem>,
}

/// An object about to become a step.
enum Object {
    /// The document's own, as it was declared.
    Declared(Value),
    /// What a kind made.
    Made(Manifest),
}

impl Expander<'_> {
    fn object(
        &mut self,
        id: StepId,
        owner: Option<&StepId>,
        object: Object,
        own: Policy,
        (needs, after): (&[StepId], &[After]),
        depth: usize,
    ) {
        let kind = id.object_parts().and_then(|parts| kinds::find(parts.group, parts.kind));
        let (mut value, mut manifest) = match object {
            Object::Declared(value) => (value, self.document.manifest.clone()),
            Object::Made(manifest) => (manifest.value(), manifest),
        };
        // Status is ours to report, never read from git.
        if kind.is_some()
            && let Some(fields) = value.as_object_mut()
            && fields.remove("status").is_some()
        {
            manifest = value.clone().into();
        }
        if let Some(kind) = kind.filter(|_| owner.is_some()) {
            // What a document says was checked when it was read; what a family made of it was not.
            let found = (kind.check)(&value);
            self.told.extend(found.into_iter().map(|problem| below(&id, problem)));
        }
        if let Some(stripped) = kind.and_then(|kind| without_secrets(&value, kind.secrets)) {
            manifest = stripped.into();
        }
        let mut links = links::of(&id, &value, self.ids);
        links.come_after(after, self.ids);
        self.push(id.clone(), owner, Want::Object(manifest), own, needs, links);
        if let Some(kind) = kind {
            self.expand(kind, &id, &value, depth);
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
            cr.files = &self.document.files;
        }
        let expansion = (kind.expand)(&cr);
        self.told.extend(expansion.problems.into_iter().map(|found| if nested { below(id, found) } else { found }));
        for Child { want, id: given, needs, after, policy } in expansion.children {
            match want {
                Want::Object(manifest) => {
                    let child = given.unwrap_or_else(|| manifest.id());
                    self.object(child, Some(id), Object::Made(manifest), policy, (&needs, &after), depth + 1);
                }
                want => {
                    // Only objects have an id that follows from what they are.
                    if let Some(child) = given {
                        let mut links = Links::default();
                        links.come_after(&after, self.ids);
                        self.push(child, Some(id), want, policy, &needs, links);
                    }
                }
            }
        }
    }

    fn push(&mut self, id: StepId, owner: Option<&StepId>, want: Want, own: Policy, needs: &[StepId], links: Links) {
        let number = self.ids.number(id);
        let owner = owner.map(|owner| self.ids.number(owner.clone()));
        // The text of an id is in memory once.
        let id = |number: Number| self.ids.id(number).clone();
        let mut step = Step::new(id(number), Arc::clone(&self.document.origin), owner.map(id), want);
        step.policy = own.inherit(self.policy);
        // A Job that ran is done, whoever declared it.
        step.policy.once_done |=
            step.id.object_parts().is_some_and(|parts| (parts.group, parts.kind) == ("batch", "Job"));
        let secret = step.want.holds_secret();
        if let Some(key) = self.key.filter(|_| secret) {
            step.hash = step.want.hash(Some(key));
        }
        let asked: Box<[Number]> = needs.iter().map(|need| self.ids.number(need.clone())).collect();
        self.cells.push(Cell { id: number, owner, asked, links, needs: Arc::default(), step: Arc::new(step), secret });
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

/// The CR without its secret values; none if it holds none.
fn without_secrets(value: &Value, pointers: &[&str]) -> Option<Value> {
    if !pointers.iter().any(|pointer| value.pointer(pointer).is_some()) {
        return None;
    }
    let mut value = value.clone();
    for pointer in pointers {
        if let Some((parent, field)) = pointer.rsplit_once('/')
            && let Some(fields) = value.pointer_mut(parent).and_then(Value::as_object_mut)
        {
            fields.remove(field);
        }
    }
    Some(value)
}
