//! The routing tree.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::labels::is_classic_label_name;
use bellwether_model::{Labels, MatchOp, Matcher, Problems, suggest};
use bellwether_yaml::{MapReader, Node};

use super::{InhibitRule, Receiver};
use crate::interval::TimeInterval;
use crate::matchers::{self, Mode};

/// The routing tree, flattened: node 0 is the root, children come after their parents.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTree {
    pub nodes: Vec<RouteNode>,
}

/// One route with everything it inherits filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteNode {
    /// Unique in the tree, stable over reloads: `{}/{severity="page"}/0`.
    pub id: String,
    /// As Alertmanager prints it in group keys: `{}/{severity="page"}`.
    pub key: String,
    pub parent: Option<usize>,
    pub children: Vec<usize>,
    /// Sorted.
    pub matchers: Vec<Matcher>,
    pub continue_: bool,
    pub receiver: String,
    /// Sorted; ignored when `group_by_all`.
    pub group_by: Vec<String>,
    pub group_by_all: bool,
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub repeat_interval: Duration,
    pub mute_time_intervals: Vec<String>,
    pub active_time_intervals: Vec<String>,
    /// Go into notifications and lists of groups; a child's are added to its parent's.
    pub labels: Labels,
}

// === impl RouteTree ===

impl RouteTree {
    /// One route for everything, grouped by `alertname`, with short waits: the zero-configuration.
    pub fn to_receiver(receiver: &str) -> Self {
        Self {
            nodes: vec![RouteNode {
                id: "{}".to_owned(),
                key: "{}".to_owned(),
                parent: None,
                children: Vec::new(),
                matchers: Vec::new(),
                continue_: false,
                receiver: receiver.to_owned(),
                group_by: vec!["alertname".to_owned()],
                group_by_all: false,
                group_wait: Duration::from_secs(5),
                group_interval: Duration::from_mins(1),
                repeat_interval: Duration::from_hours(4),
                mute_time_intervals: Vec::new(),
                active_time_intervals: Vec::new(),
                labels: Labels::empty(),
            }],
        }
    }

    /// Nodes that an alert goes to: depth-first, first match unless `continue`.
    pub fn matching(&self, labels: &Labels) -> Vec<usize> {
        let mut found = Vec::new();
        self.collect(0, labels, &mut found);
        found
    }

    fn collect(&self, index: usize, labels: &Labels, found: &mut Vec<usize>) -> bool {
        let Some(node) = self.nodes.get(index) else {
            return false;
        };
        if !node
            .matchers
            .iter()
            .all(|matcher| matcher.matches_labels(labels))
        {
            return false;
        }
        let before = found.len();
        for child in &node.children {
            if self.collect(*child, labels, found) && !self.nodes[*child].continue_ {
                break;
            }
        }
        if found.len() == before {
            found.push(index);
        }
        true
    }
}

// === impl RouteNode ===

impl RouteNode {
    /// The labels by which an alert is grouped here.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        if self.group_by_all {
            return labels.clone();
        }
        labels.retain(|name| {
            self.group_by
                .binary_search_by(|known| known.as_str().cmp(name))
                .is_ok()
        })
    }
}

// === reading ===

const NAMES_HINT: &str = "a label name: letters, digits and underscores, not a digit first";

/// A route as written, before it inherits.
#[derive(Default)]
struct Written {
    receiver: Option<(String, Node)>,
    group_by: Vec<String>,
    has_group_by: bool,
    waits: [Option<Duration>; 3],
    matchers: Vec<Matcher>,
    continue_: bool,
    mute: Vec<(String, Node)>,
    active: Vec<(String, Node)>,
    labels: Labels,
}

/// Reads the tree. `names` are the receivers and the time intervals there are.
pub(super) fn read(
    root: &Node,
    mode: Mode,
    receivers: &BTreeMap<String, Receiver>,
    intervals: &BTreeMap<String, Vec<TimeInterval>>,
    problems: &mut Problems,
) -> RouteTree {
    let mut reader = TreeReader {
        mode,
        receivers,
        intervals,
        problems,
        nodes: Vec::new(),
    };
    reader.node(root, None, 0);
    RouteTree {
        nodes: reader.nodes,
    }
}

struct TreeReader<'a> {
    mode: Mode,
    receivers: &'a BTreeMap<String, Receiver>,
    intervals: &'a BTreeMap<String, Vec<TimeInterval>>,
    problems: &'a mut Problems,
    nodes: Vec<RouteNode>,
}

impl TreeReader<'_> {
    fn node(&mut self, node: &Node, parent: Option<usize>, sibling: usize) {
        let (written, children) = self.written(node);
        if parent.is_none() {
            self.check_root(node, &written);
        }
        self.check_names(&written);
        let inherited = parent.map(|parent| self.nodes[parent].clone());
        let mut new = inherited.unwrap_or_else(|| {
            let mut root = RouteTree::to_receiver("").nodes.swap_remove(0);
            root.group_by.clear();
            root.group_wait = Duration::from_secs(30);
            root.group_interval = Duration::from_mins(5);
            root
        });
        let matchers_text = matchers::write_all(&written.matchers);
        if parent.is_some() {
            new.id = format!("{}/{matchers_text}/{sibling}", new.id);
            new.key = format!("{}/{matchers_text}", new.key);
        }
        new.parent = parent;
        new.children = Vec::new();
        new.matchers = written.matchers;
        new.continue_ = written.continue_;
        if let Some((receiver, _)) = written.receiver {
            new.receiver = receiver;
        }
        if written.has_group_by {
            new.group_by_all = written.group_by.iter().any(|name| name == "...");
            new.group_by = written.group_by;
            new.group_by.sort();
        }
        let [wait, interval, repeat] = written.waits;
        new.group_wait = wait.unwrap_or(new.group_wait);
        new.group_interval = interval.unwrap_or(new.group_interval);
        new.repeat_interval = repeat.unwrap_or(new.repeat_interval);
        // Not inherited.
        new.mute_time_intervals = written.mute.into_iter().map(|(name, _)| name).collect();
        new.active_time_intervals = written.active.into_iter().map(|(name, _)| name).collect();
        for label in &written.labels {
            new.labels = new.labels.with(&label.name, &label.value);
        }
        let index = self.nodes.len();
        self.nodes.push(new);
        if let Some(parent) = parent {
            self.nodes[parent].children.push(index);
        }
        for (sibling, child) in children.iter().enumerate() {
            self.node(child, Some(index), sibling);
        }
    }

    fn written<'n>(&mut self, node: &'n Node) -> (Written, &'n [Node]) {
        let mode = self.mode;
        let mut map = MapReader::new(node, "route", self.problems);
        let mut written = Written::default();
        if let Some(node) = map.take("receiver")
            && let Some(text) = map.reader().text(node, "receiver")
            && !text.is_empty()
        {
            written.receiver = Some((text, node.clone()));
        }
        if let Some(node) = map.take("group_by") {
            written.group_by = map.reader().texts(node, "group_by");
            written.has_group_by = true;
            check_group_by(node, &written.group_by, mode, map.problems());
        }
        for (index, key) in ["group_wait", "group_interval", "repeat_interval"]
            .into_iter()
            .enumerate()
        {
            written.waits[index] = map.duration(key);
            if index > 0 && written.waits[index] == Some(Duration::ZERO) {
                let node = map.take(key).unwrap_or(node);
                map.problems()
                    .push(node.error(format!("{key} cannot be zero")));
            }
        }
        written.matchers = read_matchers(&mut map, ["match", "match_re", "matchers"], mode);
        written.continue_ = map.boolean("continue").unwrap_or(false);
        for (key, list) in [
            ("mute_time_intervals", &mut written.mute),
            ("active_time_intervals", &mut written.active),
        ] {
            for node in map.list(key) {
                if let Some(text) = map.reader().text(node, key) {
                    list.push((text, node.clone()));
                }
            }
        }
        written.labels = super::receivers::labels(&mut map);
        let children = map.list("routes");
        map.finish();
        (written, children)
    }

    fn check_root(&mut self, node: &Node, written: &Written) {
        let mut wrong: Vec<&str> = Vec::new();
        if written.receiver.is_none() {
            wrong.push("root route must specify a default receiver");
        }
        if !written.matchers.is_empty() {
            wrong.push("root route must not have any matchers");
        }
        if !written.mute.is_empty() {
            wrong.push("root route must not have any mute time intervals");
        }
        if !written.active.is_empty() {
            wrong.push("root route must not have any active time intervals");
        }
        if written.continue_ {
            wrong.push("cannot have continue in root route");
        }
        for message in wrong {
            self.problems.push(node.error(message));
        }
    }

    fn check_names(&mut self, written: &Written) {
        if let Some((name, node)) = &written.receiver
            && !self.receivers.contains_key(name)
        {
            let problem = node.error(format!("undefined receiver {name:?} used in route"));
            let near = suggest(name, self.receivers.keys().map(String::as_str));
            self.problems.push(match near {
                Some(near) => problem.with_hint(format!("did you mean {near:?}?")),
                None => problem.with_hint("add it to receivers"),
            });
        }
        for (name, node) in written.mute.iter().chain(&written.active) {
            if !self.intervals.contains_key(name) {
                let problem = node.error(format!("undefined time interval {name:?} used in route"));
                self.problems
                    .push(problem.with_hint("add it to time_intervals"));
            }
        }
    }
}

fn valid_label_name(name: &str, mode: Mode) -> bool {
    match mode {
        Mode::Classic => is_classic_label_name(name),
        Mode::Fallback | Mode::Utf8 => !name.is_empty(),
    }
}

fn check_group_by(node: &Node, names: &[String], mode: Mode, problems: &mut Problems) {
    let all = names.iter().any(|name| name == "...");
    if all && names.iter().any(|name| name != "...") {
        let message = "cannot have wildcard group_by (`...`) and other labels at the same time";
        problems.push(node.error(message));
    }
    for (index, name) in names.iter().enumerate() {
        if name != "..." && !valid_label_name(name, mode) {
            problems.push(node.error(format!("invalid label name {name:?} in group_by list")));
        }
        if name != "..." && names[..index].contains(name) {
            problems.push(node.error(format!("duplicated label {name:?} in group_by")));
        }
    }
}

/// Matchers of a route, or of one side of an inhibition rule: the two old forms and the new one, sorted.
pub(super) fn read_matchers(
    map: &mut MapReader<'_, '_>,
    [equal, regex, list]: [&'static str; 3],
    mode: Mode,
) -> Vec<Matcher> {
    let mut found = Vec::new();
    for (key, op) in [(equal, MatchOp::Equal), (regex, MatchOp::Regex)] {
        let Some(node) = map.take(key) else { continue };
        map.reader().text_map(node, key);
        for (name, value) in node.as_map().unwrap_or_default() {
            let Some(label) = name.as_text() else {
                continue;
            };
            if !is_classic_label_name(label) {
                let problem = name.error(format!("invalid label name {label:?}"));
                map.problems().push(problem.with_hint(NAMES_HINT));
            }
            if value.is_null() && op == MatchOp::Regex {
                map.problems()
                    .push(value.error(format!("invalid regexp value for {label:?}")));
                continue;
            }
            match Matcher::new(op, label, value.as_text().unwrap_or_default()) {
                Ok(matcher) => found.push(matcher),
                Err(error) => map.problems().push(value.error(error.to_string())),
            }
        }
    }
    for node in map.list(list) {
        let Some(text) = map.reader().text(node, list) else {
            continue;
        };
        match matchers::parse(&text, mode) {
            Ok(mut matchers) => found.append(&mut matchers),
            Err(error) => {
                let problem = node.error(error.to_string());
                map.problems()
                    .push(problem.with_hint("write it as name=\"value\", with !=, =~ or !~"));
            }
        }
    }
    found.sort_by(|a, b| (&a.name, &a.value, a.op).cmp(&(&b.name, &b.value, b.op)));
    found
}

/// Reads `inhibit_rules`.
pub(super) fn read_inhibit_rules(
    items: &[Node],
    mode: Mode,
    problems: &mut Problems,
) -> Vec<InhibitRule> {
    items
        .iter()
        .map(|item| {
            let mut map = MapReader::new(item, "inhibition rule", problems);
            let name = map.text("name").unwrap_or_default();
            let source = ["source_match", "source_match_re", "source_matchers"];
            let target = ["target_match", "target_match_re", "target_matchers"];
            let source = read_matchers(&mut map, source, mode);
            let target = read_matchers(&mut map, target, mode);
            let equal = map.texts("equal");
            if let Some(bad) = equal.iter().find(|name| !valid_label_name(name, mode)) {
                let problem = item.error(format!("invalid label name {bad:?} in equal list"));
                map.problems().push(problem);
            }
            map.finish();
            InhibitRule {
                name,
                source,
                target,
                equal,
            }
        })
        .collect()
}
