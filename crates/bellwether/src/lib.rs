//! The binary: wiring, the command line, HTTP and pages.
//!
//! Reading order: [`serve`] builds every part in start-up order and is the map of the program; [`core`] is the one
//! writer; [`outbox`] performs; [`judging`] and [`planning`] feed it; [`http`] shows and asks.
//!
//! Invariants: only this crate wires parts together and spawns top-level tasks; nothing is performed before it is
//! recorded; a reload that fails changes nothing.
//!
//! Not here: decisions (the engines' crates) and IO of one kind (the adapters' crates).

#![expect(
    clippy::print_stderr,
    reason = "the command line says what went wrong; everything else logs"
)]

pub mod app;
pub mod backtests;
pub mod browser;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod core;
pub mod demo;
pub mod fetch;
mod files;
mod history;
pub mod http;
pub mod ingest;
pub mod judging;
pub mod links;
pub mod live;
pub mod local;
pub mod oncall;
pub mod outbox;
pub mod planning;
mod progress;
pub mod queries;
pub mod serve;
pub mod status;
pub mod steps;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

/// Bad input: configuration, arguments, files (as `EX_USAGE`).
pub const EXIT_BAD_INPUT: u8 = 64;

/// Runs the program with its arguments.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // Called by its name, it is an Alertmanager.
    let named = args.first().and_then(|first| Path::new(first).file_name());
    let as_alertmanager =
        named.is_some_and(|name| name == "alertmanager" || name == "prometheus-alertmanager");
    if as_alertmanager {
        args.insert(1, "alertmanager".into());
    }
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = !error.use_stderr();
            drop(error.print());
            return if is_help {
                ExitCode::SUCCESS
            } else if as_alertmanager {
                ExitCode::FAILURE
            } else {
                ExitCode::from(EXIT_BAD_INPUT)
            };
        }
    };
    commands::run(cli)
}
