//! The executor's order, waits and refusals, each on a small plan over the model.

use std::time::Duration;

use windlass::diff::{Rules, Which, diff};
use windlass::inventory::Inventory;
use windlass::plan::State;
use windlass::target::execute::{Limits, execute};
use windlass::target::{Class, World as _};

use super::model::{Model, id, limits, pass, plan, wanted};
use super::{lax, run};

#[test]
fn the_inventory_is_stored_first_and_a_step_waits_for_what_it_needs_to_be_ready() {
    run(async {
        let world = Model::default();
        world.slow(2, 3);
        let applied = pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[1]), wanted(3, 0, &[2])]), &lax()).await;
        let expected = [
            "inventory".into(),
            format!("apply {}", id(1)),
            format!("apply {}", id(2)),
            format!("apply {}", id(3)),
            "inventory".into(),
        ];
        assert_eq!(world.log(), expected);
        assert!(applied.steps.values().all(|outcome| outcome.state == State::Ready), "{:?}", applied.steps);
        assert_eq!(applied.applied, 3);
    });
}

#[test]
fn a_changed_value_writes_one_object_and_no_inventory() {
    run(async {
        let world = Model::default();
        pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[])]), &lax()).await;
        let before = world.writes();
        pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 1, &[])]), &lax()).await;
        assert_eq!(world.log()[before..], [format!("apply {}", id(2))]);
    });
}

#[test]
fn dependants_of_a_failed_step_name_it_and_the_rest_goes_on() {
    run(async {
        let world = Model::default();
        world.fail(1);
        let steps = [wanted(1, 0, &[]), wanted(2, 0, &[1]), wanted(3, 0, &[2]), wanted(4, 0, &[])];
        let applied = pass(&world, &plan(&steps), &lax()).await;
        assert_eq!(applied.steps[&id(1)].state, State::Failed);
        assert_eq!((applied.steps[&id(2)].state, &applied.steps[&id(2)].waits_for), (State::Waiting, &vec![id(1)]));
        assert_eq!((applied.steps[&id(3)].state, &applied.steps[&id(3)].waits_for), (State::Waiting, &vec![id(2)]));
        assert_eq!(applied.steps[&id(4)].state, State::Ready);
    });
}

#[test]
fn a_step_that_does_not_become_ready_in_time_is_progressing_and_blocks_only_its_dependants() {
    run(async {
        let world = Model::default();
        world.slow(1, u32::MAX);
        let applied = pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[1]), wanted(3, 0, &[])]), &lax()).await;
        let first = &applied.steps[&id(1)];
        assert_eq!((first.state, first.reason.as_str()), (State::Progressing, "TimedOut"));
        assert_eq!(applied.steps[&id(2)].state, State::Waiting);
        assert_eq!(applied.steps[&id(3)].state, State::Ready);
    });
}

#[test]
fn a_failure_that_may_pass_is_tried_again_a_few_times() {
    run(async {
        let world = Model::default();
        world.fail_with(1, Class::Retry);
        let applied = pass(&world, &plan(&[wanted(1, 0, &[])]), &lax()).await;
        assert_eq!(applied.steps[&id(1)].state, State::Failed);
        assert_eq!(world.log().iter().filter(|line| line.starts_with("failed")).count(), 4);
    });
}

#[test]
fn a_skipped_step_blocks_nothing() {
    run(async {
        let world = Model::default();
        world.fail_with(1, Class::Skipped);
        let applied = pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[1])]), &lax()).await;
        assert_eq!(applied.steps[&id(1)].state, State::Skipped);
        assert_eq!(applied.steps[&id(2)].state, State::Ready);
    });
}

#[test]
fn deletes_come_after_applies_in_reverse_order_after_their_intent() {
    run(async {
        let world = Model::default();
        pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[1]), wanted(3, 0, &[2])]), &lax()).await;
        let before = world.writes();
        let applied = pass(&world, &plan(&[wanted(4, 0, &[])]), &lax()).await;
        let expected = [
            "inventory".into(),
            format!("apply {}", id(4)),
            "inventory".into(),
            format!("delete {}", id(3)),
            format!("delete {}", id(2)),
            format!("delete {}", id(1)),
            "inventory".into(),
        ];
        assert_eq!(world.log()[before..], expected);
        assert_eq!(applied.pruned, [id(1), id(2), id(3)]);
        assert_eq!(applied.inventory.entries.len(), 1);
    });
}

#[test]
fn a_delete_that_fails_keeps_its_entry_and_what_it_needs() {
    run(async {
        let world = Model::default();
        pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[1]), wanted(3, 0, &[])]), &lax()).await;
        world.fail(2);
        let applied = pass(&world, &plan(&[wanted(4, 0, &[])]), &lax()).await;
        assert_eq!(applied.pruned, [id(3)]);
        assert_eq!(applied.steps[&id(2)].state, State::Failed);
        assert_eq!(applied.steps[&id(1)].state, State::Waiting);
        assert!(applied.inventory.entries[&id(2)].deleting && applied.inventory.entries.contains_key(&id(1)));
    });
}

#[test]
fn a_renamed_object_is_not_deleted_before_its_replacement_is_applied() {
    run(async {
        let world = Model::default();
        let of = |number| super::Wanted { path: "same.yaml".into(), ..wanted(number, 0, &[]) };
        pass(&world, &plan(&[of(1)]), &lax()).await;
        world.fail(2);
        let applied = pass(&world, &plan(&[of(2)]), &lax()).await;
        assert!(world.objects().contains_key(&id(1)));
        assert_eq!(applied.steps[&id(1)].reason, "ReplacementNotApplied");
    });
}

#[test]
fn what_vanished_in_the_world_and_in_git_is_only_forgotten() {
    run(async {
        let world = Model::default();
        pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[])]), &lax()).await;
        world.remove(1);
        let before = world.writes();
        let applied = pass(&world, &plan(&[wanted(2, 0, &[])]), &lax()).await;
        assert_eq!(world.log()[before..], ["inventory"]);
        assert!(applied.pruned.is_empty() && !applied.inventory.entries.contains_key(&id(1)));
    });
}

#[test]
fn without_prune_everything_stays_and_is_said_to() {
    run(async {
        let world = Model::default();
        pass(&world, &plan(&[wanted(1, 0, &[]), wanted(2, 0, &[])]), &lax()).await;
        let applied = pass(&world, &plan(&[wanted(2, 0, &[])]), &Rules { prune: false, ..lax() }).await;
        assert_eq!(applied.steps[&id(1)].reason, "PruneDisabled");
        assert_eq!(world.objects().len(), 2);
    });
}

#[test]
fn cancelling_stops_between_steps_and_keeps_what_is_known() {
    run(async {
        let world = Model::default();
        let plan = plan(&[wanted(1, 0, &[]), wanted(2, 0, &[1]), wanted(3, 0, &[2])]);
        let inventory = Inventory::new("id", "repo");
        let observed = world.observe(&plan, &inventory, Which::All).await;
        let diff = diff(&plan, &observed, &inventory, &lax(), Which::All);
        let limits: Limits = limits();
        let cancel = limits.cancel.clone();
        let applied = execute(&world, &plan, &diff, inventory, &limits, |step, outcome| {
            if *step == id(1) && outcome.state == State::Ready {
                cancel.cancel();
            }
        })
        .await;
        assert!(applied.cancelled);
        assert_eq!(world.objects().len(), 1);
        assert!(applied.inventory.entries[&id(1)].uid.is_some());
        assert_ne!(applied.steps[&id(2)].state, State::Ready);
    });
}

#[test]
fn ten_thousand_steps_in_a_chain_and_a_fan_take_no_quadratic_time() {
    run(async {
        let world = Model::default();
        let mut big = plan(&[]);
        let base = plan(&[wanted(0, 0, &[])]).steps.remove(0);
        let name =
            |number: usize| windlass::plan::StepId::object("", "ConfigMap", Some("web"), &format!("n{number:05}"));
        for number in 0..10_000_usize {
            let mut step = (*base).clone();
            step.id = name(number);
            if number > 0 && number < 5_000 {
                step.needs.insert(name(number - 1));
            } else if number >= 5_000 {
                step.needs.insert(name(0));
            }
            big.steps.push(std::sync::Arc::new(step));
        }
        let started = std::time::Instant::now();
        let applied = pass(&world, &big, &lax()).await;
        assert_eq!(applied.applied, 10_000);
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    });
}
