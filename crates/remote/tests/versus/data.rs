//! Four hours of counters with resets, gauges with NaN and infinities, gaps, stale marks and classic histograms.

use bellwether_model::Labels;
use bellwether_model::series::{MemorySeries, Value, stale_nan};
use bellwether_remote::write::{WriteRequest, WriteSeries};

use crate::grammar::Choice;

/// First and last moment, milliseconds.
pub(crate) const START: i64 = 1_700_000_400_000;
pub(crate) const END: i64 = START + 4 * 3_600_000;

/// Makes the labels of a metric.
type Named<'a> = dyn Fn(&str, &[(&str, &str)]) -> Labels + 'a;
/// A sample: time, series, value.
type Entry = (i64, Labels, f64);

struct Making {
    choice: Choice,
    all: Vec<Entry>,
}

impl Making {
    /// Times about `interval` apart that are never on a whole or half second, with gaps; `each` gives the values.
    fn series(&mut self, labels: &Labels, interval: i64, each: &mut dyn FnMut(&mut Choice) -> f64) {
        let mut time = START + self.choice.below(interval as u64) as i64;
        while time < END {
            let jitter = self.choice.below(4000) as i64;
            let at = (time + jitter) / 500 * 500 + 1 + self.choice.below(499) as i64;
            match self.choice.below(150) {
                0 => {
                    self.all.push((at, labels.clone(), stale_nan()));
                    time += 60_000 * (1 + self.choice.below(15) as i64);
                }
                1 => time += 60_000 * (1 + self.choice.below(15) as i64),
                _ => {
                    let value = each(&mut self.choice);
                    self.all.push((at, labels.clone(), value));
                }
            }
            time += interval + 5_000;
        }
    }
}

/// The data in memory, and as requests in time order.
pub(crate) fn data() -> (MemorySeries, Vec<WriteRequest>) {
    let mut making = Making {
        choice: Choice::new(42),
        all: Vec::new(),
    };
    for (index, (job, instance, zone)) in [
        ("api", "a:1", "x"),
        ("api", "b:1", "y"),
        ("api", "c:1", "x"),
        ("db", "a:2", "x"),
        ("db", "b:2", ""),
        ("web", "a:3", "z"),
    ]
    .into_iter()
    .enumerate()
    {
        let base = [("job", job), ("instance", instance), ("zone", zone)];
        let base: Vec<(&str, &str)> = base.into_iter().filter(|(_, v)| !v.is_empty()).collect();
        let of = |name: &str, more: &[(&str, &str)]| {
            let pairs = base.iter().copied().chain([("__name__", name)]);
            Labels::new(pairs.chain(more.iter().copied()))
        };
        for code in ["200", "404", "500"] {
            let mut total = 1e6 + 1e4 * index as f64;
            making.series(&of("requests_total", &[("code", code)]), 10_000, &mut |c| {
                if c.below(60) == 0 {
                    total -= 1e5 + 0.25 * c.below(1000) as f64;
                } else {
                    total += 0.25 * c.below(400) as f64;
                }
                total
            });
        }
        making.series(&of("errors_total", &[]), 25_000, &mut {
            let mut total = 5e6;
            move |c: &mut Choice| {
                total += 0.25 * c.below(3) as f64;
                total
            }
        });
        making.series(
            &of("temperature", &[]),
            15_000,
            &mut |c| match c.below(80) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                _ => 0.25 * c.below(800) as f64 - 50.0,
            },
        );
        making.series(
            &of(
                "queue",
                &[("lane", if index % 2 == 0 { "fast" } else { "slow" })],
            ),
            20_000,
            &mut |c| 0.25 * c.below(400) as f64,
        );
        making.series(&of("level", &[]), 30_000, &mut |c| c.below(5) as f64);
        making.series(&of("up", &[]), 15_000, &mut |c| {
            f64::from(u8::from(c.below(20) > 0))
        });
        histogram(&mut making, &of, index);
    }
    finish(making.all)
}

/// All buckets of a histogram at the same times.
fn histogram(making: &mut Making, of: &Named<'_>, index: usize) {
    const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];
    let mut counts = [1e6; 6].map(|count: f64| count + 1e3 * index as f64);
    let mut time = START + 700 * index as i64;
    while time < END {
        let at = time / 500 * 500 + 1 + making.choice.below(499) as i64;
        let (mut below, gap) = (0.0, making.choice.below(100) == 0);
        for (count, bound) in counts.iter_mut().zip(BOUNDS) {
            below += making.choice.below(20) as f64;
            *count += below;
            making
                .all
                .push((at, of("latency_seconds_bucket", &[("le", bound)]), *count));
        }
        making
            .all
            .push((at, of("latency_seconds_count", &[]), counts[5]));
        making
            .all
            .push((at, of("latency_seconds_sum", &[]), 0.25 * counts[5]));
        time += if gap { 600_000 } else { 15_000 };
    }
}

fn finish(mut all: Vec<Entry>) -> (MemorySeries, Vec<WriteRequest>) {
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut memory = MemorySeries::default();
    for (time, labels, value) in &all {
        memory.push(labels, *time, Value::Float(*value));
    }
    let batches = all
        .chunks(2_000)
        .map(|chunk| WriteRequest {
            series: chunk
                .iter()
                .map(|(time, labels, value)| WriteSeries {
                    labels: labels.clone(),
                    samples: vec![(*time, Value::Float(*value))],
                    exemplars: Vec::new(),
                })
                .collect(),
            ..WriteRequest::default()
        })
        .collect();
    (memory, batches)
}
