//! The status that most kinds have: observedGeneration and conditions.
//!
//! Pure: the same input gives the same status, and transition times move only when a condition's status moves. Called by
//! the families' `status`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::StatusInput;
use crate::sync::conditions::{self, Condition};

/// What Windlass reports of a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionsStatus {
    /// Generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One condition a type; `Ready` sums them up.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    True,
    False,
    Unknown,
}

/// A status in the making.
pub(super) struct Board<'a> {
    input: &'a StatusInput<'a>,
    conditions: Vec<Condition>,
}

impl<'a> Board<'a> {
    /// Starts from what is there. Conditions of other types than these are not ours and go.
    pub(super) fn new(input: &'a StatusInput<'a>, types: &[&str]) -> Self {
        let stored = input.previous.and_then(|status| status.get("conditions")).and_then(Value::as_array);
        let conditions = stored
            .into_iter()
            .flatten()
            .filter_map(|condition| serde_json::from_value::<Condition>(condition.clone()).ok())
            .filter(|condition| types.contains(&condition.kind.as_str()))
            .collect();
        Self { input, conditions }
    }

    /// Sets a condition.
    pub(super) fn set(&mut self, kind: &str, is: Is, reason: &str, message: impl Into<String>) {
        let status = match is {
            Is::True => "True",
            Is::False => "False",
            Is::Unknown => "Unknown",
        };
        let wanted = Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: if reason.is_empty() { "Reconciling".to_owned() } else { reason.to_owned() },
            message: message.into(),
            last_transition_time: self.input.now.to_owned(),
            observed_generation: self.input.generation,
        };
        conditions::set(&mut self.conditions, wanted);
    }

    /// The status, sorted by type.
    pub(super) fn finish(mut self) -> Value {
        self.conditions.sort_by(|a, b| a.kind.cmp(&b.kind));
        let status = ConditionsStatus { observed_generation: self.input.generation, conditions: self.conditions };
        serde_json::to_value(status).unwrap_or_else(|_| json!({}))
    }
}
