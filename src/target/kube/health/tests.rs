//! Checks in every state of an object, and expressions that are refused.

use serde_json::json;

use super::*;
use crate::diff::seen::Readiness::{Failed, Progressing, Ready};

fn check(current: &str, failed: Option<&str>) -> HealthCheck {
    HealthCheck {
        api_version: "example.com/v1".into(),
        kind: "Lake".into(),
        current: current.into(),
        failed: failed.map(Into::into),
    }
}

fn lake(status: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Lake", "metadata": {"name": "garda", "generation": 2}, "spec": {"depth": 346},
        "status": status})
}

#[test]
fn a_check_decides_by_what_the_object_says() {
    let checks = HealthChecks::new(&[check(
        "self.status.observedGeneration == self.metadata.generation && self.status.level >= self.spec.depth - 46",
        Some("self.status.phase == 'Dry'"),
    )]);
    let of = |status| checks.readiness(&lake(status)).unwrap();
    assert_eq!(of(json!({"observedGeneration": 2, "level": 300})), Ready);
    assert!(matches!(of(json!({"observedGeneration": 1, "level": 300})), Progressing(_)));
    assert!(matches!(of(json!({"observedGeneration": 2, "level": 3.5})), Progressing(_)));
    assert!(matches!(of(json!({"phase": "Dry"})), Failed(_)));
    assert_eq!(of(json!({})), Progressing("its health check cannot be evaluated yet: there is no field level".into()));
    let without = json!({"apiVersion": "example.com/v1", "kind": "Lake", "metadata": {}});
    assert!(matches!(checks.readiness(&without).unwrap(), Progressing(_)), "no status yet is not ready");
}

#[test]
fn conditions_are_looked_through_with_a_macro() {
    let checks = HealthChecks::new(&[check(
        "has(self.status.conditions) && self.status.conditions.exists(c, c.type == 'Full' && c.status == 'True')",
        Some("self.status.conditions.filter(c, c.type == 'Full').exists(c, c.reason == 'Poisoned')"),
    )]);
    let of = |conditions: Value| checks.readiness(&lake(json!({ "conditions": conditions }))).unwrap();
    assert_eq!(
        of(
            json!([{"type": "Other", "status": "True", "reason": ""}, {"type": "Full", "status": "True", "reason": ""}])
        ),
        Ready
    );
    assert!(matches!(of(json!([{"type": "Full", "status": "False", "reason": "Rain"}])), Progressing(_)));
    assert!(matches!(of(json!([{"type": "Full", "status": "False", "reason": "Poisoned"}])), Failed(_)));
}

#[test]
fn a_check_is_for_its_kind_and_version_only() {
    let checks = HealthChecks::new(&[check("true", None)]);
    assert!(checks.has("example.com/v1", "Lake") && !checks.has("example.com/v2", "Lake"));
    assert_eq!(checks.readiness(&json!({"apiVersion": "v1", "kind": "ConfigMap"})), None);
}

#[test]
fn what_is_not_bounded_or_not_cel_is_refused_with_the_field() {
    for (current, failed, field, says) in [
        ("", None, "current", "is empty"),
        ("self.status.", None, "current", "not CEL at 1:"),
        ("true", Some("self ==="), "failed", "not CEL"),
        ("self.a.all(x, self.b.exists(y, y == x))", None, "current", "in the body of another"),
        ("self.a.exists(x, x.matches('a*'))", None, "current", "matches"),
        ("object.status.ready", None, "current", "the object is `self`"),
        (&format!("'{}' == self.a", "x".repeat(2_000)), None, "current", "2000 are allowed"),
        (&format!("self.a.all(x, {})", ["x"; 120].join("+")), None, "current", ""),
        (&format!("{}true{}", "(".repeat(900), ")".repeat(900)), None, "current", ""),
        (&["self"; 200].join("+"), None, "current", ""),
        (&vec!["true"; 200].join("?true:"), None, "current", ""),
    ] {
        let found = problem(&check(current, failed));
        let (place, why) = found.unwrap_or_else(|| panic!("{current} is accepted"));
        assert_eq!(place, field, "{current}: {why}");
        assert!(why.contains(says), "{current}: {why}");
    }
    assert_eq!(problem(&check("self.a.all(x, x > 1) && self.b.exists(y, y == 'z')", Some("false"))), None);
}

#[test]
fn a_huge_object_is_not_looked_at_and_a_large_one_quickly() {
    let checks = HealthChecks::new(&[check("self.status.items.all(i, self.status.items == self.status.items)", None)]);
    let began = std::time::Instant::now();
    let of = |count: usize| checks.readiness(&lake(json!({ "items": vec![1; count] }))).unwrap();
    assert_eq!(of(1_000), Ready);
    assert!(matches!(of(3_000), Progressing(_)));
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn an_answer_that_is_no_truth_value_and_an_error_never_show_the_objects_values() {
    for (expression, says) in
        [("self.spec.depth", "true or false is wanted"), ("self.spec.depth + 'x' == 'y'", "does not fit")]
    {
        let Progressing(why) = HealthChecks::new(&[check(expression, None)]).readiness(&lake(json!({}))).unwrap()
        else {
            panic!("{expression} decides")
        };
        assert!(why.contains(says) && !why.contains("346"), "{why}");
    }
}
