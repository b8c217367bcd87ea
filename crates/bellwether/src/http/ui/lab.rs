//! The lab: experiments of a folder, and the gate's series.

use std::path::{Path as FilePath, PathBuf};
use std::sync::{Mutex, PoisonError};

use axum::extract::Path;
use bellwether_lab::calibrate::Calibration;
use bellwether_lab::compare::Report;
use bellwether_lab::experiment::Experiment;
use bellwether_lab::gate::{self, GateConfig, History};
use bellwether_measure::experiments::Store;
use bellwether_measure::gate as hands;
use bellwether_measure::git::Repository;
use bellwether_model::Problems;
use bellwether_stats::Verdict;
use bellwether_ui as ui;
use jiff::Timestamp;

use super::frame::{Page, Visitor, shown};
use crate::commands::lab::pictures::{self, tone};

/// Series that a page shows: those with a finding first.
const SERIES_MAX: usize = 40;
const EXPERIMENTS_MAX: usize = 200;
/// Seconds that the gate's series are shown before they are read and calibrated again.
const FRESH: i64 = 60;

/// The gate's series as they were last read, by the gate's file.
static LAST: Mutex<Option<(PathBuf, Timestamp, Read)>> = Mutex::new(None);

/// Series and what could not be read.
type Read = (Vec<ui::SeriesView>, Vec<String>);

/// Experiments and benchmarks.
pub(super) async fn show(visitor: Visitor) -> Page {
    let config = visitor.app.config();
    let (experiments, gate, now) = (
        config.lab.experiments.clone(),
        config.lab.gate.clone(),
        visitor.now,
    );
    let is_configured = experiments.is_some() || gate.is_some();
    let read = tokio::task::spawn_blocking(move || {
        let (series, mut problems) = gate.map_or_else(Default::default, |file| series(&file, now));
        let rows = experiments.map_or_else(Vec::new, |folder| rows(&folder, &mut problems));
        (series, rows, problems)
    });
    let (series, experiments, problems) = read.await.unwrap_or_default();
    let page = ui::LabPage {
        experiments,
        series,
        problems,
        is_configured,
    };
    Ok(shown(ui::render_lab(
        &visitor.chrome("Lab", ui::Nav::Lab),
        &page,
    )))
}

/// One experiment, its numbers computed again.
pub(super) async fn experiment(visitor: Visitor, Path(id): Path<String>) -> Page {
    let config = visitor.app.config();
    let Some(folder) = config.lab.experiments.clone() else {
        return Err(visitor.missing("experiment"));
    };
    let read = tokio::task::spawn_blocking(move || {
        let store = Store::new(&folder);
        // Only what the folder lists: the name from the address is never a path.
        let id = store.ids().ok()?.into_iter().find(|known| *known == id)?;
        store.read(&id).ok().map(|experiment| page_of(&experiment))
    });
    match read.await.ok().flatten() {
        Some(page) => Ok(shown(ui::render_experiment(
            &visitor.chrome(&page.title, ui::Nav::Lab),
            &page,
        ))),
        None => Err(visitor.missing("experiment")),
    }
}

fn rows(folder: &FilePath, problems: &mut Vec<String>) -> Vec<ui::ExperimentRow> {
    let store = Store::new(folder);
    let ids = store.ids().unwrap_or_else(|error| {
        problems.push(error.to_string());
        Vec::new()
    });
    let mut rows = Vec::new();
    for id in ids.into_iter().rev().take(EXPERIMENTS_MAX) {
        match store.read(&id) {
            Ok(experiment) => {
                problems.extend(
                    experiment
                        .faults
                        .iter()
                        .map(|fault| format!("{id}: {fault}")),
                );
                rows.push(ui::ExperimentRow {
                    id,
                    title: experiment.plan.title.clone(),
                    state: experiment.state().to_owned(),
                    verdict: experiment.verdict().map(word),
                    decision: experiment
                        .decision
                        .map_or(String::new(), |decision| decision.decision),
                    created_at: experiment.plan.created_at,
                });
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    rows
}

fn word(verdict: Verdict) -> (ui::Tone, String) {
    (tone(verdict), verdict.to_string())
}

fn page_of(experiment: &Experiment) -> ui::ExperimentPage {
    let report = experiment.recomputed();
    let plan = &experiment.plan;
    let mut facts = vec![
        ("base".to_owned(), plan.base.clone()),
        ("candidate".to_owned(), plan.candidate.clone()),
        ("arguments".to_owned(), plan.setup.join(" ")),
    ];
    if let Some(environment) = &experiment.environment {
        let known = |text: &str| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                text.to_owned()
            }
        };
        facts.extend([
            ("kernel".to_owned(), known(&environment.kernel)),
            (
                "processor".to_owned(),
                format!("{}, {} cores", known(&environment.cpu), environment.cores),
            ),
            ("governor".to_owned(), known(&environment.governor)),
            (
                "load average".to_owned(),
                format!(
                    "{} before, {} after",
                    environment.load_before, environment.load_after
                ),
            ),
            (
                "commit".to_owned(),
                format!(
                    "{}{}",
                    known(&environment.commit),
                    if environment.is_dirty {
                        ", with changes"
                    } else {
                        ""
                    }
                ),
            ),
        ]);
    }
    ui::ExperimentPage {
        id: plan.id.clone(),
        title: plan.title.clone(),
        state: experiment.state().to_owned(),
        verdict: report.as_ref().map(|report| word(report.verdict)),
        why: report
            .as_ref()
            .map_or(String::new(), |report| report.why.clone()),
        hypothesis: plan.hypothesis.clone(),
        created_at: plan.created_at,
        facts,
        metrics: report.as_ref().map_or_else(Vec::new, metrics),
        reproduces: experiment.reproduces(),
        decision: experiment.decision.as_ref().map(|decision| {
            (
                decision.decision.clone(),
                decision.why.clone(),
                decision.decided_at,
            )
        }),
        faults: experiment.faults.clone(),
    }
}

fn metrics(report: &Report) -> Vec<ui::MetricView> {
    report
        .metrics
        .iter()
        .map(|metric| {
            let (tone, verdict) = word(metric.finding.verdict);
            ui::MetricView {
                name: metric.metric.name.clone(),
                base: metric.metric.unit.show(metric.base_median),
                candidate: metric.metric.unit.show(metric.candidate_median),
                effect: bellwether_lab::text::effect(&metric.finding),
                tone,
                verdict,
                picture: pictures::distributions(report, metric),
            }
        })
        .collect()
}

/// The series of a gate's file, read at most once a minute: each is calibrated, which takes a while.
fn series(file: &FilePath, now: Timestamp) -> Read {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, at, read)) = last.as_ref()
        && of == file
        && now.duration_since(*at).as_secs() < FRESH
    {
        return read.clone();
    }
    let read = read_series(file).unwrap_or_else(|problem| (Vec::new(), vec![problem]));
    *last = Some((file.to_owned(), now, read.clone()));
    read
}

fn read_series(file: &FilePath) -> Result<Read, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let mut problems = Problems::default();
    let config = GateConfig::read(&name, &text, &mut problems);
    let told = problems.0.iter().map(ToString::to_string).collect();
    let Some(mut config) = config.filter(|_| !problems.has_errors()) else {
        return Ok((Vec::new(), told));
    };
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(FilePath::new("."));
    if let History::Folder(history) = &mut config.history {
        *history = folder.join(&*history).display().to_string();
    }
    let history = hands::history(&config, &Repository::at(folder), "HEAD")
        .map_err(|error| error.to_string())?;
    let mut report = gate::check(&config, &history, false);
    report
        .series
        .sort_by_key(|series| (series.verdict, series.name.clone()));
    let views = report
        .series
        .iter()
        .take(SERIES_MAX)
        .map(|series| ui::SeriesView {
            tone: tone(series.verdict),
            verdict: series.verdict.to_string(),
            why: series.why.clone(),
            error_rate: series
                .calibration
                .as_ref()
                .map_or_else(|| "too short to say".to_owned(), Calibration::line),
            picture: pictures::series(series),
        })
        .collect();
    Ok((views, told))
}
