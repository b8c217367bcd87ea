//! Samples as OpenMetrics text with times, which `promtool tsdb create-blocks-from openmetrics` and others read.

use std::fmt::Write as _;
use std::io::{self, Write};

use bellwether_model::labels::{METRIC_NAME, is_classic_label_name, write_quoted};
use bellwether_model::series::{
    SampleBuffer, Selection, SeriesSet, SeriesSource, SourceError, is_stale,
};

#[cfg(test)]
mod tests;

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    pub series: usize,
    pub samples: u64,
    /// Staleness markers and native histograms, for which the text format has no form.
    pub skipped: u64,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("read samples for the export")]
    Source(#[from] SourceError),
    #[error("write the export")]
    Io(#[from] io::Error),
}

/// Writes what `selection` finds, metric by metric, each series in order of time, ended by `# EOF`.
pub fn write_openmetrics(
    source: &dyn SeriesSource,
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<ExportReport, ExportError> {
    let set = source.select(selection)?;
    // A label that sorts before the name would tear a metric apart.
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by_key(|index| set.labels(*index).metric_name().to_owned());
    let mut report = ExportReport::default();
    let mut buffer = SampleBuffer::default();
    let mut metric: Option<&str> = None;
    for index in order {
        set.read(index, &mut buffer)?;
        let name = set.labels(index).metric_name();
        if metric != Some(name) {
            writeln!(out, "# TYPE {name} unknown")?;
            metric = Some(name);
        }
        write_series(&*set, index, &buffer, out, &mut report)?;
    }
    writeln!(out, "# EOF")?;
    Ok(report)
}

fn write_series(
    set: &dyn SeriesSet,
    index: usize,
    buffer: &SampleBuffer,
    out: &mut dyn Write,
    report: &mut ExportReport,
) -> io::Result<()> {
    let labels = set.labels(index);
    let mut head = labels.metric_name().to_owned();
    let mut separator = '{';
    for label in labels.iter().filter(|label| &*label.name != METRIC_NAME) {
        head.push(separator);
        separator = ',';
        if is_classic_label_name(&label.name) {
            head.push_str(&label.name);
        } else {
            quote(&mut head, &label.name);
        }
        head.push('=');
        quote(&mut head, &label.value);
    }
    if separator == ',' {
        head.push('}');
    }
    report.series += 1;
    report.skipped += buffer.histograms.len() as u64;
    for (time, value) in buffer.timestamps.iter().zip(&buffer.floats) {
        if is_stale(*value) {
            report.skipped += 1;
            continue;
        }
        report.samples += 1;
        let sign = if *time < 0 { "-" } else { "" };
        let (seconds, millis) = (time.unsigned_abs() / 1000, time.unsigned_abs() % 1000);
        let value = text_of(*value);
        writeln!(out, "{head} {value} {sign}{seconds}.{millis:03}")?;
    }
    Ok(())
}

fn quote(out: &mut String, text: &str) {
    // Only backslash, quote and line feed have an escape in OpenMetrics.
    if text.contains(|c: char| c.is_control() && c != '\n') {
        out.push('"');
        for c in text.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    } else {
        // Writing to a string cannot fail.
        let _ = write_quoted(out, text);
    }
}

/// The shortest text that reads back as the same value.
fn text_of(value: f64) -> String {
    let mut text = String::new();
    if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let _ = write!(text, "{value:?}");
    }
    text
}
