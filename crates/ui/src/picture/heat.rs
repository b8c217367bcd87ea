//! Latency over time: a column for each interval, darker where more requests took so long.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{frame, ms, px};

/// Columns that are drawn; more intervals are added up.
const COLUMNS_MAX: usize = 300;
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 34.0;

/// Latencies over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    pub title: String,
    /// In order of time, of equal length.
    pub columns: Vec<HeatColumn>,
    /// Seconds at the beginning that were left out as warm-up.
    pub warmup_s: f64,
}

/// One interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatColumn {
    pub at_s: f64,
    pub length_s: f64,
    /// `(row, count)`; row i reaches from 2^(i/4) to 2^((i+1)/4) µs.
    pub cells: Vec<(u16, u64)>,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl HeatMap {
    /// As SVG.
    pub fn draw(&self, standalone: bool) -> Markup {
        let columns = self.reduced();
        let rows: Vec<u16> = columns
            .iter()
            .flat_map(|column| column.cells.iter().map(|(row, _)| *row))
            .collect();
        let low = rows.iter().min().copied().unwrap_or(0);
        let high = rows.iter().max().copied().unwrap_or(0).max(low + 7) + 1;
        let end = columns
            .last()
            .map_or(1.0, |column| column.at_s + column.length_s)
            .max(1e-9);
        let most = columns
            .iter()
            .flat_map(|column| column.cells.iter().map(|(_, count)| *count))
            .max()
            .unwrap_or(1);
        let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
        let row_height = (HEIGHT - TOP - BOTTOM) / f64::from(high - low);
        let y = |row: f64| HEIGHT - BOTTOM - (row - f64::from(low)) * row_height;
        let row_of = |ms: f64| (ms.max(0.001) * 1e3).log2() * 4.0;
        let line = |value: &dyn Fn(&HeatColumn) -> f64| -> String {
            let points = columns.iter().filter(|column| !column.cells.is_empty());
            let points: Vec<String> = points
                .map(|column| {
                    let row = row_of(value(column)).clamp(f64::from(low), f64::from(high));
                    let middle = x(column.at_s + column.length_s / 2.0);
                    format!("{},{}", px(middle), px(y(row)))
                })
                .collect();
            points.join(" ")
        };
        let inside = html! {
            text x=(LEFT) y="18" { (self.title) }
            @for (ms_value, row) in decades(low, high) {
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(y(row))) y2=(px(y(row))) {}
                text x=(LEFT - 6.0) y=(px(y(row) + 4.0)) text-anchor="end" { (ms(ms_value)) }
            }
            @for column in &columns {
                @for (row, count) in &column.cells {
                    rect.cell x=(px(x(column.at_s))) y=(px(y(f64::from(*row) + 1.0)))
                        width=(px(x(column.length_s) - LEFT + 0.3)) height=(px(row_height + 0.3))
                        fill-opacity=(opacity(*count, most)) {}
                }
            }
            polyline.p50 points=(line(&|column| column.p50_ms)) {}
            polyline.p99 points=(line(&|column| column.p99_ms)) {}
            @if self.warmup_s > 0.0 {
                line.mark x1=(px(x(self.warmup_s))) x2=(px(x(self.warmup_s))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                text x=(px(x(self.warmup_s) + 4.0)) y=(TOP + 10.0) { "warm-up ends" }
            }
            line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
            @for tick in 0..=5 {
                @let at = end * f64::from(tick) / 5.0;
                text x=(px(x(at))) y=(HEIGHT - BOTTOM + 16.0) text-anchor=(anchor(tick)) { (seconds(at)) }
            }
            text x=(WIDTH - RIGHT) y="18" text-anchor="end" { "blue: p50, dark: p99" }
        };
        frame(&self.title, WIDTH, HEIGHT, standalone, &inside)
    }

    /// Neighbouring intervals together, until there are few enough.
    fn reduced(&self) -> Vec<HeatColumn> {
        let together = self.columns.len().div_ceil(COLUMNS_MAX).max(1);
        self.columns
            .chunks(together)
            .map(|chunk| {
                let mut cells: BTreeMap<u16, u64> = BTreeMap::new();
                for (row, count) in chunk.iter().flat_map(|column| &column.cells) {
                    *cells.entry(*row).or_default() += count;
                }
                let most =
                    |value: fn(&HeatColumn) -> f64| chunk.iter().map(value).fold(0.0, f64::max);
                HeatColumn {
                    at_s: chunk.first().map_or(0.0, |column| column.at_s),
                    length_s: chunk.iter().map(|column| column.length_s).sum(),
                    cells: cells.into_iter().collect(),
                    p50_ms: most(|column| column.p50_ms),
                    p99_ms: most(|column| column.p99_ms),
                }
            })
            .collect()
    }
}

fn anchor(tick: i32) -> &'static str {
    match tick {
        0 => "start",
        5 => "end",
        _ => "middle",
    }
}

fn seconds(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.05 {
        format!("{value:.1} s")
    } else {
        format!("{value:.0} s")
    }
}

/// By the logarithm: a single request is still seen beside a million.
fn opacity(count: u64, most: u64) -> f64 {
    let part = ((count + 1) as f64).ln() / ((most + 1) as f64).ln();
    ((0.12 + 0.88 * part) * 100.0).round() / 100.0
}

/// 1 and 10 and 100 of each unit within the rows: the value in ms and its row.
fn decades(low: u16, high: u16) -> Vec<(f64, f64)> {
    (0..10)
        .map(|power| 10_f64.powi(power))
        .map(|micros| (micros / 1e3, micros.log2() * 4.0))
        .filter(|(_, row)| (f64::from(low)..=f64::from(high)).contains(row))
        .collect()
}
