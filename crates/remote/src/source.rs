//! A Prometheus-compatible server as a source of series: remote read where the server has it, VictoriaMetrics' raw
//! export where it has that, else instant queries for ranges of raw samples.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_model::series::{
    SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError, Value,
};
use bellwether_model::{Labels, Matcher};
use serde_json::Value as Json;

use crate::Limits;
use crate::read::{ReadQuery, ReadRequest, decode_samples};

/// A request to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Below the server's address, with a slash at the start: `/api/v1/read`.
    pub path: String,
    /// Headers beside those that the transport adds.
    pub headers: &'static [(&'static str, &'static str)],
    /// Sent with `POST`.
    pub body: Vec<u8>,
}

/// Its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Performs requests: address, authentication, time limits and retries are its business.
pub trait Fetch: Send + Sync {
    /// Sends a request and waits for the answer, whatever its status; an error is for people.
    fn fetch(&self, request: &Request) -> Result<Response, String>;
    /// Now, in milliseconds since 1970.
    fn now(&self) -> i64;
}

/// How samples are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    RemoteRead,
    Export,
    Query,
}

const WAYS: [Way; 3] = [Way::RemoteRead, Way::Export, Way::Query];

/// Settings of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    pub limits: Limits,
    /// Samples that the cache may hold (16 bytes each).
    pub cache_samples: usize,
    /// Samples that one selection may have.
    pub samples_max: usize,
    /// Samples younger than this, in milliseconds, may still change and are asked for again.
    pub settled_ms: i64,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            limits: Limits {
                bytes: 1 << 30,
                series: 1_000_000,
                ..Limits::default()
            },
            cache_samples: 10_000_000,
            samples_max: 50_000_000,
            settled_ms: 600_000,
        }
    }
}

type Found = Vec<(Labels, SampleBuffer)>;

struct Cached {
    matchers: String,
    min: i64,
    max: i64,
    samples: usize,
    found: Arc<Found>,
}

/// The server. Share it with an `Arc`.
pub struct RemoteSource<F> {
    fetch: F,
    options: SourceOptions,
    /// The way that worked last.
    way: Mutex<Option<Way>>,
    /// The newest at the back.
    cache: Mutex<VecDeque<Cached>>,
}

struct Set {
    found: Arc<Found>,
    /// Series with samples in the range.
    items: Vec<usize>,
    min: i64,
    max: i64,
}

fn failed(what: impl Into<String>) -> SourceError {
    SourceError::Io(what.into())
}

/// `{__name__="up",job=~"a|b"}`
fn selector(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", all.join(","))
}

fn form(pairs: &[(&str, &str)]) -> Vec<u8> {
    fn encode(out: &mut String, text: &str) {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode(&mut out, name);
        out.push('=');
        encode(&mut out, value);
    }
    out.into_bytes()
}

/// Seconds with three decimals.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// What the server said of a fault.
fn said(response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body);
    let json: Json = serde_json::from_str(&text).unwrap_or_default();
    let text = json["error"].as_str().unwrap_or(&text);
    let short: String = text.trim().chars().take(300).collect();
    format!("the server answered {}: {short}", response.status)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" | "Infinity" => Some(f64::INFINITY),
        "-Inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const PROTOBUF: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-read-version", "0.1.0"),
];

impl<F: Fetch> RemoteSource<F> {
    /// A source that asks through `fetch`.
    pub fn new(fetch: F, options: SourceOptions) -> Self {
        Self {
            fetch,
            options,
            way: Mutex::default(),
            cache: Mutex::default(),
        }
    }

    fn ask(
        &self,
        path: &str,
        headers: &'static [(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response, SourceError> {
        let request = Request {
            path: path.to_owned(),
            headers,
            body,
        };
        self.fetch.fetch(&request).map_err(failed)
    }

    /// `None` when the server does not know this way.
    fn read(&self, way: Way, wanted: &Selection) -> Result<Option<Found>, SourceError> {
        let selector = selector(&wanted.matchers);
        let response = match way {
            Way::RemoteRead => {
                let request = ReadRequest {
                    queries: vec![ReadQuery {
                        min: wanted.min,
                        max: wanted.max,
                        matchers: wanted.matchers.clone(),
                    }],
                };
                self.ask("/api/v1/read", PROTOBUF, request.encode())?
            }
            Way::Export => {
                let (start, end) = (seconds(wanted.min), seconds(wanted.max));
                let pairs = [("match[]", &*selector), ("start", &start), ("end", &end)];
                self.ask("/api/v1/export", FORM, form(&pairs))?
            }
            Way::Query => {
                // A range of 2.x has its left bound too; what is too much is cut off.
                let range = wanted
                    .max
                    .saturating_sub(wanted.min)
                    .saturating_add(1)
                    .max(1);
                let query = format!("{selector}[{range}ms]");
                let time = seconds(wanted.max);
                self.ask(
                    "/api/v1/query",
                    FORM,
                    form(&[("query", &query), ("time", &time)]),
                )?
            }
        };
        match response.status {
            200 => {}
            400 | 404 | 405 | 415 | 501 if way != Way::Query => return Ok(None),
            _ => return Err(failed(said(&response))),
        }
        let found = match way {
            Way::RemoteRead => match self.samples(&response.body) {
                Ok(found) => found,
                // Something else that answers 200 to everything.
                Err(_) => return Ok(None),
            },
            Way::Export => match exported(&response.body) {
                Some(found) => found,
                None => return Ok(None),
            },
            Way::Query => queried(&response.body)
                .ok_or_else(|| failed("the answer is not of Prometheus' form"))?,
        };
        Ok(Some(found))
    }

    fn samples(&self, body: &[u8]) -> Result<Found, crate::DecodeError> {
        let results = decode_samples(body, &self.options.limits)?;
        let series = results.into_iter().flatten().map(|(labels, samples)| {
            let mut buffer = SampleBuffer::default();
            for (time, value) in samples {
                buffer.push(time, value);
            }
            (labels, buffer)
        });
        Ok(series.collect())
    }

    fn fetch_samples(&self, wanted: &Selection) -> Result<Found, SourceError> {
        let known = *self.way.lock().unwrap_or_else(PoisonError::into_inner);
        for way in known
            .into_iter()
            .chain(WAYS.into_iter().filter(|way| Some(*way) != known))
        {
            if let Some(mut found) = self.read(way, wanted)? {
                *self.way.lock().unwrap_or_else(PoisonError::into_inner) = Some(way);
                found.sort_by(|a, b| a.0.cmp(&b.0));
                return Ok(found);
            }
        }
        Err(failed("the server answers neither remote read nor queries"))
    }

    fn cached(&self, matchers: &str, wanted: &Selection) -> Option<Arc<Found>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |c: &Cached| c.matchers == matchers && c.min <= wanted.min && c.max >= wanted.max;
        let place = cache.iter().position(fits)?;
        let hit = cache.remove(place)?;
        let found = Arc::clone(&hit.found);
        cache.push_back(hit);
        Some(found)
    }

    fn keep(&self, matchers: String, wanted: &Selection, found: &Arc<Found>) {
        let samples = count(found);
        if wanted.max > self.fetch.now().saturating_sub(self.options.settled_ms)
            || samples > self.options.cache_samples
        {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // What a series costs beside its samples.
        let mut held: usize = samples + cache.iter().map(|c| c.samples).sum::<usize>();
        while held > self.options.cache_samples
            && let Some(oldest) = cache.pop_front()
        {
            held -= oldest.samples;
        }
        cache.push_back(Cached {
            matchers,
            min: wanted.min,
            max: wanted.max,
            samples,
            found: Arc::clone(found),
        });
    }

    /// `data` of an answer that is a list of texts or of label sets.
    fn list(
        &self,
        path: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Json>, SourceError> {
        let matches: Vec<String> = selectors.iter().map(|all| selector(all)).collect();
        let mut pairs: Vec<(&str, &str)> = matches.iter().map(|m| ("match[]", &**m)).collect();
        let (start, end) = (seconds(min), seconds(max));
        // A time far from any sample stands for none.
        if min > i64::MIN / 4 && max < i64::MAX / 4 {
            pairs.extend([("start", &*start), ("end", &*end)]);
        }
        let query = String::from_utf8(form(&pairs)).unwrap_or_default();
        let response = self.ask(&format!("{path}?{query}"), &[], Vec::new())?;
        if response.status != 200 {
            return Err(failed(said(&response)));
        }
        let mut body: Json =
            serde_json::from_slice(&response.body).map_err(|error| failed(error.to_string()))?;
        match body["data"].take() {
            Json::Array(list) => Ok(list),
            _ => Err(failed("the answer is not of Prometheus' form")),
        }
    }

    fn texts(
        &self,
        path: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let list = self.list(path, selectors, min, max)?;
        let mut texts: Vec<String> = list
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect();
        texts.sort();
        texts.dedup();
        Ok(texts)
    }
}

fn count(found: &Found) -> usize {
    let samples = |buffer: &SampleBuffer| buffer.timestamps.len() + 8 * buffer.histograms.len();
    found
        .iter()
        .map(|(labels, buffer)| samples(buffer) + labels.byte_len() / 16 + 8)
        .sum()
}

fn labels_of(json: &Json) -> Option<Labels> {
    let pairs = json.as_object()?.iter();
    let pairs: Option<Vec<(&str, &str)>> = pairs
        .map(|(name, value)| Some((&**name, value.as_str()?)))
        .collect();
    Some(Labels::new(pairs?))
}

/// The answer to an instant query for a range.
fn queried(body: &[u8]) -> Option<Found> {
    let body: Json = serde_json::from_slice(body).ok()?;
    let result = body["data"]["result"].as_array()?;
    let mut found = Vec::with_capacity(result.len());
    for series in result {
        let mut buffer = SampleBuffer::default();
        for point in series["values"].as_array().into_iter().flatten() {
            let time = (point[0].as_f64()? * 1000.0).round() as i64;
            buffer.push(time, Value::Float(number(point[1].as_str()?)?));
        }
        found.push((labels_of(&series["metric"])?, buffer));
    }
    Some(found)
}

/// VictoriaMetrics' export: a line of JSON per series (or per part of one).
fn exported(body: &[u8]) -> Option<Found> {
    let mut found = Vec::new();
    for line in body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let series: Json = serde_json::from_slice(line).ok()?;
        let mut buffer = SampleBuffer::default();
        let values = series["values"].as_array()?;
        for (time, value) in series["timestamps"].as_array()?.iter().zip(values) {
            let value = match value {
                Json::String(text) => number(text)?,
                Json::Null => bellwether_model::series::stale_nan(),
                other => other.as_f64()?,
            };
            buffer.push(time.as_i64()?, Value::Float(value));
        }
        found.push((labels_of(&series["metric"])?, buffer));
    }
    // A series may come in parts.
    found.sort_by(|a: &(Labels, SampleBuffer), b| a.0.cmp(&b.0));
    let mut whole: Found = Vec::with_capacity(found.len());
    for (labels, buffer) in found {
        match whole.last_mut().filter(|(known, _)| *known == labels) {
            Some((_, known)) => {
                known.timestamps.extend(buffer.timestamps);
                known.floats.extend(buffer.floats);
            }
            None => whole.push((labels, buffer)),
        }
    }
    for (_, buffer) in &mut whole {
        let samples = buffer
            .timestamps
            .iter()
            .copied()
            .zip(buffer.floats.iter().copied());
        let mut samples: Vec<(i64, f64)> = samples.collect();
        samples.sort_by_key(|(time, _)| *time);
        (buffer.timestamps, buffer.floats) = samples.into_iter().unzip();
    }
    Some(whole)
}

impl<F: Fetch> SeriesSource for RemoteSource<F> {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let key = selector(&selection.matchers);
        let found = match self.cached(&key, selection) {
            Some(found) => found,
            None => {
                let found = self.fetch_samples(selection)?;
                if found.len() > self.options.limits.series {
                    return Err(SourceError::TooManySeries {
                        limit: self.options.limits.series,
                    });
                }
                let samples: usize = found
                    .iter()
                    .map(|(_, b)| b.timestamps.len() + b.histograms.len())
                    .sum();
                if samples > self.options.samples_max {
                    return Err(failed(format!(
                        "the selection has {samples} samples, more than {}",
                        self.options.samples_max
                    )));
                }
                let found = Arc::new(found);
                self.keep(key, selection, &found);
                found
            }
        };
        let (min, max) = (selection.min, selection.max);
        let inside = |time: i64| (min..=max).contains(&time);
        let items = found.iter().enumerate().filter(|(_, (_, buffer))| {
            buffer.timestamps.iter().any(|t| inside(*t))
                || buffer.histograms.iter().any(|(t, _)| inside(*t))
        });
        let items = items.map(|(index, _)| index).collect();
        Ok(Box::new(Set {
            found,
            items,
            min,
            max,
        }))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        self.texts("/api/v1/labels", selectors, min, max)
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<String>, SourceError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(plain) {
            return Ok(Vec::new());
        }
        self.texts(&format!("/api/v1/label/{name}/values"), selectors, min, max)
    }

    fn series(
        &self,
        selectors: &[Vec<Matcher>],
        min: i64,
        max: i64,
    ) -> Result<Vec<Labels>, SourceError> {
        let list = self.list("/api/v1/series", selectors, min, max)?;
        let mut all: Vec<Labels> = list.iter().filter_map(labels_of).collect();
        all.sort();
        all.dedup();
        Ok(all)
    }
}

impl SeriesSet for Set {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn labels(&self, index: usize) -> &Labels {
        &self.found[self.items[index]].0
    }

    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        buffer.clear();
        let (_, samples) = &self.found[self.items[index]];
        let inside = |time: &i64| (self.min..=self.max).contains(time);
        for (time, value) in samples.timestamps.iter().zip(&samples.floats) {
            if inside(time) {
                buffer.timestamps.push(*time);
                buffer.floats.push(*value);
            }
        }
        let histograms = samples.histograms.iter().filter(|(time, _)| inside(time));
        buffer.histograms.extend(histograms.cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bellwether_model::MatchOp;

    use super::*;
    use crate::read::encode_samples;

    /// Answers from a list and remembers what was asked.
    struct Canned {
        answers: Vec<(&'static str, Response)>,
        asked: Mutex<Vec<String>>,
    }

    impl Fetch for &Canned {
        fn fetch(&self, request: &Request) -> Result<Response, String> {
            self.asked.lock().unwrap().push(request.path.clone());
            let found = self
                .answers
                .iter()
                .find(|(path, _)| request.path.starts_with(path));
            Ok(found.map_or(
                Response {
                    status: 404,
                    body: Vec::new(),
                },
                |(_, answer)| answer.clone(),
            ))
        }
        fn now(&self) -> i64 {
            10_000_000
        }
    }

    fn canned(answers: Vec<(&'static str, Vec<u8>)>) -> Canned {
        let ok = |(path, body)| (path, Response { status: 200, body });
        Canned {
            answers: answers.into_iter().map(ok).collect(),
            asked: Mutex::default(),
        }
    }

    fn all(source: &dyn SeriesSource, min: i64, max: i64) -> Vec<(String, Vec<i64>, Vec<f64>)> {
        let matchers = vec![Matcher::new(MatchOp::Equal, "__name__", "up").unwrap()];
        let set = source.select(&Selection { matchers, min, max }).unwrap();
        let mut buffer = SampleBuffer::default();
        let mut out = Vec::new();
        for index in 0..set.len() {
            set.read(index, &mut buffer).unwrap();
            out.push((
                set.labels(index).to_string(),
                buffer.timestamps.clone(),
                buffer.floats.clone(),
            ));
        }
        out
    }

    #[test]
    fn every_way_gives_the_same_and_the_settled_past_is_asked_for_once() {
        let labels = Labels::new([("__name__", "up"), ("job", "a")]);
        let samples = vec![
            (1_000, Value::Float(1.0)),
            (2_500, Value::Float(f64::INFINITY)),
        ];
        let read = encode_samples(&[vec![(labels, samples)]]);
        let export =
            br#"{"metric":{"__name__":"up","job":"a"},"values":["Infinity"],"timestamps":[2500]}
{"metric":{"__name__":"up","job":"a"},"values":[1],"timestamps":[1000]}
"#;
        let query = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"],[2.5,"+Inf"]]}]}}"#;
        for (path, body) in [
            ("/api/v1/read", read),
            ("/api/v1/export", export.to_vec()),
            ("/api/v1/query", query.to_vec()),
        ] {
            let server = canned(vec![(path, body)]);
            let source = RemoteSource::new(&server, SourceOptions::default());
            let expected = [(
                r#"{__name__="up",job="a"}"#.to_owned(),
                vec![1_000, 2_500],
                vec![1.0, f64::INFINITY],
            )];
            let got = all(&source, 0, 5_000);
            assert_eq!(got[0].1, expected[0].1, "{path}");
            assert_eq!(got[0].2, expected[0].2, "{path}");
            let asked = server.asked.lock().unwrap().len();
            assert_eq!(all(&source, 900, 1_100)[0].1, [1_000]);
            assert_eq!(all(&source, 3_000, 4_000).len(), 0);
            assert_eq!(
                server.asked.lock().unwrap().len(),
                asked,
                "answered from the cache"
            );
            // What may still grow is asked for again.
            all(&source, 0, 9_999_999);
            all(&source, 0, 9_999_999);
            assert_eq!(server.asked.lock().unwrap().len(), asked + 2);
        }
    }

    #[test]
    fn faults_are_told_in_the_servers_words() {
        let server = Canned {
            answers: vec![(
                "/api/v1/query",
                Response {
                    status: 422,
                    body: br#"{"status":"error","error":"too much"}"#.to_vec(),
                },
            )],
            asked: Mutex::default(),
        };
        let source = RemoteSource::new(&server, SourceOptions::default());
        let matchers = vec![Matcher::equal("a", "b")];
        let error = source
            .select(&Selection {
                matchers,
                min: 0,
                max: 1,
            })
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "read samples: the server answered 422: too much"
        );
    }
}
