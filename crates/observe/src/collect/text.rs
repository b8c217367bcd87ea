//! Writes exposition text.

use std::fmt::Write as _;

const INFALLIBLE: &str = "writing to a string cannot fail";

/// Collects metric families in the text format.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Begins a family: its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(INFALLIBLE);
    }

    /// One sample.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        if !labels.is_empty() {
            for (index, (label, value)) in labels.iter().enumerate() {
                self.0.push(if index == 0 { '{' } else { ',' });
                self.0.push_str(label);
                self.0.push_str("=\"");
                for c in value.chars() {
                    match c {
                        '\\' => self.0.push_str("\\\\"),
                        '"' => self.0.push_str("\\\""),
                        '\n' => self.0.push_str("\\n"),
                        c => self.0.push(c),
                    }
                }
                self.0.push('"');
            }
            self.0.push('}');
        }
        writeln!(self.0, " {value}").expect(INFALLIBLE);
    }

    /// A family of one sample without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A counter of one sample without labels.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}
