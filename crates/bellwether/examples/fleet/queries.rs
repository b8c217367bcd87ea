//! Range queries over what was scraped, on each server.

use bellwether_env::{Clock as _, SystemClock};
use jiff::SignedDuration;

use crate::measure::Table;
use crate::usage::{Server, cpu_seconds};

/// Times each query is asked; the fastest counts.
const ROUNDS: usize = 5;
/// Steps of a range.
const STEPS: usize = 60;

/// Asks all and prints wall milliseconds of the fastest answer, and processor time of all.
pub(crate) async fn run(interval: usize, servers: &[&str]) {
    let servers: Vec<Server<'_>> = servers.iter().map(|text| Server::parse(text)).collect();
    let clock = SystemClock::new();
    let end = clock.now();
    let length = SignedDuration::from_secs((STEPS * 4 * interval) as i64);
    let start = (end - length).to_string();
    let (end, step) = (end.to_string(), (4 * interval).to_string());
    let (short, long) = (interval * 20, interval * 240);
    let queries = [
        format!("rate(node_cpu_seconds_total{{cpu=\"0\"}}[{short}s])"),
        format!("sum by (mode) (rate(node_cpu_seconds_total[{short}s]))"),
        "sum by (instance) (node_memory_field1_bytes)".to_owned(),
        format!(
            "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[{short}s])))"
        ),
        format!("avg_over_time(node_filesystem_avail_bytes{{mountpoint=\"/\"}}[{long}s])"),
        format!("max by (device) (max_over_time(node_disk_io_time_seconds_total[{long}s]))"),
        "topk(5, node_memory_field1_bytes / node_memory_field2_bytes)".to_owned(),
    ];
    println!(
        "{STEPS} steps of {step} s; wall milliseconds of the fastest of {ROUNDS}; series in the answer"
    );
    let mut table = Table::new(&servers);
    let before: Vec<f64> = servers
        .iter()
        .map(|server| cpu_seconds(server.pid))
        .collect();
    for query in &queries {
        let mut values = Vec::new();
        let mut sizes = Vec::new();
        for server in &servers {
            let form = [
                ("query", query.as_str()),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("step", step.as_str()),
            ];
            let mut best = f64::INFINITY;
            let mut size = 0;
            for _ in 0..ROUNDS {
                let begun = clock.monotonic();
                let answer = server.ask("query_range", &form).await;
                let took = clock.monotonic().saturating_sub(begun).as_secs_f64();
                best = best.min(took * 1e3);
                let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
                size = answer["data"]["result"].as_array().map_or(0, Vec::len);
            }
            values.push(best);
            sizes.push(size);
        }
        println!("{query}: {sizes:?}");
        table.row("  ms", 1, values.into_iter());
    }
    let spent = servers
        .iter()
        .zip(before)
        .map(|(server, before)| cpu_seconds(server.pid) - before);
    table.row("CPU s of all", 2, spent);
}
