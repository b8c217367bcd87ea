//! The reader of `slos:`.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::labels::write_quoted;
use bellwether_model::{Labels, MatchOp, Matcher, Problems};
use bellwether_promql::ast::AggregateOp;
use bellwether_promql::{Expr, ParserOptions, ValueType, parse};
use bellwether_yaml::{MapReader, Node, Reader};

use crate::slo::{BurnWindow, Counters, Indicator, Slo, Windows};
use crate::text::TemplateText;

/// Objectives that one configuration may have.
const SLOS_MAX: usize = 1_000;
const WINDOW_MARK: &str = "{{window}}";

pub(super) fn read(node: &Node, problems: &mut Problems) -> Vec<Slo> {
    let nodes = Reader::new(problems).list(node, "slos");
    if nodes.len() > SLOS_MAX {
        problems.push(node.error(format!("more than {SLOS_MAX} slos")));
    }
    let mut names = BTreeSet::new();
    let mut slos = Vec::new();
    for node in nodes.iter().take(SLOS_MAX) {
        let Some(slo) = slo(node, problems) else {
            continue;
        };
        if names.insert(slo.name.clone()) {
            slos.push(slo);
        } else {
            problems.push(node.error(format!("slo {:?} is there twice", slo.name)));
        }
    }
    slos
}

fn slo(node: &Node, problems: &mut Problems) -> Option<Slo> {
    let mut map = MapReader::new(node, "slo", problems);
    let name = map.required_text("name");
    let service = map.text("service").unwrap_or_default();
    let description = map.text("description").unwrap_or_default();
    let objective_node = map.take("objective");
    let objective = map.number("objective");
    let window = map.duration("window");
    let good = map.take("good");
    let errors = map.take("errors");
    let total = map.take("total");
    let latency = map.take("latency");
    let labels = map.labels("labels");
    let owner = map.text("owner").unwrap_or_default();
    let runbook = map.text("runbook").unwrap_or_default();
    let alerting = map.boolean("alerting").unwrap_or(true);
    let alert_name = map.text("alert_name").filter(|name| !name.is_empty());
    let page_labels = map.labels("page_labels");
    let ticket_labels = map.labels("ticket_labels");
    let annotations_node = map.take("annotations");
    let annotation_texts = map.text_map("annotations");
    let bad_events_min = map.number("min_bad_events").unwrap_or(3.0);
    let interval = map.duration("interval").filter(|i| !i.is_zero());
    let windows_node = map.take("windows");
    map.finish();

    let annotations = annotations(annotations_node.unwrap_or(node), annotation_texts, problems);
    let windows = match windows_node {
        Some(node) => windows(node, problems),
        None => Some(Windows::default()),
    };
    let objective = match objective {
        Some(percent) if percent > 0.0 && percent < 100.0 => Some(percent / 100.0),
        Some(_) => {
            problems.push(
                objective_node
                    .unwrap_or(node)
                    .error("objective must lie between 0 and 100, both exclusive")
                    .with_hint("it is a percentage: 99.9; no service is good all the time"),
            );
            None
        }
        None if objective_node.is_none() => {
            problems.push(node.error("this slo has no objective").with_hint(
                "the percentage of good events you promise, for example `objective: 99.9`",
            ));
            None
        }
        None => None,
    };
    let window = window.unwrap_or(Duration::from_hours(720));
    if window.is_zero() {
        problems.push(node.error("window of this slo is 0"));
        return None;
    }
    let indicator = match (latency, total) {
        (Some(node), None) if good.is_none() && errors.is_none() => latency_form(node, problems),
        (Some(node), _) => {
            problems.push(node.error("latency stands alone: leave out good, errors and total"));
            None
        }
        (None, Some(total)) => events_form(node, good, errors, total, problems),
        (None, None) => {
            problems.push(
                node.error("this slo says neither total nor latency")
                    .with_hint("give `errors` (or `good`) and `total`, or `latency`"),
            );
            None
        }
    };
    Some(Slo {
        name: name?,
        service,
        description,
        objective: objective?,
        window,
        indicator: indicator?,
        labels,
        owner,
        runbook,
        alerting,
        alert_name: alert_name.unwrap_or_else(|| "SloBurn".to_owned()),
        page_labels,
        ticket_labels,
        annotations,
        windows: windows?,
        bad_events_min,
        interval,
        file: node.file.clone(),
        line: node.line,
    })
}

fn annotations(
    node: &Node,
    texts: Vec<(String, String)>,
    problems: &mut Problems,
) -> Vec<(String, TemplateText)> {
    let mut read = Vec::new();
    for (name, text) in texts {
        match TemplateText::parse(&format!("annotation {name}"), &text) {
            Ok(text) => read.push((name, text)),
            Err(error) => {
                problems.push(node.error(format!("annotation {name}: {}", error.message)));
            }
        }
    }
    read
}

fn events_form(
    node: &Node,
    good: Option<&Node>,
    errors: Option<&Node>,
    total: &Node,
    problems: &mut Problems,
) -> Option<Indicator> {
    let total_count = count(total, "total", problems);
    match (good, errors) {
        (Some(_), Some(errors)) => {
            problems.push(errors.error("give either good or errors, not both"));
            None
        }
        (None, None) => {
            problems.push(
                node.error("this slo has total, but neither good nor errors")
                    .with_hint("one of them says which events count against the budget"),
            );
            None
        }
        (None, Some(errors)) => {
            let errors = count(errors, "errors", problems)?;
            let total = total_count?;
            Some(Indicator {
                counters: counters(&errors, false, &total),
                // No series of errors means no errors, not an unknown number of them.
                bad: with_zero(&errors, &total),
                total,
            })
        }
        (Some(good), None) => {
            let good = count(good, "good", problems)?;
            let total = total_count?;
            Some(Indicator {
                counters: counters(&good, true, &total),
                bad: bad_of_good(&good, &total),
                total,
            })
        }
    }
}

fn with_zero(bad: &str, total: &str) -> String {
    format!("({bad} or 0 * {total})")
}

/// Extrapolation can make good a little larger than total.
fn bad_of_good(good: &str, total: &str) -> String {
    format!("clamp_min({total} - ({good} or 0 * {total}), 0)")
}

/// An expression that counts events over `{{window}}`, from a selector or an expression.
fn count(node: &Node, key: &str, problems: &mut Problems) -> Option<String> {
    let text = Reader::new(problems).text(node, key)?;
    let text = text
        .trim()
        .replace("{{.window}}", WINDOW_MARK)
        .replace("{{ .window }}", WINDOW_MARK)
        .replace("{{ window }}", WINDOW_MARK)
        .replace("$window", WINDOW_MARK);
    let has_window = text.contains(WINDOW_MARK);
    let fault = match parse(&text.replace(WINDOW_MARK, "5m"), &ParserOptions::default()) {
        Err(error) => format!("{key}: {}", error.message),
        Ok(Expr::Vector(selector)) if selector.offset.is_none() && selector.at.is_none() => {
            return Some(format!("sum(increase({text}[{WINDOW_MARK}]))"));
        }
        Ok(expr) if has_window && expr.value_type() == ValueType::Vector => {
            return Some(format!("({text})"));
        }
        Ok(_) if !has_window => {
            format!("{key} must be the selector of a counter, or have [{WINDOW_MARK}] in it")
        }
        Ok(expr) => format!(
            "{key} must give an instant vector, not {}",
            expr.value_type().documented()
        ),
    };
    problems.push(node.error(fault).with_hint(
        "for example `http_requests_total{job=\"web\"}`, or `sum(increase(http_requests_total[{{window}}]))`",
    ));
    None
}

/// `{metric: histogram selector, below: 300ms}`: good are the events in buckets up to the threshold.
fn latency_form(node: &Node, problems: &mut Problems) -> Option<Indicator> {
    let mut map = MapReader::new(node, "latency objective", problems);
    let metric_node = map.take("metric");
    let metric = map.required_text("metric");
    let below = map.duration("below");
    map.finish();
    let Some(below) = below.filter(|below| !below.is_zero()) else {
        problems.push(
            node.error("latency needs below, a duration")
                .with_hint("it must be the bound of one of the histogram's buckets"),
        );
        return None;
    };
    let metric = metric?;
    let Ok(Expr::Vector(selector)) = parse(&metric, &ParserOptions::default()) else {
        problems.push(
            metric_node
                .unwrap_or(node)
                .error("metric must be the selector of a histogram"),
        );
        return None;
    };
    let Some(name) = selector.name.as_deref() else {
        problems.push(
            metric_node
                .unwrap_or(node)
                .error("metric must name the histogram"),
        );
        return None;
    };
    let base = name
        .trim_end_matches("_bucket")
        .trim_end_matches("_count")
        .trim_end_matches("_sum");
    let mut matchers: Vec<Matcher> = selector
        .matchers
        .iter()
        .filter(|m| &*m.name != "__name__" && &*m.name != "le")
        .cloned()
        .collect();
    let total = format!(
        "sum(increase({}[{WINDOW_MARK}]))",
        selector_text(&format!("{base}_count"), &matchers)
    );
    // Both ways of writing a whole number of seconds: exporters differ.
    let seconds = below.as_secs_f64();
    let bounds = if seconds.fract() == 0.0 {
        format!("{seconds}|{seconds}\\.0")
    } else {
        format!("{seconds}").replace('.', "\\.")
    };
    matchers.push(Matcher::new(MatchOp::Regex, "le", &bounds).ok()?);
    let good = format!(
        "sum(increase({}[{WINDOW_MARK}]))",
        selector_text(&format!("{base}_bucket"), &matchers)
    );
    Some(Indicator {
        counters: counters(&good, true, &total),
        bad: bad_of_good(&good, &total),
        total,
    })
}

/// The counters of `sum(increase(a[w]))` and `sum(increase(b[w]))`.
fn counters(part: &str, part_is_good: bool, total: &str) -> Option<Counters> {
    let of = |text: &str| {
        let text = text.replace(WINDOW_MARK, "5m");
        let expr = parse(&text, &ParserOptions::default()).ok()?;
        let Expr::Aggregate(sum) = expr.unwrap_parens() else {
            return None;
        };
        let Expr::Call(call) = sum.expr.unwrap_parens() else {
            return None;
        };
        let Expr::Matrix(matrix) = call.args.first()? else {
            return None;
        };
        let plain = sum.op == AggregateOp::Sum
            && sum.grouping.is_empty()
            && !sum.without
            && call.function.name == "increase"
            && matrix.selector.offset.is_none()
            && matrix.selector.at.is_none();
        plain.then(|| matrix.selector.matchers.clone())
    };
    Some(Counters {
        part: of(part)?,
        part_is_good,
        total: of(total)?,
    })
}

fn selector_text(name: &str, matchers: &[Matcher]) -> String {
    let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{name}{{{}}}", matchers.join(","))
}

fn windows(node: &Node, problems: &mut Problems) -> Option<Windows> {
    let mut map = MapReader::new(node, "set of windows", problems);
    let page = map.list("page");
    let ticket = map.list("ticket");
    map.finish();
    let mut read = |nodes: &[Node]| -> Option<Vec<BurnWindow>> {
        let pairs: Vec<Option<BurnWindow>> =
            nodes.iter().map(|node| pair(node, problems)).collect();
        pairs.into_iter().collect()
    };
    let (page, ticket) = (read(page), read(ticket));
    Some(Windows {
        page: page?,
        ticket: ticket?,
    })
}

fn pair(node: &Node, problems: &mut Problems) -> Option<BurnWindow> {
    let mut map = MapReader::new(node, "pair of windows", problems);
    let burn = map.number("burn");
    let long = map.duration("long");
    let short = map.duration("short");
    map.finish();
    match (burn, long, short) {
        (Some(burn), Some(long), Some(short)) if burn > 0.0 && short < long && !short.is_zero() => {
            Some(BurnWindow { burn, long, short })
        }
        (Some(_), Some(_), Some(_)) => {
            problems.push(node.error("burn must be above 0, and short shorter than long"));
            None
        }
        _ => {
            problems.push(node.error("a pair of windows has burn, long and short"));
            None
        }
    }
}

/// `name="value"` for a generated selector.
pub(super) fn equals(name: &str, value: &str) -> String {
    let mut text = format!("{name}=");
    write_quoted(&mut text, value).expect("writing to a String");
    text
}

/// Labels of every generated series.
pub(super) fn identity(slo: &Slo) -> Labels {
    slo.labels
        .with("slo", &slo.name)
        .with("service", &slo.service)
}
