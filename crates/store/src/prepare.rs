//! What every implementation does to a batch first, so that all of them store the same.

use bellwether_model::state::Batch;
use jiff::Timestamp;
use serde_json::Value;

use crate::error::StoreError;

/// Longest body, payload or event data, as JSON text.
pub(crate) const MAX_JSON: usize = 16 << 20;

/// Deepest nesting of it; the parser stops at 128.
pub(crate) const MAX_DEPTH: usize = 120;

/// Nanoseconds since 1970, the form in which times are stored; saturates in 1677 and 2262.
pub(crate) fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(if time.as_second() < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

/// The time of a stored number.
pub(crate) fn time(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos))
        .expect("64 bits of nanoseconds are within jiff's range")
}

/// Text without NUL, which PostgreSQL cannot hold.
pub(crate) fn clean(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

fn clamp(at: &mut Timestamp) {
    *at = time(nanos(*at));
}

fn clamp_any(at: &mut Option<Timestamp>) {
    *at = at.map(|at| time(nanos(at)));
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => {
            levels == 0 || values.iter().any(|value| is_deeper(value, levels - 1))
        }
        Value::Object(values) => {
            levels == 0 || values.values().any(|value| is_deeper(value, levels - 1))
        }
        _ => false,
    }
}

/// More than the text can have, found without writing it: nearly every body is far below the limit.
fn size_at_most(value: &Value) -> usize {
    const ESCAPED: usize = 6;
    const NUMBER: usize = 32;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER,
        Value::String(text) => 3 + ESCAPED * text.len(),
        Value::Array(values) => {
            3 + values
                .iter()
                .map(|value| 1 + size_at_most(value))
                .sum::<usize>()
        }
        Value::Object(values) => {
            let entry =
                |(key, value): (&String, &Value)| 5 + ESCAPED * key.len() + size_at_most(value);
            3 + values.iter().map(entry).sum::<usize>()
        }
    }
}

fn check_json(what: &str, value: &Value) -> Result<(), StoreError> {
    if is_deeper(value, MAX_DEPTH) {
        return Err(StoreError::TooDeep {
            what: what.to_owned(),
            max: MAX_DEPTH,
        });
    }
    if size_at_most(value) <= MAX_JSON {
        return Ok(());
    }
    let size = serde_json::to_string(value).map_or(usize::MAX, |text| text.len());
    if size > MAX_JSON {
        return Err(StoreError::TooLarge {
            what: what.to_owned(),
            size,
            max: MAX_JSON,
        });
    }
    Ok(())
}

/// Compacts, clamps times, cleans texts, checks sizes.
pub(crate) fn prepare(batch: &mut Batch) -> Result<(), StoreError> {
    batch.compact();
    let Batch {
        records,
        deliveries,
        updates,
        events,
    } = batch;
    for write in records {
        clean(&mut write.id);
        clamp_any(&mut write.due_at);
        if let Some(body) = &write.body {
            check_json(write.kind.0, body)?;
        }
    }
    for new in deliveries {
        for text in [
            &mut new.key,
            &mut new.subject.kind,
            &mut new.subject.id,
            &mut new.channel,
            &mut new.target,
        ] {
            clean(text);
        }
        clamp(&mut new.due_at);
        clamp_any(&mut new.expires_at);
        check_json("delivery", &new.payload)?;
    }
    for update in updates {
        clean(&mut update.error);
        clean(&mut update.provider_id);
        clamp(&mut update.due_at);
        clamp_any(&mut update.lease_until);
    }
    for event in events {
        for text in [
            &mut event.subject.kind,
            &mut event.subject.id,
            &mut event.kind,
            &mut event.actor,
            &mut event.text,
        ] {
            clean(text);
        }
        clamp(&mut event.at);
        check_json("event", &event.data)?;
    }
    Ok(())
}

/// `ttl` after `now`, within the range of stored times.
pub(crate) fn after(now: Timestamp, ttl: std::time::Duration) -> Timestamp {
    let ttl = i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX);
    time(nanos(now).saturating_add(ttl))
}
