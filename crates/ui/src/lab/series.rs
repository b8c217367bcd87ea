//! A benchmark over the commits of a branch: each value, the levels, and where they changed.

use maud::{Markup, html};

use super::{frame, path, px};
use crate::chart::{Scale, nice_ticks};
use crate::format::{self, Unit};
use crate::view::Tone;

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub struct CommitSeries {
    pub title: String,
    pub unit: Unit,
    /// Oldest first; as many names of commits as values.
    pub commits: Vec<String>,
    pub values: Vec<f64>,
    pub changes: Vec<LevelChange>,
    /// The level may not be beyond it.
    pub budget: Option<f64>,
}

/// A change of level.
#[derive(Clone, Debug)]
pub struct LevelChange {
    /// Index of the first value of the new level.
    pub at: usize,
    /// `+10.3 %`.
    pub label: String,
    pub tone: Tone,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 212.0;
const LEFT: f64 = 10.0;
const RIGHT: f64 = 630.0;
/// Values that are drawn: the newest.
const VALUES_MAX: usize = 500;

/// Draws it.
pub fn commit_series(it: &CommitSeries) -> Markup {
    let skip = it.values.len().saturating_sub(VALUES_MAX);
    let values = &it.values[skip..];
    let scale = Scale::covering(values.iter().copied().chain(it.budget), false);
    let y = |value: f64| TOP + (1.0 - scale.place(value)) * (BOTTOM - TOP);
    let last = values.len().saturating_sub(1).max(1) as f64;
    let x = |index: usize| LEFT + 6.0 + index as f64 / last * (RIGHT - LEFT - 12.0);
    let between = |index: usize| 0.5 * (x(index) + x(index.saturating_sub(1)));
    let changes: Vec<(usize, &LevelChange)> = it
        .changes
        .iter()
        .filter_map(|change| Some((change.at.checked_sub(skip)?, change)))
        .filter(|(at, _)| *at > 0 && *at < values.len())
        .collect();
    let spoken = format!(
        "{}: {} commits, {}",
        it.title,
        it.values.len(),
        match it.changes.as_slice() {
            [] => "no change of level".to_owned(),
            changes => changes
                .iter()
                .map(|change| change.label.clone())
                .collect::<Vec<_>>()
                .join(", "),
        }
    );
    let body = html! {
        text.name x=(px(LEFT)) y="16" { (it.title) }
        @for tick in nice_ticks(scale) {
            line.grid x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(y(tick))) y2=(px(y(tick))) {}
            text x=(px(LEFT)) y=(px(y(tick) - 3.0)) { (format::value(tick, it.unit)) }
        }
        @if let Some(budget) = it.budget {
            path.limit d={ "M" (px(LEFT)) " " (px(y(budget))) "H" (px(RIGHT)) } {}
            text x=(px(RIGHT)) y=(px(y(budget) - 4.0)) text-anchor="end" { "budget " (format::value(budget, it.unit)) }
        }
        @for (index, value) in values.iter().enumerate() {
            @if value.is_finite() {
                circle.point cx=(px(x(index))) cy=(px(y(*value))) r=(if values.len() > 150 { "1.6" } else { "2.6" }) {
                    title { (it.commits.get(index + skip).map_or("", String::as_str)) ": " (format::value(*value, it.unit)) }
                }
            }
        }
        @for (from, to) in segments(&changes, values.len()) {
            @if let Some(level) = middle(&values[from..to]) {
                path.level d=(path(&[(x(from) - 3.0, y(level)), (x(to - 1) + 3.0, y(level))])) {}
            }
        }
        @for (at, change) in &changes {
            g class={ "change " (change.tone.class()) } {
                line x1=(px(between(*at))) x2=(px(between(*at))) y1=(px(TOP - 12.0)) y2=(px(BOTTOM)) {}
            }
            text x=(px(between(*at).clamp(LEFT + 30.0, RIGHT - 30.0))) y=(px(TOP - 16.0)) text-anchor="middle" { (change.label) }
        }
        line.base x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(BOTTOM)) y2=(px(BOTTOM)) {}
        text x=(px(LEFT)) y=(px(BOTTOM + 18.0)) { (it.commits.get(skip).map_or("", String::as_str)) }
        text x=(px(RIGHT)) y=(px(BOTTOM + 18.0)) text-anchor="end" { (it.commits.last().map_or("", String::as_str)) }
    };
    frame(WIDTH, HEIGHT, &spoken, body)
}

fn segments(changes: &[(usize, &LevelChange)], length: usize) -> Vec<(usize, usize)> {
    let mut edges = vec![0];
    edges.extend(changes.iter().map(|(at, _)| *at));
    edges.push(length);
    edges
        .windows(2)
        .filter(|edge| edge[0] < edge[1])
        .map(|edge| (edge[0], edge[1]))
        .collect()
}

fn middle(values: &[f64]) -> Option<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
