//! Sums, differences, products and comparisons.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::histogram::{Histogram, ResetHint, Span};

use super::buckets::{
    bounds, common_bounds, entries, exponential_bound, is_custom, layout, rebound, target_index,
};
use crate::engine::kahan;

/// One of the two has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct Incompatible;

/// What happened beside the arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// One is known to be a counter reset, the other known not to be.
    pub collided: bool,
    /// Custom bounds differed; only the common ones are left.
    pub reconciled: bool,
}

/// A sum and what rounding lost.
type Term = (f64, f64);

/// A histogram under construction.
#[derive(Clone, Debug, Default)]
struct Parts {
    schema: i32,
    zero_threshold: f64,
    zero: Term,
    count: Term,
    sum: Term,
    positive: BTreeMap<i32, Term>,
    negative: BTreeMap<i32, Term>,
    custom_values: Option<Arc<[f64]>>,
    hint: ResetHint,
}

fn terms(spans: &[Span], counts: &[f64]) -> BTreeMap<i32, Term> {
    entries(spans, counts)
        .into_iter()
        .map(|(index, count)| (index, (count, 0.0)))
        .collect()
}

fn plus(a: Term, b: Term) -> Term {
    let (sum, lost) = kahan::add(b.0, a.0, a.1);
    if b.1 == 0.0 {
        (sum, lost)
    } else {
        (sum, lost + b.1)
    }
}

fn value(term: Term) -> f64 {
    if term.0.is_finite() {
        term.0 + term.1
    } else {
        term.0
    }
}

fn merge_into(to: &mut BTreeMap<i32, Term>, from: BTreeMap<i32, Term>) {
    for (index, term) in from {
        let slot = to.entry(index).or_insert((0.0, 0.0));
        *slot = plus(*slot, term);
    }
}

fn reduced(terms: BTreeMap<i32, Term>, schema: i32, target: i32) -> BTreeMap<i32, Term> {
    let mut merged = BTreeMap::new();
    for (index, term) in terms {
        let slot = merged
            .entry(target_index(index, schema, target))
            .or_insert((0.0, 0.0));
        *slot = plus(*slot, term);
    }
    merged
}

impl Parts {
    fn of(histogram: &Histogram) -> Self {
        Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero: (histogram.zero_count, 0.0),
            count: (histogram.count, 0.0),
            sum: (histogram.sum, 0.0),
            positive: terms(&histogram.positive_spans, &histogram.positive_buckets),
            negative: terms(&histogram.negative_spans, &histogram.negative_buckets),
            custom_values: histogram.custom_values.clone(),
            hint: histogram.reset_hint,
        }
    }

    fn all_terms(&mut self) -> impl Iterator<Item = &mut Term> {
        [&mut self.zero, &mut self.count, &mut self.sum]
            .into_iter()
            .chain(self.positive.values_mut())
            .chain(self.negative.values_mut())
    }

    fn scale(&mut self, factor: f64) {
        for term in self.all_terms() {
            *term = (term.0 * factor, term.1 * factor);
        }
    }

    fn shrink(&mut self, divisor: f64) {
        for term in self.all_terms() {
            *term = (term.0 / divisor, term.1 / divisor);
        }
    }

    fn overflows(&mut self) -> bool {
        self.all_terms().any(|term| term.0.is_infinite())
    }

    fn finish(self) -> Histogram {
        let of = |terms: BTreeMap<i32, Term>| {
            layout(terms.into_iter().map(|(index, term)| (index, value(term))))
        };
        let (positive_spans, positive_buckets) = of(self.positive);
        let (negative_spans, negative_buckets) = of(self.negative);
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: value(self.zero),
            count: value(self.count),
            sum: value(self.sum),
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_values: self.custom_values,
            reset_hint: self.hint,
        }
    }

    /// Zero count and threshold if the zero bucket were at least `threshold` wide; a populated bucket that the
    /// threshold cuts is taken in whole.
    fn zero_for(&self, mut threshold: f64) -> (Term, f64) {
        'again: loop {
            let mut count = self.zero;
            for (index, term) in &self.positive {
                if exponential_bound(index.saturating_sub(1), self.schema) >= threshold {
                    break;
                }
                count = plus(count, *term);
                let upper = exponential_bound(*index, self.schema);
                if upper > threshold {
                    if term.0 != 0.0 {
                        threshold = upper;
                    }
                    break;
                }
            }
            for (index, term) in &self.negative {
                if exponential_bound(index.saturating_sub(1), self.schema) >= threshold {
                    break;
                }
                count = plus(count, *term);
                let far = exponential_bound(*index, self.schema);
                if far > threshold {
                    if term.0 != 0.0 {
                        threshold = far;
                        continue 'again;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    fn widen_zero(&mut self, threshold: f64) {
        (self.zero, self.zero_threshold) = self.zero_for(threshold);
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let outside = |index: &i32| exponential_bound(index.saturating_sub(1), schema) >= threshold;
        self.positive.retain(|index, _| outside(index));
        self.negative.retain(|index, _| outside(index));
    }

    fn reconcile_zero(&mut self, other: &mut Self) {
        // Widening one may overshoot because of a populated bucket; few rounds settle it.
        for _ in 0..64 {
            if self.zero_threshold == other.zero_threshold {
                break;
            }
            if self.zero_threshold > other.zero_threshold {
                other.widen_zero(self.zero_threshold);
            } else {
                self.widen_zero(other.zero_threshold);
            }
        }
    }

    fn adjust_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let (hint, collided) = match (self.hint, other) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (Reset | NotReset, _) => (Unknown, true),
        };
        self.hint = hint;
        collided
    }

    fn add(&mut self, mut other: Self) -> Result<Note, Incompatible> {
        let custom = self.schema == bellwether_model::histogram::CUSTOM_BUCKETS_SCHEMA;
        if custom != (other.schema == bellwether_model::histogram::CUSTOM_BUCKETS_SCHEMA) {
            return Err(Incompatible);
        }
        let mut note = Note {
            collided: self.adjust_hint(other.hint),
            reconciled: false,
        };
        if custom {
            let mine = self.custom_values.clone().unwrap_or_default();
            let theirs = other.custom_values.clone().unwrap_or_default();
            if mine != theirs {
                note.reconciled = true;
                let common = common_bounds(&mine, &theirs);
                self.positive = rebound_terms(&self.positive, &mine, &common);
                other.positive = rebound_terms(&other.positive, &theirs, &common);
                self.custom_values = Some(common);
            }
        } else {
            self.reconcile_zero(&mut other);
            let target = self.schema.min(other.schema);
            for parts in [&mut *self, &mut other] {
                if parts.schema > target {
                    let schema = parts.schema;
                    parts.positive = reduced(std::mem::take(&mut parts.positive), schema, target);
                    parts.negative = reduced(std::mem::take(&mut parts.negative), schema, target);
                    parts.schema = target;
                }
            }
        }
        self.zero = plus(self.zero, other.zero);
        self.count = plus(self.count, other.count);
        self.sum = plus(self.sum, other.sum);
        merge_into(&mut self.positive, other.positive);
        merge_into(&mut self.negative, other.negative);
        Ok(note)
    }
}

fn rebound_terms(terms: &BTreeMap<i32, Term>, from: &[f64], to: &[f64]) -> BTreeMap<i32, Term> {
    let plain: Vec<(i32, f64)> = terms
        .iter()
        .map(|(index, term)| (*index, value(*term)))
        .collect();
    rebound(&plain, from, to)
        .into_iter()
        .map(|(index, count)| (index, (count, 0.0)))
        .collect()
}

fn combine(a: &Histogram, b: &Histogram, sign: f64) -> Result<(Histogram, Note), Incompatible> {
    let mut parts = Parts::of(a);
    let mut other = Parts::of(b);
    if sign < 0.0 {
        other.scale(sign);
    }
    let note = parts.add(other)?;
    // Two terms need no compensation, and upstream uses none.
    for term in parts.all_terms() {
        term.1 = 0.0;
    }
    Ok((parts.finish(), note))
}

/// `a + b`.
pub fn add(a: &Histogram, b: &Histogram) -> Result<(Histogram, Note), Incompatible> {
    combine(a, b, 1.0)
}

/// `a - b`.
pub fn sub(a: &Histogram, b: &Histogram) -> Result<(Histogram, Note), Incompatible> {
    combine(a, b, -1.0)
}

fn each_value(histogram: &Histogram, change: impl Fn(f64) -> f64) -> Histogram {
    let mut result = histogram.clone();
    let numbers = [&mut result.zero_count, &mut result.count, &mut result.sum];
    for number in numbers
        .into_iter()
        .chain(&mut result.positive_buckets)
        .chain(&mut result.negative_buckets)
    {
        *number = change(*number);
    }
    result
}

/// All counts and the sum times a factor. A negative factor makes a gauge.
pub fn mul(histogram: &Histogram, factor: f64) -> Histogram {
    let mut result = each_value(histogram, |v| v * factor);
    if factor < 0.0 {
        result.reset_hint = ResetHint::Gauge;
    }
    result
}

/// All counts and the sum divided. Division by 0 leaves no buckets.
pub fn div(histogram: &Histogram, divisor: f64) -> Histogram {
    let mut result = each_value(histogram, |v| v / divisor);
    if divisor < 0.0 {
        result.reset_hint = ResetHint::Gauge;
    }
    if divisor == 0.0 {
        result.positive_spans.clear();
        result.positive_buckets.clear();
        result.negative_spans.clear();
        result.negative_buckets.clear();
    }
    result
}

/// Without empty buckets and with the fewest spans.
pub fn compact(histogram: &Histogram) -> Histogram {
    let populated = |spans: &[Span], counts: &[f64]| {
        let all = entries(spans, counts);
        layout(all.into_iter().filter(|(_, count)| *count != 0.0))
    };
    let (positive_spans, positive_buckets) =
        populated(&histogram.positive_spans, &histogram.positive_buckets);
    let (negative_spans, negative_buckets) =
        populated(&histogram.negative_spans, &histogram.negative_buckets);
    Histogram {
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..histogram.clone()
    }
}

/// Whether layout and all counts are the same; reset hints do not matter.
pub fn equals(a: &Histogram, b: &Histogram) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let all = |h: &Histogram| {
        (
            entries(&h.positive_spans, &h.positive_buckets),
            entries(&h.negative_spans, &h.negative_buckets),
        )
    };
    let lists = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
    };
    if a.schema != b.schema || !same(a.count, b.count) || !same(a.sum, b.sum) {
        return false;
    }
    if is_custom(a) && bounds(a) != bounds(b) {
        return false;
    }
    if a.zero_threshold != b.zero_threshold || !same(a.zero_count, b.zero_count) {
        return false;
    }
    let ((ap, an), (bp, bn)) = (all(a), all(b));
    lists(&ap, &bp) && lists(&an, &bn)
}

/// Whether a counter was reset between two samples.
pub fn detect_reset(current: &Histogram, previous: &Histogram) -> bool {
    match current.reset_hint {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if current.count < previous.count || is_custom(current) != is_custom(previous) {
        return true;
    }
    let fell = |now: &BTreeMap<i32, Term>, before: &BTreeMap<i32, Term>| {
        before
            .iter()
            .any(|(index, term)| now.get(index).map_or(0.0, |t| t.0) < term.0)
    };
    let now = Parts::of(current);
    let mut before = Parts::of(previous);
    if is_custom(current) {
        let (mine, theirs) = (bounds(current), bounds(previous));
        if mine == theirs {
            return fell(&now.positive, &before.positive);
        }
        let common = common_bounds(mine, theirs);
        return fell(
            &rebound_terms(&now.positive, mine, &common),
            &rebound_terms(&before.positive, theirs, &common),
        );
    }
    if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
        return true;
    }
    let (zero, threshold) = before.zero_for(current.zero_threshold);
    if threshold != current.zero_threshold || current.zero_count < zero.0 {
        return true;
    }
    before.widen_zero(current.zero_threshold);
    let (schema, target) = (before.schema, now.schema);
    fell(&now.positive, &reduced(before.positive, schema, target))
        || fell(&now.negative, &reduced(before.negative, schema, target))
}

/// Without what was known of a reset; a gauge stays one.
pub(crate) fn forget_reset(histogram: Arc<Histogram>) -> Arc<Histogram> {
    match histogram.reset_hint {
        ResetHint::Unknown | ResetHint::Gauge => histogram,
        ResetHint::Reset | ResetHint::NotReset => Arc::new(Histogram {
            reset_hint: ResetHint::Unknown,
            ..(*histogram).clone()
        }),
    }
}

/// Adds many histograms with compensation, keeping a mean that cannot overflow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    parts: Option<Parts>,
    added: f64,
    /// The parts are a mean, not a sum.
    incremental: bool,
    reset: bool,
    not_reset: bool,
    reconciled: bool,
    /// Whether only the mean is wanted.
    mean_only: bool,
}

impl Sum {
    /// A sum of which only the mean is wanted, so that it need not overflow.
    pub(crate) fn for_mean() -> Self {
        Self {
            mean_only: true,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, histogram: &Histogram) -> Result<(), Incompatible> {
        self.reset |= histogram.reset_hint == ResetHint::Reset;
        self.not_reset |= histogram.reset_hint == ResetHint::NotReset;
        self.added += 1.0;
        let Some(parts) = &mut self.parts else {
            self.parts = Some(Parts::of(histogram));
            return Ok(());
        };
        if !self.incremental {
            let kept = self.mean_only.then(|| parts.clone());
            let note = parts.add(Parts::of(histogram))?;
            self.reconciled |= note.reconciled;
            let Some(kept) = kept else {
                return Ok(());
            };
            if !parts.overflows() {
                return Ok(());
            }
            *parts = kept;
            parts.shrink(self.added - 1.0);
            self.incremental = true;
        }
        parts.scale((self.added - 1.0) / self.added);
        let mut share = Parts::of(histogram);
        share.shrink(self.added);
        let note = parts.add(share)?;
        self.reconciled |= note.reconciled;
        Ok(())
    }

    pub(crate) fn collided(&self) -> bool {
        self.reset && self.not_reset
    }

    pub(crate) fn reconciled(&self) -> bool {
        self.reconciled
    }

    pub(crate) fn total(self) -> Histogram {
        self.parts.unwrap_or_default().finish()
    }

    pub(crate) fn mean(self) -> Histogram {
        let mut parts = self.parts.unwrap_or_default();
        if !self.incremental {
            parts.shrink(self.added);
        }
        parts.finish()
    }
}
