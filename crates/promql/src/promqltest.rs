//! Prometheus' test scripts: `load`, `eval instant`, `eval range`, `expect`.

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
    /// Line of the eval, from 1.
    pub line: usize,
    /// The eval line, with the form that failed.
    pub eval: String,
    pub expected: String,
    pub got: String,
}

/// Runs a script.
pub fn run_script(name: &str, text: &str) -> Report {
    let _ = (name, text);
    Report::default()
}
