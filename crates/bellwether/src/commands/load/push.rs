//! The time series of a run, into the store of a running server.

use std::collections::BTreeMap;

use bellwether_load::Report;
use bellwether_load::report::Slice;
use bellwether_model::Labels;
use bellwether_model::series::Value;
use bellwether_remote::write::{WriteRequest, WriteSeries, encode_v1};
use jiff::Timestamp;

use crate::cli::ServerArgs;
use crate::client::Client;

/// Sends the series `bellwether_load_*` by remote write: rates and quantiles of each interval.
pub(super) async fn send(server: &ServerArgs, run: &str, report: &Report) -> Result<(), String> {
    let body = encode_v1(&request(run, report));
    Client::new(server)
        .remote_write(body)
        .await
        .map_err(|error| format!("send the series: {error}\nhint: the server takes them when it was started with --accept-remote-write"))
}

fn request(run: &str, report: &Report) -> WriteRequest {
    let start: Timestamp = report.started.parse().unwrap_or_default();
    let start = start.as_millisecond();
    let base = [("run", run), ("target", report.target.as_str())];
    let series = |name: &str, extra: Option<(&str, &str)>, value: &dyn Fn(&Slice) -> f64| {
        let name = format!("bellwether_load_{name}");
        let labels = base
            .into_iter()
            .chain([("__name__", name.as_str())])
            .chain(extra);
        WriteSeries {
            labels: Labels::new(labels),
            samples: report
                .series
                .iter()
                .map(|slice| {
                    let end = slice.at_s + slice.length_s;
                    (start + (end * 1e3) as i64, Value::Float(value(slice)))
                })
                .collect(),
            exemplars: Vec::new(),
        }
    };
    let quantile = |q: &'static str, value: &dyn Fn(&Slice) -> f64| {
        series("latency_seconds", Some(("quantile", q)), &|slice| {
            value(slice) / 1e3
        })
    };
    WriteRequest {
        series: vec![
            series("answered_per_second", None, &|slice| {
                slice.answered as f64 / slice.length_s
            }),
            series("failed_per_second", None, &|slice| {
                slice.failed as f64 / slice.length_s
            }),
            series("queue", None, &|slice| slice.queue_max as f64),
            series("in_flight", None, &|slice| slice.in_flight_max as f64),
            quantile("0.5", &|slice| slice.p50_ms),
            quantile("0.9", &|slice| slice.p90_ms),
            quantile("0.99", &|slice| slice.p99_ms),
            quantile("1", &|slice| slice.max_ms),
        ],
        metadata: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_is_a_sample_at_its_end() {
        let report = Report {
            started: "2026-01-01T00:00:00Z".to_owned(),
            target: "http://x/".to_owned(),
            series: vec![Slice {
                at_s: 2.0,
                length_s: 0.5,
                answered: 100,
                p99_ms: 20.0,
                ..Slice::default()
            }],
            ..Report::default()
        };
        let request = request("r1", &report);
        let shown: Vec<String> = request
            .series
            .iter()
            .map(|series| {
                let (time, value) = &series.samples[0];
                format!("{} {time} {value:?}", series.labels)
            })
            .collect();
        insta::assert_snapshot!(shown[0], @r#"bellwether_load_answered_per_second{run="r1", target="http://x/"} 1767225602500 Float(200.0)"#);
        insta::assert_snapshot!(shown[6], @r#"bellwether_load_latency_seconds{quantile="0.99", run="r1", target="http://x/"} 1767225602500 Float(0.02)"#);
    }
}
