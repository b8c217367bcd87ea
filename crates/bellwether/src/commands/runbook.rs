//! Commands about runbooks: reading, planning, running with or without a server, and the record of it.

mod draft;
mod lint;
mod past;
mod planned;
mod running;
mod show;

use std::process::ExitCode;

use super::{complain, say};
use crate::EXIT_BAD_INPUT;
use crate::cli::{Audit, Runbook};

/// A run that waits for a person.
pub(super) const EXIT_WAITS: u8 = 3;

/// A command that ended badly: what to say, and the exit code.
#[derive(Debug)]
pub(super) struct Fault {
    text: String,
    code: u8,
}

impl Fault {
    fn bad(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            code: EXIT_BAD_INPUT,
        }
    }

    fn failed(text: impl ToString) -> Self {
        Self {
            text: text.to_string(),
            code: 1,
        }
    }
}

impl From<crate::local::LocalError> for Fault {
    fn from(error: crate::local::LocalError) -> Self {
        Self::failed(error)
    }
}

impl From<bellwether_store::StoreError> for Fault {
    fn from(error: bellwether_store::StoreError) -> Self {
        Self::failed(error)
    }
}

fn report(result: Result<ExitCode, Fault>) -> ExitCode {
    result.unwrap_or_else(|fault| {
        if !fault.text.is_empty() {
            complain(&fault.text);
        }
        ExitCode::from(fault.code)
    })
}

pub(super) async fn run(command: Runbook) -> ExitCode {
    report(match command {
        Runbook::Lint {
            paths,
            json,
            fix,
            table,
        } => lint::lint(&paths, json, fix, table),
        Runbook::Show { file, json } => planned::show(&file, json),
        Runbook::Plan { plan, json } => planned::plan(plan, json).await,
        Runbook::Run(args) => running::run(args).await,
        Runbook::Resume { run, settle, place } => {
            running::resume(run.as_deref(), settle, place).await
        }
        Runbook::Undo { run, place } => running::undo(&run, place).await,
        Runbook::Approve { run, digest, place } => running::approve(&run, &digest, place).await,
        Runbook::History { run, limit, place } => past::history(run.as_deref(), limit, place).await,
        Runbook::Promote { file, to, place } => past::promote(&file, to, place).await,
        Runbook::Demote {
            runbook,
            reason,
            place,
        } => past::demote(&runbook, &reason, place).await,
        Runbook::Brake {
            state,
            reason,
            place,
        } => past::brake(state, &reason, place).await,
        Runbook::Backtest { file, last, place } => past::backtest(&file, last, place).await,
        Runbook::Toil { last, place } => past::toil(last, place).await,
        Runbook::Draft { file, title } => draft::draft(&file, &title),
        Runbook::Audit(command) => past::audit(command).await,
    })
}

pub(super) async fn audit(command: Audit) -> ExitCode {
    report(past::audit(command).await)
}
