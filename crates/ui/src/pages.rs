//! One module per page: its view model and its rendering.

pub(crate) mod backtest;
pub(crate) mod case;
pub(crate) mod cases;
pub(crate) mod entry;
pub(crate) mod explore;
pub(crate) mod lab;
pub(crate) mod now;
pub(crate) mod oncall;
pub(crate) mod rules;
pub(crate) mod runbooks;
pub(crate) mod silences;
pub(crate) mod slos;
pub(crate) mod status;
pub(crate) mod targets;
