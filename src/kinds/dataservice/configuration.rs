//! The user's configuration files as ConfigMaps, with what they leave open filled in.
//!
//! Pure. A password is never filled in: files name a variable that the container gets from the Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::middleware;
use super::spec::DataServiceSpec;
use super::table::{Map, PARTS, PASSWORD_VARIABLE, config_map};
use crate::kinds::{Cr, FieldProblem};
use crate::plan::canonical;
use crate::problem::{Code, Severity};

/// JSON pointer of the field that names the folder.
pub(super) const POINTER: &str = "/spec/configFrom/path";
/// Stands for MySQL's password.
const PASSWORD: &str = "{{mysqlPassword}}";
/// Most bytes of one ConfigMap's values.
const MOST: usize = 1 << 20;

/// One rendered ConfigMap.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// Key to text.
    pub(super) data: BTreeMap<String, String>,
    /// Whether a file reads MySQL's password from the environment.
    pub(super) password: bool,
}

impl Rendered {
    /// Stands for everything that a container reads of it.
    pub(super) fn hash(&self) -> String {
        canonical::hash(&serde_json::json!(self.data))
    }
}

/// Renders what lies in the folder. ConfigMaps without a file are left out.
pub(super) fn render(
    cr: &Cr<'_>,
    spec: &DataServiceSpec,
    has_password: bool,
) -> (BTreeMap<&'static str, Rendered>, Vec<FieldProblem>) {
    let mut problems = Vec::new();
    let mut maps: BTreeMap<&'static str, Rendered> = BTreeMap::new();
    let Some(files) = cr.files.get(POINTER) else { return (maps, problems) };
    let values = values(cr, spec);
    for (path, bytes) in files {
        if path.rsplit('/').next().is_some_and(|name| name.starts_with('.')) {
            continue;
        }
        match one(path, bytes, &values, has_password) {
            Ok(Some((map, key, text, password))) => {
                let rendered = maps.entry(map.name).or_default();
                rendered.data.insert(key, text);
                rendered.password |= password;
            }
            Ok(None) => problems.push(FieldProblem {
                severity: Severity::Warning,
                code: Code::InvalidValue,
                pointer: POINTER.to_owned(),
                message: format!("The folder holds {path}, which is in no folder of a ConfigMap and is not used."),
            }),
            Err((code, message)) => problems.push(FieldProblem::error(code, POINTER, message)),
        }
    }
    for (name, rendered) in &maps {
        let size: usize = rendered.data.iter().map(|(key, text)| key.len() + text.len()).sum();
        if size > MOST {
            let message = format!("The files in {name}/ have {size} bytes together; a ConfigMap holds at most {MOST}.");
            problems.push(FieldProblem::error(Code::FileTooLarge, POINTER, message));
        }
        if let Some(key) = config_map(name).and_then(|map| map.key).filter(|key| !rendered.data.contains_key(*key)) {
            problems.push(FieldProblem {
                severity: Severity::Warning,
                code: Code::MissingField,
                pointer: POINTER.to_owned(),
                message: format!("{name}/ holds no {key}, which is the file that {name} reads."),
            });
        }
    }
    (maps, problems)
}

type One<'a> = Option<(&'a Map, String, String, bool)>;

fn one(
    path: &str,
    bytes: &Arc<[u8]>,
    values: &[(&str, String)],
    has_password: bool,
) -> Result<One<'static>, (Code, String)> {
    let Some((folder, key)) = path.split_once('/') else { return Ok(None) };
    let Some(map) = config_map(folder) else {
        let known = PARTS.iter().flat_map(|part| part.maps).map(|map| map.name);
        let near = known.min_by_key(|name| strsim::damerau_levenshtein(name, folder)).unwrap_or_default();
        let message = format!("The folder holds {path}, and no ConfigMap is called {folder}. Did you mean `{near}`?");
        return Err((Code::InvalidValue, message));
    };
    if !is_key(key) {
        let message = format!(
            "The folder holds {path}; a key of ConfigMap {folder} is one file name of letters, digits, `-`, `_` and `.`, \
             not {key:?}."
        );
        return Err((Code::InvalidValue, message));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err((Code::FileNotText, format!("The folder holds {path}, which is not UTF-8 text.")));
    };
    let mut text = text.to_owned();
    for (placeholder, value) in values {
        text = text.replace(placeholder, value);
    }
    let password = text.contains(PASSWORD);
    if password {
        if !matches!(key.rsplit_once('.'), Some((_, "yml" | "yaml" | "properties"))) {
            let message = format!(
                "{path} holds {PASSWORD}, which becomes ${{{PASSWORD_VARIABLE}}}; only a .yml, .yaml or .properties file \
                 is read by something that puts the variable's value there. Let the program read the variable itself."
            );
            return Err((Code::InvalidValue, message));
        }
        if !has_password {
            let message = format!(
                "{path} holds {PASSWORD}, and nothing says what MySQL's password is. Name a Secret in \
                 `spec.mysql.passwordFrom`."
            );
            return Err((Code::MissingField, message));
        }
        text = text.replace(PASSWORD, &format!("${{{PASSWORD_VARIABLE}}}"));
    }
    Ok(Some((map, key.to_owned(), text, password)))
}

/// What the other placeholders stand for.
fn values(cr: &Cr<'_>, spec: &DataServiceSpec) -> Vec<(&'static str, String)> {
    vec![
        ("{{mysqlUrl}}", middleware::url(spec, "mysql", cr.namespace)),
        ("{{mysqlUsername}}", middleware::username(spec).to_owned()),
        ("{{eurekaUrl}}", middleware::url(spec, "eureka", cr.namespace)),
        ("{{uucUrl}}", middleware::url(spec, "uuc", cr.namespace)),
        ("{{namespace}}", cr.namespace.to_owned()),
    ]
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= 253 && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
