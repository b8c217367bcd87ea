//! The routing tree.

use std::time::Duration;

use bellwether_model::{Labels, Matcher};

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
                group_interval: Duration::from_secs(60),
                repeat_interval: Duration::from_secs(4 * 3600),
                mute_time_intervals: Vec::new(),
                active_time_intervals: Vec::new(),
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
