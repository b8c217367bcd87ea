//! Histograms as Prometheus prints them.

use bellwether_model::histogram::Histogram;

use super::buckets::raw_buckets;
use crate::annotations::go_float;

/// `{count:20, sum:10, [-2,-1):2, ...}`: populated buckets from the lowest to the highest.
pub fn to_text(histogram: &Histogram) -> String {
    let mut text = format!(
        "{{count:{}, sum:{}",
        go_float(histogram.count),
        go_float(histogram.sum)
    );
    for bucket in raw_buckets(histogram) {
        if bucket.count != 0.0 {
            text.push_str(&format!(
                ", {}{},{}{}:{}",
                if bucket.lower_inclusive { '[' } else { '(' },
                go_float(bucket.lower),
                go_float(bucket.upper),
                if bucket.upper_inclusive { ']' } else { ')' },
                go_float(bucket.count)
            ));
        }
    }
    text.push('}');
    text
}
