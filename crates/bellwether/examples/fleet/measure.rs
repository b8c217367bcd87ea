//! What scraping, storing and judging cost each server, side by side.

use std::time::Duration;

use bellwether_env::{Clock as _, SystemClock};

use crate::usage::{Server, cpu_seconds, load_average, memory};

/// Scrapes of 24 hours at 15 seconds.
const DAY: f64 = 5760.0;
/// Rounds of scrapes before the steady part: all series are there, buffers have grown.
const WARM: usize = 10;

#[derive(Default)]
struct Cost {
    warm: f64,
    steady: f64,
    rss_max: f64,
    rss_mean: f64,
}

/// Watches the servers for `scrapes` rounds and prints a table.
pub(crate) async fn run(scrapes: usize, interval: usize, samples: usize, servers: &[&str]) {
    let servers: Vec<Server<'_>> = servers.iter().map(|text| Server::parse(text)).collect();
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let mut costs: Vec<Cost> = servers.iter().map(|_| Cost::default()).collect();
    let mut loads = vec![load_average()];
    let warm = WARM.min(scrapes / 2);
    for round in 1..=scrapes {
        let due = begun + Duration::from_secs((round * interval) as u64);
        tokio::time::sleep(due.saturating_sub(clock.monotonic())).await;
        for (server, cost) in servers.iter().zip(&mut costs) {
            if round == warm {
                cost.warm = cpu_seconds(server.pid);
            }
            cost.rss_max = memory(server.pid, "VmHWM");
            cost.rss_mean += memory(server.pid, "VmRSS") / scrapes as f64;
        }
        if round % 60 == 0 {
            loads.push(load_average());
        }
    }
    let elapsed = clock.monotonic().saturating_sub(begun).as_secs_f64();
    for (server, cost) in servers.iter().zip(&mut costs) {
        cost.steady = cpu_seconds(server.pid) - cost.warm;
    }
    let rounds = (scrapes - warm) as f64;
    println!(
        "measured: {elapsed:.0} s, {scrapes} rounds of scrapes every {interval} s; load average {}",
        loads.join(" ")
    );
    let mut table = Table::new(&servers);
    table.row("CPU s until warm", 2, costs.iter().map(|cost| cost.warm));
    table.row("CPU s steady", 2, costs.iter().map(|cost| cost.steady));
    table.row(
        "CPU ms per round of scrapes",
        1,
        costs.iter().map(|cost| cost.steady * 1e3 / rounds),
    );
    table.row(
        "CPU s in 24 h at 15 s (extrapolated)",
        0,
        costs
            .iter()
            .map(|cost| cost.warm + cost.steady / rounds * DAY),
    );
    table.row("RSS mean, MB", 0, costs.iter().map(|cost| cost.rss_mean));
    table.row("RSS highest, MB", 0, costs.iter().map(|cost| cost.rss_max));
    let scraped = facts(&servers, elapsed, &mut table).await;
    let per_thousand = costs.iter().zip(&scraped);
    table.row(
        "CPU us per 1000 samples scraped",
        0,
        per_thousand.map(|(cost, scraped)| (cost.warm + cost.steady) * 1e9 / scraped),
    );
    let wanted = (scrapes * samples) as f64;
    table.row(
        "part of the samples that were due",
        3,
        scraped.iter().map(|scraped| scraped / wanted),
    );
}

/// What each server says it has: only after its cost was read, as asking costs too. Gives the samples each scraped.
async fn facts(servers: &[Server<'_>], elapsed: f64, table: &mut Table) -> Vec<f64> {
    // A window longer than the run: all there is.
    let window = elapsed as u64 + 600;
    let rows = [
        ("series", "count({job=\"fleet\"})".to_owned()),
        (
            "scrapes",
            format!("sum(count_over_time(up{{job=\"fleet\"}}[{window}s]))"),
        ),
        (
            "scrapes that failed",
            format!(
                "sum(count_over_time(up{{job=\"fleet\"}}[{window}s]) - sum_over_time(up{{job=\"fleet\"}}[{window}s]))"
            ),
        ),
        (
            "samples scraped",
            format!("sum(sum_over_time(scrape_samples_scraped{{job=\"fleet\"}}[{window}s]))"),
        ),
        (
            "samples there, of the buckets",
            format!("sum(count_over_time(http_request_duration_seconds_bucket[{window}s]))"),
        ),
        (
            "samples there, of one rule",
            format!("sum(count_over_time(fleet:cpu_use:ratio[{window}s]))"),
        ),
    ];
    let mut scraped = Vec::new();
    for (what, query) in rows {
        let mut values = Vec::new();
        for server in servers {
            values.push(server.number(&query).await);
        }
        if what == "samples scraped" {
            scraped.clone_from(&values);
        }
        table.row(what, 0, values.into_iter());
    }
    scraped
}

/// Rows of one figure per server and, for two servers, their ratio.
pub(crate) struct Table;

impl Table {
    pub(crate) fn new(servers: &[Server<'_>]) -> Self {
        print!("{:<38}", "");
        for server in servers {
            print!("{:>14}", server.name);
        }
        println!("{:>10}", "ratio");
        Self
    }

    #[expect(clippy::unused_self, reason = "a row without a head means nothing")]
    pub(crate) fn row(&mut self, what: &str, digits: usize, values: impl Iterator<Item = f64>) {
        print!("{what:<38}");
        let values: Vec<f64> = values.collect();
        for value in &values {
            print!("{value:>14.digits$}");
        }
        match values[..] {
            [a, b] if b != 0.0 => println!("{:>10.2}", a / b),
            _ => println!(),
        }
    }
}
