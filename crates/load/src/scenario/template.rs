//! Text with values that differ from request to request.
//!
//! `${seq}` is a number that counts up over the run, `${random}` a random one, `${random:LOW..HIGH}` one in a range
//! (both ends included), `${uuid}` a random UUID. `$${` stands for `${`.

use bellwether_stats::random::Random;

/// Text, cut at its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Sequence,
    Random { low: u64, high: u64 },
    Uuid,
}

/// Where placeholders get their values.
#[derive(Debug)]
pub struct Filled<'r> {
    pub sequence: u64,
    pub random: &'r mut Random,
}

impl Template {
    /// Text as it stands.
    pub fn plain(text: impl Into<Vec<u8>>) -> Self {
        Self {
            parts: vec![Part::Text(text.into())],
        }
    }

    /// Reads text with placeholders. An error says what is wrong with one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                plain.extend_from_slice(b"${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let (inside, after) = after
                    .split_once('}')
                    .ok_or_else(|| "`${` without `}`; write `$${` for the text `${`".to_owned())?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(placeholder(inside)?);
                rest = after;
            } else {
                plain.push(b'$');
                rest = &rest[1..];
            }
        }
        plain.extend_from_slice(rest.as_bytes());
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The text, if it is always the same.
    pub fn fixed(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with this request's values.
    pub fn fill(&self, with: &mut Filled<'_>, out: &mut Vec<u8>) {
        use std::io::Write as _;
        for part in &self.parts {
            // Writing to a vector cannot fail.
            drop(match part {
                Part::Text(text) => {
                    out.extend_from_slice(text);
                    Ok(())
                }
                Part::Sequence => write!(out, "{}", with.sequence),
                Part::Random { low, high } => {
                    let span = u128::from(high - low) + 1;
                    let drawn = (u128::from(with.random.draw()) * span) >> 64;
                    write!(out, "{}", low + drawn as u64)
                }
                Part::Uuid => {
                    let (a, b) = (with.random.draw(), with.random.draw());
                    write!(
                        out,
                        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                        a >> 32,
                        (a >> 16) & 0xffff,
                        a & 0xfff,
                        (b >> 48) & 0x3fff | 0x8000,
                        b & 0xffff_ffff_ffff
                    )
                }
            });
        }
    }
}

fn placeholder(inside: &str) -> Result<Part, String> {
    let known = "known are ${seq}, ${random}, ${random:LOW..HIGH} and ${uuid}";
    match inside.split_once(':') {
        None => match inside {
            "seq" => Ok(Part::Sequence),
            "random" => Ok(Part::Random {
                low: 0,
                high: u64::MAX,
            }),
            "uuid" => Ok(Part::Uuid),
            other => Err(format!("no placeholder ${{{other}}}: {known}")),
        },
        Some(("random", range)) => {
            let parsed = range.split_once("..").and_then(|(low, high)| {
                Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
            });
            match parsed {
                Some((low, high)) if low <= high => Ok(Part::Random { low, high }),
                _ => Err(format!(
                    "{range:?} is not a range of whole numbers such as 1..1000"
                )),
            }
        }
        Some((other, _)) => Err(format!("no placeholder ${{{other}:...}}: {known}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(text: &str) -> String {
        let mut out = Vec::new();
        let mut random = Random::new(1);
        Template::parse(text).unwrap().fill(
            &mut Filled {
                sequence: 41,
                random: &mut random,
            },
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn placeholders_get_values() {
        assert_eq!(filled("/a?n=${seq}&m=$1&$${seq}"), "/a?n=41&m=$1&${seq}");
        assert_eq!(filled("${random:7..7}"), "7");
        let uuid = filled("${uuid}");
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!(Template::parse("/plain").unwrap().fixed().is_some());
    }

    #[test]
    fn unknown_ones_are_refused() {
        insta::assert_snapshot!(Template::parse("${user}").unwrap_err(), @"no placeholder ${user}: known are ${seq}, ${random}, ${random:LOW..HIGH} and ${uuid}");
        insta::assert_snapshot!(Template::parse("${random:5..1}").unwrap_err(), @r#""5..1" is not a range of whole numbers such as 1..1000"#);
        insta::assert_snapshot!(Template::parse("a ${seq").unwrap_err(), @"`${` without `}`; write `$${` for the text `${`");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(template) = Template::parse(&text) && !text.contains("${") {
                prop_assert_eq!(template.fixed(), Some(text.as_bytes()));
            }
        }
    }
}
