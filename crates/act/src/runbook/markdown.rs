//! Markdown to the blocks that matter, with their places.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::shell::looks_like_inline_command;
use super::{Place, STEPS_MAX};

/// A part of a page.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Heading {
        level: u8,
        title: String,
        place: Place,
    },
    Code(Code),
    /// A command as inline code in an item of a list; `before` is the item's text so far.
    Inline {
        code: String,
        place: Place,
        before: String,
        in_quote: bool,
    },
    Table,
}

/// A block of code.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// As written after the fence; `None` for indented code.
    pub(super) info: Option<String>,
    /// Where the info string begins.
    pub(super) info_place: Place,
    pub(super) body: String,
    pub(super) place: Place,
    pub(super) in_list: bool,
    pub(super) in_quote: bool,
    /// Whether the fence ends.
    pub(super) closed: bool,
    /// Text of the paragraph right before it.
    pub(super) before: String,
}

/// Longest text that is kept as a title's source, in bytes.
const BEFORE_MAX: usize = 400;

/// Line starts of a text, to turn offsets into places.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// Lines before the text.
    base: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, base: u32) -> Self {
        let starts = std::iter::once(0)
            .chain(memchr_newlines(text).map(|at| at + 1))
            .collect();
        Self { text, starts, base }
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let begin = self.starts[line];
        // On absurdly long lines bytes are counted, so that many places on one line stay cheap.
        let column = self
            .text
            .get(begin..offset)
            .filter(|before| before.len() <= 10_000)
            .map_or(offset - begin, |before| before.chars().count());
        Place {
            line: line as u32 + 1 + self.base,
            column: column as u32 + 1,
        }
    }
}

fn memchr_newlines(text: &str) -> impl Iterator<Item = usize> {
    text.bytes()
        .enumerate()
        .filter(|(_, byte)| *byte == b'\n')
        .map(|(at, _)| at)
}

/// Reads Markdown; `base` is the number of lines before it in the file.
pub(super) fn read_blocks(text: &str, base: u32) -> Vec<Block> {
    let lines = Lines::new(text, base);
    let mut reader = Reader {
        text,
        lines,
        blocks: Vec::new(),
        lists: 0,
        quotes: 0,
        inlines: 0,
        heading: None,
        code: None,
        prose: String::new(),
        fresh: false,
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        reader.take(event, range);
    }
    reader.blocks
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines<'a>,
    blocks: Vec<Block>,
    lists: u32,
    quotes: u32,
    /// Commands found so far; beyond the limit of steps they are not collected.
    inlines: usize,
    heading: Option<(u8, String, Place)>,
    code: Option<Code>,
    /// Text of the last paragraph.
    prose: String,
    /// Whether the next text begins a new paragraph.
    fresh: bool,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, range: std::ops::Range<usize>) {
        match event {
            Event::Start(tag) => self.open(&tag, range),
            Event::End(tag) => self.close(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.body.push_str(&text),
                None => self.add_prose(&text),
            },
            Event::Code(code) => {
                let wanted = self.lists > 0 && self.heading.is_none() && self.inlines <= STEPS_MAX;
                if wanted && looks_like_inline_command(&code) {
                    self.inlines += 1;
                    let place = self.lines.place(range.start);
                    if std::mem::take(&mut self.fresh) {
                        self.prose.clear();
                    }
                    let before = self.prose.clone();
                    self.blocks.push(Block::Inline {
                        code: code.to_string(),
                        place,
                        before,
                        in_quote: self.quotes > 0,
                    });
                }
                self.add_prose(&code);
            }
            Event::SoftBreak | Event::HardBreak => self.add_prose(" "),
            _ => {}
        }
    }

    fn add_prose(&mut self, text: &str) {
        if let Some((_, title, _)) = &mut self.heading {
            title.push_str(text);
            return;
        }
        if std::mem::take(&mut self.fresh) {
            self.prose.clear();
        }
        if self.prose.len() < BEFORE_MAX {
            let end = text.floor_char_boundary(BEFORE_MAX);
            self.prose.push_str(&text[..end]);
        }
    }

    fn open(&mut self, tag: &Tag<'_>, range: std::ops::Range<usize>) {
        match tag {
            Tag::Heading { level, .. } => {
                let level = match level {
                    HeadingLevel::H1 => 1,
                    HeadingLevel::H2 => 2,
                    HeadingLevel::H3 => 3,
                    HeadingLevel::H4 => 4,
                    HeadingLevel::H5 => 5,
                    HeadingLevel::H6 => 6,
                };
                self.heading = Some((level, String::new(), self.lines.place(range.start)));
            }
            Tag::Paragraph | Tag::Item => self.fresh = true,
            Tag::List(_) => self.lists += 1,
            Tag::BlockQuote(_) => self.quotes += 1,
            Tag::Table(_) => self.blocks.push(Block::Table),
            Tag::CodeBlock(kind) => {
                let source = &self.text[range.clone()];
                let (info, info_offset, closed) = match kind {
                    CodeBlockKind::Indented => (None, 0, true),
                    CodeBlockKind::Fenced(_) => {
                        let (info, offset) = raw_info(source);
                        (Some(info.to_owned()), offset, is_closed(source))
                    }
                };
                let before = if self.fresh {
                    String::new()
                } else {
                    self.prose.clone()
                };
                self.code = Some(Code {
                    info,
                    info_place: self.lines.place(range.start + info_offset),
                    body: String::new(),
                    place: self.lines.place(range.start),
                    in_list: self.lists > 0,
                    in_quote: self.quotes > 0,
                    closed,
                    before,
                });
            }
            _ => {}
        }
    }

    fn close(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                if let Some((level, title, place)) = self.heading.take() {
                    self.blocks.push(Block::Heading {
                        level,
                        title: title.trim().to_owned(),
                        place,
                    });
                }
                self.prose.clear();
                self.fresh = false;
            }
            TagEnd::List(_) => self.lists -= 1,
            TagEnd::BlockQuote(_) => self.quotes -= 1,
            TagEnd::CodeBlock => {
                if let Some(code) = self.code.take() {
                    self.blocks.push(Block::Code(code));
                }
                self.prose.clear();
            }
            _ => {}
        }
    }
}

/// Info string as written (escapes untouched) and its offset from the fence.
fn raw_info(source: &str) -> (&str, usize) {
    let line = source.lines().next().unwrap_or_default();
    let rest = line.trim_start_matches(['`', '~']);
    let lead = rest.len() - rest.trim_start().len();
    (rest.trim(), line.len() - rest.len() + lead)
}

/// Whether the last line of a fenced block ends it.
fn is_closed(source: &str) -> bool {
    let fence: Vec<char> = source
        .chars()
        .take_while(|c| matches!(c, '`' | '~'))
        .collect();
    let Some(last) = source.trim_end().lines().skip(1).last() else {
        return false;
    };
    let last = last.trim_start_matches([' ', '\t', '>']).trim_end();
    last.chars().count() >= fence.len() && last.chars().all(|c| Some(&c) == fence.first())
}
