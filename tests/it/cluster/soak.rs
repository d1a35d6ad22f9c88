//! Pass after pass with something changed in each: memory, file handles, watches and the inventory stay as they are.
//!
//! A twentieth by default; in full by `tests/run soak`.

use std::time::{Duration, Instant};

use super::trial::{Trial, in_full};
use crate::support::control_plane::own_control_plane;
use crate::support::wait::until_blocking;

const KIB: u64 = 1024;

/// What one process holds after a pass.
#[derive(Default)]
struct Held {
    memory: Vec<u64>,
    files: Vec<u64>,
    watches: Vec<u64>,
    inventory: Vec<u64>,
}

impl Held {
    fn look(&mut self, trial: &Trial<'_>) {
        let process = format!("/proc/{}", trial.agent.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        self.memory.push(resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * KIB);
        self.files.push(std::fs::read_dir(format!("{process}/fd")).unwrap().count() as u64);
        self.watches.push(trial.proxy.watches().len() as u64);
    }

    /// Bytes of the inventory as it is stored. Asked less often: kubectl takes longer than a pass.
    fn look_at_inventory(&mut self, trial: &Trial<'_>) {
        let data = "-o=jsonpath={range .items[*]}{.binaryData}{.data}{end}";
        let text =
            trial.plane.kubectl(&["get", "configmaps", "-n", &trial.namespace, "-l", "windlass.dev/inventory", data]);
        assert!(!text.is_empty(), "no inventory is stored");
        self.inventory.push(text.len() as u64);
    }
}

/// Medians of the second tenth and of the last one: the first is still warming up.
fn medians(all: &[u64]) -> (u64, u64) {
    let tenth = all.len() / 10;
    assert!(tenth > 0, "too few: {}", all.len());
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    (median(&all[tenth..2 * tenth]), median(&all[all.len() - tenth..]))
}

/// Waits until a pass has ended with the last commit live, by what the agent logs from `at` on.
fn pass(trial: &mut Trial<'_>, at: &mut u64) {
    let head = trial.repo.head();
    let revision = format!("revision={:?}", &head[..7]);
    let (mut line, mut ended) = (String::new(), false);
    until_blocking("a pass ends with the last commit live", || {
        let text = trial.agent.log_after(*at);
        *at += text.len() as u64;
        for part in text.split_inclusive('\n') {
            line.push_str(part);
            if !line.ends_with('\n') {
                break;
            }
            let good = line.contains("outcome=\"changed\"") || line.contains("outcome=\"unchanged\"");
            ended |= line.contains("pass ended") && line.contains(&revision) && good;
            assert!(!line.contains("panicked") && !line.contains(" ERROR "), "{line}");
            line.clear();
        }
        assert!(trial.agent.exited().is_none(), "the agent ended");
        ended.then_some(())
    });
}

#[test]
fn pass_after_pass_holds_no_more_memory_files_or_watches_and_no_longer_inventory() {
    let (passes, limit) = if in_full() { (2000, 3600) } else { (100, 400) };
    // Of its own: what other tests watch and write here would be measured too.
    let plane = own_control_plane();
    Trial::run(&plane, "soak", |trial| {
        let mut held = Held::default();
        let mut at = 0;
        let began = Instant::now();
        for number in 0..passes {
            // As many come as leave.
            let turnover = usize::from(number % 5 == 0);
            trial.commit_of(turnover, 1, turnover);
            if number % 10 == 5 {
                trial.hand();
            }
            pass(trial, &mut at);
            held.look(trial);
            if number % (passes / 50) == 0 {
                held.look_at_inventory(trial);
            }
            trial.within(Duration::from_secs(limit));
        }
        let took = began.elapsed();
        trial.settle();
        let (memory, memory_later) = medians(&held.memory);
        let (files, files_later) = medians(&held.files);
        let (watches, watches_later) = medians(&held.watches);
        let (inventory, inventory_later) = medians(&held.inventory);
        let figures = format!(
            "{passes} passes in {took:.0?}: memory {} to {} KiB, file handles {files} to {files_later}, watches {watches} \
             to {watches_later}, inventory {inventory} to {inventory_later} bytes",
            memory / KIB,
            memory_later / KIB
        );
        // In full that is 3 KiB a pass; what the allocator keeps for itself is less.
        assert!(memory_later <= memory + 5 * KIB * KIB, "memory grows; {figures}");
        assert!(files_later <= files + 3, "files stay open; {figures}");
        assert!(watches_later <= watches + 1, "watches stay open; {figures}");
        assert!(inventory_later <= inventory + inventory / 5, "the inventory grows; {figures}");
        println!("{figures}");
    });
}
