//! The commands: each takes its arguments apart, calls the part that knows, and prints.

mod alertmanager;
mod backtest;
mod capture;
mod conformance;
pub(crate) mod lab;
mod lint;
mod load;
mod offline;
mod oncall;
mod oncall_sim;
mod pictures;
mod remote;
mod rules;
mod ruletest;
mod runbook;
mod samples;
mod silence;
mod simulation;
mod slo;
mod sweep;

pub use remote::show_case;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::serve::StartError;
use crate::{EXIT_BAD_INPUT, demo, serve};

/// Runs a command.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve(args) => on_runtime(async {
            bellwether_env::logging::init("info");
            report(serve::run(args).await)
        }),
        Command::Demo(args) => on_runtime(demo::run(args)),
        Command::DemoService => on_runtime(demo::service_alone()),
        Command::Supervise { folder } => bellwether_connect::exec::supervise(&folder),
        Command::Check {
            file,
            json,
            alertmanager: true,
        } => alertmanager::check(&file, json),
        Command::Check { file, json, .. } => offline::check(&file, json),
        Command::Alertmanager(args) => on_runtime(alertmanager::run(*args)),
        Command::Query(args) => on_runtime(remote::query(args)),
        Command::Series(command) => on_runtime(samples::series(command)),
        Command::Promql(command) => on_runtime(samples::promql(command)),
        Command::Promqltest { files, json } => offline::promqltest(&files, json),
        Command::Openmetrics(command) => offline::openmetrics(&command),
        Command::Rules(command) => rules::run(&command),
        Command::Slo(command) => slo::run(&command),
        Command::Page(command) => on_runtime(remote::page(command)),
        Command::Oncall(command) => on_runtime(oncall::run(command)),
        Command::Silence(command) => on_runtime(silence::run(command)),
        Command::Capture(args) => on_runtime(capture::run(args)),
        Command::Load(args) => on_runtime(load::run(*args)),
        Command::Compare(args) => lab::compare(&args),
        Command::Gate(command) => lab::gate(command),
        Command::Exp(command) => lab::exp(command),
        Command::Runbook(command) => on_runtime(runbook::run(command)),
        Command::Audit(command) => on_runtime(runbook::audit(command)),
        Command::Sim(args) => simulation::run(&args),
        Command::Conformance { corpus } => conformance::run(&corpus),
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "bellwether",
                &mut std::io::stdout(),
            );
            ExitCode::SUCCESS
        }
    }
}

/// Runs a future on a runtime of its own.
fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    // Two providers of cryptography would be an error at the first connection; there is only one, named here.
    drop(rustls::crypto::ring::default_provider().install_default());
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(result: Result<ExitCode, StartError>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            let text = error.to_string();
            eprintln!("error: {}", text.trim_end());
            match error {
                StartError::Config(_) => ExitCode::from(EXIT_BAD_INPUT),
                StartError::Hint(..) => ExitCode::FAILURE,
            }
        }
    }
}

/// Prints a line; a reader that has gone away is no fault.
fn say(text: impl std::fmt::Display) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Prints an error to standard error.
fn complain(text: impl std::fmt::Display) {
    eprintln!("error: {text}");
}
