//! Two sets of runs as overlaid distributions, with the effect and its interval below.

use maud::{Markup, html};

use super::{frame, path, px};
use crate::chart::{Scale, nice_ticks};
use crate::format::{self, Unit};
use crate::view::Tone;

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Distributions {
    pub title: String,
    pub unit: Unit,
    pub base_name: String,
    pub candidate_name: String,
    pub base: Vec<f64>,
    pub candidate: Vec<f64>,
    /// Effect and interval in percent; unbounded sides are infinite.
    pub effect: f64,
    pub low: f64,
    pub high: f64,
    /// The smallest effect that matters, in percent.
    pub floor: f64,
    /// What the verdict feels like.
    pub tone: Tone,
    pub verdict: String,
}

const WIDTH: f64 = 640.0;
const CURVES: f64 = 150.0;
const HEIGHT: f64 = 290.0;
const LEFT: f64 = 10.0;
const RIGHT: f64 = 630.0;
/// Points of each curve.
const STEPS: usize = 120;

/// Draws it. Densities are Gaussian kernels with Silverman's width.
pub fn distributions(it: &Distributions) -> Markup {
    let all = it
        .base
        .iter()
        .chain(&it.candidate)
        .copied()
        .filter(|v| v.is_finite());
    let scale = Scale::covering(all, false);
    let margin = (scale.high - scale.low) * 0.08;
    let scale = Scale {
        low: scale.low - margin,
        high: scale.high + margin,
    };
    let x = |value: f64| LEFT + scale.place(value) * (RIGHT - LEFT);
    let (a, b) = (density(&it.base, scale), density(&it.candidate, scale));
    let top = a.iter().chain(&b).copied().fold(1e-300, f64::max);
    let curve = |values: &[f64]| -> String {
        let mut points: Vec<(f64, f64)> = values
            .iter()
            .enumerate()
            .map(|(step, value)| {
                let share = step as f64 / (STEPS - 1) as f64;
                (
                    LEFT + share * (RIGHT - LEFT),
                    CURVES - value / top * (CURVES - 34.0),
                )
            })
            .collect();
        points.push((RIGHT, CURVES));
        points.insert(0, (LEFT, CURVES));
        path(&points) + "Z"
    };
    let spoken = format!(
        "{}: {} against {}, effect {}, from {} to {}: {}",
        it.title,
        it.candidate_name,
        it.base_name,
        if it.effect.is_finite() {
            format!("{:+.1} per cent", it.effect)
        } else {
            "not known".to_owned()
        },
        bound(it.low),
        bound(it.high),
        it.verdict
    );
    let body = html! {
        text.name x=(px(LEFT)) y="16" { (short(&it.title, 60)) }
        @for tick in nice_ticks(scale) {
            @if (scale.low..=scale.high).contains(&tick) {
                line.grid x1=(px(x(tick))) x2=(px(x(tick))) y1="28" y2=(px(CURVES)) {}
                text x=(px(x(tick).clamp(LEFT + 18.0, RIGHT - 18.0))) y=(px(CURVES + 28.0)) text-anchor="middle" { (format::value(tick, it.unit)) }
            }
        }
        path class="curve s0" d=(curve(&a)) {}
        path class="curve s1" d=(curve(&b)) {}
        line.base x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(CURVES)) y2=(px(CURVES)) {}
        @for (class, values, y) in [("rug s0", &it.base, CURVES), ("rug s1", &it.candidate, CURVES + 7.0)] {
            path class=(class) d=(rug(values, y, x)) {}
        }
        g.names {
            rect class="curve s0" x=(px(RIGHT - 290.0)) y="7" width="12" height="10" {}
            text x=(px(RIGHT - 273.0)) y="16" { (short(&it.base_name, 18)) " (" (it.base.len()) ")" }
            rect class="curve s1" x=(px(RIGHT - 140.0)) y="7" width="12" height="10" {}
            text x=(px(RIGHT - 123.0)) y="16" { (short(&it.candidate_name, 16)) " (" (it.candidate.len()) ")" }
        }
        (effect(it))
    };
    frame(WIDTH, HEIGHT, &spoken, body)
}

/// The effect with its interval, around no effect and the floor.
fn effect(it: &Distributions) -> Markup {
    let finite = [it.low, it.high, it.effect]
        .into_iter()
        .filter(|v| v.is_finite())
        .map(f64::abs);
    let reach = finite.fold(it.floor * 2.0, f64::max).max(0.1) * 1.15;
    let scale = Scale {
        low: -reach,
        high: reach,
    };
    let x = |value: f64| LEFT + scale.place(value.clamp(-reach, reach)) * (RIGHT - LEFT);
    let y = 226.0;
    let class = match it.tone {
        Tone::Bad => "ends bad",
        Tone::Good => "ends good",
        Tone::Warn => "ends warn",
        Tone::Info | Tone::Quiet => "ends",
    };
    html! {
        rect.zone x=(px(x(-it.floor))) width=(px(x(it.floor) - x(-it.floor))) y=(px(y - 22.0)) height="44" { title { "below the floor of " (it.floor) " %" } }
        line.base x1=(px(x(0.0))) x2=(px(x(0.0))) y1=(px(y - 26.0)) y2=(px(y + 26.0)) {}
        @if it.effect.is_finite() {
            path class=(class) d={
                "M" (px(x(it.low))) " " (px(y)) "H" (px(x(it.high)))
                @if it.low.is_finite() { "M" (px(x(it.low))) " " (px(y - 7.0)) "v14" }
                @if it.high.is_finite() { "M" (px(x(it.high))) " " (px(y - 7.0)) "v14" }
            } {}
            circle class={ "dot " (it.tone.class()) } cx=(px(x(it.effect))) cy=(px(y)) r="5" {}
        }
        @for tick in nice_ticks(scale) {
            @if tick.abs() <= reach * 0.96 {
                text x=(px(x(tick))) y=(px(y + 42.0)) text-anchor="middle" { (format!("{tick:+}")) " %" }
            }
        }
        text.name x=(px(LEFT)) y=(px(HEIGHT - 4.0)) {
            (it.verdict) @if it.effect.is_finite() { ": " (format!("{:+.1}", it.effect)) " % (" (bound(it.low)) " to " (bound(it.high)) ")" }
        }
    }
}

fn bound(value: f64) -> String {
    if value.is_finite() {
        format!("{value:+.1} %")
    } else {
        "unbounded".to_owned()
    }
}

fn short(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

fn rug(values: &[f64], y: f64, x: impl Fn(f64) -> f64) -> String {
    values
        .iter()
        .filter(|value| value.is_finite())
        .take(500)
        .map(|value| format!("M{} {}v6", px(x(*value)), px(y + 1.0)))
        .collect::<Vec<_>>()
        .concat()
}

/// The kernel density at each step across the scale.
fn density(values: &[f64], scale: Scale) -> Vec<f64> {
    let values: Vec<f64> = values
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .take(5_000)
        .collect();
    let n = values.len() as f64;
    if values.is_empty() {
        return vec![0.0; STEPS];
    }
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let width = (1.06 * sd * n.powf(-0.2)).max((scale.high - scale.low) / 150.0);
    (0..STEPS)
        .map(|step| {
            let at = scale.low + (scale.high - scale.low) * step as f64 / (STEPS - 1) as f64;
            values
                .iter()
                .map(|v| (-0.5 * ((at - v) / width).powi(2)).exp())
                .sum::<f64>()
                / (n * width)
        })
        .collect()
}
