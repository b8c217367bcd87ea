//! `rules`: commands on rule files.

use std::path::PathBuf;
use std::process::ExitCode;

use bellwether_judge::RuleFile;
use bellwether_model::{Problem, Problems, Severity};

use super::offline::print_problems;
use super::{backtest, complain, lint, ruletest, say, sweep};
use crate::EXIT_BAD_INPUT;
use crate::cli::Rules;
use crate::files::rule_files;

pub(super) fn run(command: &Rules) -> ExitCode {
    match command {
        Rules::Check { files, json } => check(files, *json),
        Rules::Test(args) => ruletest::run(args),
        Rules::Backtest(args) => backtest::run(args),
        Rules::Sweep(args) => sweep::run(args),
        Rules::Lint(args) => lint::run(args),
    }
}

fn check(arguments: &[PathBuf], json: bool) -> ExitCode {
    let files = match rule_files(arguments) {
        Ok(files) => files,
        Err(error) => {
            complain(error);
            return ExitCode::from(EXIT_BAD_INPUT);
        }
    };
    let mut problems = Problems::default();
    let (mut groups, mut without) = (Vec::new(), 0);
    for file in &files {
        let name = file.path.display().to_string();
        match std::fs::read_to_string(&file.path) {
            // What lies in a folder beside rule files is not taken for one.
            Ok(text) if !file.directly && !text.contains("groups") => without += 1,
            Ok(text) => groups.extend(RuleFile::read(&name, &text, &mut problems)),
            Err(error) => problems.push(Problem::error(
                &name.as_str().into(),
                0,
                0,
                format!("cannot be read: {error}"),
            )),
        }
    }
    problems.append(bellwether_judge::rules::duplicates(&groups));
    let code = print_problems(&problems, json, 1);
    if !json {
        let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
        let count = |severity| {
            problems
                .0
                .iter()
                .filter(|problem| problem.severity == severity)
                .count()
        };
        let beside = match without {
            0 => String::new(),
            n => format!(" ({n} without rule groups)"),
        };
        say(format_args!(
            "{rules} rules in {} groups of {} files{beside}, {} errors, {} warnings",
            groups.len(),
            files.len(),
            count(Severity::Error),
            count(Severity::Warning),
        ));
    }
    code
}
