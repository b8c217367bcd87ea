//! Reading JSON as Go's `encoding/json` and its users do, within limits.

use std::fmt;
use std::marker::PhantomData;

use bellwether_model::Labels;
use jiff::Timestamp;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// A list of at most `MAX` items; the text of the error that a longer one gives begins with [`TOO_MANY`].
pub(crate) struct Limited<T, const MAX: usize>(pub(crate) Vec<T>);

/// Begin of the error of a list that is too long.
pub(crate) const TOO_MANY: &str = "more than ";

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Limited<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    if all.len() == MAX {
                        return Err(A::Error::custom(format_args!("{TOO_MANY}{MAX} items")));
                    }
                    all.push(item);
                }
                Ok(all)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }
        }
        from.deserialize_any(Items::<T, MAX>(PhantomData)).map(Self)
    }
}

/// An object, or `null`; serde by itself would take a list as an object's values in order.
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Option<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Some)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
                Ok(None)
            }
        }
        from.deserialize_any(Map(PhantomData)).map(Self)
    }
}

/// A map of texts, `null` as an empty one; the last value of a name wins, empty values are no labels.
#[derive(Default)]
pub(crate) struct Pairs {
    pub(crate) labels: Labels,
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(Text<'de>, Text<'de>)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs {
                    labels: Labels::new(pairs.iter().map(|(name, value)| (&*name.0, &*value.0))),
                })
            }
            fn visit_unit<E: de::Error>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }
        }
        from.deserialize_any(Map)
    }
}

/// A text, borrowed where it has no escapes; `null` is empty, as in Go.
pub(crate) struct Text<'a>(pub(crate) std::borrow::Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Text<'de>, E> {
                Ok(Text("".into()))
            }
        }
        from.deserialize_any(Any)
    }
}

/// A time as Alertmanager reads it: RFC 3339 and its relatives. Go's zero time (the year 1) and an empty text are
/// none.
#[derive(Clone, Copy, Default)]
pub(crate) struct Time(pub(crate) Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(from)?;
        read_time(&text.0).map(Self).map_err(D::Error::custom)
    }
}

fn read_time(text: &str) -> Result<Option<Timestamp>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        format!("parsing time {shown:?}: it must be written like 2026-01-02T15:04:05Z")
    };
    // Times without a zone are UTC, as the original's library has it.
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let local: jiff::civil::DateTime = text.parse().map_err(|_| wrong())?;
            local
                .to_zoned(jiff::tz::TimeZone::UTC)
                .map_err(|_| wrong())?
                .timestamp()
        }
    };
    const YEAR_2: i64 = -62_103_456_000;
    Ok((time.as_second() > YEAR_2).then_some(time))
}
