//! Why a query has no answer.

use bellwether_model::series::SourceError;

use crate::parser::ParseError;

/// Why a query has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    #[error("invalid parameter \"query\": {0}")]
    Parse(#[from] ParseError),
    #[error("{0}")]
    BadData(String),
    #[error("{0}")]
    Execution(String),
    #[error("query timed out in expression evaluation")]
    Timeout,
    #[error("query was canceled in expression evaluation")]
    Canceled,
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    #[error("expanding series: {0}")]
    Source(#[from] SourceError),
}

impl QueryError {
    /// `errorType` of Prometheus' HTTP API.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::BadData(_) => "bad_data",
            Self::Execution(_) | Self::TooManySamples => "execution",
            Self::Timeout => "timeout",
            Self::Canceled | Self::Source(SourceError::Cancelled(_)) => "canceled",
            Self::Source(SourceError::TooManySeries { .. }) => "execution",
            Self::Source(_) => "internal",
        }
    }

    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution(message.into())
    }
}
