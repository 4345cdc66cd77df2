//! The blocks of a text: what should stay whole where it fits.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::segment::segments;

/// Most bytes of a line that may introduce what follows it.
const MAX_INTRODUCTION: usize = 200;

/// Most letters of a line that reads as a title.
const MAX_TITLE: usize = 80;

/// A heading, paragraph, list item, table row, or the like.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    pub range: Range<usize>,
    pub kind: Kind,
    /// What must stand before it wherever it is cut off from that: its table's head, its list's introduction.
    pub lead: Option<Range<usize>>,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A heading, of level 1 to 6.
    Heading(usize),
    /// A line that reads as a title or introduces what follows.
    Title,
    /// The names of a table's columns.
    TableHead,
    Row,
    Item,
    Paragraph,
}

impl Kind {
    /// Whether it says little without what follows it.
    pub fn leads(self) -> bool {
        matches!(self, Kind::Heading(_) | Kind::Title | Kind::TableHead)
    }
}

fn block(range: Range<usize>, kind: Kind) -> Block {
    Block { range, kind, lead: None }
}

/// The blocks of Markdown, in order.
pub(super) fn markdown(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    segments(text).into_iter().for_each(|segment| read(text, segment, &mut blocks));
    blocks
}

fn read(text: &str, segment: Range<usize>, blocks: &mut Vec<Block>) {
    let mut table = 0..0;
    let mut lead = None;
    let mut depth = 0;
    let events = Parser::new_ext(&text[segment.clone()], Options::ENABLE_TABLES).into_offset_iter();
    for (event, range) in events {
        let range = segment.start + range.start..segment.start + range.end;
        // What is in a quotation is cut like what is not.
        if matches!(event, Event::Start(Tag::BlockQuote(_)) | Event::End(TagEnd::BlockQuote(_))) {
            continue;
        }
        let starts = matches!(event, Event::Start(_));
        if matches!(event, Event::End(_)) {
            depth -= 1;
        }
        match (depth, event) {
            (0, Event::Start(Tag::Heading { level, .. })) => {
                blocks.push(block(range, Kind::Heading(level as usize)));
            }
            (0, Event::Start(Tag::Table(_))) => {
                table = range;
                lead = None;
            }
            (1, Event::Start(Tag::TableRow)) => {
                if lead.is_none() {
                    // Within a quotation its mark stands before the first row.
                    let head = text[table.start..range.start].trim_end_matches([' ', '\n', '>']);
                    let head = table.start..table.start + head.len();
                    blocks.push(block(head.clone(), Kind::TableHead));
                    lead = Some(head);
                }
                blocks.push(Block { range, kind: Kind::Row, lead: lead.clone() });
            }
            (0, Event::End(TagEnd::Table)) if lead.is_none() => blocks.push(block(range, Kind::Paragraph)),
            (0, Event::Start(Tag::List(_))) => lead = introduction(text, blocks),
            (1, Event::Start(Tag::Item)) => {
                blocks.push(Block { range, kind: Kind::Item, lead: lead.clone() })
            }
            (0, Event::Start(Tag::HtmlBlock)) => html(text, range, blocks),
            (0, Event::Start(Tag::Paragraph)) => {
                let kind = if is_title(&text[range.clone()]) { Kind::Title } else { Kind::Paragraph };
                blocks.push(block(range, kind));
            }
            (0, Event::Start(_)) => blocks.push(block(range, Kind::Paragraph)),
            _ => {}
        }
        if starts {
            depth += 1;
        }
    }
}

/// The last block, if it ends with a colon and so introduces the list that follows.
fn introduction(text: &str, blocks: &mut [Block]) -> Option<Range<usize>> {
    let last = blocks.last_mut().filter(|last| matches!(last.kind, Kind::Paragraph | Kind::Title))?;
    let words = text[last.range.clone()].trim_end_matches([' ', '\n', '*', '_']);
    if last.range.len() > MAX_INTRODUCTION || !words.ends_with([':', '：']) {
        return None;
    }
    last.kind = Kind::Title;
    Some(last.range.clone())
}

/// A line that reads as a title: short, all of it on one line, and not a sentence.
fn is_title(paragraph: &str) -> bool {
    let (line, below) = paragraph.trim().split_once('\n').unwrap_or((paragraph.trim(), ""));
    let is_underlined = below.chars().all(|c| matches!(c, '=' | '-' | '~' | '\n' | '\r'));
    let ends = line.trim_end_matches(['*', '_', ' ', '\r']);
    is_underlined
        && line.chars().count() <= MAX_TITLE
        && !ends.ends_with(['.', '!', '?', ';', ',', '…', '。', '！', '？'])
        && line.contains(char::is_alphanumeric)
}

/// HTML within Markdown: a heading, the rows of a table, or as it is.
fn html(text: &str, range: Range<usize>, blocks: &mut Vec<Block>) {
    let html = text[range.clone()].to_ascii_lowercase();
    let level = html.trim().strip_prefix("<h").and_then(|after| after.chars().next()?.to_digit(10));
    if let Some(level @ 1..=6) = level
        && html.trim().ends_with(&format!("</h{level}>"))
        && html.matches("</h").count() == 1
    {
        blocks.push(block(range, Kind::Heading(level as usize)));
        return;
    }
    let rows: Vec<usize> = html.match_indices("<tr").map(|(at, _)| range.start + at).collect();
    match rows.as_slice() {
        [first, second, ..]
            if html.contains("<table") && text[*first..*second].to_ascii_lowercase().contains("<th") =>
        {
            let head = range.start..*second;
            blocks.push(block(head.clone(), Kind::TableHead));
            let ends = rows.iter().skip(2).copied().chain([range.end]);
            for (start, end) in rows.iter().skip(1).copied().zip(ends) {
                blocks.push(Block { range: start..end, kind: Kind::Row, lead: Some(head.clone()) });
            }
        }
        _ => blocks.push(block(range, Kind::Paragraph)),
    }
}

/// The blocks of plain text: paragraphs between empty lines, and tables whose cells are set apart by tabs
/// or bars.
pub(super) fn plain(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n').chain([""]) {
        if line.trim().is_empty() {
            paragraph(text, &lines, &mut blocks);
            lines.clear();
        } else {
            lines.push(start..start + line.trim_end().len());
        }
        start += line.len();
    }
    blocks
}

fn paragraph(text: &str, lines: &[Range<usize>], blocks: &mut Vec<Block>) {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return };
    let cells = |line: &Range<usize>| text[line.clone()].trim().matches(['\t', '|']).count();
    if lines.len() >= 3 && lines.iter().all(|line| cells(line) > 0 && cells(line) == cells(first)) {
        let is_rule = |line: &&Range<usize>| text[(*line).clone()].chars().all(|c| " \t|-+:=".contains(c));
        let head = first.start..lines.iter().skip(1).take_while(is_rule).last().unwrap_or(first).end;
        blocks.push(block(head.clone(), Kind::TableHead));
        for row in lines.iter().filter(|line| line.start > head.end) {
            blocks.push(Block { range: row.clone(), kind: Kind::Row, lead: Some(head.clone()) });
        }
        return;
    }
    let range = first.start..last.end;
    let kind = if is_title(&text[range.clone()]) { Kind::Title } else { Kind::Paragraph };
    blocks.push(block(range, kind));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds<'a>(text: &'a str, blocks: &[Block]) -> Vec<(Kind, &'a str)> {
        blocks.iter().map(|block| (block.kind, text[block.range.clone()].trim())).collect()
    }

    #[test]
    fn markdown_is_taken_apart_at_its_structure() {
        let text = "# Codes\n\nAll of them. Here.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nBut not:\n\n\
                    - one\n- two\n  - three\n\n> Quoted words.\n\n```\ncode\n```\n\n**Bold title**\n\n<h3>Tags</h3>\n";
        let blocks = markdown(text);
        let head = "| a | b |\n|---|---|";
        assert_eq!(
            kinds(text, &blocks),
            [
                (Kind::Heading(1), "# Codes"),
                (Kind::Paragraph, "All of them. Here."),
                (Kind::TableHead, head),
                (Kind::Row, "| 1 | 2 |"),
                (Kind::Row, "| 3 | 4 |"),
                (Kind::Title, "But not:"),
                (Kind::Item, "- one"),
                (Kind::Item, "- two\n  - three"),
                (Kind::Paragraph, "Quoted words."),
                (Kind::Paragraph, "```\ncode\n```"),
                (Kind::Title, "**Bold title**"),
                (Kind::Heading(3), "<h3>Tags</h3>"),
            ]
        );
        let leads = blocks.iter().map(|block| block.lead.clone().map(|lead| text[lead].trim()));
        let leads: Vec<_> = leads.flatten().collect();
        assert_eq!(leads, [head, head, "But not:", "But not:"]);
    }

    #[test]
    fn tables_are_known_in_quotations_html_and_plain_text() {
        let rows = |blocks: Vec<Block>| blocks.iter().filter(|block| block.kind == Kind::Row).count();
        for text in ["> | a | b |\n> |---|---|\n> | 1 | 2 |\n> | 3 | 4 |", "a | b\n--|--\n1 | 2\n3 | 4"] {
            assert_eq!(rows(markdown(text)), 2, "{text}");
        }
        assert_eq!(rows(markdown("- one\n- two\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |")), 2);
        let html = "<table>\n<tr><th>a</th></tr>\n<tr><td>1</td></tr>\n<tr><td>2</td></tr>\n</table>";
        assert_eq!(rows(markdown(html)), 2);
        for text in ["a\tb\n1\t2\n3\t4", "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"] {
            assert_eq!(rows(plain(text)), 2, "{text}");
        }
    }

    #[test]
    fn plain_text_has_no_markup() {
        let text = "# 5 items\n* not a list. Words.\n\nRETURNS\n=======\n\nThirty days.\n";
        assert_eq!(
            kinds(text, &plain(text)),
            [
                (Kind::Paragraph, "# 5 items\n* not a list. Words."),
                (Kind::Title, "RETURNS\n======="),
                (Kind::Paragraph, "Thirty days."),
            ]
        );
    }
}
