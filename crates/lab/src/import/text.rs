//! Plain numbers: one to a line, with an optional name before and unit after. Commas and semicolons separate too.

use std::collections::BTreeMap;

use bellwether_stats::Better;

use crate::samples::{Samples, Unit};

pub(super) fn read(file: &str, text: &str) -> Result<Vec<Samples>, String> {
    let mut found: BTreeMap<String, Samples> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value, unit, better)) = line_of(line) else {
            // A header of a table is not a fault; anything else is.
            if index == 0 && line.chars().any(char::is_alphabetic) {
                continue;
            }
            let shown: String = line.chars().take(60).collect();
            return Err(format!("line {}: no number in {shown:?}", index + 1));
        };
        let name = if name.is_empty() {
            super::stem(file)
        } else {
            name.to_owned()
        };
        if !found.contains_key(&name) {
            order.push(name.clone());
        }
        found
            .entry(name.clone())
            .or_insert_with(|| Samples {
                name,
                unit,
                better,
                values: Vec::new(),
            })
            .values
            .push(value);
    }
    Ok(order
        .into_iter()
        .filter_map(|name| found.remove(&name))
        .collect())
}

fn line_of(line: &str) -> Option<(&str, f64, Unit, Better)> {
    let is_separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | ':');
    let words: Vec<&str> = line
        .split(is_separator)
        .filter(|word| !word.is_empty())
        .collect();
    // The last number counts, so that a name may have digits of its own.
    let at = words.iter().rposition(|word| number(word).is_some())?;
    let (value, glued) = number(words[at])?;
    let unit = if glued.is_empty() {
        words.get(at + 1).copied().unwrap_or("")
    } else {
        glued
    };
    let start = words[at].as_ptr() as usize - line.as_ptr() as usize;
    let name = line[..start].trim_end_matches(is_separator);
    let (unit, scale, better) = match unit {
        "s" | "sec" | "seconds" => (Unit::Seconds, 1.0, Better::Lower),
        "ms" => (Unit::Seconds, 1e-3, Better::Lower),
        "us" | "µs" => (Unit::Seconds, 1e-6, Better::Lower),
        "ns" => (Unit::Seconds, 1e-9, Better::Lower),
        "B" | "bytes" => (Unit::Bytes, 1.0, Better::Lower),
        "KiB" | "kB" => (Unit::Bytes, 1024.0, Better::Lower),
        "MiB" => (Unit::Bytes, 1048576.0, Better::Lower),
        per if per.ends_with("/s") || per == "rps" => (Unit::PerSecond, 1.0, Better::Higher),
        _ => (Unit::Count, 1.0, Better::Lower),
    };
    Some((name, value * scale, unit, better))
}

/// A number and what is glued to it: `12.5ms`.
fn number(word: &str) -> Option<(f64, &str)> {
    if let Ok(value) = word.parse::<f64>() {
        return value.is_finite().then_some((value, ""));
    }
    let end = word
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
        .map(|(at, _)| at)?;
    let value: f64 = word[..end].parse().ok()?;
    let unit = &word[end..];
    ["s", "ms", "us", "µs", "ns", "B", "kB", "KiB", "MiB"]
        .contains(&unit)
        .then_some((value, unit))
}
