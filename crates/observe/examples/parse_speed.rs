//! Prints how fast the scrape parser reads: `cargo run --release -p bellwether-observe --example parse_speed`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fmt::Write as _;
use std::hint::black_box;

use bellwether_env::{Clock as _, SystemClock};
use bellwether_observe::exposition::{Entry, Format, Parser, decode_series};

fn main() {
    let mut body = String::new();
    for family in 0..200 {
        writeln!(body, "# HELP node_something_{family}_total What it is.\n# TYPE node_something_{family}_total counter")
            .expect("writing to a string works");
        for cpu in 0..50 {
            let value = f64::from(cpu) * 1234.5 + f64::from(family);
            writeln!(body, "node_something_{family}_total{{cpu=\"{cpu}\",mode=\"idle\",device=\"nvme0n1\"}} {value}")
                .expect("writing to a string works");
        }
    }
    let clock = SystemClock::new();
    for (what, decode) in [("scan", false), ("scan and decode every series", true)] {
        let rounds = 100;
        let start = clock.monotonic();
        let mut sum = 0.0;
        for _ in 0..rounds {
            for entry in Parser::new(black_box(body.as_bytes()), Format::Text).flatten() {
                if let Entry::Sample(sample) = entry {
                    sum += sample.value;
                    if decode {
                        black_box(decode_series(sample.series)).ok();
                    }
                }
            }
        }
        let seconds = clock.monotonic().saturating_sub(start).as_secs_f64();
        let megabytes = (body.len() * rounds) as f64 / 1e6;
        let samples = (200 * 50 * rounds) as f64 / 1e6;
        println!(
            "{what}: {:.0} MB/s, {:.1} M samples/s (sum {sum})",
            megabytes / seconds,
            samples / seconds
        );
    }
}
