//! How long typical range queries take: `cargo run --release -p bellwether-promql --example kernels`.
#![expect(clippy::print_stdout, reason = "the figures are what one reads")]

use bellwether_env::{Clock, SystemClock};
use bellwether_model::series::{SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError};
use bellwether_model::{Labels, Matcher};
use bellwether_promql::{Engine, EngineOptions, ParserOptions};

const SERIES: usize = 100;
const SPACING: i64 = 15_000;
const SAMPLES: usize = 4 * 86_400 / 15;

struct Source {
    labels: Vec<Labels>,
    times: Vec<i64>,
    floats: Vec<Vec<f64>>,
}

struct Set<'a>(&'a Source, Vec<usize>, usize, usize);

impl SeriesSource for Source {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet + '_>, SourceError> {
        let found = (0..self.labels.len())
            .filter(|index| {
                let labels = &self.labels[*index];
                selection.matchers.iter().all(|m| m.matches_labels(labels))
            })
            .collect();
        let from = self.times.partition_point(|t| *t < selection.min);
        let to = self.times.partition_point(|t| *t <= selection.max);
        Ok(Box::new(Set(self, found, from, to)))
    }
    fn label_names(&self, _: &[Vec<Matcher>], _: i64, _: i64) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
    fn label_values(
        &self,
        _: &str,
        _: &[Vec<Matcher>],
        _: i64,
        _: i64,
    ) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }
    fn series(&self, _: &[Vec<Matcher>], _: i64, _: i64) -> Result<Vec<Labels>, SourceError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Set<'_> {
    fn len(&self) -> usize {
        self.1.len()
    }
    fn labels(&self, index: usize) -> &Labels {
        &self.0.labels[self.1[index]]
    }
    fn read(&self, index: usize, buffer: &mut SampleBuffer) -> Result<(), SourceError> {
        buffer.clear();
        buffer
            .timestamps
            .extend_from_slice(&self.0.times[self.2..self.3]);
        buffer
            .floats
            .extend_from_slice(&self.0.floats[self.1[index]][self.2..self.3]);
        Ok(())
    }
}

fn source() -> Source {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as f64
    };
    let floats = (0..SERIES)
        .map(|_| {
            let mut value = 0.0;
            (0..SAMPLES)
                .map(|_| {
                    if random() % 5_000.0 < 1.0 {
                        value = 0.0;
                    }
                    value += random() % 100.0;
                    value
                })
                .collect()
        })
        .collect();
    Source {
        labels: (0..SERIES)
            .map(|i| {
                let (pod, job) = (format!("p{i:03}"), format!("j{}", i % 5));
                let le = [0.1, 0.5, 1.0, 5.0, f64::INFINITY][i / 20].to_string();
                Labels::new([
                    ("__name__", "m_total"),
                    ("pod", &pod),
                    ("job", &job),
                    ("le", &le),
                ])
            })
            .collect(),
        times: (0..SAMPLES as i64).map(|i| i * SPACING).collect(),
        floats,
    }
}

fn main() {
    let engine = Engine::new(EngineOptions {
        samples_max: usize::MAX,
        parser: ParserOptions::experimental(),
        ..EngineOptions::default()
    });
    let source = source();
    let clock = SystemClock::default();
    let end = SAMPLES as i64 * SPACING;
    println!("{SERIES} series, {SAMPLES} samples each, steps of 1 minute");
    for query in [
        "m_total",
        "sum(rate(m_total[5m]))",
        "sum(rate(m_total[1h]))",
        "sum(rate(m_total[1d]))",
        "sum(rate(m_total[3d]))",
        "sum by (job) (rate(m_total[5m]))",
        "sum_over_time(m_total[5m])",
        "sum_over_time(m_total[1h])",
        "max_over_time(m_total[1h])",
        "avg_over_time(m_total[1h])",
        "quantile_over_time(0.9, m_total[1h])",
        "m_total + m_total",
        "m_total > 1000",
        "topk(5, m_total)",
        "histogram_quantile(0.9, sum by (le) (rate(m_total[5m])))",
        "max_over_time(rate(m_total[5m])[1h:5m])",
    ] {
        let expr = engine.parse(query).expect("the query is valid");
        let before = clock.monotonic();
        let result = engine.range(&source, &expr, 0, end, 60_000);
        let took = clock.monotonic().saturating_sub(before);
        let peak = result.map(|r| r.stats.peak_samples).unwrap_or_default();
        println!(
            "{:>9.1} ms  peak {peak:>9}  {query}",
            took.as_secs_f64() * 1000.0
        );
    }
}
