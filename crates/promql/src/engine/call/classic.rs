//! `histogram_quantile` and `histogram_fraction` over classic and native histograms.

use std::collections::BTreeMap;

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;
use bellwether_model::labels::METRIC_NAME;

use crate::ast::{CallExpr, Expr, Span};
use crate::engine::eval::{Context, Evaluated, Sink};
use crate::engine::series::{Collector, Grid, Sample, Series, merge_same_labels, without_name};
use crate::error::QueryError;
use crate::histogram::{
    ClassicBucket, Nans, classic_fraction, classic_quantile, fraction, quantile,
};

const BUCKET_LABEL: &str = "le";

/// A classic histogram: its bucket series.
struct Classic {
    output: Labels,
    /// Upper bound and series.
    buckets: Vec<(f64, usize)>,
}

/// The histograms in a vector.
struct Histograms {
    series: Vec<Series>,
    classic: Vec<Classic>,
    /// Native histogram series, with the classic one it collides with.
    native: Vec<(usize, Option<usize>)>,
}

fn parse_bound(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" | "inf" | "+inf" => Some(f64::INFINITY),
        "-Inf" | "-inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|bound: &f64| !bound.is_nan()),
    }
}

impl Context<'_> {
    fn gather_histograms(&self, arg: &Expr, grid: &Grid) -> Evaluated<Histograms> {
        let series = self.eval(arg, grid)?;
        let mut index: BTreeMap<Labels, usize> = BTreeMap::new();
        let mut found = Histograms {
            series: Vec::new(),
            classic: Vec::new(),
            native: Vec::new(),
        };
        let span = arg.unwrap_parens().span();
        for (number, one) in series.iter().enumerate() {
            let stale = bellwether_model::series::is_stale;
            if !one.floats.iter().any(|v| !stale(*v)) {
                continue;
            }
            let label = one.labels.get(BUCKET_LABEL);
            let Some(bound) = parse_bound(label) else {
                let mut annotations = self.annotations.borrow_mut();
                let name = if self.delayed() {
                    one.labels.metric_name()
                } else {
                    ""
                };
                annotations.bad_bucket_label(span, name, label);
                continue;
            };
            let identity = one.labels.without(BUCKET_LABEL);
            let position = *index.entry(identity.clone()).or_insert_with(|| {
                found.classic.push(Classic {
                    output: identity.without(METRIC_NAME),
                    buckets: Vec::new(),
                });
                found.classic.len() - 1
            });
            found.classic[position].buckets.push((bound, number));
        }
        for (number, one) in series.iter().enumerate() {
            if one.histograms.iter().any(Option::is_some) {
                found.native.push((number, index.get(&one.labels).copied()));
            }
        }
        found.series = series;
        Ok(found)
    }

    /// Results for each native and classic histogram at each step.
    fn each_histogram(
        &self,
        arg: &Expr,
        found: &Histograms,
        step: usize,
        native: &mut dyn FnMut(&Series, &Histogram) -> Evaluated<()>,
        classic: &mut dyn FnMut(&Classic, &mut Vec<ClassicBucket>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let stale = bellwether_model::series::is_stale;
        let mut collides = vec![false; found.classic.len()];
        let has_buckets = |position: usize| {
            let buckets = &found.classic[position].buckets;
            buckets
                .iter()
                .any(|(_, number)| !stale(found.series[*number].floats[step]))
        };
        for (number, other) in &found.native {
            let series = &found.series[*number];
            let Some(histogram) = series.histogram(step) else {
                continue;
            };
            if let Some(position) = other
                && has_buckets(*position)
            {
                collides[*position] = true;
                let name = if self.delayed() {
                    series.labels.metric_name()
                } else {
                    ""
                };
                let mut annotations = self.annotations.borrow_mut();
                annotations.mixed_classic_native(arg.unwrap_parens().span(), name);
                continue;
            }
            native(series, histogram)?;
        }
        let mut buckets = Vec::new();
        for (position, one) in found.classic.iter().enumerate() {
            if collides[position] {
                continue;
            }
            buckets.clear();
            for (upper, number) in &one.buckets {
                let count = found.series[*number].floats[step];
                if !stale(count) {
                    buckets.push(ClassicBucket {
                        upper: *upper,
                        count,
                    });
                }
            }
            if !buckets.is_empty() {
                classic(one, &mut buckets)?;
            }
        }
        Ok(())
    }

    fn note_quantile_nans(&self, span: Span, metric: &str, nans: Nans) {
        let mut annotations = self.annotations.borrow_mut();
        match nans {
            Nans::None => {}
            Nans::Result => annotations.quantile_nan_result(span, metric),
            Nans::Skew => annotations.quantile_nan_skew(span, metric),
        }
    }

    fn output_labels(&self, series: &Series) -> Labels {
        if self.delayed() {
            series.labels.clone()
        } else {
            without_name(&series.labels)
        }
    }

    pub(super) fn histogram_quantile(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let several = call.function.name == "histogram_quantiles";
        let (vector, first) = if several {
            (&call.args[0], 2)
        } else {
            (&call.args[1], 0)
        };
        let label = match (several, call.args.get(1).map(Expr::unwrap_parens)) {
            (true, Some(Expr::String(literal))) => Some(&*literal.value),
            (true, _) => return Err(QueryError::execution("expected a label name")),
            _ => None,
        };
        let quantile_args: Vec<&Expr> = if several {
            call.args[first..].iter().collect()
        } else {
            vec![&call.args[0]]
        };
        let mut all_quantiles = Vec::new();
        for arg in &quantile_args {
            let values = self.scalar(arg, grid)?;
            let span = arg.unwrap_parens().span();
            for q in &values {
                if !(0.0..=1.0).contains(q) {
                    self.annotations.borrow_mut().invalid_quantile(span, *q);
                }
            }
            all_quantiles.push(values);
        }
        let nan_span = call.args[0].unwrap_parens().span();
        let forced_span = call.args[1].unwrap_parens().span();
        let found = self.gather_histograms(vector, grid)?;
        self.release_all(&found.series);
        let mut out = Collector::new(grid.len, self.delayed());
        for step in 0..grid.len {
            for quantiles in &all_quantiles {
                let q = quantiles[step];
                let labelled = |labels: Labels| match label {
                    Some(name) => labels.with(name, &openmetrics_float(q)),
                    None => labels,
                };
                let out = std::cell::RefCell::new(&mut out);
                self.each_histogram(
                    vector,
                    &found,
                    step,
                    &mut |series, histogram| {
                        let (value, nans) = quantile(q, histogram);
                        self.note_quantile_nans(nan_span, series.labels.metric_name(), nans);
                        let labels = labelled(self.output_labels(series));
                        out.borrow_mut()
                            .add(&labels, true, step, Sample::Float(value))
                    },
                    &mut |classic, buckets| {
                        let (value, forced) = classic_quantile(q, buckets, grid.time(step));
                        if let Some(seen) = forced {
                            // Upstream looks the name up after having removed it.
                            let mut annotations = self.annotations.borrow_mut();
                            annotations.forced_monotonicity(forced_span, "", seen);
                        }
                        let labels = labelled(classic.output.clone());
                        out.borrow_mut()
                            .add(&labels, true, step, Sample::Float(value))
                    },
                )?;
            }
        }
        for series in self.merged(out)? {
            sink(series)?;
        }
        Ok(())
    }

    fn merged(&self, out: Collector) -> Evaluated<Vec<Series>> {
        if self.delayed() {
            Ok(out.finish())
        } else {
            merge_same_labels(out.finish())
        }
    }

    pub(super) fn histogram_fraction(
        &self,
        call: &CallExpr,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let lower = self.scalar(&call.args[0], grid)?;
        let upper = self.scalar(&call.args[1], grid)?;
        let span = call.args[0].unwrap_parens().span();
        let found = self.gather_histograms(&call.args[2], grid)?;
        self.release_all(&found.series);
        let mut out = Collector::new(grid.len, self.delayed());
        for step in 0..grid.len {
            let (low, high) = (lower[step], upper[step]);
            let out = std::cell::RefCell::new(&mut out);
            self.each_histogram(
                &call.args[2],
                &found,
                step,
                &mut |series, histogram| {
                    let (value, nans) = fraction(low, high, histogram);
                    if nans == Nans::Skew {
                        let mut annotations = self.annotations.borrow_mut();
                        annotations.fraction_nan(span, series.labels.metric_name());
                    }
                    let labels = self.output_labels(series);
                    out.borrow_mut()
                        .add(&labels, true, step, Sample::Float(value))
                },
                &mut |classic, buckets| {
                    let value = classic_fraction(low, high, buckets);
                    out.borrow_mut()
                        .add(&classic.output, true, step, Sample::Float(value))
                },
            )?;
        }
        for series in self.merged(out)? {
            sink(series)?;
        }
        Ok(())
    }
}

/// A float as `OpenMetrics` writes it: `1.0`, `0.5`, `+Inf`.
fn openmetrics_float(value: f64) -> String {
    let text = crate::annotations::go_float(value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        format!("{text}.0")
    } else {
        text
    }
}
