//! Native histograms: the sample type. Arithmetic on them lives in `bellwether-promql`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Schema number that says the bucket bounds are [`Histogram::custom_values`].
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// What is known about a counter reset before this sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResetHint {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Distance from the end of the span before (or from bucket 0 for the first).
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A native histogram with absolute float counts per bucket (Prometheus' `FloatHistogram`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Exponential resolution -4..=8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub positive_buckets: Vec<f64>,
    pub negative_spans: Vec<Span>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without the last (`+Inf`).
    pub custom_values: Option<Arc<[f64]>>,
    pub reset_hint: ResetHint,
}
