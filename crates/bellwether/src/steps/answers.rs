//! Answers to PromQL: from our own samples, or from a Prometheus.

use std::sync::Arc;
use std::time::Duration;

use bellwether_model::Labels;
use bellwether_model::series::Value;
use bellwether_promql::{QueryResult, QueryValue};
use bellwether_store::BoxFuture;
use serde_json::Value as Json;

use super::Ask;
use crate::app::App;
use crate::client::Client;
use crate::queries::Times;

/// Samples of a query step that go into its output.
const SAMPLES_SHOWN: usize = 100;

/// An instant query's answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// For people: one `{labels} value` per line.
    pub text: String,
    pub values: Vec<f64>,
    /// The samples, when it was a vector.
    pub samples: Vec<(Labels, f64)>,
}

/// Our own samples.
pub struct FromQueries(pub Arc<App>);

/// A Prometheus, or a Bellwether, by its address.
pub struct FromPrometheus(pub Client);

/// Nobody to ask; the text says what to do.
pub struct FromNobody;

impl Ask for FromQueries {
    fn ask<'a>(
        &'a self,
        query: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            let now = self.0.clock.now().as_millisecond();
            let expr = self
                .0
                .queries
                .engine()
                .parse(query)
                .map_err(|error| error.to_string())?;
            let answer = self.0.queries.run(expr, Times::at(now), timeout).await;
            answer
                .map(|answer| of_result(&answer))
                .map_err(|error| error.to_string())
        })
    }
}

impl Ask for FromPrometheus {
    fn ask<'a>(
        &'a self,
        query: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            let form = [("query", query.to_owned())];
            let asking = self.0.prometheus("/query", &form);
            let answer = tokio::time::timeout(timeout, asking).await;
            let answer = answer.map_err(|_| "no answer in time".to_owned())?;
            of_json(&answer.map_err(|error| error.to_string())?["data"])
        })
    }
}

impl Ask for FromNobody {
    fn ask<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async {
            Err("there is nobody to ask: name a Prometheus with --prometheus URL".to_owned())
        })
    }
}

fn lines(samples: &[(String, String)]) -> String {
    let mut lines: Vec<String> = samples
        .iter()
        .take(SAMPLES_SHOWN)
        .map(|(labels, value)| format!("{labels} {value}"))
        .collect();
    if samples.len() > SAMPLES_SHOWN {
        lines.push(format!("… and {} more", samples.len() - SAMPLES_SHOWN));
    }
    if lines.is_empty() {
        "no samples".to_owned()
    } else {
        lines.join("\n")
    }
}

fn of_json(data: &Json) -> Result<Answer, String> {
    let number = |sample: &Json| sample[1].as_str().map(str::to_owned);
    match data["resultType"].as_str() {
        Some("scalar") => {
            let text = number(&data["result"]).unwrap_or_default();
            Ok(Answer {
                values: text.parse().into_iter().collect(),
                text,
                samples: Vec::new(),
            })
        }
        Some("vector") => {
            let mut answer = Answer::default();
            let mut shown = Vec::new();
            for sample in data["result"].as_array().into_iter().flatten() {
                let pairs = sample["metric"].as_object().into_iter().flatten();
                let labels: Labels = pairs
                    .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
                    .collect();
                let text = number(&sample["value"]).unwrap_or_default();
                if let Ok(value) = text.replace("Inf", "inf").parse::<f64>() {
                    answer.values.push(value);
                    answer.samples.push((labels.clone(), value));
                }
                shown.push((labels.to_string(), text));
            }
            answer.text = lines(&shown);
            Ok(answer)
        }
        _ => Err("the answer is no instant vector and no number".to_owned()),
    }
}

fn of_result(answer: &QueryResult) -> Answer {
    let shown = crate::http::prometheus::format_float;
    match &answer.value {
        QueryValue::Scalar { value, .. } => Answer {
            text: shown(*value),
            values: vec![*value],
            samples: Vec::new(),
        },
        QueryValue::String { value, .. } => Answer {
            text: value.clone(),
            ..Answer::default()
        },
        QueryValue::Vector(samples) => {
            let mut answer = Answer::default();
            let mut text = Vec::new();
            for sample in samples {
                match &sample.value {
                    Value::Float(value) => {
                        answer.values.push(*value);
                        answer.samples.push((sample.labels.clone(), *value));
                        text.push((sample.labels.to_string(), shown(*value)));
                    }
                    Value::Histogram(histogram) => text.push((
                        sample.labels.to_string(),
                        format!("histogram of {} observations", histogram.count),
                    )),
                }
            }
            answer.text = lines(&text);
            answer
        }
        QueryValue::Matrix(all) => Answer {
            text: format!("{} series", all.len()),
            ..Answer::default()
        },
    }
}
