//! Whether a run measured the target or the generator.

use crate::report::Report;

/// Lateness (p99) that is never held against a run.
const LATENESS_FLOOR_MS: f64 = 1.0;
/// Part of the measured p99 that may be lateness of the generator.
const LATENESS_SHARE: f64 = 0.1;
/// A generator that stood still for so long has made the latencies of that time.
const PAUSE_MAX_MS: f64 = 500.0;
/// Part of the run in which the generator may have stood still.
const PAUSED_SHARE: f64 = 0.02;
/// Load of a thread that leaves it no room to be in time.
const BUSY: f64 = 0.95;

/// Fills in `valid`, `invalid` and `warnings`.
pub(crate) fn judge(report: &mut Report) {
    let generator = &report.generator;
    let is_open = report.model == "open";
    let mut invalid = Vec::new();
    let mut warnings = Vec::new();
    let late = generator.lateness.p99_ms;
    let allowed = (report.latency.p99_ms * LATENESS_SHARE).max(LATENESS_FLOOR_MS);
    if is_open && late > allowed {
        invalid.push(format!(
            "the generator was late: 1 % of the requests were taken up {late:.1} ms or more after they were due, which is more than a tenth of the measured p99 of {:.1} ms",
            report.latency.p99_ms
        ));
    }
    if generator.longest_pause_ms > PAUSE_MAX_MS {
        invalid.push(format!(
            "the generator stood still for {:.0} ms until {:.1} s after the start (stopped, or without a processor)",
            generator.longest_pause_ms, generator.longest_pause_at_s
        ));
    } else if generator.paused_s > report.duration_s * PAUSED_SHARE && generator.paused_s > 0.1 {
        invalid.push(format!(
            "the generator was starved: it stood still for {:.2} s of {:.1} s in all, {:.0} ms at most",
            generator.paused_s, report.duration_s, generator.longest_pause_ms
        ));
    } else if generator.paused_s > 0.0 {
        warnings.push(format!(
            "the generator stood still for {:.0} ms in all",
            generator.paused_s * 1e3
        ));
    }
    if let Some(count) = report.errors.get("local") {
        invalid.push(format!(
            "the generator had no file descriptors or ports left for {count} requests: use fewer connections, or raise the limit (ulimit -n)"
        ));
    }
    let expected = report.rate * report.duration_s;
    if report.arrival == "constant"
        && expected >= 100.0
        && ((generator.due as f64) < expected * 0.98)
        && report.endpoints.len() == 1
    {
        invalid.push(format!(
            "only {} of {expected:.0} requests became due in time",
            generator.due
        ));
    }
    if !is_open && generator.busiest_thread > BUSY {
        warnings.push(format!(
            "a thread of the generator used {:.0} % of a processor: the throughput may be the generator's, not the target's",
            generator.busiest_thread * 100.0
        ));
    }
    if generator.held_back_s > 0.0 {
        warnings.push(format!(
            "the limit on the rate held requests back for {:.1} s (raise it with --max-rate)",
            generator.held_back_s
        ));
    }
    if is_open && generator.in_flight_max >= report.connections as u64 && generator.queue_max > 0 {
        warnings.push(format!(
            "all {} connections were in use, up to {} requests waited for one, for {:.0} ms at most; the wait is part of their latency",
            report.connections, generator.queue_max, generator.queue_age_max_ms
        ));
    }
    if report.answered == 0 {
        warnings.push("no request was answered".to_owned());
    }
    report.valid = invalid.is_empty();
    report.invalid = invalid;
    report.warnings.extend(warnings);
}
