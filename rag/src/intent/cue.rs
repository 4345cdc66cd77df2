//! Word patterns that tell a message's kind with certainty.

use super::Intent;
use super::message::words;

/// The patterns that come with the program; the file explains their form.
const SHIPPED: &str = include_str!("../../assets/intent-cues.txt");

/// Most words between two elements of a pattern that `..` joins.
const GAP: usize = 4;

/// What one place of a pattern may be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Word(String),
    Prefix(String),
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    /// The sentence begins here.
    Begin,
    /// Up to [`GAP`] words.
    Gap,
    /// One of these.
    Choices(Vec<Choice>),
}

/// A pattern of words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cue {
    intent: Intent,
    language: String,
    source: String,
    elements: Vec<Element>,
}

/// Patterns of words, each with the kind of the messages that have it.
#[derive(Debug, Clone)]
pub(super) struct Cues {
    list: Vec<Cue>,
}

/// A pattern that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub intent: Intent,
    pub language: &'a str,
    /// The pattern as the file has it.
    pub source: &'a str,
}

impl Cues {
    /// The patterns that come with the program.
    ///
    /// # Errors
    /// Names the first line that is none; never in a program whose tests pass.
    pub fn shipped() -> Result<Cues, String> {
        Cues::parse(SHIPPED)
    }

    fn parse(text: &str) -> Result<Cues, String> {
        let mut list = Vec::new();
        let mut section: Option<(Intent, &str)> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = |reason: &str| format!("line {}: {reason}: {line}", index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(head) = line.strip_prefix('[').and_then(|head| head.strip_suffix(']')) {
                let (intent, language) =
                    head.split_once(' ').ok_or_else(|| wrong("expected [intent language]"))?;
                let intent = Intent::named(intent).ok_or_else(|| wrong("unknown intent"))?;
                section = Some((intent, language));
                continue;
            }
            let (intent, language) = section.ok_or_else(|| wrong("a pattern before any [section]"))?;
            let elements = elements(line);
            if !elements.iter().any(|element| matches!(element, Element::Choices(_))) {
                return Err(wrong("a pattern without a word"));
            }
            list.push(Cue { intent, language: language.into(), source: line.into(), elements });
        }
        Ok(Cues { list })
    }

    /// The first pattern of one of `intents` that stands in `sentence`.
    pub fn find(&self, sentence: &[String], intents: &[Intent]) -> Option<Found<'_>> {
        let of_intent = self.list.iter().filter(|cue| intents.contains(&cue.intent));
        let found = of_intent.into_iter().find(|cue| cue.is_in(sentence))?;
        Some(Found { intent: found.intent, language: &found.language, source: &found.source })
    }
}

impl Cue {
    fn is_in(&self, sentence: &[String]) -> bool {
        match self.elements.split_first() {
            Some((Element::Begin, rest)) => follows(rest, sentence),
            _ => {
                (0..sentence.len()).any(|start| follows(&self.elements, sentence.get(start..).unwrap_or(&[])))
            }
        }
    }
}

/// Whether `words` begins with what `elements` describe.
fn follows(elements: &[Element], words: &[String]) -> bool {
    let Some((element, rest)) = elements.split_first() else { return true };
    match element {
        Element::Begin => follows(rest, words),
        Element::Gap => {
            (0..=GAP.min(words.len())).any(|skip| follows(rest, words.get(skip..).unwrap_or(&[])))
        }
        Element::Choices(choices) => match words.split_first() {
            None => choices.contains(&Choice::End) && follows(rest, words),
            Some((word, after)) => {
                let is = |choice: &Choice| match choice {
                    Choice::Word(one) => one == word,
                    Choice::Prefix(begin) => word.starts_with(begin.as_str()),
                    Choice::End => false,
                };
                choices.iter().any(is) && follows(rest, after)
            }
        },
    }
}

fn elements(line: &str) -> Vec<Element> {
    let mut elements = Vec::new();
    for part in line.split_ascii_whitespace() {
        elements.push(match part {
            "^" => Element::Begin,
            ".." => Element::Gap,
            choices => Element::Choices(choices.split('|').filter_map(choice).collect()),
        });
    }
    elements
}

/// Words are normalised as messages are; of a short form that stands for two words, no pattern can be made.
fn choice(text: &str) -> Option<Choice> {
    if text == "$" {
        return Some(Choice::End);
    }
    let word = words(text).into_iter().next()?;
    Some(if text.ends_with('*') { Choice::Prefix(word) } else { Choice::Word(word) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cues: &str, sentence: &str) -> bool {
        Cues::parse(cues).unwrap().find(&words(sentence), &Intent::ALL).is_some()
    }

    #[test]
    fn a_pattern_has_choices_prefixes_gaps_and_ends() {
        let cues = "[human en]\n speak|talk to .. human|agent*\n ^ operator|manager $\n";
        assert!(found(cues, "let me talk to one of your human colleagues"));
        assert!(found(cues, "I'd like to speak to agents"));
        assert!(!found(cues, "talk to a b c d e human"));
        assert!(!found(cues, "talk human"));
        assert!(found(cues, "Operator!") && !found(cues, "operator manual") && !found(cues, "the operator"));
        assert!(!found(cues, ""));
    }

    #[test]
    fn an_end_may_be_one_of_the_choices() {
        let cues = "[about en]\nhow are you today|$\n";
        assert!(found(cues, "how are you") && found(cues, "how are you today"));
        assert!(!found(cues, "how are you handling returns"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, reason) in [
            ("talk", "line 1: a pattern before any [section]: talk"),
            ("[human en]\n\n^ ..", "line 3: a pattern without a word: ^ .."),
            ("[humane en]", "line 1: unknown intent: [humane en]"),
            ("[human]", "line 1: expected [intent language]: [human]"),
        ] {
            assert_eq!(Cues::parse(text).unwrap_err(), reason);
        }
        assert!(Cues::shipped().unwrap().list.len() > 100);
    }
}
