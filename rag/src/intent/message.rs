//! A message as its words: what examples and patterns are compared with.

use super::Intent;

/// A longer message is too much to be judged by its nearest example, in words.
const LONGEST: usize = 40;
/// Short forms of chats, and what they stand for.
const SHORT_FORMS: [(&str, &str); 12] = [
    ("u", "you"),
    ("r", "are"),
    ("ur", "your"),
    ("pls", "please"),
    ("plz", "please"),
    ("thx", "thanks"),
    ("thanx", "thanks"),
    ("tnx", "thanks"),
    ("im", "i am"),
    ("ive", "i have"),
    ("id", "i would"),
    ("wanna", "want to"),
];

/// Words that begin a question, or ask for something to be done, in the languages of the shipped examples.
const ASKING: &str = "how what when where which who whom whose why can could would will do does did is are am \
    may should shall \
    wie was wann wo woher wohin welche welcher welches wer wem wen warum wieso kann konnen konnt darf \
    como cuando donde cual cuales quien cuanto cuanta cuantos puedo puede pueden \
    comment quand ou quels quelles qui combien pourquoi peux puisje pouvez estce \
    cosa quando dove quale quali chi quanto quanta perche posso puo \
    onde quais quem quanta quantos porque pode podem \
    hoe wat wanneer waar welke wie hoeveel waarom kan kun mag";

/// Words that ask for something to be done, wherever they stand.
const REQUESTS: &str = "delete cancel close refund return send change remove unsubscribe stop fix repair replace \
    exchange reset where when wo wann donde cuando quand dove onde waar wanneer";

/// A message, cut into sentences of plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Words in lower case, without accents, apostrophes and stretched letters.
    pub sentences: Vec<Vec<String>>,
    /// Whether it has a question mark.
    pub has_question_mark: bool,
}

impl Message {
    pub fn of(text: &str) -> Message {
        let mut sentences = Vec::new();
        for sentence in text.split(['.', '!', '?', ';', '\n', '\r', '…', '¿', '¡', '。', '？', '！']) {
            let words = words(sentence);
            if !words.is_empty() {
                sentences.push(words);
            }
        }
        Message { sentences, has_question_mark: text.contains(['?', '¿', '？']) }
    }

    /// All words with single spaces.
    pub fn text(&self) -> String {
        let sentences: Vec<String> = self.sentences.iter().map(|words| words.join(" ")).collect();
        sentences.join(" ")
    }

    pub fn count(&self) -> usize {
        self.sentences.iter().map(Vec::len).sum()
    }

    /// Whether a message of this form can be of that kind, however near it is to an example: not if it is long;
    /// a number is an order's, a price or a code; an outburst asks for nothing.
    pub fn may_be(&self, intent: Intent) -> bool {
        let short = self.count() <= LONGEST;
        let has_digit = self.any(|word| word.chars().any(|character| character.is_ascii_digit()));
        match intent {
            Intent::Question | Intent::Human | Intent::Injection => short,
            Intent::About => short && !has_digit && !self.any(|word| word == "my"),
            Intent::OffTopic | Intent::Unclear => short && !has_digit,
            Intent::Greeting => short && !has_digit && !self.begins_a_question(),
            _ if self.has_question_mark || self.begins_a_question() => false,
            _ => short && !has_digit && !self.any(|word| is_in(word, REQUESTS)),
        }
    }

    fn begins_a_question(&self) -> bool {
        // "What a mess" exclaims.
        let exclaims = |words: &[String]| words.get(1).is_some_and(|word| is_in(word, "a an een"));
        let asks = |words: &[String]| words.first().is_some_and(|word| is_in(word, ASKING));
        self.sentences.iter().any(|words| asks(words) && !exclaims(words))
    }

    fn any(&self, is: impl Fn(&str) -> bool) -> bool {
        self.sentences.iter().flatten().any(|word| is(word))
    }
}

fn is_in(word: &str, list: &str) -> bool {
    list.split_ascii_whitespace().any(|other| other == word)
}

/// The words of `text` in lower case, without accents and apostrophes; a letter that is repeated three times or
/// more is written once; short forms are written out.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut plain = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        match character {
            '\'' | '’' | '‘' | '`' | '´' | '\u{300}'..='\u{36F}' => {}
            other if other.is_alphanumeric() => push_folded(other, &mut plain),
            _ => plain.push(' '),
        }
    }
    let words = plain.split_ascii_whitespace().map(unstretched);
    words.flat_map(|word| written_out(&word).split(' ').map(str::to_string).collect::<Vec<_>>()).collect()
}

fn written_out(word: &str) -> &str {
    SHORT_FORMS.iter().find(|(short, _)| *short == word).map_or(word, |(_, long)| long)
}

/// Adds a letter without its accent.
fn push_folded(character: char, plain: &mut String) {
    plain.push_str(match character {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'č' => "c",
        'è'..='ë' | 'ē' | 'ę' | 'ě' => "e",
        'ì'..='ï' | 'ī' => "i",
        'ñ' | 'ń' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => "o",
        'ù'..='ü' | 'ū' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ß' => "ss",
        'œ' => "oe",
        'æ' => "ae",
        other => return plain.push(other),
    });
}

/// `hellooo` as `hello`.
fn unstretched(word: &str) -> String {
    let mut short = String::new();
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        let mut repeated = 1;
        while characters.next_if_eq(&character).is_some() {
            repeated += 1;
        }
        let kept = if repeated >= 3 && character.is_alphabetic() { 1 } else { repeated };
        short.extend(std::iter::repeat_n(character, kept));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_plain() {
        assert_eq!(words("Hellooo, what’s UP?"), ["hello", "whats", "up"]);
        assert_eq!(words("Grüß Gott! Ça va, l'été?"), ["gruss", "gott", "ca", "va", "lete"]);
        assert_eq!(words("thx u r great"), ["thanks", "you", "are", "great"]);
        assert_eq!(words("order 1000"), ["order", "1000"]);
        assert_eq!(words("e\u{301}te\u{301} 👍 …"), ["ete"]);
    }

    #[test]
    fn what_asks_for_something_is_no_outburst() {
        for asking in ["where is it", "wo ist mein paket", "you are terrible, delete my account", "terrible?"]
        {
            assert!(!Message::of(asking).may_be(Intent::Complaint), "{asking}");
        }
        assert!(Message::of("you are terrible").may_be(Intent::Complaint));
        assert!(!Message::of("thanks for order 12").may_be(Intent::Thanks));
        assert!(Message::of("a human about order 12").may_be(Intent::Human));
        assert!(!Message::of(&"a human ".repeat(LONGEST)).may_be(Intent::Human));
    }

    #[test]
    fn a_message_is_cut_into_sentences() {
        let message = Message::of("Hi there! Where is order 12? Thanks.");
        assert_eq!(
            message.sentences,
            [vec!["hi", "there"], vec!["where", "is", "order", "12"], vec!["thanks"]]
        );
        assert!(message.has_question_mark);
        assert_eq!(Message::of("?! …").count(), 0);
    }
}
