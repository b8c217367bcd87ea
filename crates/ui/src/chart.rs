//! Time series drawn as inline SVG on the server.
//!
//! The lines live in a nested `<svg viewBox="0 0 1000 100" preserveAspectRatio="none">`, so they stretch with the page,
//! while texts are placed by percentage and keep their size. The script reads `data-chart` for the crosshair.

mod draw;
mod reduce;
mod scale;

use jiff::Timestamp;

use crate::format::Unit;
use crate::view::Tone;

pub use reduce::reduce;
pub use scale::{Scale, nice_ticks, time_ticks};

pub(crate) use draw::{chart, px, sparkline};

/// A chart of one or more series over a time range.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Unique within the page.
    pub id: String,
    /// Says what is drawn; read aloud by screen readers.
    pub title: String,
    pub unit: Unit,
    pub from: Timestamp,
    pub to: Timestamp,
    pub lines: Vec<Line>,
    pub threshold: Option<Threshold>,
    pub marks: Vec<Mark>,
    pub spans: Vec<Span>,
    pub size: ChartSize,
    /// Let the value axis begin at zero (when no value is below it).
    pub from_zero: bool,
}

/// One series. Points in order of time; NaN or a long gap breaks the line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub name: String,
    pub points: Vec<(Timestamp, f64)>,
}

/// A limit.
#[derive(Clone, Debug)]
pub struct Threshold {
    pub value: f64,
    /// Whether the bad side is above.
    pub bad_above: bool,
}

/// Something that happened at a moment.
#[derive(Clone, Debug)]
pub struct Mark {
    pub at: Timestamp,
    /// Short: one or two words.
    pub label: String,
    pub tone: Tone,
}

/// A shaded range of time, such as firing.
#[derive(Clone, Debug)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
    pub label: String,
    pub tone: Tone,
}

/// How tall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChartSize {
    /// No axes: beside a line of text.
    Spark,
    #[default]
    Normal,
    Tall,
}

#[cfg(test)]
mod tests;
