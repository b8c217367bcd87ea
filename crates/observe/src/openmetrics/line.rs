//! One line, by the ABNF.

use bellwether_model::labels::{is_classic_label_name, is_classic_metric_name};

use super::{Line, Type};

/// Characters that the label names and values of an exemplar may have together.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// A point in time: whole seconds and nanoseconds, exact as written; digits beyond are cut off.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Time(i128);

/// A sample line.
pub(crate) struct Sample {
    pub(crate) name: String,
    /// Sorted by name, unique.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    pub(crate) time: Option<Time>,
    pub(crate) has_exemplar: bool,
}

impl Sample {
    /// Value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads a line without its line feed.
pub(super) fn read(line: &str) -> Result<Line<'_>, String> {
    if line.is_empty() {
        return Err("an empty line".to_owned());
    }
    if line == "# EOF" {
        return Ok(Line::Eof);
    }
    if let Some(rest) = line.strip_prefix('#') {
        return metadata(rest);
    }
    sample(line).map(Line::Sample)
}

fn metadata(rest: &str) -> Result<Line<'_>, String> {
    let wrong = || {
        "a line with # must be # TYPE, # HELP, # UNIT (name and text after single spaces) or # EOF"
            .to_owned()
    };
    let rest = rest.strip_prefix(' ').ok_or_else(wrong)?;
    let (word, rest) = rest.split_once(' ').ok_or_else(wrong)?;
    let (name, text) = rest.split_once(' ').ok_or_else(wrong)?;
    if !is_classic_metric_name(name) {
        return Err(format!("{name:?} is not a metric name"));
    }
    match word {
        "TYPE" => match Type::read(text) {
            Some(kind) => Ok(Line::Type(name, kind)),
            None => Err(format!("{text:?} is not a metric type")),
        },
        "HELP" => Ok(Line::Help(name)),
        "UNIT" => {
            if !text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
            {
                return Err(format!("{text:?} is not a unit"));
            }
            Ok(Line::Unit(name, text))
        }
        _ => Err(wrong()),
    }
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("a sample has no value")?;
    let (name, rest) = line.split_at(end);
    if !is_classic_metric_name(name) {
        return Err(format!("{name:?} is not a metric name"));
    }
    let (mut labels, rest) = if rest.starts_with('{') {
        read_labels(rest)?
    } else {
        (Vec::new(), rest)
    };
    sort_unique(&mut labels)?;
    let rest = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let (value, rest) = next_word(rest);
    let value = number(value).ok_or_else(|| format!("{value:?} is not a value"))?;
    let mut sample = Sample {
        name: name.to_owned(),
        labels,
        value,
        time: None,
        has_exemplar: false,
    };
    let Some(mut rest) = rest else {
        return Ok(sample);
    };
    if !rest.starts_with('#') {
        let (word, tail) = next_word(rest);
        sample.time = Some(time(word).ok_or_else(|| format!("{word:?} is not a timestamp"))?);
        match tail {
            None => return Ok(sample),
            Some(tail) => rest = tail,
        }
    }
    exemplar(rest)?;
    sample.has_exemplar = true;
    Ok(sample)
}

/// `# {labels} value [timestamp]`
fn exemplar(text: &str) -> Result<(), String> {
    let rest = text
        .strip_prefix("# ")
        .ok_or("expected an exemplar (`# {labels} value`) or the end of the line")?;
    if !rest.starts_with('{') {
        return Err("an exemplar has no labels".to_owned());
    }
    let (mut labels, rest) = read_labels(rest)?;
    sort_unique(&mut labels)?;
    let chars: usize = labels
        .iter()
        .map(|(name, value)| name.chars().count() + value.chars().count())
        .sum();
    if chars > EXEMPLAR_CHARS_MAX {
        return Err(format!(
            "the labels of an exemplar have {chars} characters, more than {EXEMPLAR_CHARS_MAX}"
        ));
    }
    let rest = rest
        .strip_prefix(' ')
        .ok_or("no space before the value of an exemplar")?;
    let (value, rest) = next_word(rest);
    number(value).ok_or_else(|| format!("{value:?} is not the value of an exemplar"))?;
    let Some(rest) = rest else { return Ok(()) };
    match time(rest) {
        Some(_) => Ok(()),
        None => Err(format!("{rest:?} is not the timestamp of an exemplar")),
    }
}

/// Up to the next space, and what is behind it when there is one.
fn next_word(text: &str) -> (&str, Option<&str>) {
    match text.split_once(' ') {
        Some((word, rest)) => (word, Some(rest)),
        None => (text, None),
    }
}

type Pairs = Vec<(String, String)>;

/// Labels from `{` to `}`, and the rest.
fn read_labels(text: &str) -> Result<(Pairs, &str), String> {
    let mut rest = &text[1..];
    let mut labels = Vec::new();
    if let Some(tail) = rest.strip_prefix('}') {
        return Ok((labels, tail));
    }
    loop {
        let (name, tail) = rest.split_once('=').ok_or("a label has no value")?;
        if !is_classic_label_name(name) {
            return Err(format!(
                "{:?} is not a label name",
                name.chars().take(60).collect::<String>()
            ));
        }
        let quoted = tail
            .strip_prefix('"')
            .ok_or_else(|| format!("the value of label {name} is not quoted"))?;
        let (value, tail) =
            quoted_text(quoted).ok_or_else(|| format!("the value of label {name} does not end"))?;
        labels.push((name.to_owned(), value));
        rest = match tail.chars().next() {
            Some(',') => &tail[1..],
            Some('}') => return Ok((labels, &tail[1..])),
            _ => {
                return Err(format!(
                    "expected a comma or a closing brace after label {name}"
                ));
            }
        };
    }
}

fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                '\\' => value.push('\\'),
                '"' => value.push('"'),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

fn sort_unique(labels: &mut Pairs) -> Result<(), String> {
    labels.sort();
    match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("label {} is set twice", pair[0].0)),
        None => Ok(()),
    }
}

/// `realnumber`: digits with an optional fraction and exponent.
fn is_real(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits =
        digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

/// `number`: a real number, an infinity or NaN.
pub(super) fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = unsigned.eq_ignore_ascii_case("inf")
        || unsigned.eq_ignore_ascii_case("infinity")
        || text.eq_ignore_ascii_case("nan");
    if word || is_real(text) {
        text.parse().ok()
    } else {
        None
    }
}

/// A timestamp: a real number of seconds.
fn time(text: &str) -> Option<Time> {
    if !is_real(text) {
        return None;
    }
    if text.contains(['e', 'E']) {
        let seconds: f64 = text.parse().ok()?;
        return seconds.is_finite().then_some(Time((seconds * 1e9) as i128));
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    // Beyond what 128 bits hold all times count as equal.
    let seconds: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().unwrap_or(i128::MAX)
    };
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0_i128, |n, digit| n * 10 + i128::from(digit - b'0'));
    let total = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Some(Time(if negative { -total } else { total }))
}
