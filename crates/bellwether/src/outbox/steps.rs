//! Steps of runs: shell, HTTP, PromQL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_act::{
    ExecPayload, HttpPayload, Outcome, Output, PromqlPayload, RunEvent, StepResult, VerifyResult,
};
use bellwether_connect::exec::{ExecOutcome, ExecResult, ExecSpec, OutputSink, Program};
use bellwether_connect::http::{HttpCall, HttpClient, HttpSettings};
use bellwether_model::Secret;
use bellwether_model::series::Value;
use bellwether_model::state::Delivery;
use bellwether_promql::{QueryResult, QueryValue};
use serde::de::DeserializeOwned;

use super::{Outbox, step_outcome};
use crate::live::Live;
use crate::queries::Times;

/// Slack for the process around a step.
const AROUND: Duration = Duration::from_secs(30);
/// Samples of a query step that go into its output.
const SAMPLES_SHOWN: usize = 100;

fn read<T: DeserializeOwned>(delivery: &Delivery) -> Result<T, RunEvent> {
    serde_json::from_value(delivery.new.payload.clone()).map_err(|error| {
        step_outcome(
            delivery,
            Outcome::FailedToStart {
                error: format!("the delivery cannot be read: {error}"),
            },
        )
    })
}

/// How long an attempt of a step may be left alone.
pub(super) fn time_max(delivery: &Delivery) -> Option<Duration> {
    let ms = |key: &str| {
        delivery
            .new
            .payload
            .get(key)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default()
    };
    let time = Duration::from_millis(ms("timeout_ms").saturating_add(ms("grace_ms")));
    (!time.is_zero()).then(|| time.saturating_add(AROUND))
}

/// Whether repeating a request changes nothing.
pub(super) fn is_safe(delivery: &Delivery) -> bool {
    let method = delivery
        .new
        .payload
        .get("method")
        .and_then(serde_json::Value::as_str);
    matches!(method, Some("GET" | "HEAD"))
}

impl Outbox {
    /// Runs a shell step, or with `attach` finds out what became of one.
    pub(super) async fn exec(&self, delivery: &Delivery, attach: bool) -> RunEvent {
        let key = delivery.new.key.clone();
        let payload: ExecPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let sink = self.sink(&payload);
        let result = if attach {
            match self.executor.attach(&key, Some(sink)).await {
                Some(result) => result,
                // The spool is made before anything is started, so it never was.
                None => {
                    let error = "the server stopped before it began".to_owned();
                    return step_outcome(delivery, Outcome::FailedToStart { error });
                }
            }
        } else {
            let secrets = match resolve_secrets(&payload.secrets) {
                Ok(secrets) => secrets,
                Err(error) => return step_outcome(delivery, Outcome::FailedToStart { error }),
            };
            let spec = ExecSpec {
                key: key.clone(),
                program: if payload.lang == "sh" {
                    Program::Sh(payload.body)
                } else {
                    Program::Bash(payload.body)
                },
                env: payload.env,
                cwd: None,
                timeout: Duration::from_millis(payload.timeout_ms),
                grace: Duration::from_millis(payload.grace_ms),
            };
            self.executor.start(spec, secrets, Some(sink)).await
        };
        RunEvent::StepOutcome {
            key,
            result: step_result(result),
        }
    }

    fn sink(&self, payload: &ExecPayload) -> OutputSink {
        let (live, run, step) = (
            self.app.live.clone(),
            payload.run.clone(),
            payload.step.clone(),
        );
        Arc::new(move |_, bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            drop(live.send(Live::Output {
                run: run.clone(),
                step: step.clone(),
                text,
            }));
        })
    }

    /// Makes an HTTP request.
    pub(super) async fn http(&self, delivery: &Delivery) -> RunEvent {
        let payload: HttpPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let client = match HttpClient::new(HttpSettings::default()) {
            Ok(client) => client,
            Err(error) => {
                return step_outcome(
                    delivery,
                    Outcome::FailedToStart {
                        error: error.to_string(),
                    },
                );
            }
        };
        let begun = self.app.clock.monotonic();
        let answer = client
            .call(HttpCall {
                method: payload.method,
                url: Secret::new(payload.url),
                headers: payload.headers,
                body: payload.body.into_bytes(),
                idempotency_key: payload.idempotency_key,
                timeout: Duration::from_millis(payload.timeout_ms),
            })
            .await;
        let duration_ms = self.app.clock.monotonic().saturating_sub(begun).as_millis() as u64;
        let (outcome, output) = match answer {
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                (
                    Outcome::Responded {
                        status: answer.status,
                    },
                    Output::new(&text, ""),
                )
            }
            Err(error) if error.surely_not_sent() => (
                Outcome::FailedToStart {
                    error: error.to_string(),
                },
                Output::default(),
            ),
            Err(error) => (
                Outcome::Unknown {
                    reason: error.to_string(),
                },
                Output::default(),
            ),
        };
        RunEvent::StepOutcome {
            key: delivery.new.key.clone(),
            result: StepResult {
                outcome,
                output: output.capped(),
                duration_ms,
            },
        }
    }

    /// Asks a query: a step of its own, or the check of another one.
    pub(super) async fn promql(&self, delivery: &Delivery) -> RunEvent {
        let key = delivery.new.key.clone();
        let payload: PromqlPayload = match read(delivery) {
            Ok(payload) => payload,
            Err(event) => return event,
        };
        let begun = self.app.clock.monotonic();
        let now = self.app.clock.now().as_millisecond();
        let timeout = Duration::from_millis(payload.timeout_ms.max(1));
        let answer = match self.app.queries.engine().parse(&payload.query) {
            Ok(expr) => self
                .app
                .queries
                .run(expr, Times::at(now), timeout)
                .await
                .map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let duration_ms = self.app.clock.monotonic().saturating_sub(begun).as_millis() as u64;
        if payload.verify {
            let result = match answer {
                Ok(answer) => VerifyResult::of_values(&values(&answer), show(&answer)),
                Err(error) => VerifyResult::Error { error },
            };
            return RunEvent::VerifyResult { key, result };
        }
        let (outcome, output) = match answer {
            Ok(answer) => (Outcome::Answered, Output::new(&show(&answer), "")),
            Err(error) => (Outcome::Refused { error }, Output::default()),
        };
        RunEvent::StepOutcome {
            key,
            result: StepResult {
                outcome,
                output,
                duration_ms,
            },
        }
    }
}

/// Secrets by reference: `secret://file/etc/…` is the text of a file.
fn resolve_secrets(
    references: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Secret>, String> {
    references
        .iter()
        .map(|(name, reference)| {
            let path = reference.strip_prefix("secret://file/").ok_or_else(|| {
                format!("{reference:?} is not a reference of the form secret://file/path")
            })?;
            let text = std::fs::read_to_string(format!("/{path}"))
                .map_err(|error| format!("the secret for {name} cannot be read: {error}"))?;
            Ok((name.clone(), Secret::new(text.trim_end_matches('\n'))))
        })
        .collect()
}

fn step_result(result: ExecResult) -> StepResult {
    let ExecResult {
        outcome,
        stdout,
        stderr,
        duration_ms,
    } = result;
    let mut output = Output::new(&stdout.text, &stderr.text);
    output.bytes = stdout.bytes + stderr.bytes;
    output.truncated |= stdout.truncated || stderr.truncated;
    let outcome = match outcome {
        ExecOutcome::Exited { code } => Outcome::Exited { code },
        ExecOutcome::Signalled { signal } => Outcome::Signalled { signal },
        ExecOutcome::TimedOut => Outcome::TimedOut,
        ExecOutcome::Cancelled => Outcome::Unknown {
            reason: "it was cancelled while it ran".to_owned(),
        },
        ExecOutcome::FailedToStart { error } => Outcome::FailedToStart { error },
        ExecOutcome::Unknown { reason } => Outcome::Unknown { reason },
    };
    StepResult {
        outcome,
        output: output.capped(),
        duration_ms,
    }
}

fn values(answer: &QueryResult) -> Vec<f64> {
    match &answer.value {
        QueryValue::Scalar { value, .. } => vec![*value],
        QueryValue::Vector(samples) => samples
            .iter()
            .filter_map(|sample| match sample.value {
                Value::Float(value) => Some(value),
                Value::Histogram(_) => None,
            })
            .collect(),
        QueryValue::String { .. } | QueryValue::Matrix(_) => Vec::new(),
    }
}

/// One `{labels} value` per line.
fn show(answer: &QueryResult) -> String {
    let line = |labels: String, value: f64| {
        format!("{labels} {}", crate::http::prometheus::format_float(value))
    };
    match &answer.value {
        QueryValue::Scalar { value, .. } => crate::http::prometheus::format_float(*value),
        QueryValue::String { value, .. } => value.clone(),
        QueryValue::Vector(samples) => {
            let mut lines: Vec<String> = samples
                .iter()
                .take(SAMPLES_SHOWN)
                .map(|sample| match &sample.value {
                    Value::Float(value) => line(sample.labels.to_string(), *value),
                    Value::Histogram(histogram) => {
                        format!(
                            "{} histogram of {} observations",
                            sample.labels, histogram.count
                        )
                    }
                })
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
        QueryValue::Matrix(all) => format!("{} series", all.len()),
    }
}
