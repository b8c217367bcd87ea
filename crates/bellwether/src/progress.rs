//! A line on the terminal that says how far long work is.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether_env::{Clock, SystemClock};
use bellwether_model::duration::format_brief;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(100);

/// Counts units of work and draws a bar on standard error when that is a terminal.
pub(crate) struct Bar {
    /// Parts that each begin with about as much work.
    parts: u64,
    what: &'static str,
    total: AtomicU64,
    done: AtomicU64,
    clock: SystemClock,
    /// When it was drawn last; `None`: no terminal.
    drawn: Option<Mutex<Duration>>,
}

// === impl Bar ===

impl Bar {
    /// A bar for so many parts.
    pub(crate) fn new(what: &'static str, parts: u64) -> Self {
        Self {
            parts: parts.max(1),
            what,
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            clock: SystemClock::new(),
            drawn: std::io::stderr()
                .is_terminal()
                .then(|| Mutex::new(Duration::ZERO)),
        }
    }

    /// Units done and to be done.
    pub(crate) fn state(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Relaxed);
        (done, self.total.load(Ordering::Relaxed).max(done))
    }

    fn draw(&self) {
        let Some(drawn) = &self.drawn else { return };
        let Ok(mut last) = drawn.try_lock() else {
            return;
        };
        let now = self.clock.monotonic();
        if now.saturating_sub(*last) < EVERY {
            return;
        }
        *last = now;
        let (done, total) = self.state();
        drop(write!(
            std::io::stderr(),
            "\r{}\x1b[K",
            line(self.what, done, total, now)
        ));
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.drawn.is_some() {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}

/// `[#####.....] 50%  1.2 M evaluations/s  12s left`.
fn line(what: &str, done: u64, total: u64, took: Duration) -> String {
    const WIDTH: usize = 30;
    let share = if total == 0 {
        0.0
    } else {
        done as f64 / total as f64
    };
    let full = (share * WIDTH as f64) as usize;
    let rate = done as f64 / took.as_secs_f64().max(0.001);
    let left = (total - done) as f64 / rate.max(0.001);
    let rate = match rate {
        rate if rate >= 1e6 => format!("{:.1} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0} "),
    };
    let left = if done == 0 {
        String::new()
    } else {
        let left = Duration::from_secs(left.min(1e9) as u64);
        format!("  {} left", format_brief(left))
    };
    format!(
        "[{}{}] {:>3.0}%  {rate} {what}/s{left}",
        "#".repeat(full),
        ".".repeat(WIDTH - full),
        share * 100.0,
    )
}

impl bellwether_backtest::Progress for Bar {
    fn begin(&self, units: u64) {
        // The first part says how much the others are.
        let rest = units.saturating_mul(self.parts);
        self.total.fetch_max(rest, Ordering::Relaxed);
        self.draw();
    }

    fn advance(&self, units: u64) {
        self.done.fetch_add(units, Ordering::Relaxed);
        self.draw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rate_and_time_left() {
        assert_eq!(
            line("evaluations", 1_000_000, 4_000_000, Duration::from_secs(2)),
            "[#######.......................]  25%  500 k evaluations/s  6s left"
        );
        assert_eq!(
            line("evaluations", 0, 0, Duration::ZERO),
            "[..............................]   0%  0  evaluations/s"
        );
    }
}
