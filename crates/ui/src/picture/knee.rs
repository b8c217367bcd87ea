//! The knee of a target: throughput by users with the fitted law, and p99 by rate with the objective.

use maud::{Markup, html};

use super::{frame, ms, px, short};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 360.0;
const PANEL: f64 = 340.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 40.0;

/// What is known about a target's saturation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KneePicture {
    pub title: String,
    /// Users and answers a second.
    pub ladder: Vec<(f64, f64)>,
    /// The fitted law.
    pub law: Option<Curve>,
    pub rates: Vec<KneePoint>,
    pub objective_ms: f64,
    pub knee: Option<f64>,
}

/// X(N) = λN / (1 + α(N-1) + βN(N-1)).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Curve {
    pub lambda: f64,
    pub alpha: f64,
    pub beta: f64,
    /// Interval of the highest throughput.
    pub peak: Option<[f64; 2]>,
}

/// One open run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KneePoint {
    pub rate: f64,
    pub p99_ms: f64,
    pub good: bool,
}

/// One of the two panels: where a value lies.
#[derive(Clone, Copy)]
struct Axes {
    left: f64,
    x: (f64, f64),
    y: (f64, f64),
    log_y: bool,
}

impl Axes {
    fn x(self, value: f64) -> f64 {
        let part = (value.max(self.x.0) / self.x.0).ln() / (self.x.1 / self.x.0).ln().max(1e-9);
        px(self.left + part.clamp(0.0, 1.0) * PANEL)
    }

    fn y(self, value: f64) -> f64 {
        let part = if self.log_y {
            (value.max(self.y.0) / self.y.0).ln() / (self.y.1 / self.y.0).ln().max(1e-9)
        } else {
            (value - self.y.0) / (self.y.1 - self.y.0).max(1e-9)
        };
        px(HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM))
    }

    fn frame(self) -> Markup {
        html! {
            line.axis x1=(self.left) x2=(self.left) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
            line.axis x1=(self.left) x2=(self.left + PANEL) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
        }
    }
}

impl KneePicture {
    /// As SVG.
    pub fn draw(&self, standalone: bool) -> Markup {
        let inside = html! {
            text x="60" y="18" { (self.title) }
            (self.scaling())
            (self.latency())
        };
        frame(&self.title, WIDTH, HEIGHT, standalone, &inside)
    }

    fn scaling(&self) -> Markup {
        let most = self.ladder.iter().map(|(_, x)| *x).fold(1.0, f64::max);
        let users = self.ladder.iter().map(|(n, _)| *n).fold(2.0, f64::max);
        let peak = self
            .law
            .and_then(|law| law.peak)
            .map_or(0.0, |[_, high]| high);
        let axes = Axes {
            left: 60.0,
            x: (1.0, users),
            // An interval that reaches far beyond what was seen must not flatten the picture.
            y: (0.0, most.max(peak.min(most * 1.5)) * 1.08),
            log_y: false,
        };
        let curve: Vec<String> = self.law.map_or_else(Vec::new, |law| {
            (0..=80)
                .map(|step| {
                    let n = users.powf(f64::from(step) / 80.0);
                    let under = 1.0 + law.alpha * (n - 1.0) + law.beta * n * (n - 1.0);
                    format!("{},{}", axes.x(n), axes.y(law.lambda * n / under))
                })
                .collect()
        });
        html! {
            (axes.frame())
            @for part in 0..=4 {
                @let value = axes.y.1 * f64::from(part) / 4.0;
                line.grid x1="60" x2=(60.0 + PANEL) y1=(axes.y(value)) y2=(axes.y(value)) {}
                text x="54" y=(axes.y(value) + 4.0) text-anchor="end" { (short(value)) }
            }
            @if let Some([low, high]) = self.law.and_then(|law| law.peak) {
                rect.band x="60" width=(PANEL) y=(axes.y(high)) height=(px((axes.y(low) - axes.y(high)).max(1.0))) {}
            }
            @for (n, _) in &self.ladder {
                text x=(axes.x(*n)) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (short(*n)) }
            }
            polyline.curve points=(curve.join(" ")) {}
            @for (n, x) in &self.ladder { circle.good cx=(axes.x(*n)) cy=(axes.y(*x)) r="4" {} }
            text x="60" y=(TOP - 10.0) { "answers/s by users (closed); line: scaling law, band: its peak" }
        }
    }

    fn latency(&self) -> Markup {
        let rates = || self.rates.iter().map(|point| point.rate);
        let times = || self.rates.iter().map(|point| point.p99_ms);
        let axes = Axes {
            left: 540.0,
            x: (
                rates().fold(f64::INFINITY, f64::min).clamp(1e-3, 1e9) * 0.9,
                rates().fold(1.0, f64::max) * 1.05,
            ),
            y: (
                times()
                    .fold(self.objective_ms.max(1e-3), f64::min)
                    .max(1e-3)
                    * 0.7,
                times().fold(self.objective_ms.max(1e-3), f64::max) * 1.3,
            ),
            log_y: true,
        };
        html! {
            (axes.frame())
            @for power in -3..6 {
                @let value = 10_f64.powi(power);
                @if value >= axes.y.0 && value <= axes.y.1 {
                    line.grid x1=(axes.left) x2=(axes.left + PANEL) y1=(axes.y(value)) y2=(axes.y(value)) {}
                    text x=(axes.left - 6.0) y=(axes.y(value) + 4.0) text-anchor="end" { (ms(value)) }
                }
            }
            line.limit x1=(axes.left) x2=(axes.left + PANEL) y1=(axes.y(self.objective_ms)) y2=(axes.y(self.objective_ms)) {}
            text x=(axes.left + PANEL) y=(axes.y(self.objective_ms) - 5.0) text-anchor="end" { "objective " (ms(self.objective_ms)) }
            @if let Some(knee) = self.knee {
                line.mark x1=(axes.x(knee)) x2=(axes.x(knee)) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                text x=(axes.x(knee) - 5.0) y=(TOP + 12.0) text-anchor="end" { "knee " (short(knee)) "/s" }
            }
            @for point in &self.rates {
                @let class = if point.good { "good" } else { "bad" };
                circle class=(class) cx=(axes.x(point.rate)) cy=(axes.y(point.p99_ms)) r="4" {}
            }
            text x=(axes.left) y=(HEIGHT - BOTTOM + 16.0) { (short(axes.x.0)) "/s" }
            text x=(axes.left + PANEL) y=(HEIGHT - BOTTOM + 16.0) text-anchor="end" { (short(axes.x.1)) "/s" }
            text x=(axes.left) y=(TOP - 10.0) { "p99 by rate (open); hollow: not good" }
        }
    }
}
