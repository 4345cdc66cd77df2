//! Speculation by look-up: answers that rest on passages copy from them, so what followed the last few tokens where
//! they stood before is a good guess of what follows now. A guess costs no model; it is checked in one step with the
//! next token.
//!
//! Source: Saxena 2023, prompt lookup decoding; Leviathan et al. 2023, arXiv:2211.17192, for checking guesses.

use std::collections::HashMap;

/// Length of the runs of tokens that are looked up.
const GRAM: usize = 3;
/// Most tokens compared further back, to choose between occurrences.
const BACK: usize = 16;
/// Most occurrences of one gram that are compared, the latest first.
const PLACES: usize = 8;
/// The most tokens guessed at once.
const MOST: usize = 8;
/// Answers pause guessing while fewer of their guesses than this are right: a row that is checked in vain costs
/// between a sixth and a whole token, by format and machine.
const WORTH: f32 = 0.4;
/// Tokens that pass before a pausing answer tries again; doubled by every try in vain.
const PAUSE: usize = 16;

/// The grams of one sequence, and how well guessing by them has gone.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Where each gram ends, the latest last.
    ends: HashMap<[u32; GRAM], Vec<usize>>,
    /// Tokens whose grams are in `ends`.
    known: usize,
    /// Tokens to guess next time.
    width: usize,
    /// Share of right guesses, a moving average.
    right: f32,
    /// Length of the sequence before which nothing is guessed.
    resume: usize,
    pause: usize,
}

impl Default for Lookup {
    fn default() -> Self {
        let pause = PAUSE;
        Self { ends: HashMap::new(), known: 0, width: MOST / 2, right: 1.0, resume: 0, pause }
    }
}

impl Lookup {
    /// What may follow `tokens`, which are those of the last call and more: at most `most` tokens.
    pub fn guess<'t>(&mut self, tokens: &'t [u32], most: usize) -> &'t [u32] {
        let most = most.min(self.width);
        let Some(gram) = tokens.last_chunk::<GRAM>().filter(|_| most > 0 && tokens.len() >= self.resume)
        else {
            return &[];
        };
        // The last gram itself is left out: nothing follows it yet.
        for end in self.known.max(GRAM)..tokens.len() {
            let gram = tokens[..end].last_chunk().expect("GRAM tokens or more");
            self.ends.entry(*gram).or_default().push(end);
        }
        self.known = self.known.max(tokens.len());
        let alike = |end: &usize| {
            let before = tokens[..*end].iter().rev().zip(tokens.iter().rev());
            before.take(BACK).take_while(|(a, b)| a == b).count()
        };
        // Of places alike as far back, the latest: `max_by_key` takes the last of equals.
        let places = self.ends.get(gram).map_or(&[][..], |ends| &ends[ends.len().saturating_sub(PLACES)..]);
        places
            .iter()
            .max_by_key(|end| alike(end))
            .map_or(&[], |end| &tokens[*end..tokens.len().min(end + most)])
    }

    /// Learns that the first `right` of `guessed` tokens were right; the sequence now has `len` tokens.
    pub fn learn(&mut self, guessed: usize, right: usize, len: usize) {
        if guessed == 0 {
            return;
        }
        self.width = match right {
            _ if right == guessed => MOST.min(2 * self.width),
            _ => (right + 1).clamp(2, MOST),
        };
        self.right += 0.3 * (right as f32 / guessed as f32 - self.right);
        if self.right < WORTH {
            self.resume = len + self.pause;
            self.pause = (2 * self.pause).min(256);
            self.right = WORTH; // one try, which decides
        } else if right == guessed {
            self.pause = PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed() {
        let mut lookup = Lookup::default();
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6], 4), [0; 0], "nothing stood there twice");
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3], 4), [4, 5, 6, 1]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5], 2), [6, 1]);
        assert_eq!(lookup.guess(&[1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5], 0), [0; 0]);
    }

    #[test]
    fn the_place_that_is_alike_furthest_back_counts() {
        let text = [9, 1, 2, 3, 70, 8, 1, 2, 3, 80, 9, 1, 2, 3];
        assert_eq!(Lookup::default().guess(&text, 1), [70]);
        let even = [9, 1, 2, 3, 70, 8, 1, 2, 3, 80, 7, 1, 2, 3];
        assert_eq!(Lookup::default().guess(&even, 1), [80], "else the latest");
    }

    #[test]
    fn guesses_grow_while_they_are_right_and_pause_while_they_are_wrong() {
        let text: Vec<u32> = (0..40).chain(0..10).collect();
        let mut lookup = Lookup::default();
        assert_eq!(lookup.guess(&text, 100).len(), MOST / 2);
        lookup.learn(MOST / 2, MOST / 2, text.len());
        assert_eq!(lookup.guess(&text, 100).len(), MOST);
        let mut wrong = 0;
        while !lookup.guess(&text, 100).is_empty() {
            lookup.learn(4, 0, text.len());
            wrong += 1;
            assert!(wrong < 10);
        }
        let later: Vec<u32> = (0..40).chain(0..10 + PAUSE as u32).collect();
        assert_eq!(lookup.guess(&later, 100).len(), 2, "it tries again, with few");
    }
}
