//! Units of a passage: the sentences, list items and table rows that evidence is made of.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd};

use super::leaf::Leaf;
use super::script::Script;
use super::sentence::sentences;
use crate::chunk::segments;

/// Longest list item in bytes that stays one unit; a longer one is cut into sentences.
const LONGEST_ITEM: usize = 240;

/// Longest line in bytes that can be a title without being marked as one.
const LONGEST_TITLE: usize = 60;

/// Longest question in bytes that can head the paragraph after it.
const LONGEST_QUESTION: usize = 120;

/// Names of a column of amounts, which need no name beside what they are of.
const AMOUNTS: [&str; 24] = [
    "amount",
    "amounts",
    "price",
    "prices",
    "cost",
    "costs",
    "fee",
    "fees",
    "charge",
    "charges",
    "rate",
    "rates",
    "value",
    "betrag",
    "preis",
    "preise",
    "kosten",
    "gebühr",
    "gebühren",
    "precio",
    "importe",
    "prix",
    "montant",
    "tarif",
];

/// Levels of headings that are not marked as headings: the title of a passage, and a bold line or question.
const TITLE: usize = 0;
const BOLD_LINE: usize = 7;

/// The least part of a passage that says something by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Where it lies in the passage, in bytes.
    pub range: Range<usize>,
    /// Its words without markup; a table row as `Row header: column: value; column: value`.
    pub text: String,
    /// The line that introduces it: `You need:` before a list, the item that a nested list stands in.
    pub lead: Option<String>,
    /// The headings it stands under, outermost first.
    pub headings: Vec<String>,
    /// What it is.
    pub kind: UnitKind,
}

/// What a [`Unit`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitKind {
    /// A sentence of a paragraph.
    Sentence,
    /// A sentence that introduces a list or a table and ends with a colon.
    Lead,
    /// A list item, or a sentence of a long one.
    Item,
    /// A table row.
    Row,
    /// A line of code.
    Code,
}

impl Unit {
    /// The unit with the line that introduces it: `You need: a card`.
    pub fn standalone(&self) -> Cow<'_, str> {
        match &self.lead {
            Some(lead) => format!("{lead} {}", self.text).into(),
            None => self.text.as_str().into(),
        }
    }
}

/// The units of `passage`, which is Markdown or plain text, in its order. A heading is none, nor are a title
/// on the passage's first line, a line all in bold letters, and a question that is a paragraph before another:
/// these head the units after them.
pub fn units(passage: &str) -> Vec<Unit> {
    let mut reader = Reader { passage, ..Reader::default() };
    for segment in segments(passage) {
        let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
        for (event, range) in Parser::new_ext(&passage[segment.clone()], options).into_offset_iter() {
            reader.read(event, segment.start + range.start..segment.start + range.end);
        }
    }
    reader.finish_block();
    reader.heading_without_text();
    reader.units
}

#[derive(Default)]
struct Reader<'a> {
    passage: &'a str,
    units: Vec<Unit>,
    headings: Vec<(usize, String)>,
    /// The last unmarked heading and how many units came before it: a unit after all if none follow.
    unmarked: Option<(Range<usize>, usize)>,
    leaf: Leaf,
    /// The introduction of each list that is open.
    leads: Vec<Option<String>>,
    /// Whether the last unit belongs to the block right before.
    follows_unit: bool,
    is_code: bool,
    /// Whether the text describes an image: what is not seen says little where the image is not shown.
    is_image: bool,
    script: Option<Script>,
    /// Names of the columns of the table that is open, then cells of its row.
    columns: Vec<String>,
    cells: Vec<String>,
    links: Vec<CowStr<'a>>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, event: Event<'a>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(tag, range),
            Event::Text(_) | Event::Code(_) | Event::SoftBreak if self.is_image => {}
            Event::Text(text) if self.is_code => self.code(&text, range),
            Event::Text(text) if self.script.is_some() => {
                let text = self.script.map_or(text.to_string(), |script| script.of(&text));
                self.leaf.push(&text, range, self.passage);
            }
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.leaf.push(&text, range, self.passage)
            }
            Event::SoftBreak => self.leaf.push_break(" ", range, self.passage),
            Event::HardBreak => self.leaf.push_break("\n", range, self.passage),
            Event::InlineHtml(tag) if tag.starts_with("<br") => {
                self.leaf.push_break("\n", range, self.passage)
            }
            Event::InlineHtml(tag) => self.script = Script::begun_by(&tag),
            Event::Html(text) => self.html(&text, range),
            Event::Rule => self.follows_unit = false,
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'a>, range: Range<usize>) {
        match tag {
            Tag::Strong => self.leaf.start_strong(),
            Tag::Link { dest_url, .. } => self.links.push(dest_url),
            Tag::Image { .. } => self.is_image = true,
            Tag::Emphasis | Tag::Strikethrough => {}
            Tag::List(_) => {
                self.finish_block();
                let lead = self.lead();
                self.leads.push(lead);
            }
            Tag::CodeBlock(_) => {
                self.finish_block();
                self.is_code = true;
            }
            Tag::Table(_) => {
                self.finish_block();
                let lead = self.lead();
                self.leads.push(lead);
            }
            Tag::TableCell => self.leaf.start(range),
            _ => {
                self.finish_block();
                self.leaf.start(range);
            }
        }
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Strong => self.leaf.end_strong(),
            TagEnd::Link => self.link(range),
            TagEnd::Image => self.is_image = false,
            TagEnd::Emphasis | TagEnd::Strikethrough => {}
            TagEnd::Heading(level) => {
                let text = std::mem::take(&mut self.leaf).text;
                self.heading(level as usize, &text);
                self.unmarked = None;
            }
            TagEnd::TableCell => self.cells.push(one_line(&std::mem::take(&mut self.leaf).text)),
            TagEnd::TableHead => self.columns = std::mem::take(&mut self.cells),
            TagEnd::TableRow => {
                let cells = std::mem::take(&mut self.cells);
                let text = row(&self.columns, &cells);
                self.unit(range, text, UnitKind::Row);
            }
            TagEnd::List(_) | TagEnd::Table => {
                self.finish_block();
                self.leads.pop();
                self.follows_unit = false;
            }
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.follows_unit = false;
            }
            _ => self.finish_block(),
        }
    }

    /// The introduction of the list or table that begins here.
    fn lead(&mut self) -> Option<String> {
        let is_nested = !self.leads.is_empty();
        let last = self.units.last_mut().filter(|_| self.follows_unit)?;
        let introduces = last.text.ends_with([':', '：']);
        let lead = (introduces || is_nested).then(|| last.standalone().into_owned());
        if introduces {
            last.kind = UnitKind::Lead;
        }
        lead
    }

    fn heading(&mut self, level: usize, text: &str) {
        let text = one_line(text);
        self.follows_unit = false;
        if !text.is_empty() {
            self.headings.retain(|(above, _)| *above < level);
            self.headings.push((level, text));
        }
    }

    fn link(&mut self, range: Range<usize>) {
        let Some(address) = self.links.pop() else { return };
        // A path within the knowledge base leads a customer nowhere.
        let is_address =
            address.contains("://") || address.starts_with("mailto:") || address.starts_with("tel:");
        let address = address.trim_start_matches("mailto:").trim_start_matches("tel:");
        if is_address && !self.leaf.text.contains(address) {
            self.leaf.push(&format!(" ({address})"), range, self.passage);
        }
    }

    /// Ends the paragraph or item whose text was being read.
    fn finish_block(&mut self) {
        let leaf = std::mem::take(&mut self.leaf);
        self.leaf.start(leaf.bounds.clone());
        if leaf.text.trim().is_empty() {
            return;
        }
        let is_item = !self.leads.is_empty();
        if is_item && leaf.text.len() <= LONGEST_ITEM {
            self.part(&leaf, 0..leaf.text.len(), UnitKind::Item);
            return;
        }
        let mut from = 0;
        if !is_item {
            if self.plain_table(&leaf) {
                return;
            }
            let text = leaf.text.trim();
            let is_title = leaf.is_strong() && !text.ends_with(['.', '!', ';', ',', '…', '。']);
            let is_question =
                text.ends_with(['?', '？']) && text.len() <= LONGEST_QUESTION && sentences(text).len() == 1;
            if text.len() <= LONGEST_QUESTION && (is_title || is_question) {
                self.heading_without_text();
                self.heading(BOLD_LINE, text);
                self.unmarked = Some((leaf.source(0..leaf.text.len(), self.passage), self.units.len()));
                return;
            }
            from = self.title(&leaf);
        }
        let kind = if is_item { UnitKind::Item } else { UnitKind::Sentence };
        for sentence in sentences(&leaf.text[from..]) {
            self.part(&leaf, from + sentence.start..from + sentence.end, kind);
        }
    }

    /// Takes a title from the passage's first line; where the text after it begins.
    fn title(&mut self, leaf: &Leaf) -> usize {
        let Some(end) = leaf.first_break.filter(|_| self.units.is_empty() && self.headings.is_empty()) else {
            return 0;
        };
        let (title, rest) = leaf.text.split_at(end);
        let is_title = title.len() <= LONGEST_TITLE
            && title.contains(char::is_alphanumeric)
            && !title.trim_end().ends_with(['.', '!', ';', ':', ',', '…', '。', '：', '，'])
            && rest.trim_start().starts_with(|c: char| !c.is_lowercase());
        if !is_title {
            return 0;
        }
        self.heading(TITLE, title);
        end
    }

    /// An unmarked heading that nothing follows says something by itself.
    fn heading_without_text(&mut self) {
        if let Some((range, units)) = self.unmarked.take()
            && units == self.units.len()
            && let Some((_, text)) = self.headings.pop()
        {
            self.unit(range, text, UnitKind::Sentence);
        }
    }

    /// Reads lines of plain text whose cells are set apart by tabs or bars as a table.
    fn plain_table(&mut self, leaf: &Leaf) -> bool {
        let Some(block) = self.passage.get(leaf.bounds.clone()) else { return false };
        let separator = if block.contains('\t') { '\t' } else { '|' };
        let count = |line: &str| line.trim().matches(separator).count();
        let lines: Vec<&str> = block.lines().collect();
        if lines.len() < 3 || count(lines[0]) == 0 || lines.iter().any(|line| count(line) != count(lines[0]))
        {
            return false;
        }
        let cells = |line: &str| -> Vec<String> {
            line.trim().trim_matches('|').split(separator).map(|cell| cell.trim().to_string()).collect()
        };
        let columns = cells(lines[0]);
        let mut at = leaf.bounds.start;
        for line in block.split_inclusive('\n') {
            let range = at..at + line.trim_end().len();
            if at > leaf.bounds.start && line.contains(char::is_alphanumeric) {
                self.unit(range, row(&columns, &cells(line)), UnitKind::Row);
            }
            at += line.len();
        }
        self.follows_unit = false;
        true
    }

    fn code(&mut self, text: &str, range: Range<usize>) {
        let is_literal = self.passage.get(range.clone()) == Some(text);
        let mut at = range.start;
        for line in text.split_inclusive('\n') {
            let start = at + line.len() - line.trim_start().len();
            let literal = start..start + line.trim().len();
            if line.contains(char::is_alphanumeric) {
                let range = if is_literal { literal } else { range.clone() };
                self.unit(range, line.trim().into(), UnitKind::Code);
            }
            at += line.len();
        }
    }

    /// Reads a line of an HTML block: its text, without the tags.
    fn html(&mut self, line: &str, range: Range<usize>) {
        let mut rest = line;
        let bounds = self.leaf.bounds.start.min(range.start)..range.end;
        while let Some((text, tag)) = rest.split_once('<') {
            self.leaf.push(text, range.clone(), self.passage);
            let Some((tag, after)) = tag.split_once('>') else { return };
            let name = tag.trim_start_matches('/').split(|c: char| !c.is_alphanumeric()).next();
            match name.unwrap_or_default().to_ascii_lowercase().as_str() {
                "b" | "i" | "a" | "em" | "strong" | "span" | "u" | "code" | "sup" | "sub" => {}
                "td" | "th" => self.leaf.push_break(" ", range.clone(), self.passage),
                _ => {
                    self.finish_block();
                    self.leaf.start(bounds.clone());
                }
            }
            rest = after;
        }
        self.leaf.push(rest, range, self.passage);
    }

    fn part(&mut self, leaf: &Leaf, part: Range<usize>, kind: UnitKind) {
        self.unit(leaf.source(part.clone(), self.passage), one_line(&leaf.text[part]), kind);
    }

    fn unit(&mut self, range: Range<usize>, text: String, kind: UnitKind) {
        if !text.contains(char::is_alphanumeric) {
            return;
        }
        let lead = self.leads.last().cloned().flatten();
        let headings = self.headings.iter().map(|(_, text)| text.clone()).collect();
        self.units.push(Unit { range, text, lead, headings, kind });
        self.follows_unit = true;
    }
}

/// A table row in words.
fn row(columns: &[String], cells: &[String]) -> String {
    let Some((header, values)) = cells.split_first() else { return String::new() };
    // `Lost key: €180` says what the amount is of, and its sign that it is one.
    let is_amount = |name: &&str| columns.len() == 2 && AMOUNTS.contains(&name.to_lowercase().as_str());
    let names = columns.iter().skip(1).map(|name| Some(name.as_str()).filter(|name| !is_amount(name)));
    let names = names.map(Option::unwrap_or_default).chain(std::iter::repeat(""));
    let named = values.iter().zip(names).filter(|(value, _)| !value.is_empty());
    let named: Vec<String> = named
        .map(|(value, name)| if name.is_empty() { value.clone() } else { format!("{name}: {value}") })
        .collect();
    match (header.is_empty(), named.is_empty()) {
        (true, _) => named.join("; "),
        (_, true) => header.clone(),
        _ => format!("{header}: {}", named.join("; ")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
