//! A fleet of made-up exporters and what a bench does with it; `bench/serve-200x500/run` drives it.
//!
//! `fleet targets FOLDER TARGETS SERIES [gzip]`: serves the exporters on loopback until ended; their addresses go to
//! `FOLDER/targets.json` in the form of Prometheus' file discovery.
//! `fleet measure SCRAPES INTERVAL SAMPLES NAME=PID=URL...`: waits while the servers scrape, then prints what each
//! cost. SAMPLES is what one round of scrapes brings.
//! `fleet storage HOURS TARGETS SERIES FOLDER`: feeds simulated hours through parser and store, and prints the cost.
//! `fleet queries INTERVAL NAME=PID=URL...`: times range queries on each server.

#![expect(
    clippy::print_stdout,
    reason = "a bench is for reading in the terminal"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot go on has nothing better to do than to say where"
)]

mod measure;
mod queries;
mod storage;
mod targets;
mod usage;
mod workload;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["targets", folder, targets, series] => {
            targets::serve(folder, number(targets), number(series), false).await;
        }
        ["targets", folder, targets, series, "gzip"] => {
            targets::serve(folder, number(targets), number(series), true).await;
        }
        ["measure", scrapes, interval, samples, ref servers @ ..] => {
            measure::run(number(scrapes), number(interval), number(samples), servers).await;
        }
        ["storage", hours, targets, series, folder] => {
            storage::run(number(hours), number(targets), number(series), folder);
        }
        ["queries", interval, ref servers @ ..] => queries::run(number(interval), servers).await,
        _ => println!("see the head of crates/bellwether/examples/fleet/main.rs"),
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}
