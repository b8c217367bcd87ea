//! Remote read: what is asked for (`prometheus.ReadRequest`) and the answer as samples (`prometheus.ReadResponse`).

use bellwether_model::series::Value;
use bellwether_model::{Labels, MatchOp, Matcher};

use crate::proto::{Reader, Writer};
use crate::write::{write_labels, write_samples};
use crate::{DecodeError, Limits, decompress, write};

/// Queries that one request may have.
const QUERIES_MAX: usize = 100;
/// Matchers that one query may have.
const MATCHERS_MAX: usize = 100;

/// One selection. Times are milliseconds since 1970, both inclusive.
#[derive(Clone, Debug)]
pub struct ReadQuery {
    pub min: i64,
    pub max: i64,
    pub matchers: Vec<Matcher>,
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    pub queries: Vec<ReadQuery>,
}

/// A series of an answer.
pub type ReadSeries = (Labels, Vec<(i64, Value)>);

fn matcher(bytes: &[u8]) -> Result<Matcher, DecodeError> {
    let (mut op, mut name, mut value) = (0, "", "");
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => op = field.number()?,
            2 => name = field.text()?,
            3 => value = field.text()?,
            _ => {}
        }
    }
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        _ => return Err(DecodeError::Proto("unknown kind of matcher")),
    };
    Matcher::new(op, name, value).map_err(|error| DecodeError::Invalid(error.to_string()))
}

fn query(bytes: &[u8]) -> Result<ReadQuery, DecodeError> {
    let mut query = ReadQuery {
        min: 0,
        max: 0,
        matchers: Vec::new(),
    };
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => query.min = field.int()?,
            2 => query.max = field.int()?,
            3 if query.matchers.len() >= MATCHERS_MAX => {
                return Err(DecodeError::Proto("a query has too many matchers"));
            }
            3 => query.matchers.push(matcher(field.bytes()?)?),
            _ => {}
        }
    }
    Ok(query)
}

// === impl ReadRequest ===

impl ReadRequest {
    /// Takes a body apart.
    pub fn decode(body: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        let bytes = decompress(body, limits.bytes)?;
        let mut request = Self::default();
        let mut reader = Reader::new(&bytes);
        while let Some((number, field)) = reader.next()? {
            if number == 1 {
                if request.queries.len() >= QUERIES_MAX {
                    return Err(DecodeError::Proto("a request has too many queries"));
                }
                request.queries.push(query(field.bytes()?)?);
            }
        }
        Ok(request)
    }

    /// The body of a request for samples.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for query in &self.queries {
            writer.message(1, |w| {
                w.int(1, query.min);
                w.int(2, query.max);
                for matcher in &query.matchers {
                    w.message(3, |w| {
                        let op = match matcher.op {
                            MatchOp::Equal => 0,
                            MatchOp::NotEqual => 1,
                            MatchOp::Regex => 2,
                            MatchOp::NotRegex => 3,
                        };
                        w.number(1, op);
                        w.text(2, &matcher.name);
                        w.text(3, &matcher.value);
                    });
                }
            });
        }
        crate::compress(&writer.out)
    }
}

/// The body of an answer: one list of series per query.
pub fn encode_samples(results: &[Vec<ReadSeries>]) -> Vec<u8> {
    let mut writer = Writer::default();
    for result in results {
        writer.message(1, |w| {
            for (labels, samples) in result {
                w.message(1, |w| {
                    write_labels(w, labels);
                    write_samples(w, samples, 2, 4);
                });
            }
        });
    }
    crate::compress(&writer.out)
}

/// Takes an answer apart: one list of series per query.
pub fn decode_samples(body: &[u8], limits: &Limits) -> Result<Vec<Vec<ReadSeries>>, DecodeError> {
    let bytes = decompress(body, limits.bytes)?;
    let mut results = Vec::new();
    let mut reader = Reader::new(&bytes);
    while let Some((number, field)) = reader.next()? {
        if number != 1 {
            continue;
        }
        // A result has the shape of a write request of version 1.
        let request = write::decode_v1(field.bytes()?, limits)?;
        let series = request.series.into_iter();
        results.push(series.map(|one| (one.labels, one.samples)).collect());
    }
    Ok(results)
}
