//! Views as an agent would publish them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use windlass::plan::{Origin, State, StepId};
use windlass::problem::{Code, Problem};
use windlass::report::view::{Details, StepView, SyncView, View};
use windlass::revision::Revision;
use windlass::sync::conditions::Condition;
use windlass::sync::status::{Counts, HistoryRow};

const NOW: &str = "2026-11-21T12:00:00Z";

pub(super) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(super) fn all() -> [(&'static str, View); 4] {
    [("empty", View::default()), ("healthy", healthy()), ("failing", failing()), ("large", large())]
}

pub(super) fn healthy() -> View {
    let mut platform = sync("platform", "True", "Synced", "all 8 steps are ready");
    platform.steps = steps(|_| State::Ready).into();
    View { syncs: vec![done(sync("caches", "True", "Synced", "ready")), done(platform)] }
}

pub(super) fn failing() -> View {
    let mut platform = sync("platform", "False", "StepFailed", "1 of 8 steps failed");
    platform.steps = steps(|name| match name {
        "cluster-sample-journal" => State::Failed,
        "cluster-sample-kernel" => State::Waiting,
        "front" => State::Progressing,
        _ => State::Ready,
    })
    .into();
    for step in platform.steps.iter_mut() {
        let (reason, message) = match step.state {
            State::Failed => (
                "Denied",
                "The API server refused the StatefulSet: quota pods allows 20, 21 wanted. Raise the quota, or declare fewer replicas.",
            ),
            State::Progressing => ("Progressing", "2 of 3 replicas are updated"),
            _ => continue,
        };
        step.reason = reason.to_owned();
        step.message = message.to_owned();
    }
    platform.problems = vec![
        Problem::error(Code::UnknownField, "There is no field `replica` in `spec`; did you mean `replicas`?")
            .in_file("apps/cache.yaml")
            .in_document(1)
            .at(14, 3)
            .pointing("/spec/replica"),
        Problem::warning(Code::ScopeAssumed, "Whether Widget has namespaces is not known; it was taken to have.")
            .in_file("apps/widget.yaml")
            .at(2, 1),
    ];
    let mut sandbox = sync("sandbox", "True", "Synced", "ready");
    let suspended = condition("Stalled", "True", "Suspended", "spec.suspend is true");
    sandbox.conditions.push(suspended);
    let moving = sync("data-services", "False", "Progressing", "3 of 7 steps are ready");
    let live = ["ingestion", "team-blue"].map(|name| done(sync(name, "True", "Synced", "ready")));
    let mut syncs = vec![done(platform), done(sandbox), done(moving)];
    syncs.extend(live);
    View { syncs }
}

pub(super) fn large() -> View {
    let mut platform = sync("platform", "False", "StepFailed", "1 of 10,000 steps failed");
    platform.steps = (0..10_000)
        .map(|index| {
            let state = if index == 9_999 { State::Failed } else { State::Ready };
            step("apps", "Deployment", "team", &format!("app-{index:05}"), state)
        })
        .collect();
    View { syncs: vec![done(platform)] }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: "2026-11-21T11:56:00Z".to_owned(),
        observed_generation: None,
    }
}

fn sync(name: &str, status: &str, reason: &str, message: &str) -> SyncView {
    let durations = [120_u64, 90, 400, 80, 95, 160, 140, 100, 220, 85];
    let history = durations.into_iter().enumerate().map(|(index, duration_ms)| HistoryRow {
        revision: format!("{index}a91c0d2f4b6"),
        subject: Some("Raise journal to 3 replicas".to_owned()),
        at: "2026-11-21T11:56:00Z".to_owned(),
        duration_ms,
        outcome: if (index == 0 && status != "True") || index == 6 { "StepFailed" } else { "Ready" }.to_owned(),
        applied: 2,
        pruned: 0,
    });
    SyncView {
        namespace: "windlass-system".to_owned(),
        name: name.to_owned(),
        cluster: "prod-eu-1".to_owned(),
        revision: Some("3f2a91c0d2f4b6a8".to_owned()),
        conditions: vec![condition("Ready", status, reason, message)],
        details: Details {
            commit: Some(Revision {
                id: "3f2a91c0d2f4b6a8".to_owned(),
                author: Some("dev-1".to_owned()),
                subject: Some("Raise journal to 3 replicas".to_owned()),
                ..Revision::default()
            }),
            source: "https://git.example/team/platform.git".to_owned(),
            following: "main".to_owned(),
            fetched_at: Some("2026-11-21T11:59:54Z".to_owned()),
            history: history.collect(),
            last_pass: Some((5, 412)),
            ..Details::default()
        },
        ..SyncView::default()
    }
}

fn step(group: &str, kind: &str, namespace: &str, name: &str, state: State) -> StepView {
    let document = name.bytes().map(u32::from).sum();
    StepView {
        id: StepId::object(group, kind, (!namespace.is_empty()).then_some(namespace), name),
        origin: Origin {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
            path: format!("apps/{}.yaml", name.trim_start_matches("cluster-sample-")).into(),
            document,
            line: 14,
        },
        state,
        reason: format!("{state:?}"),
        message: String::new(),
        since: "2026-11-21T11:56:00Z".to_owned(),
        waits_for: Vec::new(),
    }
}

fn steps(state: impl Fn(&str) -> State) -> Vec<StepView> {
    [
        ("", "Namespace", "", "t2"),
        ("rbac.authorization.k8s.io", "Role", "t2", "reader"),
        ("apps", "StatefulSet", "t2", "cluster-sample-storage"),
        ("apps", "StatefulSet", "t2", "cluster-sample-journal"),
        ("apps", "StatefulSet", "t2", "cluster-sample-kernel"),
        ("apps", "StatefulSet", "t2", "cluster-sample-engine"),
        ("apps", "Deployment", "web", "front"),
        ("", "Service", "web", "front-door"),
    ]
    .into_iter()
    .map(|(group, kind, namespace, name)| step(group, kind, namespace, name, state(name)))
    .collect()
}

/// Counts, edges and waits as they follow from the steps.
fn done(mut sync: SyncView) -> SyncView {
    let count = |wanted: State| u32::try_from(sync.steps.iter().filter(|step| step.state == wanted).count()).unwrap();
    sync.counts = Counts {
        steps: u32::try_from(sync.steps.len()).unwrap(),
        ready: count(State::Ready),
        waiting: count(State::Waiting),
        progressing: count(State::Progressing),
        failed: count(State::Failed),
        ..Counts::default()
    };
    let id = |kind: &str, namespace: Option<&str>, name: &str| {
        let group = match kind {
            "Namespace" => "",
            "Role" => "rbac.authorization.k8s.io",
            _ => "apps",
        };
        StepId::object(group, kind, namespace, name)
    };
    let (space, role) = (id("Namespace", None, "t2"), id("Role", Some("t2"), "reader"));
    let set = |name: &str| id("StatefulSet", Some("t2"), &format!("cluster-sample-{name}"));
    if sync.steps.len() == 8 {
        sync.details.needs = std::sync::Arc::new(BTreeMap::from([
            (role.clone(), vec![space.clone()]),
            (set("storage"), vec![role.clone()]),
            (set("journal"), vec![role]),
            (set("kernel"), vec![set("storage"), set("journal")]),
            (set("engine"), vec![set("kernel")]),
        ]));
    }
    for step in sync.steps.iter_mut() {
        if step.state == State::Waiting {
            step.waits_for = vec![set("journal")];
        }
    }
    sync
}
