//! The reader of test files.

use std::time::Duration;

use bellwether_model::labels::ALERT_NAME;
use bellwether_model::{Labels, Problem, Problems};
use bellwether_promql::parse_metric;
use bellwether_promql::promqltest::{Point, SeriesLine, parse_points};
use bellwether_yaml::{MapReader, Node, Value, parse};
use jiff::Timestamp;

use crate::unit::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, Pairs, Pattern, TestFile, TestGroup,
};

/// Tests that one file may have.
const TESTS_MAX: usize = 100_000;

pub(super) fn read(file: &str, text: &str, problems: &mut Problems) -> Option<TestFile> {
    let mut own = Problems::default();
    let root = parse(file, text, &mut own);
    let read = root.map(|root| read_file(file, &root, &mut own));
    let failed = own.has_errors();
    problems.append(own);
    read.filter(|_| !failed)
}

fn read_file(file: &str, root: &Node, problems: &mut Problems) -> TestFile {
    let mut map = MapReader::new(root, "test file", problems);
    let mut rule_files = Vec::new();
    for node in map.list("rule_files") {
        rule_files.extend(map.reader().text(node, "rule_files").map(|text| Pattern {
            text,
            line: node.line,
            column: node.column,
        }));
    }
    let evaluation_interval = map
        .duration("evaluation_interval")
        .filter(|interval| !interval.is_zero())
        .unwrap_or(Duration::from_mins(1));
    let mut group_eval_order: Vec<String> = Vec::new();
    for node in map.list("group_eval_order") {
        let Some(name) = map.reader().text(node, "group_eval_order") else {
            continue;
        };
        if group_eval_order.contains(&name) {
            map.problems()
                .push(node.error(format!("group name repeated in evaluation order: {name}")));
        }
        group_eval_order.push(name);
    }
    let fuzzy_compare = map.boolean("fuzzy_compare").unwrap_or(false);
    let tests = map.list("tests");
    map.finish();
    if tests.len() > TESTS_MAX {
        problems.push(root.error(format!("more than {TESTS_MAX} tests")));
    }
    TestFile {
        file: file.into(),
        rule_files,
        evaluation_interval,
        group_eval_order,
        fuzzy_compare,
        tests: tests
            .iter()
            .take(TESTS_MAX)
            .map(|node| test_group(node, evaluation_interval, problems))
            .collect(),
    }
}

fn test_group(node: &Node, evaluation_interval: Duration, problems: &mut Problems) -> TestGroup {
    let mut map = MapReader::new(node, "test", problems);
    let name = map.text("name").unwrap_or_default();
    let interval = map
        .duration("interval")
        .filter(|interval| !interval.is_zero())
        .unwrap_or(evaluation_interval);
    let series_nodes = map.list("input_series");
    let alert_nodes = map.list("alert_rule_test");
    let expr_nodes = map.list("promql_expr_test");
    let external_labels = map.labels("external_labels");
    let external_url = map.text("external_url").unwrap_or_default();
    let start_ms = map.take("start_timestamp").map_or(0, |node| {
        start_timestamp(node).unwrap_or_else(|| {
            map.problems().push(
                node.error("start_timestamp is neither seconds since 1970 nor a time")
                    .with_hint("write 1609459200 or 2021-01-01T00:00:00Z"),
            );
            0
        })
    });
    map.finish();
    let mut own = Vec::new();
    let series = series_nodes
        .iter()
        .filter_map(|node| input_series(node, &mut own, problems))
        .collect();
    let alerts: Vec<AlertTest> = alert_nodes
        .iter()
        .map(|node| alert_test(node, problems))
        .collect();
    for (alert, node) in alerts.iter().zip(alert_nodes) {
        if alert.alertname.is_empty() {
            own.push(node.error("this alert_rule_test has no alertname"));
        }
    }
    TestGroup {
        name,
        interval,
        series,
        alerts,
        exprs: expr_nodes
            .iter()
            .map(|node| expr_test(node, problems))
            .collect(),
        external_labels,
        external_url,
        start_ms,
        line: node.line,
        column: node.column,
        problems: own,
    }
}

/// Seconds since 1970, or RFC 3339.
fn start_timestamp(node: &Node) -> Option<i64> {
    let text = node.as_text()?;
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        return (ms.abs() < 2e14).then_some(ms as i64);
    }
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}

fn input_series(
    node: &Node,
    own: &mut Vec<Problem>,
    problems: &mut Problems,
) -> Option<SeriesLine> {
    let mut map = MapReader::new(node, "input series", problems);
    let series_node = map.take("series").unwrap_or(node);
    let values_node = map.take("values").unwrap_or(node);
    let series = map.text("series").unwrap_or_default();
    let values = map.text("values").unwrap_or_default();
    map.finish();
    let labels = match parse_metric(&series) {
        Ok(labels) if !labels.is_empty() => labels,
        Ok(_) => {
            own.push(series_node.error("this input series has no name and no labels"));
            return None;
        }
        Err(error) => {
            own.push(series_node.error(format!("series {series:?}: {error}")));
            return None;
        }
    };
    match parse_points(&values) {
        Ok(points) => Some(SeriesLine { labels, points }),
        Err(error) => {
            own.push(
                values_node
                    .error(format!("values of {series}: {error}"))
                    .with_hint("points are numbers, `_`, `stale`, `1+2x3`, `0x5` or `{{count:1}}`"),
            );
            None
        }
    }
}

fn alert_test(node: &Node, problems: &mut Problems) -> AlertTest {
    let mut map = MapReader::new(node, "alert_rule_test", problems);
    let eval_time = map.duration("eval_time").unwrap_or_default();
    let alertname = map.text("alertname").unwrap_or_default();
    let expected_nodes = map.list("exp_alerts");
    map.finish();
    let mut expected: Vec<ExpectedAlert> = expected_nodes
        .iter()
        .map(|node| {
            let mut map = MapReader::new(node, "expected alert", problems);
            let mut labels = sorted(map.text_map("exp_labels"));
            let annotations = sorted(map.text_map("exp_annotations"));
            map.finish();
            labels.retain(|(name, _)| name != ALERT_NAME);
            labels.push((ALERT_NAME.to_owned(), alertname.clone()));
            ExpectedAlert {
                labels: sorted(labels),
                annotations,
            }
        })
        .collect();
    expected.sort();
    AlertTest {
        eval_time,
        alertname,
        expected,
        line: node.line,
        column: node.column,
    }
}

fn sorted(mut pairs: Pairs) -> Pairs {
    pairs.sort();
    pairs
}

fn expr_test(node: &Node, problems: &mut Problems) -> ExprTest {
    let mut map = MapReader::new(node, "promql_expr_test", problems);
    let expr = map.text("expr").unwrap_or_default();
    let eval_time = map.duration("eval_time").unwrap_or_default();
    let sample_nodes = map.list("exp_samples");
    map.finish();
    let mut expected = Ok(Vec::new());
    for node in sample_nodes {
        let sample = expected_sample(node, problems);
        if let Ok(samples) = &mut expected {
            match sample {
                Ok(sample) => samples.push(sample),
                Err(error) => expected = Err(error),
            }
        }
    }
    if let Ok(samples) = &mut expected {
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    ExprTest {
        expr,
        eval_time,
        expected,
        line: node.line,
        column: node.column,
    }
}

fn expected_sample(node: &Node, problems: &mut Problems) -> Result<ExpectedSample, String> {
    let mut map = MapReader::new(node, "expected sample", problems);
    let text = map.text("labels").unwrap_or_default();
    let value = map.take("value").map_or(0.0, |node| {
        yaml_float(node).unwrap_or_else(|| {
            map.problems().push(
                node.error("value must be a number")
                    .with_hint("YAML writes .NaN, .Inf and -.Inf"),
            );
            0.0
        })
    });
    let histogram_text = map.text("histogram").unwrap_or_default();
    map.finish();
    let labels = if text.trim().is_empty() {
        Labels::empty()
    } else {
        parse_metric(&text).map_err(|error| format!("labels {text:?}: {error}"))?
    };
    let histogram = if histogram_text.is_empty() {
        None
    } else {
        match parse_points(&histogram_text)
            .map_err(|error| format!("labels {text:?}: histogram: {error}"))?
            .as_slice()
        {
            [Point::Histogram(histogram, _)] => Some(histogram.as_ref().clone()),
            [_] => return Err(format!("labels {text:?}: expected a histogram")),
            points => {
                return Err(format!(
                    "labels {text:?}: expected 1 value, got {}",
                    points.len()
                ));
            }
        }
    };
    Ok(ExpectedSample {
        labels,
        value,
        histogram,
    })
}

/// A number as YAML 1.1 writes it.
fn yaml_float(node: &Node) -> Option<f64> {
    let Value::Scalar {
        text,
        quoted: false,
    } = &node.value
    else {
        return None;
    };
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text.as_str()),
    };
    match rest {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let rest = rest.replace('_', "");
    let radix = |prefix: &str, radix| {
        rest.strip_prefix(prefix)
            .and_then(|digits| u64::from_str_radix(digits, radix).ok())
            .map(|value| sign * value as f64)
    };
    if let Some(value) = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
    {
        return Some(value);
    }
    // Rust also reads `inf` and `nan`; for YAML they are text.
    if !rest
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_digit() || b == b'.')
    {
        return None;
    }
    rest.parse::<f64>().ok().map(|value| sign * value)
}
