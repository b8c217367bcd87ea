//! What the store tells about itself.

use std::sync::atomic::Ordering;

use super::{Store, lock};
use crate::report::{Cardinality, Stats, VerifyReport};

impl Store {
    /// Figures about the store now. Looks at every series of the head: call it every few seconds, not for each request.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        {
            let table = self.head.table();
            stats.series = table.live();
            stats.series_created = table.created;
            stats.series_removed = table.removed;
            stats.label_pairs = table.postings.pairs();
            for series in table.iter() {
                let figures = series.lock().figures();
                stats.head_samples += figures.samples;
                stats.head_chunks += figures.chunks;
                stats.head_bytes += figures.bytes;
                stats.head_time = join(stats.head_time, figures.time);
            }
        }
        stats.time = stats.head_time;
        for block in self.blocks().iter() {
            stats.blocks += 1;
            stats.block_samples += block.contents.samples;
            stats.block_bytes += block.bytes;
            stats.time = join(stats.time, Some((block.contents.min, block.contents.max)));
        }
        {
            let log = lock(&self.log);
            stats.wal_segments = log.wal.segments().len();
            stats.wal_bytes = log.wal.bytes();
        }
        let counters = &self.counters;
        stats.samples_appended = counters.appended.load(Ordering::Relaxed);
        stats.samples_out_of_order = counters.out_of_order.load(Ordering::Relaxed);
        stats.samples_duplicate = counters.duplicate.load(Ordering::Relaxed);
        stats.samples_conflicting = counters.conflicting.load(Ordering::Relaxed);
        stats.series_refused = counters.refused.load(Ordering::Relaxed);
        stats
    }

    /// Who makes the series: the `top` largest of each kind.
    pub fn cardinality(&self, top: usize) -> Cardinality {
        let table = self.head.table();
        let mut out = Cardinality {
            series: table.live(),
            ..Cardinality::default()
        };
        for (name, values) in table.postings.counts() {
            let (mut count, mut bytes) = (0, 0);
            for (value, series) in values {
                count += 1;
                bytes += value.len();
                if name == bellwether_model::labels::METRIC_NAME {
                    out.metrics.push((value.to_owned(), series));
                }
                out.pairs.push((format!("{name}={value}"), series));
                // A million pairs are not kept only to show ten.
                if out.pairs.len() > 4 * top + 1000 {
                    keep_top(&mut out.pairs, top);
                }
            }
            out.labels.push((name.to_owned(), count));
            out.label_bytes.push((name.to_owned(), bytes));
        }
        for list in [
            &mut out.metrics,
            &mut out.labels,
            &mut out.label_bytes,
            &mut out.pairs,
        ] {
            keep_top(list, top);
        }
        out
    }

    /// Reads every block and checks every checksum. The next [`Store::maintain`] puts damaged blocks aside.
    pub fn verify(&self) -> VerifyReport {
        let mut report = VerifyReport::default();
        for block in self.blocks().iter() {
            report.blocks += 1;
            match block.verify() {
                Ok(chunks) => report.chunks += chunks,
                Err(damage) => report.damage.push(damage),
            }
        }
        report
    }
}

fn join(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

fn keep_top(list: &mut Vec<(String, usize)>, top: usize) {
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(top);
}
