//! Rules and SLOs: what hurts, since when.
//!
//! What it does: reads rule files and `slos:` sections with the position of every fault ([`rules`], [`slo`]), evaluates
//! rule groups over any [`bellwether_model::series::SeriesSource`] and runs the state machine of each alert
//! ([`engine`]), with Prometheus' semantics. Brings [`defaults`]: symptoms page, causes are context.
//!
//! Entry points: [`RuleFile::read`], [`RuleEngine`], [`slo::read`], [`defaults::groups`]; [`replay`] runs the state
//! machine over runs of a condition instead of ticks.
//!
//! Data flow: the shell asks [`RuleEngine::due`] which groups have a slot, calls [`RuleEngine::evaluate_group`] for
//! each, commits [`GroupOutcome::batch`], appends [`GroupOutcome::samples`] and hands [`GroupOutcome::alerts`] to page.
//!
//! Invariants: the evaluation time is the slot, never the wall clock; missed slots are counted and skipped, never
//! caught up; after an error a rule keeps its state and marks nothing stale; a template that fails still fires its
//! alert; state survives a restart through the records of [`engine::ALERT_RULE`]; equal inputs give equal outputs.
//!
//! Not here: the clock, storage, routing and paging, PromQL itself.

pub mod defaults;
pub mod engine;
pub mod lint;
pub mod replay;
pub mod rules;
pub mod slo;
pub mod status;
mod text;
pub mod unit;

pub use engine::{
    Due, EngineSettings, GroupKey, GroupOutcome, RuleEngine, RuleError, RuleSample, TickError,
};
pub use rules::{GroupConfig, Resolve, RuleConfig, RuleFile, RuleKind};
pub use status::{AlertState, AlertStatus, GroupStatus, Health, RuleStatus, Status};
pub use text::TemplateText;
