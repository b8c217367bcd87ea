//! Sums with compensation (Neumaier's variant of Kahan's algorithm), as Prometheus adds.

/// Adds `value` to `sum`; the second number is what got lost so far.
pub(crate) fn add(value: f64, sum: f64, lost: f64) -> (f64, f64) {
    let total = sum + value;
    let lost = if total.is_infinite() {
        0.0
    } else if sum.abs() >= value.abs() {
        lost + ((sum - total) + value)
    } else {
        lost + ((value - total) + sum)
    };
    (total, lost)
}

/// Sum of all.
pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    for value in values {
        (sum, lost) = add(value, sum, lost);
    }
    if sum.is_infinite() { sum } else { sum + lost }
}

/// Mean of all; switches to an incremental mean where the sum would overflow.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let (mut sum, mut lost, mut mean, mut incremental) = (values[0], 0.0, 0.0, false);
    for (index, value) in values.iter().enumerate().skip(1) {
        let count = index as f64 + 1.0;
        if !incremental {
            let (next, next_lost) = add(*value, sum, lost);
            if !next.is_infinite() {
                (sum, lost) = (next, next_lost);
                continue;
            }
            incremental = true;
            mean = sum / (count - 1.0);
            lost /= count - 1.0;
        }
        let share = (count - 1.0) / count;
        (mean, lost) = add(value / count, share * mean, share * lost);
    }
    let count = values.len() as f64;
    if incremental {
        mean + lost
    } else {
        sum / count + lost / count
    }
}

/// Population variance (Welford's algorithm).
pub(crate) fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut mean_lost, mut aux, mut aux_lost) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_lost);
        (mean, mean_lost) = add(delta / count, mean, mean_lost);
        (aux, aux_lost) = add(delta * (value - (mean + mean_lost)), aux, aux_lost);
    }
    (aux + aux_lost) / count
}

/// φ-quantile; reorders the values, NaN counts as the smallest.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let order = |a: &f64, b: &f64| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.partial_cmp(b).expect("neither is NaN"),
    };
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let weight = rank - rank.floor();
    let (_, low, above) = values.select_nth_unstable_by(lower as usize, order);
    let low = *low;
    let high = above.iter().copied().min_by(order).unwrap_or(low);
    low * (1.0 - weight) + high * weight
}
