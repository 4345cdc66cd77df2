//! A sentence of an answer, prepared for comparison with the passages.

use std::ops::Range;
use std::sync::LazyLock;

use super::evidence::Evidence;
use super::figure::{Figure, figures};
use super::stop_words::is_stop_word;
use super::table::Table;
use super::words::{Word, words};
use crate::lexical::Language;

/// Words of greetings, offers, refusals and talk about the conversation, which claim nothing.
static TALK: LazyLock<Table<()>> = LazyLock::new(|| {
    Table::new(&[(
        (),
        "hello hi hey good morning afternoon evening welcome thank thanks sorry apologise apologize glad \
    happy help assist question questions know information passages passage say says tell answer find found mention \
    mentioned unfortunately contact team support feel free reach anything understand appreciate pleasure bye day \
    nice great sure wish connect colleague human agent unsure afraid context provided documents sources details \
    article articles state cover \
    hallo guten tag danke willkommen leider weiß wissen helfen gerne frage fragen information informationen \
    angabe angaben finden steht kontakt kontaktieren kundenservice support team auskunft entschuldigung tut leid \
    freue \
    hola buenos días gracias bienvenido siento lamento ayudar ayudarle ayuda gusto pregunta preguntas sé \
    información encuentro dice contactar póngase contacto equipo \
    bonjour merci bienvenue désolé désolée aider plaisir question questions sais information informations trouve \
    dit contacter contactez équipe service client",
    )])
});

/// Words with which a sentence admits that something is not known.
static KNOWING: LazyLock<Table<()>> = LazyLock::new(|| {
    Table::new(&[(
        (),
        "know information say says tell find mention mentioned answer unsure weiß \
    wissen information informationen angabe angaben finden steht auskunft sé información encuentro dice sais \
    informations trouve dit",
    )])
});

/// Words that say of a figure what its measure says as well.
static LIGHT: LazyLock<Table<()>> = LazyLock::new(|| {
    Table::new(&[(
        (),
        "cost costs costing price priced pay paid charge charged fee take takes taking last lasts amount \
    kostet kosten preis dauert beträgt cuesta cuestan precio tarda dura coûte coûtent prix prend dure",
    )])
});

/// Share of its weight that such a word keeps.
const LIGHT_SHARE: f32 = 0.3;

/// Capitalised words that name nobody.
static COMMON_NAMES: LazyLock<Table<()>> =
    LazyLock::new(|| Table::new(&[((), "ok pdf faq faqs url sms app id gmbh")]));

/// A sentence, prepared.
pub(super) struct Claim {
    /// Its figures, in bytes of the sentence.
    pub figures: Vec<(Range<usize>, Figure)>,
    /// Its words as each language of the passages reads them.
    pub readings: Vec<(Language, Vec<Term>)>,
    /// The passages it cites, from 1.
    pub cited: Vec<usize>,
    pub is_question: bool,
}

/// A word of a claim.
pub(super) struct Term {
    pub word: Word,
    /// Numbers of the stems of the passages that it matches; empty also where it has no content.
    pub stems: Vec<u32>,
    /// How much it tells; 0 without content.
    pub weight: f32,
}

impl Claim {
    pub fn new(sentence: &str, evidence: &Evidence) -> Self {
        let (text, cited) = without_citations(sentence);
        let mut figures = figures(&text);
        // A quoted sentence is checked as words are; a name is short.
        figures.retain(|(_, figure)| !matches!(figure, Figure::Name(name) if name.split(' ').count() > 8));
        let mut languages: Vec<Language> = evidence.languages().into_iter().collect();
        languages.sort_unstable();
        if languages.is_empty() {
            languages.push(Language::Other);
        }
        let in_figure = |word: &Word| {
            let is_in = |(range, figure): &&(Range<usize>, Figure)| {
                !matches!(figure, Figure::Name(_))
                    && range.start < word.range.end
                    && word.range.start < range.end
            };
            figures.iter().any(|figure| is_in(&figure))
        };
        let readings = languages
            .into_iter()
            .map(|language| {
                let term = |word: Word| {
                    let stem = (word.has_content && !in_figure(&word)).then(|| word.stem(language));
                    let stems = stem.as_deref().map(|stem| evidence.like(stem)).unwrap_or_default();
                    let is_light = !figures.is_empty() && LIGHT.has(&word.lower);
                    let share = if is_light { LIGHT_SHARE } else { 1.0 };
                    let weight = if stem.is_some() { share * evidence.weight(&stems) } else { 0.0 };
                    Term { stems, weight, word }
                };
                (language, words(&text, language).into_iter().map(term).collect())
            })
            .collect();
        let is_question = text.trim_end_matches(['"', '”', ')', '*', ' ']).ends_with(['?', '？']);
        Claim { figures, readings, cited, is_question }
    }

    /// Its words as `language` reads them.
    pub fn terms(&self, language: Language) -> &[Term] {
        let reading = self.readings.iter().find(|(known, _)| *known == language);
        reading.or(self.readings.first()).map_or(&[], |(_, terms)| terms)
    }

    /// Whether it claims nothing, given that its figures and names stand.
    pub fn is_talk(&self, evidence: &Evidence) -> bool {
        let terms = self.readings.first().map_or(&[][..], |(_, terms)| terms);
        let mut content =
            terms.iter().filter(|term| term.weight > 0.0).map(|term| &term.word.lower).peekable();
        if self.is_question || content.peek().is_none() && self.figures.is_empty() {
            return true;
        }
        let admits = terms.iter().any(|term| term.word.is_negation || is_regret(&term.word.lower))
            && terms.iter().any(|term| KNOWING.has(&term.word.lower));
        content.all(|word| TALK.has(word) || admits && evidence.asks_for(word))
    }

    /// Whether it is only a yes or no, whose content is the question's.
    pub fn is_bare_answer(&self) -> bool {
        let terms = self.readings.first().map_or(&[][..], |(_, terms)| terms);
        let answers = ["yes", "no", "ja", "nein", "sí", "oui", "non", "yeah", "yep", "nope"];
        terms.iter().all(|term| term.weight == 0.0 || answers.contains(&term.word.lower.as_str()))
            && terms.iter().any(|term| answers.contains(&term.word.lower.as_str()))
    }

    /// Names that stand neither in a passage nor in the question.
    pub fn strange_names(&self, evidence: &Evidence) -> Vec<Range<usize>> {
        let Some((language, terms)) = self.readings.first() else { return Vec::new() };
        let is_known = |word: &Word| {
            let spaced = format!(" {} ", word.lower);
            is_stop_word(&word.lower)
                || COMMON_NAMES.has(&word.lower)
                || evidence.asked_words.contains(&spaced)
                || evidence.passages.iter().any(|passage| passage.words.contains(&spaced))
        };
        // In German every noun has a capital: there the words alone decide.
        if *language == Language::German {
            return Vec::new();
        }
        let names = terms.iter().filter(|term| {
            term.word.is_name && term.stems.is_empty() && term.weight > 0.0 && !is_known(&term.word)
        });
        names.map(|term| term.word.range.clone()).collect()
    }
}

fn is_regret(word: &str) -> bool {
    matches!(word, "unfortunately" | "unsure" | "leider" | "sorry")
}

/// `sentence` with spaces for its citations, and the passages they cite.
fn without_citations(sentence: &str) -> (String, Vec<usize>) {
    let mut text = sentence.to_string();
    let mut cited = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find('[').map(|start| at + start) {
        at = start + 1;
        let Some(length) = text[at..].find(']') else { break };
        let inside = &text[at..at + length];
        let is_citation =
            !inside.is_empty() && inside.chars().all(|c| c.is_ascii_digit() || " ,-–".contains(c));
        if is_citation && !text[at + length + 1..].starts_with('(') {
            cited
                .extend(inside.split([' ', ',', '-', '–']).filter_map(|number| number.parse::<usize>().ok()));
            let blank = " ".repeat(length + 2);
            text.replace_range(start..at + length + 1, &blank);
            at = start;
        }
    }
    (text, cited)
}
