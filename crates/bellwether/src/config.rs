//! The configuration: one file, read by every part for itself, validated as a whole.
//!
//! `global`, `scrape_configs` and `rule_files` are Prometheus'; `route`, `receivers`, `inhibit_rules` and
//! `time_intervals` are Alertmanager's; `oncall`, `probes`, `runbooks` and `slos` are ours. Reading never stops at a
//! fault: [`Config::load`] gives the configuration and every problem; whoever starts or reloads refuses it when one
//! of them is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_act::Library;
use bellwether_act::runs::{Automatic, Settings};
use bellwether_connect::desktop::Desktop;
use bellwether_env::vars;
use bellwether_judge::rules::{GroupConfig, RuleFile};
use bellwether_judge::slo::Slo;
use bellwether_model::{Problem, Problems};
use bellwether_observe::probe::ProbeConfig;
use bellwether_observe::{ScrapeConfig, ScrapeGlobals, read_probes, read_scrape_configs};
use bellwether_page::PageConfig;
use bellwether_page::config::ReadOptions;
use bellwether_page::matchers::Mode;
use bellwether_yaml::{MapReader, Node, Value};

use crate::steps::Connections;

mod redact;

/// Keys of `global` that are Prometheus'; the pager does not look at them, and scraping looks at no others.
pub(crate) const PROMETHEUS_GLOBALS: [&str; 24] = [
    "scrape_interval",
    "scrape_timeout",
    "scrape_protocols",
    "evaluation_interval",
    "rule_query_offset",
    "external_labels",
    "query_log_file",
    "scrape_failure_log_file",
    "body_size_limit",
    "sample_limit",
    "target_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "keep_dropped_targets",
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
    "extra_scrape_metrics",
    "scrape_native_histograms",
    "always_scrape_classic_histograms",
    "scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
];
/// Files that one pattern may find, and their size.
const FILES_MAX: usize = 10_000;
const RUNBOOK_BYTES_MAX: u64 = 50 << 20;

/// Everything that a reload can change.
pub struct Config {
    /// Where it came from; `None` without a file.
    pub file: Option<PathBuf>,
    pub globals: ScrapeGlobals,
    pub scrapes: Vec<ScrapeConfig>,
    pub probes: Vec<ProbeConfig>,
    /// Rule groups of `rule_files` and the default rules.
    pub rules: Vec<GroupConfig>,
    pub slos: Vec<Slo>,
    pub page: Arc<PageConfig>,
    pub runbooks: Arc<Library>,
    pub runs: Settings,
    pub lab: LabConfig,
    /// What steps reach by name.
    pub connections: Connections,
    /// Watch this host.
    pub host: bool,
    /// Look for well-known services on loopback.
    pub find_services: bool,
    text: String,
}

/// What the lab's pages show.
#[derive(Clone, Debug, Default)]
pub struct LabConfig {
    /// Folder of experiments, as `exp --dir`.
    pub experiments: Option<PathBuf>,
    /// The gate's file, as `gate --config`; its folder is where the history is.
    pub gate: Option<PathBuf>,
}

impl LabConfig {
    /// Reads `lab`; paths are relative to the configuration's folder.
    fn read(map: &mut MapReader<'_, '_>, base: &Path) -> Self {
        let Some(node) = map.take("lab") else {
            return Self::default();
        };
        let mut part = MapReader::new(node, "lab", map.problems());
        let mut path = |key: &'static str| part.text(key).map(|text| base.join(text));
        let config = Self {
            experiments: path("experiments"),
            gate: path("gate"),
        };
        part.finish();
        config
    }
}

/// Reads one file: a node and its problems.
fn read_yaml(file: &Path, problems: &mut Problems) -> Option<(Node, String)> {
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Some((bellwether_yaml::parse(&name, &text, problems)?, text)),
        Err(error) => {
            problems.push(Problem::error(
                &name.as_str().into(),
                0,
                0,
                format!("cannot be read: {error}"),
            ));
            None
        }
    }
}

// === impl Config ===

impl Config {
    /// What the pager works with on this machine.
    pub fn page_here(&self, external_url: &str) -> PageConfig {
        let mut page = (*self.page).clone();
        if page.external_url.is_empty() {
            external_url.clone_into(&mut page.external_url);
        }
        let display = vars::DISPLAY.get().or_else(|| vars::WAYLAND_DISPLAY.get());
        let path = vars::PATH.get().unwrap_or_default();
        if !Desktop::is_here(&path, display.as_deref()) {
            page.leave_out_desktop();
        }
        page
    }

    /// Without a file: this host, what is found on it, the default rules, the person at the keyboard.
    pub fn without_file() -> (Self, Problems) {
        let mut problems = Problems::default();
        let node = Node {
            value: Value::Null,
            file: "".into(),
            line: 0,
            column: 0,
        };
        let config = Self::read(None, &node, String::new(), &mut problems);
        (config, problems)
    }

    /// Reads a file and everything it names.
    pub fn load(file: &Path) -> (Option<Self>, Problems) {
        let mut problems = Problems::default();
        let Some((node, text)) = read_yaml(file, &mut problems) else {
            return (None, problems);
        };
        let config = Self::read(Some(file), &node, text, &mut problems);
        problems.sort();
        (Some(config), problems)
    }

    /// Reads a file of Alertmanager's, by its rules: only the pager runs.
    pub fn load_alertmanager(file: &Path, mode: Mode) -> (Option<Self>, Problems) {
        let mut problems = Problems::default();
        let name = file.display().to_string();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot be read: {error}");
                problems.push(Problem::error(&name.as_str().into(), 0, 0, message));
                return (None, problems);
            }
        };
        let (page, mut problems) = PageConfig::parse_alertmanager(&name, &text, mode);
        problems.sort();
        let config = page.map(|page| Self {
            file: Some(file.to_owned()),
            globals: ScrapeGlobals::default(),
            scrapes: Vec::new(),
            probes: Vec::new(),
            rules: Vec::new(),
            slos: Vec::new(),
            page: Arc::new(page),
            runbooks: Arc::new(Library::default()),
            runs: Settings::default(),
            connections: Connections::default(),
            lab: LabConfig::default(),
            host: false,
            find_services: false,
            text,
        });
        (config, problems)
    }

    fn read(file: Option<&Path>, node: &Node, text: String, problems: &mut Problems) -> Self {
        let base = file
            .and_then(Path::parent)
            .unwrap_or(Path::new(""))
            .to_owned();
        let mut map = MapReader::new(node, "configuration", problems);
        let globals = match map.take("global") {
            Some(node) => ScrapeGlobals::read(&prometheus_part(node), map.problems()),
            None => ScrapeGlobals {
                // Without a word, look as often as people expect of a small system.
                scrape_interval: Duration::from_secs(15),
                evaluation_interval: Duration::from_secs(15),
                ..ScrapeGlobals::default()
            },
        };
        let scrapes = match map.take("scrape_configs") {
            Some(node) => read_scrape_configs(node, &globals, &base, map.problems()),
            None => Vec::new(),
        };
        let probes = match map.take("probes") {
            Some(node) => read_probes(node, &globals, map.problems()),
            None => Vec::new(),
        };
        let options = ReadOptions {
            foreign_global_keys: PROMETHEUS_GLOBALS.to_vec(),
            ..ReadOptions::default()
        };
        let page = PageConfig::read(&mut map, &options);
        let mut rules = read_rules(&mut map, &base);
        let slos = match map.take("slos") {
            Some(node) => bellwether_judge::slo::read(node, map.problems()),
            None => Vec::new(),
        };
        if map.boolean("default_rules").unwrap_or(true) {
            rules.extend(bellwether_judge::defaults::groups());
        }
        let (runbooks, mut runs, connections) = read_runbooks(&mut map, &base, file.is_none());
        runs.groups = groups(&page);
        let lab = LabConfig::read(&mut map, &base);
        let host = map.boolean("host").unwrap_or(true);
        let find_services = map.boolean("find_services").unwrap_or(true);
        for (key, instead) in NOT_YET {
            if let Some(node) = map.take(key) {
                map.problems().push(
                    node.warning(format!("`{key}` is read but has no effect yet"))
                        .with_hint(*instead),
                );
            }
        }
        map.finish();
        Self {
            file: file.map(Path::to_owned),
            globals,
            scrapes,
            probes,
            rules,
            slos,
            page: Arc::new(page),
            runbooks: Arc::new(runbooks),
            runs,
            lab,
            connections,
            host,
            find_services,
            text,
        }
    }

    /// Rule groups to evaluate: of the files, the defaults, and those that the SLOs become.
    pub fn groups(&self) -> Vec<GroupConfig> {
        let mut groups = self.rules.clone();
        groups.extend(self.slos.iter().flat_map(Slo::groups));
        groups
    }

    /// The pager's part as an Alertmanager's file, with `<secret>` in place of secrets: what its clients read.
    pub fn as_alertmanager(&self) -> String {
        let text = redact::alertmanager(&self.text);
        if text.lines().any(|line| line == "route:") {
            return text;
        }
        let name = bellwether_page::config::DEFAULT_RECEIVER;
        let node = &self.page.routes.nodes[0];
        let (wait, interval) = (node.group_wait.as_secs(), node.group_interval.as_secs());
        format!(
            "route:\n  receiver: {name}\n  group_by:\n    - alertname\n  group_wait: {wait}s\n  \
             group_interval: {interval}s\n  repeat_interval: 4h\nreceivers:\n  - name: {name}\n"
        )
    }

    /// The file as it was understood, with `<secret>` in place of secrets and without comments, as Prometheus has it.
    pub fn redacted(&self) -> String {
        redact::redact(&self.text)
    }
}

/// `global` without Alertmanager's keys, which the pager reads (and it reports those that nobody knows).
fn prometheus_part(node: &Node) -> Node {
    let mut part = node.clone();
    if let Value::Map(entries) = &mut part.value {
        entries.retain(|(key, _)| {
            key.as_text()
                .is_some_and(|key| PROMETHEUS_GLOBALS.contains(&key))
        });
    }
    part
}

/// Prometheus' sections that do nothing here, and what to do instead.
const NOT_YET: &[(&str, &str)] = &[
    (
        "alerting",
        "alerts go to this server's own `route`; leave the section out",
    ),
    ("remote_write", "samples stay in this server's own store"),
    (
        "remote_read",
        "samples are read from this server's own store",
    ),
    ("storage", "retention is set by --retention"),
    ("tracing", "this server does not send traces"),
    ("otlp", "this server does not receive OTLP"),
    ("runtime", "this setting is Go's"),
    ("scrape_config_files", "name the jobs in `scrape_configs`"),
];

fn read_rules(map: &mut MapReader<'_, '_>, base: &Path) -> Vec<GroupConfig> {
    let mut groups = Vec::new();
    for node in map.list("rule_files") {
        let Some(pattern) = map.reader().text(node, "rule_files") else {
            continue;
        };
        let files = match find_files(base, &pattern) {
            Ok(files) => files,
            Err(error) => {
                map.problems().push(node.error(error));
                continue;
            }
        };
        if files.is_empty() {
            let problem = node.warning(format!("no file matches {pattern:?}"));
            map.problems()
                .push(problem.with_hint("paths are relative to the configuration file"));
        }
        for file in files {
            if let Ok(text) = std::fs::read_to_string(&file) {
                groups.extend(RuleFile::read(
                    &file.display().to_string(),
                    &text,
                    map.problems(),
                ));
            } else {
                map.problems()
                    .push(node.error(format!("{} cannot be read", file.display())));
            }
        }
    }
    groups
}

/// Pages that come with the program: one for each that a default rule names, and examples.
const BUILT_IN_RUNBOOKS: &[(&str, &str)] = &[
    (
        "runbooks/bellwether-config.md",
        include_str!("../../../runbooks/bellwether-config.md"),
    ),
    (
        "runbooks/bellwether-deliveries.md",
        include_str!("../../../runbooks/bellwether-deliveries.md"),
    ),
    (
        "runbooks/bellwether-late.md",
        include_str!("../../../runbooks/bellwether-late.md"),
    ),
    (
        "runbooks/bellwether-promise.md",
        include_str!("../../../runbooks/bellwether-promise.md"),
    ),
    (
        "runbooks/bellwether-state.md",
        include_str!("../../../runbooks/bellwether-state.md"),
    ),
    (
        "runbooks/certificate-expiry.md",
        include_str!("../../../runbooks/certificate-expiry.md"),
    ),
    (
        "runbooks/disk-full.md",
        include_str!("../../../runbooks/disk-full.md"),
    ),
    (
        "runbooks/nginx-backend-down.md",
        include_str!("../../../runbooks/nginx-backend-down.md"),
    ),
    (
        "runbooks/nothing-answers.md",
        include_str!("../../../runbooks/nothing-answers.md"),
    ),
    (
        "runbooks/probe-failing.md",
        include_str!("../../../runbooks/probe-failing.md"),
    ),
    (
        "runbooks/probe-slow.md",
        include_str!("../../../runbooks/probe-slow.md"),
    ),
    (
        "runbooks/service-down.md",
        include_str!("../../../runbooks/service-down.md"),
    ),
    (
        "runbooks/web-failing-replica.md",
        include_str!("../../../runbooks/web-failing-replica.md"),
    ),
    (
        "runbooks/web-slow-replica.md",
        include_str!("../../../runbooks/web-slow-replica.md"),
    ),
];

/// Who belongs to what, for `approve: {by: …}`: the members of each schedule.
fn groups(page: &PageConfig) -> BTreeMap<String, BTreeSet<String>> {
    let members = |schedule: &bellwether_page::schedule::Schedule| {
        let layers = schedule
            .layers
            .iter()
            .flat_map(|layer| layer.members.iter().flatten());
        layers.cloned().collect()
    };
    let schedules = page.oncall.schedules.iter();
    schedules
        .map(|(name, schedule)| (name.clone(), members(schedule)))
        .collect()
}

/// A map of names to texts.
fn named_texts(section: &mut MapReader<'_, '_>, key: &'static str) -> BTreeMap<String, String> {
    let Some(node) = section.take(key) else {
        return BTreeMap::new();
    };
    let Some(entries) = node.as_map() else {
        let problem = node.error(format!("{key} must be a map of names to addresses"));
        section.problems().push(problem);
        return BTreeMap::new();
    };
    let pairs = entries.iter().filter_map(|(name, value)| {
        Some((name.as_text()?.to_owned(), value.as_text()?.to_owned()))
    });
    pairs.collect()
}

fn read_runbooks(
    map: &mut MapReader<'_, '_>,
    base: &Path,
    _without_file: bool,
) -> (Library, Settings, Connections) {
    let mut settings = Settings::default();
    let mut connections = Connections::default();
    let mut files: Vec<(String, String)> = Vec::new();
    if let Some(node) = map.take("runbooks") {
        let mut section = MapReader::new(node, "runbooks section", map.problems());
        for path in section.list("paths") {
            let Some(text) = section.reader().text(path, "paths") else {
                continue;
            };
            match find_pages(&base.join(&text)) {
                Ok(found) => files.extend(found),
                Err(error) => section.problems().push(path.error(error)),
            }
        }
        if let Some(node) = section.take("automatic") {
            settings.automatic = match (node.as_text(), node.as_list()) {
                (Some("all"), _) => Automatic::All,
                (Some("never"), _) => Automatic::Never,
                (_, Some(_)) => Automatic::These(
                    section
                        .reader()
                        .texts(node, "automatic")
                        .into_iter()
                        .collect(),
                ),
                _ => {
                    let problem =
                        node.error("automatic must be `never`, `all` or a list of runbooks");
                    section.problems().push(problem);
                    Automatic::Never
                }
            };
        }
        if let Some(number) = section.integer("automatic_runs_per_hour") {
            settings.budget_runs = u32::try_from(number).unwrap_or(0);
        }
        if let Some(poll) = section.duration("verify_poll") {
            settings.verify_poll = poll.max(Duration::from_millis(200));
        }
        if let Some(ttl) = section.duration("approval_ttl") {
            settings.approval_ttl = ttl;
        }
        connections.ssh_config = section.text("ssh_config").map(|file| base.join(file));
        connections.databases = named_texts(&mut section, "databases");
        connections.chats = named_texts(&mut section, "chats");
        section.finish();
    }
    let named: BTreeSet<String> = files
        .iter()
        .filter_map(|(path, _)| file_name(path))
        .collect();
    for (path, text) in BUILT_IN_RUNBOOKS {
        // A page of the user's with the same name replaces ours.
        if file_name(path).is_some_and(|name| !named.contains(&name)) {
            files.push(((*path).to_owned(), (*text).to_owned()));
        }
    }
    let (library, found) = Library::load(
        files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str())),
    );
    map.problems().append(found);
    (library, settings, connections)
}

fn file_name(path: &str) -> Option<String> {
    Path::new(path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
}

/// Markdown pages of a file or folder, to any depth.
pub fn find_pages(path: &Path) -> Result<Vec<(String, String)>, String> {
    let mut waiting = vec![path.to_owned()];
    let mut pages = Vec::new();
    while let Some(path) = waiting.pop() {
        let metadata =
            std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if metadata.is_dir() {
            let entries =
                std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let hidden = |path: &PathBuf| {
                path.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with('.'))
            };
            waiting.extend(
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| !hidden(path)),
            );
        } else if path
            .extension()
            .is_some_and(|end| end == "md" || end == "markdown")
        {
            if metadata.len() > RUNBOOK_BYTES_MAX {
                return Err(format!(
                    "{}: larger than {} MiB",
                    path.display(),
                    RUNBOOK_BYTES_MAX >> 20
                ));
            }
            let bytes =
                std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            pages.push((
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
        if pages.len() + waiting.len() > FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
    }
    pages.sort();
    Ok(pages)
}

/// Files that a pattern names; without wildcards the file must be there.
pub(crate) fn find_files(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = base.join(pattern);
    if !pattern.contains(['*', '?', '[']) && !path.exists() {
        return Err(format!("{} does not exist", path.display()));
    }
    Ok(crate::files::find(base, pattern))
}

#[cfg(test)]
mod tests {
    use super::{BUILT_IN_RUNBOOKS, Config};

    #[test]
    fn every_runbook_that_a_default_rule_names_comes_with_the_program() {
        let (config, problems) = Config::without_file();
        assert!(problems.0.is_empty(), "{problems}");
        let annotations = config
            .rules
            .iter()
            .flat_map(|group| &group.rules)
            .map(bellwether_judge::RuleConfig::annotation_texts);
        let named: Vec<String> = annotations
            .map(|texts| texts.get("runbook").to_owned())
            .filter(|n| !n.is_empty())
            .collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            assert!(
                config.runbooks.get(&name).is_some(),
                "there is no runbook {name:?}"
            );
        }
        // Each page of the folder is built in, and none twice.
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runbooks");
        assert_eq!(
            super::find_pages(&folder).unwrap().len(),
            BUILT_IN_RUNBOOKS.len()
        );
    }

    #[test]
    fn global_has_keys_of_both_and_refuses_others_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.yml");
        let text = "global: {scrape_interval: 5s, smtp_smarthost: 'm:587', smtp_from: a@b.org, scrap_timeout: 1s}\n";
        std::fs::write(&file, text).unwrap();
        let (config, problems) = Config::load(&file);
        let messages: Vec<&str> = problems
            .0
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert!(
            matches!(messages[..], [one] if one.contains("scrap_timeout")),
            "{messages:?}"
        );
        let config = config.unwrap();
        assert_eq!(config.globals.scrape_interval.as_secs(), 5);
        assert_eq!(config.page.global.smtp.smarthost, "m:587");
    }

    #[test]
    fn the_examples_are_good() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
        let files = std::fs::read_dir(folder).unwrap().flatten();
        for file in files.filter(|file| file.path().extension().is_some_and(|e| e == "yml")) {
            let (_, problems) = Config::load(&file.path());
            assert!(problems.0.is_empty(), "{problems}");
        }
    }
}
