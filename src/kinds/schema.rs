//! Checks a manifest against the OpenAPI schema of its CRD, so that every problem of a document is told at once.
//!
//! Pure. Knows the part of OpenAPI that our own CRDs use; what the API server knows beyond it (CEL, patterns) the
//! families check themselves. Called by the families' `check`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::FieldProblem;
use crate::problem::Code;

/// Fields of every object that are not the family's to check (`declared` checks metadata; status is never read).
const COMMON: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The schema of a CRD's one version as plain JSON.
pub(super) fn of(crd: &CustomResourceDefinition) -> Value {
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    schema.and_then(|schema| serde_json::to_value(&schema.open_api_v3_schema).ok()).unwrap_or_default()
}

/// The CRD with an optional `spec`: every field of it has a default.
pub(super) fn with_optional_spec(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(required) = schema.and_then(|schema| schema.required.as_mut()) {
            required.retain(|field| field != "spec");
        }
    }
    crd
}

/// Everything about a manifest that its schema does not allow.
pub(super) fn check(schema: &Value, manifest: &Value) -> Vec<FieldProblem> {
    let mut checked = manifest.clone();
    if let Some(fields) = checked.as_object_mut() {
        fields.retain(|field, _| !COMMON.contains(&field.as_str()));
    }
    let mut walk = Walk { problems: Vec::new(), pointer: String::new() };
    walk.value(schema, &checked);
    walk.problems
}

/// The typed spec; an absent one is an empty one.
pub(super) fn spec<T: DeserializeOwned>(manifest: &Value) -> Result<T, FieldProblem> {
    let spec = manifest.get("spec").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    serde_path_to_error::deserialize(spec).map_err(|error| {
        use serde_path_to_error::Segment;
        let pointer = error.path().iter().fold("/spec".to_owned(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => format!("{pointer}/{}", escape(key)),
            Segment::Unknown => pointer,
        });
        FieldProblem::error(Code::WrongType, pointer, format!("The field cannot be read: {}.", error.inner()))
    })
}

struct Walk {
    problems: Vec<FieldProblem>,
    pointer: String,
}

impl Walk {
    fn value(&mut self, schema: &Value, value: &Value) {
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        let either = schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
        let fits = match (wanted, value) {
            _ if either => value.is_string() || value.is_i64() || value.is_u64(),
            ("integer", value) => value.is_i64() || value.is_u64(),
            ("number", value) => value.is_number(),
            ("string", value) => value.is_string(),
            ("boolean", value) => value.is_boolean(),
            ("array", value) => value.is_array(),
            ("object", value) => value.is_object(),
            _ => true,
        };
        if !fits {
            return self.wrong_type(if either { "integer or string" } else { wanted }, value);
        }
        match value {
            Value::Object(fields) => self.object(schema, fields),
            Value::Array(items) => self.array(schema, items),
            Value::String(text) => self.length(schema, ("minLength", "maxLength"), text.chars().count(), "character"),
            Value::Number(_) => self.range(schema, value),
            Value::Bool(_) | Value::Null => {}
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            let hint = value.as_str().and_then(|text| nearest(text, names.iter().copied()));
            let hint = hint.map(|name| format!(" Did you mean `{name}`?")).unwrap_or_default();
            let message = format!("{} has to be {}.{hint}", self.name(), one_of(&names));
            self.add(Code::InvalidValue, message);
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>) {
        let known = schema.get("properties").and_then(Value::as_object);
        let more = schema.get("additionalProperties").filter(|more| **more != Value::Bool(false));
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        for (field, value) in fields {
            let length = self.pointer.len();
            self.pointer.push('/');
            self.pointer.push_str(&escape(field));
            match known.and_then(|known| known.get(field)).or(more) {
                Some(schema) => self.value(schema, value),
                None if open => {}
                None => self.unknown(field, known, length),
            }
            self.pointer.truncate(length);
        }
        for field in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let elsewhere = self.pointer.is_empty() && COMMON.contains(&field);
            if !elsewhere && !fields.contains_key(field) {
                let message = format!("`{field}` is required{}.", self.place(" in "));
                self.problems.push(FieldProblem::error(
                    Code::MissingField,
                    format!("{}/{}", self.pointer, escape(field)),
                    message,
                ));
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value]) {
        self.length(schema, ("minItems", "maxItems"), items.len(), "item");
        let Some(of_item) = schema.get("items") else { return };
        for (index, item) in items.iter().enumerate() {
            let length = self.pointer.len();
            self.pointer.push('/');
            self.pointer.push_str(&index.to_string());
            self.value(of_item, item);
            self.pointer.truncate(length);
        }
    }

    fn length(&mut self, schema: &Value, (min, max): (&str, &str), found: usize, unit: &str) {
        let limit = |key| schema.get(key).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
        let wrong = match (limit(min), limit(max)) {
            (Some(least), _) if found < least => format!("at least {least}"),
            (_, Some(most)) if found > most => format!("at most {most}"),
            _ => return,
        };
        let message = format!("{} has to have {wrong} {unit}s; it has {found}.", self.name());
        self.add(Code::InvalidValue, message);
    }

    fn range(&mut self, schema: &Value, value: &Value) {
        let number = value.as_f64().unwrap_or_default();
        let limit = |key| schema.get(key).and_then(Value::as_f64);
        let wide =
            schema.get("format").and_then(Value::as_str) == Some("int32") && value.as_i64().is_none_or(out_of_i32);
        let wrong = match (limit("minimum"), limit("maximum")) {
            (Some(least), _) if number < least => format!("at least {least}"),
            (_, Some(most)) if number > most => format!("at most {most}"),
            _ if wide => "a 32-bit integer".to_owned(),
            _ => return,
        };
        let message = format!("{} has to be {wrong}; it is {value}.", self.name());
        self.add(Code::InvalidValue, message);
    }

    fn wrong_type(&mut self, wanted: &str, value: &Value) {
        let quoted = match (wanted, value) {
            ("integer" | "number", Value::String(text)) => text.parse::<f64>().is_ok(),
            ("boolean", Value::String(text)) => text.parse::<bool>().is_ok(),
            _ => false,
        };
        let hint = match (wanted, value) {
            _ if quoted => " Take the quotes away.",
            ("string", Value::Number(_) | Value::Bool(_)) => " Put it in quotes.",
            _ => "",
        };
        let message = format!("{} has to be {}, but is {}.{hint}", self.name(), article(wanted), describe(value));
        self.add(Code::WrongType, message);
    }

    fn unknown(&mut self, field: &str, known: Option<&Map<String, Value>>, parent: usize) {
        let parent = &self.pointer[..parent];
        let names = || {
            known
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .filter(|name| !parent.is_empty() || !COMMON.contains(name))
        };
        let hint = match nearest(field, names()) {
            Some(name) => format!("Did you mean `{name}`?"),
            None => {
                let list: Vec<String> = names().map(|name| format!("`{name}`")).collect();
                if list.is_empty() {
                    "It has no fields.".to_owned()
                } else {
                    format!("Its fields are {}.", list.join(", "))
                }
            }
        };
        let place = if parent.is_empty() { "this kind".to_owned() } else { format!("`{}`", dotted(parent)) };
        let message = format!("`{field}` is not a field of {place}. {hint}");
        self.add(Code::UnknownField, message);
    }

    fn add(&mut self, code: Code, message: String) {
        self.problems.push(FieldProblem::error(code, self.pointer.clone(), message));
    }

    fn name(&self) -> String {
        if self.pointer.is_empty() { "The document".to_owned() } else { format!("`{}`", dotted(&self.pointer)) }
    }

    fn place(&self, before: &str) -> String {
        if self.pointer.is_empty() { String::new() } else { format!("{before}`{}`", dotted(&self.pointer)) }
    }
}

fn out_of_i32(number: i64) -> bool {
    i32::try_from(number).is_err()
}

/// The known name that was most likely meant: a slip of two letters, or another spelling of the same words.
fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let text = plain(text);
    known
        .map(|name| (strsim::damerau_levenshtein(&text, &plain(name)), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len().min(text.len()).max(1))
        .min()
        .map(|(_, name)| name)
}

/// `/spec/a/0/b` as `spec.a[0].b`.
fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
            text = format!("{text}[{part}]");
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&part);
        }
    }
    text
}

fn escape(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}

fn article(kind: &str) -> String {
    match kind {
        "integer" | "array" | "object" | "integer or string" => format!("an {kind}"),
        other => format!("a {other}"),
    }
    .replace("an array", "a list")
    .replace("an object", "a mapping")
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [only] => format!("`{only}`"),
        names => format!("one of {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "required": ["spec"], "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
            "status": {"type": "object"},
            "spec": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "minLength": 1},
                "size": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 3},
                "big": {"type": "integer", "format": "int32"},
                "ratio": {"type": "number"},
                "on": {"type": "boolean"},
                "mode": {"type": "string", "enum": ["Fast", "Slow"]},
                "port": {"x-kubernetes-int-or-string": true},
                "items": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {"a/b": {"type": "string"}}}},
                "env": {"type": "object", "additionalProperties": {"type": "string"}},
                "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }},
        }})
    }

    fn told(manifest: &Value) -> Vec<String> {
        let problems = check(&schema(), manifest);
        problems.iter().map(|problem| format!("{} {} {}", problem.pointer, problem.code, problem.message)).collect()
    }

    #[test]
    fn what_the_schema_allows_is_no_problem() {
        let manifest = json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"x": 1}, "status": 4, "spec": {
            "name": "n", "size": 3, "ratio": 1, "on": true, "mode": "Slow", "port": "http",
            "items": [{"a/b": "c"}], "env": {"any": "thing"}, "raw": {"any": [1]},
        }});
        assert_eq!(told(&manifest), Vec::<String>::new());
    }

    #[test]
    fn every_problem_of_a_document_is_told_at_once() {
        let manifest = json!({"kind": "K", "spce": {}, "spec": {
            "size": "3", "sizes": 1, "big": 4_000_000_000_u64, "ratio": "x", "on": "true", "mode": "fast", "port": 1.5,
            "items": [{"a/b": 1}, 2, {}], "env": {"k~1": 1}, "zzzzzz": 1, "raw": [],
        }});
        assert_eq!(
            told(&manifest),
            [
                "/spce UnknownField `spce` is not a field of this kind. Did you mean `spec`?",
                "/spec/big InvalidValue `spec.big` has to be a 32-bit integer; it is 4000000000.",
                "/spec/env/k~01 WrongType `spec.env.k~1` has to be a string, but is a number. Put it in quotes.",
                "/spec/items InvalidValue `spec.items` has to have at most 2 items; it has 3.",
                "/spec/items/0/a~1b WrongType `spec.items[0].a/b` has to be a string, but is a number. Put it in quotes.",
                "/spec/items/1 WrongType `spec.items[1]` has to be a mapping, but is a number.",
                "/spec/mode InvalidValue `spec.mode` has to be one of `Fast`, `Slow`. Did you mean `Fast`?",
                "/spec/on WrongType `spec.on` has to be a boolean, but is a string. Take the quotes away.",
                "/spec/port WrongType `spec.port` has to be an integer or string, but is a number with a fraction.",
                "/spec/ratio WrongType `spec.ratio` has to be a number, but is a string.",
                "/spec/raw WrongType `spec.raw` has to be a mapping, but is a list.",
                "/spec/size WrongType `spec.size` has to be an integer, but is a string. Take the quotes away.",
                "/spec/sizes UnknownField `sizes` is not a field of `spec`. Did you mean `size`?",
                "/spec/zzzzzz UnknownField `zzzzzz` is not a field of `spec`. Its fields are `big`, `env`, `items`, `mode`, `name`, `on`, `port`, `ratio`, `raw`, `size`.",
                "/spec/name MissingField `name` is required in `spec`.",
            ]
        );
    }

    #[test]
    fn ranges_are_told_with_what_was_found() {
        assert_eq!(
            told(&json!({"spec": {"name": "", "size": 4}})),
            [
                "/spec/name InvalidValue `spec.name` has to have at least 1 characters; it has 0.",
                "/spec/size InvalidValue `spec.size` has to be at most 3; it is 4.",
            ]
        );
        assert_eq!(
            told(&json!({"spec": {"name": "n", "size": -1}})),
            ["/spec/size InvalidValue `spec.size` has to be at least 0; it is -1.",]
        );
        assert_eq!(told(&json!({"spec": "text"})), ["/spec WrongType `spec` has to be a mapping, but is a string."]);
        assert_eq!(told(&json!({})), ["/spec MissingField `spec` is required."]);
    }
}
