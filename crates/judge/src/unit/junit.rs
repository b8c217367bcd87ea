//! Results as JUnit XML, which CI systems show.

use std::fmt::Write as _;

use crate::unit::FileReport;

/// All reports as one JUnit document.
pub fn junit(reports: &[FileReport]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let aborted = report.tests.is_empty() && !report.passed();
        let failures = report
            .tests
            .iter()
            .filter(|test| !test.failures.is_empty())
            .count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\" skipped=\"{}\">",
            escaped(&report.file),
            report.tests.len() + usize::from(aborted),
            usize::from(aborted),
            report.skipped,
        );
        if aborted {
            let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                out,
                "    <testcase name=\"{}\">\n      <error>{}</error>\n    </testcase>",
                escaped(&report.file),
                escaped(&problems.join("\n"))
            );
        }
        for test in &report.tests {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" assertions=\"{}\"",
                escaped(&report.file),
                escaped(&test.name),
                test.checks
            );
            if test.failures.is_empty() {
                out.push_str("/>\n");
                continue;
            }
            out.push_str(">\n");
            for failure in &test.failures {
                let mut text = format!("{}:{}: {}", report.file, failure.line, failure.what);
                if let Some(error) = &failure.error {
                    let _ = write!(text, "\n{error}");
                } else {
                    let _ = write!(
                        text,
                        "\nexpected:\n{}\ngot:\n{}",
                        failure.expected.join("\n"),
                        failure.got.join("\n")
                    );
                }
                let _ = writeln!(
                    out,
                    "      <failure message=\"{}\">{}</failure>",
                    escaped(&failure.what),
                    escaped(&text)
                );
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Text for XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
