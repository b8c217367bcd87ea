//! Flame graphs: what a program spent its samples on, callers above what they call.

use maud::{Markup, html};

use super::{frame, px};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const TOP: f64 = 44.0;
/// Frames that are narrower are not drawn.
const NARROWEST: f64 = 0.4;
/// Rows that are drawn.
const ROWS_MAX: usize = 120;
/// Width of a letter, about.
const LETTER: f64 = 7.2;

/// A flame graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flame {
    pub title: String,
    /// Below the title.
    pub note: String,
    /// What is counted.
    pub unit: String,
    pub root: FlameNode,
}

/// A function as it was called here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlameNode {
    pub name: String,
    /// Samples in it and in what it called.
    pub value: u64,
    pub tone: FlameTone,
    /// Said beside the numbers when the pointer is on it.
    pub note: String,
    pub children: Vec<FlameNode>,
}

/// The colour of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlameTone {
    /// By its name.
    #[default]
    Plain,
    /// In the kernel.
    Kernel,
    /// Takes significantly more than before.
    More,
    /// Takes significantly less than before.
    Less,
    /// No significant difference.
    Same,
}

impl Flame {
    /// As SVG.
    pub fn draw(&self, standalone: bool) -> Markup {
        let total = self.root.value.max(1);
        let mut drawn = Vec::new();
        place(&self.root, 0.0, 0, total, &mut drawn);
        let rows = drawn.iter().map(|frame| frame.row).max().unwrap_or(0) + 1;
        let height = TOP + rows as f64 * ROW + 8.0;
        let inside = html! {
            text x="6" y="18" { (self.title) }
            text x="6" y="36" { (self.note) }
            @for frame in &drawn {
                @let y = TOP + frame.row as f64 * ROW;
                g.frame {
                    title { (frame.node.name) " (" (frame.node.value) " " (self.unit) ", "
                        (format!("{:.1}", frame.node.value as f64 / total as f64 * 100.0)) " %)"
                        @if !frame.node.note.is_empty() { " " (frame.node.note) } }
                    rect class=(class(frame.node)) x=(px(frame.x)) y=(px(y)) width=(px(frame.width)) height=(ROW - 1.0) rx="1" {}
                    @if let Some(label) = label(&frame.node.name, frame.width) {
                        text.frame-text x=(px(frame.x + 3.0)) y=(px(y + 12.0)) { (label) }
                    }
                }
            }
        };
        frame(&self.title, WIDTH, height, standalone, &inside)
    }
}

struct Placed<'n> {
    node: &'n FlameNode,
    x: f64,
    width: f64,
    row: usize,
}

fn place<'n>(node: &'n FlameNode, x: f64, row: usize, total: u64, to: &mut Vec<Placed<'n>>) {
    let width = node.value as f64 / total as f64 * WIDTH;
    if width < NARROWEST || row >= ROWS_MAX {
        return;
    }
    to.push(Placed {
        node,
        x,
        width,
        row,
    });
    let mut at = x;
    for child in &node.children {
        place(child, at, row + 1, total, to);
        at += child.value as f64 / total as f64 * WIDTH;
    }
}

fn class(node: &FlameNode) -> &'static str {
    match node.tone {
        FlameTone::Kernel => "kernel",
        FlameTone::More => "more",
        FlameTone::Less => "less",
        FlameTone::Same => "same",
        FlameTone::Plain => {
            // A stable choice by the name (FNV-1a), so that a function looks the same everywhere.
            let hash = node
                .name
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            ["f0", "f1", "f2", "f3"][(hash >> 7) as usize % 4]
        }
    }
}

/// As much of a name as there is room for.
fn label(name: &str, width: f64) -> Option<String> {
    let room = ((width - 6.0) / LETTER) as usize;
    if room < 3 {
        return None;
    }
    if name.chars().count() <= room {
        return Some(name.to_owned());
    }
    let start: String = name.chars().take(room - 1).collect();
    Some(format!("{start}…"))
}
