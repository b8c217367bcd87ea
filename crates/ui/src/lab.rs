//! The lab's pictures: two distributions with the effect between them, and a series of commits with its changes of level.
//!
//! Each is drawn for a page ([`maud::Markup`], coloured by the style sheet) or alone ([`alone`], with its own colours), so the
//! command line's SVG files and the pages show the same.

mod distributions;
mod series;

use maud::{Markup, PreEscaped};

pub use distributions::{Distributions, distributions};
pub use series::{CommitSeries, LevelChange, commit_series};

/// Colours and fonts of a picture that stands alone; light and dark.
const STYLE: &str = "<style>\
svg{--ink:#1a2129;--muted:#5a6672;--line:#dfe3e8;--card:#fff;--s0:#0e6f78;--s1:#c0561a;--bad:#b32318;--good:#1c6b3e;--quiet:#66707c;--warn:#8a5600;--info:#1f5aa8;\
font:12px system-ui,sans-serif;background:var(--card)}\
@media(prefers-color-scheme:dark){svg{--ink:#e7ebf0;--muted:#a2adb9;--line:#2c343d;--card:#161b21;--s0:#55c2c6;--s1:#f2995c;--bad:#ff8b7e;--good:#74cf98;--quiet:#98a3af;--warn:#f0bb5c;--info:#8db8f7}}\
.lab text{fill:var(--muted);font-size:12px}.lab text.name{fill:var(--ink);font-weight:600}\
.lab .grid{stroke:var(--line)}.lab .base{stroke:var(--muted)}\
.lab .curve{stroke-width:1.8}.lab .curve.s0{stroke:var(--s0);fill:var(--s0);fill-opacity:.16}.lab .curve.s1{stroke:var(--s1);fill:var(--s1);fill-opacity:.16}\
.lab .rug{stroke-width:1;stroke-opacity:.7}.lab .rug.s0{stroke:var(--s0)}.lab .rug.s1{stroke:var(--s1)}\
.lab .zone{fill:var(--quiet);opacity:.14}.lab .limit{stroke:var(--bad);stroke-dasharray:5 4;fill:none}\
.lab .ends{stroke:var(--ink);stroke-width:2;fill:none}.lab .ends.bad{stroke:var(--bad)}.lab .ends.good{stroke:var(--good)}.lab .ends.warn{stroke:var(--warn)}\
.lab .point{fill:var(--s0)}.lab .level{stroke:var(--ink);stroke-width:2;fill:none}\
.lab .change{stroke-width:1.4;stroke-dasharray:2 3}.lab .change.bad{stroke:var(--bad);fill:var(--bad)}.lab .change.good{stroke:var(--good);fill:var(--good)}.lab .change.quiet{stroke:var(--quiet);fill:var(--quiet)}\
.lab .dot.bad{fill:var(--bad)}.lab .dot.good{fill:var(--good)}.lab .dot.warn{fill:var(--warn)}.lab .dot.quiet{fill:var(--ink)}\
</style>";

/// A picture as an SVG file of its own.
pub fn alone(picture: &Markup) -> String {
    let text = picture
        .0
        .replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    match text.find('>') {
        Some(end) => format!("{}{STYLE}{}\n", &text[..=end], &text[end + 1..]),
        None => text,
    }
}

/// A coordinate with one decimal at most.
fn px(value: f64) -> String {
    crate::chart::px(value)
}

/// An SVG path of straight lines.
fn path(points: &[(f64, f64)]) -> String {
    points
        .iter()
        .enumerate()
        .map(|(index, (x, y))| {
            format!(
                "{}{} {}",
                if index == 0 { 'M' } else { 'L' },
                px(*x),
                px(*y)
            )
        })
        .collect::<Vec<_>>()
        .concat()
}

/// The picture's frame; its width follows the page, its text scales with it.
fn frame(width: f64, height: f64, spoken: &str, body: Markup) -> Markup {
    PreEscaped(format!(
        "<svg class=\"lab\" role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{}\">{}</svg>",
        px(width),
        px(height),
        maud::html! { (spoken) }.0.replace('"', "&quot;"),
        body.0
    ))
}

#[cfg(test)]
mod tests;
