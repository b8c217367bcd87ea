//! Bucket boundaries and layouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, Span};

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
}

/// Whether the bounds are [`Histogram::custom_values`].
pub fn is_custom(histogram: &Histogram) -> bool {
    histogram.schema == CUSTOM_BUCKETS_SCHEMA
}

/// Upper bounds of custom buckets, without `+Inf`.
pub(super) fn bounds(histogram: &Histogram) -> &[f64] {
    histogram.custom_values.as_deref().unwrap_or_default()
}

/// Upper bound of the exponential bucket with this index.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    if schema < 0 {
        let exponent = i64::from(index) << (-schema.max(-8));
        if exponent == 1024 {
            return f64::MAX;
        }
        return f64::powi(2.0, exponent.clamp(-1100, 1100) as i32);
    }
    let schema = schema.min(8);
    let fraction_index = index & ((1 << schema) - 1);
    let exponent = (index >> schema) + 1;
    if fraction_index == 0 && exponent == 1025 {
        return f64::MAX;
    }
    let fraction = 0.5 * (f64::from(fraction_index) / f64::from(1 << schema)).exp2();
    // In two steps, so that neither the smallest nor the largest bounds are lost.
    let half = exponent.clamp(-2200, 2200) / 2;
    fraction * f64::powi(2.0, half) * f64::powi(2.0, exponent.clamp(-2200, 2200) - half)
}

fn custom_bound(index: i32, bounds: &[f64]) -> f64 {
    if index < 0 {
        f64::NEG_INFINITY
    } else {
        bounds.get(index as usize).copied().unwrap_or(f64::INFINITY)
    }
}

/// Index and count of every bucket, empty ones too.
pub(super) fn entries(spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
    let mut entries = Vec::with_capacity(counts.len());
    let (mut index, mut next) = (0_i32, counts.iter());
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = next.next() else {
                return entries;
            };
            entries.push((index, *count));
            index = index.wrapping_add(1);
        }
    }
    entries
}

/// Spans and counts of buckets in index order.
pub(super) fn layout(entries: impl IntoIterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut end = 0;
    for (index, count) in entries {
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            _ => spans.push(Span {
                offset: index.wrapping_sub(end),
                length: 1,
            }),
        }
        end = index.wrapping_add(1);
        counts.push(count);
    }
    (spans, counts)
}

/// Index of the bucket of a lower resolution that holds this one.
pub(super) fn target_index(index: i32, schema: i32, target: i32) -> i32 {
    let shift = schema.saturating_sub(target).clamp(0, 31);
    ((i64::from(index) - 1) >> shift) as i32 + 1
}

fn reduce(spans: &[Span], counts: &[f64], schema: i32, target: i32) -> (Vec<Span>, Vec<f64>) {
    let mut merged: BTreeMap<i32, f64> = BTreeMap::new();
    for (index, count) in entries(spans, counts) {
        *merged
            .entry(target_index(index, schema, target))
            .or_default() += count;
    }
    layout(merged)
}

/// A copy with a lower resolution.
pub fn to_schema(histogram: &Histogram, target: i32) -> Histogram {
    let mut copy = histogram.clone();
    if target >= histogram.schema || is_custom(histogram) {
        return copy;
    }
    let schema = histogram.schema;
    (copy.positive_spans, copy.positive_buckets) = reduce(
        &histogram.positive_spans,
        &histogram.positive_buckets,
        schema,
        target,
    );
    (copy.negative_spans, copy.negative_buckets) = reduce(
        &histogram.negative_spans,
        &histogram.negative_buckets,
        schema,
        target,
    );
    copy.schema = target;
    copy
}

/// The bucket with this index on the positive or negative side.
pub(super) fn bucket(histogram: &Histogram, index: i32, count: f64, positive: bool) -> Bucket {
    if is_custom(histogram) {
        let bounds = bounds(histogram);
        return Bucket {
            lower: custom_bound(index.saturating_sub(1), bounds),
            upper: custom_bound(index, bounds),
            lower_inclusive: index == 0,
            upper_inclusive: true,
            count,
        };
    }
    let near = exponential_bound(index.saturating_sub(1), histogram.schema);
    let far = exponential_bound(index, histogram.schema);
    let (lower, upper) = if positive { (near, far) } else { (-far, -near) };
    Bucket {
        lower,
        upper,
        lower_inclusive: lower < 0.0,
        upper_inclusive: upper > 0.0,
        count,
    }
}

/// The zero bucket.
pub(super) fn zero_bucket(histogram: &Histogram) -> Bucket {
    Bucket {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
        lower_inclusive: true,
        upper_inclusive: true,
        count: histogram.zero_count,
    }
}

/// All buckets from the lowest to the highest with their own bounds, empty ones of the layout too; the zero bucket when
/// it has a count.
pub(super) fn raw_buckets(histogram: &Histogram) -> Vec<Bucket> {
    let negative = entries(&histogram.negative_spans, &histogram.negative_buckets);
    let positive = entries(&histogram.positive_spans, &histogram.positive_buckets);
    let mut all = Vec::with_capacity(negative.len() + positive.len() + 1);
    for (index, count) in negative.into_iter().rev() {
        all.push(bucket(histogram, index, count, false));
    }
    if histogram.zero_count != 0.0 {
        all.push(zero_bucket(histogram));
    }
    for (index, count) in positive {
        all.push(bucket(histogram, index, count, true));
    }
    all
}

/// As the plain list, but no bucket reaches into the zero bucket.
pub fn buckets(histogram: &Histogram) -> Vec<Bucket> {
    let mut all = raw_buckets(histogram);
    let zero = histogram.zero_threshold;
    if !is_custom(histogram) {
        for bucket in &mut all {
            if bucket.upper < 0.0 && bucket.upper > -zero {
                bucket.upper = -zero;
            } else if bucket.lower > 0.0 && bucket.lower < zero {
                bucket.lower = zero;
            }
        }
    }
    all
}

/// Bounds that both histograms have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Arc<[f64]> {
    a.iter()
        .copied()
        .filter(|bound| b.contains(bound))
        .collect()
}

/// Counts of custom buckets over fewer bounds.
pub(super) fn rebound(entries: &[(i32, f64)], from: &[f64], to: &[f64]) -> Vec<(i32, f64)> {
    let mut merged: BTreeMap<i32, f64> = BTreeMap::new();
    for (index, count) in entries {
        let upper = custom_bound(*index, from);
        let target = to.partition_point(|bound| *bound < upper) as i32;
        *merged.entry(target).or_default() += count;
    }
    merged.into_iter().collect()
}
