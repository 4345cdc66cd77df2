//! Passages: articles cut as the server cuts documents.

use super::article::{Article, DrawnBlock, Sentence};

/// Longest passage in words; the server cuts at 128 tokens.
const MAX_WORDS: usize = 95;

/// A part of an article as a prompt shows it.
#[derive(Debug, Clone, Default)]
pub struct Passage {
    /// The article's title.
    pub title: String,
    /// The heading that it begins under, or nothing.
    pub heading: String,
    /// Its blocks, each with the heading that stands before it inside of the passage.
    parts: Vec<(Option<String>, DrawnBlock)>,
}

impl Passage {
    /// `Title > Heading`.
    pub fn label(&self) -> String {
        match self.heading.is_empty() {
            true => self.title.clone(),
            false => format!("{} > {}", self.title, self.heading),
        }
    }

    /// Its Markdown, without the heading that it begins under.
    pub fn text(&self) -> String {
        let part = |(heading, block): &(Option<String>, DrawnBlock)| match heading {
            Some(heading) => format!("## {heading}\n{}", block.markdown()),
            None => block.markdown(),
        };
        self.parts.iter().map(part).collect::<Vec<_>>().join("\n\n")
    }

    /// Its sentences, in order.
    pub fn sentences(&self) -> impl Iterator<Item = &Sentence> {
        self.parts.iter().flat_map(|(_, block)| &block.sentences)
    }

    /// Its sentences with the columns of their tables.
    pub fn sentences_with_heads(&self) -> impl Iterator<Item = (&Sentence, Option<&[String]>)> {
        self.parts.iter().flat_map(|(_, block)| {
            block.sentences.iter().map(move |sentence| (sentence, block.head.as_deref()))
        })
    }

    /// Adds a sentence that holds no fact to a paragraph, after `before` of all sentences.
    pub fn insert(&mut self, text: String, before: usize) {
        let sentence = Sentence { source: text.clone(), text, facts: Vec::new() };
        let mut before = before;
        for (_, block) in &mut self.parts {
            if before <= block.sentences.len() && block.head.is_none() && !block.is_list {
                block.sentences.insert(before, sentence);
                return;
            }
            before = before.saturating_sub(block.sentences.len());
        }
        self.parts.push((None, DrawnBlock { sentences: vec![sentence], ..DrawnBlock::default() }));
    }

    fn words(&self) -> usize {
        self.parts.iter().map(|(_, block)| block.words()).sum()
    }
}

/// Cuts an article into passages by section, and long sections further. With `pack`, neighbouring sections
/// that fit together stay together.
pub fn cut(article: &Article, pack: bool) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    for section in &article.sections {
        let heading = section.heading.clone().unwrap_or_default();
        let mut is_first = true;
        for block in section.blocks.iter().flat_map(split) {
            let size = block.words();
            let open =
                passages.last_mut().filter(|open| (!is_first || pack) && open.words() + size <= MAX_WORDS);
            let inner = Some(heading.clone()).filter(|heading| is_first && !heading.is_empty());
            is_first = false;
            match open {
                Some(open) => open.parts.push((inner, block)),
                None => passages.push(Passage {
                    title: article.title.clone(),
                    heading: heading.clone(),
                    parts: vec![(None, block)],
                }),
            }
        }
    }
    passages
}

/// A block in parts that fit a passage.
fn split(block: &DrawnBlock) -> Vec<DrawnBlock> {
    let mut parts = vec![DrawnBlock { sentences: Vec::new(), ..block.clone() }];
    for sentence in &block.sentences {
        let size = sentence.source.split_whitespace().count();
        let is_full =
            parts.last().is_some_and(|part| !part.sentences.is_empty() && part.words() + size > MAX_WORDS);
        if is_full {
            parts.push(DrawnBlock { sentences: Vec::new(), ..block.clone() });
        }
        if let Some(part) = parts.last_mut() {
            part.sentences.push(sentence.clone());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::article::DrawnSection;
    use super::*;

    fn section(heading: Option<&str>, sentences: usize) -> DrawnSection {
        let text = "It takes ten words to say what one word says.".to_string();
        let sentence = Sentence { source: text.clone(), text, facts: vec!['a'] };
        let block = DrawnBlock { sentences: vec![sentence; sentences], ..DrawnBlock::default() };
        DrawnSection { heading: heading.map(str::to_string), blocks: vec![block] }
    }

    fn article(sections: Vec<DrawnSection>) -> Article {
        Article { title: "Title".into(), sections }
    }

    #[test]
    fn sections_are_passages_and_long_ones_are_cut() {
        let passages = cut(&article(vec![section(None, 2), section(Some("Long"), 20)]), false);
        let found: Vec<(String, usize)> =
            passages.iter().map(|p| (p.label(), p.sentences().count())).collect();
        let long = || "Title > Long".to_string();
        assert_eq!(found, [("Title".into(), 2), (long(), 9), (long(), 9), (long(), 2)]);
    }

    #[test]
    fn small_neighbours_stay_together_if_packed() {
        let passages =
            cut(&article(vec![section(Some("A"), 1), section(Some("B"), 1), section(Some("C"), 9)]), true);
        assert_eq!(passages.len(), 2);
        assert_eq!(passages[0].label(), "Title > A");
        assert!(passages[0].text().contains("says.\n\n## B\nIt takes"), "{}", passages[0].text());
    }

    #[test]
    fn a_sentence_is_put_in() {
        let mut passage = cut(&article(vec![section(None, 2)]), false).remove(0);
        passage.insert("New.".into(), 1);
        assert_eq!(passage.sentences().nth(1).map(|sentence| sentence.text.as_str()), Some("New."));
    }
}
