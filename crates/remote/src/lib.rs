//! Prometheus' remote protocols, as bytes: write 1.0 and 2.0 and read, in both directions; and any
//! Prometheus-compatible server as a source of series.
//!
//! What it does: takes apart the bodies of remote-write and remote-read requests that strangers send, and builds those
//! that we send and answer.
//!
//! Entry points: [`write::decode`], [`write::encode_v1`], [`write::encode_v2`], [`read::ReadRequest`],
//! [`read::encode_samples`]; [`source::RemoteSource`], a server as a source of series over a [`source::Fetch`].
//!
//! Invariants: whatever the bytes, decoding ends with a value or an error and allocates no more than [`Limits`] and the
//! size of the input justify. No IO, no clock.
//!
//! Not here: HTTP, what is done with the samples.

mod histogram;
mod proto;
pub mod read;
pub mod source;
pub mod write;

#[cfg(test)]
mod tests;

/// What a body may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression.
    pub bytes: usize,
    /// Series in one request.
    pub series: usize,
    /// Labels of one series.
    pub labels: usize,
    /// Bytes of one label name or value.
    pub label_bytes: usize,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("snappy: {0}")]
    Snappy(String),
    #[error("the body has more than {0} bytes when decompressed")]
    TooLarge(usize),
    #[error("protobuf: {0}")]
    Proto(&'static str),
    #[error("the request has more than {0} series")]
    TooManySeries(usize),
    #[error("a series has more than {0} labels")]
    TooManyLabels(usize),
    #[error("a label has more than {0} bytes")]
    LabelTooLong(usize),
    #[error("{0}")]
    Invalid(String),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            series: 100_000,
            labels: 256,
            label_bytes: 64 << 10,
        }
    }
}

/// Undoes snappy's block format within a limit.
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let failed = |error: snap::Error| DecodeError::Snappy(error.to_string());
    let length = snap::raw::decompress_len(body).map_err(failed)?;
    if length > limit {
        return Err(DecodeError::TooLarge(limit));
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(failed)
}

/// Snappy's block format.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(bytes)
        .expect("only more than 4 GiB of input can fail")
}
