//! The fixed texts that answer what is no question, and questions without an answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{Intent, RagError};

/// The texts that come with the program.
const SHIPPED: &str = include_str!("../assets/replies.json");

/// Stands in a text for the company's name.
const COMPANY: &str = "{company}";
/// Key of what stands there if the name is not known.
const NAMELESS: &str = "company";
/// Key of the text for a question without an answer.
const NO_ANSWER: &str = "no_answer";
/// The language of a text that is missing in another.
const DEFAULT_LANGUAGE: &str = "en";

/// Fixed texts by intent and language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    /// Texts by language, by the intent's name, `no_answer` or `company`.
    texts: BTreeMap<String, BTreeMap<String, String>>,
    company: Option<String>,
}

impl Replies {
    /// The texts that come with the program, in English, German, Spanish, French, Italian, Portuguese and Dutch.
    ///
    /// # Errors
    /// Never in a program whose tests pass.
    pub fn shipped() -> Result<Self, RagError> {
        let texts = parse(SHIPPED, Path::new("replies.json (shipped)"))?;
        Ok(Replies { texts, company: None })
    }

    /// These, but with the texts of a file in their place; what the file does not have stays. Its form:
    /// `{"greeting": {"en": "Hi, this is {company}.", "pl": "Dzień dobry!"}}`.
    ///
    /// # Errors
    /// If the file cannot be read, or has an intent that there is none of, or an empty text.
    pub fn with_file(mut self, path: &Path) -> Result<Self, RagError> {
        let text = fs::read_to_string(path).map_err(RagError::io(path))?;
        for (key, by_language) in parse(&text, path)? {
            self.texts.entry(key).or_default().extend(by_language);
        }
        Ok(self)
    }

    /// These with the name of the company that they speak for.
    pub fn of_company(mut self, name: &str) -> Self {
        self.company = Some(name.trim().to_string()).filter(|name| !name.is_empty());
        self
    }

    /// The reply to a message that is no question, in the language with that tag (`de`, `pt-BR`), else in
    /// English. `None` for a question.
    pub fn to(&self, intent: Intent, language: &str) -> Option<String> {
        (intent != Intent::Question).then(|| self.text(intent.name(), language))
    }

    /// The reply to a question that the articles do not answer.
    pub fn no_answer(&self, language: &str) -> String {
        self.text(NO_ANSWER, language)
    }

    /// Whether there are texts in the language with that tag.
    pub fn has(&self, language: &str) -> bool {
        let by_language = self.texts.get(NO_ANSWER);
        tags(language).iter().any(|tag| by_language.is_some_and(|texts| texts.contains_key(tag)))
    }

    fn text(&self, key: &str, language: &str) -> String {
        let tags = tags(language);
        let find = |key: &str| {
            let by_language = self.texts.get(key)?;
            tags.iter().map(String::as_str).chain([DEFAULT_LANGUAGE]).find_map(|tag| by_language.get(tag))
        };
        let text = find(key).map_or("", String::as_str);
        let company = self.company.as_deref().or_else(|| find(NAMELESS).map(String::as_str));
        text.replace(COMPANY, company.unwrap_or_default())
    }
}

fn parse(text: &str, path: &Path) -> Result<BTreeMap<String, BTreeMap<String, String>>, RagError> {
    let texts: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(text).map_err(|error| RagError::file(path, error))?;
    for (key, by_language) in &texts {
        let is_reply = Intent::named(key).is_some_and(|intent| intent != Intent::Question);
        if !is_reply && key != NO_ANSWER && key != NAMELESS {
            return Err(RagError::file(path, format!("`{key}` is no kind of reply")));
        }
        if let Some((language, _)) = by_language.iter().find(|(_, text)| text.trim().is_empty()) {
            return Err(RagError::file(path, format!("`{key}` in `{language}` is empty")));
        }
    }
    Ok(lower_case_tags(texts))
}

/// Tags are compared in lower case.
fn lower_case_tags(
    texts: BTreeMap<String, BTreeMap<String, String>>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let lower = |(tag, text): (String, String)| (tag.to_ascii_lowercase(), text);
    texts.into_iter().map(|(key, by_language)| (key, by_language.into_iter().map(lower).collect())).collect()
}

/// A tag of a language, as texts are found by, and the language alone: `pt-br` and `pt`.
fn tags(language: &str) -> [String; 2] {
    let tag = language.to_ascii_lowercase();
    let code = tag.split(['-', '_']).next().unwrap_or_default().to_string();
    [tag, code]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGUAGES: [&str; 7] = ["en", "de", "es", "fr", "it", "pt", "nl"];

    #[test]
    fn every_kind_has_its_own_text_in_every_language() {
        let replies = Replies::shipped().unwrap();
        let mut seen = std::collections::HashSet::new();
        for language in LANGUAGES {
            for intent in Intent::ALL {
                let text = replies.to(intent, language).unwrap_or_else(|| replies.no_answer(language));
                assert!(!text.contains('{') && !text.contains(|c: char| c.is_ascii_digit()), "{text}");
                assert!(seen.insert(text.clone()), "{intent:?} in {language} is not its own: {text}");
            }
            let about = replies.to(Intent::About, language).unwrap();
            assert!(["AI", "KI", "IA"].iter().any(|ai| about.contains(ai)), "{about}");
        }
    }

    #[test]
    fn the_company_is_named_if_it_is_known() {
        let replies = Replies::shipped().unwrap();
        assert!(replies.to(Intent::Greeting, "en").unwrap().contains("of our support team"));
        let named = replies.clone().of_company("Lumen & Co");
        assert!(named.to(Intent::Greeting, "de").unwrap().contains("von Lumen & Co"));
        assert_eq!(replies.clone().of_company(" "), replies);
    }

    #[test]
    fn a_language_without_texts_gets_english() {
        let replies = Replies::shipped().unwrap();
        assert_eq!(replies.to(Intent::Thanks, "pt-BR"), replies.to(Intent::Thanks, "pt"));
        assert_eq!(replies.to(Intent::Thanks, "ja"), replies.to(Intent::Thanks, "en"));
        assert_eq!(replies.to(Intent::Question, "en"), None);
    }

    #[test]
    fn a_file_replaces_texts_and_adds_languages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replies.json");
        fs::write(&path, r#"{"thanks": {"en": "Any time!", "pl": "Proszę!"}}"#).unwrap();
        let shipped = Replies::shipped().unwrap();
        let own = shipped.clone().with_file(&path).unwrap();
        assert_eq!(own.to(Intent::Thanks, "en").unwrap(), "Any time!");
        assert_eq!(own.to(Intent::Thanks, "pl").unwrap(), "Proszę!");
        assert_eq!(own.to(Intent::Thanks, "de"), shipped.to(Intent::Thanks, "de"));
        assert_eq!(own.no_answer("en"), shipped.no_answer("en"));
    }

    #[test]
    fn a_wrong_file_is_named_with_its_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replies.json");
        for (text, reason) in [
            (r#"{"greting": {"en": "Hi"}}"#, "`greting` is no kind of reply"),
            (r#"{"question": {"en": "Hi"}}"#, "`question` is no kind of reply"),
            (r#"{"thanks": {"en": " "}}"#, "`thanks` in `en` is empty"),
            (r#"{"thanks": "Any time"}"#, "line 1 column"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Replies::shipped().unwrap().with_file(&path).unwrap_err().to_string();
            assert!(error.contains("replies.json: ") && error.contains(reason), "{error}");
        }
    }
}
