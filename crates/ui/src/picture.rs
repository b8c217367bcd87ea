//! Pictures of measurements as SVG: latency over time as a heat map, the knee of a target, flame graphs.
//!
//! Each is drawn once, for pages (colours come from the style sheet) and as a file that stands alone (it carries its
//! own colours, light and dark).

mod flame;
mod heat;
mod knee;

pub use flame::{Flame, FlameNode, FlameTone};
pub use heat::{HeatColumn, HeatMap};
pub use knee::{Curve, KneePicture, KneePoint};

use maud::{Markup, PreEscaped, html};

/// Colours of a picture that stands alone; `assets/ui.css` has the same for pages.
const STYLE: &str = "\
.pic{background:#fff;font:12px system-ui,sans-serif}.pic text{fill:#333}.pic .axis{stroke:#bbb;stroke-width:1}\
.pic .grid{stroke:#e4e4e4;stroke-width:1}.pic .cell{fill:#b3402a}.pic .p50{fill:none;stroke:#1f6f8b;stroke-width:1.5}\
.pic .p99{fill:none;stroke:#222;stroke-width:1.5}.pic .curve{fill:none;stroke:#1f6f8b;stroke-width:2}\
.pic .good{fill:#1f6f8b}.pic .bad{fill:none;stroke:#b3402a;stroke-width:2}.pic .limit{stroke:#b3402a;stroke-dasharray:5 4}\
.pic .mark{stroke:#333;stroke-dasharray:2 3}.pic .band{fill:#1f6f8b;fill-opacity:.15}.pic .f0{fill:#f2c6a0}.pic .f1{fill:#f0b78a}\
.pic .f2{fill:#eda977}.pic .f3{fill:#f4d3b5}.pic .kernel{fill:#c9cfd6}.pic .more{fill:#e0795f}.pic .less{fill:#7fb0c9}\
.pic .same{fill:#e6e6e6}.pic .frame text,.pic .frame-text{fill:#222}\
@media(prefers-color-scheme:dark){.pic{background:#16181b}.pic text{fill:#ddd}.pic .axis{stroke:#666}.pic .grid{stroke:#2c2f34}\
.pic .cell{fill:#ff8f6b}.pic .p50{stroke:#7cc4de}.pic .p99{stroke:#eee}.pic .curve{stroke:#7cc4de}.pic .good{fill:#7cc4de}\
.pic .bad{stroke:#ff8f6b}.pic .limit{stroke:#ff8f6b}.pic .mark{stroke:#ddd}.pic .band{fill:#7cc4de}}";

/// The frame of a picture: `inside` is drawn in a space of this size.
fn frame(title: &str, width: f64, height: f64, standalone: bool, inside: &Markup) -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" class="pic" viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(title)
            width=[standalone.then_some(width)] height=[standalone.then_some(height)] {
            @if standalone { style { (PreEscaped(STYLE)) } }
            title { (title) }
            (inside)
        }
    }
}

/// A number for a coordinate: a tenth of a pixel is enough.
fn px(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Milliseconds with a fitting unit.
fn ms(value: f64) -> String {
    let (number, unit) = match value {
        v if v < 1.0 => (v * 1e3, "µs"),
        v if v < 1000.0 => (v, "ms"),
        v => (v / 1e3, "s"),
    };
    let digits = usize::from(number < 10.0 && number.fract().abs() > 0.05);
    format!("{number:.digits$} {unit}")
}

/// A rate, short.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 1e3 => format!("{:.1}k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests;
