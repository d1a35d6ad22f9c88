//! Health checks that a GitSync brings along (`spec.healthChecks`): CEL expressions over the object as `self`.
//!
//! Pure. Compiled once, when the sync is loaded; evaluated wherever readiness is read. Bounded: short expressions, no
//! macro inside another's body, objects up to a size. An expression that cannot be evaluated makes nothing ready and
//! nothing failed. Called by `kstatus`' callers through [`HealthChecks`].

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Env, IdedExpr, Program, Value as Cel};
use serde_json::Value;

use crate::diff::seen::Readiness;
use crate::sync::spec::HealthCheck;

/// Longest expression, in bytes.
const LONGEST: usize = 2_000;
/// How deep an expression may nest.
const DEEPEST: u16 = 32;
/// The stack on which an expression is parsed.
const STACK: usize = 64 << 20;
/// Objects with more values than this are not looked at.
const MOST_VALUES: usize = 2_000;
/// The body of a macro, which is evaluated for every item, has at most so many parts.
const LARGEST_BODY: usize = 100;

/// The compiled checks of one sync, by apiVersion and kind.
#[derive(Clone, Debug, Default)]
pub struct HealthChecks {
    checks: Arc<BTreeMap<(String, String), Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    current: Program,
    failed: Option<Program>,
}

impl HealthChecks {
    /// Compiles. What does not compile is left out: the sync is not started with it ([`problem`] says why).
    #[must_use]
    pub fn new(checks: &[HealthCheck]) -> Self {
        let compiled = checks.iter().filter_map(|check| {
            let current = compile(&check.current).ok()?;
            let failed = check.failed.as_deref().map(compile).transpose().ok()?;
            Some(((check.api_version.clone(), check.kind.clone()), Compiled { current, failed }))
        });
        Self { checks: Arc::new(compiled.collect()) }
    }

    /// Whether objects of a kind have to be read whole for their check.
    #[must_use]
    pub(super) fn has(&self, api_version: &str, kind: &str) -> bool {
        // A look-up with owned keys would allocate for every object; there are few checks.
        self.checks.keys().any(|(version, of)| version == api_version && of == kind)
    }

    /// The readiness of an object by its kind's check; none if there is no check for it.
    #[must_use]
    pub(super) fn readiness(&self, object: &Value) -> Option<Readiness> {
        if self.checks.is_empty() {
            return None;
        }
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let check = self.checks.get(&(text("apiVersion"), text("kind")))?;
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Some(Readiness::Progressing("it is being deleted".to_owned()));
        }
        Some(check.evaluate(object))
    }
}

/// What is wrong with a check: the field below it, and why. The names of kinds are not looked up here: the cluster may
/// learn them later.
#[must_use]
pub fn problem(check: &HealthCheck) -> Option<(&'static str, String)> {
    if check.api_version.trim().is_empty() {
        return Some((
            "apiVersion",
            "the health check names no apiVersion. Write it as in `example.com/v1`".to_owned(),
        ));
    }
    if check.kind.trim().is_empty() {
        return Some(("kind", "the health check names no kind".to_owned()));
    }
    if let Err(why) = compile(&check.current) {
        return Some(("current", why));
    }
    let failed = check.failed.as_deref().map(compile)?;
    failed.err().map(|why| ("failed", why))
}

impl Compiled {
    fn evaluate(&self, object: &Value) -> Readiness {
        let Some(this) = (Left { values: MOST_VALUES }).convert(object) else {
            let why = format!("its health check was not evaluated: it holds more than {MOST_VALUES} values");
            return Readiness::Progressing(why);
        };
        if let Some(failed) = &self.failed {
            // What is not there yet says nothing of a failure; `current` says what is missing.
            if evaluate(failed, &this) == Ok(true) {
                return Readiness::Failed("its health check says that it has failed".to_owned());
            }
        }
        match evaluate(&self.current, &this) {
            Ok(true) => Readiness::Ready,
            Ok(false) => Readiness::Progressing("its health check says that it is not ready yet".to_owned()),
            Err(why) => Readiness::Progressing(format!("its health check cannot be evaluated yet: {why}")),
        }
    }
}

/// Compiles an expression, or says what is wrong with it and where.
fn compile(text: &str) -> Result<Program, String> {
    if text.trim().is_empty() {
        return Err("the expression is empty. Write CEL, as in `self.status.phase == 'Running'`".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("the expression is {} bytes long, {LONGEST} are allowed", text.len()));
    }
    // The parser goes down into whatever nests, and what is refused is taken apart the same way: on a stack of its own,
    // which only this takes memory from.
    let text = text.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || parse(&text));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(compiled)) => compiled,
        Ok(Err(_)) | Err(_) => Err("the expression cannot be read as CEL".to_owned()),
    }
}

fn parse(text: &str) -> Result<Program, String> {
    let program = Env::stdlib().compile(text).map_err(|errors| {
        let first = errors.errors.first();
        let place = first.map(|error| format!(" at {}:{}", error.pos.0, error.pos.1)).unwrap_or_default();
        let why = first.map(|error| error.msg.replace('\n', " ")).unwrap_or_default();
        format!("the expression is not CEL{place}: {why}")
    })?;
    walk(program.expression(), &mut Vec::new(), false, 0)?;
    Ok(program)
}

/// Refuses what is not bounded: macros in the body of a macro, patterns compiled again and again, and names that are
/// not there.
fn walk(at: &IdedExpr, known: &mut Vec<String>, looping: bool, depth: u16) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("the expression nests deeper than {DEEPEST} levels"));
    }
    let depth = depth + 1;
    match &at.expr {
        Expr::Unspecified | Expr::Literal(_) => Ok(()),
        Expr::Ident(name) if name == "self" || known.contains(name) || is_type(name) => Ok(()),
        Expr::Ident(name) => Err(format!("the expression names `{name}`, which does not exist; the object is `self`")),
        Expr::Select(select) => walk(&select.operand, known, looping, depth),
        Expr::Call(call) => {
            if looping && call.func_name == "matches" {
                return Err(
                    "`matches` in the body of a macro would compile its pattern for every item; compare without a \
                            pattern there"
                        .to_owned(),
                );
            }
            call.target.iter().map(AsRef::as_ref).chain(&call.args).try_for_each(|it| walk(it, known, looping, depth))
        }
        Expr::List(list) => list.elements.iter().try_for_each(|it| walk(it, known, looping, depth)),
        Expr::Map(map) => entries(map.entries.iter().map(|it| &it.expr), known, looping, depth),
        Expr::Struct(of) => entries(of.entries.iter().map(|it| &it.expr), known, looping, depth),
        Expr::Comprehension(all) => {
            if looping {
                return Err(
                    "a macro (all, exists, map, filter …) stands in the body of another one, which may take very \
                            long on a large object; write them one after the other"
                        .to_owned(),
                );
            }
            walk(&all.iter_range, known, looping, depth)?;
            walk(&all.accu_init, known, looping, depth)?;
            if size(&all.loop_cond) + size(&all.loop_step) > LARGEST_BODY {
                return Err(format!("the body of a macro has more than {LARGEST_BODY} parts"));
            }
            let before = known.len();
            known.push(all.accu_var.clone());
            known.push(all.iter_var.clone());
            known.extend(all.iter_var2.clone());
            let body = walk(&all.loop_cond, known, true, depth).and_then(|()| walk(&all.loop_step, known, true, depth));
            let result = body.and_then(|()| walk(&all.result, known, looping, depth));
            known.truncate(before);
            result
        }
    }
}

/// How many parts an expression has. Called before the depth is known: it does not recurse.
fn size(expression: &IdedExpr) -> usize {
    let mut open = vec![expression];
    let mut count = 0;
    while let Some(at) = open.pop() {
        count += 1;
        match &at.expr {
            Expr::Select(select) => open.push(&select.operand),
            Expr::Call(call) => open.extend(call.target.iter().map(AsRef::as_ref).chain(&call.args)),
            Expr::List(list) => open.extend(&list.elements),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        open.extend([&entry.key, &entry.value]);
                    }
                }
            }
            // Literals and names; a macro in here is refused by itself.
            _ => {}
        }
    }
    count
}

fn entries<'a>(
    mut all: impl Iterator<Item = &'a EntryExpr>,
    known: &mut Vec<String>,
    looping: bool,
    depth: u16,
) -> Result<(), String> {
    all.try_for_each(|entry| match entry {
        EntryExpr::StructField(field) => walk(&field.value, known, looping, depth),
        EntryExpr::MapEntry(entry) => {
            walk(&entry.key, known, looping, depth).and_then(|()| walk(&entry.value, known, looping, depth))
        }
    })
}

/// Names that CEL itself defines.
fn is_type(name: &str) -> bool {
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "dyn", "optional"]
        .contains(&name)
}

fn evaluate(program: &Program, this: &Cel) -> Result<bool, String> {
    let run = || {
        let mut context = Context::with_env(Arc::new(Env::stdlib()));
        context.add_variable_from_value("self", this.clone());
        program.execute(&context)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(Cel::Bool(said))) => Ok(said),
        Ok(Ok(other)) => Err(format!("it gives {} where true or false is wanted", other.type_of())),
        // The error of a missing field is the one that people meet; others may quote values of the object.
        Ok(Err(cel::ExecutionError::NoSuchKey(key))) => Err(format!("there is no field {key}")),
        Ok(Err(cel::ExecutionError::NoSuchOverload(error))) => Err(error.to_string()),
        Ok(Err(cel::ExecutionError::UndeclaredReference(name))) => Err(format!("`{name}` does not exist")),
        Ok(Err(_)) => Err("an operation does not fit the values that it is given".to_owned()),
        Err(_) => Err("the evaluation broke off".to_owned()),
    }
}

/// How much may still be converted.
struct Left {
    values: usize,
}

impl Left {
    /// JSON as CEL has it: whole numbers are `int`, so that they can be compared and counted with. Field owners are no
    /// state of the object and are left out. None if there is too much of it.
    fn convert(&mut self, value: &Value) -> Option<Cel> {
        self.values = self.values.checked_sub(1)?;
        Some(match value {
            Value::Null => Cel::Null,
            Value::Bool(it) => Cel::Bool(*it),
            Value::Number(it) => match (it.as_i64(), it.as_u64()) {
                (Some(it), _) => Cel::Int(it),
                (None, Some(it)) => Cel::UInt(it),
                _ => Cel::Float(it.as_f64().unwrap_or_default()),
            },
            Value::String(it) => Cel::from(it.as_str()),
            Value::Array(items) => {
                let items: Option<Vec<Cel>> = items.iter().map(|it| self.convert(it)).collect();
                Cel::List(Arc::new(items?))
            }
            Value::Object(fields) => {
                let mut map = HashMap::with_capacity(fields.len());
                for (key, value) in fields.iter().filter(|(key, _)| *key != "managedFields") {
                    map.insert(key.clone(), self.convert(value)?);
                }
                Cel::from(map)
            }
        })
    }
}

#[cfg(test)]
mod tests;
