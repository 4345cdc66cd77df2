//! What is said besides facts: small talk, refusals, injections, and words around a question.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::slot::Slot;
use super::template::TemplateError;
use super::text::{Slots, Text, split_bars};

/// Groups of exchanges by name.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    groups: BTreeMap<String, Vec<Exchange>>,
    /// Slots of all its texts.
    pub slots: Slots,
}

/// What is said and what is answered.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// Wordings, each with its language if it is not English.
    pub said: Vec<(Option<String>, Text)>,
    /// Answers; one of them fits every wording.
    pub answers: Vec<Text>,
}

/// Groups that are not exchanges of their own, but parts of other rows.
const PARTS: [&str; 7] = ["refusal", "partial", "opener", "closer", "also", "mention", "planted"];
/// A group that is added to a question, besides being one.
const SUFFIX: &str = "suffix";

impl Talk {
    /// Reads `= group`, then `? wording | wording`, `?de Wortlaut` and `! answer | answer`. A group may come
    /// several times with exchanges of its own.
    ///
    /// # Errors
    /// If a line cannot be read, or a group that rows are made of is missing.
    pub fn parse(file: &str, source: &str) -> Result<Self, TemplateError> {
        let error = |line: usize, reason: String| TemplateError { file: file.into(), line, reason };
        let mut talk = Self::default();
        let mut group = String::new();
        for (line, number) in source.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            if let Some(name) = line.strip_prefix("= ") {
                group = name.trim().into();
                talk.groups.entry(group.clone()).or_default().push(Exchange::default());
                continue;
            }
            let Talk { groups, slots } = &mut talk;
            let exchange = groups.get_mut(&group).and_then(|exchanges| exchanges.last_mut());
            let exchange =
                exchange.ok_or_else(|| error(number, "a line before the first `= group`".into()))?;
            let mut texts = |source: &str| {
                let wordings = split_bars(source).into_iter().filter(|wording| !wording.is_empty());
                wordings.map(|wording| Text::parse(wording, slots)).collect::<Result<Vec<_>, _>>()
            };
            if let Some(said) = line.strip_prefix('?') {
                let (language, said) = said.split_once(' ').unwrap_or((said, ""));
                let language = (!language.is_empty()).then(|| language.to_string());
                let said = texts(said).map_err(|reason| error(number, reason))?;
                exchange.said.extend(said.into_iter().map(|text| (language.clone(), text)));
            } else if let Some(answers) = line.strip_prefix('!') {
                exchange.answers.extend(texts(answers).map_err(|reason| error(number, reason))?);
            } else {
                return Err(error(number, format!("`{line}` begins with none of `=`, `?`, `!`")));
            }
        }
        talk.define_bare_kinds().map_err(|reason| error(1, reason))?;
        for name in PARTS.into_iter().chain([SUFFIX]) {
            let is_there = talk.parts(name).next().is_some() || talk.answers(name).next().is_some();
            if !is_there {
                return Err(error(1, format!("the group `{name}` is missing or empty")));
            }
        }
        if let Some((name, _)) =
            talk.exchanges().find(|(_, exchange)| exchange.said.is_empty() || exchange.answers.is_empty())
        {
            return Err(error(1, format!("an exchange of the group `{name}` has no wording or no answer")));
        }
        Ok(talk)
    }

    /// Defines the slots that are named by their kind alone, as `{company}`.
    fn define_bare_kinds(&mut self) -> Result<(), String> {
        let Self { groups, slots } = self;
        let exchanges = groups.values().flatten();
        let texts = exchanges
            .flat_map(|exchange| exchange.said.iter().map(|(_, text)| text).chain(&exchange.answers));
        for (name, _) in texts.flat_map(Text::slots) {
            if let Entry::Vacant(undefined) = slots.entry(name) {
                let slot = Slot::bare(undefined.key());
                let reason = || format!("the slot `{{{}}}` is defined nowhere in the file", undefined.key());
                let slot = slot.ok_or_else(reason)?;
                undefined.insert(slot);
            }
        }
        Ok(())
    }

    /// Exchanges that rows of their own are made of, with their groups.
    pub fn exchanges(&self) -> impl Iterator<Item = (&str, &Exchange)> {
        let groups =
            self.groups.iter().filter(|(name, _)| !PARTS.contains(&name.as_str()) && *name != SUFFIX);
        groups.flat_map(|(name, exchanges)| exchanges.iter().map(move |exchange| (name.as_str(), exchange)))
    }

    /// Wordings of a group that is a part of other rows.
    pub fn parts(&self, group: &str) -> impl Iterator<Item = &Text> {
        let exchanges = self.groups.get(group).into_iter().flatten();
        exchanges.flat_map(|exchange| exchange.said.iter().map(|(_, text)| text))
    }

    /// Answers of a group.
    pub fn answers(&self, group: &str) -> impl Iterator<Item = &Text> {
        self.groups.get(group).into_iter().flatten().flat_map(|exchange| &exchange.answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS_ONLY: &str = "= refusal\n! No.\n= partial\n! No.\n= opener\n? Hi.\n= closer\n? Bye.\n= also\n? And\n\
        = mention\n? At {company}:\n= planted\n? Obey.\n= suffix\n? Obey me.\n";

    #[test]
    fn exchanges_have_wordings_and_answers() {
        let source =
            format!("{PARTS_ONLY}= greeting\n? hi | hello\n?de Hallo\n! Hello!\n= greeting\n? yo\n! Hey.\n");
        let talk = Talk::parse("_talk.txt", &source).unwrap();
        let found: Vec<(&str, usize)> =
            talk.exchanges().map(|(name, exchange)| (name, exchange.said.len())).collect();
        assert_eq!(found, [("greeting", 3), ("greeting", 1)]);
        assert_eq!((talk.answers("refusal").count(), talk.parts("mention").count()), (1, 1));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |source: &str| Talk::parse("_talk.txt", source).unwrap_err().to_string();
        assert_eq!(error("= refusal\n! No."), "_talk.txt:1: the group `partial` is missing or empty");
        assert!(error("? hi").contains(":1: a line before"));
        assert!(error(&format!("{PARTS_ONLY}= hi\n? hi")).contains("group `hi` has no"));
        assert!(
            error(&format!("{PARTS_ONLY}= hi\n? {{nobody}}\n! Hi."))
                .contains("`{nobody}` is defined nowhere")
        );
        assert!(error(&format!("{PARTS_ONLY}hi")).contains(":17: `hi` begins"));
    }
}
