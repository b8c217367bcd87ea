//! From local time to instants, and back.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The instant of a local time, by the rule of RFC 5545: a time that the clock skips is read with the offset before
/// the jump (02:30 becomes 03:30), one that it shows twice is the first. Times outside of what a timestamp can hold
/// are its nearest end.
pub fn instant(time_zone: &TimeZone, local: DateTime) -> Timestamp {
    time_zone
        .to_ambiguous_timestamp(local)
        .compatible()
        .unwrap_or(if local.year() < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
}

/// The local time of an instant.
pub fn local(time_zone: &TimeZone, at: Timestamp) -> DateTime {
    time_zone.to_datetime(at)
}
