//! The report for people.

use std::fmt::Write as _;

use bellwether_lab::LatencySummary;
use bellwether_load::Report;
use bellwether_load::knee::Knee;

use super::super::say;
use super::live::ms;

/// Prints the report.
pub(super) fn report(report: &Report) {
    say(text(report).trim_end());
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let how = match report.model.as_str() {
        "closed" => format!("closed, {} users", report.connections),
        _ => format!("open, {} {:.6}/s", report.arrival, report.rate).replace(".000000/s", "/s"),
    };
    line(
        &mut out,
        "target",
        &format!(
            "{}   {how}, {:.1} s, {} threads",
            report.target, report.duration_s, report.threads
        ),
    );
    if let Some(knee) = &report.knee {
        knee_text(&mut out, knee);
        verdict(&mut out, report);
        return out;
    }
    let mut counts = format!("{}   answered {}", report.requests, report.answered);
    if report.failed > 0 {
        let kinds: Vec<String> = report
            .errors
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let _ = write!(counts, "   failed {} ({})", report.failed, kinds.join(", "));
    }
    if report.unexpected > 0 {
        let _ = write!(counts, "   unexpected status {}", report.unexpected);
    }
    line(&mut out, "requests", &counts);
    line(
        &mut out,
        "throughput",
        &format!(
            "{:.1} answers/s   {} in   {} out",
            report.throughput_rps,
            bytes(report.bytes_in),
            bytes(report.bytes_out)
        ),
    );
    let _ = writeln!(
        out,
        "{:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "mean", "p50", "p90", "p99", "p99.9", "max"
    );
    quantiles(
        &mut out,
        "latency",
        &report.latency,
        "from the intended send",
    );
    quantiles(&mut out, "service", &report.service, "from the real send");
    if let Some(interval) = report.latency.p99_interval_ms {
        line(
            &mut out,
            "p99",
            &format!(
                "{} to {} with 95 % confidence, if requests were independent",
                ms(interval.low),
                ms(interval.high)
            ),
        );
    } else {
        line(&mut out, "p99", "too few requests for an interval");
    }
    let statuses: Vec<String> = report
        .statuses
        .iter()
        .map(|(status, count)| format!("{status}: {count}"))
        .collect();
    line(&mut out, "status", &statuses.join("   "));
    if report.endpoints.len() > 1 {
        endpoints(&mut out, report);
    }
    line(
        &mut out,
        "warm-up",
        &match report.warmup.requests {
            0 => format!("nothing left out: {}", report.warmup.why),
            requests => format!(
                "{requests} requests of the first {:.1} s left out: {}",
                report.warmup.cut_s, report.warmup.why
            ),
        },
    );
    let generator = &report.generator;
    line(
        &mut out,
        "generator",
        &format!(
            "late p99 {}, max {}; {:.1} µs of processor per request; {} connections opened; at most {} requests waited, {}",
            ms(generator.lateness.p99_ms),
            ms(generator.lateness.max_ms),
            generator.cpu_us_per_request,
            generator.connects,
            generator.queue_max,
            ms(generator.queue_age_max_ms)
        ),
    );
    verdict(&mut out, report);
    out
}

fn verdict(out: &mut String, report: &Report) {
    for warning in &report.warnings {
        line(out, "note", warning);
    }
    for checked in &report.assertions {
        line(
            out,
            "assertion",
            &format!(
                "{}: {} ({:.4})",
                checked.assertion, checked.verdict, checked.value
            ),
        );
    }
    if report.valid {
        line(out, "valid", "yes");
    } else {
        for why in &report.invalid {
            line(out, "INVALID", why);
        }
    }
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<12}{text}");
}

fn quantiles(out: &mut String, name: &str, of: &LatencySummary, what: &str) {
    let _ = writeln!(
        out,
        "{name:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}   {what}",
        ms(of.mean_ms),
        ms(of.p50_ms),
        ms(of.p90_ms),
        ms(of.p99_ms),
        ms(of.p999_ms),
        ms(of.max_ms)
    );
}

fn endpoints(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "{:<32}{:>10}{:>8}{:>12}{:>10}{:>10}{:>10}",
        "request", "number", "failed", "unexpected", "p50", "p99", "max"
    );
    for endpoint in &report.endpoints {
        let name: String = endpoint.name.chars().take(30).collect();
        let _ = writeln!(
            out,
            "{name:<32}{:>10}{:>8}{:>12}{:>10}{:>10}{:>10}",
            endpoint.requests,
            endpoint.failed,
            endpoint.unexpected,
            ms(endpoint.latency.p50_ms),
            ms(endpoint.latency.p99_ms),
            ms(endpoint.latency.max_ms)
        );
    }
}

fn knee_text(out: &mut String, knee: &Knee) {
    let rate = match (knee.rate, knee.bad_from) {
        (Some(rate), Some(bad)) => format!("{rate:.0}/s held three times; {bad:.0}/s did not"),
        (Some(rate), None) => format!("{rate:.0}/s held, and the limit was reached there"),
        (None, _) => "not even the lowest rate was good".to_owned(),
    };
    line(out, "knee", &rate);
    line(
        out,
        "objective",
        &format!(
            "p99 within {}, 97 % answered, at most 1 % failed",
            ms(knee.objective_p99_ms)
        ),
    );
    line(
        out,
        "closed",
        &format!("{:.0} answers/s at most", knee.peak_throughput),
    );
    if let Some(fit) = &knee.usl {
        let law = fit.law;
        line(
            out,
            "scaling",
            &format!(
                "λ {:.1}/s, α {:.4} [{:.4}, {:.4}], β {:.6} [{:.6}, {:.6}], R² {:.3}",
                law.lambda,
                law.alpha,
                fit.alpha_interval[0],
                fit.alpha_interval[1],
                law.beta,
                fit.beta_interval[0],
                fit.beta_interval[1],
                fit.r_squared
            ),
        );
        let at = fit
            .peak_concurrency
            .map_or_else(String::new, |n| format!(" at {n:.0} users"));
        let interval = fit.peak_interval.map_or_else(
            || "no interval".to_owned(),
            |[low, high]| format!("{low:.0} to {high:.0} with 95 % confidence"),
        );
        if let Some(peak) = fit.peak_throughput {
            line(out, "law's peak", &format!("{peak:.0}/s{at}, {interval}"));
        }
    }
}

fn bytes(count: u64) -> String {
    match count as f64 {
        n if n < 1e4 => format!("{n:.0} B"),
        n if n < 1e7 => format!("{:.1} kB", n / 1e3),
        n if n < 1e10 => format!("{:.1} MB", n / 1e6),
        n => format!("{:.1} GB", n / 1e9),
    }
}

/// The heat map of a run, or the curve of a knee.
pub(super) fn picture(report: &Report) -> String {
    match &report.knee {
        Some(knee) => super::super::pictures::knee(knee, &report.target),
        None => super::super::pictures::heat(report),
    }
}
