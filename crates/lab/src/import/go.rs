//! Go's benchmark format: `BenchmarkName-8  1000  123 ns/op  45 B/op  3 allocs/op`.

use std::collections::BTreeMap;

use bellwether_stats::Better;

use crate::samples::{Samples, Unit};

/// Whether a line begins a benchmark.
pub(super) fn looks_like(text: &str) -> bool {
    text.lines().any(|line| fields(line).is_some())
}

pub(super) fn read(text: &str) -> Vec<Samples> {
    let mut found: BTreeMap<(usize, String), Samples> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some((name, pairs)) = fields(line) else {
            continue;
        };
        for (value, written) in pairs {
            let (unit, scale, better) = unit_of(written);
            let full = match written {
                "ns/op" => name.to_owned(),
                other => format!("{name}/{other}"),
            };
            let place = order
                .iter()
                .position(|known| *known == full)
                .unwrap_or_else(|| {
                    order.push(full.clone());
                    order.len() - 1
                });
            found
                .entry((place, full.clone()))
                .or_insert_with(|| Samples {
                    name: full,
                    unit,
                    better,
                    values: Vec::new(),
                })
                .values
                .push(value * scale);
        }
    }
    found.into_values().collect()
}

/// Name (without `Benchmark` and the number of processors) and the pairs of value and unit.
fn fields(line: &str) -> Option<(&str, Vec<(f64, &str)>)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.strip_prefix("Benchmark")?;
    words.next()?.parse::<u64>().ok()?;
    let rest: Vec<&str> = words.collect();
    let pairs: Vec<(f64, &str)> = rest
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0].parse().ok()?, pair[1])))
        .collect();
    let bare = match name.rsplit_once('-') {
        Some((bare, cores)) if !cores.is_empty() && cores.bytes().all(|b| b.is_ascii_digit()) => {
            bare
        }
        _ => name,
    };
    (!pairs.is_empty()).then_some((bare, pairs))
}

fn unit_of(written: &str) -> (Unit, f64, Better) {
    match written {
        "ns/op" => (Unit::Seconds, 1e-9, Better::Lower),
        "B/op" => (Unit::Bytes, 1.0, Better::Lower),
        "MB/s" => (Unit::PerSecond, 1e6, Better::Higher),
        other if other.ends_with("/s") => (Unit::PerSecond, 1.0, Better::Higher),
        _ => (Unit::Count, 1.0, Better::Lower),
    }
}
