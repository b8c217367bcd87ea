//! Checks a text against the OpenMetrics 1.0 specification.
//!
//! Source: "OpenMetrics, a cloud-native, highly scalable metrics protocol" 1.0.0, its ABNF and the rules of its data
//! model. Where the text leaves room, the reading is that of the reference parser behind the specification's test
//! cases: the text must be canonical enough that every reader agrees on it.
//!
//! Entry point: [`check`]. The lines are read by [`mod@line`]; a family is judged sample by sample, and as a whole when the
//! next one begins.

use std::collections::{BTreeMap, BTreeSet};

mod family;
mod line;

use family::Family;

/// The first fault of a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CheckError {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

/// Type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Type {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    StateSet,
    Info,
    Summary,
    Unknown,
}

impl Type {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "stateset" => Self::StateSet,
            "info" => Self::Info,
            "summary" => Self::Summary,
            "unknown" => Self::Unknown,
            _ => return None,
        })
    }

    /// Suffixes that samples of this type have.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total", "_created"],
            Self::Summary => &["", "_count", "_sum", "_created"],
            Self::Histogram => &["_bucket", "_count", "_sum", "_created"],
            Self::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
            Self::Info => &["_info"],
            Self::Gauge | Self::StateSet | Self::Unknown => &[""],
        }
    }
}

/// What one line says.
pub(crate) enum Line<'a> {
    Type(&'a str, Type),
    Help(&'a str),
    Unit(&'a str, &'a str),
    Sample(line::Sample),
    Eof,
}

/// Accepts or refuses an exposition by all that the specification says MUST be. With `strict`, also what readers are
/// known to disagree on: reserved label names (`__x`) and the same sample twice without a timestamp.
pub fn check(text: &str, strict: bool) -> Result<(), CheckError> {
    let mut checker = Checker {
        strict,
        family: None,
        taken: BTreeMap::new(),
    };
    let mut ended = false;
    let mut number = 0;
    // A final line feed ends the last line and begins no new one.
    let body = text.strip_suffix('\n').unwrap_or(text);
    for raw in body.split('\n') {
        number += 1;
        let fail = |reason: String| CheckError {
            line: number,
            reason,
        };
        if ended {
            return Err(fail("text after # EOF".to_owned()));
        }
        match line::read(raw).map_err(fail)? {
            Line::Eof => {
                checker.close().map_err(fail)?;
                ended = true;
            }
            other => checker.take(other).map_err(fail)?,
        }
    }
    if !ended {
        return Err(CheckError {
            line: number,
            reason: "the text does not end with # EOF".to_owned(),
        });
    }
    Ok(())
}

/// As [`check`], for bytes: what is not UTF-8 is refused.
pub fn check_bytes(bytes: &[u8], strict: bool) -> Result<(), CheckError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => check(text, strict),
        Err(error) => Err(CheckError {
            line: 1 + memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count(),
            reason: "not UTF-8".to_owned(),
        }),
    }
}

struct Checker {
    strict: bool,
    family: Option<Family>,
    /// Sample and family names in use, and the family that uses them.
    taken: BTreeMap<String, String>,
}

impl Checker {
    fn take(&mut self, line: Line<'_>) -> Result<(), String> {
        match line {
            Line::Type(name, kind) => {
                let family = self.metadata(name)?;
                if family.kind.replace(kind).is_some() {
                    return Err(format!("a second TYPE for {name}"));
                }
            }
            Line::Help(name) => {
                let family = self.metadata(name)?;
                if std::mem::replace(&mut family.has_help, true) {
                    return Err(format!("a second HELP for {name}"));
                }
            }
            Line::Unit(name, unit) => {
                let family = self.metadata(name)?;
                if family.unit.replace(unit.to_owned()).is_some() {
                    return Err(format!("a second UNIT for {name}"));
                }
            }
            Line::Sample(sample) => {
                let strict = self.strict;
                let belongs = self
                    .family
                    .as_ref()
                    .is_some_and(|family| family.owns(&sample.name));
                if !belongs {
                    self.close()?;
                    self.family = Some(Family::new(&sample.name));
                }
                let family = self
                    .family
                    .as_mut()
                    .expect("one is open: set just above when none was");
                family.add(sample, strict)?;
            }
            Line::Eof => {}
        }
        Ok(())
    }

    /// The family that a metadata line is about; begins it when it is a new one.
    fn metadata(&mut self, name: &str) -> Result<&mut Family, String> {
        match &self.family {
            Some(family) if family.name == name => {
                if family.has_samples() {
                    return Err(format!("metadata of {name} after its samples"));
                }
            }
            _ => {
                self.close()?;
                self.family = Some(Family::new(name));
            }
        }
        Ok(self
            .family
            .as_mut()
            .expect("one is open: set just above when none was"))
    }

    /// Ends the open family: its own rules, then that no other has its names.
    fn close(&mut self) -> Result<(), String> {
        let Some(family) = self.family.take() else {
            return Ok(());
        };
        let family = family.finish()?;
        let kind = family.kind.unwrap_or(Type::Unknown);
        let names: BTreeSet<String> = kind
            .suffixes()
            .iter()
            .chain(&[""])
            .map(|suffix| format!("{}{suffix}", family.name))
            .collect();
        for name in names {
            if let Some(other) = self.taken.insert(name.clone(), family.name.clone()) {
                return Err(if other == family.name {
                    format!("metric family {other} is in two places: its lines must stand together")
                } else {
                    format!(
                        "name {name} of metric family {} clashes with metric family {other}",
                        family.name
                    )
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
