//! Parameters as Prometheus takes them: in the address or a form, times in seconds or RFC 3339.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, header};
use bellwether_model::Matcher;
use bellwether_model::duration::parse_duration;
use bellwether_promql::parse_metric_selector;

use super::answer::ApiError;
use crate::queries::TIMEOUT;

/// Body of a form that is accepted.
const FORM_MAX: usize = 1 << 20;

/// Parameters of the address and of a form, in that order; names may repeat.
pub(super) struct Params(Vec<(String, String)>);

/// Series that a request is about.
pub(super) struct Selectors {
    pub(super) all: Vec<Vec<Matcher>>,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) limit: usize,
}

impl Params {
    /// `match[]`, `start`, `end` and `limit`.
    pub(super) fn selectors(&self) -> Result<Selectors, ApiError> {
        let all = self
            .all("match[]")
            .map(parse_metric_selector)
            .collect::<Result<_, _>>();
        let all = all.map_err(|error| {
            ApiError::bad_data(format!("invalid parameter \"match[]\": {error}"))
        })?;
        let min = self.time("start")?.unwrap_or(i64::MIN / 2);
        let max = self.time("end")?.unwrap_or(i64::MAX / 2);
        let limit = self.limit()?;
        Ok(Selectors {
            all,
            min,
            max,
            limit,
        })
    }
}

impl Params {
    pub(super) fn read(
        RawQuery(raw): RawQuery,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Self, ApiError> {
        let mut all = parse_form(raw.as_deref().unwrap_or_default().as_bytes());
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if body.len() > FORM_MAX {
            return Err(ApiError::bad_data(
                "the form is larger than 1 MiB".to_owned(),
            ));
        }
        if kind.starts_with("application/x-www-form-urlencoded") {
            all.extend(parse_form(body));
        }
        Ok(Self(all))
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        self.get(name)
            .map(|text| parse_time(text).ok_or_else(|| bad_time(name, text)))
            .transpose()
    }

    pub(super) fn required_time(&self, name: &'static str) -> Result<i64, ApiError> {
        self.time(name)?.ok_or_else(|| bad_time(name, ""))
    }

    /// `limit`: how much of a list is wanted; 0 or none for all of it.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        match self.get("limit").unwrap_or("0") {
            "0" => Ok(usize::MAX),
            text => text.parse().map_err(|_| {
                ApiError::bad_data(format!(
                    "invalid parameter \"limit\": cannot parse {text:?} to a valid limit"
                ))
            }),
        }
    }

    /// `lookback_delta` in milliseconds.
    pub(super) fn lookback(&self) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get("lookback_delta") else {
            return Ok(None);
        };
        let ms = parse_step(text).filter(|ms| *ms > 0).ok_or_else(|| {
            ApiError::bad_data(format!(
                "invalid parameter \"lookback_delta\": cannot parse {text:?} to a valid duration"
            ))
        })?;
        Ok(Some(ms))
    }

    pub(super) fn timeout(&self) -> Result<Duration, ApiError> {
        let Some(text) = self.get("timeout") else {
            return Ok(TIMEOUT);
        };
        let asked = parse_step(text).filter(|ms| *ms > 0).ok_or_else(|| {
            ApiError::bad_data(format!(
                "invalid parameter \"timeout\": cannot parse {text:?} to a valid duration"
            ))
        })?;
        Ok(TIMEOUT.min(Duration::from_millis(asked as u64)))
    }
}

pub(crate) fn parse_form(bytes: &[u8]) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let mut out = Vec::with_capacity(part.len());
        let mut rest = part.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let mut ahead = rest.clone();
                    let code = [ahead.next(), ahead.next()]
                        .map(|b| b.and_then(|b| (b as char).to_digit(16)));
                    if let [Some(high), Some(low)] = code {
                        out.push((high * 16 + low) as u8);
                        rest = ahead;
                    } else {
                        out.push(b'%');
                    }
                }
                byte => out.push(byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let text = String::from_utf8_lossy(bytes);
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Unix seconds with decimals, or RFC 3339.
pub fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        return (seconds.is_finite() && ms.abs() < 9.2e18).then_some(ms as i64);
    }
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_millisecond)
}

/// Seconds with decimals, or a Prometheus duration, in milliseconds.
pub(super) fn parse_step(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        return (seconds.is_finite() && ms.abs() < 9.2e15).then_some(ms as i64);
    }
    parse_duration(text)
        .ok()
        .map(|duration| duration.as_millis() as i64)
}

pub(super) fn bad_time(name: &str, text: &str) -> ApiError {
    ApiError::bad_data(format!(
        "invalid parameter {name:?}: cannot parse {text:?} to a valid timestamp"
    ))
}
