//! Fields that others may change: taken out of the content hash, and named to the target by the step's policy.
//!
//! Pure. `spec.drift.ignore` says which; a HorizontalPodAutoscaler in the plan says it of the replicas of what it scales.
//! Called by `agent` once a plan is expanded.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Plan, Step, StepId, canonical};
use crate::sync::spec::{Ignore, Selector};

/// What an autoscaler changes.
const REPLICAS: &str = "/spec/replicas";

impl Plan {
    /// The plan with ignored fields left out of its hashes and named in its steps' policies. `key` is the one that the
    /// hashes of its Secrets are keyed with, if they are.
    #[must_use]
    pub fn ignoring(mut self, rules: &[Ignore], key: Option<&canonical::HashKey>) -> Self {
        let scaled = scaled(&self);
        if rules.is_empty() && scaled.is_empty() {
            return self;
        }
        let mut changed = false;
        for step in &mut self.steps {
            let mut pointers = pointers(step, rules);
            if step.owner.is_none() && scaled.contains(&step.id) {
                pointers.push(REPLICAS.to_owned());
            }
            pointers.sort();
            pointers.dedup();
            if !pointers.is_empty() {
                let step = Arc::make_mut(step);
                step.policy.ignored = pointers;
                step.hash = step.content_hash(key);
                changed = true;
            }
        }
        if changed {
            self.digest = canonical::digest(self.steps.iter().map(|step| (step.id.as_str(), step.hash.as_str())));
        }
        self
    }
}

/// The pointers of all rules that are meant for a step.
fn pointers(step: &Step, rules: &[Ignore]) -> Vec<String> {
    let meant = rules.iter().filter(|rule| rule.target.as_ref().is_none_or(|target| matches(target, &step.id)));
    meant.flat_map(|rule| &rule.json_pointers).cloned().collect()
}

fn matches(target: &Selector, id: &StepId) -> bool {
    let Some(parts) = id.object_parts() else { return false };
    let Selector { group, kind, namespace, name } = target;
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    is(group, parts.group)
        && is(kind, parts.kind)
        && is(namespace, parts.namespace.unwrap_or_default())
        && is(name, parts.name)
}

/// What the autoscalers of the plan scale. What a CR expands to is scaled by that CR, unless a rule says otherwise.
fn scaled(plan: &Plan) -> BTreeSet<StepId> {
    let scalers = plan.steps.iter().filter_map(|step| {
        let parts = step.id.object_parts()?;
        if (parts.group, parts.kind) != ("autoscaling", "HorizontalPodAutoscaler") {
            return None;
        }
        let manifest = step.want.object()?.value();
        let target = manifest.pointer("/spec/scaleTargetRef")?;
        let text = |key: &str| target.get(key).and_then(Value::as_str);
        let group = text("apiVersion").and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
        Some(StepId::object(group, text("kind")?, parts.namespace, text("name")?))
    });
    scalers.collect()
}

/// A manifest without what these pointers name. An item of a list is emptied, not taken out: its neighbours keep their
/// places.
#[must_use]
pub fn without(mut manifest: Value, pointers: &[String]) -> Value {
    for pointer in pointers {
        let Some((parent, key)) = pointer.rsplit_once('/') else { continue };
        let key = key.replace("~1", "/").replace("~0", "~");
        match manifest.pointer_mut(parent) {
            Some(Value::Object(fields)) => _ = fields.remove(&key),
            Some(Value::Array(items)) => {
                if let Some(item) = key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                    *item = Value::Null;
                }
            }
            _ => {}
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{Held, Origin, Want};
    use crate::revision::Revision;

    fn step(kind: &str, name: &str, manifest: Value) -> Step {
        let group = if kind == "HorizontalPodAutoscaler" { "autoscaling" } else { "apps" };
        let id = StepId::object(group, kind, Some("web"), name);
        Step::new(id, Arc::new(Origin::default()), None, Want::Object(manifest.into()))
    }

    fn deployment(replicas: u32) -> Step {
        step("Deployment", "front", json!({"spec": {"replicas": replicas, "paused": false}}))
    }

    fn plan(steps: Vec<Step>) -> Plan {
        let steps = steps.into_iter().map(Arc::new).collect();
        Plan { revision: Revision::default(), steps, digest: String::new(), held: Held::default() }
    }

    fn rule(target: Option<Selector>) -> Vec<Ignore> {
        vec![Ignore { target, json_pointers: vec!["/spec/replicas".into()] }]
    }

    fn hash(step: Step, rules: &[Ignore]) -> String {
        plan(vec![step]).ignoring(rules, None).steps[0].hash.clone()
    }

    #[test]
    fn an_ignored_field_is_not_hashed_and_any_other_one_is() {
        let any = rule(None);
        assert_eq!(hash(deployment(1), &any), hash(deployment(2), &any));
        assert_ne!(hash(deployment(1), &[]), hash(deployment(2), &[]));
        let paused = step("Deployment", "front", json!({"spec": {"replicas": 1, "paused": true}}));
        assert_ne!(hash(deployment(1), &any), hash(paused, &any));
    }

    #[test]
    fn a_rule_is_for_what_its_target_names() {
        let named = |kind: Option<&str>, name: Option<&str>| {
            let target = Selector { kind: kind.map(Into::into), name: name.map(Into::into), ..Selector::default() };
            plan(vec![deployment(1)]).ignoring(&rule(Some(target)), None).steps[0].policy.ignored.len()
        };
        assert_eq!(named(Some("Deployment"), None), 1);
        assert_eq!(named(Some("Deployment"), Some("front")), 1);
        assert_eq!(named(Some("StatefulSet"), None), 0);
        assert_eq!(named(None, Some("back")), 0);
    }

    #[test]
    fn replicas_of_what_an_autoscaler_of_the_plan_scales_are_its() {
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "front"});
        let scaler = step("HorizontalPodAutoscaler", "any", json!({"spec": {"scaleTargetRef": reference}}));
        let ignored = |deployment: Step| {
            plan(vec![deployment, scaler.clone()]).ignoring(&[], None).steps[0].policy.ignored.clone()
        };
        assert_eq!(ignored(deployment(1)), ["/spec/replicas"]);
        let mut expanded = deployment(1);
        expanded.owner = Some(StepId::object("x.dev", "Cluster", Some("web"), "c"));
        assert_eq!(ignored(expanded), [""; 0], "a CR scales what it expands to");
    }

    #[test]
    fn a_plan_without_rules_is_the_same_plan() {
        let before = plan(vec![deployment(1)]);
        assert_eq!(before.clone().ignoring(&[], None), before);
    }

    #[test]
    fn an_item_of_a_list_is_emptied_in_place() {
        let manifest = json!({"a/b": {"list": [1, 2, 3]}});
        let pointers = ["/a~1b/list/1".to_owned(), "/none/of/it".to_owned(), "/a~1b/list/9".to_owned()];
        assert_eq!(without(manifest, &pointers), json!({"a/b": {"list": [1, null, 3]}}));
    }
}
