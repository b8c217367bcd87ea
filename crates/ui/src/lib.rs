//! The web pages: view models in, HTML out.
//!
//! What it does: each page is a plain struct (`NowPage`, `CasePage`, ...) and one function that renders it
//! (`render_now(&Chrome, &NowPage) -> String`). Charts are drawn here as inline SVG, so a page reads well before, or
//! without, any script. [`assets()`] lists the style sheet, the one small script and the icons.
//!
//! How it flows: the server fills a view model and a [`Chrome`]; the page is sent whole. When [`Chrome::fragment`]
//! is set (the script asks with the header `X-Fragment: 1`) only `<main>` is sent, and the script merges it into the
//! page, keeping focus, scroll and what was typed. `/ui/live` (server-sent events) says which topics changed:
//! `{"topics":["case:ID","cases"],"page":{"case":"ID","title":"...","text":"..."}}`; a page is fetched again when
//! one of its topics (`data-topics` of `<main>`) is among them, and `page`, when present, raises a notification.
//!
//! Invariants: no IO, no clock (the time is [`Chrome::now`]); equal view models give equal bytes; everything from
//! outside is escaped; no inline script or style, so [`CONTENT_SECURITY_POLICY`] can forbid both; every change is a
//! `<form method="post">` with the CSRF token and works without script; no address outside this server is loaded.
//!
//! Not here: HTTP, sessions, and building the view models (crate `bellwether`).

pub mod chart;
pub mod chrome;
pub mod format;
pub mod lab;
pub mod markdown;
pub mod path;
pub mod picture;
pub mod view;

mod assets;
mod layout;
mod pages;
mod parts;

pub use assets::{Asset, CONTENT_SECURITY_POLICY, asset, assets};
pub use chart::{Chart, ChartSize, Line, Mark, Span, Threshold};
pub use chrome::{Chrome, Counts, Nav, Notice, Theme};
pub use format::Unit;
pub use pages::backtest::{
    BacktestFigures, BacktestIncident, BacktestPage, BacktestResult, BacktestRule, BacktestSide,
    BacktestState, render_backtest,
};
pub use pages::case::{
    AlertView, CaseFacts, CasePage, CauseView, DeliveryView, EventView, NextStep, NotifiedView,
    WhyView, render_case,
};
pub use pages::cases::{CaseRow, CasesFilter, CasesPage, render_cases};
pub use pages::entry::{
    AckPage, ErrorPage, LoginPage, SetupPage, render_ack, render_error, render_help, render_login,
    render_setup,
};
pub use pages::explore::{ExplorePage, ExploreRange, ResultRow, render_explore};
pub use pages::lab::{
    ExperimentPage, ExperimentRow, LabPage, MetricView, SeriesView, render_experiment, render_lab,
};
pub use pages::now::{NowPage, PoolCount, QuietDay, render_now};
pub use pages::oncall::{Gap, OncallPage, OverrideForm, ScheduleView, ShiftView, render_oncall};
pub use pages::rules::{
    ActiveAlert, RuleGroupView, RuleKind, RulePage, RuleView, RulesPage, StateSpan, render_rule,
    render_rules,
};
pub use pages::runbooks::{
    RunPage, RunRow, RunbookPage, RunbookRow, RunbooksPage, render_run, render_runbook,
    render_runbooks,
};
pub use pages::silences::{
    Preview, PreviewAlert, SilenceForm, SilenceRow, SilenceWord, SilencesPage, render_silences,
};
pub use pages::slos::{BurnWindow, SloPages, SloView, SlosPage, render_slos};
pub use pages::status::{
    ChannelHealth, ProblemView, StatusFact, StatusPage, StatusSection, render_status,
};
pub use pages::targets::{
    DiscoveredView, PoolView, ProbeView, TargetView, TargetsPage, render_targets,
};
pub use view::{
    AlertState, Block, CaseState, Health, Inline, OnDuty, Output, RunState, StepAction, StepKind,
    StepState, StepView, Tone, Urgency,
};
