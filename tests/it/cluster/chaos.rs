//! Everything between the agent and what it keeps goes wrong while the repository and the cluster change: connections,
//! answers, the API server, etcd, the agent itself. Once that stops, `windlass diff` is empty, the object count exact,
//! nothing foreign was touched and nothing wanted was ever deleted.
//!
//! Small by default; in full by `tests/run soak`.

use std::time::Duration;

use super::trial::{Trial, in_full};
use crate::support::control_plane::{control_plane, own_control_plane};
use crate::support::proxy::When;
use crate::support::wait::until_blocking;

#[test]
fn a_connection_that_fails_in_every_way_costs_nothing_that_is_wanted() {
    let (commits, limit) = if in_full() { (60, 1800) } else { (10, 400) };
    Trial::run(control_plane(), "chaos-connection", |trial| {
        trial.proxy.storm().begin(trial.seed);
        for _ in 0..commits {
            trial.commit();
            trial.hand();
            // Their next openings meet the weather too.
            trial.proxy.cut_watches();
            trial.pause(Duration::from_secs(2));
            trial.within(Duration::from_secs(limit));
        }
        let met = trial.proxy.storm().met();
        trial.proxy.storm().end();
        trial.settle();
        let bad: usize = met.iter().filter(|(name, _)| !name.contains("fair")).map(|(_, times)| times).sum();
        assert!(bad >= commits, "there was no storm: {met:?}");
        println!("{commits} commits in a storm of {bad} faults: {met:?}");
    });
}

#[test]
fn an_api_server_and_an_etcd_that_are_killed_and_come_back_cost_nothing_that_is_wanted() {
    let (rounds, limit) = if in_full() { (8, 1800) } else { (1, 400) };
    let plane = own_control_plane();
    Trial::run(&plane, "chaos-servers", |trial| {
        for _ in 0..rounds {
            for etcd in [false, true] {
                trial.commit();
                trial.hand();
                trial.pause(Duration::from_millis(300));
                let meanwhile = || {
                    trial.commit();
                    trial.pause(Duration::from_secs(4));
                    trial.commit();
                };
                if etcd {
                    plane.restart_etcd(meanwhile)
                } else {
                    plane.restart_api_server(meanwhile)
                }
                trial.hand();
                trial.within(Duration::from_secs(limit));
            }
        }
        trial.settle();
    });
}

#[test]
fn an_agent_that_is_killed_again_and_again_while_commits_come_loses_nothing() {
    let (kills, commits, limit) = if in_full() { (50, 20, 1800) } else { (6, 5, 400) };
    Trial::run(control_plane(), "chaos-kills", |trial| {
        let (mut made, mut exact) = (0, 0);
        for kill in 0..kills {
            // Every other one hits around a write; the others come somewhere in a start, a pass or a rest.
            let armed = kill % 2 == 0;
            if armed {
                let write = if kill == 0 { 1 } else { trial.rng.usize(1..5) };
                let when = if trial.rng.bool() { When::BeforeWrite } else { When::AfterWrite };
                trial.proxy.kill_at_write(write, when);
                trial.proxy.victim(trial.agent.id());
            }
            while made * kills <= kill * commits {
                trial.commit();
                made += 1;
            }
            trial.hand();
            let asked = trial.proxy.requests().len() + trial.rng.usize(1..50);
            until_blocking("the agent works, or rests", || {
                let rests = || trial.agent.log().contains("pass ended") && trial.is_synced();
                let works = !armed && trial.proxy.requests().len() >= asked;
                (trial.proxy.killed() || works || rests()).then_some(())
            });
            exact += usize::from(trial.proxy.killed());
            if !trial.proxy.killed() {
                trial.agent.signal("KILL");
            }
            until_blocking("it is dead", || trial.agent.exited());
            trial.log_is_clean();
            trial.forget_requests();
            trial.start_again();
            trial.within(Duration::from_secs(limit));
        }
        trial.settle();
        assert!(made >= commits && exact > 0, "{made} commits, {exact} kills around a write");
        println!("{kills} kills, {exact} of them around a write, during {made} commits");
    });
}
