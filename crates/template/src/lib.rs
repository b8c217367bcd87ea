//! Go's `text/template`, with Go's own formatting of numbers, times and durations.
//!
//! What it does: parses templates into a [`Set`] and renders them over [`Value`]s with [`Functions`] that the caller
//! gives. [`prometheus`] has the functions of Prometheus' rule templates, [`alertmanager`] the functions and data of
//! Alertmanager's notification templates, [`common`] what both share. Data with methods (`.Alerts.Firing`, `.GroupLabels.SortedPairs`) implements [`Object`].
//!
//! Entry points: [`Set::parse`], [`Set::render`]; [`Template`] when there is only one.
//!
//! Invariants: no panic on any text or data; every render ends within its [`Limits`] on steps, depth and output; equal
//! inputs give equal bytes (maps are walked in the order of their keys, as in Go); a key that a map lacks gives the
//! map's own zero value, as with Go's `missingkey=zero`.
//!
//! Not here: the contextual escaping of `html/template` (there is [`Escape::Html`], which escapes every action's
//! result for HTML text and quoted attributes), `complex` numbers, channels, functions as values.

pub mod alertmanager;
mod builtins;
pub mod common;
pub mod escape;
mod exec;
pub mod format;
pub mod gotime;
mod lex;
mod node;
mod parse;
pub mod prometheus;
mod set;
mod value;

pub use set::{Escape, Functions, Limits, NoFunctions, Set, Template, TemplateError};
pub use value::{Map, Object, Value};

#[cfg(test)]
mod tests;
