//! Text to nodes, over `saphyr-parser`'s events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::{Problem, Problems};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::{BYTES_MAX, DEPTH_MAX, NODES_MAX, Node, Value};

/// Reads the one document of a file. An empty file gives a null node; a second document is an error.
/// `None` means that the text is not YAML at all; the problem says where.
pub fn parse(file: &str, text: &str, problems: &mut Problems) -> Option<Node> {
    let file: Arc<str> = file.into();
    let mut documents = read_documents(&file, text, problems)?;
    if let Some(second) = documents.get(1) {
        problems.push(
            second
                .error("a second document in this file")
                .with_hint("put it into a file of its own"),
        );
    }
    if documents.is_empty() {
        return Some(Node {
            value: Value::Null,
            file,
            line: 1,
            column: 1,
        });
    }
    Some(documents.swap_remove(0))
}

/// Reads all documents of a file.
pub fn parse_all(file: &str, text: &str, problems: &mut Problems) -> Option<Vec<Node>> {
    read_documents(&file.into(), text, problems)
}

struct Builder<'a> {
    file: Arc<str>,
    problems: &'a mut Problems,
    anchors: BTreeMap<usize, (Node, usize)>,
    stack: Vec<Open>,
    documents: Vec<Node>,
    nodes: usize,
}

/// Entries so far and the key whose value comes next.
type OpenMap = (Vec<(Node, Node)>, Option<Node>);

/// A collection that has not ended yet.
struct Open {
    anchor: usize,
    start: Node,
    /// Nodes there were when it began, to know its size when it is used again.
    nodes_before: usize,
    list: Vec<Node>,
    map: Option<OpenMap>,
}

fn read_documents(file: &Arc<str>, text: &str, problems: &mut Problems) -> Option<Vec<Node>> {
    if text.len() > BYTES_MAX {
        problems.push(Problem::error(
            file,
            0,
            0,
            format!("larger than {} MiB", BYTES_MAX >> 20),
        ));
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (error, line) = match events(file, text, problems) {
        Ok(documents) => return Some(documents),
        Err(failed) => failed,
    };
    if is_quoted_indentation(&error)
        && let Some(documents) = with_more_indentation(file, text, (&error, line), problems)
    {
        return Some(documents);
    }
    problems.push(error);
    None
}

fn is_quoted_indentation(problem: &Problem) -> bool {
    problem
        .message
        .contains("invalid indentation in quoted scalar")
}

/// Lines of quoted texts that are moved before a file is given up.
const MOVED_LINES_MAX: usize = 200;

/// YAML wants the further lines of a quoted text indented, libyaml and with it Prometheus do not care. White space before
/// them has no meaning, so they are moved until the text can be read, with a warning for each.
fn with_more_indentation(
    file: &Arc<str>,
    text: &str,
    (error, line): (&Problem, usize),
    problems: &mut Problems,
) -> Option<Vec<Node>> {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let mut at = line;
    let mut warnings = Problems::default();
    let warning = |error: &Problem| {
        Problem {
            severity: bellwether_model::Severity::Warning,
            ..error.clone()
        }
        .with_hint("indent this line and the other lines of the text further than the key")
    };
    warnings.push(warning(error));
    for _ in 0..MOVED_LINES_MAX {
        // The scanner points at the beginning of the text: the line after it, then the next one.
        let moved = lines.get_mut(at)?;
        moved.insert_str(0, &" ".repeat(2 * DEPTH_MAX));
        at += 1;
        let mut own = Problems::default();
        match events(file, &lines.join("\n"), &mut own) {
            Ok(documents) => {
                problems.append(own);
                problems.append(warnings);
                return Some(documents);
            }
            Err((error, line)) if is_quoted_indentation(&error) => {
                if line >= at {
                    warnings.push(warning(&error));
                    at = line;
                }
            }
            Err(_) => return None,
        }
    }
    None
}

/// The documents, or the fault that ends reading with its line.
fn events(
    file: &Arc<str>,
    text: &str,
    problems: &mut Problems,
) -> Result<Vec<Node>, (Problem, usize)> {
    let mut builder = Builder {
        file: Arc::clone(file),
        problems,
        anchors: BTreeMap::new(),
        stack: Vec::new(),
        documents: Vec::new(),
        nodes: 0,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if let Err(problem) = builder.take(event, span) {
                    return Err((problem, span.start.line()));
                }
            }
            Err(error) => {
                let mark = error.marker();
                let problem = Problem::error(
                    file,
                    mark.line() as u32,
                    mark.col() as u32 + 1,
                    error.info(),
                );
                return Err((with_yaml_hint(problem, text, mark.line()), mark.line()));
            }
        }
    }
    Ok(builder.documents)
}

/// What is usually behind an error of the scanner.
fn with_yaml_hint(problem: Problem, text: &str, line: usize) -> Problem {
    let line_text = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if line_text.starts_with('\t') || line_text.trim_start_matches(' ').starts_with('\t') {
        problem.with_hint("YAML indents with spaces, this line has a tab")
    } else if problem
        .message
        .contains("invalid indentation in quoted scalar")
    {
        problem.with_hint(
            "a quoted text that goes on here must be indented further than its key: add spaces to this line and to \
             the other lines of the text",
        )
    } else if line_text.contains(": ") || line_text.contains('{') {
        problem.with_hint("check the indentation, and quote values that contain `: `, `{` or `#`")
    } else {
        problem.with_hint("check the indentation of this line and of the one before")
    }
}

impl Builder<'_> {
    fn node(&self, value: Value, span: Span) -> Node {
        Node {
            value,
            file: Arc::clone(&self.file),
            line: span.start.line() as u32,
            column: span.start.col() as u32 + 1,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Value::Null
                } else {
                    Value::Scalar {
                        text: text.into_owned(),
                        quoted,
                    }
                };
                let node = self.node(value, span);
                self.add(node, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, span, None),
            Event::MappingStart(anchor, _) => self.open(anchor, span, Some((Vec::new(), None))),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let here = self.node(Value::Null, span);
                let Some((mut node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(here.error("alias of an anchor that is not complete yet"));
                };
                // Point at the use, not at the anchor: that is where the reader looks.
                (node.line, node.column) = (here.line, here.column);
                self.add(node, 0, size)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, span: Span, map: Option<OpenMap>) -> Result<(), Problem> {
        let start = self.node(Value::Null, span);
        if self.stack.len() >= DEPTH_MAX {
            return Err(start.error(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.stack.push(Open {
            anchor,
            start,
            nodes_before: self.nodes,
            list: Vec::new(),
            map,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let value = match open.map {
            None => Value::List(open.list),
            Some((entries, _)) => Value::Map(self.finish_map(entries)),
        };
        let size = self.nodes - open.nodes_before + 1;
        self.nodes = open.nodes_before;
        self.add(
            Node {
                value,
                ..open.start
            },
            open.anchor,
            size,
        )
    }

    /// Reports duplicate keys (the first stays) and merges `<<`, where keys written out win.
    fn finish_map(&mut self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut seen = BTreeSet::new();
        let (mut own, mut merged) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            let is_merge =
                matches!(&key.value, Value::Scalar { text, quoted: false } if text == "<<");
            if is_merge {
                match value.value {
                    Value::Map(inner) => merged.extend(inner),
                    Value::List(items) => {
                        merged.extend(items.into_iter().flat_map(|item| match item.value {
                            Value::Map(inner) => inner,
                            _ => Vec::new(),
                        }));
                    }
                    _ => self
                        .problems
                        .push(key.error("`<<` merges a map or a list of maps")),
                }
                continue;
            }
            let Some(text) = key.as_text().map(str::to_owned) else {
                self.problems
                    .push(key.error(format!("a key must be a single value, not {}", key.kind())));
                continue;
            };
            if seen.insert(text.clone()) {
                own.push((key, value));
            } else {
                self.problems
                    .push(key.error(format!("key {text:?} is already set in this map")));
            }
        }
        for (key, value) in merged {
            if key
                .as_text()
                .is_some_and(|text| seen.insert(text.to_owned()))
            {
                own.push((key, value));
            }
        }
        own
    }

    fn add(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Problem> {
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return Err(node.error(format!("more than {NODES_MAX} values, aliases expanded")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Open {
                map: None, list, ..
            }) => list.push(node),
            Some(Open {
                map: Some((entries, key)),
                ..
            }) => match key.take() {
                None => *key = Some(node),
                Some(name) => entries.push((name, node)),
            },
        }
        Ok(())
    }
}
