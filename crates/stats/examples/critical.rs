//! Simulates the table of `changepoint/critical.rs` and prints it as Rust.
//!
//! `cargo run --profile profiling -p bellwether-stats --example critical -- [series per length]`

#![expect(clippy::print_stdout, reason = "it is a command")]

use bellwether_stats::changepoint::best_split;
use bellwether_stats::random::Random;

const LENGTHS: [usize; 22] = [
    12, 13, 14, 15, 16, 18, 20, 22, 25, 30, 35, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000, 2000,
];
const ALPHAS: [f64; 12] = [
    0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001,
];

fn main() {
    let series: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    for n in LENGTHS {
        // Long series cost more; their tail is smooth.
        let series = if n > 100 { series * 100 / n } else { series };
        let mut random = Random::new(n as u64);
        let mut statistics: Vec<f64> = (0..series)
            .map(|_| {
                let values: Vec<f64> = (0..n).map(|_| random.uniform()).collect();
                best_split(&values).map_or(0.0, |split| split.statistic)
            })
            .collect();
        statistics.sort_unstable_by(|a, b| b.total_cmp(a));
        let row: Vec<String> = ALPHAS
            .iter()
            .map(|alpha| format!("{:.3}", statistics[(series as f64 * alpha) as usize]))
            .collect();
        println!("    ({n}, [{}]),", row.join(", "));
    }
}
