//! `runbook lint`: how pages read, as lines, as JSON, as a table, as a proposed patch.

use std::path::PathBuf;
use std::process::ExitCode;

use bellwether_act::Runbook;
use bellwether_model::Problems;
use serde_json::json;

use super::{Fault, say};
use crate::commands::offline;
use crate::config::find_pages;

pub(super) fn lint(
    paths: &[PathBuf],
    json: bool,
    fix: bool,
    table: bool,
) -> Result<ExitCode, Fault> {
    let mut pages = Vec::new();
    for path in paths {
        pages.extend(find_pages(path).map_err(Fault::bad)?);
    }
    pages.sort();
    if table {
        return Ok(print_table(&pages, json));
    }
    let pairs = || {
        pages
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    };
    if fix {
        for (path, text) in pairs() {
            if let Some(patch) = bellwether_act::lint::propose(path, text) {
                say(patch.trim_end());
            }
        }
    }
    let found = Problems(bellwether_act::lint(pairs()));
    if fix {
        return Ok(ExitCode::from(u8::from(found.has_errors())));
    }
    Ok(offline::print_problems(&found, json, 1))
}

fn print_table(pages: &[(String, String)], as_json: bool) -> ExitCode {
    let mut sum = [0_u32; 11];
    let mut rows = Vec::new();
    let mut bad = false;
    for (path, text) in pages {
        let (page, problems) = Runbook::parse(path, text);
        bad |= problems.has_errors();
        let Some(page) = page else { continue };
        let f = page.found;
        let counts = [
            f.fences,
            f.fences_in_lists,
            f.fences_without_language,
            f.indented,
            f.tables,
            f.block_steps,
            f.inline_steps,
            f.console_blocks,
            f.with_expected_output,
            f.with_placeholders,
            f.interactive,
        ];
        for (sum, count) in sum.iter_mut().zip(counts) {
            *sum += count;
        }
        rows.push((path.clone(), counts));
    }
    if as_json {
        let rows = rows
            .iter()
            .map(|(file, counts)| json!({"file": file, "found": named(counts)}));
        say(json!({"files": rows.collect::<Vec<_>>(), "all": named(&sum)}));
    } else {
        say(
            "fences in-lists no-lang indented tables | blocks inline console output | placeholders interactive",
        );
        rows.push((format!("all {}", rows.len()), sum));
        for (name, c) in &rows {
            say(format_args!(
                "{:>6} {:>8} {:>7} {:>8} {:>6} | {:>6} {:>6} {:>7} {:>6} | {:>12} {:>11}  {name}",
                c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10]
            ));
        }
    }
    ExitCode::from(u8::from(bad))
}

fn named(c: &[u32; 11]) -> serde_json::Value {
    json!({
        "fences": c[0], "fences_in_lists": c[1], "fences_without_language": c[2], "indented": c[3], "tables": c[4],
        "block_steps": c[5], "inline_steps": c[6], "console_blocks": c[7], "with_expected_output": c[8],
        "with_placeholders": c[9], "interactive": c[10],
    })
}
