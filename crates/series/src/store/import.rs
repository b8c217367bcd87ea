//! Bringing in history from another source: straight into blocks, beside what is there.

use bellwether_model::series::{SampleBuffer, Selection, SeriesSource};

use super::{Store, lock};
use crate::block::Plan;
use crate::report::{ImportError, ImportReport};

impl Store {
    /// Copies what `selection` finds in `source` into blocks of their own. Times may overlap what the store has: of two
    /// samples of a series at one time, one is served. Retention applies at the next maintenance.
    pub fn import(
        &self,
        source: &dyn SeriesSource,
        selection: &Selection,
    ) -> Result<ImportReport, ImportError> {
        let mut maintenance = lock(&self.maintenance);
        let mut report = ImportReport::default();
        let mut buffer = SampleBuffer::default();
        let mut next = first_time(source, selection, &mut buffer)?;
        while let Some(time) = next {
            let start = time.div_euclid(self.span).saturating_mul(self.span);
            let end = start.saturating_add(self.span);
            let set = source.select(&Selection {
                matchers: selection.matchers.clone(),
                min: start.max(selection.min),
                max: (end - 1).min(selection.max),
            })?;
            let plan = Plan {
                start,
                end,
                head_end: i64::MIN,
                replaces: Vec::new(),
            };
            let mut writer = self.block_writer(&mut maintenance, plan)?;
            let mut samples = 0;
            for index in 0..set.len() {
                set.read(index, &mut buffer)?;
                samples += (buffer.timestamps.len() + buffer.histograms.len()) as u64;
                writer.add(set.labels(index), &buffer)?;
            }
            if !writer.is_empty() {
                self.publish(writer, &[])?;
                report.blocks += 1;
                report.samples += samples;
            }
            let rest = Selection {
                min: end,
                ..selection.clone()
            };
            next = if end <= selection.max {
                first_time(source, &rest, &mut buffer)?
            } else {
                None
            };
        }
        Ok(report)
    }
}

/// Time of the oldest sample.
fn first_time(
    source: &dyn SeriesSource,
    selection: &Selection,
    buffer: &mut SampleBuffer,
) -> Result<Option<i64>, ImportError> {
    let set = source.select(selection)?;
    let mut first = None;
    for index in 0..set.len() {
        set.read(index, buffer)?;
        let floats = buffer.timestamps.first().copied();
        let histograms = buffer.histograms.first().map(|(time, _)| *time);
        first = first.into_iter().chain(floats).chain(histograms).min();
    }
    Ok(first)
}
