//! The addresses of the pages and of their forms: the one list the server routes and the pages link.
//!
//! Identifiers are percent-encoded, so a hostile name stays one path segment.

use std::fmt::Write as _;

pub const NOW: &str = "/";
pub const CASES: &str = "/cases";
pub const ONCALL: &str = "/oncall";
/// Silences; query parameters `matchers`, `for` and `comment` show what one would hide.
pub const SILENCES: &str = "/silences";
/// POST: saves a silence.
pub const SILENCE_ADD: &str = "/silences/add";
/// POST: ends one (`id`).
pub const SILENCE_END: &str = "/silences/end";
pub const TARGETS: &str = "/targets";
pub const EXPLORE: &str = "/explore";
pub const RULES: &str = "/rules";
/// One rule; query parameters `group` and `name`.
pub const RULE: &str = "/rule";
/// GET: the last backtest and its form (`group`, `name` of a rule to edit). POST: runs one (`rules`, `last`).
pub const BACKTEST: &str = "/backtest";
/// POST: stops the backtest that runs.
pub const BACKTEST_STOP: &str = "/backtest/stop";
pub const SLOS: &str = "/slos";
pub const RUNBOOKS: &str = "/runbooks";
/// Experiments and benchmarks.
pub const LAB: &str = "/lab";
pub const STATUS: &str = "/status";
pub const HELP: &str = "/help";
pub const LOGIN: &str = "/login";
/// POST: ends the session.
pub const LOGOUT: &str = "/logout";
pub const SETUP: &str = "/setup";
/// POST `theme=auto|light|dark`, `back`: sets the cookie `theme`.
pub const THEME: &str = "/theme";
/// Server-sent events.
pub const LIVE: &str = "/ui/live";
/// POST: an override of a schedule.
pub const OVERRIDE: &str = "/oncall/override";
/// POST: ends an override.
pub const OVERRIDE_END: &str = "/oncall/override/end";
/// POST: opens a case by hand (`title`, `urgency`, `text`).
pub const CASE_OPEN: &str = "/cases/open";

/// Encodes one path segment or query value (RFC 3986 unreserved characters stay).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}

/// The page of an experiment.
pub fn experiment(id: &str) -> String {
    format!("{LAB}/experiments/{}", encode(id))
}

/// The page of a case.
pub fn case(id: &str) -> String {
    format!("/cases/{}", encode(id))
}

/// POST: `ack`, `unack`, `resolve`, `snooze` (`for`), `escalate` (`as_of`), `comment` (`text`) on a case.
pub fn case_action(id: &str, action: &str) -> String {
    format!("/cases/{}/{action}", encode(id))
}

/// The page of a rule.
pub fn rule(group: &str, name: &str) -> String {
    format!("{RULE}?group={}&name={}", encode(group), encode(name))
}

/// A backtest of a changed rule.
pub fn backtest(group: &str, name: &str) -> String {
    format!("{BACKTEST}?group={}&name={}", encode(group), encode(name))
}

/// The page of a runbook.
pub fn runbook(id: &str) -> String {
    format!("/runbooks/{}", encode(id))
}

/// The page of a run.
pub fn run(id: &str) -> String {
    format!("/runs/{}", encode(id))
}

/// POST on a run: `step` (`step`, `confirm`), `approve`, `undo`, `cancel`.
pub fn run_action(id: &str, action: &str) -> String {
    format!("/runs/{}/{action}", encode(id))
}

/// POST: starts a run of a runbook (`case`, `step`).
pub fn runbook_action(id: &str, action: &str) -> String {
    format!("/runbooks/{}/{action}", encode(id))
}

/// The explorer with a query.
pub fn explore(expr: &str) -> String {
    format!("{EXPLORE}?expr={}", encode(expr))
}
