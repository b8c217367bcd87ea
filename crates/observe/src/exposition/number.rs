//! Values and timestamps.

/// The NaN that stands for "not a number" (and never for the staleness marker, whatever bits were sent).
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// A float as Go's `strconv.ParseFloat` reads it, without hexadecimal and underscores, as Prometheus has it.
#[inline]
pub(crate) fn parse_value(word: &[u8]) -> Option<f64> {
    // Most values are short whole numbers.
    if word.len() <= 15 && !word.is_empty() && word.iter().all(u8::is_ascii_digit) {
        let number = word
            .iter()
            .fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        return Some(number as f64);
    }
    let value: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    if value.is_nan() {
        return Some(f64::from_bits(NORMAL_NAN));
    }
    // Out of range is an error, as in Go; written infinities are not.
    if value.is_infinite() && word.iter().any(u8::is_ascii_digit) {
        return None;
    }
    Some(value)
}

/// Milliseconds, as in the text format.
pub(crate) fn parse_millis(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Seconds with a fraction, as in OpenMetrics, to milliseconds.
pub(crate) fn parse_seconds(word: &[u8]) -> Option<i64> {
    let seconds = parse_value(word)?;
    let millis = seconds * 1000.0;
    (millis.is_finite() && millis.abs() <= i64::MAX as f64).then_some(millis as i64)
}
