//! What kind of answer a question asks for.

use super::offered::Offered;
use crate::guard::{Figure, figures};
use crate::phrases::{Phrases, Plain};

/// What a question asks for, as far as its words tell. It may be several things, or nothing certain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    money: bool,
    duration: bool,
    time: bool,
    number: bool,
    phone: bool,
    mail: bool,
    link: bool,
    how: bool,
    why: bool,
    yes_no: bool,
    past: bool,
    codes: Vec<String>,
}

const MONEY: Phrases = "\
    how much|cost*|pric*|fee*|charge*|expensive|pay for|cheap*|free|deposit|surcharge|kostet|\
    kosten|preis*|gebühr*|teuer|wie viel|wieviel|cuánto cuesta|cuesta|precio*|combien|coûte*|\
    prix|tarif*|frais|quanto costa|kost";
const DURATION: Phrases = "\
    how long|how many days|how many hours|how many weeks|how soon|how fast|how quick*|\
    until when|deadline|wie lange|wie schnell|frist|cuánto tiempo|cuánto tarda|plazo|\
    combien de temps|délai*|how late|notice|within";
const TIME: Phrases = "\
    when|what time|open|opening|closed|close|hours|which day|what day|date|until|till|wann|\
    uhrzeit|öffnungszeit*|geöffnet|cuándo|hora|horario*|abren|quand|heure*|ouvert*";
const NUMBER: Phrases = "\
    how many|how old|how big|how large|how heavy|how high|how far|how often|limit*|maximum|\
    minimum|max|min|size|weight|percent*|discount|wie viele|wie alt|wie groß|wie schwer|wie oft|\
    cuántos|cuántas|edad|combien|âge";
const PHONE: Phrases =
    "phone|call|number|ring|telephone|hotline|telefon*|anrufen|teléfono|llamar|téléphone|appeler";
const MAIL: Phrases = "email|e-mail|mail|write to|correo|courriel|schreiben";
const LINK: Phrases = "website|link|page|site|url|web|online|webseite|enlace|lien";
const HOW: Phrases = "\
    how do|how can|how to|how does|how should|where do|where can|where is|what do i|what should|\
    what must|steps|wie kann|wie mache|wie geht|was muss|wo kann|wo finde|cómo|dónde|qué tengo|\
    comment|où|que dois|how would|way to|help me";
const WHY: Phrases =
    "why|reason|cause|what does|what is|mean|warum|wieso|por qué|pourquoi|bedeutet|significa";
/// Beginnings of questions that are answered by yes or no.
const YES_NO: Phrases = "\
    can|may|is|are|do|does|will|could|would|am|should|must|kann|darf|ist|sind|muss|gibt|puedo|\
    es|hay|puede|est-ce|puis-je|peut-on|ok|okay";
/// Words of such questions wherever they stand.
const MAY: Phrases = "allowed|possible";
/// Words of questions about what was before.
const PAST: Phrases = "\
    was it|were|before that|before then|used to|old price*|old rule*|old tariff*|old rate*|old plan*|previous*|\
    former*|früher*";

impl Asked {
    /// What `question` asks for; where it asks for nothing by itself, as "and for two?" does, what the question
    /// `before` asked for.
    pub fn of(question: &str, before: Option<&str>) -> Self {
        let own = Self::by_words(question);
        match before {
            Some(before) if own == Self { codes: own.codes.clone(), ..Self::default() } => {
                let mut asked = Self::by_words(before);
                if !own.codes.is_empty() {
                    asked.codes = own.codes;
                }
                asked
            }
            _ => own,
        }
    }

    fn by_words(question: &str) -> Self {
        let text = Plain::of(question);
        let codes = figures(question).into_iter().filter_map(|(_, figure)| match figure {
            Figure::Code(code) => Some(code),
            _ => None,
        });
        Asked {
            money: text.has(MONEY),
            duration: text.has(DURATION),
            time: text.has(TIME),
            number: text.has(NUMBER),
            phone: text.has(PHONE),
            mail: text.has(MAIL),
            link: text.has(LINK),
            how: text.has(HOW),
            why: text.has(WHY),
            yes_no: text.begins(YES_NO) || text.has(MAY),
            past: text.has(PAST),
            codes: codes.collect(),
        }
    }

    /// Whether `offered` has a figure of a kind that is asked for; `None` if none is.
    pub fn figure(&self, offered: &Offered) -> Option<bool> {
        let asked = [
            (self.money, offered.money),
            (self.duration, offered.duration),
            (self.time, offered.time),
            (self.number, offered.number || offered.duration),
        ];
        any_offered(&asked)
    }

    /// Whether `offered` has a way to reach somebody that is asked for; `None` if none is.
    pub fn contact(&self, offered: &Offered) -> Option<bool> {
        let asked = [(self.phone, offered.phone), (self.mail, offered.mail), (self.link, offered.link)];
        any_offered(&asked)
    }

    pub fn has_code(&self) -> bool {
        !self.codes.is_empty()
    }

    pub fn code_in(&self, text: &str) -> bool {
        figures(text)
            .iter()
            .any(|(_, figure)| matches!(figure, Figure::Code(code) if self.codes.contains(code)))
    }

    /// Whether the question itself is about what was before.
    pub fn is_past(&self) -> bool {
        self.past
    }

    pub fn is_how(&self) -> bool {
        self.how
    }

    pub fn is_why(&self) -> bool {
        self.why
    }

    pub fn is_yes_no(&self) -> bool {
        self.yes_no
    }
}

/// Whether any of what is asked for is offered; `None` if nothing is asked for.
fn any_offered(asked_and_offered: &[(bool, bool)]) -> Option<bool> {
    let asked = asked_and_offered.iter().filter(|(asked, _)| *asked);
    asked.map(|(_, offered)| *offered).reduce(|a, b| a || b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_with_a_figure_of_the_kind_that_is_asked_for_offers_it() {
        for (question, offers, lacks) in [
            ("How much is express delivery?", "Express costs £8.90.", "Express takes 2 days."),
            ("How long does it take?", "Within two working days.", "It costs £3."),
            ("When do you open?", "From 9 am to 5 pm.", "It costs £3."),
            ("Was kostet der Versand?", "Der Versand kostet 4,50 €.", "Er dauert drei Tage."),
        ] {
            let asked = Asked::of(question, None);
            assert_eq!(asked.figure(&Offered::of(offers)), Some(true), "{question}");
            assert_eq!(asked.figure(&Offered::of(lacks)), Some(false), "{question}");
        }
        assert_eq!(
            Asked::of("Which phone do I call?", None).contact(&Offered::of("Call 0800 555 0142.")),
            Some(true)
        );
        assert_eq!(Asked::of("Is it dangerous?", None).figure(&Offered::of("Stop using it.")), None);
    }

    #[test]
    fn codes_are_told_apart() {
        let asked = Asked::of("what does err-4011 mean", None);
        assert!(
            asked.has_code() && asked.code_in("ERR-4011: no paper") && !asked.code_in("ERR-4012: no ink")
        );
    }

    #[test]
    fn a_question_that_asks_for_nothing_by_itself_asks_for_what_the_one_before_did() {
        let before = Some("How much is express delivery?");
        let price = Offered::of("Express costs £8.90.");
        assert_eq!(Asked::of("and for two parcels?", before).figure(&price), Some(true));
        assert_eq!(Asked::of("and how long does it take?", before).figure(&price), Some(false));
    }

    #[test]
    fn what_was_before_is_told_apart_from_an_age() {
        assert!(Asked::of("What was it before May?", None).is_past());
        assert!(!Asked::of("Was kostet der Versand?", None).is_past());
        assert!(!Asked::of("Is it allowed for a dog 8 years old?", None).is_past());
    }
}
