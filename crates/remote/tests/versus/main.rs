//! The same data in Debian's Prometheus and in our engine, the same random queries to both.
//!
//! Prometheus 2.x differs from 3 on purpose in places. The data and the grammar stay clear of them: samples never lie
//! on the bound of a window (ranges of 2.x are closed on the left), counters never come near zero (2.x extrapolates to
//! zero otherwise), values are multiples of a quarter (2.x adds without compensation).

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::duration_suboptimal_units,
    reason = "a test stops at what it did not expect, and shows what it saw"
)]

mod data;
mod grammar;
mod server;

use std::collections::BTreeMap;

use bellwether_model::series::Value as Sample;
use bellwether_promql::{Engine, EngineOptions, QueryError, QueryResult, QueryValue};
use bellwether_series::PrometheusFolder;
use serde_json::Value;

use crate::data::{END, START, data};
use crate::grammar::{Choice, query};
use crate::server::Prometheus;

/// Values of an answer by labels and time.
type Points = BTreeMap<(String, i64), f64>;

/// Labels as JSON with sorted names.
fn labels_of(value: &Value) -> String {
    let pairs: BTreeMap<&String, &Value> = value["metric"].as_object().unwrap().iter().collect();
    serde_json::to_string(&pairs).unwrap()
}

fn number(value: &Value) -> f64 {
    match value.as_str().unwrap() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap(),
    }
}

fn ms(value: &Value) -> i64 {
    (value.as_f64().unwrap() * 1000.0).round() as i64
}

fn theirs(answer: &Value) -> Result<Points, String> {
    if answer["status"] != "success" {
        return Err(answer["error"].as_str().unwrap_or("?").to_owned());
    }
    let result = &answer["data"]["result"];
    let mut points = Points::new();
    match answer["data"]["resultType"].as_str().unwrap() {
        "matrix" => {
            for series in result.as_array().unwrap() {
                let labels = labels_of(series);
                for point in series["values"].as_array().unwrap() {
                    points.insert((labels.clone(), ms(&point[0])), number(&point[1]));
                }
            }
        }
        "vector" => {
            for series in result.as_array().unwrap() {
                points.insert(
                    (labels_of(series), ms(&series["value"][0])),
                    number(&series["value"][1]),
                );
            }
        }
        _ => {
            points.insert(("{}".to_owned(), ms(&result[0])), number(&result[1]));
        }
    }
    Ok(points)
}

fn ours(answer: Result<QueryResult, QueryError>) -> Result<Points, String> {
    let json = |labels: &bellwether_model::Labels| {
        let pairs: BTreeMap<&str, &str> = labels.iter().map(|l| (&*l.name, &*l.value)).collect();
        serde_json::to_string(&pairs).unwrap()
    };
    let mut points = Points::new();
    match answer.map_err(|error| error.to_string())?.value {
        QueryValue::Matrix(all) => {
            for series in all {
                let labels = json(&series.labels);
                for (time, value) in series.floats {
                    points.insert((labels.clone(), time), value);
                }
            }
        }
        QueryValue::Vector(all) => {
            for sample in all {
                let Sample::Float(value) = sample.value else {
                    return Err("a histogram".to_owned());
                };
                points.insert((json(&sample.labels), sample.timestamp), value);
            }
        }
        QueryValue::Scalar { timestamp, value } => {
            points.insert(("{}".to_owned(), timestamp), value);
        }
        QueryValue::String { .. } => return Err("a string".to_owned()),
    }
    Ok(points)
}

fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    // What is left of two large numbers that cancel is noise of both.
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) || (a - b).abs() < 1e-7
}

/// Differences that are those of the versions, with the reason.
fn explained(
    query: &str,
    ours: &Result<Points, String>,
    theirs: &Result<Points, String>,
) -> Option<&'static str> {
    if let (Err(error), Ok(_)) = (ours, theirs)
        && error.contains("multiple matches for labels: many-to-one")
    {
        return Some("since 3.11 a pair that a comparison drops counts as a match too");
    }
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return None;
    };
    let mut differing = ours
        .iter()
        .filter(|(key, value)| !theirs.get(key).is_some_and(|other| close(**value, *other)));
    if query.contains("std")
        && ours.len() == theirs.len()
        && differing.all(|(_, value)| value.is_nan())
    {
        return Some(
            "the deviation of a group that begins with NaN or an infinity is NaN since 3.0",
        );
    }
    if query.contains('%')
        && ours.keys().eq(theirs.keys())
        && ["std", "avg", "sum"].iter().any(|f| query.contains(f))
    {
        return Some(
            "a remainder makes the last bit of a sum large, and series come in another order",
        );
    }
    None
}

/// What differs, in words.
fn difference(ours: &Result<Points, String>, theirs: &Result<Points, String>) -> Option<String> {
    match (ours, theirs) {
        (Err(_), Err(_)) => None,
        (Err(error), Ok(points)) => Some(format!("we: {error}; they: {} points", points.len())),
        (Ok(points), Err(error)) => Some(format!("we: {} points; they: {error}", points.len())),
        (Ok(a), Ok(b)) => {
            for (key, value) in a {
                match b.get(key) {
                    None => return Some(format!("only we have {key:?}: {value}")),
                    Some(other) if !close(*value, *other) => {
                        return Some(format!("{key:?}: we {value:?}, they {other:?}"));
                    }
                    Some(_) => {}
                }
            }
            let missing = b.iter().find(|(key, _)| !a.contains_key(key));
            missing.map(|(key, value)| format!("only they have {key:?}: {value}"))
        }
    }
}

fn compare(count: u64, first_seed: u64) {
    let Some(prometheus) = Prometheus::start() else {
        return;
    };
    let (memory, batches) = data();
    for batch in &batches {
        prometheus.write(batch);
    }
    let engine = Engine::new(EngineOptions::default());
    let (mut differ, mut points, mut errors) = (Vec::new(), 0, 0);
    let mut expected = 0;
    for seed in first_seed..first_seed + count {
        let mut choice = Choice::new(seed);
        let text = query(&mut choice);
        // Half a second: nothing else lies there.
        let start = START
            + 300_000
            + choice.below((END - START - 600_000) as u64 / 1000) as i64 * 1000
            + 500;
        let step = 1000 * (7 + choice.below(300)) as i64;
        let end = start + step * choice.below(12) as i64;
        let (we, they) = if choice.below(3) == 0 {
            let we = engine
                .parse(&text)
                .map_err(QueryError::from)
                .and_then(|expr| engine.instant(&memory, &expr, start));
            (ours(we), prometheus.instant(&text, start))
        } else {
            let we = engine
                .parse(&text)
                .map_err(QueryError::from)
                .and_then(|expr| engine.range(&memory, &expr, start, end, step));
            (ours(we), prometheus.range(&text, start, end, step))
        };
        let they = theirs(&they);
        match &they {
            Ok(found) => points += found.len(),
            Err(_) => errors += 1,
        }
        if let Some(what) = difference(&we, &they) {
            if explained(&text, &we, &they).is_some() {
                expected += 1;
                continue;
            }
            differ.push(format!(
                "seed {seed}: {text}\n    start {start} end {end} step {step}: {what}"
            ));
        }
    }
    println!(
        "{count} queries, {points} points compared, {errors} errors of both, {expected} differ as the versions do, {} otherwise",
        differ.len()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(
        points > count as usize,
        "hardly any query had an answer: {points} points"
    );
}

#[test]
fn random_queries_are_answered_as_prometheus_does() {
    compare(300, 1);
}

/// 200 answers of a Prometheus, then its own data folder under our engine.
#[test]
fn a_data_folder_answers_as_its_prometheus_did() {
    let Some(mut prometheus) = Prometheus::start() else {
        return;
    };
    for batch in &data().1 {
        prometheus.write(batch);
    }
    let mut recorded = Vec::new();
    for seed in 10_000..10_200 {
        let mut choice = Choice::new(seed);
        let text = query(&mut choice);
        let start = START
            + 300_000
            + choice.below((END - START - 600_000) as u64 / 1000) as i64 * 1000
            + 500;
        let step = 1000 * (7 + choice.below(300)) as i64;
        let end = start + step * choice.below(12) as i64;
        let answer = theirs(&prometheus.range(&text, start, end, step));
        recorded.push((text, start, end, step, answer));
    }
    let folder = prometheus.stop();
    let (source, damage) = PrometheusFolder::open(&folder.path().join("data")).unwrap();
    assert_eq!(damage, []);
    let bounds = source.bounds().unwrap();
    assert!(
        bounds.0 < START + 60_000 && bounds.1 > END - 60_000,
        "{bounds:?}"
    );
    let engine = Engine::new(EngineOptions::default());
    let mut differ = Vec::new();
    for (text, start, end, step, they) in &recorded {
        let we = engine.parse(text).map_err(QueryError::from);
        let we = ours(we.and_then(|expr| engine.range(&source, &expr, *start, *end, *step)));
        if let Some(what) = difference(&we, they)
            && explained(text, &we, they).is_none()
        {
            differ.push(format!("{text}: {what}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    println!(
        "200 recorded queries answered as they were, {} blocks and the log",
        source.blocks()
    );
}

#[test]
#[ignore = "some minutes; cargo test -p bellwether-remote --test versus -- --ignored --nocapture"]
fn five_thousand_random_queries_are_answered_as_prometheus_does() {
    compare(5_000, 1_000_000);
}
