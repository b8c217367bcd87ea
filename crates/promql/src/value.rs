//! What a query returns.

use std::sync::Arc;

use bellwether_model::Labels;
use bellwether_model::histogram::Histogram;
use bellwether_model::series::Value;

use crate::annotations::Annotation;
use crate::ast::ValueType;

/// Answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    pub value: QueryValue,
    /// Sorted, without repeats.
    pub warnings: Vec<Annotation>,
    /// Sorted, without repeats.
    pub infos: Vec<Annotation>,
    pub stats: QueryStats,
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Series read from the source.
    pub series: usize,
    /// Samples decoded from the source.
    pub samples: usize,
    /// Most samples held at once.
    pub peak_samples: usize,
}

/// The value itself. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub enum QueryValue {
    Scalar {
        timestamp: i64,
        value: f64,
    },
    String {
        timestamp: i64,
        value: String,
    },
    /// In the order of the query (`topk` and `sort` give it a meaning).
    Vector(Vec<InstantSample>),
    /// Sorted by labels.
    Matrix(Vec<RangeSeries>),
}

/// One element of an instant vector.
#[derive(Clone, Debug)]
pub struct InstantSample {
    pub labels: Labels,
    pub timestamp: i64,
    pub value: Value,
}

/// One series of a matrix; floats and histograms are each in time order.
#[derive(Clone, Debug, Default)]
pub struct RangeSeries {
    pub labels: Labels,
    pub floats: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

// === impl QueryValue ===

impl QueryValue {
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar { .. } => ValueType::Scalar,
            Self::String { .. } => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}

// === impl RangeSeries ===

impl RangeSeries {
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
