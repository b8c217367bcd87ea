//! What is wrong with rules that are right: pages on causes, dead runbook links, alerts that cannot fire or never stop.
//!
//! Every check has an id, a severity and a section in `docs/user/lint.md` ([`CHECKS`]). A check gives evidence, not a
//! verdict: the message says what in the rule led to it. What holds for good reason is waived by a comment with an end
//! date.
//!
//! ```yaml
//! # bellwether lint ignore page-on-cause until 2027-03-01 because this disk has no symptom yet
//! - alert: DiskFull
//! ```
//!
//! Pure: runbook pages come as a [`RunbookIndex`], history as [`History`], today's date as an argument.

mod expr;
mod history;
mod output;
mod runbook;
mod shape;
mod symptom;
mod timing;
mod waiver;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::labels::Labels;
use bellwether_model::problem::Severity;
use bellwether_model::{Matcher, Problem};
use jiff::civil::Date;
use serde::Serialize;

pub use history::{Firing, History};
pub use output::{code_quality, sarif};
pub use runbook::{RunbookIndex, RunbookState};
pub use symptom::{Nature, Verdict};

use crate::rules::{GroupConfig, RuleConfig, RuleKind};

/// One check.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Check {
    /// Stable name, also the heading of its section in the documentation.
    pub id: &'static str,
    pub severity: Severity,
    /// One line.
    pub title: &'static str,
}

/// All checks. For alerts that do not page, an error is a warning and a warning of [`PAGE_ONLY`] is not made.
pub const CHECKS: [Check; 33] = {
    const fn check(id: &'static str, severity: Severity, title: &'static str) -> Check {
        Check {
            id,
            severity,
            title,
        }
    }
    use Severity::{Error, Note, Warning};
    [
        check("page-on-cause", Warning, "a page on a cause"),
        check("runbook-missing", Error, "no runbook"),
        check("runbook-dead", Error, "a runbook link that leads nowhere"),
        check("runbook-folder", Warning, "a runbook link to a folder"),
        check(
            "runbook-anchor",
            Warning,
            "a runbook link to a heading that is not there",
        ),
        check(
            "runbook-unchecked",
            Note,
            "a runbook link that cannot be checked",
        ),
        check("owner-missing", Note, "no owner"),
        check("text-missing", Warning, "no summary or description"),
        check("severity-missing", Warning, "no severity"),
        check("value-in-label", Error, "the value in a label"),
        check(
            "label-lost",
            Warning,
            "a template asks for a label that the expression drops",
        ),
        check(
            "for-too-short",
            Warning,
            "`for` shorter than two evaluations",
        ),
        check("for-too-long", Warning, "`for` longer than people may wait"),
        check(
            "window-over-retention",
            Error,
            "a window longer than samples are kept",
        ),
        check(
            "range-too-short",
            Warning,
            "a range with fewer than two scrapes",
        ),
        check(
            "long-window-alone",
            Warning,
            "a long window without a short one",
        ),
        check("no-comparison", Error, "an alert on everything that exists"),
        check("counter-without-rate", Warning, "a threshold on a counter"),
        check("error-count", Note, "errors without a denominator"),
        check("low-traffic", Note, "a ratio that few events decide"),
        check("fragile-sampling", Warning, "series picked by rank"),
        check("impossible-join", Warning, "two sides that can never match"),
        check("nan-ratio", Note, "a ratio inside an aggregation"),
        check("absent-without-for", Warning, "absence without `for`"),
        check("absent-missing", Note, "nothing tells when the data ends"),
        check(
            "unknown-recording",
            Note,
            "a recorded series that no rule records",
        ),
        check("duplicate-rule", Warning, "a rule that is there twice"),
        check("never-fired", Note, "never fired in the history"),
        check(
            "always-redundant",
            Warning,
            "fires only while another page does",
        ),
        check("self-resolving", Warning, "mostly over within five minutes"),
        check("waiver-expired", Warning, "a waiver whose time is over"),
        check(
            "waiver-invalid",
            Error,
            "a waiver without end, reason or known check",
        ),
        check("waiver-unused", Note, "a waiver that nothing needs"),
    ]
};

/// Checks that only make sense for what pages.
const PAGE_ONLY: [&str; 6] = [
    "page-on-cause",
    "for-too-long",
    "absent-missing",
    "long-window-alone",
    "always-redundant",
    "self-resolving",
];

/// What an alert does to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Wakes somebody.
    Page,
    /// Waits for working hours.
    Ticket,
    /// Is shown at the page it may explain.
    Context,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Id of the check.
    pub check: &'static str,
    pub severity: Severity,
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
    pub group: String,
    /// Name of the rule; empty for a finding about a file.
    pub rule: String,
    /// `None` for a recording rule or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What rules are held against.
#[derive(Clone, Debug)]
pub struct Options {
    /// An alert whose labels match all matchers of one of these pages, others do not; empty: by `severity`, as the pager.
    pub page: Vec<Vec<Matcher>>,
    /// Interval of groups that name none.
    pub evaluation_interval: Duration,
    pub scrape_interval: Duration,
    /// How long samples are kept.
    pub retention: Duration,
    /// A page that waits longer than this in `for` is late.
    pub response: Duration,
    /// Pages that links may lead to; `None`: links are not checked.
    pub runbooks: Option<RunbookIndex>,
    pub history: Option<History>,
    pub today: Date,
}

/// A rule file with its text, for waivers and positions.
#[derive(Clone, Debug)]
pub struct Source {
    pub file: Arc<str>,
    pub text: String,
}

/// What a lint found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// By file and position.
    pub findings: Vec<Finding>,
    /// Findings that a waiver took back.
    pub waived: usize,
    pub alerts: usize,
    /// Alerts that page.
    pub pages: usize,
    /// Alerts by nature, for all that were judged.
    pub natures: BTreeMap<Nature, usize>,
}

/// One alerting rule under examination.
pub(crate) struct Subject<'a> {
    options: &'a Options,
    group: &'a GroupConfig,
    rule: &'a RuleConfig,
    level: Level,
    /// Why it has this level.
    level_why: String,
    verdict: Verdict,
    interval: Duration,
    /// Lines of the rule in its file.
    lines: Vec<(u32, &'a str)>,
}

/// What all rules together record and ask to be there.
pub(crate) struct RuleSet<'a> {
    recorded: std::collections::BTreeSet<&'a str>,
    absent: std::collections::BTreeSet<String>,
}

/// Checks rules. `sources` are the files that the groups come from.
pub fn lint(groups: &[GroupConfig], sources: &[Source], options: &Options) -> Report {
    let set = shape::rule_set(groups);
    let by_file: BTreeMap<&str, &str> = sources
        .iter()
        .map(|source| (&*source.file, source.text.as_str()))
        .collect();
    let mut report = Report::default();
    let mut findings = Vec::new();
    let mut spans: BTreeMap<Arc<str>, Vec<u32>> = BTreeMap::new();
    for group in groups {
        let starts = spans.entry(group.file.clone()).or_default();
        starts.extend(group.rules.iter().map(|rule| rule.line));
        starts.push(group.line);
    }
    for starts in spans.values_mut() {
        starts.sort_unstable();
    }
    for group in groups {
        let text = by_file.get(&*group.file).copied().unwrap_or_default();
        let starts = &spans[&group.file];
        for rule in &group.rules {
            timing::windows(group, rule, options, &mut findings);
            expr::dependencies(group, rule, &set, &mut findings);
            if rule.kind != RuleKind::Alerting {
                continue;
            }
            let lines = waiver::lines_of(rule.line, starts, text);
            let subject = Subject::new(group, rule, lines, options);
            report.alerts += 1;
            report.pages += usize::from(subject.level == Level::Page);
            *report.natures.entry(subject.verdict.nature).or_default() += 1;
            subject.check(&set, &mut findings);
        }
    }
    for problem in crate::rules::duplicates(groups).0 {
        findings.push(of_problem("duplicate-rule", &problem, groups));
    }
    if let Some(history) = &options.history {
        history::check(groups, history, options, &mut findings);
    }
    let (mut findings, waived) = waiver::apply(findings, groups, sources, options.today);
    findings.sort_by(|a, b| {
        (&a.file, a.line, a.column, a.check).cmp(&(&b.file, b.line, b.column, b.check))
    });
    report.findings = findings;
    report.waived = waived;
    report
}

/// The check of an id.
pub fn check(id: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

fn of_problem(id: &'static str, problem: &Problem, groups: &[GroupConfig]) -> Finding {
    let found = groups
        .iter()
        .filter(|group| group.file == problem.file)
        .find_map(|group| {
            let rule = group.rules.iter().find(|rule| rule.line == problem.line)?;
            Some((group, rule))
        });
    Finding {
        check: id,
        severity: check(id).map_or(Severity::Warning, |check| check.severity),
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        group: found
            .map(|(group, _)| group.name.clone())
            .unwrap_or_default(),
        rule: found.map(|(_, rule)| rule.name.clone()).unwrap_or_default(),
        level: None,
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    }
}

/// What an alert with these labels does to people, and why: the same words as the pager's.
pub fn level(labels: &Labels, page: &[Vec<Matcher>]) -> (Level, String) {
    let severity = labels.get("severity");
    let by_severity = match severity {
        "context" | "info" | "informational" | "none" | "debug" | "notice" => Level::Context,
        "ticket" | "warning" | "warn" | "minor" | "low" => Level::Ticket,
        _ => Level::Page,
    };
    if !page.is_empty() {
        let pages = page
            .iter()
            .any(|matchers| matchers.iter().all(|m| m.matches(labels.get(&m.name))));
        return match (pages, by_severity) {
            (true, _) => (Level::Page, "its labels match --page".to_owned()),
            (false, Level::Context) => (Level::Context, format!("severity {severity:?}")),
            (false, _) => (Level::Ticket, "its labels do not match --page".to_owned()),
        };
    }
    let why = match (by_severity, severity) {
        (Level::Page, "") => "without a severity it pages".to_owned(),
        (Level::Page, "page" | "critical") => format!("severity {severity:?}"),
        (Level::Page, _) => format!("severity {severity:?} pages, as every word not known"),
        _ => format!("severity {severity:?}"),
    };
    (by_severity, why)
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            page: Vec::new(),
            evaluation_interval: Duration::from_mins(1),
            scrape_interval: Duration::from_secs(30),
            retention: Duration::from_hours(15 * 24),
            response: Duration::from_hours(1),
            runbooks: None,
            history: None,
            today: Date::MIN,
        }
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    fn new(
        group: &'a GroupConfig,
        rule: &'a RuleConfig,
        lines: Vec<(u32, &'a str)>,
        options: &'a Options,
    ) -> Self {
        let (level, level_why) = level(&rule.label_texts(), &options.page);
        Self {
            options,
            group,
            rule,
            level,
            level_why,
            verdict: symptom::judge(rule),
            interval: group.interval.unwrap_or(options.evaluation_interval),
            lines,
        }
    }

    fn check(&self, set: &RuleSet<'_>, findings: &mut Vec<Finding>) {
        symptom::check(self, findings);
        runbook::check(self, findings);
        self.people(findings);
        timing::check(self, findings);
        expr::check(self, set, findings);
    }

    /// Who owns it, what it says, how urgent it is.
    fn people(&self, findings: &mut Vec<Finding>) {
        let annotated = |names: &[&str]| {
            self.rule
                .annotations
                .iter()
                .any(|(name, text)| names.contains(&name.as_str()) && !text.as_str().is_empty())
        };
        let labelled = |names: &[&str]| {
            let mut labels = self.rule.labels.iter();
            labels.any(|(name, text)| names.contains(&name.as_str()) && !text.as_str().is_empty())
        };
        let owners = ["owner", "team", "squad", "maintainer"];
        if self.level != Level::Context && !annotated(&owners) && !labelled(&owners) {
            self.find(
                findings,
                "owner-missing",
                "labels",
                "nobody owns this alert".to_owned(),
            )
            .hint("add the key `owner`, or a label `team`");
        }
        let texts = ["summary", "description", "title", "message", "impact"];
        if self.level != Level::Context && !annotated(&texts) {
            self.find(
                findings,
                "text-missing",
                "annotations",
                "no summary or description says what is broken".to_owned(),
            )
            .hint("add annotations summary (what users feel) and description (what is known)");
        }
        if self.options.page.is_empty() && !labelled(&["severity"]) {
            self.find(
                findings,
                "severity-missing",
                "labels",
                "no label severity: it pages".to_owned(),
            )
            .hint("add severity: page, ticket or context");
        }
        for (name, text) in &self.rule.labels {
            let text = text.as_str();
            if text.contains("{{") && (text.contains("$value") || text.contains(".Value")) {
                self.find(
                    findings,
                    "value-in-label",
                    name,
                    format!(
                        "label {name} contains the value: each new value is another alert, and `for` may never pass"
                    ),
                )
                .hint("put the value into an annotation");
            }
        }
    }

    /// Adds a finding at the first line of the rule that begins with `key`, else at the rule.
    fn find<'f>(
        &self,
        findings: &'f mut Vec<Finding>,
        id: &'static str,
        key: &str,
        message: String,
    ) -> FindingHandle<'f> {
        if self.level != Level::Page && PAGE_ONLY.contains(&id) {
            return FindingHandle(None);
        }
        let severity = match check(id).map_or(Severity::Warning, |check| check.severity) {
            Severity::Error if self.level != Level::Page && id.starts_with("runbook") => {
                Severity::Warning
            }
            severity => severity,
        };
        let place = self.lines.iter().find_map(|(line, text)| {
            let rest = text.trim_start_matches([' ', '-', '"', '\'']);
            let after = rest.strip_prefix(key)?;
            let after = after.trim_start_matches(['"', '\'']);
            after
                .starts_with(':')
                .then(|| (*line, text.len() - rest.len()))
        });
        let (line, column) = match place {
            Some((line, before)) => (line, before as u32 + 1),
            None => (self.rule.line, self.rule.column),
        };
        findings.push(Finding {
            check: id,
            severity,
            file: self.group.file.clone(),
            line,
            column,
            group: self.group.name.clone(),
            rule: self.rule.name.clone(),
            level: Some(self.level),
            message,
            hint: None,
        });
        FindingHandle(findings.last_mut())
    }
}

/// A finding that may get a hint.
pub(crate) struct FindingHandle<'f>(Option<&'f mut Finding>);

impl FindingHandle<'_> {
    pub(crate) fn hint(self, hint: impl Into<String>) {
        if let Some(finding) = self.0 {
            finding.hint = Some(hint.into());
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{word}: {}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.rule.is_empty() {
            write!(f, "{}: ", self.rule)?;
        }
        write!(f, "{} [{}]", self.message, self.check)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
