//! Comments that take findings back until a day.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::problem::Severity;
use jiff::civil::Date;

use crate::lint::{Finding, Source, check};
use crate::rules::GroupConfig;

const MARK: &str = "bellwether lint ignore";
const EXAMPLE: &str =
    "write `# bellwether lint ignore CHECK until 2027-03-01 because REASON` above the rule";

struct Waiver {
    checks: Vec<&'static str>,
    until: Date,
    line: u32,
    column: u32,
    /// Lines of findings that it covers, both included.
    covers: (u32, u32),
    used: bool,
}

/// Lines of a rule: from its own to the one before the next rule or group. `starts` are sorted.
pub(super) fn lines_of<'t>(line: u32, starts: &[u32], text: &'t str) -> Vec<(u32, &'t str)> {
    let next = starts.partition_point(|start| *start <= line);
    let end = starts.get(next).copied().unwrap_or(u32::MAX);
    text.lines()
        .enumerate()
        .map(|(index, text)| (index as u32 + 1, text))
        .skip(line.saturating_sub(1) as usize)
        .take_while(|(number, _)| *number < end)
        .collect()
}

/// Takes back what is waived, and adds what is wrong with waivers.
pub(super) fn apply(
    findings: Vec<Finding>,
    groups: &[GroupConfig],
    sources: &[Source],
    today: Date,
) -> (Vec<Finding>, usize) {
    let mut own = Vec::new();
    let mut waivers: BTreeMap<Arc<str>, Vec<Waiver>> = BTreeMap::new();
    for source in sources {
        let mut starts: Vec<u32> = groups
            .iter()
            .filter(|group| group.file == source.file)
            .flat_map(|group| group.rules.iter().map(|rule| rule.line))
            .collect();
        starts.sort_unstable();
        let found = read(source, &starts, &mut own);
        waivers.insert(source.file.clone(), found);
    }
    let before = findings.len();
    let mut kept: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| {
            let Some(waivers) = waivers.get_mut(&finding.file) else {
                return true;
            };
            let mut waived = false;
            for waiver in waivers {
                let (from, to) = waiver.covers;
                if waiver.checks.contains(&finding.check) && (from..=to).contains(&finding.line) {
                    waiver.used = true;
                    waived |= waiver.until >= today;
                }
            }
            !waived
        })
        .collect();
    let waived = before - kept.len();
    for (file, waivers) in &waivers {
        for waiver in waivers {
            let message = if waiver.until < today {
                Some((
                    "waiver-expired",
                    format!("this waiver ended on {}", waiver.until),
                ))
            } else if !waiver.used {
                Some((
                    "waiver-unused",
                    format!(
                        "nothing here needs a waiver of {}",
                        waiver.checks.join(", ")
                    ),
                ))
            } else {
                None
            };
            if let Some((id, message)) = message {
                kept.push(finding(file, waiver.line, waiver.column, id, message));
            }
        }
    }
    kept.extend(own);
    (kept, waived)
}

fn finding(file: &Arc<str>, line: u32, column: u32, id: &'static str, message: String) -> Finding {
    Finding {
        check: id,
        severity: check(id).map_or(Severity::Warning, |check| check.severity),
        file: file.clone(),
        line,
        column,
        group: String::new(),
        rule: String::new(),
        level: None,
        message,
        hint: match id {
            "waiver-expired" => Some("mend the rule, or renew the date".to_owned()),
            "waiver-unused" => Some("remove the comment".to_owned()),
            _ => Some(EXAMPLE.to_owned()),
        },
    }
}

fn read(source: &Source, starts: &[u32], problems: &mut Vec<Finding>) -> Vec<Waiver> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (index, text) in lines.iter().enumerate() {
        let Some(at) = text.find(MARK) else { continue };
        let Some(hash) = text[..at].rfind('#') else {
            continue;
        };
        let line = index as u32 + 1;
        let column = text[..hash].chars().count() as u32 + 1;
        match parse(text[at + MARK.len()..].trim()) {
            Ok((checks, until)) => found.push(Waiver {
                checks,
                until,
                line,
                column,
                covers: covers(line, &lines, starts),
                used: false,
            }),
            Err(message) => {
                problems.push(finding(
                    &source.file,
                    line,
                    column,
                    "waiver-invalid",
                    message,
                ));
            }
        }
    }
    found
}

/// A comment above the first rule covers the file, above or inside a rule that rule.
fn covers(line: u32, lines: &[&str], starts: &[u32]) -> (u32, u32) {
    let is_own_line = |line: u32| {
        lines
            .get(line as usize - 1)
            .is_some_and(|text| text.trim_start().starts_with('#'))
    };
    let mut at = line;
    if is_own_line(line) {
        while is_own_line(at) {
            at += 1;
        }
        if !starts.contains(&at) {
            at = line;
        }
    }
    let next = starts.partition_point(|start| *start <= at);
    match next.checked_sub(1) {
        Some(own) => (
            starts[own].min(line),
            starts.get(next).map_or(u32::MAX, |start| start - 1),
        ),
        None => (0, u32::MAX),
    }
}

fn parse(text: &str) -> Result<(Vec<&'static str>, Date), String> {
    let (names, rest) = text
        .split_once(" until ")
        .ok_or("a waiver needs an end: until YYYY-MM-DD")?;
    let mut checks = Vec::new();
    for name in names.split([',', ' ']).filter(|name| !name.is_empty()) {
        match check(name) {
            Some(check) => checks.push(check.id),
            None => return Err(format!("no check is called {name:?}")),
        }
    }
    if checks.is_empty() {
        return Err("a waiver names the checks it is for".to_owned());
    }
    let (date, reason) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    let until = date
        .trim_end_matches(':')
        .parse::<Date>()
        .map_err(|_| format!("{date:?} is not a date such as 2027-03-01"))?;
    let reason = reason.trim().trim_start_matches("because").trim();
    if reason.is_empty() {
        return Err("a waiver says why: because REASON".to_owned());
    }
    Ok((checks, until))
}
