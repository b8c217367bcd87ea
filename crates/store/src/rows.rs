//! Between the types of the model and rows.

use bellwether_model::DeliveryId;
use bellwether_model::state::{
    Delivery, DeliveryState, Event, NewDelivery, NewEvent, Receipt, Record, Subject,
};
use serde_json::Value;

use crate::chain::ChainRow;
use crate::conn::{DbError, Row, Val};
use crate::prepare::{nanos, time};

pub(crate) const RECORD: &str = "kind, id, version, due_at, body";
pub(crate) const DELIVERY: &str = "id, key, subject_kind, subject_id, channel, target, payload, due_at, expires_at, \
     state, attempt, fence, lease_until, receipt, error, provider_id";
pub(crate) const EVENT: &str = "seq, at, subject_kind, subject_id, kind, actor, text, data";

const STATES: [(DeliveryState, &str); 5] = [
    (DeliveryState::Pending, "pending"),
    (DeliveryState::Sending, "sending"),
    (DeliveryState::Done, "done"),
    (DeliveryState::Failed, "failed"),
    (DeliveryState::Cancelled, "cancelled"),
];

const RECEIPTS: [(Receipt, &str); 9] = [
    (Receipt::Unknown, "unknown"),
    (Receipt::Queued, "queued"),
    (Receipt::Accepted, "accepted"),
    (Receipt::Sent, "sent"),
    (Receipt::Delivered, "delivered"),
    (Receipt::Read, "read"),
    (Receipt::Answered, "answered"),
    (Receipt::FailedTemporarily, "failed_temporarily"),
    (Receipt::FailedPermanently, "failed_permanently"),
];

fn word<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    let found = table.iter().find(|(of, _)| *of == value);
    found.expect("the table names every variant").1
}

fn of_word<T: Copy>(table: &[(T, &'static str)], text: &str) -> Result<T, DbError> {
    let found = table.iter().find(|(_, word)| *word == text);
    found
        .map(|(value, _)| *value)
        .ok_or_else(|| DbError::other(format!("unknown word {text:?}")))
}

pub(crate) fn state_word(state: DeliveryState) -> &'static str {
    word(&STATES, state)
}

pub(crate) fn state_of(text: &str) -> Result<DeliveryState, DbError> {
    of_word(&STATES, text)
}

pub(crate) fn receipt_word(receipt: Receipt) -> &'static str {
    word(&RECEIPTS, receipt)
}

pub(crate) fn json_text(value: &Value) -> String {
    serde_json::to_string(value).expect("a JSON value can be written")
}

fn json(text: &str) -> Result<Value, DbError> {
    serde_json::from_str(text).map_err(DbError::other)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A number for a column; counters never come near the limit.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn record(mut row: Row) -> Result<Record, DbError> {
    Ok(Record {
        kind: row.text(0)?,
        id: row.text(1)?,
        version: unsigned(row.int(2)?),
        due_at: row.opt_int(3)?.map(time),
        body: json(&row.text(4)?)?,
    })
}

pub(crate) fn new_delivery(new: &NewDelivery) -> Vec<Val> {
    let NewDelivery {
        id,
        key,
        subject,
        channel,
        target,
        payload,
        due_at,
        expires_at,
    } = new;
    vec![
        id.to_string().into(),
        key.as_str().into(),
        subject.kind.as_str().into(),
        subject.id.as_str().into(),
        channel.as_str().into(),
        target.as_str().into(),
        json_text(payload).into(),
        nanos(*due_at).into(),
        expires_at.map(nanos).into(),
    ]
}

pub(crate) fn delivery(mut row: Row) -> Result<Delivery, DbError> {
    Ok(Delivery {
        new: NewDelivery {
            id: row.text(0)?.parse::<DeliveryId>().map_err(DbError::other)?,
            key: row.text(1)?,
            subject: Subject {
                kind: row.text(2)?,
                id: row.text(3)?,
            },
            channel: row.text(4)?,
            target: row.text(5)?,
            payload: json(&row.text(6)?)?,
            due_at: time(row.int(7)?),
            expires_at: row.opt_int(8)?.map(time),
        },
        state: state_of(&row.text(9)?)?,
        attempt: u32::try_from(row.int(10)?).unwrap_or(u32::MAX),
        fence: unsigned(row.int(11)?),
        lease_until: row.opt_int(12)?.map(time),
        receipt: of_word(&RECEIPTS, &row.text(13)?)?,
        error: row.text(14)?,
        provider_id: row.text(15)?,
    })
}

pub(crate) fn new_event(seq: u64, new: &NewEvent) -> Vec<Val> {
    let NewEvent {
        at,
        subject,
        kind,
        actor,
        text,
        data,
    } = new;
    vec![
        signed(seq).into(),
        nanos(*at).into(),
        subject.kind.as_str().into(),
        subject.id.as_str().into(),
        kind.as_str().into(),
        actor.as_str().into(),
        text.as_str().into(),
        json_text(data).into(),
    ]
}

pub(crate) fn event(mut row: Row) -> Result<Event, DbError> {
    Ok(Event {
        seq: unsigned(row.int(0)?),
        new: NewEvent {
            at: time(row.int(1)?),
            subject: Subject {
                kind: row.text(2)?,
                id: row.text(3)?,
            },
            kind: row.text(4)?,
            actor: row.text(5)?,
            text: row.text(6)?,
            data: json(&row.text(7)?)?,
        },
    })
}

pub(crate) fn chain_row(mut row: Row) -> Result<ChainRow, DbError> {
    let (seq, at) = (unsigned(row.int(0)?), row.int(1)?);
    let texts = [
        row.text(2)?,
        row.text(3)?,
        row.text(4)?,
        row.text(5)?,
        row.text(6)?,
        row.text(7)?,
    ];
    let [subject_kind, subject_id, kind, actor, text, data] = &texts;
    Ok(ChainRow {
        seq,
        content: crate::chain::content(
            seq,
            at,
            [subject_kind, subject_id, kind, actor, text, data],
        ),
        hash: row.opt_text(8)?,
    })
}
