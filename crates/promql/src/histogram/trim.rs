//! `</` and `>/`: a histogram without the observations above or below a value.

use bellwether_model::histogram::Histogram;

use super::arithmetic::compact;
use super::buckets::{Bucket, bucket, entries, is_custom, zero_bucket};

/// Observations of the bucket up to `at`.
fn split(bucket: &Bucket, at: f64, positive: bool, linear: bool) -> f64 {
    if at <= bucket.lower {
        return 0.0;
    }
    if at >= bucket.upper {
        return bucket.count;
    }
    let share = if linear {
        (at - bucket.lower) / (bucket.upper - bucket.lower)
    } else {
        let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        let at = at.abs().log2();
        if positive {
            (at - low) / (high - low)
        } else {
            1.0 - (at - high) / (low - high)
        }
    };
    bucket.count * share
}

/// Count to keep and middle of what goes, for a bucket that reaches to infinity.
fn split_infinite(bucket: &Bucket, at: f64, keep_below: bool) -> (f64, f64) {
    let finite_above = bucket.upper.is_finite();
    if bucket.lower == f64::NEG_INFINITY {
        if keep_below {
            if at >= bucket.upper {
                return (bucket.count, 0.0);
            }
            if at >= 0.0 && bucket.upper > at && finite_above {
                // A positive upper bound: the lower one is taken to be 0.
                return (
                    bucket.count * at / bucket.upper,
                    f64::midpoint(at, bucket.upper),
                );
            }
            return (0.0, bucket.upper);
        }
        if at <= bucket.lower {
            return (bucket.count, 0.0);
        }
        if at >= 0.0 && bucket.upper > at && finite_above {
            return (bucket.count * (1.0 - at / bucket.upper), at / 2.0);
        }
        return (0.0, bucket.upper);
    }
    if keep_below || at > bucket.lower {
        (0.0, bucket.lower)
    } else {
        (bucket.count, 0.0)
    }
}

fn middle(bucket: &Bucket, product: f64, linear: bool, positive: bool) -> f64 {
    if linear {
        f64::midpoint(bucket.lower, bucket.upper)
    } else if positive {
        product.sqrt()
    } else {
        -product.sqrt()
    }
}

/// Count to keep and middle of what goes.
fn cut(bucket: &Bucket, at: f64, keep_below: bool, positive: bool, linear: bool) -> (f64, f64) {
    if bucket.lower.is_infinite() || bucket.upper.is_infinite() {
        return split_infinite(bucket, at, keep_below);
    }
    let below = split(bucket, at, positive, linear);
    if keep_below {
        let product = bucket.lower.abs() * at.abs();
        (below, middle(bucket, product, linear, positive))
    } else {
        let product = at.abs() * bucket.upper.abs();
        (
            bucket.count - below,
            middle(bucket, product, linear, positive),
        )
    }
}

struct Trim {
    at: f64,
    keep_below: bool,
    linear: bool,
    kept: f64,
    removed_sum: f64,
    has_positive: bool,
    has_negative: bool,
}

impl Trim {
    fn side(&mut self, histogram: &Histogram, positive: bool) -> Vec<f64> {
        let (spans, counts) = if positive {
            (&histogram.positive_spans, &histogram.positive_buckets)
        } else {
            (&histogram.negative_spans, &histogram.negative_buckets)
        };
        entries(spans, counts)
            .into_iter()
            .map(|(index, count)| {
                if count == 0.0 {
                    return 0.0;
                }
                let bucket = bucket(histogram, index, count, positive);
                self.note_sign(&bucket, positive);
                self.one(&bucket, positive)
            })
            .collect()
    }

    fn note_sign(&mut self, bucket: &Bucket, positive: bool) {
        if self.linear {
            self.has_negative |= bucket.upper <= 0.0 || bucket.lower < 0.0;
            self.has_positive |= bucket.upper > 0.0;
        } else if positive {
            self.has_positive = true;
        } else {
            self.has_negative = true;
        }
    }

    fn one(&mut self, bucket: &Bucket, positive: bool) -> f64 {
        let (keep, mut centre) = cut(bucket, self.at, self.keep_below, positive, self.linear);
        let (whole, part) = if self.keep_below {
            (bucket.upper <= self.at, bucket.lower < self.at)
        } else {
            (bucket.lower >= self.at, bucket.upper > self.at)
        };
        if whole {
            self.kept += bucket.count;
            return bucket.count;
        }
        if part {
            self.removed_sum += (bucket.count - keep) * centre;
            self.kept += keep;
            return keep;
        }
        if !self.linear {
            centre = (bucket.lower * bucket.upper).sqrt();
            if !positive {
                centre = -centre;
            }
        }
        self.removed_sum += bucket.count * centre;
        0.0
    }
}

/// Keeps the observations below (or above) `at`; buckets that it cuts are interpolated, the sum is estimated.
pub(crate) fn trim(histogram: &Histogram, at: f64, keep_below: bool) -> Histogram {
    let mut result = histogram.clone();
    let mut trim = Trim {
        at,
        keep_below,
        linear: is_custom(histogram),
        kept: 0.0,
        removed_sum: 0.0,
        has_positive: false,
        has_negative: false,
    };
    result.positive_buckets = trim.side(histogram, true);
    result.negative_buckets = trim.side(histogram, false);
    if histogram.zero_count > 0.0 {
        let mut zero = zero_bucket(histogram);
        if histogram.negative_buckets.is_empty() && !histogram.positive_buckets.is_empty() {
            zero.lower = 0.0;
        } else if histogram.positive_buckets.is_empty() && !histogram.negative_buckets.is_empty() {
            zero.upper = 0.0;
        }
        let below = split(&zero, at, true, true);
        result.zero_count = if keep_below {
            below
        } else {
            histogram.zero_count - below
        };
        trim.kept += result.zero_count;
    }
    let mut sum = 0.0;
    if trim.kept != 0.0 {
        sum = histogram.sum - trim.removed_sum;
        if (!trim.has_negative && sum < 0.0) || (!trim.has_positive && sum > 0.0) {
            sum = 0.0;
        }
    }
    result.count = trim.kept;
    result.sum = sum;
    compact(&result)
}
