//! What a heading says its section is for.

use super::SectionKind;

/// Words and phrases of headings, by what they say. A phrase matches whole words; the longest match decides.
const SYNONYMS: [(SectionKind, &[&str]); 7] = [
    (
        SectionKind::Overview,
        &[
            "overview",
            "summary",
            "introduction",
            "intro",
            "about",
            "description",
            "meaning",
            "impact",
            "background",
            "purpose",
            "what is this",
            "what it means",
        ],
    ),
    (
        SectionKind::Diagnosis,
        &[
            "diagnosis",
            "diagnostics",
            "diagnose",
            "diagnosing",
            "symptoms",
            "symptom",
            "triage",
            "troubleshooting",
            "troubleshoot",
            "troubleshooting pointers",
            "investigation",
            "investigate",
            "investigating",
            "possible checks",
            "checks",
            "steps to check",
            "pre checks",
            "prechecks",
            "what to look at",
            "debugging",
            "debug",
            "analysis",
            "causes",
            "possible causes",
            "find the cause",
        ],
    ),
    (
        SectionKind::Fix,
        &[
            "fix",
            "fixes",
            "remediation",
            "remediate",
            "mitigation",
            "mitigate",
            "mitigating",
            "resolution",
            "resolve",
            "resolving",
            "solution",
            "solutions",
            "actions",
            "action",
            "what to do",
            "recovery",
            "recover",
            "repair",
            "procedure",
            "execution",
            "workaround",
            "how to fix",
        ],
    ),
    (
        SectionKind::Verify,
        &[
            "verify",
            "verification",
            "verifying",
            "validation",
            "validate",
            "post checks",
            "postchecks",
            "confirm",
            "confirmation",
            "check the result",
        ],
    ),
    (
        SectionKind::Undo,
        &[
            "undo",
            "rollback",
            "roll back",
            "rolling back",
            "revert",
            "reverting",
            "back out",
            "backout",
        ],
    ),
    (
        SectionKind::Escalation,
        &[
            "escalation",
            "escalate",
            "escalating",
            "contacts",
            "contact",
            "who to call",
            "who to ask",
            "get help",
        ],
    ),
    (
        SectionKind::Reference,
        &[
            "references",
            "reference",
            "links",
            "see also",
            "further reading",
            "resources",
            "architecture",
            "dashboards",
            "logging",
            "monitoring",
        ],
    ),
];

/// The kind of section that a heading names, or `Other`.
pub fn section_kind(heading: &str) -> SectionKind {
    let words = words_of(heading);
    if words.is_empty() {
        return SectionKind::Other;
    }
    let mut best: Option<(usize, usize, SectionKind)> = None;
    for (kind, phrases) in SYNONYMS {
        for phrase in phrases {
            let wanted: Vec<&str> = phrase.split(' ').collect();
            let Some(at) = words
                .windows(wanted.len())
                .position(|window| window.iter().zip(&wanted).all(|(a, b)| a == b))
            else {
                continue;
            };
            // More words of the heading, then the earlier place: "Rollback of a fix" is about rolling back.
            let better = best.is_none_or(|(length, place, _)| {
                wanted.len() > length || (wanted.len() == length && at < place)
            });
            if better {
                best = Some((wanted.len(), at, kind));
            }
        }
    }
    best.map_or(SectionKind::Other, |(_, _, kind)| kind)
}

fn words_of(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(32)
        .map(str::to_lowercase)
        .collect()
}

/// A heading or path as an id: lower case, words joined by `-`, 60 characters at most; `step` when nothing is left.
pub(crate) fn slug(text: &str) -> String {
    let mut out = String::new();
    for word in words_of(text) {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(&word);
        if out.chars().count() >= 60 {
            break;
        }
    }
    let short: String = out.chars().take(60).collect();
    if short.is_empty() {
        "step".to_owned()
    } else {
        short
    }
}
