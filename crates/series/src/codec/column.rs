//! Columns of integers, and floats as decimal integers.
//!
//! A column is differenced zero, one or two times, whichever is smallest; as many values at its front go in plain. The
//! differences go in groups of [`GROUP`], each Rice-coded with its own parameter (Rice and Plaunt 1971): constant slopes
//! cost six bits a group.
//! Floats become integers by one power of ten for the whole column (the idea is VictoriaMetrics'), only where dividing
//! back gives the same bits; what does not fit is an exception that keeps its bits. If all integers lie on one grid (bytes
//! in pages, sectors), their distances from the first are divided by it.

use super::bits::{BitReader, BitWriter};
use super::bytes::{unzigzag, zigzag};

const GROUP: usize = 32;
/// Parameter that says: every value of the group is zero.
const ALL_ZERO: u64 = 63;
/// Quotients from here on are written as 64 plain bits.
const QUOTIENT_MAX: u32 = 24;
const POWERS: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];
const MANTISSA_MAX: f64 = (1_u64 << 53) as f64;

/// Floats as integers of one decimal exponent.
pub(super) struct Decimal {
    exponent: u8,
    mantissas: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
}

/// Appends a column.
pub(super) fn encode(out: &mut BitWriter, values: &[i64]) {
    let mut best: Option<(u64, usize, Vec<u64>)> = None;
    let mut current: Vec<i64> = values.to_vec();
    for order in 0..=2 {
        let rest = current.iter().skip(order);
        let coded: Vec<u64> = rest.map(|value| zigzag(*value)).collect();
        let cost = cost(&coded) + 64 * order as u64;
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, order, coded));
        }
        let mut before = 0_i64;
        for (index, value) in current.iter_mut().enumerate() {
            let here = *value;
            // Values up to `order` are the front, which stays as it is.
            if index > order {
                *value = here.wrapping_sub(before);
            }
            before = here;
        }
    }
    let Some((_, order, coded)) = best else {
        return;
    };
    out.put(order as u64, 2);
    // The front of the column after differencing: its first value, then its first difference.
    let front = [
        values.first().copied().unwrap_or_default(),
        match values {
            [first, second, ..] => second.wrapping_sub(*first),
            _ => 0,
        },
    ];
    for value in front.iter().take(order.min(values.len())) {
        out.put(*value as u64, 64);
    }
    for group in coded.chunks(GROUP) {
        encode_group(out, group);
    }
}

/// Takes a column of `count` values, appending to `out`.
pub(super) fn decode(reader: &mut BitReader<'_>, count: usize, out: &mut Vec<i64>) -> Option<()> {
    let order = reader.take(2)? as usize;
    if order > 2 {
        return None;
    }
    let start = out.len();
    out.reserve(count);
    let plain = order.min(count);
    for _ in 0..plain {
        out.push(reader.take(64)? as i64);
    }
    let mut left = count - plain;
    while left > 0 {
        let size = left.min(GROUP);
        decode_group(reader, size, out)?;
        left -= size;
    }
    for round in (0..order).rev() {
        let mut before = 0_i64;
        for (index, value) in out[start..].iter_mut().enumerate() {
            if index > round {
                *value = value.wrapping_add(before);
            }
            before = *value;
        }
    }
    Some(())
}

fn parameter(group: &[u64]) -> u64 {
    let mut sum = 0_u128;
    let mut all_zero = true;
    for &value in group {
        sum += u128::from(value);
        all_zero &= value == 0;
    }
    if all_zero {
        return ALL_ZERO;
    }
    let mean = (sum / group.len() as u128) as u64;
    // The best parameter is near log2 of the mean.
    let guess = 63_u64
        .saturating_sub(u64::from((mean | 1).leading_zeros()))
        .min(60);
    let mut sorted = [0; GROUP];
    let sorted = &mut sorted[..group.len()];
    sorted.copy_from_slice(group);
    sorted.sort_unstable();
    // One outlier moves the mean, not the median.
    let median = log2(sorted[sorted.len() / 2]);
    let candidates = [median, guess.saturating_sub(1), guess, (guess + 1).min(60)];
    candidates
        .into_iter()
        .min_by_key(|k| group_cost(group, *k))
        .unwrap_or(guess)
}

fn log2(value: u64) -> u64 {
    u64::from((value | 1).ilog2()).min(60)
}

fn group_cost(group: &[u64], k: u64) -> u64 {
    group
        .iter()
        .map(|value| {
            let quotient = value >> k;
            if quotient >= u64::from(QUOTIENT_MAX) {
                u64::from(QUOTIENT_MAX) + 64
            } else {
                quotient + 1 + k
            }
        })
        .sum()
}

fn cost(coded: &[u64]) -> u64 {
    coded
        .chunks(GROUP)
        .map(|group| match parameter(group) {
            ALL_ZERO => 6,
            k => 6 + group_cost(group, k),
        })
        .sum()
}

fn encode_group(out: &mut BitWriter, group: &[u64]) {
    let k = parameter(group);
    out.put(k, 6);
    if k == ALL_ZERO {
        return;
    }
    for &value in group {
        let quotient = value >> k;
        if quotient >= u64::from(QUOTIENT_MAX) {
            out.put((1 << QUOTIENT_MAX) - 1, QUOTIENT_MAX);
            out.put(value, 64);
        } else {
            let quotient = quotient as u32;
            out.put((1 << (quotient + 1)) - 2, quotient + 1);
            out.put(value, k as u32);
        }
    }
}

fn decode_group(reader: &mut BitReader<'_>, size: usize, out: &mut Vec<i64>) -> Option<()> {
    let k = reader.take(6)?;
    if k == ALL_ZERO {
        out.resize(out.len() + size, 0);
        return Some(());
    }
    if k > 60 {
        return None;
    }
    for _ in 0..size {
        let quotient = reader.ones(QUOTIENT_MAX)?;
        let value = if quotient == QUOTIENT_MAX {
            reader.take(64)?
        } else {
            // 24 << 60 does not fit; an honest writer never makes it, so the overflow is only kept from panicking.
            u64::from(quotient).wrapping_shl(k as u32) | reader.take(k as u32)?
        };
        out.push(unzigzag(value));
    }
    Some(())
}

/// The mantissa of `value` at `exponent`, if dividing gives the same bits back.
#[inline]
fn mantissa(value: f64, exponent: usize) -> Option<i64> {
    let power = POWERS[exponent];
    let scaled = (value * power).round();
    if scaled.abs() > MANTISSA_MAX {
        return None;
    }
    let integer = scaled as i64;
    ((integer as f64 / power).to_bits() == value.to_bits()).then_some(integer)
}

/// The largest number that divides the distance of every value from the first; zero when all are equal.
fn grid(values: &[i64]) -> u64 {
    let Some(first) = values.first() else {
        return 0;
    };
    let mut common = 0;
    for value in values {
        // Mantissas are below 2^53, so the distance does not overflow.
        let (mut a, mut b) = (common, value.wrapping_sub(*first).unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        common = a;
        if common == 1 {
            break;
        }
    }
    common
}

/// Turns floats into decimal integers, unless too many of them do not fit.
pub(super) fn to_decimal(values: &[f64]) -> Option<Decimal> {
    let exceptions_max = values.len() / 8 + 1;
    let mut exponent = 0;
    let mut misfits = 0;
    for &value in values {
        match (exponent..POWERS.len()).find(|e| mantissa(value, *e).is_some()) {
            Some(found) => exponent = found,
            None => {
                misfits += 1;
                if misfits > exceptions_max {
                    return None;
                }
            }
        }
    }
    let mut mantissas = Vec::with_capacity(values.len());
    let mut exceptions = Vec::new();
    let mut before = 0;
    for (index, &value) in values.iter().enumerate() {
        match mantissa(value, exponent) {
            Some(integer) => before = integer,
            None => exceptions.push((index, value.to_bits())),
        }
        mantissas.push(before);
    }
    (exceptions.len() <= exceptions_max).then_some(Decimal {
        exponent: exponent as u8,
        mantissas,
        exceptions,
    })
}

// === impl Decimal ===

impl Decimal {
    pub(super) fn encode(&self, out: &mut BitWriter) {
        out.put(u64::from(self.exponent), 4);
        let grid = grid(&self.mantissas);
        if grid > 1 {
            let first = self.mantissas[0];
            let distance = |value: &i64| (value - first) / grid as i64;
            let distances: Vec<i64> = self.mantissas.iter().map(distance).collect();
            out.put(1, 1);
            out.put(first as u64, 64);
            out.put(grid, 64);
            encode(out, &distances);
        } else {
            out.put(0, 1);
            encode(out, &self.mantissas);
        }
        out.put(self.exceptions.len() as u64, 16);
        for (index, bits) in &self.exceptions {
            out.put(*index as u64, 16);
            out.put(*bits, 64);
        }
    }
}

/// Takes `count` floats that [`Decimal::encode`] wrote, appending to `out`.
pub(super) fn decode_decimal(
    reader: &mut BitReader<'_>,
    count: usize,
    out: &mut Vec<f64>,
) -> Option<()> {
    let power = POWERS[reader.take(4)? as usize];
    let (first, grid) = if reader.bit()? {
        (reader.take(64)? as i64, reader.take(64)? as i64)
    } else {
        (0, 1)
    };
    let mut mantissas = Vec::new();
    decode(reader, count, &mut mantissas)?;
    if grid != 1 {
        for mantissa in &mut mantissas {
            *mantissa = mantissa.wrapping_mul(grid).wrapping_add(first);
        }
    }
    let start = out.len();
    if power == 1.0 {
        out.extend(mantissas.iter().map(|mantissa| *mantissa as f64));
    } else {
        out.extend(mantissas.iter().map(|mantissa| *mantissa as f64 / power));
    }
    for _ in 0..reader.take(16)? {
        let index = reader.take(16)? as usize;
        let bits = reader.take(64)?;
        *out[start..].get_mut(index)? = f64::from_bits(bits);
    }
    Some(())
}
