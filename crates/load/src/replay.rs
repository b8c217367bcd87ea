//! Access logs as load: the same requests, with the same gaps.
//!
//! Two forms are read, line by line: the common and combined log format of Apache and nginx, and JSON objects with a
//! time (`time`, `ts`, `timestamp`, `@timestamp`, `time_iso8601`, `msec`) and a request (`request`, or `method` with
//! `path`, `uri`, `request_uri` or `url`). Times of whole seconds, as the common format has them, are spread evenly
//! within their second.

use std::io::BufRead;
use std::sync::Arc;

use crate::scenario::{ENDPOINTS_MAX, Endpoint, Expect, Flow, Scenario, Template};

/// Bytes of one line.
const LINE_MAX: usize = 64 << 10;
/// Lines of one log.
const LINES_MAX: usize = 10_000_000;

/// A log, ready to be replayed.
#[derive(Clone, Debug)]
pub struct Replay {
    pub scenario: Scenario,
    /// The flow of each arrival.
    pub order: Arc<[u32]>,
    /// When each is due, in ns from the start.
    pub times: Arc<[u64]>,
    /// Lines that are no request.
    pub skipped: usize,
    /// Requests with other methods than GET, HEAD and OPTIONS: what they sent is not in a log.
    pub unsafe_skipped: usize,
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("read the log: {0}")]
    Read(#[from] std::io::Error),
    #[error("no line of the log is a request ({skipped} lines): the first is {first:?}")]
    Empty { skipped: usize, first: String },
    #[error("the log has more than {LINES_MAX} requests")]
    TooLong,
    #[error("the log asks for more than {ENDPOINTS_MAX} different things")]
    TooMany,
}

/// One request of a log.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    /// Seconds since 1970.
    time: f64,
    method: http::Method,
    path: String,
}

/// Reads a log. `speed` 2 replays it in half the time.
pub fn read_log(log: impl BufRead, speed: f64) -> Result<Replay, ReplayError> {
    let mut lines = Vec::new();
    let (mut skipped, mut unsafe_skipped, mut first) = (0, 0, String::new());
    let mut log = log;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if log.read_until(b'\n', &mut buffer)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&buffer);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match (buffer.len() <= LINE_MAX).then(|| parse(text)).flatten() {
            Some(line) if is_safe(&line.method) => lines.push(line),
            Some(_) => unsafe_skipped += 1,
            None => {
                if first.is_empty() {
                    first = text.chars().take(120).collect();
                }
                skipped += 1;
            }
        }
        if lines.len() > LINES_MAX {
            return Err(ReplayError::TooLong);
        }
    }
    if lines.is_empty() {
        return Err(ReplayError::Empty { skipped, first });
    }
    // Logs are written at the end of a request: nearly, but not quite, in order.
    lines.sort_by(|a, b| a.time.total_cmp(&b.time));
    let times = spread(&lines, speed);
    let (scenario, order) = scenario(&lines)?;
    Ok(Replay {
        scenario,
        order,
        times,
        skipped,
        unsafe_skipped,
    })
}

fn is_safe(method: &http::Method) -> bool {
    [http::Method::GET, http::Method::HEAD, http::Method::OPTIONS].contains(method)
}

fn scenario(lines: &[Line]) -> Result<(Scenario, Arc<[u32]>), ReplayError> {
    let mut known = std::collections::BTreeMap::new();
    let mut scenario = Scenario::default();
    let mut order = Vec::with_capacity(lines.len());
    for line in lines {
        let key = (line.method.as_str(), line.path.as_str());
        let index = match known.get(&key) {
            Some(index) => *index,
            None => {
                let index = scenario.endpoints.len();
                if index >= ENDPOINTS_MAX {
                    return Err(ReplayError::TooMany);
                }
                let name = name_of(line);
                let endpoint = Endpoint {
                    group: scenario.group(&name),
                    method: line.method.clone(),
                    path: Template::plain(line.path.clone()),
                    headers: Vec::new(),
                    body: None,
                    expect: Expect::Below400,
                };
                scenario.endpoints.push(endpoint);
                scenario.flows.push(Flow::of_one(name, index));
                known.insert(key, index);
                index
            }
        };
        order.push(index as u32);
    }
    Ok((scenario, order.into()))
}

/// Method and path without query; what looks like an id becomes `*`.
fn name_of(line: &Line) -> String {
    let path = line.path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path
        .split('/')
        .map(|part| {
            let is_id = part.bytes().any(|b| b.is_ascii_digit())
                && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            if is_id { "*" } else { part }
        })
        .collect();
    format!("{} {}", line.method, parts.join("/"))
}

/// Times from the start. Several requests in one whole second are spread over it.
fn spread(lines: &[Line], speed: f64) -> Arc<[u64]> {
    let whole = lines.iter().all(|line| line.time.fract() == 0.0);
    let start = lines.first().map_or(0.0, |line| line.time);
    let mut times = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let same = lines[at..]
            .iter()
            .take_while(|line| line.time == lines[at].time)
            .count();
        for index in 0..same {
            let within = if whole {
                index as f64 / same as f64
            } else {
                0.0
            };
            let seconds = (lines[at].time - start + within) / speed;
            times.push((seconds * 1e9) as u64);
        }
        at += same;
    }
    times.into()
}

fn parse(text: &str) -> Option<Line> {
    if text.starts_with('{') {
        parse_json(text)
    } else {
        parse_common(text)
    }
}

/// `host ident user [10/Oct/2000:13:55:36 -0700] "GET /path HTTP/1.0" 200 2326 ...`
fn parse_common(text: &str) -> Option<Line> {
    let (_, rest) = text.split_once('[')?;
    let (time, rest) = rest.split_once(']')?;
    let time = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
        .ok()?
        .to_timestamp()
        .ok()?;
    let (_, rest) = rest.split_once('"')?;
    let (request, _) = rest.split_once('"')?;
    let (method, path) = request_line(request)?;
    Some(Line {
        time: time.as_millisecond() as f64 / 1e3,
        method,
        path,
    })
}

fn parse_json(text: &str) -> Option<Line> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let time = [
        "time",
        "ts",
        "timestamp",
        "@timestamp",
        "time_iso8601",
        "msec",
    ]
    .iter()
    .find_map(|key| time_of(&value[*key]))?;
    let text_of = |key: &str| value[key].as_str();
    let (method, path) = match text_of("request") {
        Some(request) => request_line(request)?,
        None => {
            let path = ["path", "uri", "request_uri", "url"]
                .iter()
                .find_map(|key| text_of(key))?;
            let method = text_of("method").or_else(|| text_of("request_method"));
            request_line(&format!("{} {path}", method.unwrap_or("GET")))?
        }
    };
    Some(Line { time, method, path })
}

/// Seconds since 1970 from RFC 3339, or from a number of seconds, ms, µs or ns, told apart by its size.
fn time_of(value: &serde_json::Value) -> Option<f64> {
    if let Some(text) = value.as_str() {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(time.as_nanosecond() as f64 / 1e9);
        }
        return scaled(text.parse().ok()?);
    }
    scaled(value.as_f64()?)
}

fn scaled(number: f64) -> Option<f64> {
    let unit = match number {
        n if !(1e8..1e20).contains(&n) => return None,
        n if n < 1e11 => 1.0,
        n if n < 1e14 => 1e3,
        n if n < 1e17 => 1e6,
        _ => 1e9,
    };
    Some(number / unit)
}

fn request_line(text: &str) -> Option<(http::Method, String)> {
    let mut words = text.split(' ');
    let method = http::Method::from_bytes(words.next()?.as_bytes()).ok()?;
    let uri: http::Uri = words.next()?.parse().ok()?;
    let path = uri.path_and_query()?.as_str();
    path.starts_with('/').then(|| (method, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = r#"10.0.0.1 - - [10/Oct/2025:13:55:36 +0200] "GET /a?b=1 HTTP/1.1" 200 23 "-" "curl"
10.0.0.1 - - [10/Oct/2025:13:55:36 +0200] "GET /user/42 HTTP/1.1" 200 23
10.0.0.1 - - [10/Oct/2025:13:55:38 +0200] "GET /user/43 HTTP/1.1" 200 23
10.0.0.1 - - [10/Oct/2025:13:55:38 +0200] "POST /user HTTP/1.1" 201 23
10.0.0.1 - - [10/Oct/2025:13:55:38 +0200] "\x16\x03\x01" 400 0
"#;

    #[test]
    fn a_common_log_keeps_its_gaps() {
        let replay = read_log(LOG.as_bytes(), 2.0).unwrap();
        assert_eq!(*replay.times, [0, 250_000_000, 1_000_000_000]);
        assert_eq!((replay.skipped, replay.unsafe_skipped), (1, 1));
        assert_eq!(replay.scenario.groups, ["GET /a", "GET /user/*"]);
        assert_eq!(*replay.order, [0, 1, 2]);
    }

    #[test]
    fn json_logs_have_times_to_the_millisecond() {
        let log = r#"{"time":"2025-10-10T11:55:36.500Z","request":"GET /x HTTP/2.0"}
{"msec":"1760097337.125","method":"HEAD","path":"/y"}
{"ts":1760097337625,"uri":"/x"}
{"level":"info"}
"#;
        let replay = read_log(log.as_bytes(), 1.0).unwrap();
        assert_eq!(*replay.times, [0, 625_000_000, 1_125_000_000]);
        assert_eq!(replay.skipped, 1);
        let empty = read_log(b"nonsense\n".as_slice(), 1.0).unwrap_err();
        insta::assert_snapshot!(empty, @r#"no line of the log is a request (1 lines): the first is "nonsense""#);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_skipped(text in ".*", date in "[0-9:/A-Za-z +-]{0,30}", request in ".{0,40}") {
            drop(parse(&text));
            if let Some(line) = parse(&format!("h - - [{date}] \"{request}\" 200")) {
                prop_assert!(line.path.starts_with('/'));
            }
        }
    }
}
