//! Arithmetic on native histograms, as Prometheus' `FloatHistogram` defines it.

mod arithmetic;
mod buckets;
mod quantile;
mod text;
mod trim;

pub use arithmetic::{Incompatible, Note, add, compact, detect_reset, div, equals, mul, sub};
pub use buckets::{Bucket, buckets, is_custom, to_schema};
pub use text::to_text;

pub(crate) use arithmetic::{Sum, forget_reset};
pub(crate) use quantile::{
    ClassicBucket, Nans, classic_fraction, classic_quantile, fraction, nearly_equal, quantile,
    variance,
};
pub(crate) use trim::trim;

#[cfg(test)]
mod tests;
