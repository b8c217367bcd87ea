//! Samples that others send: remote write into the store, with metadata and exemplars.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_model::Labels;
use bellwether_model::series::{AppendReport, Metadata, RefSample, SampleSink as _, SinkError};
use bellwether_remote::write::{Counts, WriteRequest, WriteSeries};
use bellwether_series::{Exemplars, Store};

/// Metrics whose metadata is kept.
const METADATA_MAX: usize = 50_000;
/// Exemplars that are kept.
const EXEMPLARS_MAX: usize = 100_000;

/// Takes what senders write.
pub struct Ingest {
    store: Arc<Store>,
    metadata: Mutex<BTreeMap<String, Metadata>>,
    pub exemplars: Exemplars,
    /// Whether senders may write at all.
    pub accepts: bool,
    /// Requests, samples stored, samples refused.
    pub requests: AtomicU64,
    pub samples: AtomicU64,
    pub refused: AtomicU64,
}

/// What was stored of a request.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub counts: Counts,
    /// Why the rest was not; sending it again would not help.
    pub refused: Option<String>,
}

// === impl Ingest ===

impl Ingest {
    /// Writes to `store`.
    pub fn new(store: Arc<Store>, accepts: bool) -> Self {
        Self {
            store,
            metadata: Mutex::default(),
            exemplars: Exemplars::new(EXEMPLARS_MAX),
            accepts,
            requests: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What senders said about metrics.
    pub fn metadata(&self) -> BTreeMap<String, Metadata> {
        self.metadata
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stores a request. What cannot be stored is left out and named; an error means that all of it may be sent again.
    pub fn write(&self, request: WriteRequest) -> Result<Written, SinkError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut written = Written {
            counts: request.counts(),
            refused: None,
        };
        // A series may be collected between being resolved and being written: then once more.
        for _ in 0..3 {
            let (samples, refused) = self.resolve(&request.series)?;
            written.refused = refused;
            let report = self.store.append(&samples)?;
            self.samples
                .fetch_add(report.appended as u64, Ordering::Relaxed);
            self.note(&mut written, report);
            if report.unknown == 0 {
                break;
            }
        }
        for series in request.series {
            for exemplar in series.exemplars {
                self.exemplars.add(&series.labels, exemplar);
            }
        }
        if !request.metadata.is_empty() {
            let mut metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
            for (name, about) in request.metadata {
                if metadata.len() < METADATA_MAX || metadata.contains_key(&name) {
                    metadata.insert(name, about);
                }
            }
        }
        Ok(written)
    }

    fn resolve(&self, all: &[WriteSeries]) -> Result<(Vec<RefSample>, Option<String>), SinkError> {
        let mut samples = Vec::with_capacity(all.len());
        let mut refused = None;
        for series in all {
            let reference = match self.store.resolve(&series.labels) {
                Ok(reference) => reference,
                Err(SinkError::TooManySeries { limit, labels }) => {
                    self.refused
                        .fetch_add(series.samples.len() as u64, Ordering::Relaxed);
                    refused = Some(too_many(limit, &labels));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (timestamp, value) in &series.samples {
                samples.push(RefSample {
                    series: reference,
                    timestamp: *timestamp,
                    value: value.clone(),
                });
            }
        }
        Ok((samples, refused))
    }

    fn note(&self, written: &mut Written, report: AppendReport) {
        let lost = report.out_of_order + report.conflicting;
        self.refused.fetch_add(lost as u64, Ordering::Relaxed);
        if report.out_of_order > 0 {
            written.refused = Some(format!(
                "out of order sample: {} refused",
                report.out_of_order
            ));
        } else if report.conflicting > 0 {
            written.refused = Some(format!(
                "duplicate sample for timestamp: {} refused",
                report.conflicting
            ));
        }
    }
}

fn too_many(limit: usize, labels: &Labels) -> String {
    format!(
        "series limit of {limit} reached: refused {labels}; /api/v1/status/tsdb says who has the most"
    )
}
