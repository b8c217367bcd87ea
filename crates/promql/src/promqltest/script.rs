//! Text of a script to commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, Span};
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{MemorySeries, Value, is_stale};
use bellwether_model::{Labels, duration};

use super::points::{Point, SeriesLine, parse_points, parse_series};
use crate::histogram;

/// A command and where it stands.
pub(super) struct Parsed {
    /// From 1.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) command: Result<Command, String>,
}

pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// `load` or `load_with_nhcb`.
pub(super) struct Load {
    step: i64,
    with_custom_buckets: bool,
    series: Vec<SeriesLine>,
}

/// When an eval looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// Text that an annotation or error must have.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Any,
    Exactly(String),
    Matching(String),
}

/// One eval with what it expects.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: String,
    pub(super) query: String,
    pub(super) when: When,
    pub(super) ordered: bool,
    pub(super) fail: Option<Text>,
    pub(super) warns: Vec<Text>,
    pub(super) infos: Vec<Text>,
    pub(super) no_warn: bool,
    pub(super) no_info: bool,
    pub(super) string: Option<String>,
    /// Start, end and step of an expected range vector.
    pub(super) range_vector: Option<(i64, i64, i64)>,
    pub(super) scalar: Option<f64>,
    pub(super) series: Vec<SeriesLine>,
}

type Read<T> = Result<T, String>;

pub(super) fn millis(text: &str) -> Read<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let ms = match duration::parse_duration(text) {
        Ok(duration) => duration.as_millis() as i64,
        Err(error) => {
            let seconds: f64 = text.parse().map_err(|_| error.to_string())?;
            (seconds * 1000.0) as i64
        }
    };
    Ok(if negative { -ms } else { ms })
}

/// Reads all commands.
pub(super) fn parse_script(text: &str) -> Vec<Parsed> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut parsed = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let number = at + 1;
        at += 1;
        if line.is_empty() {
            continue;
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        let command = match first {
            "clear" => Ok(Command::Clear),
            "load" | "load_with_nhcb" => {
                let block = block(&lines, &mut at);
                parse_load(line, &block).map(Command::Load)
            }
            _ if first == "eval" || first.starts_with("eval_") => {
                parse_eval(line, &lines, &mut at).map(|eval| Command::Eval(Box::new(eval)))
            }
            _ => Err(format!("unknown command {first:?}")),
        };
        parsed.push(Parsed {
            line: number,
            text: line.to_owned(),
            command,
        });
    }
    parsed
}

fn block<'a>(lines: &[&'a str], at: &mut usize) -> Vec<&'a str> {
    let mut block = Vec::new();
    while let Some(line) = lines.get(*at)
        && !line.is_empty()
    {
        block.push(*line);
        *at += 1;
    }
    block
}

fn parse_load(line: &str, block: &[&str]) -> Read<Load> {
    let mut words = line.split_whitespace();
    let with_custom_buckets = words.next() == Some("load_with_nhcb");
    let step = millis(words.next().ok_or("load needs a step")?)?;
    let mut series = Vec::new();
    for line in block {
        // Start timestamps are not part of this data model.
        if super::points::split_metric(line).1.starts_with("@st") {
            continue;
        }
        series.push(parse_series(line)?);
    }
    Ok(Load {
        step,
        with_custom_buckets,
        series,
    })
}

fn parse_eval(line: &str, lines: &[&str], at: &mut usize) -> Read<Eval> {
    let mut eval = match parse_eval_line(line) {
        Ok(eval) => eval,
        Err(error) => {
            block(lines, at);
            return Err(error);
        }
    };
    let mut problem = None;
    while let Some(line) = lines.get(*at)
        && !line.is_empty()
    {
        *at += 1;
        if let Err(error) = parse_expected(&mut eval, line) {
            problem.get_or_insert(error);
        }
        if eval.scalar.is_some() {
            break;
        }
    }
    match problem {
        Some(error) => Err(error),
        None => Ok(eval),
    }
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after.trim_start();
    word
}

fn keyword(rest: &mut &str, wanted: &str) -> Read<()> {
    let got = word(rest);
    if got == wanted {
        Ok(())
    } else {
        Err(format!("expected {wanted:?}, got {got:?}"))
    }
}

fn parse_eval_line(line: &str) -> Read<Eval> {
    let mut rest = line;
    let command = word(&mut rest);
    let when = match word(&mut rest) {
        "instant" => {
            let mut ahead = rest;
            if word(&mut ahead) == "at" {
                rest = ahead;
                When::Instant(millis(word(&mut rest))?)
            } else {
                When::Instant(0)
            }
        }
        "range" => {
            keyword(&mut rest, "from")?;
            let start = millis(word(&mut rest))?;
            keyword(&mut rest, "to")?;
            let end = millis(word(&mut rest))?;
            keyword(&mut rest, "step")?;
            let step = millis(word(&mut rest))?;
            When::Range { start, end, step }
        }
        other => return Err(format!("expected instant or range, got {other:?}")),
    };
    let suffix = command.strip_prefix("eval_").unwrap_or_default();
    Ok(Eval {
        line: line.to_owned(),
        query: rest.to_owned(),
        when,
        ordered: suffix == "ordered",
        fail: (suffix == "fail").then_some(Text::Any),
        warns: if suffix == "warn" {
            vec![Text::Any]
        } else {
            Vec::new()
        },
        infos: if suffix == "info" {
            vec![Text::Any]
        } else {
            Vec::new()
        },
        no_warn: false,
        no_info: false,
        string: None,
        range_vector: None,
        scalar: None,
        series: Vec::new(),
    })
}

fn text_of(rest: &str) -> Read<Text> {
    if rest.is_empty() {
        return Ok(Text::Any);
    }
    if let Some(text) = rest.strip_prefix("msg:") {
        return Ok(Text::Exactly(text.trim().to_owned()));
    }
    if let Some(text) = rest.strip_prefix("regex:") {
        return Ok(Text::Matching(text.trim().to_owned()));
    }
    Err(format!("expected msg: or regex:, got {rest:?}"))
}

fn parse_expected(eval: &mut Eval, line: &str) -> Read<()> {
    let mut rest = line;
    match word(&mut rest) {
        "expect" => return parse_expect(eval, rest),
        "expected_fail_message" => {
            eval.fail = Some(Text::Exactly(rest.to_owned()));
            return Ok(());
        }
        "expected_fail_regexp" => {
            eval.fail = Some(Text::Matching(rest.to_owned()));
            return Ok(());
        }
        _ => {}
    }
    if let Ok(points) = parse_points(line)
        && let [Point::Float(value)] = points.as_slice()
    {
        eval.scalar = Some(*value);
        return Ok(());
    }
    eval.series.push(parse_series(line)?);
    Ok(())
}

fn parse_expect(eval: &mut Eval, rest: &str) -> Read<()> {
    let mut rest = rest;
    match word(&mut rest) {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail = Some(text_of(rest)?),
        "warn" => eval.warns.push(text_of(rest)?),
        "info" => eval.infos.push(text_of(rest)?),
        "no_warn" => eval.no_warn = true,
        "no_info" => eval.no_info = true,
        "string" => {
            let bytes = crate::parser::unquote(rest).ok_or("bad string")?;
            eval.string = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        "range" => {
            keyword(&mut rest, "vector")?;
            keyword(&mut rest, "from")?;
            let start = millis(word(&mut rest))?;
            keyword(&mut rest, "to")?;
            let end = millis(word(&mut rest))?;
            keyword(&mut rest, "step")?;
            eval.range_vector = Some((start, end, millis(word(&mut rest))?));
        }
        other => return Err(format!("unknown expectation {other:?}")),
    }
    Ok(())
}

/// Cumulative buckets, sum and count of a classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: Option<f64>,
}

impl Load {
    /// Adds the samples to a store.
    pub(super) fn store(&self, store: &mut MemorySeries) {
        // A series named twice in one load has the later points only.
        let mut series: BTreeMap<&Labels, &SeriesLine> = BTreeMap::new();
        for line in &self.series {
            series.insert(&line.labels, line);
        }
        let mut classic: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
        for line in series.into_values() {
            for (index, point) in line.points.iter().enumerate() {
                let time = self.step * index as i64;
                match point {
                    Point::Omitted => {}
                    Point::Float(value) => {
                        store.push(&line.labels, time, Value::Float(*value));
                        if self.with_custom_buckets && !is_stale(*value) {
                            note_classic(&mut classic, &line.labels, time, *value);
                        }
                    }
                    Point::Histogram(histogram, _) => {
                        store.push(&line.labels, time, Value::Histogram(Arc::clone(histogram)));
                    }
                }
            }
        }
        for (labels, times) in classic {
            if !times.values().any(|one| !one.buckets.is_empty()) {
                continue;
            }
            for (time, one) in times {
                store.push(&labels, time, Value::Histogram(Arc::new(one.convert())));
            }
        }
    }
}

fn note_classic(
    classic: &mut BTreeMap<Labels, BTreeMap<i64, Classic>>,
    labels: &Labels,
    time: i64,
    value: f64,
) {
    let name = labels.metric_name();
    if let Some(base) = name.strip_suffix("_bucket")
        && labels.contains("le")
    {
        let Some(upper) = parse_bound(labels.get("le")) else {
            return;
        };
        slot(classic, labels, base, time)
            .buckets
            .push((upper, value));
    } else if let Some(base) = name.strip_suffix("_sum") {
        slot(classic, labels, base, time).sum = value;
    } else if let Some(base) = name.strip_suffix("_count") {
        slot(classic, labels, base, time).count = Some(value);
    }
}

fn slot<'a>(
    classic: &'a mut BTreeMap<Labels, BTreeMap<i64, Classic>>,
    labels: &Labels,
    base: &str,
    time: i64,
) -> &'a mut Classic {
    let labels = labels.without("le").with(METRIC_NAME, base);
    classic.entry(labels).or_default().entry(time).or_default()
}

fn parse_bound(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("+inf") || text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    text.parse().ok()
}

impl Classic {
    fn convert(mut self) -> Histogram {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bounds: Vec<f64> = self
            .buckets
            .iter()
            .map(|(upper, _)| *upper)
            .filter(|upper| upper.is_finite())
            .collect();
        let last = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(last);
        let mut counts = Vec::new();
        let mut before = 0.0;
        for (upper, cumulative) in &self.buckets {
            if upper.is_finite() {
                counts.push(cumulative - before);
                before = *cumulative;
            }
        }
        counts.push(count - before);
        histogram::compact(&Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span {
                offset: 0,
                length: counts.len() as u32,
            }],
            positive_buckets: counts,
            custom_values: Some(bounds.into()),
            ..Histogram::default()
        })
    }
}
