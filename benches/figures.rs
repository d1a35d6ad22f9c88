//! Figures as the benchmarks print them, and what becomes of a goal that is missed. Measures nothing.

use std::time::Duration;

/// Goals that were missed; a benchmark ends with exit code 1 if there is one.
#[derive(Default)]
pub(crate) struct Goals {
    missed: Vec<String>,
}

impl Goals {
    /// Prints one goal beside what was measured.
    pub(crate) fn hold(&mut self, met: bool, what: &str) {
        println!("  {}  {what}", if met { "met   " } else { "MISSED" });
        if !met {
            self.missed.push(what.to_owned());
        }
    }

    /// Ends the benchmark.
    pub(crate) fn end(self) -> std::process::ExitCode {
        if self.missed.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
    }
}

/// The smallest value that `percent` of a hundred do not exceed.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// One row: a name and times in milliseconds.
pub(crate) fn row(name: &str, times: &[Duration]) {
    let cells: String = times.iter().map(|time| format!("{:>10.1}", time.as_secs_f64() * 1e3)).collect();
    println!("  {name:<34}{cells}");
}

/// `a / b`.
pub(crate) fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-9)
}
