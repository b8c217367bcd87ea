//! The SVG itself.

use std::fmt::Write as _;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::json;

use super::scale::{Scale, nice_ticks, time_ticks};
use super::{Chart, ChartSize, Line, reduce};
use crate::chrome::Chrome;
use crate::format;

/// Width of the stretched drawing, in its own units.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Slices of time per line: more than a screen shows is weight without meaning.
const SLICES: usize = 240;
/// Series beyond this are not drawn: nobody can tell them apart.
const LINES_MAX: usize = 20;
/// Colours in the style sheet.
const COLOURS: usize = 8;

/// A chart with axes, legend and crosshair.
pub(crate) fn chart(chrome: &Chrome, chart: &Chart) -> Markup {
    let frame = Frame::of(chart);
    let height = match chart.size {
        ChartSize::Spark => 44,
        ChartSize::Normal => 220,
        ChartSize::Tall => 320,
    };
    let plot = f64::from(height) - 26.0;
    let hidden = chart.lines.len().saturating_sub(LINES_MAX);
    html! {
        figure.chart id=(chart.id) data-chart=(data(chart, &frame)) {
            figcaption {
                span.chart-title { (chart.title) }
                span.chart-range { (summary(chart)) }
            }
            div.plot {
                svg role="img" aria-label=(spoken(chart)) width="100%" height=(height) {
                    @for tick in nice_ticks(frame.scale) {
                        @let y = 4.0 + (1.0 - frame.scale.place(tick)) * (plot - 4.0);
                        line.grid x1="0" x2="100%" y1=(px(y)) y2=(px(y)) {}
                    }
                    @for (at, label) in time_ticks(&chrome.zone, chart.from, chart.to, 6) {
                        @let x = frame.x(at) / 10.0;
                        line.tick x1={ (px(x)) "%" } x2={ (px(x)) "%" } y1=(px(plot)) y2=(px(plot + 5.0)) {}
                        text.axis.x x={ (px(x)) "%" } y=(px(plot + 19.0))
                            text-anchor=(if x < 4.0 { "start" } else if x > 95.0 { "end" } else { "middle" })
                            .minor[x > 8.0 && x < 92.0 && minor(chart, at)] { (label) }
                    }
                    line.base x1="0" x2="100%" y1=(px(plot)) y2=(px(plot)) {}
                    svg.lines x="0" y="4" width="100%" height=(px(plot - 4.0)) viewBox="0 0 1000 100" preserveAspectRatio="none" {
                        (drawing(chart, &frame, true))
                    }
                    @for mark in &chart.marks {
                        @let x = frame.x(mark.at) / 10.0;
                        g class={ "mark " (mark.tone.class()) } {
                            line x1={ (px(x)) "%" } x2={ (px(x)) "%" } y1="4" y2=(px(plot)) {}
                            svg x={ (px(x)) "%" } y="4" overflow="visible" {
                                path d="M-5 0h10l-5 8z" {}
                                title { (format::stamp(&chrome.zone, chrome.now, mark.at)) " " (mark.label) }
                            }
                        }
                    }
                    @for tick in nice_ticks(frame.scale) {
                        @let y = 4.0 + (1.0 - frame.scale.place(tick)) * (plot - 4.0);
                        @if y > 12.0 { text.axis.y x="2" y=(px(y - 4.0)) { (format::value(tick, chart.unit)) } }
                    }
                    @if let Some(threshold) = &chart.threshold {
                        @let y = 4.0 + (1.0 - frame.scale.place(threshold.value)) * (plot - 4.0);
                        text.axis.limit x="100%" dx="-4" y=(px(if y < 18.0 { y + 14.0 } else { y - 5.0 })) text-anchor="end" {
                            "limit " (format::value(threshold.value, chart.unit))
                        }
                    }
                    line.cross x1="0" x2="0" y1="0" y2=(px(plot)) visibility="hidden" {}
                }
                output.readout hidden aria-hidden="true" {}
            }
            @if !chart.marks.is_empty() {
                ul.marks {
                    @for mark in &chart.marks {
                        li { span class={ "dot " (mark.tone.class()) } {} (format::brief(&chrome.zone, chrome.now, mark.at)) " " (mark.label) }
                    }
                }
            }
            @if chart.lines.len() > 1 {
                ul.legend {
                    @for (index, line) in chart.lines.iter().take(LINES_MAX).enumerate() {
                        li { span class={ "key s" (index % COLOURS) } {} span.ellipsis title=(line.name) { (line.name) } }
                    }
                    @if hidden > 0 { li.quiet { "and " (hidden) " more, not drawn" } }
                }
            }
        }
    }
}

/// A small chart without axes.
pub(crate) fn sparkline(chart: &Chart) -> Markup {
    let frame = Frame::of(chart);
    html! {
        svg.spark role="img" aria-label=(spoken(chart)) width="100%" height="44" viewBox="0 0 1000 100" preserveAspectRatio="none" {
            title { (spoken(chart)) }
            (drawing(chart, &frame, false))
        }
    }
}

/// Times between the outer labels give way on narrow screens.
fn minor(chart: &Chart, at: Timestamp) -> bool {
    let length = chart.to.duration_since(chart.from).as_secs().max(1);
    (at.duration_since(chart.from).as_secs() * 6 / length) % 2 == 1
}

struct Frame {
    from_ms: i64,
    length_ms: f64,
    scale: Scale,
}

impl Frame {
    fn of(chart: &Chart) -> Self {
        let from_ms = chart.from.as_millisecond();
        let length_ms = (chart.to.as_millisecond() - from_ms).max(1) as f64;
        let values = chart
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(_, value)| *value))
            .chain(chart.threshold.iter().map(|threshold| threshold.value));
        Self {
            from_ms,
            length_ms,
            scale: Scale::covering(values, chart.from_zero),
        }
    }

    /// In units of the drawing, clamped to it.
    fn x(&self, at: Timestamp) -> f64 {
        ((at.as_millisecond() - self.from_ms) as f64 / self.length_ms * WIDTH).clamp(0.0, WIDTH)
    }

    fn y(&self, value: f64) -> f64 {
        (1.0 - self.scale.place(value)) * HEIGHT
    }
}

fn drawing(chart: &Chart, frame: &Frame, areas: bool) -> Markup {
    let single = chart.lines.len() == 1;
    html! {
        @for span in &chart.spans {
            @let (from, to) = (frame.x(span.from), frame.x(span.to));
            rect class={ "span " (span.tone.class()) } x=(px(from)) y="0" width=(px((to - from).max(1.5))) height="100" {
                title { (span.label) }
            }
        }
        @if let Some(threshold) = &chart.threshold {
            @let y = frame.y(threshold.value);
            @if threshold.bad_above && y > 0.0 { rect.beyond x="0" y="0" width="1000" height=(px(y)) {} }
            @if !threshold.bad_above && y < HEIGHT { rect.beyond x="0" y=(px(y)) width="1000" height=(px(HEIGHT - y)) {} }
        }
        @for (index, line) in chart.lines.iter().take(LINES_MAX).enumerate() {
            @let strokes = strokes(line, frame);
            @if areas && single { path class={ "area s" (index % COLOURS) } d=(area(&strokes)) {} }
            path class={ "line s" (index % COLOURS) } d=(path(&strokes)) {
                @if !single { title { (line.name) } }
            }
        }
        @if let Some(threshold) = &chart.threshold {
            @let y = px(frame.y(threshold.value));
            path.limit d={ "M0 " (y) "H1000" } {}
        }
    }
}

/// Unbroken runs of points, in units of the drawing.
fn strokes(line: &Line, frame: &Frame) -> Vec<Vec<(f64, f64)>> {
    let points = reduce(&line.points, SLICES);
    let gap = gap_after(&line.points);
    let mut strokes: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut previous: Option<i64> = None;
    for (at, value) in points {
        let ms = at.as_millisecond();
        if value.is_nan() {
            previous = None;
            continue;
        }
        let point = (frame.x(at), frame.y(value));
        match strokes.last_mut() {
            Some(stroke) if previous.is_some_and(|before| ms - before <= gap) => stroke.push(point),
            _ => strokes.push(vec![point]),
        }
        previous = Some(ms);
    }
    strokes
}

/// A pause of more than this (ms) breaks the line: five times the usual distance.
fn gap_after(points: &[(Timestamp, f64)]) -> i64 {
    let mut distances: Vec<i64> = points
        .windows(2)
        .map(|pair| pair[1].0.as_millisecond() - pair[0].0.as_millisecond())
        .collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() / 2).copied().unwrap_or(0);
    // A reduced slice may be wider than the usual distance.
    let span = points.last().map_or(0, |last| last.0.as_millisecond())
        - points.first().map_or(0, |first| first.0.as_millisecond());
    (usual.max(1) * 5).max(span / SLICES as i64 * 2)
}

fn path(strokes: &[Vec<(f64, f64)>]) -> String {
    let mut out = String::new();
    for stroke in strokes {
        for (index, (x, y)) in stroke.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(out, "{command}{} {}", px(*x), px(*y)).expect("writing to a string cannot fail");
        }
        if stroke.len() == 1 {
            out.push_str("h2");
        }
    }
    out
}

fn area(strokes: &[Vec<(f64, f64)>]) -> String {
    let mut out = String::new();
    for stroke in strokes {
        let (Some(first), Some(last)) = (stroke.first(), stroke.last()) else {
            continue;
        };
        write!(out, "M{} 100", px(first.0)).expect("writing to a string cannot fail");
        for (x, y) in stroke {
            write!(out, "L{} {}", px(*x), px(*y)).expect("writing to a string cannot fail");
        }
        write!(out, "L{} 100Z", px(last.0)).expect("writing to a string cannot fail");
    }
    out
}

/// A coordinate with one decimal at most: enough for a thousand units, and a third of the weight.
pub(crate) fn px(number: f64) -> String {
    let text = format!("{number:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn extremes(chart: &Chart) -> Option<(f64, f64, f64)> {
    let values = || {
        chart
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(_, value)| *value))
            .filter(|value| value.is_finite())
    };
    let last = chart
        .lines
        .first()
        .and_then(|line| {
            line.points
                .iter()
                .rev()
                .find(|(_, value)| value.is_finite())
        })?
        .1;
    Some((
        values().fold(f64::INFINITY, f64::min),
        values().fold(f64::NEG_INFINITY, f64::max),
        last,
    ))
}

fn summary(chart: &Chart) -> String {
    let Some((low, high, last)) = extremes(chart) else {
        return "no data in this range".to_owned();
    };
    let unit = chart.unit;
    let range = format!(
        "min {} · max {}",
        format::value(low, unit),
        format::value(high, unit)
    );
    if chart.lines.len() == 1 {
        format!("{range} · last {}", format::value(last, unit))
    } else {
        range
    }
}

fn spoken(chart: &Chart) -> String {
    let mut text = format!("{}: {}", chart.title, summary(chart));
    if let Some(threshold) = &chart.threshold {
        write!(
            text,
            ", limit {}",
            format::value(threshold.value, chart.unit)
        )
        .expect("writing to a string cannot fail");
    }
    text
}

/// What the crosshair needs: names, units, and points as `[seconds from the start, value]`.
fn data(chart: &Chart, frame: &Frame) -> String {
    let lines: Vec<_> = chart
        .lines
        .iter()
        .take(LINES_MAX)
        .map(|line| {
            let points: Vec<_> = reduce(&line.points, SLICES / 2)
                .into_iter()
                .filter(|(_, value)| value.is_finite())
                .map(|(at, value)| {
                    let seconds = (at.as_millisecond() - frame.from_ms) / 1000;
                    json!([seconds, round4(value)])
                })
                .collect();
            json!({ "n": line.name, "p": points })
        })
        .collect();
    let unit = match chart.unit {
        format::Unit::None => "",
        format::Unit::Seconds => "s",
        format::Unit::Bytes => "B",
        format::Unit::BytesPerSecond => "B/s",
        format::Unit::PerSecond => "/s",
        format::Unit::Ratio => "r",
        format::Unit::Percent => "%",
    };
    json!({ "f": frame.from_ms, "l": frame.length_ms, "u": unit, "s": lines }).to_string()
}

/// Four significant digits are more than a crosshair shows.
fn round4(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let power = 10f64.powf(3.0 - value.abs().log10().floor());
    let rounded = (value * power).round() / power;
    if rounded.is_finite() { rounded } else { value }
}
