//! How a page was read and what it lacks for the next rung.

use bellwether_model::{Problem, Problems};
use bellwether_promql::ast::BinaryOp;
use bellwether_promql::{Expr, ParserOptions};
use serde::Serialize;

use crate::library::Library;
use crate::runbook::{Effect, Lang, Place, Runbook, SectionKind, Step};

/// How far a page has come, by what is written in it. The last rung is earned by evidence, not by writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// A person follows it, or runs single steps.
    Document,
    /// A person runs the whole of it: inputs declared, effects known, timeouts set.
    Parameterised,
    /// An alert proposes it and a person approves: verified, limited, and every change can be taken back or probed.
    Guarded,
}

/// Reads pages, given as path and text, and reports in order of the files: errors of reading, how each section was
/// read, what is missing for the next rung. Only errors should fail a build.
pub fn lint<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Problem> {
    let (library, mut problems) = Library::load(files);
    for runbook in library.iter() {
        problems.0.extend(lint_runbook(runbook));
    }
    problems.sort();
    problems.0
}

/// What a page lacks for the next rung as a unified diff of additions; `None` when nothing can be proposed. The page
/// itself is never changed.
pub fn propose(file: &str, text: &str) -> Option<String> {
    let (runbook, _) = Runbook::parse(file, text);
    let runbook = runbook?;
    let lines: Vec<&str> = text.lines().collect();
    let mut hunks: std::collections::BTreeMap<usize, (Option<String>, Vec<String>)> =
        std::collections::BTreeMap::new();
    if !runbook.named && runbook.body_line <= 1 {
        let mut front = vec![
            "---".to_owned(),
            format!("runbook: {}", runbook.id),
            "owner: ".to_owned(),
        ];
        let names: std::collections::BTreeSet<String> = runnable_steps(&runbook)
            .flat_map(|step| step.placeholders.iter().map(|name| input_name(name)))
            .filter(|name| !name.is_empty())
            .collect();
        if !names.is_empty() {
            front.push("inputs:".to_owned());
            front.extend(names.iter().map(|name| format!("  {name}: {{about: ''}}")));
        }
        front.extend([
            "limits: {runs: 3/1h}".to_owned(),
            "---".to_owned(),
            String::new(),
        ]);
        hunks.insert(0, (None, front));
    }
    for step in runnable_steps(&runbook) {
        let at = step.place.line as usize;
        let Some(line) = lines.get(at.saturating_sub(1)) else {
            continue;
        };
        let fence = line
            .trim_start_matches([' ', '\t', '>', '-', '*', '+', '.'])
            .trim_start_matches(char::is_numeric);
        if !fence.trim_start().starts_with("```") && !fence.trim_start().starts_with("~~~") {
            continue;
        }
        let mut more = String::new();
        if fence.trim_matches(['`', '~', ' ']).is_empty() {
            more.push_str("bash");
        }
        if step.effect.is_none() && !step.interactive {
            more.push_str(" effect=change");
        }
        if step.timeout.is_none() && matches!(step.lang, Lang::Sh | Lang::Bash | Lang::Sql) {
            more.push_str(" timeout=5m");
        }
        let body = lines.get(at).copied().unwrap_or_default();
        if !more.is_empty() && !body.trim_start().starts_with("```") {
            hunks.insert(
                at,
                (
                    Some((*line).to_owned()),
                    vec![format!("{}{more}", line.trim_end())],
                ),
            );
        }
    }
    if hunks.is_empty() {
        return None;
    }
    let mut out = format!("--- {file}\n+++ {file}\n");
    let mut shift = 0_i64;
    for (at, (old, new)) in hunks {
        let removed = usize::from(old.is_some());
        let begin = (at.max(1) as i64 + shift).max(1);
        out.push_str(&format!("@@ -{at},{removed} +{begin},{} @@\n", new.len()));
        if let Some(old) = old {
            out.push_str(&format!("-{old}\n"));
        }
        for line in &new {
            out.push_str(&format!("+{line}\n"));
        }
        shift += new.len() as i64 - removed as i64;
    }
    Some(out)
}

/// `<host name>`, `$HOST`, `{{host}}` as the name of an input.
fn input_name(placeholder: &str) -> String {
    let mut name = crate::runbook::slug(placeholder).replace('-', "_");
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.clear();
    }
    name
}

/// Notes and warnings on one page that was read.
pub fn lint_runbook(runbook: &Runbook) -> Vec<Problem> {
    let mut out = sections(runbook);
    let (rung, missing) = readiness(runbook);
    let (name, next) = match rung {
        Rung::Document => ("document", Some("parameterised")),
        Rung::Parameterised => ("parameterised", Some("guarded")),
        Rung::Guarded => ("guarded", None),
    };
    let steps = count_steps(runbook.steps.len());
    let text = match next {
        Some(next) => format!(
            "{:?}: {steps}, written for rung {name}; {} missing for {next}",
            runbook.id,
            missing.len()
        ),
        None => format!("{:?}: {steps}, written for rung {name}", runbook.id),
    };
    out.push(Problem::note(&runbook.file, 1, 1, text));
    out.extend(missing);
    out.extend(unused_inputs(runbook));
    out.extend(verify_that_never_holds(runbook));
    let mut out = Problems(out);
    out.sort();
    out.0
}

/// The rung that a page is written for, and what is missing for the next one.
pub fn readiness(runbook: &Runbook) -> (Rung, Vec<Problem>) {
    let parameterised = missing_for_parameterised(runbook);
    if !parameterised.is_empty() {
        return (Rung::Document, parameterised);
    }
    let guarded = missing_for_guarded(runbook);
    if !guarded.is_empty() {
        return (Rung::Parameterised, guarded);
    }
    (Rung::Guarded, Vec::new())
}

fn at(runbook: &Runbook, place: Place, warn: bool, text: String) -> Problem {
    let make = if warn {
        Problem::warning
    } else {
        Problem::note
    };
    make(&runbook.file, place.line, place.column, text)
}

fn sections(runbook: &Runbook) -> Vec<Problem> {
    let mut out = Vec::new();
    for (index, section) in runbook.sections.iter().enumerate() {
        let steps = runbook.steps.iter().filter(|step| step.section == index);
        let (mut reads, mut changes, mut unknown) = (0, 0, 0);
        for step in steps {
            match step.effect {
                Some(Effect::Read) => reads += 1,
                Some(Effect::Change) => changes += 1,
                None => unknown += 1,
            }
        }
        let total = reads + changes + unknown;
        if total == 0 && section.kind == SectionKind::Other {
            continue;
        }
        let kind = word(section.kind);
        let why = if section.inherited {
            " (by the heading above)"
        } else {
            ""
        };
        let mut parts = Vec::new();
        for (count, what) in [
            (reads, "read"),
            (changes, "change"),
            (unknown, "of unknown effect"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let steps = if total == 0 {
            "no steps".to_owned()
        } else {
            format!("{}: {}", count_steps(total), parts.join(", "))
        };
        let title = if section.title.is_empty() {
            "before the first heading"
        } else {
            &section.title
        };
        out.push(at(
            runbook,
            section.place,
            false,
            format!("{title:?} is read as {kind}{why}; {steps}"),
        ));
    }
    out
}

fn count_steps(count: usize) -> String {
    format!("{count} step{}", if count == 1 { "" } else { "s" })
}

fn word(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Overview => "overview",
        SectionKind::Diagnosis => "diagnosis",
        SectionKind::Fix => "fix",
        SectionKind::Verify => "verify",
        SectionKind::Undo => "undo",
        SectionKind::Escalation => "escalation",
        SectionKind::Reference => "reference",
        SectionKind::Other => "other",
    }
}

/// Steps that a whole run of the page would perform.
fn runnable_steps(runbook: &Runbook) -> impl Iterator<Item = &Step> {
    runbook.steps.iter().filter(|step| {
        matches!(
            step.kind,
            SectionKind::Diagnosis | SectionKind::Fix | SectionKind::Verify | SectionKind::Undo
        )
    })
}

fn missing_for_parameterised(runbook: &Runbook) -> Vec<Problem> {
    let mut out = Vec::new();
    let top = Place { line: 1, column: 1 };
    let none = runnable_steps(runbook).next().is_none();
    if none {
        let text = "no steps under a heading such as Diagnosis or Fix";
        out.push(at(runbook, top, false, text.to_owned()));
    } else if !runbook.named {
        let problem = at(
            runbook,
            top,
            false,
            "no front matter with `runbook:`".to_owned(),
        );
        out.push(problem.with_hint("begin the file with ---, runbook: a-name, owner: a-team, ---"));
    }
    for step in runnable_steps(runbook) {
        let id = &step.id;
        if !step.placeholders.is_empty() {
            let text = format!(
                "step {id:?} has undeclared inputs: {}",
                step.placeholders.join(", ")
            );
            let hint = "declare them under inputs: in the front matter and write them as {{name}}";
            out.push(at(runbook, step.place, true, text).with_hint(hint));
        }
        if step.interactive || step.lang == Lang::Manual {
            continue;
        }
        if step.effect.is_none() {
            let text = format!("step {id:?} does not say whether it changes anything");
            out.push(
                at(runbook, step.place, true, text).with_hint("add effect=read or effect=change"),
            );
        }
        if step.timeout.is_none() && matches!(step.lang, Lang::Sh | Lang::Bash | Lang::Sql) {
            let text = format!("step {id:?} has no timeout; 5m is used");
            out.push(at(runbook, step.place, false, text).with_hint("add timeout=30s"));
        }
    }
    out
}

fn missing_for_guarded(runbook: &Runbook) -> Vec<Problem> {
    let mut out = Vec::new();
    let top = Place { line: 1, column: 1 };
    let changes: Vec<&Step> = runbook
        .steps_of(SectionKind::Fix)
        .filter(|step| step.effect_or_change() == Effect::Change)
        .collect();
    if changes.is_empty() {
        let text = "no change step under a heading such as Fix or Mitigation";
        out.push(at(runbook, top, false, text.to_owned()));
        return out;
    }
    if runbook.owner.is_empty() {
        out.push(at(runbook, top, false, "no owner".to_owned()).with_hint("add owner: a-team"));
    }
    if runbook.limits.runs.is_none() {
        let problem = at(runbook, top, false, "no limit of runs".to_owned());
        out.push(problem.with_hint("add limits: {runs: 3/1h}"));
    }
    let verifies = runbook.steps_of(SectionKind::Verify).next().is_some()
        || changes.iter().any(|step| step.verify.is_some());
    if !verifies {
        let problem = at(
            runbook,
            changes[0].place,
            false,
            "nothing verifies the fix".to_owned(),
        );
        out.push(
            problem
                .with_hint("add a section Verify with a promql block, or verify=\"…\" within=2m"),
        );
    }
    let common_undo = runbook.steps_of(SectionKind::Undo).next().is_some();
    for step in changes {
        let followed = runbook
            .steps
            .iter()
            .skip_while(|other| other.id != step.id)
            .nth(1)
            .is_some_and(|next| next.is_undo);
        let safe = step.undo.is_some()
            || followed
            || common_undo
            || step.probe.is_some()
            || step.idempotent;
        if !safe {
            let text = format!(
                "step {:?} can neither be taken back, probed nor repeated",
                step.id
            );
            let hint = "add undo=a-step, probe=a-step or the flag idempotent";
            out.push(at(runbook, step.place, false, text).with_hint(hint));
        }
    }
    out
}

/// `x == 0` keeps series whose value is 0, and a value of 0 says that a condition does not hold.
fn verify_that_never_holds(runbook: &Runbook) -> Vec<Problem> {
    let steps = runbook.steps.iter();
    steps
        .filter_map(|step| {
            let verify = step.verify.as_ref()?;
            let expr = bellwether_promql::parse(&verify.query, &ParserOptions::default()).ok()?;
            gives_only_zeros(&expr).then(|| {
                let text = format!(
                    "the condition {:?} never holds: it gives series whose value is 0, and 0 is \"no\"",
                    verify.query
                );
                at(runbook, step.place, true, text).with_hint("write `== bool 0`")
            })
        })
        .collect()
}

fn gives_only_zeros(expr: &Expr) -> bool {
    let is_zero =
        |expr: &Expr| matches!(expr.unwrap_parens(), Expr::Number(number) if number.value == 0.0);
    match expr.unwrap_parens() {
        Expr::Binary(binary) => match binary.op {
            BinaryOp::Equal => {
                !binary.return_bool && (is_zero(&binary.lhs) || is_zero(&binary.rhs))
            }
            BinaryOp::And | BinaryOp::Unless => gives_only_zeros(&binary.lhs),
            BinaryOp::Or => gives_only_zeros(&binary.lhs) && gives_only_zeros(&binary.rhs),
            _ => false,
        },
        _ => false,
    }
}

fn unused_inputs(runbook: &Runbook) -> Vec<Problem> {
    let used = |name: &str| {
        let lock = runbook.limits.lock.as_deref().unwrap_or_default();
        let braces = |text: &str| {
            crate::runbook::braced_names(text)
                .iter()
                .any(|known| known == name)
        };
        let variable = crate::runbook::variable_of(name);
        braces(lock)
            || runbook
                .inputs
                .iter()
                .any(|input| input.promql.as_deref().is_some_and(braces))
            || runbook.steps.iter().any(|step| {
                step.uses.iter().any(|known| known == name)
                    || step.body.contains(&format!("${variable}"))
                    || step.body.contains(&format!("${{{variable}"))
            })
    };
    runbook
        .inputs
        .iter()
        .filter(|input| !used(&input.name))
        .map(|input| {
            at(
                runbook,
                input.place,
                true,
                format!("input {:?} is used nowhere", input.name),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
