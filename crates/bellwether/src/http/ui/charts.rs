//! Graphs of expressions: what a rule compares, drawn with its limit.

use std::time::Duration;

use bellwether_model::Labels;
use bellwether_promql::ast::{BinaryOp, Expr};
use bellwether_promql::{QueryResult, QueryValue};
use bellwether_ui::{Chart, ChartSize, Line, Threshold};
use jiff::{SignedDuration, Timestamp};

pub(super) use super::units::unit_of;
use crate::app::App;
use crate::queries::Times;

/// A page must come at once: a graph that takes longer is left out.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Points per line that are asked for.
const POINTS: i64 = 240;
const LINES_MAX: usize = 20;

/// An expression of a rule, taken apart: what is measured, and its limit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symptom {
    pub(super) expr: Expr,
    pub(super) limit: Option<f64>,
    pub(super) bad_above: bool,
}

impl Symptom {
    /// Finds the first comparison with a number: in `a > 5 and b > 3` that of `a`. Without one the whole expression
    /// is drawn.
    pub(super) fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Paren(paren) => Self::of(&paren.expr),
            Expr::Binary(binary) => match binary.op {
                BinaryOp::And | BinaryOp::Unless | BinaryOp::Or => Self::of(&binary.lhs),
                BinaryOp::Greater
                | BinaryOp::GreaterEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual => {
                    let above = matches!(binary.op, BinaryOp::Greater | BinaryOp::GreaterEqual);
                    match (number(&binary.lhs), number(&binary.rhs)) {
                        (_, Some(limit)) => Self {
                            expr: binary.lhs.clone(),
                            limit: Some(limit),
                            bad_above: above,
                        },
                        (Some(limit), None) => Self {
                            expr: binary.rhs.clone(),
                            limit: Some(limit),
                            bad_above: !above,
                        },
                        (None, None) => Self {
                            expr: binary.lhs.clone(),
                            limit: None,
                            bad_above: above,
                        },
                    }
                }
                _ => Self::whole(expr),
            },
            // `max without (window) (a > 5 and ...)`: what is compared is inside.
            Expr::Aggregate(aggregate) => {
                let inner = Self::of(&aggregate.expr);
                if inner.limit.is_some() {
                    inner
                } else {
                    Self::whole(expr)
                }
            }
            _ => Self::whole(expr),
        }
    }

    fn whole(expr: &Expr) -> Self {
        Self {
            expr: expr.clone(),
            limit: None,
            bad_above: true,
        }
    }
}

/// The value of an expression of numbers alone.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(literal) => Some(literal.value),
        Expr::Paren(paren) => number(&paren.expr),
        Expr::Unary(unary) => {
            number(&unary.expr).map(|value| if unary.negative { -value } else { value })
        }
        Expr::Binary(binary) => {
            let (a, b) = (number(&binary.lhs)?, number(&binary.rhs)?);
            match binary.op {
                BinaryOp::Add => Some(a + b),
                BinaryOp::Sub => Some(a - b),
                BinaryOp::Mul => Some(a * b),
                BinaryOp::Div => Some(a / b),
                BinaryOp::Pow => Some(a.powf(b)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A step that gives about [`POINTS`] points, a round number of seconds.
pub(super) fn step_for(from: Timestamp, to: Timestamp) -> i64 {
    const ROUND: [i64; 16] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200,
    ];
    let rough = to.duration_since(from).as_secs() / POINTS;
    ROUND
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(86_400)
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// Lines of a range query's answer, the first [`LINES_MAX`]; the rest is counted by whoever shows it.
pub(super) fn lines(result: &QueryResult) -> Vec<Line> {
    match &result.value {
        QueryValue::Matrix(series) => series
            .iter()
            .take(LINES_MAX + 1)
            .map(|one| Line {
                name: one.labels.to_string(),
                points: one
                    .floats
                    .iter()
                    .map(|(ms, value)| (timestamp(*ms), *value))
                    .collect(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether a series may be the one an alert is about: no label of both differs.
fn agrees(series: &Labels, alert: &Labels) -> bool {
    series
        .iter()
        .filter(|label| &*label.name != "__name__")
        .all(|label| !alert.contains(&label.name) || alert.get(&label.name) == &*label.value)
}

/// A graph of what a rule compares. With the labels of an alert only its own series is drawn. `None` when there is
/// nothing to draw in time.
pub(super) async fn of_rule(
    app: &App,
    query: &str,
    alert: Option<&Labels>,
    (from, to): (Timestamp, Timestamp),
) -> Option<Chart> {
    let whole = app.queries.engine().parse(query).ok()?;
    let symptom = Symptom::of(&whole);
    let text = symptom.expr.to_string();
    let step = step_for(from, to) * 1000;
    // Whole steps, so that the same moments are asked for again and the line does not jitter.
    let end = to.as_millisecond();
    let start = from.as_millisecond() / step * step;
    let times = Times {
        start,
        end,
        step: Some(step),
    };
    let result = app.queries.run(symptom.expr, times, TIMEOUT).await.ok()?;
    let QueryValue::Matrix(series) = &result.value else {
        return None;
    };
    let own: Vec<_> = series
        .iter()
        .filter(|one| alert.is_none_or(|alert| agrees(&one.labels, alert)))
        .collect();
    let chosen = if own.is_empty() {
        series.iter().collect()
    } else {
        own
    };
    let lines: Vec<Line> = chosen
        .into_iter()
        .take(LINES_MAX + 1)
        .map(|one| Line {
            name: one.labels.to_string(),
            points: one
                .floats
                .iter()
                .map(|(ms, value)| (timestamp(*ms), *value))
                .collect(),
        })
        .collect();
    if lines.iter().all(|line| line.points.is_empty()) {
        return None;
    }
    let unit = unit_of(&text);
    Some(Chart {
        unit,
        from: begin(from, to, &lines),
        to,
        from_zero: lines
            .iter()
            .all(|line| line.points.iter().all(|(_, value)| *value >= 0.0)),
        lines,
        threshold: symptom.limit.map(|value| Threshold {
            value,
            bad_above: symptom.bad_above,
        }),
        size: ChartSize::Tall,
        ..Chart::default()
    })
}

/// Where a graph begins: later than asked for when there was nothing to see for a good part of it.
fn begin(from: Timestamp, to: Timestamp, lines: &[Line]) -> Timestamp {
    let first = lines
        .iter()
        .filter_map(|line| line.points.first())
        .map(|(at, _)| *at)
        .min()
        .unwrap_or(from);
    let (empty, whole) = (first.duration_since(from), to.duration_since(from));
    if empty < whole / 4 {
        return from;
    }
    let shown = to.duration_since(first).max(SignedDuration::from_mins(2));
    (to - shown - shown / 10).max(from)
}

/// A graph of an expression over a range, without a limit.
pub(super) async fn of_expr(
    app: &App,
    query: &str,
    (from, to): (Timestamp, Timestamp),
) -> Option<Chart> {
    let chart = of_rule(app, query, None, (from, to)).await?;
    Some(Chart {
        threshold: None,
        size: ChartSize::Normal,
        ..chart
    })
}

/// The hour before something, or longer when it has gone on for long.
pub(super) fn range_around(since: Timestamp, until: Timestamp) -> (Timestamp, Timestamp) {
    const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 7);
    let lasted = until.duration_since(since).max(SignedDuration::ZERO);
    let before = (lasted / 2).max(SignedDuration::from_mins(15));
    ((since - before).max(until - LONGEST), until)
}

#[cfg(test)]
mod tests {
    use bellwether_promql::{ParserOptions, parse};

    use super::*;

    fn symptom(text: &str) -> (String, Option<f64>, bool) {
        let expr = parse(text, &ParserOptions::default()).expect("parses");
        let symptom = Symptom::of(&expr);
        (symptom.expr.to_string(), symptom.limit, symptom.bad_above)
    }

    #[test]
    fn the_first_comparison_gives_the_limit() {
        assert_eq!(symptom("up == 0"), ("up == 0".to_owned(), None, true));
        assert_eq!(
            symptom("rate(a[5m]) > 14.4 * 0.001"),
            ("rate(a[5m])".to_owned(), Some(14.4 * 0.001), true)
        );
        assert_eq!(
            symptom("(a > 5 and b > 3)"),
            ("a".to_owned(), Some(5.0), true)
        );
        assert_eq!(symptom("10 > free"), ("free".to_owned(), Some(10.0), false));
        assert_eq!(
            symptom("max without (w) ((a{w=\"1m\"} > 5 and ignoring (w) b > 3))"),
            ("a{w=\"1m\"}".to_owned(), Some(5.0), true)
        );
        assert_eq!(
            symptom("sum(a) > 5"),
            ("sum(a)".to_owned(), Some(5.0), true)
        );
        assert_eq!(symptom("sum(a)"), ("sum(a)".to_owned(), None, true));
        assert_eq!(symptom("a < b"), ("a".to_owned(), None, false));
    }

    #[test]
    fn steps_are_round_and_points_few() {
        let from = Timestamp::UNIX_EPOCH;
        for hours in [1, 2, 6, 24, 24 * 7, 24 * 30, 24 * 365] {
            let to = from + SignedDuration::from_hours(hours);
            let step = step_for(from, to);
            assert!(hours * 3600 / step <= 400, "{hours} h by {step} s");
        }
        assert_eq!(step_for(from, from + SignedDuration::from_mins(3)), 1);
    }
}
