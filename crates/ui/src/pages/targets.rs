//! Targets: what is watched, and whether it answers.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::chrome::Chrome;
use crate::parts::{ago, anchor, badge, empty, heading, labels, took};
use crate::view::{Health, Tone};
use crate::{format, layout, path};

/// All targets.
#[derive(Clone, Debug, Default)]
pub struct TargetsPage {
    pub pools: Vec<PoolView>,
    pub probes: Vec<ProbeView>,
    pub discovered: Vec<DiscoveredView>,
    /// `all`, `down`.
    pub only_down: bool,
}

/// A scrape pool.
#[derive(Clone, Debug)]
pub struct PoolView {
    pub name: String,
    /// `every 15 s, within 10 s`.
    pub note: String,
    pub targets: Vec<TargetView>,
    /// Targets dropped by relabelling.
    pub n_dropped: usize,
    /// Why discovery fails; empty if it does not.
    pub error: String,
}

/// A target.
#[derive(Clone, Debug)]
pub struct TargetView {
    pub url: String,
    pub health: Health,
    pub labels: Vec<(String, String)>,
    pub last_scrape: Option<Timestamp>,
    pub took: Option<SignedDuration>,
    pub samples: Option<u64>,
    pub error: String,
}

/// A probe (HTTP, TCP, TLS, DNS, ICMP).
#[derive(Clone, Debug)]
pub struct ProbeView {
    pub name: String,
    pub kind: String,
    pub target: String,
    pub health: Health,
    pub last_at: Option<Timestamp>,
    pub took: Option<SignedDuration>,
    /// `200 OK`, `certificate ends in 12 d`.
    pub detail: String,
}

/// A service that was found.
#[derive(Clone, Debug)]
pub struct DiscoveredView {
    /// `PostgreSQL`.
    pub service: String,
    pub address: String,
    /// Whether it is watched, and how.
    pub watched: bool,
    pub detail: String,
}

/// Renders all targets.
pub fn render_targets(chrome: &Chrome, page: &TargetsPage) -> String {
    let all = || page.pools.iter().flat_map(|pool| &pool.targets);
    let n_down = all().filter(|target| target.health == Health::Down).count();
    let body = html! {
        (heading("Targets", html! { (all().count()) " watched, " @if n_down == 0 { "all answer" } @else { b.bad-text { (n_down) " down" } } }))
        div.toolbar {
            ul.pills aria-label="Which targets" {
                li { a href=(path::TARGETS) aria-current=[(!page.only_down).then_some("true")] { "All" } }
                li { a href={ (path::TARGETS) "?show=down" } aria-current=[page.only_down.then_some("true")] { "Down" } }
            }
            input type="search" placeholder="Filter by address or label" aria-label="Filter targets" data-filter="tr[data-row]" data-search="";
        }
        @if page.pools.is_empty() { (empty("No targets are configured, and none was found.")) }
        @for pool in &page.pools { (pool_section(chrome, pool, page.only_down)) }
        @if !page.probes.is_empty() {
            section.card { h2 { "Probes" } div.scroll { table.targets {
                thead { tr { th scope="col" { "State" } th scope="col" { "Probe" } th scope="col" { "Last" } th.num scope="col" { "Took" } th scope="col" { "Seen" } } }
                tbody { @for probe in &page.probes { tr data-row="" {
                    td { (badge(probe.health.tone(), probe.health.word())) }
                    td.main { (probe.name) p.quiet { (probe.kind) " " (probe.target) } }
                    td { @match probe.last_at { Some(at) => (ago(chrome, at)), None => "not yet" } }
                    td.num data-k="took" { @if let Some(length) = probe.took { (took(length)) } }
                    td { (probe.detail) }
                } } }
            } } }
        }
        @if !page.discovered.is_empty() {
            section.card { h2 { "Found on this host" } div.scroll { table.targets {
                thead { tr { th scope="col" { "Service" } th scope="col" { "Address" } th scope="col" { "Watched" } th scope="col" { "How" } } }
                tbody { @for found in &page.discovered { tr data-row="" {
                    td.main { (found.service) } td { code { (found.address) } }
                    td { @if found.watched { (badge(Tone::Good, "yes")) } @else { (badge(Tone::Quiet, "no")) } }
                    td { (found.detail) }
                } } }
            } } }
        }
    };
    layout::page(chrome, "targets rules", body)
}

fn pool_section(chrome: &Chrome, pool: &PoolView, only_down: bool) -> Markup {
    let shown = || {
        pool.targets
            .iter()
            .filter(|target| !only_down || target.health == Health::Down)
    };
    html! {
        section.card id=(path::encode(&pool.name)) {
            div.row-head {
                h2 { (pool.name) }
                span.quiet { (pool.note) }
                @if pool.n_dropped > 0 { span.quiet { (pool.n_dropped) " dropped by relabelling" } }
            }
            @if !pool.error.is_empty() { p.bad-text { (pool.error) } }
            @if shown().next().is_none() { (empty(if only_down { "None is down." } else { "No targets." })) }
            @else {
                div.scroll { table.targets {
                    thead { tr { th scope="col" { "State" } th scope="col" { "Target" } th scope="col" { "Scraped" } th.num scope="col" { "Took" } th.num scope="col" { "Samples" } } }
                    tbody { @for target in shown() { tr data-row="" {
                        td { (badge(target.health.tone(), target.health.word())) }
                        td.main {
                            (anchor(&target.url, html! { (target.url) }))
                            @if !target.error.is_empty() { p.bad-text { (target.error) } }
                            (labels(&target.labels))
                        }
                        td data-k="scraped" { @match target.last_scrape { Some(at) => (ago(chrome, at)), None => span.quiet { "not yet" } } }
                        td.num data-k="took" { @if let Some(length) = target.took { (took(length)) } }
                        td.num data-k="samples" { @if let Some(count) = target.samples { (format::count(count)) } }
                    } } }
                } }
            }
        }
    }
}
