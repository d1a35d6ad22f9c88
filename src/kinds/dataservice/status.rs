//! Status of a DataService: how far it is in the order that users know, and the conditions that everything has.
//!
//! Pure. Level-based: it goes back when something that was up goes down.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expand::gate;
use super::spec::DataServiceSpec;
use super::table::{PARTS, Part, SECRET};
use crate::kinds::status::{Board, Is};
use crate::kinds::{ChildState, StatusInput, schema};
use crate::plan::State;
use crate::sync::conditions::{Condition, READY};

/// Whether every part has its configuration files.
const CONFIGURED: &str = "Configured";
/// Something is on its way.
const PROGRESSING: &str = "Progressing";
/// Something will not get there by itself.
const DEGRADED: &str = "Degraded";
/// The phase before the first part is up.
const WAITING: &str = "等待部署";
/// After the name of a part: it is up.
const UP: &str = "已部署";

/// What Windlass reports of a DataService.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataServiceStatus {
    /// The last part, in the order of deployment, up to which all are up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// All parts in the order of deployment, that of the phase in brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One condition a type; `Ready` sums them up.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

pub(super) fn status(input: &StatusInput<'_>) -> Option<Value> {
    let spec: DataServiceSpec = schema::spec(input.cr.manifest).ok()?;
    if input.children.is_empty() {
        return None;
    }
    let parts: Vec<(&Part, Vec<&ChildState>)> = PARTS
        .iter()
        .map(|part| {
            let probe = gate(&input.cr, &spec, part);
            let of = |child: &&ChildState| child.id == probe || belongs(part, child);
            (part, input.children.iter().filter(of).collect())
        })
        .collect();
    let up = parts.iter().take_while(|(_, children)| children.iter().all(|child| is_up(child))).count();
    let mut status = conditions(input, &parts);
    if let Some(fields) = status.as_object_mut() {
        let phase = match up.checked_sub(1).and_then(|last| PARTS.get(last)) {
            Some(part) => format!("{}{UP}", part.field),
            None => WAITING.to_owned(),
        };
        let chain: Vec<String> = PARTS
            .iter()
            .enumerate()
            .map(|(at, part)| if at + 1 == up { format!("[{}]", part.field) } else { part.field.to_owned() })
            .collect();
        fields.insert("phase".to_owned(), phase.into());
        fields.insert("message".to_owned(), chain.join("->").into());
    }
    Some(status)
}

/// Pending is a probe where nothing can ask: it blocks nothing.
fn is_up(child: &ChildState) -> bool {
    matches!(child.state, State::Ready | State::Pending)
}

fn belongs(part: &Part, child: &ChildState) -> bool {
    child.id.object_parts().is_some_and(|object| match object.kind {
        "ConfigMap" => part.maps.iter().any(|map| map.name == object.name),
        "Secret" => part.field == "mysql" && object.name == SECRET,
        _ => object.name == part.name,
    })
}

fn conditions(input: &StatusInput<'_>, parts: &[(&Part, Vec<&ChildState>)]) -> Value {
    let mut board = Board::new(input, &[READY, PROGRESSING, DEGRADED, CONFIGURED]);
    let down: Vec<(&Part, &ChildState)> = parts
        .iter()
        .filter_map(|(part, children)| {
            // What waits for another part says less than what is wrong with this one.
            let worst =
                children.iter().filter(|child| !is_up(child)).min_by_key(|child| child.state == State::Waiting)?;
            Some((*part, *worst))
        })
        .collect();
    let first = down.iter().find(|(_, child)| child.state != State::Waiting).or_else(|| down.first());
    match first {
        None => {
            board.set(READY, Is::True, "AllUp", "All parts are up.");
            board.set(PROGRESSING, Is::False, "AllUp", "");
            board.set(DEGRADED, Is::False, "AllUp", "");
        }
        Some((part, child)) => {
            let why = if child.message.is_empty() { child.reason.as_str() } else { child.message.as_str() };
            let others = match down.len() - 1 {
                0 => String::new(),
                1 => " 1 other part is not up either.".to_owned(),
                more => format!(" {more} other parts are not up either."),
            };
            let message = format!("{}: {why}.{others}", part.field);
            let failed = down.iter().any(|(_, child)| matches!(child.state, State::Failed | State::Refused));
            let unknown = child.state == State::Unknown;
            let ready = if unknown { Is::Unknown } else { Is::False };
            board.set(READY, ready, &child.reason, message.as_str());
            let moving = down.iter().any(|(_, child)| child.state == State::Progressing);
            board.set(PROGRESSING, if moving { Is::True } else { Is::False }, &child.reason, "");
            let degraded = if failed { Is::True } else { Is::False };
            board.set(DEGRADED, degraded, &child.reason, if failed { message } else { String::new() });
        }
    }
    let there: BTreeSet<&str> = input
        .children
        .iter()
        .filter_map(|child| child.id.object_parts())
        .filter(|object| object.kind == "ConfigMap")
        .map(|object| object.name)
        .collect();
    let bare: Vec<&str> = PARTS
        .iter()
        .skip(3)
        .filter(|part| part.maps.iter().any(|map| !there.contains(map.name)))
        .map(|part| part.field)
        .collect();
    if bare.is_empty() {
        board.set(CONFIGURED, Is::True, "AllFilesThere", "Every service has its configuration files.");
    } else {
        let services =
            if bare.len() == 9 { "The services have".to_owned() } else { format!("{} have", bare.join(", ")) };
        let what = if there.is_empty() { "no configuration files" } else { "not all of their configuration files" };
        let message = format!("{services} {what}; put them into the folder that `spec.configFrom.path` names.");
        board.set(CONFIGURED, Is::False, "NoConfigurationFiles", message);
    }
    board.finish()
}
