//! All pages at hand, and the ways to find one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_model::{Labels, Problem, Problems};

use crate::runbook::Runbook;

/// Annotations that name a runbook, in the order they are looked at.
pub const LINK_ANNOTATIONS: [&str; 3] = ["runbook", "runbook_url", "runbook_path"];

/// Pages by id, by alert and by path.
#[derive(Clone, Debug, Default)]
pub struct Library {
    runbooks: BTreeMap<String, Arc<Runbook>>,
    by_alert: BTreeMap<String, String>,
}

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibraryChange {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Same id, other content: evidence of the old content counts no more.
    pub edited: Vec<String>,
}

impl Library {
    /// Reads pages, given as path and text. A second page with the same id, or for the same alert, is left out and
    /// reported; the others stay usable.
    pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Problems) {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_unstable();
        let (mut library, mut problems) = (Self::default(), Problems::default());
        for (path, text) in files {
            let (runbook, found) = Runbook::parse(path, text);
            problems.append(found);
            if let Some(runbook) = runbook {
                library.add(runbook, &mut problems);
            }
        }
        (library, problems)
    }

    /// Replaces all pages by those given, and says what changed. With no file at all, the library is emptied.
    pub fn reload<'a>(
        &mut self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (LibraryChange, Problems) {
        let (new, problems) = Self::load(files);
        let mut change = LibraryChange::default();
        for (id, runbook) in &new.runbooks {
            match self.runbooks.get(id) {
                None => change.added.push(id.clone()),
                Some(old) if old.hash != runbook.hash => change.edited.push(id.clone()),
                Some(_) => {}
            }
        }
        change.removed = self
            .runbooks
            .keys()
            .filter(|id| !new.runbooks.contains_key(*id))
            .cloned()
            .collect();
        *self = new;
        (change, problems)
    }

    fn add(&mut self, mut runbook: Runbook, problems: &mut Problems) {
        if let Some(other) = self.runbooks.get(&runbook.id) {
            let named = runbook.named;
            let message = format!("runbook {:?} is also in {}", runbook.id, other.file);
            if named {
                problems.push(
                    Problem::error(&runbook.file, 1, 1, message)
                        .with_hint("give each page its own `runbook:` in the front matter"),
                );
                return;
            }
            // Pages without front matter often share a file name (README.md): their path tells them apart.
            runbook.id = path_id(&runbook.file);
            if self.runbooks.contains_key(&runbook.id) {
                problems.push(Problem::error(&runbook.file, 1, 1, message));
                return;
            }
        }
        for alert in &runbook.alerts {
            if let Some(other) = self.by_alert.get(alert) {
                problems.push(Problem::warning(
                    &runbook.file,
                    1,
                    1,
                    format!("alert {alert:?} already has runbook {other:?}, which stays"),
                ));
            } else {
                self.by_alert.insert(alert.clone(), runbook.id.clone());
            }
        }
        self.runbooks.insert(runbook.id.clone(), Arc::new(runbook));
    }

    /// The page with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Runbook>> {
        self.runbooks.get(id)
    }

    /// The page whose front matter names this alert.
    pub fn by_alert(&self, alert: &str) -> Option<&Arc<Runbook>> {
        self.get(self.by_alert.get(alert)?)
    }

    /// The page that a link means: an id, a path, or a URL that ends in the page's path (`#anchor` and `?query` are
    /// ignored). When several pages end alike, the one that shares most of the path, then the first by id.
    pub fn by_link(&self, link: &str) -> Option<&Arc<Runbook>> {
        let link = link.trim().split(['#', '?']).next().unwrap_or_default();
        if link.is_empty() {
            return None;
        }
        if let Some(runbook) = self.get(link) {
            return Some(runbook);
        }
        let wanted: Vec<&str> = parts(link);
        self.runbooks
            .values()
            .filter_map(|runbook| {
                let shared = parts(&runbook.file)
                    .iter()
                    .rev()
                    .zip(wanted.iter().rev())
                    .enumerate()
                    .take_while(|(index, (have, want))| {
                        *have == *want || (*index == 0 && have.strip_suffix(".md") == Some(**want))
                    })
                    .count();
                (shared > 0).then_some((shared, runbook))
            })
            // max_by_key gives the last of equals; the first by id is wanted.
            .rev()
            .max_by_key(|(shared, _)| *shared)
            .map(|(_, runbook)| runbook)
    }

    /// The page of an alert: by its annotations, else by its name.
    pub fn for_alert(&self, labels: &Labels, annotations: &Labels) -> Option<&Arc<Runbook>> {
        LINK_ANNOTATIONS
            .iter()
            .find_map(|name| self.by_link(annotations.get(name)))
            .or_else(|| self.by_alert(labels.get(bellwether_model::labels::ALERT_NAME)))
    }

    /// All pages by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Runbook>> {
        self.runbooks.values()
    }

    /// Number of pages.
    pub fn len(&self) -> usize {
        self.runbooks.len()
    }

    /// Whether there is no page.
    pub fn is_empty(&self) -> bool {
        self.runbooks.is_empty()
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect()
}

/// `docs/redis/README.md` as an id: `docs-redis-readme`.
fn path_id(path: &str) -> String {
    crate::runbook::slug(path.strip_suffix(".md").unwrap_or(path))
}

#[cfg(test)]
mod tests;
