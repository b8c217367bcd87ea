//! The gate's file: where results come from, where the history is kept, budgets and floors.

use bellwether_model::{Problems, Secret};
use bellwether_stats::Better;
use bellwether_yaml::{MapReader, Node, Reader};

use crate::import::Format;

/// A gate file.
#[derive(Clone, Debug)]
pub struct GateConfig {
    pub history: History,
    /// A shell command that measures; run before the results are read, again for a confirmation, and by `gate bisect`.
    pub run: Option<String>,
    /// A shell command that builds a commit before it is measured in a folder of its own.
    pub prepare: Option<String>,
    /// Files with results, relative to the working folder; what `run` prints counts too when there are none.
    pub results: Vec<String>,
    pub format: Option<Format>,
    /// Probability that a series without a change shows one.
    pub alpha: f64,
    /// Commits within which a change is news; older ones are only drawn.
    pub fresh: usize,
    pub floor: f64,
    /// Trials of the calibration that is shown beside each verdict; 0 leaves it out.
    pub trials: usize,
    pub confirm: Option<Confirm>,
    pub rules: Vec<Rule>,
    pub queries: Vec<QueryBudget>,
}

/// Where results of earlier commits are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// Notes of the repository (`refs/notes/bellwether`).
    Git,
    /// A folder with one JSON file for each commit.
    Folder(String),
}

/// What is done before a change is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Pairs of runs at most.
    pub pairs_max: usize,
}

/// What holds for the series whose name matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// A name; `*` stands for anything.
    pub pattern: String,
    /// The level may not be beyond this (seconds, bytes, or the plain number).
    pub budget: Option<f64>,
    /// The smallest relative change that matters.
    pub floor: f64,
    pub critical: bool,
    pub better: Option<Better>,
}

/// A budget of statements per request.
#[derive(Clone, Debug)]
pub struct QueryBudget {
    pub name: String,
    pub database: Secret,
    /// Command or URL of the request on a small and on a large input, with the number of items in each.
    pub small: (String, f64),
    pub large: (String, f64),
    pub requests: u64,
    pub budget: Option<f64>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            history: History::Git,
            run: None,
            prepare: None,
            results: Vec::new(),
            format: None,
            alpha: 0.002,
            fresh: 20,
            floor: 0.03,
            trials: 200,
            confirm: None,
            rules: Vec::new(),
            queries: Vec::new(),
        }
    }
}

impl GateConfig {
    /// Reads a file; every fault is a problem with its place. `None` when there is no YAML to go by.
    pub fn read(file: &str, text: &str, problems: &mut Problems) -> Option<Self> {
        let node = bellwether_yaml::parse(file, text, problems)?;
        let mut config = Self::default();
        let mut map = MapReader::new(&node, "gate file", problems);
        let history = map.take("history");
        let run = map.take("run");
        let prepare = map.take("prepare");
        let results = map.take("results");
        let format = map.take("format");
        let alpha = map.take("alpha");
        let fresh = map.take("fresh");
        let floor = map.take("floor");
        let trials = map.take("trials");
        let confirm = map.take("confirm");
        let rules = map.take("rules");
        let queries = map.take("queries");
        map.finish();
        if let Some(text) = history.and_then(|node| Reader::new(problems).text(node, "history")) {
            config.history = if text == "git" {
                History::Git
            } else {
                History::Folder(text)
            };
        }
        config.run = run.and_then(|node| Reader::new(problems).text(node, "run"));
        config.prepare = prepare.and_then(|node| Reader::new(problems).text(node, "prepare"));
        config.results = results
            .map(|node| Reader::new(problems).texts(node, "results"))
            .unwrap_or_default();
        if let Some(node) = format {
            config.format = read_format(node, problems);
        }
        if let Some(value) = alpha.and_then(|node| share(node, "alpha", 0.0001, 0.5, problems)) {
            config.alpha = value;
        }
        if let Some(value) = fresh.and_then(|node| count(node, "fresh", 1, 10_000, problems)) {
            config.fresh = value;
        }
        if let Some(value) = floor.and_then(|node| share(node, "floor", 0.0, 10.0, problems)) {
            config.floor = value;
        }
        if let Some(value) = trials.and_then(|node| count(node, "trials", 0, 100_000, problems)) {
            config.trials = value;
        }
        if let Some(node) = confirm {
            config.confirm = read_confirm(node, problems);
        }
        let floor = config.floor;
        for node in rules
            .map(|node| Reader::new(problems).list(node, "rules"))
            .unwrap_or_default()
        {
            config.rules.extend(read_rule(node, floor, problems));
        }
        for node in queries
            .map(|node| Reader::new(problems).list(node, "queries"))
            .unwrap_or_default()
        {
            config.queries.extend(read_queries(node, problems));
        }
        if config.run.is_none() && config.results.is_empty() && config.queries.is_empty() {
            problems.push(
                node.error("nothing to measure: neither `run`, `results` nor `queries`")
                    .with_hint("name the command that measures (`run:`), or the files that it writes (`results:`)"),
            );
        }
        if config.confirm.is_some() && config.run.is_none() {
            problems.push(node.error("`confirm` needs `run`: the command that measures again"));
        }
        Some(config)
    }

    /// What holds for a series: the first rule that matches.
    pub fn rule_for(&self, name: &str) -> Rule {
        self.rules
            .iter()
            .find(|rule| matches(&rule.pattern, name))
            .cloned()
            .unwrap_or(Rule {
                pattern: "*".to_owned(),
                budget: None,
                floor: self.floor,
                critical: false,
                better: None,
            })
    }
}

fn read_format(node: &Node, problems: &mut Problems) -> Option<Format> {
    let text = Reader::new(problems).text(node, "format")?;
    let found = Format::named(&text);
    if found.is_none() && text != "auto" {
        let known = Format::NAMES.map(|(name, _)| name).join(", ");
        problems.push(
            node.error(format!("unknown format {text:?}"))
                .with_hint(format!("one of auto, {known}")),
        );
    }
    found
}

fn read_confirm(node: &Node, problems: &mut Problems) -> Option<Confirm> {
    match node.as_text() {
        Some("true") => return Some(Confirm { pairs_max: 20 }),
        Some("false") => return None,
        _ => {}
    }
    let mut map = MapReader::new(node, "confirm", problems);
    let pairs = map.take("pairs_max");
    map.finish();
    let pairs_max = pairs
        .and_then(|node| count(node, "pairs_max", 1, 1000, problems))
        .unwrap_or(20);
    Some(Confirm { pairs_max })
}

fn read_rule(node: &Node, floor: f64, problems: &mut Problems) -> Option<Rule> {
    let mut map = MapReader::new(node, "rule", problems);
    let pattern = map.take("match");
    let budget = map.take("budget");
    let own_floor = map.take("floor");
    let critical = map.take("critical");
    let better = map.take("better");
    map.finish();
    let Some(pattern) = pattern.and_then(|node| Reader::new(problems).text(node, "match")) else {
        problems.push(
            node.error("a rule needs `match`: the names it is for")
                .with_hint("`*` stands for anything"),
        );
        return None;
    };
    Some(Rule {
        pattern,
        budget: budget.and_then(|node| quantity(node, problems)),
        floor: own_floor
            .and_then(|node| share(node, "floor", 0.0, 10.0, problems))
            .unwrap_or(floor),
        critical: critical
            .and_then(|node| Reader::new(problems).boolean(node, "critical"))
            .unwrap_or(false),
        better: better.and_then(|node| match node.as_text() {
            Some("lower") => Some(Better::Lower),
            Some("higher") => Some(Better::Higher),
            _ => {
                problems.push(node.error("better must be `lower` or `higher`"));
                None
            }
        }),
    })
}

fn read_queries(node: &Node, problems: &mut Problems) -> Option<QueryBudget> {
    let mut map = MapReader::new(node, "query budget", problems);
    let parts = ["name", "database", "small", "large"].map(|key| (key, map.take(key)));
    let numbers = ["small_items", "large_items", "budget"].map(|key| (key, map.take(key)));
    let requests = map.take("requests");
    map.finish();
    let mut texts = Vec::new();
    for (key, part) in parts {
        match part.and_then(|part| Reader::new(problems).text(part, key)) {
            Some(text) => texts.push(text),
            None => problems.push(node.error(format!("a query budget needs `{key}`"))),
        }
    }
    let [small_items, large_items, budget] =
        numbers.map(|(key, part)| part.and_then(|part| Reader::new(problems).number(part, key)));
    let requests = requests
        .and_then(|part| count(part, "requests", 1, 100_000, problems))
        .unwrap_or(5);
    let [name, database, small, large] = <[String; 4]>::try_from(texts).ok()?;
    let (small_items, large_items) = (small_items.unwrap_or(1.0), large_items.unwrap_or(10.0));
    if large_items <= small_items {
        problems.push(node.error("large_items must be more than small_items"));
        return None;
    }
    Some(QueryBudget {
        name,
        database: Secret::new(database),
        small: (small, small_items),
        large: (large, large_items),
        requests: requests as u64,
        budget,
    })
}

/// `3%` or `0.03`.
fn share(node: &Node, key: &str, min: f64, max: f64, problems: &mut Problems) -> Option<f64> {
    let text = node.as_text().unwrap_or_default();
    let value = parse_share(text);
    match value {
        Some(value) if (min..=max).contains(&value) => Some(value),
        _ => {
            problems.push(
                node.error(format!("{key} must be from {min} to {max}, not {text:?}"))
                    .with_hint("write it as 3% or 0.03"),
            );
            None
        }
    }
}

/// Reads `3%` or `0.03` as 0.03.
pub fn parse_share(text: &str) -> Option<f64> {
    let text = text.trim();
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    value.is_finite().then_some(value)
}

fn count(node: &Node, key: &str, min: usize, max: usize, problems: &mut Problems) -> Option<usize> {
    let value = Reader::new(problems).integer(node, key)?;
    match usize::try_from(value) {
        Ok(value) if (min..=max).contains(&value) => Some(value),
        _ => {
            problems.push(node.error(format!("{key} must be from {min} to {max}")));
            None
        }
    }
}

/// A number with an optional unit: `120ms`, `64MiB`, `1000`.
fn quantity(node: &Node, problems: &mut Problems) -> Option<f64> {
    let text = node.as_text().unwrap_or_default().trim();
    let split = text
        .find(|c: char| c.is_alphabetic() || c == 'µ')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "" | "s" | "B" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "ns" => 1e-9,
        "KiB" | "kB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => f64::NAN,
    };
    let value = number.trim().parse::<f64>().unwrap_or(f64::NAN) * scale;
    if value.is_finite() {
        return Some(value);
    }
    problems.push(
        node.error(format!("budget must be a number with a unit, not {text:?}"))
            .with_hint("such as 120ms, 1.5s, 64MiB or 1000"),
    );
    None
}

/// Whether a name matches a pattern in which `*` stands for anything.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
