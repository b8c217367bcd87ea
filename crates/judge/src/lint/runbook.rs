//! Links to runbooks.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_model::MatchOp;

use crate::lint::expr::label_names;
use crate::lint::shape::selectors;
use crate::lint::{Finding, Level, Subject};

/// Annotations that lead to a runbook, in order.
const KEYS: [&str; 5] = [
    "runbook",
    "runbook_url",
    "runbook_link",
    "runbook_uri",
    "playbook",
];

/// Pages that links may lead to.
#[derive(Clone, Debug, Default)]
pub struct RunbookIndex {
    /// Headings by path from the root, with `/`.
    pages: BTreeMap<String, BTreeSet<String>>,
    /// Files that are not pages.
    others: BTreeSet<String>,
    folders: BTreeSet<String>,
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunbookState {
    /// To a page, and to a heading of it if the link names one.
    Good,
    /// Nowhere.
    Dead,
    /// To a folder, which may have a README.
    Folder { readme: Option<String> },
    /// To a page without that heading.
    NoHeading {
        /// The heading that is nearest.
        nearest: Option<String>,
    },
    /// Outside the pages that are known.
    Elsewhere,
}

// === impl RunbookIndex ===

impl RunbookIndex {
    /// Adds a file: `path` from the root of the runbooks; `text` is that of a Markdown page.
    pub fn add(&mut self, path: &str, text: Option<&str>) {
        let path = path.replace('\\', "/");
        let mut folder = path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            self.folders.insert(parent.to_owned());
            folder = parent;
        }
        match text {
            Some(text) => {
                self.pages.insert(path, anchors(text));
            }
            None => {
                self.others.insert(path);
            }
        }
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there is no page.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Where a link without templates leads: a path, the address of a file in a repository, or a page's name.
    pub fn look_up(&self, link: &str) -> RunbookState {
        let link = link.trim();
        let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = target.split('?').next().unwrap_or_default();
        if target.contains("://") {
            // `https://host/group/project/blob/main/docs/page.md` and the like.
            for mark in ["/-/blob/", "/-/tree/", "/blob/", "/tree/", "/raw/", "/src/"] {
                if let Some((_, rest)) = target.split_once(mark) {
                    let path = rest.split_once('/').map_or("", |(_, path)| path);
                    let state = self.path(path, anchor);
                    return if state == RunbookState::Dead {
                        RunbookState::Elsewhere
                    } else {
                        state
                    };
                }
            }
            return RunbookState::Elsewhere;
        }
        self.path(target, anchor)
    }

    fn path(&self, path: &str, anchor: &str) -> RunbookState {
        let wanted_folder = path.ends_with('/');
        let path = path.trim_start_matches("./").trim_matches('/');
        if path.is_empty() {
            return RunbookState::Dead;
        }
        if self.folders.contains(path) {
            let readme = ["README.md", "readme.md", "index.md"]
                .iter()
                .map(|name| format!("{path}/{name}"))
                .find(|page| self.pages.contains_key(page));
            return RunbookState::Folder { readme };
        }
        if wanted_folder {
            return RunbookState::Dead;
        }
        if self.others.contains(path) {
            return RunbookState::Good;
        }
        let named = |page: &str| {
            let name = page.rsplit('/').next().unwrap_or(page);
            !path.contains('/') && name.strip_suffix(".md") == Some(path)
        };
        let headings = self
            .pages
            .get(path)
            .or_else(|| self.pages.get(&format!("{path}.md")))
            .or_else(|| {
                let page = self.pages.iter().find(|(page, _)| named(page));
                page.map(|(_, headings)| headings)
            });
        let Some(headings) = headings else {
            return RunbookState::Dead;
        };
        let wanted = collapsed(&anchor.to_lowercase());
        if anchor.is_empty() || headings.contains(&wanted) {
            return RunbookState::Good;
        }
        let nearest = bellwether_model::suggest(&wanted, headings.iter().map(String::as_str))
            .map(str::to_owned);
        RunbookState::NoHeading { nearest }
    }

    /// Whether any page fits a path of which parts are not known (`None`).
    fn may_exist(&self, pattern: &[Option<String>]) -> bool {
        self.pages.keys().any(|page| fits(page, pattern))
    }
}

fn fits(page: &str, pattern: &[Option<String>]) -> bool {
    match pattern {
        [] => page.is_empty(),
        [Some(text), rest @ ..] => page
            .strip_prefix(text.as_str())
            .is_some_and(|page| fits(page, rest)),
        [None, rest @ ..] => (0..=page.len())
            .filter(|at| page.is_char_boundary(*at) && !page[..*at].contains('/'))
            .any(|at| fits(&page[at..], rest)),
    }
}

/// Anchors of a page's headings, as GitHub and GitLab make them, with runs of `-` as one.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut fence: Option<&str> = None;
    let mut before = "";
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|m| trimmed.starts_with(m)) {
            fence = match fence {
                None => Some(mark),
                Some(open) if open == mark => None,
                open => open,
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let heading = trimmed
            .strip_prefix('#')
            .map(|_| trimmed.trim_start_matches('#'));
        let underlined = !before.trim().is_empty()
            && !trimmed.is_empty()
            && (trimmed.bytes().all(|b| b == b'=') || trimmed.bytes().all(|b| b == b'-'));
        for heading in heading.into_iter().chain(underlined.then_some(before)) {
            for slug in [slug(&rendered(heading)), slug(heading)] {
                let count = counts.entry(slug.clone()).or_default();
                if *count > 0 {
                    found.insert(format!("{slug}-{count}"));
                }
                *count += 1;
                found.insert(slug);
            }
        }
        for attribute in ["name=\"", "id=\""] {
            for part in line.split(attribute).skip(1) {
                found.extend(
                    part.split('"')
                        .next()
                        .map(|id| collapsed(&id.to_lowercase())),
                );
            }
        }
        before = line;
    }
    found
}

/// A heading without the targets of its links and without emphasis.
fn rendered(heading: &str) -> String {
    let mut out = String::new();
    let mut rest = heading;
    while let Some((text, after)) = rest.split_once("](") {
        out.push_str(&text.replacen('[', "", 1));
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.replace(['`', '*'], "")
}

fn slug(heading: &str) -> String {
    let text: String = heading
        .trim()
        .trim_end_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect();
    collapsed(&text)
}

fn collapsed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '-' || !out.ends_with('-') {
            out.push(c);
        }
    }
    out
}

/// The checks.
pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    if subject.level == Level::Context {
        return;
    }
    let link = KEYS.iter().find_map(|key| {
        let (_, text) = subject
            .rule
            .annotations
            .iter()
            .find(|(name, text)| name == key && !text.as_str().trim().is_empty())?;
        Some((*key, text.as_str()))
    });
    let Some((key, link)) = link else {
        subject
            .find(
                findings,
                "runbook-missing",
                "annotations",
                match subject.level {
                    Level::Page => format!("pages ({}) and names no runbook", subject.level_why),
                    _ => "names no runbook".to_owned(),
                },
            )
            .hint("add the key `runbook` or the annotation runbook_url");
        return;
    };
    let Some(index) = &subject.options.runbooks else {
        return;
    };
    for link in resolved(subject, link) {
        match link {
            Ok(link) => report(subject, key, &link, &index.look_up(&link), findings),
            Err(pattern) => {
                if index.may_exist(&pattern) {
                    subject
                        .find(
                            findings,
                            "runbook-unchecked",
                            key,
                            "which page the link leads to depends on labels that the expression does not fix"
                                .to_owned(),
                        )
                        .hint("some pages it could mean are there");
                } else {
                    subject
                        .find(
                            findings,
                            "runbook-dead",
                            key,
                            format!(
                                "no page fits the runbook link {link:?}",
                                link = shown(&pattern)
                            ),
                        )
                        .hint("whatever the labels are, there is no such page");
                }
            }
        }
    }
}

fn shown(pattern: &[Option<String>]) -> String {
    pattern
        .iter()
        .map(|part| part.as_deref().unwrap_or("*"))
        .collect()
}

fn report(
    subject: &Subject<'_>,
    key: &str,
    link: &str,
    state: &RunbookState,
    findings: &mut Vec<Finding>,
) {
    match state {
        RunbookState::Good => {}
        RunbookState::Dead => subject
            .find(
                findings,
                "runbook-dead",
                key,
                format!("there is no runbook {link:?}"),
            )
            .hint("paths are from the root of --runbooks"),
        RunbookState::Folder { readme } => subject
            .find(
                findings,
                "runbook-folder",
                key,
                format!("the runbook link {link:?} leads to a folder, not to what to do"),
            )
            .hint(match readme {
                Some(page) => format!("name the page: {page}"),
                None => "name a page of it".to_owned(),
            }),
        RunbookState::NoHeading { nearest } => subject
            .find(
                findings,
                "runbook-anchor",
                key,
                format!("the page of {link:?} has no such heading"),
            )
            .hint(match nearest {
                Some(heading) => format!("did you mean #{heading}?"),
                None => "the heading was renamed, or never there".to_owned(),
            }),
        RunbookState::Elsewhere => subject
            .find(
                findings,
                "runbook-unchecked",
                key,
                format!("{link:?} is outside --runbooks"),
            )
            .hint("bring the page into the repository to have it checked"),
    }
}

/// Links that a templated one can become: with all labels known, or the pattern of what is known.
fn resolved(subject: &Subject<'_>, link: &str) -> Vec<Result<String, Vec<Option<String>>>> {
    if !link.contains("{{") {
        return vec![Ok(link.to_owned())];
    }
    let names = label_names(link);
    let mut links = vec![link.to_owned()];
    for name in &names {
        let Some(values) = values_of(subject, name) else {
            return vec![Err(pattern(link))];
        };
        links = links
            .iter()
            .flat_map(|link| values.iter().map(|value| put(link, name, value)))
            .collect();
    }
    links
        .into_iter()
        .map(|link| {
            if link.contains("{{") {
                Err(pattern(&link))
            } else {
                Ok(link)
            }
        })
        .collect()
}

fn pattern(link: &str) -> Vec<Option<String>> {
    let path = link.split('#').next().unwrap_or_default();
    let mut parts = Vec::new();
    for (index, part) in path.split("{{").enumerate() {
        let text = if index == 0 {
            part
        } else {
            parts.push(None);
            part.split_once("}}").map_or("", |(_, text)| text)
        };
        parts.push(Some(text.to_owned()));
    }
    parts
}

/// Replaces the actions that are nothing but this label.
fn put(link: &str, name: &str, value: &str) -> String {
    let mut out = String::new();
    for (index, part) in link.split("{{").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        let (action, text) = part.split_once("}}").unwrap_or((part, ""));
        if action.trim().trim_matches('-').trim() == format!("$labels.{name}") {
            out.push_str(value);
        } else {
            out.push_str("{{");
            out.push_str(action);
            out.push_str("}}");
        }
        out.push_str(text);
    }
    out
}

/// Values that a label of the alert can have, when the first selector that names it says so.
fn values_of(subject: &Subject<'_>, name: &str) -> Option<Vec<String>> {
    for selector in selectors(&subject.rule.expr) {
        for matcher in selector.matchers.iter().filter(|m| &*m.name == name) {
            match matcher.op {
                MatchOp::Equal => return Some(vec![matcher.value.to_string()]),
                MatchOp::Regex
                    if matcher
                        .value
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|')) =>
                {
                    return Some(matcher.value.split('|').map(str::to_owned).collect());
                }
                _ => {}
            }
        }
    }
    None
}
