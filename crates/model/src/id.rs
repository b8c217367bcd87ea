//! Typed ids: sortable by time of birth, short enough to read out.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where numbers for ids come from. The simulator passes a seeded one; engines never draw their own. An id holds the
/// low 22 bits besides its millisecond, so sources count in them: random ones would collide in a storm.
pub trait IdSource {
    /// The next number.
    fn next_u64(&mut self) -> u64;

    /// Leaves out `ids` numbers: whoever drew one has made that many more by counting on from it.
    fn skip(&mut self, ids: u64);
}

/// Why a text is not an id of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}-xxxxxxxxxxxxx: {text:?}")]
pub struct BadId {
    pub prefix: &'static str,
    pub text: String,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 42 bits of milliseconds since 2020, then 22 random bits.
fn make(now: Timestamp, ids: &mut dyn IdSource) -> u64 {
    let since_2020 = now
        .as_millisecond()
        .saturating_sub(1_577_836_800_000)
        .max(0) as u64;
    (since_2020 << 22) | (ids.next_u64() & 0x3f_ffff)
}

fn write_base32(value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0_u8; 13];
    for (index, digit) in digits.iter_mut().enumerate() {
        *digit = ALPHABET[(value >> (60 - 5 * index)) as usize & 31];
    }
    f.write_str(std::str::from_utf8(&digits).expect("the alphabet is ASCII"))
}

fn parse_base32(text: &str) -> Option<u64> {
    if text.len() != 13 {
        return None;
    }
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = ALPHABET
            .iter()
            .position(|b| *b == byte.to_ascii_lowercase())? as u64;
        value.checked_mul(32)?.checked_add(digit)
    })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// A new id; sorts after every id made at an earlier millisecond.
            pub fn new(now: Timestamp, ids: &mut dyn IdSource) -> Self {
                Self(make(now, ids))
            }

            /// An id with a fixed value, for tests and fixtures.
            pub fn from_raw(value: u64) -> Self {
                Self(value)
            }

            /// The last five characters: short enough for a text message or a phone call.
            pub fn short(&self) -> String {
                let text = self.to_string();
                text[text.len() - 5..].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "-"))?;
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix(concat!($prefix, "-"))
                    .and_then(parse_base32)
                    .map(Self)
                    .ok_or_else(|| BadId { prefix: $prefix, text: text.chars().take(40).collect() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A case: what is being handled.
    CaseId, "case"
);
id_type!(
    /// One thing to be done by an adapter, from the outbox: a notification, a step of a run.
    DeliveryId, "dlv"
);
id_type!(
    /// A runbook in progress.
    RunId, "run"
);
id_type!(
    /// A change of who is on call, for a time.
    OverrideId, "ovr"
);

/// A UUID of version 7 (RFC 9562): the milliseconds since 1970, then random bits. For what others' interfaces want
/// as a UUID, such as silences; sorts by time of birth like our own ids.
pub fn uuid(now: Timestamp, ids: &mut dyn IdSource) -> String {
    // The numbers count; mixed (SplitMix64's finaliser, which keeps different ones different) they look as clients
    // expect of a UUID.
    let mixed = |number: u64| {
        let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let millis = now.as_millisecond().max(0) as u64 & 0xffff_ffff_ffff;
    let (a, b) = (mixed(ids.next_u64()), mixed(ids.next_u64()));
    format!(
        "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
        millis >> 16,
        millis & 0xffff,
        a & 0xfff,
        0x8000 | ((a >> 12) & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_version_and_sort_by_time() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let early = uuid(at(1_800_000_000_000), &mut Fixed(u64::MAX));
        assert!(
            early.starts_with("01a3185c-5000-7") && early.len() == 36,
            "{early}"
        );
        assert!(early < uuid(at(1_800_000_000_001), &mut Fixed(0)));
    }

    struct Fixed(u64);
    impl IdSource for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }

        fn skip(&mut self, _: u64) {}
    }

    #[test]
    fn ids_sort_by_time_and_round_trip() {
        let early = CaseId::new(
            "2026-01-01T00:00:00Z".parse().unwrap(),
            &mut Fixed(u64::MAX),
        );
        let late = CaseId::new("2026-01-01T00:00:00.001Z".parse().unwrap(), &mut Fixed(0));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<CaseId>().unwrap(), early);
        assert!("run-0000000000000".parse::<CaseId>().is_err());
        assert!("case-zzzzzzzzzzzzz".parse::<CaseId>().is_err());
    }
}
