//! Stacks and how often each was seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Frames of one stack that are kept.
pub(crate) const DEPTH_MAX: usize = 256;
/// Different stacks that are kept.
const STACKS_MAX: usize = 200_000;

/// Stacks, outermost frame first, with their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stacks(BTreeMap<String, u64>);

/// Why folded stacks cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldedError {
    #[error("line {line} has no count at its end: write `main;work 42`")]
    Count { line: usize },
    #[error("more than {STACKS_MAX} different stacks")]
    TooMany,
    #[error("no stacks")]
    Empty,
}

/// A function as it was called there, with all that it called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub count: u64,
    pub children: Vec<Node>,
}

impl Stacks {
    /// Counts a stack.
    pub fn add(&mut self, frames: &[impl AsRef<str>], count: u64) {
        let names = frames.iter().take(DEPTH_MAX);
        let folded: Vec<String> = names
            // The two characters that the folded form cannot hold within a name.
            .map(|frame| frame.as_ref().replace(';', ":").replace('\n', " "))
            .collect();
        let key = folded.join(";");
        if self.0.len() < STACKS_MAX || self.0.contains_key(&key) {
            *self.0.entry(key).or_default() += count;
        }
    }

    /// Samples in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(stack, count)| (stack.as_str(), *count))
    }

    /// Reads folded stacks: `outer;inner 42`, as other profilers write them.
    pub fn parse(text: &str) -> Result<Self, FoldedError> {
        let mut stacks = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = FoldedError::Count { line: index + 1 };
            let (stack, count) = line.rsplit_once(' ').ok_or(fault.clone())?;
            let count: u64 = count.parse().map_err(|_| fault)?;
            let frames: Vec<&str> = stack.split(';').collect();
            stacks.add(&frames, count);
            if stacks.0.len() >= STACKS_MAX {
                return Err(FoldedError::TooMany);
            }
        }
        if stacks.is_empty() {
            return Err(FoldedError::Empty);
        }
        Ok(stacks)
    }

    /// As folded stacks.
    pub fn folded(&self) -> String {
        let mut out = String::new();
        for (stack, count) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{stack} {count}");
        }
        out
    }

    /// As a tree under one root; children in the order of their names.
    pub fn tree(&self) -> Node {
        let mut root = Node {
            name: "all".to_owned(),
            ..Node::default()
        };
        for (stack, count) in &self.0 {
            root.count += count;
            let mut node = &mut root;
            for frame in stack.split(';') {
                let at = node
                    .children
                    .binary_search_by(|child| child.name.as_str().cmp(frame));
                let at = at.unwrap_or_else(|at| {
                    let child = Node {
                        name: frame.to_owned(),
                        ..Node::default()
                    };
                    node.children.insert(at, child);
                    at
                });
                node = &mut node.children[at];
                node.count += count;
            }
        }
        root
    }

    /// Samples in which a function is on the stack, by its name; a function that calls itself counts once.
    pub fn inclusive(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (stack, count) in &self.0 {
            let mut names: Vec<&str> = stack.split(';').collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                *all.entry(name).or_default() += count;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folded_lines_go_through_a_tree() {
        let stacks = Stacks::parse("# c\nmain;a b;c 3\nmain;a b 2\nmain;main 1\n").unwrap();
        assert_eq!(stacks.total(), 6);
        assert_eq!(stacks.folded(), "main;a b 2\nmain;a b;c 3\nmain;main 1\n");
        let tree = stacks.tree();
        assert_eq!((tree.count, tree.children[0].children[0].count), (6, 5));
        assert_eq!(stacks.inclusive()["main"], 6);
        assert_eq!(
            Stacks::parse("main\n").unwrap_err(),
            FoldedError::Count { line: 1 }
        );
        assert_eq!(Stacks::parse("\n").unwrap_err(), FoldedError::Empty);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(lines in proptest::collection::vec(("[a-z ;]{1,20}", 1..1000_u64), 1..20)) {
            let mut stacks = Stacks::default();
            for (stack, count) in &lines {
                stacks.add(&stack.split(';').map(|f| format!("x{}", f.trim())).collect::<Vec<_>>(), *count);
            }
            prop_assert_eq!(Stacks::parse(&stacks.folded()).unwrap(), stacks.clone());
            prop_assert_eq!(stacks.tree().count, stacks.total());
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            drop(Stacks::parse(&text));
        }
    }
}
