//! CommonMark (with tables and strike-through) into [`Block`]s.
//!
//! Raw HTML becomes text and images become their description, so nothing in a document can reach outside the page.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::view::{Block, Inline};

/// Nesting beyond this is flattened: a document is for people.
const DEPTH_MAX: usize = 24;

/// Renders a document. Total: any text gives blocks.
pub fn blocks(text: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut events = Parser::new_ext(text, options);
    read_blocks(&mut events, None, 0)
}

/// Blocks until the end tag of the block they are in.
fn read_blocks<'a>(
    events: &mut impl Iterator<Item = Event<'a>>,
    until: Option<TagEnd>,
    depth: usize,
) -> Vec<Block> {
    let mut out = Vec::new();
    let mut loose: Vec<Inline> = Vec::new();
    while let Some(event) = events.next() {
        match event {
            Event::End(end) if Some(end) == until => break,
            Event::End(_) => {}
            Event::Start(tag) if depth < DEPTH_MAX && is_block(&tag) => {
                flush(&mut loose, &mut out);
                read_block(events, tag, depth + 1, &mut out);
            }
            Event::Rule => {
                flush(&mut loose, &mut out);
                out.push(Block::Break);
            }
            other => read_inline(events, other, depth + 1, &mut loose),
        }
    }
    flush(&mut loose, &mut out);
    out
}

fn flush(loose: &mut Vec<Inline>, out: &mut Vec<Block>) {
    if !loose.is_empty() {
        out.push(Block::Paragraph(std::mem::take(loose)));
    }
}

fn is_block(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::Paragraph
            | Tag::Heading { .. }
            | Tag::BlockQuote(_)
            | Tag::CodeBlock(_)
            | Tag::List(_)
            | Tag::Table(_)
            | Tag::HtmlBlock
    )
}

fn read_block<'a>(
    events: &mut impl Iterator<Item = Event<'a>>,
    tag: Tag<'a>,
    depth: usize,
    out: &mut Vec<Block>,
) {
    let end = tag.to_end();
    match tag {
        Tag::Paragraph => out.push(Block::Paragraph(read_inlines(events, end, depth))),
        Tag::Heading { level, .. } => {
            out.push(Block::Heading(
                level_number(level),
                read_inlines(events, end, depth),
            ));
        }
        Tag::BlockQuote(_) => out.push(Block::Quote(read_blocks(events, Some(end), depth))),
        Tag::CodeBlock(kind) => {
            let lang = match kind {
                CodeBlockKind::Fenced(info) => {
                    info.split_whitespace().next().unwrap_or("").to_owned()
                }
                CodeBlockKind::Indented => String::new(),
            };
            let text = plain(&read_inlines(events, end, depth));
            out.push(Block::Code {
                lang,
                text: text.trim_end_matches('\n').to_owned(),
            });
        }
        Tag::HtmlBlock => {
            let text = plain(&read_inlines(events, end, depth));
            out.push(Block::Code {
                lang: "html".to_owned(),
                text: text.trim_end_matches('\n').to_owned(),
            });
        }
        Tag::List(start) => {
            let mut items = Vec::new();
            while let Some(event) = events.next() {
                match event {
                    Event::Start(Tag::Item) => {
                        items.push(read_blocks(events, Some(TagEnd::Item), depth));
                    }
                    Event::End(TagEnd::List(_)) => break,
                    _ => {}
                }
            }
            out.push(Block::List { start, items });
        }
        Tag::Table(_) => out.push(read_table(events, depth)),
        _ => {}
    }
}

fn read_table<'a>(events: &mut impl Iterator<Item = Event<'a>>, depth: usize) -> Block {
    let (mut head, mut rows, mut row) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(event) = events.next() {
        match event {
            Event::Start(Tag::TableCell) => {
                row.push(read_inlines(events, TagEnd::TableCell, depth));
            }
            Event::End(TagEnd::TableHead) => head = std::mem::take(&mut row),
            Event::End(TagEnd::TableRow) => rows.push(std::mem::take(&mut row)),
            Event::End(TagEnd::Table) => break,
            _ => {}
        }
    }
    Block::Table { head, rows }
}

fn read_inlines<'a>(
    events: &mut impl Iterator<Item = Event<'a>>,
    until: TagEnd,
    depth: usize,
) -> Vec<Inline> {
    let mut out = Vec::new();
    while let Some(event) = events.next() {
        if event == Event::End(until) {
            break;
        }
        read_inline(events, event, depth, &mut out);
    }
    out
}

fn read_inline<'a>(
    events: &mut impl Iterator<Item = Event<'a>>,
    event: Event<'a>,
    depth: usize,
    out: &mut Vec<Inline>,
) {
    match event {
        Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
            out.push(Inline::Text(text.into_string()));
        }
        Event::Code(text) => out.push(Inline::Code(text.into_string())),
        Event::SoftBreak => out.push(Inline::Text(" ".to_owned())),
        Event::HardBreak => out.push(Inline::LineBreak),
        // Too deep: its contents follow as plain inlines of the block above, its end tag is passed over.
        Event::Start(_) if depth >= DEPTH_MAX => {}
        Event::Start(tag) => {
            let end = tag.to_end();
            let inner = read_inlines(events, end, depth + 1);
            out.push(match tag {
                Tag::Emphasis => Inline::Emphasis(inner),
                Tag::Strong => Inline::Strong(inner),
                Tag::Strikethrough => Inline::Strike(inner),
                Tag::Link { dest_url, .. } => Inline::Link {
                    href: dest_url.into_string(),
                    text: inner,
                },
                _ => {
                    out.extend(inner);
                    return;
                }
            });
        }
        _ => {}
    }
}

fn plain(list: &[Inline]) -> String {
    list.iter()
        .map(|inline| match inline {
            Inline::Text(text) | Inline::Code(text) => text.clone(),
            Inline::Emphasis(inner) | Inline::Strong(inner) | Inline::Strike(inner) => plain(inner),
            Inline::Link { text, .. } => plain(text),
            Inline::LineBreak => "\n".to_owned(),
        })
        .collect()
}

fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests;
