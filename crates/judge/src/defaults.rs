//! The rules that come with the program: symptoms page, imminent harm is a ticket or a page, causes are context.

use bellwether_model::Problems;

use crate::rules::{GroupConfig, RuleFile};

/// The rule files, by the name they have in status and messages.
pub const FILES: [(&str, &str); 3] = [
    (
        "builtin/symptoms.yml",
        include_str!("../rules/symptoms.yml"),
    ),
    (
        "builtin/imminent.yml",
        include_str!("../rules/imminent.yml"),
    ),
    ("builtin/causes.yml", include_str!("../rules/causes.yml")),
];

/// The built-in rule groups.
pub fn groups() -> Vec<GroupConfig> {
    let mut problems = Problems::default();
    let groups = FILES
        .iter()
        .flat_map(|(file, text)| RuleFile::read(file, text, &mut problems))
        .collect();
    debug_assert!(problems.0.is_empty(), "built-in rules: {problems}");
    groups
}

#[cfg(test)]
mod tests;
