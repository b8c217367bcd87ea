//! Fewer points, same picture: the extremes of each slice of time stay.

use jiff::Timestamp;

/// Keeps at most about `4 * slices` points: of each slice of time the first, the lowest, the highest and the last, in
/// order, so that no peak is lost. NaN points stay where they break the line (one per slice).
pub fn reduce(points: &[(Timestamp, f64)], slices: usize) -> Vec<(Timestamp, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if slices == 0 || points.len() <= slices * 2 {
        return points.to_vec();
    }
    let origin = first.0.as_millisecond();
    let width = ((last.0.as_millisecond() - origin) / slices as i64).max(1);
    let mut kept = Vec::with_capacity(slices * 4);
    let mut start = 0;
    while start < points.len() {
        let slice = (points[start].0.as_millisecond() - origin) / width;
        let length = points[start..]
            .iter()
            .take_while(|(at, _)| (at.as_millisecond() - origin) / width == slice)
            .count()
            .max(1);
        keep_extremes(&points[start..start + length], start, &mut kept);
        start += length;
    }
    kept.into_iter().map(|index: usize| points[index]).collect()
}

fn keep_extremes(slice: &[(Timestamp, f64)], offset: usize, kept: &mut Vec<usize>) {
    let finite = || {
        slice
            .iter()
            .enumerate()
            .filter(|(_, (_, value))| !value.is_nan())
    };
    let low = finite().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
    let high = finite().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
    let gap = slice.iter().position(|(_, value)| value.is_nan());
    let mut chosen = vec![0, slice.len() - 1];
    chosen.extend(low.map(|(index, _)| index));
    chosen.extend(high.map(|(index, _)| index));
    chosen.extend(gap);
    chosen.sort_unstable();
    chosen.dedup();
    kept.extend(chosen.into_iter().map(|index| index + offset));
}
