//! Quantiles, fractions and variance of histograms.

use bellwether_model::histogram::Histogram;

use super::buckets::{Bucket, buckets, is_custom};
use crate::annotations::Monotonicity;
use crate::engine::kahan;

/// Differences of counts below this share are rounding.
const TOLERANCE: f64 = 1e-12;

/// What NaN observations did to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nans {
    None,
    /// The result is NaN because of them.
    Result,
    /// The result is too high because of them, or leaves them out.
    Skew,
}

/// A cumulative bucket of a classic histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassicBucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

fn only_one_side(histogram: &Histogram, bucket: &mut Bucket) {
    let (negative, positive) = (
        !histogram.negative_buckets.is_empty(),
        !histogram.positive_buckets.is_empty(),
    );
    if !negative && positive {
        bucket.lower = 0.0;
    } else if !positive && negative {
        bucket.upper = 0.0;
    }
}

/// φ-quantile of a native histogram: linear inside custom and zero buckets, else exponential.
pub(crate) fn quantile(q: f64, histogram: &Histogram) -> (f64, Nans) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, Nans::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, Nans::None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, Nans::None);
    }
    let mut all = buckets(histogram);
    let forward = histogram.sum.is_nan() || q < 0.5;
    let mut rank = if forward {
        q * histogram.count
    } else {
        all.reverse();
        (1.0 - q) * histogram.count
    };
    let custom = is_custom(histogram);
    let mut bucket = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
    };
    let (mut count, mut rest) = (0.0, all.len());
    for (index, next) in all.iter().enumerate() {
        bucket = *next;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            rest = index + 1;
            break;
        }
    }
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, Nans::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, Nans::None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        only_one_side(histogram, &mut bucket);
    }
    count = count.min(histogram.count);
    if count < rank {
        return if histogram.sum.is_nan() {
            (f64::NAN, Nans::Result)
        } else {
            (bucket.upper, Nans::None)
        };
    }
    if forward {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    let mut nans = Nans::None;
    if histogram.sum.is_nan() {
        let total = count + all[rest..].iter().map(|b| b.count).sum::<f64>();
        if total < histogram.count {
            nans = Nans::Skew;
        }
    }
    let share = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * share, nans);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let value = if bucket.lower > 0.0 {
        (lower + (upper - lower) * share).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - share)).exp2()
    };
    (value, nans)
}

/// Ranks at two values while walking buckets upwards.
#[derive(Default)]
struct Ranks {
    lower: Option<f64>,
    upper: Option<f64>,
}

impl Ranks {
    /// Notes what the bucket says; true when both are known.
    fn visit(
        &mut self,
        bounds: (f64, f64),
        wanted: (f64, f64),
        rank: f64,
        inside: impl Fn(f64) -> f64,
    ) -> bool {
        for (slot, value) in [(&mut self.lower, wanted.0), (&mut self.upper, wanted.1)] {
            if slot.is_none() && bounds.0 >= value {
                *slot = Some(rank);
            }
        }
        for (slot, value) in [(&mut self.lower, wanted.0), (&mut self.upper, wanted.1)] {
            if slot.is_none() && bounds.0 < value && bounds.1 > value {
                *slot = Some(inside(value));
            }
        }
        self.lower.is_some() && self.upper.is_some()
    }

    fn share(&self, count: f64, of: f64) -> f64 {
        let capped = |rank: Option<f64>| match rank {
            Some(rank) if rank <= count => rank,
            _ => count,
        };
        (capped(self.upper) - capped(self.lower)) / of
    }
}

/// Share of observations of a native histogram between two values.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, Nans) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, Nans::None);
    }
    if lower >= upper {
        return (0.0, Nans::None);
    }
    let all = buckets(histogram);
    let mut ranks = Ranks::default();
    let mut rank = 0.0;
    for bucket in &all {
        let mut bucket = *bucket;
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if zero {
            only_one_side(histogram, &mut bucket);
        }
        let linear = zero || is_custom(histogram);
        let inside = |value: f64| {
            if linear && bucket.lower == f64::NEG_INFINITY {
                bucket.count
            } else if linear {
                rank + bucket.count * (value - bucket.lower) / (bucket.upper - bucket.lower)
            } else {
                let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
                let at = value.abs().log2();
                let share = if value > 0.0 {
                    (at - low) / (high - low)
                } else {
                    1.0 - (at - high) / (low - high)
                };
                rank + bucket.count * share
            }
        };
        if ranks.visit((bucket.lower, bucket.upper), (lower, upper), rank, inside) {
            break;
        }
        rank += bucket.count;
    }
    let (mut count, mut nans) = (histogram.count, Nans::None);
    if histogram.sum.is_nan() {
        count = all.iter().map(|b| b.count).sum();
        if count < histogram.count {
            nans = Nans::Skew;
        }
    }
    (ranks.share(count, histogram.count), nans)
}

fn sort(buckets: &mut Vec<ClassicBucket>) {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Whether two numbers are equal but for a relative difference.
pub(crate) fn nearly_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// Removes decreases of the counts; says where there were any that matter.
fn make_monotonic(buckets: &mut [ClassicBucket], time: i64) -> Option<Monotonicity> {
    let mut forced: Option<Monotonicity> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if nearly_equal(previous, count, TOLERANCE) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let seen = forced.get_or_insert(Monotonicity {
                bucket_min: f64::INFINITY,
                bucket_max: f64::NEG_INFINITY,
                diff_max: 0.0,
                count: 1,
                first: time,
                last: time,
            });
            seen.bucket_min = seen.bucket_min.min(bucket.upper);
            seen.bucket_max = seen.bucket_max.max(bucket.upper);
            seen.diff_max = seen.diff_max.max(previous - count);
        } else {
            previous = count;
        }
    }
    forced
}

/// φ-quantile of a classic histogram. Sorts the buckets.
pub(crate) fn classic_quantile(
    q: f64,
    buckets: &mut Vec<ClassicBucket>,
    time: i64,
) -> (f64, Option<Monotonicity>) {
    if q.is_nan() || buckets.is_empty() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    sort(buckets);
    if buckets[buckets.len() - 1].upper != f64::INFINITY {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets, time);
    let highest = buckets.len() - 1;
    let observations = buckets[highest].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    // Not a partition point of sorted counts when they are NaN, so as upstream's binary search.
    let (mut low, mut high) = (0, highest);
    while low < high {
        let middle = usize::midpoint(low, high);
        if buckets[middle].count >= rank {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let index = low;
    if index == highest {
        return (buckets[highest - 1].upper, forced);
    }
    if index == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[index].upper, buckets[index].count);
    if index > 0 {
        start = buckets[index - 1].upper;
        count -= buckets[index - 1].count;
        rank -= buckets[index - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// Share of observations of a classic histogram between two values. Sorts the buckets.
pub(crate) fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    sort(buckets);
    let Some(last) = buckets.last() else {
        return f64::NAN;
    };
    if last.upper != f64::INFINITY || last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    let count = last.count;
    if lower >= upper {
        return 0.0;
    }
    let mut low = if buckets[0].upper <= 0.0 {
        f64::NEG_INFINITY
    } else {
        0.0
    };
    let mut ranks = Ranks::default();
    let mut rank = 0.0;
    for bucket in buckets.iter() {
        let inside = |value: f64| {
            if low == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - low) / (bucket.upper - low)
            }
        };
        if ranks.visit((low, bucket.upper), (lower, upper), rank, inside) {
            break;
        }
        rank = bucket.count;
        low = bucket.upper;
    }
    ranks.share(count, count)
}

/// Estimated variance of the observations.
pub(crate) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (mut sum, mut lost) = (0.0, 0.0);
    for bucket in buckets(histogram) {
        if bucket.count == 0.0 {
            continue;
        }
        let value = if is_custom(histogram) {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let root = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -root } else { root }
        };
        let delta = value - mean;
        (sum, lost) = kahan::add(bucket.count * delta * delta, sum, lost);
    }
    (sum + lost) / histogram.count
}
