//! An article as one row has it: a template with everything drawn.

use super::cite::sentences;
use super::draw::Draw;
use super::fill::Filler;
use super::template::{BlockKind, Decoy, FactName, Line, Template};

/// A drawn article.
#[derive(Debug, Clone, Default)]
pub struct Article {
    /// Its title.
    pub title: String,
    /// Its sections.
    pub sections: Vec<DrawnSection>,
}

/// What stands under one heading.
#[derive(Debug, Clone, Default)]
pub struct DrawnSection {
    /// The heading, if it has one.
    pub heading: Option<String>,
    /// Paragraphs, lists and tables.
    pub blocks: Vec<DrawnBlock>,
}

/// A paragraph, a list or a table.
#[derive(Debug, Clone, Default)]
pub struct DrawnBlock {
    /// Heads of the columns of a table.
    pub head: Option<Vec<String>>,
    /// Whether its sentences are lines of their own.
    pub is_list: bool,
    /// What it says.
    pub sentences: Vec<Sentence>,
}

/// What can be evidence: a sentence, an item or a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sentence {
    /// As it is read alone: a row as `Head: cell; Head: cell`.
    pub text: String,
    /// As it stands in the article.
    pub source: String,
    /// The facts that it holds.
    pub facts: Vec<FactName>,
}

impl DrawnBlock {
    /// Words in its source.
    pub fn words(&self) -> usize {
        self.sentences.iter().map(|sentence| sentence.source.split_whitespace().count()).sum()
    }

    /// Its Markdown.
    pub fn markdown(&self) -> String {
        let gap = if self.is_list || self.head.is_some() { "\n" } else { " " };
        let lines: Vec<&str> = self.sentences.iter().map(|sentence| sentence.source.as_str()).collect();
        let body = lines.join(gap);
        match &self.head {
            Some(head) => format!("{}\n|{}\n{body}", table_row(head), "---|".repeat(head.len())),
            None => body,
        }
    }
}

impl Article {
    /// Draws `template`; each of its decoys is put in with the chance `decoys`.
    pub fn draw(template: &Template, filler: &mut Filler, decoys: f64, draw: &mut Draw) -> Self {
        let title = filler.sentence(&template.title, draw);
        let mut sections = Vec::new();
        for section in &template.sections {
            let heading = section.heading.as_ref().map(|heading| filler.sentence(heading, draw));
            let mut blocks = Vec::new();
            for block in &section.blocks {
                let head = match &block.kind {
                    BlockKind::Table(head) => {
                        Some(head.iter().map(|cell| filler.phrase(cell, draw)).collect::<Vec<_>>())
                    }
                    _ => None,
                };
                let lines = block.lines.iter().map(|line| sentence(line, head.as_deref(), filler, draw));
                let sentences = match block.kind {
                    BlockKind::Paragraph => {
                        lines.flat_map(parted).filter(|said| !said.text.is_empty()).collect()
                    }
                    _ => lines.collect(),
                };
                blocks.push(DrawnBlock { head, is_list: block.kind == BlockKind::List, sentences });
            }
            sections.push(DrawnSection { heading, blocks });
        }
        let mut article = Self { title, sections };
        for decoy in &template.decoys {
            if draw.chance(decoys) {
                article.place(decoy, filler, draw);
            }
        }
        article
    }

    /// Puts a decoy beside the sentence of its fact or, at times, at the end of another section.
    fn place(&mut self, decoy: &Decoy, filler: &mut Filler, draw: &mut Draw) {
        let found = self.sections.iter().enumerate().find_map(|(s, section)| {
            section.blocks.iter().enumerate().find_map(|(b, block)| {
                let line = block.sentences.iter().position(|sentence| sentence.facts.contains(&decoy.fact));
                line.map(|line| (s, b, line))
            })
        });
        let Some((s, b, line)) = found else { return };
        let is_row = decoy.line.marker == "|";
        let is_item = !is_row && !decoy.line.marker.is_empty();
        let head = self.sections[s].blocks[b].head.clone();
        if is_row && head.as_ref().map(Vec::len) != Some(decoy.line.cells.len()) {
            return;
        }
        let said = sentence(&decoy.line, head.as_deref().filter(|_| is_row), filler, draw);
        let after = draw.below(2);
        let far = !is_row && self.sections.len() > 1 && draw.chance(0.35);
        if far {
            let other = (s + 1 + draw.below(self.sections.len() - 1)) % self.sections.len();
            let blocks = &mut self.sections[other].blocks;
            match blocks.last_mut().filter(|block| block.head.is_none() && block.is_list == is_item) {
                Some(block) => block.sentences.push(said),
                None => blocks.push(DrawnBlock { head: None, is_list: is_item, sentences: vec![said] }),
            }
            return;
        }
        let blocks = &mut self.sections[s].blocks;
        let block = &mut blocks[b];
        match block.head.is_some() == is_row && block.is_list == is_item {
            true => block.sentences.insert(line + after, said),
            false => {
                blocks.insert(b + after, DrawnBlock { head: None, is_list: is_item, sentences: vec![said] })
            }
        }
    }

    /// Removes every sentence that holds one of `facts`, and what is empty then.
    pub fn remove(&mut self, facts: &[FactName]) {
        for section in &mut self.sections {
            for block in &mut section.blocks {
                block.sentences.retain(|sentence| !sentence.facts.iter().any(|fact| facts.contains(fact)));
            }
            section.blocks.retain(|block| !block.sentences.is_empty());
        }
        self.sections.retain(|section| !section.blocks.is_empty());
    }
}

/// Draws a line; `head` are the columns of its table.
fn sentence(line: &Line, head: Option<&[String]>, filler: &mut Filler, draw: &mut Draw) -> Sentence {
    let (text, source) = match line.cells.as_slice() {
        [text] if line.marker != "|" => {
            let text = filler.sentence(text, draw);
            let gap = if line.marker.is_empty() { "" } else { " " };
            let source = format!("{}{gap}{text}", line.marker);
            (text, source)
        }
        cells => {
            let cells: Vec<String> = cells.iter().map(|cell| filler.phrase(cell, draw)).collect();
            let pair = |(index, cell): (usize, &String)| match head.and_then(|head| head.get(index)) {
                Some(head) if !head.is_empty() => format!("{head}: {cell}"),
                _ => cell.clone(),
            };
            (cells.iter().enumerate().map(pair).collect::<Vec<_>>().join("; "), table_row(&cells))
        }
    };
    Sentence { text, source, facts: line.facts.clone() }
}

/// The sentences of a line. Of several, a question to the reader ("Not finished?") holds no fact.
fn parted(line: Sentence) -> Vec<Sentence> {
    let parts = sentences(&line.text);
    if parts.len() < 2 {
        return vec![line];
    }
    let holds = |part: &str| !part.ends_with('?') || parts.iter().all(|part| part.ends_with('?'));
    let part = |part: &&str| {
        let facts = if holds(part) { line.facts.clone() } else { Vec::new() };
        Sentence { text: part.to_string(), source: part.to_string(), facts }
    };
    parts.iter().map(part).collect()
}

fn table_row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::super::world::World;
    use super::*;

    fn draw(source: &str, decoys: f64, seed: u64) -> Article {
        let (templates, errors) = parse("t.txt", source);
        assert_eq!(errors, []);
        let mut draw = Draw::new(seed);
        let world = World::draw(&mut draw);
        let mut filler = Filler::new(&world, &templates[0].slots);
        Article::draw(&templates[0], &mut filler, decoys, &mut draw)
    }

    const PARKING: &str = "= parking | Parking\n*a The garage is big.\nIt is here.\n## Prices\n| Car | Price |\n*b| Small | low |\n\
        | Large | high |\n! a Big.\n! b Low.\n~a The old garage was small.\n~b| Tiny | none |\n";

    #[test]
    fn tables_are_rows_and_pairs() {
        let article = draw(PARKING, 0.0, 1);
        let table = &article.sections[1].blocks[0];
        assert_eq!(table.sentences[0].text, "Car: Small; Price: low");
        assert_eq!(table.markdown(), "| Car | Price |\n|---|---|\n| Small | low |\n| Large | high |");
        assert_eq!(article.sections[0].blocks[0].markdown(), "The garage is big. It is here.");
    }

    #[test]
    fn a_line_of_several_sentences_is_several() {
        let article = draw("= t | T\n*a Not yet? Wait.\n[|]\nBye.\n! a Wait.", 0.0, 1);
        let said: Vec<(&str, usize)> = article.sections[0].blocks[0]
            .sentences
            .iter()
            .map(|s| (s.text.as_str(), s.facts.len()))
            .collect();
        assert_eq!(said, [("Not yet?", 0), ("Wait.", 1), ("Bye.", 0)]);
    }

    #[test]
    fn decoys_stand_beside_their_fact_or_elsewhere() {
        let mut places = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let article = draw(PARKING, 1.0, seed);
            let table = article.sections[1].blocks.iter().find(|block| block.head.is_some()).unwrap();
            assert_eq!(table.sentences.len(), 3);
            let first: Vec<&str> =
                article.sections[0].blocks[0].sentences.iter().map(|s| s.text.as_str()).collect();
            places.insert(first.iter().position(|text| text.contains("old")));
        }
        assert_eq!(places.into_iter().collect::<Vec<_>>(), [None, Some(0), Some(1)]);
    }

    #[test]
    fn what_is_removed_leaves_no_empty_section() {
        let mut article = draw("= t | T\n*a One.\n## H\n*b Two.\n! a x\n! b x", 0.0, 1);
        article.remove(&['b']);
        assert_eq!(article.sections.len(), 1);
        assert_eq!(article.sections[0].blocks[0].sentences[0].facts, ['a']);
    }
}
