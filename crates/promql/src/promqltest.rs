//! Prometheus' test scripts: `load`, `eval instant`, `eval range`, `expect`.
//!
//! Every instant eval runs in up to twelve forms: as it is and, unless it uses a function that varies with time, with
//! every selector pinned to the evaluation time and evaluated at five other times; each of these again as the
//! middle step of a range query.

mod compare;
mod points;
mod run;
mod script;

use bellwether_model::series::MemorySeries;

pub use self::points::{Point, SeriesLine, parse_points, parse_series};
use self::run::run_eval;
use self::script::{Command, parse_script};
use crate::engine::{Engine, EngineOptions};
use crate::parser::ParserOptions;

/// What a script said of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Evals that passed in all their forms.
    pub passed: usize,
    /// Evals that failed in at least one.
    pub failed: Vec<Failure>,
}

/// An eval that failed, or a line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the script.
    pub script: String,
    /// Line of the eval, from 1.
    pub line: usize,
    /// The eval line, with the form that failed.
    pub eval: String,
    pub expected: String,
    pub got: String,
}

/// The engine that scripts expect.
pub fn test_engine() -> Engine {
    Engine::new(EngineOptions {
        delayed_name_removal: true,
        parser: ParserOptions::experimental(),
        ..EngineOptions::default()
    })
}

/// Runs a script on the engine that scripts expect.
pub fn run_script(name: &str, text: &str) -> Report {
    run_script_on(&test_engine(), name, text)
}

/// Runs a script on an engine.
pub fn run_script_on(engine: &Engine, name: &str, text: &str) -> Report {
    let mut report = Report::default();
    let mut store = MemorySeries::default();
    for parsed in parse_script(text) {
        let failure = match parsed.command {
            Ok(Command::Clear) => {
                store.clear();
                None
            }
            Ok(Command::Load(load)) => {
                load.store(&mut store);
                None
            }
            Ok(Command::Eval(eval)) => match run_eval(engine, &store, &eval) {
                Ok(()) => {
                    report.passed += 1;
                    None
                }
                Err(problem) => Some((problem.form, problem.expected, problem.got)),
            },
            Err(problem) => Some((
                parsed.text.clone(),
                "a line of the script language".to_owned(),
                problem,
            )),
        };
        if let Some((eval, expected, got)) = failure {
            report.failed.push(Failure {
                script: name.to_owned(),
                line: parsed.line,
                eval,
                expected,
                got,
            });
        }
    }
    report
}

#[cfg(test)]
mod tests;
