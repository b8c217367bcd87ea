//! Remote write 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::labels::METRIC_NAME;
use bellwether_model::series::{Exemplar, Metadata, Value};

use crate::proto::{Field, Reader, Writer};
use crate::{DecodeError, Limits, decompress, histogram};

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// One series of a request.
#[derive(Clone, Debug, Default)]
pub struct WriteSeries {
    pub labels: Labels,
    /// In the order of the request; floats before histograms.
    pub samples: Vec<(i64, Value)>,
    pub exemplars: Vec<Exemplar>,
}

/// A whole request.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest {
    pub series: Vec<WriteSeries>,
    /// What is known about metrics, by name.
    pub metadata: BTreeMap<String, Metadata>,
}

/// How many of each were in a request: the headers of an answer of version 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub samples: usize,
    pub histograms: usize,
    pub exemplars: usize,
}

const KINDS: [&str; 8] = [
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
];

fn kind(number: u64) -> &'static str {
    usize::try_from(number)
        .ok()
        .and_then(|index| KINDS.get(index).copied())
        .unwrap_or("unknown")
}

fn kind_number(kind: &str) -> u64 {
    KINDS.iter().position(|k| *k == kind).unwrap_or(0) as u64
}

/// Takes a body apart: snappy, then the message.
pub fn decode(body: &[u8], version: Version, limits: &Limits) -> Result<WriteRequest, DecodeError> {
    let bytes = decompress(body, limits.bytes)?;
    match version {
        Version::V1 => decode_v1(&bytes, limits),
        Version::V2 => decode_v2(&bytes, limits),
    }
}

/// Checks a label set as Prometheus does: a name or at least one label, sorted, none twice, none empty.
fn labels(mut pairs: Vec<(&str, &str)>, limits: &Limits) -> Result<Labels, DecodeError> {
    if pairs.len() > limits.labels {
        return Err(DecodeError::TooManyLabels(limits.labels));
    }
    let long = |text: &str| text.len() > limits.label_bytes;
    if pairs.iter().any(|(name, value)| long(name) || long(value)) {
        return Err(DecodeError::LabelTooLong(limits.label_bytes));
    }
    if !pairs.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        pairs.sort_unstable();
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(DecodeError::Invalid(format!(
                "a series has the label {:?} twice",
                pair[0].0
            )));
        }
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Err(DecodeError::Invalid("a label has no name".to_owned()));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    if pairs.is_empty() {
        return Err(DecodeError::Invalid("a series has no labels".to_owned()));
    }
    if let Some((_, name)) = pairs.iter().find(|(name, _)| *name == METRIC_NAME)
        && name.contains('\0')
    {
        return Err(DecodeError::Invalid(
            "a metric name has a zero byte".to_owned(),
        ));
    }
    Ok(Labels::new(pairs))
}

fn label(bytes: &[u8]) -> Result<(&str, &str), DecodeError> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn sample(bytes: &[u8]) -> Result<(i64, Value), DecodeError> {
    let (mut value, mut time) = (0.0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => value = field.double()?,
            2 => time = field.int()?,
            _ => {}
        }
    }
    Ok((time, Value::Float(value)))
}

fn native(bytes: &[u8]) -> Result<(i64, Value), DecodeError> {
    let (time, histogram) = histogram::decode(bytes)?;
    Ok((time, Value::Histogram(Arc::new(histogram))))
}

fn push<'a>(
    pairs: &mut Vec<(&'a str, &'a str)>,
    pair: (&'a str, &'a str),
    limits: &Limits,
) -> Result<(), DecodeError> {
    if pairs.len() >= limits.labels {
        return Err(DecodeError::TooManyLabels(limits.labels));
    }
    pairs.push(pair);
    Ok(())
}

fn exemplar_v1(bytes: &[u8], limits: &Limits) -> Result<Exemplar, DecodeError> {
    let (mut pairs, mut value, mut timestamp) = (Vec::new(), 0.0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => push(&mut pairs, label(field.bytes()?)?, limits)?,
            2 => value = field.double()?,
            3 => timestamp = field.int()?,
            _ => {}
        }
    }
    Ok(Exemplar {
        labels: Labels::new(pairs),
        value,
        timestamp,
    })
}

fn series_v1(bytes: &[u8], limits: &Limits) -> Result<WriteSeries, DecodeError> {
    let mut series = WriteSeries::default();
    let mut pairs = Vec::with_capacity(16);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => push(&mut pairs, label(field.bytes()?)?, limits)?,
            2 => series.samples.push(sample(field.bytes()?)?),
            3 => series.exemplars.push(exemplar_v1(field.bytes()?, limits)?),
            4 => series.samples.push(native(field.bytes()?)?),
            _ => {}
        }
    }
    series.labels = labels(pairs, limits)?;
    Ok(series)
}

fn metadata_v1(bytes: &[u8]) -> Result<(String, Metadata), DecodeError> {
    let (mut name, mut metadata) = (String::new(), Metadata::default());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => kind(field.number()?).clone_into(&mut metadata.kind),
            2 => field.text()?.clone_into(&mut name),
            4 => field.text()?.clone_into(&mut metadata.help),
            5 => field.text()?.clone_into(&mut metadata.unit),
            _ => {}
        }
    }
    if metadata.kind.is_empty() {
        "unknown".clone_into(&mut metadata.kind);
    }
    Ok((name, metadata))
}

pub(crate) fn decode_v1(bytes: &[u8], limits: &Limits) -> Result<WriteRequest, DecodeError> {
    let mut request = WriteRequest::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => {
                if request.series.len() >= limits.series {
                    return Err(DecodeError::TooManySeries(limits.series));
                }
                request.series.push(series_v1(field.bytes()?, limits)?);
            }
            3 => {
                let (name, metadata) = metadata_v1(field.bytes()?)?;
                request.metadata.insert(name, metadata);
            }
            _ => {}
        }
    }
    Ok(request)
}

/// The texts that a message of version 2 refers to by number.
struct Symbols<'a>(Vec<&'a str>);

impl<'a> Symbols<'a> {
    fn get(&self, number: u64) -> Result<&'a str, DecodeError> {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.0.get(index).copied())
            .ok_or(DecodeError::Proto("a label refers to no symbol"))
    }

    fn pairs(
        &self,
        field: Field<'_>,
        pairs: &mut Vec<(&'a str, &'a str)>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        let mut numbers = Vec::new();
        let most = limits.labels * 2;
        field.numbers(&mut |number| {
            if numbers.len() <= most {
                numbers.push(number);
            }
        })?;
        let (references, []) = numbers.as_chunks::<2>() else {
            return Err(if numbers.len() > most {
                DecodeError::TooManyLabels(limits.labels)
            } else {
                DecodeError::Proto("a label has no value")
            });
        };
        for [name, value] in references {
            push(pairs, (self.get(*name)?, self.get(*value)?), limits)?;
        }
        Ok(())
    }

    fn exemplar(&self, bytes: &[u8], limits: &Limits) -> Result<Exemplar, DecodeError> {
        let (mut pairs, mut value, mut timestamp) = (Vec::new(), 0.0, 0);
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => self.pairs(field, &mut pairs, limits)?,
                2 => value = field.double()?,
                3 => timestamp = field.int()?,
                _ => {}
            }
        }
        Ok(Exemplar {
            labels: Labels::new(pairs),
            value,
            timestamp,
        })
    }

    fn metadata(&self, bytes: &[u8]) -> Result<Metadata, DecodeError> {
        let mut metadata = Metadata {
            kind: "unknown".to_owned(),
            ..Metadata::default()
        };
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => kind(field.number()?).clone_into(&mut metadata.kind),
                3 => self.get(field.number()?)?.clone_into(&mut metadata.help),
                4 => self.get(field.number()?)?.clone_into(&mut metadata.unit),
                _ => {}
            }
        }
        Ok(metadata)
    }
}

fn decode_v2(bytes: &[u8], limits: &Limits) -> Result<WriteRequest, DecodeError> {
    // The table may come after what refers to it.
    let mut symbols = Symbols(Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        if number == 4 {
            symbols.0.push(field.text()?);
        }
    }
    if symbols.0.first().is_some_and(|first| !first.is_empty()) {
        return Err(DecodeError::Proto("the first symbol is not empty"));
    }
    let mut request = WriteRequest::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        if number != 5 {
            continue;
        }
        if request.series.len() >= limits.series {
            return Err(DecodeError::TooManySeries(limits.series));
        }
        let mut series = WriteSeries::default();
        let mut pairs = Vec::with_capacity(16);
        let mut metadata = None;
        let mut inner = Reader::new(field.bytes()?);
        while let Some((number, field)) = inner.next()? {
            match number {
                1 => symbols.pairs(field, &mut pairs, limits)?,
                2 => series.samples.push(sample(field.bytes()?)?),
                3 => series.samples.push(native(field.bytes()?)?),
                4 => series
                    .exemplars
                    .push(symbols.exemplar(field.bytes()?, limits)?),
                5 => metadata = Some(symbols.metadata(field.bytes()?)?),
                _ => {}
            }
        }
        series.labels = labels(pairs, limits)?;
        if let Some(metadata) = metadata
            && (metadata.kind != "unknown"
                || !metadata.help.is_empty()
                || !metadata.unit.is_empty())
        {
            let name = family(series.labels.metric_name(), &metadata.kind);
            request.metadata.insert(name.to_owned(), metadata);
        }
        request.series.push(series);
    }
    Ok(request)
}

/// The name under which metadata is known: that of the family.
fn family<'a>(metric: &'a str, kind: &str) -> &'a str {
    let suffixes: &[&str] = match kind {
        "histogram" | "gaugehistogram" => &["_bucket", "_sum", "_count"],
        "summary" => &["_sum", "_count"],
        _ => &[],
    };
    let cut = suffixes
        .iter()
        .find_map(|suffix| metric.strip_suffix(suffix));
    cut.unwrap_or(metric)
}

// === impl WriteRequest ===

impl WriteRequest {
    /// How much there is in the request.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for series in &self.series {
            let floats = series.samples.iter();
            let floats = floats.filter(|(_, value)| matches!(value, Value::Float(_)));
            let floats = floats.count();
            counts.samples += floats;
            counts.histograms += series.samples.len() - floats;
            counts.exemplars += series.exemplars.len();
        }
        counts
    }
}

pub(crate) fn write_labels(writer: &mut Writer, labels: &Labels) {
    for label in labels {
        writer.message(1, |w| {
            w.text(1, &label.name);
            w.text(2, &label.value);
        });
    }
}

fn write_sample(writer: &mut Writer, time: i64, value: f64) {
    writer.double(1, value);
    writer.int(2, time);
}

pub(crate) fn write_samples(
    writer: &mut Writer,
    samples: &[(i64, Value)],
    floats: u32,
    histograms: u32,
) {
    for (time, value) in samples {
        match value {
            Value::Float(value) => writer.message(floats, |w| write_sample(w, *time, *value)),
            Value::Histogram(histogram) => {
                writer.message(histograms, |w| histogram::encode(w, *time, histogram));
            }
        }
    }
}

/// The body of a request of version 1: protobuf in snappy.
pub fn encode_v1(request: &WriteRequest) -> Vec<u8> {
    let mut writer = Writer::default();
    for series in &request.series {
        writer.message(1, |w| {
            write_labels(w, &series.labels);
            write_samples(w, &series.samples, 2, 4);
            for exemplar in &series.exemplars {
                w.message(3, |w| {
                    write_labels(w, &exemplar.labels);
                    w.double(2, exemplar.value);
                    w.int(3, exemplar.timestamp);
                });
            }
        });
    }
    for (name, metadata) in &request.metadata {
        writer.message(3, |w| {
            w.number(1, kind_number(&metadata.kind));
            w.text(2, name);
            w.text(4, &metadata.help);
            w.text(5, &metadata.unit);
        });
    }
    crate::compress(&writer.out)
}

/// The body of a request of version 2.
pub fn encode_v2(request: &WriteRequest) -> Vec<u8> {
    let mut symbols: BTreeMap<String, u64> = BTreeMap::from([(String::new(), 0)]);
    let mut order = vec![String::new()];
    let mut number = |text: &str| {
        if let Some(number) = symbols.get(text) {
            return *number;
        }
        let number = order.len() as u64;
        symbols.insert(text.to_owned(), number);
        order.push(text.to_owned());
        number
    };
    let mut body = Writer::default();
    for series in &request.series {
        let mut references = |labels: &Labels| -> Vec<u64> {
            let pairs = labels.iter();
            pairs
                .flat_map(|label| [number(&label.name), number(&label.value)])
                .collect()
        };
        let own = references(&series.labels);
        let exemplars: Vec<Vec<u64>> = series
            .exemplars
            .iter()
            .map(|e| references(&e.labels))
            .collect();
        let metric = series.labels.metric_name();
        let known = request
            .metadata
            .iter()
            .find(|(name, metadata)| family(metric, &metadata.kind) == name.as_str());
        let metadata = known.map(|(_, m)| (kind_number(&m.kind), number(&m.help), number(&m.unit)));
        body.message(5, |w| {
            w.packed(1, own);
            write_samples(w, &series.samples, 2, 3);
            for (exemplar, references) in series.exemplars.iter().zip(exemplars) {
                w.message(4, |w| {
                    w.packed(1, references);
                    w.double(2, exemplar.value);
                    w.int(3, exemplar.timestamp);
                });
            }
            if let Some((kind, help, unit)) = metadata {
                w.message(5, |w| {
                    w.number(1, kind);
                    w.number(3, help);
                    w.number(4, unit);
                });
            }
        });
    }
    let mut writer = Writer::default();
    for symbol in &order {
        writer.bytes(4, symbol.as_bytes());
    }
    writer.out.append(&mut body.out);
    crate::compress(&writer.out)
}
