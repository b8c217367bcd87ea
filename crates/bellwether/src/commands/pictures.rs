//! Results as pictures.

use bellwether_load::Report;
use bellwether_load::knee::Knee;
use bellwether_ui::picture::{Curve, HeatColumn, HeatMap, KneePicture, KneePoint};

/// Latency over time, as a file of its own.
pub(crate) fn heat(report: &Report) -> String {
    heat_map(report).draw(true).into_string()
}

/// The knee, as a file of its own.
pub(crate) fn knee(knee: &Knee, target: &str) -> String {
    knee_picture(knee, target).draw(true).into_string()
}

/// Latency over time.
pub(crate) fn heat_map(report: &Report) -> HeatMap {
    HeatMap {
        title: format!("Latency of {} from the intended send", report.target),
        columns: report
            .series
            .iter()
            .map(|slice| HeatColumn {
                at_s: slice.at_s,
                length_s: slice.length_s,
                cells: slice.heat.clone(),
                p50_ms: slice.p50_ms,
                p99_ms: slice.p99_ms,
            })
            .collect(),
        warmup_s: report.warmup.cut_s,
    }
}

/// How the target scales and where it saturates.
pub(crate) fn knee_picture(knee: &Knee, target: &str) -> KneePicture {
    KneePicture {
        title: format!("Saturation of {target}"),
        ladder: knee
            .ladder
            .iter()
            .map(|step| (step.users as f64, step.throughput))
            .collect(),
        law: knee.usl.as_ref().map(|fit| Curve {
            lambda: fit.law.lambda,
            alpha: fit.law.alpha,
            beta: fit.law.beta,
            peak: fit.peak_interval,
        }),
        rates: knee
            .steps
            .iter()
            .map(|step| KneePoint {
                rate: step.rate,
                p99_ms: step.p99_ms,
                good: step.good,
            })
            .collect(),
        objective_ms: knee.objective_p99_ms,
        knee: knee.rate,
    }
}
