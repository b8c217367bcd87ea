//! Points of a series line: `1 2+3x4 _ stale {{count:1}}`.

use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::histogram::{Histogram, ResetHint, Span};
use bellwether_model::series::stale_nan;

use crate::histogram;
use crate::parser::parse_metric;

/// Points that one line may make.
const POINTS_MAX: usize = 1_000_000;

/// One point.
#[derive(Clone, Debug)]
pub enum Point {
    /// `_`: no sample.
    Omitted,
    Float(f64),
    /// With whether the script names the reset hint.
    Histogram(Arc<Histogram>, bool),
}

/// A series line, read.
#[derive(Clone, Debug)]
pub struct SeriesLine {
    pub labels: Labels,
    pub points: Vec<Point>,
}

type Read<T> = Result<T, String>;

/// Splits `name{labels}` from what follows.
pub(super) fn split_metric(line: &str) -> (&str, &str) {
    let mut quote = None;
    let mut escaped = false;
    let mut depth = 0;
    for (index, c) in line.char_indices() {
        if let Some(q) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' if q != '`' => escaped = true,
                c if c == q => quote = None,
                _ => {}
            }
            continue;
        }
        match c {
            '"' | '\'' | '`' if depth > 0 => quote = Some(c),
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return line.split_at(index + 1);
                }
            }
            c if c.is_whitespace() && depth == 0 => return line.split_at(index),
            _ => {}
        }
    }
    (line, "")
}

/// Reads a series line: `name{labels} points`.
pub fn parse_series(line: &str) -> Read<SeriesLine> {
    let (metric, values) = split_metric(line);
    let labels = parse_metric(metric).map_err(|error| error.to_string())?;
    Ok(SeriesLine {
        labels,
        points: parse_points(values)?,
    })
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn accept(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn number(&mut self) -> Read<f64> {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        if matches!(bytes.first(), Some(b'+' | b'-')) {
            end = 1;
        }
        let word = self.rest[end..].to_ascii_lowercase();
        if word.starts_with("inf") || word.starts_with("nan") {
            end += 3;
        } else {
            let digits = |from: usize| {
                let tail = bytes.get(from..).unwrap_or_default();
                tail.iter()
                    .take_while(|b| b.is_ascii_digit() || **b == b'.' || **b == b'_')
                    .count()
            };
            end += digits(end);
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                let exponent = digits(end + 1 + sign);
                if exponent > 0 {
                    end += 1 + sign + exponent;
                }
            }
        }
        let (text, rest) = self.rest.split_at(end);
        let value = text
            .replace('_', "")
            .parse()
            .map_err(|_| format!("bad number at {:?}", self.rest))?;
        self.rest = rest;
        Ok(value)
    }

    fn times(&mut self) -> Read<Option<usize>> {
        if !self.accept("x") {
            return Ok(None);
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text.parse()
            .ok()
            .filter(|n| *n <= POINTS_MAX)
            .map(Some)
            .ok_or_else(|| format!("bad repetition {text:?}"))
    }

    fn histogram(&mut self) -> Read<(Histogram, bool)> {
        let end = self.rest.find("}}").ok_or("unclosed {{")?;
        let body = &self.rest[2..end];
        self.rest = &self.rest[end + 2..];
        parse_histogram(body)
    }
}

/// Reads the points of a line: `1 2+3x4 _ _x3 stale {{schema:1 count:2 buckets:[1 1]}}x5`. The error says what was not
/// understood.
pub fn parse_points(text: &str) -> Read<Vec<Point>> {
    let mut reader = Reader { rest: text.trim() };
    let mut points = Vec::new();
    while !reader.rest.is_empty() {
        if reader.rest.starts_with("{{") {
            histograms(&mut reader, &mut points)?;
        } else if reader.accept("stale") {
            points.push(Point::Float(stale_nan()));
        } else if reader.accept("_") {
            let times = reader.times()?.unwrap_or(1);
            points.extend(std::iter::repeat_n(Point::Omitted, times));
        } else {
            floats(&mut reader, &mut points)?;
        }
        if points.len() > POINTS_MAX {
            return Err("too many points".to_owned());
        }
        let rest = reader.rest.trim_start();
        if !rest.is_empty() && rest.len() == reader.rest.len() {
            return Err(format!("unexpected {rest:?} in series values"));
        }
        reader.rest = rest;
    }
    Ok(points)
}

fn floats(reader: &mut Reader<'_>, points: &mut Vec<Point>) -> Read<()> {
    let mut value = reader.number()?;
    if let Some(times) = reader.times()? {
        points.extend(std::iter::repeat_n(Point::Float(value), times + 1));
        return Ok(());
    }
    if reader.rest.starts_with(['+', '-']) {
        let increment = reader.number()?;
        let times = reader.times()?.ok_or("expected a repetition")?;
        for _ in 0..=times {
            points.push(Point::Float(value));
            value += increment;
        }
        return Ok(());
    }
    points.push(Point::Float(value));
    Ok(())
}

fn histograms(reader: &mut Reader<'_>, points: &mut Vec<Point>) -> Read<()> {
    let (mut value, named) = reader.histogram()?;
    if let Some(times) = reader.times()? {
        let point = Point::Histogram(Arc::new(value), named);
        points.extend(std::iter::repeat_n(point, times + 1));
        return Ok(());
    }
    let subtract = reader.rest.starts_with("-{{");
    if subtract || reader.rest.starts_with("+{{") {
        reader.rest = &reader.rest[1..];
        let (increment, named) = reader.histogram()?;
        let times = reader.times()?.ok_or("expected a repetition")?;
        for step in 0..=times {
            points.push(Point::Histogram(Arc::new(value.clone()), named));
            if step < times {
                let combined = if subtract {
                    histogram::sub(&value, &increment)
                } else {
                    histogram::add(&value, &increment)
                };
                value = combined.map_err(|error| error.to_string())?.0;
            }
        }
        return Ok(());
    }
    points.push(Point::Histogram(Arc::new(value), named));
    Ok(())
}

fn list(text: &str) -> Read<Vec<f64>> {
    let inner = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .ok_or_else(|| format!("expected a list, got {text:?}"))?;
    inner
        .split_whitespace()
        .map(|n| n.parse().map_err(|_| format!("bad number {n:?}")))
        .collect()
}

/// Reads `schema:1 sum:3 buckets:[1 2]`.
fn parse_histogram(body: &str) -> Read<(Histogram, bool)> {
    let mut histogram = Histogram::default();
    let (mut offset, mut negative_offset, mut named) = (0, 0, false);
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once(':')
            .ok_or_else(|| format!("expected key:value at {rest:?}"))?;
        let end = if after.starts_with('[') {
            after.find(']').ok_or("unclosed [")? + 1
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        let (value, next) = after.split_at(end);
        rest = next.trim_start();
        let number = || -> Read<f64> { value.parse().map_err(|_| format!("bad number {value:?}")) };
        let integer =
            || -> Read<i32> { value.parse().map_err(|_| format!("bad number {value:?}")) };
        match key {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = number()?,
            "count" => histogram.count = number()?,
            "z_bucket" => histogram.zero_count = number()?,
            "z_bucket_w" => histogram.zero_threshold = number()?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "buckets" => histogram.positive_buckets = list(value)?,
            "n_buckets" => histogram.negative_buckets = list(value)?,
            "custom_values" => histogram.custom_values = Some(list(value)?.into()),
            "counter_reset_hint" => {
                named = true;
                histogram.reset_hint = match value {
                    "gauge" => ResetHint::Gauge,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "unknown" => ResetHint::Unknown,
                    _ => return Err(format!("unknown counter reset hint {value:?}")),
                };
            }
            _ => return Err(format!("unknown histogram key {key:?}")),
        }
    }
    let spans = |offset: i32, counts: &[f64]| {
        if counts.is_empty() {
            return Vec::new();
        }
        vec![Span {
            offset,
            length: counts.len() as u32,
        }]
    };
    histogram.positive_spans = spans(offset, &histogram.positive_buckets);
    histogram.negative_spans = spans(negative_offset, &histogram.negative_buckets);
    Ok((histogram, named))
}
