//! What a question in a conversation refers to.

use crate::lexical::{Language, content_words};
use crate::phrases::{Phrases, Plain};

/// A fragment with more words of its own than these stands for itself, unless it goes on or points back.
const FEW_WORDS: usize = 3;
/// A whole question with more words of its own than these does: "Who is the president of France?", but not "When is
/// the deadline?".
const ONE_WORD: usize = 1;
/// One with more than these stands for itself although it has a word that could point back.
const SOME_WORDS: usize = 5;

/// Beginnings of questions that go on with what was said before.
const GOES_ON: Phrases = "\
    and|or|but|so|what about|how about|what if|ok|okay|what else|then|also|und|oder|aber|was ist mit|wie ist es mit|\
    y|o|pero|qué pasa|et|ou|mais";

/// Beginnings of whole questions.
const WHOLE: Phrases = "\
    who|whose|what|when|where|which|why|how|do|does|did|is|are|was|were|can|could|will|would|may|should|has|have|had|\
    wer|wessen|wann|wo|welche|welcher|welches|wie|warum|kann|könnt|können|ist|sind|gibt|hat|haben|habt|darf|\
    quién|qué|cuándo|dónde|cómo|cuánto|cuál|puedo|pueden|hay|qui|que|quel|quelle|quand|où|comment|combien|est|peut|\
    puis|avez";

/// Questions that are nothing without what was said before.
const BARE: [&str; 16] = [
    "why",
    "how",
    "when",
    "where",
    "which",
    "how long",
    "how much",
    "how many",
    "since when",
    "warum",
    "wie",
    "wann",
    "wo",
    "por qué",
    "cuándo",
    "pourquoi",
];

/// Words by which a question points back to what was said before, in its language.
fn points_back(language: Language) -> Phrases {
    match language {
        Language::German => "es|dies|diese|dieser|dieses|davon|dafür|damit|dort|dann|ihn|auch|sonst",
        Language::Spanish => "eso|esto|ese|esa|esos|allí|también|entonces",
        Language::French => "ça|cela|celui|celle|ceux|là|aussi|alors",
        _ => "it|its|that|this|they|them|those|these|then|one|ones|else|instead|same|either|he|she|also|too",
    }
}

/// Whether `message` goes on with what was said before: "and then?", "why?", "is it the same on Sundays?"
pub(crate) fn goes_on(message: &str) -> bool {
    let (plain, language) = (Plain::of(message), Language::of(message));
    let points_back = || plain.has(points_back(language)) && own_words(message, language) <= SOME_WORDS;
    plain.begins(GOES_ON) || BARE.iter().any(|bare| plain.is(bare)) || points_back()
}

fn own_words(message: &str, language: Language) -> usize {
    content_words(message, language).len()
}

/// The question before, where `question` cannot be understood without it: `earlier` are the customer's questions
/// before it, the oldest first.
///
/// ```
/// # use rag::refers_to;
/// let earlier = ["How much is express delivery?"];
/// assert_eq!(refers_to("And how long does it take?", &earlier), Some("How much is express delivery?"));
/// assert_eq!(refers_to("Which payment methods do you accept in your shops?", &earlier), None);
/// ```
pub fn refers_to<'a>(question: &str, earlier: &[&'a str]) -> Option<&'a str> {
    let before = earlier.iter().rev().find(|text| text.chars().any(char::is_alphanumeric))?;
    let few = if Plain::of(question).begins(WHOLE) { ONE_WORD } else { FEW_WORDS };
    let is_short = || own_words(question, Language::of(question)) <= few;
    (goes_on(question) || is_short()).then_some(*before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_up_is_searched_with_the_question_before() {
        let earlier = ["Do you ship to Norway?"];
        for question in [
            "and how much is that?",
            "What about Sweden?",
            "how long?",
            "When is the deadline?",
            "two parcels to Iceland",
            "why?",
            "Und was kostet das?",
            "¿Y cuánto cuesta?",
        ] {
            assert_eq!(refers_to(question, &earlier), Some(earlier[0]), "{question}");
        }
        assert_eq!(refers_to("and how much is that?", &[]), None);
        assert_eq!(refers_to("and how much is that?", &["Do you ship?", "…"]), Some("Do you ship?"));
    }

    #[test]
    fn a_question_with_words_enough_stands_for_itself() {
        for question in [
            "Which documents prove my student discount for the annual ticket?",
            "Who is the president of France?",
            "Do you sell gift cards?",
            "Haben Sie für Besucher einen Parkplatz neben dem Eingang der Praxis?",
            "Is there a webcam so that guests can watch their dog sleep at night?",
        ] {
            assert_eq!(refers_to(question, &["What is daycare?"]), None, "{question}");
        }
    }

    #[test]
    fn keys_hit_at_random_and_jokes_do_not_go_on() {
        assert!(goes_on("Why?") && goes_on("and then?") && goes_on("Is it the same with kittens?"));
        assert!(!goes_on("asdfgh jkl") && !goes_on("tell me a joke") && !goes_on("sofa"));
    }
}
