//! The lab: experiments, comparisons, and benchmarks over the commits.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::chrome::Chrome;
use crate::lab::{CommitSeries, Distributions, commit_series, distributions};
use crate::parts::{ago, badge, empty, heading};
use crate::view::Tone;
use crate::{layout, path};

/// Experiments and the gate's series.
#[derive(Clone, Debug, Default)]
pub struct LabPage {
    pub experiments: Vec<ExperimentRow>,
    pub series: Vec<SeriesView>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// Whether the configuration names a folder of experiments, and a gate file.
    pub is_configured: bool,
}

/// One experiment in the list.
#[derive(Clone, Debug)]
pub struct ExperimentRow {
    pub id: String,
    pub title: String,
    /// `planned`, `run`, `decided`.
    pub state: String,
    pub verdict: Option<(Tone, String)>,
    pub decision: String,
    pub created_at: Timestamp,
}

/// One benchmark over the commits.
#[derive(Clone, Debug)]
pub struct SeriesView {
    pub tone: Tone,
    pub verdict: String,
    pub why: String,
    /// The gate's own error rate on it: `1.2 % false alarms, finds 5 % in 94 %`.
    pub error_rate: String,
    pub picture: CommitSeries,
}

/// One experiment.
#[derive(Clone, Debug)]
pub struct ExperimentPage {
    pub id: String,
    pub title: String,
    pub state: String,
    pub verdict: Option<(Tone, String)>,
    pub why: String,
    pub hypothesis: String,
    pub created_at: Timestamp,
    /// Names and values: subjects, arguments, kernel, load.
    pub facts: Vec<(String, String)>,
    pub metrics: Vec<MetricView>,
    /// Whether the numbers, computed again from the raw data, are those that were stored.
    pub reproduces: Option<bool>,
    pub decision: Option<(String, String, Timestamp)>,
    pub faults: Vec<String>,
}

/// One metric of a comparison.
#[derive(Clone, Debug)]
pub struct MetricView {
    pub name: String,
    pub base: String,
    pub candidate: String,
    /// `+9.8 % (+7.1 % to +12.9 %)`.
    pub effect: String,
    pub tone: Tone,
    pub verdict: String,
    pub picture: Distributions,
}

/// Renders the lab.
pub fn render_lab(chrome: &Chrome, page: &LabPage) -> String {
    let body = html! {
        (heading("Lab", html! { "Experiments, and benchmarks over the commits." }))
        @for problem in &page.problems { p class="notice warn" role="status" { (problem) } }
        section {
            h2 { "Benchmarks" }
            @if page.series.is_empty() {
                (empty(if page.is_configured { "No results are recorded yet: `bellwether gate record` keeps those of a commit." } else { "Name the gate's file in the configuration: `lab:` with `gate:`." }))
            }
            div.lab-cards { @for series in &page.series { (series_card(series)) } }
        }
        section {
            h2 { "Experiments" }
            @if page.experiments.is_empty() {
                (empty(if page.is_configured { "No experiments yet: `bellwether exp new` plans one." } else { "Name the folder of experiments in the configuration: `lab:` with `experiments:`." }))
            } @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Experiment" } th scope="col" { "Result" } th scope="col" { "Decision" } th scope="col" { "Planned" } } }
                    tbody { @for row in &page.experiments { tr data-row="" {
                        td { a href=(path::experiment(&row.id)) { (row.title) } " " span.quiet { (row.id) } }
                        td { @match &row.verdict { Some((tone, word)) => (badge(*tone, word)), None => span.quiet { (row.state) } } }
                        td { (row.decision) }
                        td { (ago(chrome, row.created_at)) }
                    } } }
                } }
            }
        }
    };
    layout::page(chrome, "lab", body)
}

fn series_card(series: &SeriesView) -> Markup {
    html! {
        article class={ "card lab-card " (series.tone.class()) } {
            (commit_series(&series.picture))
            p { (badge(series.tone, &series.verdict)) " " (series.why) }
            p.quiet { "The gate on this series: " (series.error_rate) }
        }
    }
}

/// Renders one experiment.
pub fn render_experiment(chrome: &Chrome, page: &ExperimentPage) -> String {
    let body = html! {
        (heading(&page.title, html! {
            a href=(path::LAB) { "Lab" } " / " (page.id) ", planned " (ago(chrome, page.created_at))
        }))
        @for fault in &page.faults { p class="notice bad" role="status" { (fault) } }
        section.card {
            div.row-head {
                h2 { "Result" }
                @match &page.verdict { Some((tone, word)) => (badge(*tone, word)), None => span.quiet { (page.state) } }
            }
            @if !page.why.is_empty() { p { (page.why) } }
            @match page.reproduces {
                Some(true) => p.quiet { "Computed again from the raw data just now: every number is as it was stored." },
                Some(false) => p class="notice bad" { "Computed again from the raw data, the numbers differ from those that were stored." },
                None => {},
            }
            @if let Some((decision, why, at)) = &page.decision { p { b { (decision) } " " (ago(chrome, *at)) ": " (why) } }
        }
        div.lab-cards { @for metric in &page.metrics {
            article class="card lab-card" {
                (distributions(&metric.picture))
                p { (badge(metric.tone, &metric.verdict)) " " b { (metric.name) } " " (metric.base) " → " (metric.candidate) ", " (metric.effect) }
            }
        } }
        section.card { h2 { "Hypothesis" } p { (page.hypothesis) } }
        section.card { h2 { "Set-up" } dl.lab-facts { @for (name, value) in &page.facts { dt { (name) } dd { (value) } } } }
    };
    layout::page(chrome, "lab", body)
}
