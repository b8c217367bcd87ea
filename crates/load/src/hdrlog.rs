//! A log of histograms that HdrHistogram's tools read: one line for each interval and kind.
//!
//! Form: HdrHistogram histogram log, version 1.3. Values are in µs; the last column but one is the interval's maximum
//! in ms.

use std::io::{self, Write};

use crate::collect::Finished;

/// Writes a log.
#[derive(Debug)]
pub struct HdrLog<W> {
    to: W,
}

impl<W: Write> HdrLog<W> {
    /// Begins a log; the start is in seconds since 1970.
    pub fn begin(mut to: W, start_s: f64, target: &str) -> io::Result<Self> {
        let target: String = target.chars().filter(|c| !c.is_control()).collect();
        writeln!(to, "#[Histogram log format version 1.3]")?;
        writeln!(to, "#[bellwether load {target}]")?;
        writeln!(to, "#[StartTime: {start_s:.3} (seconds since epoch)]")?;
        writeln!(
            to,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        Ok(Self { to })
    }

    /// Adds an interval.
    pub fn add(&mut self, finished: &Finished) -> io::Result<()> {
        let Some(encoded) = &finished.encoded else {
            return Ok(());
        };
        let slice = &finished.slice;
        for (tag, text) in ["latency", "service"].iter().zip(encoded) {
            writeln!(
                self.to,
                "Tag={tag},{:.3},{:.3},{:.3},{text}",
                slice.at_s, slice.length_s, slice.max_ms
            )?;
        }
        self.to.flush()
    }
}
