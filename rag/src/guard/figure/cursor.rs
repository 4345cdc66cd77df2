//! A place in a text, read forwards. Copies of it look ahead.

#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character if it is one of `characters`.
    pub fn eat(&mut self, characters: &[char]) -> bool {
        let next = self.peek().filter(|next| characters.contains(next));
        self.at += next.map_or(0, char::len_utf8);
        next.is_some()
    }

    /// Takes all next characters that are `of` a kind.
    pub fn take(&mut self, of: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !of(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    pub fn digits(&mut self) -> &'a str {
        self.take(|c| c.is_ascii_digit())
    }

    pub fn letters(&mut self) -> &'a str {
        self.take(char::is_alphabetic)
    }

    /// Takes one space, also one that does not break.
    pub fn space(&mut self) -> bool {
        self.eat(&[' ', '\u{a0}', '\u{202f}', '\u{2009}'])
    }

    /// Takes the next word, after a space or none, if `known` gives it a value.
    pub fn word<T>(&mut self, known: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        ahead.space();
        let value = known(&ahead.letters().to_lowercase())?;
        *self = ahead;
        Some(value)
    }

    /// Whether no word or number goes on here.
    pub fn is_end(&self) -> bool {
        !self.peek().is_some_and(char::is_alphanumeric)
    }

    /// The word before here, on the same line, in lower case.
    pub fn previous_word(&self) -> String {
        let before = self.text[..self.at].trim_end_matches([' ', '\u{a0}']);
        let start = before.rfind(|c: char| !c.is_alphabetic()).map_or(0, |at| at + 1);
        before
            .get(start..)
            .or_else(|| before.split(|c: char| !c.is_alphabetic()).next_back())
            .unwrap_or_default()
            .to_lowercase()
    }

    /// Takes the sign or word of a range: `–`, `to`, `bis`.
    pub fn range_sign(&mut self) -> bool {
        let mut ahead = *self;
        ahead.space();
        if ahead.eat(&['-', '–', '—']) {
            ahead.space();
            *self = ahead;
            return true;
        }
        let is_word = |word: &str| {
            matches!(word, "to" | "and" | "or" | "bis" | "und" | "oder" | "a" | "y" | "o" | "à" | "et" | "ou")
                .then_some(())
        };
        if ahead.word(is_word).is_some() && ahead.space() {
            *self = ahead;
            return true;
        }
        false
    }
}
