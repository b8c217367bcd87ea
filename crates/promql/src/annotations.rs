//! Warnings and infos that come with an answer: Prometheus' texts.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use crate::ast::Span;

/// How grave an annotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationKind {
    Warning,
    Info,
}

/// Something the author of a query should know. Prints without its position.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Annotation {
    pub kind: AnnotationKind,
    /// Text with its prefix: `PromQL info: ...`.
    pub message: String,
    /// What to add to the text when positions are shown.
    pub detail: Option<String>,
    pub span: Span,
}

/// What a histogram was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

/// Where and how strongly the counts of a classic histogram were not monotonic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonicity {
    pub(crate) bucket_min: f64,
    pub(crate) bucket_max: f64,
    pub(crate) diff_max: f64,
    pub(crate) count: usize,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Annotations collected during a query, without repeats.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    found: BTreeMap<(String, Span), AnnotationKind>,
    monotonicity: BTreeMap<(String, Span), Monotonicity>,
}

impl Annotation {
    /// The text with line and column of the place in the query: `... (1:5)`.
    pub fn with_position(&self, query: &str) -> String {
        let (line, column) = self.span.position(query);
        let detail = self.detail.as_deref().unwrap_or_default();
        format!("{}{detail} ({line}:{column})", self.message)
    }
}

impl Display for Annotation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn of_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() {
        text.to_owned()
    } else {
        format!("{text} for metric name {metric:?}")
    }
}

impl HistogramOperation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

impl Annotations {
    fn warn(&mut self, span: Span, text: String) {
        self.found.insert(
            (format!("PromQL warning: {text}"), span),
            AnnotationKind::Warning,
        );
    }

    fn info(&mut self, span: Span, text: String) {
        self.found
            .insert((format!("PromQL info: {text}"), span), AnnotationKind::Info);
    }

    /// Takes over what was said about an equal expression elsewhere; `moved` gives the places here.
    pub(crate) fn add_moved(&mut self, other: &Self, moved: &BTreeMap<Span, Span>) {
        let place = |span: &Span| moved.get(span).copied().unwrap_or(*span);
        for ((text, span), kind) in &other.found {
            self.found.insert((text.clone(), place(span)), *kind);
        }
        for ((text, span), seen) in &other.monotonicity {
            self.monotonicity.insert((text.clone(), place(span)), *seen);
        }
    }

    /// Everything, warnings first, sorted.
    pub(crate) fn finish(self) -> (Vec<Annotation>, Vec<Annotation>) {
        let mut monotonicity = self.monotonicity;
        let (warnings, infos): (Vec<_>, Vec<_>) = self
            .found
            .into_iter()
            .map(|((message, span), kind)| {
                let detail = monotonicity
                    .remove(&(message.clone(), span))
                    .map(|seen| seen.text());
                Annotation {
                    kind,
                    message,
                    detail,
                    span,
                }
            })
            .partition(|a| a.kind == AnnotationKind::Warning);
        (warnings, infos)
    }

    pub(crate) fn invalid_quantile(&mut self, span: Span, q: f64) {
        let q = go_float(q);
        self.warn(
            span,
            format!("quantile value should be between 0 and 1, got {q}"),
        );
    }

    pub(crate) fn invalid_ratio(&mut self, span: Span, ratio: f64, cap: f64) {
        let (ratio, cap) = (go_float(ratio), go_float(cap));
        self.warn(
            span,
            format!("ratio value should be between -1 and 1, got {ratio}, capping to {cap}"),
        );
    }

    pub(crate) fn bad_bucket_label(&mut self, span: Span, metric: &str, label: &str) {
        self.warn(
            span,
            of_metric(
                &format!("bucket label \"le\" is missing or has a malformed value of {label:?}"),
                metric,
            ),
        );
    }

    pub(crate) fn mixed_floats_histograms(&mut self, span: Span, metric: &str) {
        self.warn(
            span,
            format!("encountered a mix of histograms and floats for metric name {metric:?}"),
        );
    }

    pub(crate) fn mixed_floats_histograms_aggregation(&mut self, span: Span) {
        self.warn(
            span,
            "encountered a mix of histograms and floats for aggregation".to_owned(),
        );
    }

    pub(crate) fn mixed_classic_native(&mut self, span: Span, metric: &str) {
        self.warn(
            span,
            of_metric(
                "vector contains a mix of classic and native histograms",
                metric,
            ),
        );
    }

    pub(crate) fn not_counter_histogram(&mut self, span: Span, metric: &str) {
        self.warn(
            span,
            format!("this native histogram metric is not a counter: {metric:?}"),
        );
    }

    pub(crate) fn not_gauge_histogram(&mut self, span: Span, metric: &str) {
        self.warn(
            span,
            format!("this native histogram metric is not a gauge: {metric:?}"),
        );
    }

    pub(crate) fn mixed_exponential_custom(&mut self, span: Span, metric: &str) {
        self.warn(
            span,
            format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric:?}"
            ),
        );
    }

    pub(crate) fn incompatible_buckets_binary(&mut self, span: Span, op: &str) {
        self.warn(
            span,
            format!("incompatible bucket layout encountered for binary operator {op}"),
        );
    }

    pub(crate) fn reset_collision(&mut self, span: Span, operation: HistogramOperation) {
        self.warn(
            span,
            format!(
                "conflicting counter resets during histogram {}",
                operation.as_str()
            ),
        );
    }

    pub(crate) fn mismatched_custom_buckets(&mut self, span: Span, operation: HistogramOperation) {
        self.info(
            span,
            format!(
                "mismatched custom buckets were reconciled during {}",
                operation.as_str()
            ),
        );
    }

    pub(crate) fn possible_non_counter(&mut self, span: Span, metric: &str) {
        self.info(
            span,
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
            ),
        );
    }

    pub(crate) fn possible_non_counter_label(&mut self, span: Span, metric: &str, kind: &str) {
        self.info(
            span,
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind:?}: {metric:?}"
            ),
        );
    }

    pub(crate) fn forced_monotonicity(&mut self, span: Span, metric: &str, seen: Monotonicity) {
        let text = of_metric(
            "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            metric,
        );
        let key = (format!("PromQL info: {text}"), span);
        self.monotonicity
            .entry(key)
            .and_modify(|all| all.merge(seen))
            .or_insert(seen);
        self.info(span, text);
    }

    pub(crate) fn incompatible_types(&mut self, span: Span, left: &str, op: &str, right: &str) {
        self.info(
            span,
            format!(
                "incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"
            ),
        );
    }

    pub(crate) fn histogram_ignored_in_aggregation(&mut self, span: Span, op: &str) {
        self.info(span, format!("ignored histogram in {op} aggregation"));
    }

    pub(crate) fn histogram_ignored_in_range(&mut self, span: Span, metric: &str) {
        self.info(
            span,
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {metric:?}"
            ),
        );
    }

    pub(crate) fn quantile_nan_result(&mut self, span: Span, metric: &str) {
        self.info(
            span,
            of_metric(
                "input to histogram_quantile has NaN observations, result is NaN",
                metric,
            ),
        );
    }

    pub(crate) fn quantile_nan_skew(&mut self, span: Span, metric: &str) {
        self.info(
            span,
            of_metric(
                "input to histogram_quantile has NaN observations, result is skewed higher",
                metric,
            ),
        );
    }

    pub(crate) fn fraction_nan(&mut self, span: Span, metric: &str) {
        self.info(
            span,
            of_metric(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                metric,
            ),
        );
    }
}

impl Monotonicity {
    fn merge(&mut self, other: Self) {
        self.bucket_min = self.bucket_min.min(other.bucket_min);
        self.bucket_max = self.bucket_max.max(other.bucket_max);
        self.diff_max = self.diff_max.max(other.diff_max);
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    fn text(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples",
            go_float(self.bucket_min),
            go_float(self.bucket_max),
            go_float(self.diff_max),
            self.count
        )
    }
}

/// A float as Go's `%g` and `strconv.FormatFloat(v, 'g', -1, 64)` print it: `1e+06`, `1e-05`, `+Inf`.
pub fn go_float(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return crate::printer::format_float(value);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
