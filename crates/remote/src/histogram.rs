//! Native histograms on the wire; write 1.0 and 2.0 have the same fields.

use std::sync::Arc;

use bellwether_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};

use crate::DecodeError;
use crate::proto::{Field, Reader, Writer, unzigzag};

/// Buckets that one histogram may have.
const BUCKETS_MAX: usize = 1 << 16;

fn span(bytes: &[u8]) -> Result<Span, DecodeError> {
    let mut span = Span {
        offset: 0,
        length: 0,
    };
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        let wide = |_| DecodeError::Proto("a span is out of range");
        match number {
            1 => span.offset = i32::try_from(field.sint()?).map_err(wide)?,
            2 => span.length = u32::try_from(field.number()?).map_err(wide)?,
            _ => {}
        }
    }
    Ok(span)
}

/// Counts as differences from bucket to bucket.
fn deltas(field: Field<'_>, counts: &mut Vec<f64>) -> Result<(), DecodeError> {
    let mut count = counts.last().copied().unwrap_or(0.0) as i64;
    field.numbers(&mut |value| {
        count = count.wrapping_add(unzigzag(value));
        counts.push(count as f64);
    })
}

/// Reads a histogram with its time.
pub(crate) fn decode(bytes: &[u8]) -> Result<(i64, Histogram), DecodeError> {
    let mut histogram = Histogram::default();
    let mut time = 0;
    let mut custom = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => histogram.count = field.number()? as f64,
            2 => histogram.count = field.double()?,
            3 => histogram.sum = field.double()?,
            4 => {
                histogram.schema = i32::try_from(field.sint()?)
                    .map_err(|_| DecodeError::Proto("a schema is out of range"))?;
            }
            5 => histogram.zero_threshold = field.double()?,
            6 => histogram.zero_count = field.number()? as f64,
            7 => histogram.zero_count = field.double()?,
            8 => histogram.negative_spans.push(span(field.bytes()?)?),
            9 => deltas(field, &mut histogram.negative_buckets)?,
            10 => field.doubles(&mut histogram.negative_buckets)?,
            11 => histogram.positive_spans.push(span(field.bytes()?)?),
            12 => deltas(field, &mut histogram.positive_buckets)?,
            13 => field.doubles(&mut histogram.positive_buckets)?,
            14 => {
                histogram.reset_hint = match field.number()? {
                    1 => ResetHint::Reset,
                    2 => ResetHint::NotReset,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                };
            }
            15 => time = field.int()?,
            16 => field.doubles(&mut custom)?,
            _ => {}
        }
    }
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        histogram.custom_values = Some(Arc::from(custom));
    }
    check(&histogram)?;
    Ok((time, histogram))
}

fn check_side(spans: &[Span], buckets: &[f64]) -> Result<(), DecodeError> {
    if spans.len() > BUCKETS_MAX || buckets.len() > BUCKETS_MAX {
        return Err(DecodeError::Proto("a histogram has too many buckets"));
    }
    let wanted: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if wanted != buckets.len() as u64 {
        return Err(DecodeError::Invalid(format!(
            "a histogram's spans need {wanted} buckets, it has {}",
            buckets.len()
        )));
    }
    if spans.iter().skip(1).any(|span| span.offset < 0) {
        return Err(DecodeError::Proto("a histogram's spans overlap"));
    }
    if buckets.iter().any(|count| *count < 0.0) {
        return Err(DecodeError::Proto("a histogram has a negative count"));
    }
    Ok(())
}

fn check(histogram: &Histogram) -> Result<(), DecodeError> {
    let schema = histogram.schema;
    if schema != CUSTOM_BUCKETS_SCHEMA && !(-4..=8).contains(&schema) {
        return Err(DecodeError::Invalid(format!(
            "a histogram has the unknown schema {schema}"
        )));
    }
    if let Some(bounds) = &histogram.custom_values {
        if bounds.len() > BUCKETS_MAX {
            return Err(DecodeError::Proto("a histogram has too many buckets"));
        }
        let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising
            || bounds
                .iter()
                .any(|bound| bound.is_nan() || *bound == f64::INFINITY)
        {
            return Err(DecodeError::Proto(
                "custom bounds of a histogram do not rise",
            ));
        }
    }
    check_side(&histogram.positive_spans, &histogram.positive_buckets)?;
    check_side(&histogram.negative_spans, &histogram.negative_buckets)
}

/// Writes a histogram with float counts.
pub(crate) fn encode(writer: &mut Writer, time: i64, histogram: &Histogram) {
    let spans = |writer: &mut Writer, field, spans: &[Span]| {
        for span in spans {
            writer.message(field, |w| {
                w.sint(1, i64::from(span.offset));
                w.number(2, u64::from(span.length));
            });
        }
    };
    writer.double(2, histogram.count);
    writer.double(3, histogram.sum);
    writer.sint(4, i64::from(histogram.schema));
    writer.double(5, histogram.zero_threshold);
    writer.double(7, histogram.zero_count);
    spans(writer, 8, &histogram.negative_spans);
    writer.doubles(10, &histogram.negative_buckets);
    spans(writer, 11, &histogram.positive_spans);
    writer.doubles(13, &histogram.positive_buckets);
    writer.number(
        14,
        match histogram.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        },
    );
    writer.int(15, time);
    if let Some(bounds) = &histogram.custom_values {
        writer.doubles(16, bounds);
    }
}
