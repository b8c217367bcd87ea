//! File and HTTP discovery: where lists of targets come from while the program runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_model::{Labels, Problems};
use bellwether_yaml::{MapReader, Node};

use crate::config::TargetGroup;
use crate::http::{HttpConfig, authorize, build_client, read_limited};
use crate::scrape::chain;

/// Size of one list of targets in bytes.
const LIST_BYTES_MAX: usize = 16 << 20;
/// Files that one pattern may match.
const FILES_MAX: usize = 10_000;
/// How often files are looked at for changes.
pub(crate) const FILE_POLL: Duration = Duration::from_secs(5);

/// What a file was like when it was read: time of change and size.
type Stamp = (Option<std::time::SystemTime>, u64);

/// Remembers files between looks, so that only changed ones are read again.
#[derive(Debug, Default)]
pub struct FileDiscovery {
    files: BTreeMap<PathBuf, (Stamp, Vec<TargetGroup>)>,
    /// Why files could not be read.
    pub errors: Vec<String>,
}

impl FileDiscovery {
    /// Looks at all files that match the patterns; true when something changed. A file that cannot be read keeps the
    /// targets it had; one that is gone loses them.
    pub fn refresh(&mut self, patterns: &[PathBuf]) -> bool {
        let mut changed = false;
        let mut errors = Vec::new();
        let found: Vec<PathBuf> = patterns
            .iter()
            .flat_map(|pattern| matching_files(pattern))
            .collect();
        let before = self.files.len();
        self.files.retain(|path, _| found.contains(path));
        changed |= before != self.files.len();
        for path in found {
            let stamp = match std::fs::metadata(&path) {
                Ok(meta) => (meta.modified().ok(), meta.len()),
                Err(error) => {
                    errors.push(format!("{}: {error}", path.display()));
                    continue;
                }
            };
            if self
                .files
                .get(&path)
                .is_some_and(|(known, _)| *known == stamp)
            {
                continue;
            }
            match read_file(&path, stamp.1) {
                Ok(groups) => {
                    self.files.insert(path, (stamp, groups));
                    changed = true;
                }
                Err(reason) => errors.push(format!("{}: {reason}", path.display())),
            }
        }
        changed |= errors != self.errors;
        self.errors = errors;
        changed
    }

    /// All targets, by file.
    pub fn groups(&self) -> Vec<TargetGroup> {
        self.files
            .values()
            .flat_map(|(_, groups)| groups.clone())
            .collect()
    }
}

/// Files that match a pattern with at most one `*`, in its last part; sorted.
fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some((head, tail)) = name.split_once('*') else {
        return vec![pattern.to_owned()];
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .take(FILES_MAX)
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| {
                name.len() >= head.len() + tail.len()
                    && name.starts_with(head)
                    && name.ends_with(tail)
            })
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

fn read_file(path: &Path, bytes: u64) -> Result<Vec<TargetGroup>, String> {
    if bytes > LIST_BYTES_MAX as u64 {
        return Err(format!("larger than {} MiB", LIST_BYTES_MAX >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let shown = path.display().to_string();
    parse_groups(&shown, &text, &[("__meta_filepath", &shown)])
}

/// Asks an address for its list of targets.
pub(crate) async fn fetch_groups(
    url: &str,
    http: &HttpConfig,
    refresh: Duration,
) -> Result<Vec<TargetGroup>, String> {
    let client = build_client(http, true).map_err(|error| error.to_string())?;
    let request = client.get(url).header("Accept", "application/json").header(
        "X-Prometheus-Refresh-Interval-Seconds",
        refresh.as_secs_f64().to_string(),
    );
    let request = authorize(request, http).map_err(|error| error.to_string())?;
    let mut response = request.send().await.map_err(|error| chain(&error))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("server returned HTTP status {}", response.status()));
    }
    let mut body = Vec::new();
    if read_limited(&mut response, LIST_BYTES_MAX, &mut body)
        .await
        .map_err(|error| chain(&error))?
        .is_none()
    {
        return Err(format!(
            "the list is larger than {} MiB",
            LIST_BYTES_MAX >> 20
        ));
    }
    let text = String::from_utf8(body).map_err(|_| "the list is not UTF-8".to_owned())?;
    parse_groups(url, &text, &[("__meta_url", url)])
}

/// Reads a list of `{targets, labels}` in YAML or JSON.
fn parse_groups(
    source: &str,
    text: &str,
    meta: &[(&str, &str)],
) -> Result<Vec<TargetGroup>, String> {
    let mut problems = Problems::default();
    let node = bellwether_yaml::parse(source, text, &mut problems);
    let items: &[Node] = match node.as_ref().map(|node| (node, node.as_list())) {
        Some((_, Some(items))) => items,
        Some((node, None)) if node.is_null() => &[],
        Some((node, None)) => {
            return Err(format!(
                "expected a list of target groups, got {}",
                node.kind()
            ));
        }
        None => &[],
    };
    let mut groups = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let mut map = MapReader::new(item, "target group", &mut problems);
        let targets = map.texts("targets");
        let labels: Labels = map.labels("labels");
        map.finish();
        let mut builder = labels.to_builder();
        for (name, value) in meta {
            builder.set(name, value);
        }
        groups.push(TargetGroup {
            targets,
            labels: builder.build(),
            source: format!("{source}:{index}"),
        });
    }
    match problems.0.first() {
        None => Ok(groups),
        Some(problem) => Err(format!(
            "{}:{}: {}",
            problem.line, problem.column, problem.message
        )),
    }
}

#[cfg(test)]
mod tests;
