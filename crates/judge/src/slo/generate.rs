//! An objective as rules.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::duration::format_duration;
use bellwether_model::{Labels, Problems};

use crate::rules::{GroupConfig, RuleFile};
use crate::slo::read::{equals, identity};
use crate::slo::{BurnWindow, Slo};

/// Square of the quantile of the normal distribution for 95 % (two-sided) in Wilson's bound.
const Z: f64 = 1.96;

/// The rule file, read by the same reader as any other: what is generated is what plain Prometheus would take.
pub(super) fn groups(slo: &Slo) -> Vec<GroupConfig> {
    let mut problems = Problems::default();
    let mut groups = RuleFile::read(&slo.file, &rule_file(slo), &mut problems);
    debug_assert!(
        !problems.has_errors(),
        "generated rules of {}: {problems}",
        slo.name
    );
    for group in &mut groups {
        group.line = slo.line;
        for rule in &mut group.rules {
            rule.line = slo.line;
        }
    }
    groups
}

fn quoted(text: &str) -> String {
    // A JSON string is a YAML string.
    serde_json::Value::from(text).to_string()
}

struct Writer {
    out: String,
}

pub(super) fn rule_file(slo: &Slo) -> String {
    let mut writer = Writer {
        out: "groups:\n".to_owned(),
    };
    writer.group(&slo.group_name(), slo.interval);
    let windows: BTreeSet<Duration> = slo
        .windows
        .page
        .iter()
        .chain(&slo.windows.ticket)
        .flat_map(|pair| [pair.long, pair.short])
        .collect();
    let long: BTreeSet<Duration> = slo
        .windows
        .page
        .iter()
        .chain(&slo.windows.ticket)
        .map(|pair| pair.long)
        .collect();
    for window in windows {
        writer.counts(slo, window);
        let burn = format!(
            "{bad} / ({total} > 0) / {budget}",
            bad = series(slo, "slo:bad_events:count", window),
            total = series(slo, "slo:events:count", window),
            budget = number(slo.budget()),
        );
        writer.record("slo:burn_rate:ratio", &burn, &window_labels(slo, window));
        if long.contains(&window) {
            writer.record(
                "slo:error_ratio:lower_bound",
                &wilson(slo, window),
                &window_labels(slo, window),
            );
        }
    }
    if slo.alerting {
        writer.alert(slo, "page", &slo.windows.page);
        writer.alert(slo, "ticket", &slo.windows.ticket);
    }
    let slow = slo
        .interval
        .unwrap_or(Duration::from_mins(5))
        .max(slo.window / 10_000)
        .min(Duration::from_mins(5));
    writer.group(&format!("{}:budget", slo.group_name()), Some(whole(slow)));
    writer.counts(slo, slo.window);
    let left = format!(
        "1 - {bad} / ({total} > 0) / {budget}",
        bad = series(slo, "slo:bad_events:count", slo.window),
        total = series(slo, "slo:events:count", slo.window),
        budget = number(slo.budget()),
    );
    writer.record("slo:error_budget:remaining", &left, &identity(slo));
    writer.record(
        "slo:objective:ratio",
        &format!("vector({})", number(slo.objective)),
        &identity(slo),
    );
    writer.out
}

/// A text that comes out of a template as it is: no `{{` in it begins an action.
fn untemplated(text: &str) -> String {
    text.replace("{{", r#"{{"{{"}}"#)
}

/// Whole seconds, at least one.
fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs().max(1))
}

/// Up to twelve digits, so that 1 - 0.999 is written 0.001.
fn number(value: f64) -> String {
    let text = format!("{value:.12}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn window_labels(slo: &Slo, window: Duration) -> Labels {
    identity(slo).with("window", &format_duration(window))
}

/// Selects one generated series.
fn series(slo: &Slo, name: &str, window: Duration) -> String {
    format!(
        "{name}{{{},{}}}",
        equals("slo", &slo.name),
        equals("window", &format_duration(window))
    )
}

/// Wilson's lower bound of the share of bad events: few events prove little.
fn wilson(slo: &Slo, window: Duration) -> String {
    let bad = series(slo, "slo:bad_events:count", window);
    let total = series(slo, "slo:events:count", window);
    let square = Z * Z;
    format!(
        "clamp_min(({bad} + {half} - {z} * sqrt(clamp_min({bad} * ({total} - {bad}) / ({total} > 0), 0) + {quarter})) \
         / ({total} + {square}), 0)",
        half = number(square / 2.0),
        z = number(Z),
        quarter = number(square / 4.0),
        square = number(square),
    )
}

// === impl Writer ===

impl Writer {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn group(&mut self, name: &str, interval: Option<Duration>) {
        self.line(&format!("  - name: {}", quoted(name)));
        if let Some(interval) = interval {
            self.line(&format!("    interval: {}", format_duration(interval)));
        }
        self.line("    rules:");
    }

    fn labels(&mut self, labels: &Labels) {
        self.line("        labels:");
        for label in labels {
            self.line(&format!(
                "          {}: {}",
                quoted(&label.name),
                quoted(&label.value)
            ));
        }
    }

    fn record(&mut self, name: &str, expr: &str, labels: &Labels) {
        self.line(&format!("      - record: {name}"));
        self.line(&format!("        expr: {}", quoted(expr)));
        self.labels(labels);
    }

    /// Bad and all events over one window.
    fn counts(&mut self, slo: &Slo, window: Duration) {
        let labels = window_labels(slo, window);
        let over = |text: &str| text.replace("{{window}}", &format_duration(window));
        self.record("slo:events:count", &over(&slo.indicator.total), &labels);
        self.record("slo:bad_events:count", &over(&slo.indicator.bad), &labels);
    }

    fn alert(&mut self, slo: &Slo, severity: &str, pairs: &[BurnWindow]) {
        if pairs.is_empty() {
            return;
        }
        let parts: Vec<String> = pairs.iter().map(|pair| condition(slo, *pair)).collect();
        // Without the window, so that the alert stays the same one while another pair takes over.
        let expr = format!(
            "max without (window) ({})",
            parts.join(" or ignoring (window) ")
        );
        self.line(&format!("      - alert: {}", quoted(&slo.alert_name)));
        self.line(&format!("        expr: {}", quoted(&expr)));
        let more = match severity {
            "page" => &slo.page_labels,
            _ => &slo.ticket_labels,
        };
        let mut builder = identity(slo).with("severity", severity).to_builder();
        for label in more {
            builder.set(&label.name, &label.value);
        }
        let labels: Labels = builder
            .build()
            .iter()
            .map(|label| (label.name.to_string(), untemplated(&label.value)))
            .collect();
        self.labels(&labels);
        self.line("        annotations:");
        for (name, text) in annotations(slo, severity) {
            self.line(&format!("          {}: {}", quoted(&name), quoted(&text)));
        }
    }
}

fn condition(slo: &Slo, pair: BurnWindow) -> String {
    let burn = |window| {
        format!(
            "{} > {}",
            series(slo, "slo:burn_rate:ratio", window),
            number(pair.burn)
        )
    };
    format!(
        "({long} and ignoring (window) {short} and {sure} > {threshold} and {bad} >= {min})",
        long = burn(pair.long),
        short = burn(pair.short),
        sure = series(slo, "slo:error_ratio:lower_bound", pair.long),
        threshold = number((pair.burn * slo.budget()).min(0.999)),
        bad = series(slo, "slo:bad_events:count", pair.long),
        min = number(slo.bad_events_min),
    )
}

fn annotations(slo: &Slo, severity: &str) -> Vec<(String, String)> {
    let plain = untemplated;
    let name = plain(&slo.name);
    let percent = number(slo.objective * 100.0);
    let window = format_duration(slo.window);
    let whom = match slo.service.as_str() {
        "" => name.clone(),
        service => plain(service),
    };
    let speed = if severity == "page" {
        "fast"
    } else {
        "slowly but steadily"
    };
    let mut texts = vec![
        (
            "summary",
            format!(
                "{whom} burns its error budget {speed}: {{{{ $value | printf \"%.1f\" }}}} times the sustainable rate"
            ),
        ),
        (
            "description",
            format!(
                "Objective {name}: {percent} % good over {window}. Both windows of a pair burn faster than allowed."
            ),
        ),
        (
            "impact",
            if slo.description.is_empty() {
                format!(
                    "Users of {whom} get errors or wait: more than the promised {percent} % allows."
                )
            } else {
                plain(&slo.description)
            },
        ),
    ];
    for (key, text) in [("owner", &slo.owner), ("runbook", &slo.runbook)] {
        if !text.is_empty() {
            texts.push((key, plain(text)));
        }
    }
    let mut texts: Vec<(String, String)> = texts
        .into_iter()
        .map(|(key, text)| (key.to_owned(), text))
        .collect();
    for (key, text) in &slo.annotations {
        texts.retain(|(known, _)| known != key);
        texts.push((key.clone(), text.as_str().to_owned()));
    }
    texts
}
