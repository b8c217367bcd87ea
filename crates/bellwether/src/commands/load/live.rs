//! What is seen while a run goes on.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use bellwether_load::knee::Probe;
use bellwether_load::plan::Model;
use bellwether_load::{Plan, Progress, Report};

/// Lines of the view.
const LINES: usize = 5;
/// Values of the small graph.
const GRAPH: usize = 40;

/// A view of a run on standard error: in place on a terminal, nothing elsewhere.
pub(super) struct Live {
    on: bool,
    title: String,
    duration: Duration,
    rate: f64,
    drawn: bool,
    p99: Vec<f64>,
}

impl Live {
    pub(super) fn new(plan: &Plan, target: &str, quiet: bool) -> Self {
        Self {
            on: !quiet && std::io::stderr().is_terminal(),
            title: target.to_owned(),
            duration: plan.duration,
            rate: match &plan.model {
                Model::Open(arrival) => arrival.peak(),
                Model::Closed => 0.0,
            },
            drawn: false,
            p99: Vec::new(),
        }
    }

    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        if !self.on {
            return;
        }
        let slice = &progress.newest.slice;
        self.p99.push(slice.p99_ms);
        let all = &progress.so_far.latency;
        let per_second = slice.answered as f64 / slice.length_s;
        let asked = match self.rate {
            0.0 => String::new(),
            rate => format!(" of {rate:.0}"),
        };
        let elapsed = progress
            .elapsed
            .as_secs_f64()
            .min(self.duration.as_secs_f64());
        let lines: [String; LINES] = [
            format!(
                "{}  {elapsed:.0} s of {:.0} s",
                self.title,
                self.duration.as_secs_f64()
            ),
            format!(
                "now        {per_second:.0}{asked}/s   p50 {}  p99 {}  max {}   failed {}",
                ms(slice.p50_ms),
                ms(slice.p99_ms),
                ms(slice.max_ms),
                slice.failed
            ),
            format!(
                "so far     {} answered   p50 {}  p90 {}  p99 {}  p99.9 {}   failed {}",
                progress.so_far.answered(),
                ms(all.quantile_ms(0.5)),
                ms(all.quantile_ms(0.9)),
                ms(all.quantile_ms(0.99)),
                ms(all.quantile_ms(0.999)),
                progress.so_far.failed()
            ),
            format!(
                "waiting    {} at most for a connection, {} under way",
                slice.queue_max, slice.in_flight_max
            ),
            format!("p99        {}", graph(&self.p99)),
        ];
        let mut out = std::io::stderr().lock();
        let up = if self.drawn {
            format!("\x1b[{LINES}A")
        } else {
            String::new()
        };
        let text = format!("\x1b[2K{}\n", lines.join("\n\x1b[2K"));
        // A terminal that has gone away is no reason to end the run.
        drop(write!(out, "{up}{text}"));
        self.drawn = true;
    }

    /// Takes the view away; the report follows.
    pub(super) fn end(&mut self) {
        if self.drawn {
            drop(write!(std::io::stderr().lock(), "\x1b[{LINES}A\x1b[J"));
        }
    }
}

/// One line for each measurement of the search for the knee.
pub(super) fn knee_step(number: u32, probe: Probe, report: &Report) {
    let what = match probe {
        Probe::Users(users) => format!("{users} users"),
        Probe::Rate(rate) => format!("{rate:.0}/s"),
    };
    let mark = if report.valid {
        ""
    } else {
        "   (generator late)"
    };
    drop(writeln!(
        std::io::stderr().lock(),
        "{number:3}  {what:>12}  {:>9.1}/s answered   p50 {:>9}   p99 {:>9}{mark}",
        report.throughput_rps,
        ms(report.latency.p50_ms),
        ms(report.latency.p99_ms)
    ));
}

/// The second interrupt: ends the program as the signal would have.
pub(super) fn leave() {
    use rustix::process::{Signal, getpid, kill_process};
    drop(writeln!(std::io::stderr().lock(), "\nstopped"));
    // Nothing of a load run outlives it.
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Bars by the logarithm, the newest at the right.
fn graph(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(GRAPH)..];
    let logs: Vec<f64> = shown.iter().map(|v| v.max(0.001).ln()).collect();
    let low = logs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logs.iter()
        .map(|log| {
            let part = (log - low) / (high - low).max(0.1);
            BARS[((part * 7.0).round() as usize).min(7)]
        })
        .collect()
}

/// Milliseconds with a fitting unit.
pub(super) fn ms(value: f64) -> String {
    match value {
        v if v < 1.0 => format!("{:.0} µs", v * 1e3),
        v if v < 10.0 => format!("{v:.2} ms"),
        v if v < 100.0 => format!("{v:.1} ms"),
        v if v < 10_000.0 => format!("{v:.0} ms"),
        v => format!("{:.1} s", v / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fitting_units() {
        let all = [0.042, 1.234, 56.78, 1234.0, 15_000.0].map(ms);
        assert_eq!(all, ["42 µs", "1.23 ms", "56.8 ms", "1234 ms", "15.0 s"]);
        assert_eq!(graph(&[1.0, 10.0, 100.0]), "▁▅█");
    }
}
