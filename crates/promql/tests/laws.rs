//! Laws of the engine over random queries and data.

use std::sync::Arc;

use bellwether_model::histogram::{Histogram, Span};
use bellwether_model::series::{
    SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError, Value, stale_nan,
};
use bellwether_model::{Labels, Matcher};
use bellwether_promql::{Engine, EngineOptions, ParserOptions, Plan, QueryValue};
use proptest::prelude::*;

/// One series with its samples.
type Data = Vec<(Labels, Vec<(i64, Value)>)>;

/// A source whose series come in any order.
#[derive(Clone, Debug)]
struct Source(Data);

struct Set<'a>(Vec<&'a (Labels, Vec<(i64, Value)>)>, i64, i64);

impl SeriesSource for Source {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let found = self
            .0
            .iter()
            .filter(|(labels, _)| selection.matchers.iter().all(|m| m.matches_labels(labels)))
            .collect();
        Ok(Box::new(Set(found, selection.min, selection.max)))
    }
    fn label_names(&self, _: &[Vec<Matcher>], _: i64, _: i64) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
    fn label_values(
        &self,
        _: &str,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
    ) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
    fn series(&self, _: &[Vec<Matcher>], _: i64, _: i64) -> Result<Vec<Labels>, SourceError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Set<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn labels(&self, index: usize) -> &Labels {
        &self.0[index].0
    }
    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        buffer.clear();
        for (time, value) in &self.0[index].1 {
            if (self.1..=self.2).contains(time) {
                buffer.push(*time, value.clone());
            }
        }
        Ok(())
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => (0..50_i32).prop_map(|v| Value::Float(f64::from(v))),
        1 => Just(Value::Float(stale_nan())),
        1 => Just(Value::Float(f64::NAN)),
        1 => Just(Value::Float(f64::INFINITY)),
        1 => Just(Value::Float(-3.5)),
        2 => (0..4_u8, -1..2_i32).prop_map(|(n, schema)| {
            let counts: Vec<f64> = (0..n).map(|i| f64::from(i) + 1.0).collect();
            Value::Histogram(Arc::new(Histogram {
                schema,
                count: counts.iter().sum(),
                sum: 7.0,
                positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
                positive_buckets: counts,
                ..Histogram::default()
            }))
        }),
    ]
}

fn data() -> impl Strategy<Value = Data> {
    let samples = prop::collection::vec((1..40_000_i64, value()), 0..40).prop_map(|gaps| {
        let mut time = 0;
        gaps.into_iter()
            .map(|(gap, value)| {
                time += gap;
                (time, value)
            })
            .collect::<Vec<_>>()
    });
    prop::collection::vec(samples, 6).prop_map(|all| {
        let names = [
            ("a_total", "x", "1"),
            ("a_total", "y", "1"),
            ("a_total", "y", "2"),
            ("b", "x", "1"),
            ("b", "x", "2"),
            ("b", "y", "2"),
        ];
        all.into_iter()
            .zip(names)
            .map(|(samples, (name, job, le))| {
                let labels = Labels::new([("__name__", name), ("job", job), ("le", le)]);
                (labels, samples)
            })
            .collect()
    })
}

fn query() -> impl Strategy<Value = String> {
    let selector = prop::sample::select(vec![
        "a_total",
        "b",
        "a_total{job=\"x\"}",
        "{__name__=~\"a_total|b\"}",
        "a_total offset 20s",
        "b @ 100",
        "b @ end()",
    ]);
    let range = prop::sample::select(vec![
        "a_total[1m]",
        "b[90s]",
        "a_total[2m] offset 10s",
        "a_total[1m:15s]",
        "b[2m:20s] offset 5s",
        "b[1m] @ 200",
    ]);
    let over_time = prop::sample::select(vec![
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "changes",
        "resets",
        "stddev_over_time",
        "deriv",
        "present_over_time",
        "absent_over_time",
        "mad_over_time",
    ]);
    let leaf = prop_oneof![
        selector.prop_map(str::to_owned),
        (over_time, range.clone()).prop_map(|(f, r)| format!("{f}({r})")),
        range.prop_map(|r| format!("quantile_over_time(0.4, {r})")),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let aggregate = prop::sample::select(vec![
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "stddev",
            "group",
            "topk(2, ",
            "quantile(0.3, ",
            "bottomk(1, ",
            "count_values(\"v\", ",
        ]);
        let by = prop::sample::select(vec!["", " by (job)", " without (le)", " by (le, job)"]);
        let op = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "> bool",
            "<",
            "==",
            "and",
            "or",
            "unless",
            "+ on (job, le)",
            "* ignoring (le) group_left ()",
            "/ on (job) group_right ()",
        ]);
        let function = prop::sample::select(vec![
            "abs",
            "ceil",
            "-",
            "absent",
            "sort",
            "timestamp",
            "histogram_count",
            "sgn",
            "hour",
        ]);
        prop_oneof![
            (aggregate, by, inner.clone()).prop_map(|(f, by, e)| {
                if f.contains('(') {
                    format!("{f}{e}){by}")
                } else {
                    format!("{f}({e}){by}")
                }
            }),
            (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            (function, inner.clone()).prop_map(|(f, e)| format!("{f}({e})")),
            inner.clone().prop_map(|e| format!("({e}) > 5")),
            inner
                .clone()
                .prop_map(|e| format!("histogram_quantile(0.5, {e})")),
            inner
                .clone()
                .prop_map(|e| format!("label_replace({e}, \"n\", \"$1\", \"job\", \"(.*)\")")),
            inner.prop_map(|e| format!("max_over_time(({e})[1m:20s])")),
        ]
    })
}

fn engine(delayed: bool) -> Engine {
    Engine::new(EngineOptions {
        delayed_name_removal: delayed,
        parser: ParserOptions::experimental(),
        ..EngineOptions::default()
    })
}

/// Every sample as text with the bits of its value, sorted.
fn flatten(value: &QueryValue) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |labels: &Labels, time: i64, value: &Value| {
        let text = match value {
            Value::Float(v) if v.is_nan() => "NaN".to_owned(),
            Value::Float(v) => format!("{:x}", v.to_bits()),
            Value::Histogram(h) => format!("{h:?}"),
        };
        all.push(format!("{labels} {time} {text}"));
    };
    match value {
        QueryValue::Vector(samples) => {
            for s in samples {
                add(&s.labels, s.timestamp, &s.value);
            }
        }
        QueryValue::Matrix(series) => {
            for s in series {
                for (time, v) in &s.floats {
                    add(&s.labels, *time, &Value::Float(*v));
                }
                for (time, h) in &s.histograms {
                    add(&s.labels, *time, &Value::Histogram(Arc::clone(h)));
                }
            }
        }
        other => all.push(format!("{other:?}")),
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_safe(data in data(), words in prop::collection::vec(prop::sample::select(vec![
        "sum", "by", "(", ")", "(", ")", "a_total", "b", "rate(", "[5m]", "[5m:1m]", "offset", "@", "start()", "1e300",
        "5m", "-", "+", "^", "/", "%", "on(job)", "group_left", "bool", "==", "</", ">/", "{job=\"x\"}", ",", "and",
        "topk(", "-1e18,", "limit_ratio(", "0.5,", "step()", "smoothed", "anchored", "quantile_over_time(", "NaN,",
        "Inf", "histogram_quantile(", "histogram_fraction(", "clamp(", "round(", "year(", "info(", "290y", "1ms",
        "[1ms:1ms]", "predict_linear(", "[290y]", "sort(", "or", "unless",
    ]), 1..14), start in prop_oneof![0..300_000_i64, Just(i64::MAX), Just(i64::MIN), Just(1 << 56)]) {
        let engine = Engine::new(EngineOptions {
            samples_max: 100_000,
            parser: ParserOptions::experimental(),
            ..EngineOptions::default()
        });
        let Ok(expr) = engine.parse(&words.join(" ")) else {
            return Ok(());
        };
        let source = Source(data);
        // Whatever the answer is: no panic, and no more samples than allowed.
        for result in [
            engine.instant(&source, &expr, start),
            engine.range(&source, &expr, start, start.saturating_add(100_000), 10_000),
        ].into_iter().flatten() {
            prop_assert!(result.stats.peak_samples <= 100_000);
        }
        drop(bellwether_promql::explain(&expr));
        let _ = bellwether_promql::needed_range(&expr, 0, 1, 300_000);
    }

    #[test]
    fn hostile_histograms_are_safe(
        schema: i32, offset: i32, length in 0..6_u32, threshold: f64, count: f64, other in -53..9_i32, other_offset: i32
    ) {
        let of = |schema: i32, offset: i32| Arc::new(Histogram {
            schema,
            count,
            sum: count,
            zero_threshold: if offset % 3 == 0 { f64::NAN } else { threshold * f64::from(offset % 5) },
            zero_count: count,
            positive_spans: vec![Span { offset, length }, Span { offset: i32::MAX, length: 2 }],
            positive_buckets: vec![count; length as usize],
            negative_spans: vec![Span { offset, length }],
            negative_buckets: vec![1.0],
            custom_values: Some([1.0, 2.0].into()),
            ..Histogram::default()
        });
        let source = Source(vec![(
            Labels::new([("__name__", "h")]),
            vec![
                (1_000, Value::Histogram(of(schema, offset))),
                (2_000, Value::Histogram(of(other, other_offset))),
                (3_000, Value::Histogram(of(schema, other_offset))),
            ],
        )]);
        let engine = engine(true);
        for query in ["rate(h[1m])", "sum_over_time(h[1m])", "avg_over_time(h[1m])", "h + h offset 1s", "h </ 2", "h >/ -1",
            "histogram_quantile(0.5, h)", "histogram_fraction(0, 1, h)", "histogram_stddev(h)", "count_values(\"v\", h)", "resets(h[1m])"] {
            let expr = engine.parse(query).unwrap();
            drop(engine.instant(&source, &expr, 4_000));
        }
    }

    #[test]
    fn a_range_is_its_instants(data in data(), query in query(), delayed: bool, start in 0..300_000_i64, step in 1..60_000_i64) {
        // With late name removal, `or` gives a series of a range one name or none for all steps, as upstream does.
        prop_assume!(!(delayed && query.contains(") or (")));
        // Which of equal elements topk and bottomk keep is not defined; sums of groups are often equal.
        prop_assume!(!(query.contains("topk") || query.contains("bottomk")));
        let engine = engine(delayed);
        let source = Source(data);
        let expr = engine.parse(&query).map_err(|e| TestCaseError::fail(format!("{query}: {e}")))?;
        // The end of the query is the same for all, for `@ end()`.
        let end = start + 5 * step;
        let Ok(range) = engine.range(&source, &expr, start, end, step) else {
            return Ok(());
        };
        let mut pinned = expr.clone();
        pinned.walk_selectors_mut(&mut |selector| {
            if selector.at == Some(bellwether_promql::ast::At::End) {
                selector.at = Some(bellwether_promql::ast::At::Timestamp(end));
            }
        });
        let mut instants = Vec::new();
        for index in 0..=5 {
            let instant = engine.instant(&source, &pinned, start + index * step);
            let instant = instant.map_err(|e| TestCaseError::fail(format!("{query}: {e}")))?;
            instants.extend(flatten(&instant.value));
        }
        instants.sort();
        prop_assert_eq!(flatten(&range.value), instants, "{}", query);
    }

    #[test]
    fn parts_of_a_range_are_the_range(data in data(), query in query(), delayed: bool, start in 0..300_000_i64, step in 1..60_000_i64, cut in 0..9_i64) {
        prop_assume!(!query.contains("end()"));
        // As above: with late name removal a series of `or` has one name, or none, for all steps of a range.
        prop_assume!(!(delayed && query.contains(") or (")));
        // Which of equal elements topk and bottomk keep is not defined; sums of groups are often equal.
        prop_assume!(!(query.contains("topk") || query.contains("bottomk")));
        let engine = engine(delayed);
        let source = Source(data);
        let expr = engine.parse(&query).unwrap();
        let end = start + 9 * step;
        let Ok(whole) = engine.range(&source, &expr, start, end, step) else {
            return Ok(());
        };
        let middle = start + cut * step;
        let first = engine.range(&source, &expr, start, middle, step).unwrap();
        let second = engine.range(&source, &expr, middle + step, end, step).unwrap();
        let mut parts = flatten(&first.value);
        parts.extend(flatten(&second.value));
        parts.sort();
        prop_assert_eq!(flatten(&whole.value), parts, "{}", query);
    }

    #[test]
    fn a_plan_gives_what_its_queries_give(
        data in data(),
        queries in prop::collection::vec(query(), 1..7),
        again in prop::collection::vec((0..6_usize, prop::sample::select(vec!["", "sum(", "-(", "1 + (", "label_join("])), 0..4),
        delayed: bool,
        start in 0..300_000_i64,
        step in 1..60_000_i64,
        steps in 0..8_i64,
    ) {
        let engine = engine(delayed);
        let mut texts = queries;
        for (index, wrap) in again {
            let inner = texts[index % texts.len()].clone();
            texts.push(match wrap {
                "" => inner,
                "label_join(" => format!("label_join({inner}, \"n\", \"-\", \"job\")"),
                _ => format!("{wrap}{inner})"),
            });
        }
        let source = Source(data);
        let plan = Plan::new(texts.iter().map(|text| engine.parse(text).unwrap()));
        let end = start + step * steps;
        let replayed = engine.replay(&source, &plan, start, end, step, &());
        let ticked = engine.tick(&source, &plan, end, &());
        for (index, expr) in plan.queries().iter().enumerate() {
            let pairs = [
                (&replayed.answers[index], engine.range(&source, expr, start, end, step)),
                (&ticked.answers[index], engine.instant(&source, expr, end)),
            ];
            for (ours, alone) in pairs {
                match (ours, alone) {
                    (Ok(a), Ok(b)) => {
                        prop_assert_eq!(flatten(&a.value), flatten(&b.value), "{}", texts[index]);
                        prop_assert_eq!(&a.warnings, &b.warnings, "{}", texts[index]);
                        prop_assert_eq!(&a.infos, &b.infos, "{}", texts[index]);
                    }
                    (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
                    (a, b) => return Err(TestCaseError::fail(format!("{}: {a:?} {b:?}", texts[index]))),
                }
            }
        }
    }

    #[test]
    fn equal_queries_give_equal_answers(data in data(), query in query(), delayed: bool) {
        let engine = engine(delayed);
        let expr = engine.parse(&query).unwrap();
        let printed = engine.parse(&expr.to_string()).unwrap();
        let source = Source(data);
        let once = engine.range(&source, &expr, 0, 400_000, 7_000);
        let twice = engine.range(&source, &printed, 0, 400_000, 7_000);
        match (once, twice) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(flatten(&a.value), flatten(&b.value));
                prop_assert_eq!(
                    a.warnings.iter().map(|w| &w.message).collect::<Vec<_>>(),
                    b.warnings.iter().map(|w| &w.message).collect::<Vec<_>>()
                );
            }
            (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
            (a, b) => return Err(TestCaseError::fail(format!("{query}: {a:?} {b:?}"))),
        }
    }

    #[test]
    fn the_order_of_series_does_not_matter(data in data(), query in query(), seed in 0..720_usize) {
        // Sums of whole numbers are exact in any order; ties of topk and the first of a kind are not defined.
        prop_assume!(!["topk", "bottomk", "stddev", "avg", "quantile"].iter().any(|f| query.contains(f)));
        let engine = engine(true);
        let expr = engine.parse(&query).unwrap();
        let mut shuffled = data.clone();
        let mut rest = seed;
        for index in (1..shuffled.len()).rev() {
            shuffled.swap(index, rest % (index + 1));
            rest /= index + 1;
        }
        let a = engine.range(&Source(data), &expr, 0, 400_000, 7_000);
        let b = engine.range(&Source(shuffled), &expr, 0, 400_000, 7_000);
        prop_assert_eq!(a.is_ok(), b.is_ok());
        if let (Ok(a), Ok(b)) = (a, b) {
            let close = |text: &String| text.rsplit_once(' ').map(|(head, _)| head.to_owned());
            let heads = |value: &QueryValue| flatten(value).iter().filter_map(close).collect::<Vec<_>>();
            if !query.contains("count_values") {
                prop_assert_eq!(heads(&a.value), heads(&b.value), "{}", query);
                // Without sums over series every bit must be the same.
                if !query.contains("sum") {
                    prop_assert_eq!(flatten(&a.value), flatten(&b.value), "{}", query);
                }
            }
        }
    }
}

#[test]
fn limits_hold() {
    let labels = Labels::new([("__name__", "a_total")]);
    let samples = (0..1_000).map(|i| (i * 1_000, Value::Float(1.0))).collect();
    let source = Source(vec![(labels, samples)]);
    let engine = Engine::new(EngineOptions {
        samples_max: 500,
        ..EngineOptions::default()
    });
    let run = |query: &str, end: i64| {
        let expr = engine.parse(query).unwrap();
        engine
            .range(&source, &expr, 0, end, 1_000)
            .map_err(|error| (error.error_type(), error.to_string()))
    };
    assert!(run("a_total", 200_000).is_ok());
    let (kind, text) = run("a_total", 999_000).unwrap_err();
    assert_eq!(
        (kind, text.as_str()),
        (
            "execution",
            "query processing would load too many samples into memory in query execution"
        )
    );
    assert!(run("sum_over_time(vector(1)[1y:1s])", 1_000).is_err());
    assert!(run("1", 1 << 50).is_err());
    let expr = engine.parse("a_total").unwrap();
    let query = bellwether_promql::Query {
        expr: &expr,
        start: 0,
        end: 0,
        step: None,
    };
    let stop = || Some(bellwether_promql::Interruption::Timeout);
    let error = engine.run(&source, &query, &stop).unwrap_err();
    assert_eq!(error.error_type(), "timeout");
}
