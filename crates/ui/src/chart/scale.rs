//! Axes: where values go and where the ticks are.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit as TimeUnit, ZonedRound};

/// A linear map from a range of values to `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// Covers the finite numbers given, widened to round ticks; an empty or flat range gets room around it.
    pub fn covering(values: impl IntoIterator<Item = f64>, from_zero: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            if value.is_finite() {
                low = low.min(value);
                high = high.max(value);
            }
        }
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        }
        if from_zero && low > 0.0 {
            low = 0.0;
        }
        // Half of each: the difference of two huge numbers of opposite sign is not finite.
        if high / 2.0 - low / 2.0 <= f64::EPSILON * high.abs().max(low.abs()).max(1e-300) {
            let room = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            low = if from_zero && low >= 0.0 {
                low
            } else {
                low - room
            };
            high += room;
        }
        let step = nice_step(high / 4.0 - low / 4.0);
        let (floor, ceil) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self {
            // Rounding may underflow past the value itself.
            low: if floor.is_finite() {
                floor.min(low)
            } else {
                low
            },
            high: if ceil.is_finite() {
                ceil.max(high)
            } else {
                high
            },
        }
    }

    /// Where a value lies: 0 at `low`, 1 at `high`, clamped.
    pub fn place(&self, value: f64) -> f64 {
        let half = self.high / 2.0 - self.low / 2.0;
        if half <= 0.0 {
            return 0.5;
        }
        ((value / 2.0 - self.low / 2.0) / half).clamp(0.0, 1.0)
    }
}

/// The smallest of 1, 2, 2.5 or 5 times a power of ten that is not less.
fn nice_step(rough: f64) -> f64 {
    if !rough.is_finite() || rough <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    for factor in [1.0, 2.0, 2.5, 5.0] {
        if power * factor >= rough * (1.0 - 1e-9) {
            return power * factor;
        }
    }
    power * 10.0
}

/// Round values inside a scale, three to six of them.
pub fn nice_ticks(scale: Scale) -> Vec<f64> {
    let step = nice_step(scale.high / 4.0 - scale.low / 4.0);
    let first = (scale.low / step).ceil() * step;
    (0..12)
        .map(|index| first + f64::from(index) * step)
        .take_while(|tick| *tick <= scale.high + step * 1e-6)
        .map(|tick| if tick.abs() < step * 1e-6 { 0.0 } else { tick })
        .collect()
}

/// Round moments of the local clock inside a range, about `wanted` of them, with their labels.
pub fn time_ticks(
    zone: &TimeZone,
    from: Timestamp,
    to: Timestamp,
    wanted: usize,
) -> Vec<(Timestamp, String)> {
    /// Steps in seconds: (length, smallest unit, rounding increment).
    const STEPS: [(i64, TimeUnit, i64); 17] = [
        (1, TimeUnit::Second, 1),
        (5, TimeUnit::Second, 5),
        (15, TimeUnit::Second, 15),
        (30, TimeUnit::Second, 30),
        (60, TimeUnit::Minute, 1),
        (120, TimeUnit::Minute, 2),
        (300, TimeUnit::Minute, 5),
        (600, TimeUnit::Minute, 10),
        (900, TimeUnit::Minute, 15),
        (1800, TimeUnit::Minute, 30),
        (3600, TimeUnit::Hour, 1),
        (7200, TimeUnit::Hour, 2),
        (10_800, TimeUnit::Hour, 3),
        (21_600, TimeUnit::Hour, 6),
        (43_200, TimeUnit::Hour, 12),
        (86_400, TimeUnit::Day, 1),
        (604_800, TimeUnit::Day, 1),
    ];
    let length = to.duration_since(from).as_secs();
    if length <= 0 || wanted == 0 {
        return Vec::new();
    }
    let rough = length / wanted as i64;
    let (step, unit, increment) = STEPS
        .into_iter()
        .find(|(seconds, _, _)| *seconds >= rough)
        .unwrap_or(((rough / 86_400 + 1) * 86_400, TimeUnit::Day, 1));
    let format = match step {
        ..60 => "%H:%M:%S",
        60..43_200 => "%H:%M",
        43_200..86_400 => "%a %H:%M",
        _ => "%-d %b",
    };
    let round = ZonedRound::new()
        .smallest(unit)
        .increment(increment)
        .mode(jiff::RoundMode::Ceil);
    let mut ticks = Vec::new();
    let mut at = from;
    while at <= to && ticks.len() <= wanted * 3 {
        // Rounding each tick anew keeps them on round local hours across a clock change.
        let Ok(local) = at.to_zoned(zone.clone()).round(round) else {
            break;
        };
        let tick = local.timestamp();
        if tick > to {
            break;
        }
        if ticks.last().is_none_or(|(last, _)| *last < tick) {
            ticks.push((tick, local.strftime(format).to_string()));
        }
        // A little less than a step, so that a shortened day or hour is not jumped over.
        let Ok(next) = tick.checked_add(SignedDuration::from_secs(step - step / 8)) else {
            break;
        };
        at = next;
    }
    ticks
}
