//! Holds back an answer that is being written until each of its sentences has passed.

use super::sentence::next_sentence;
use super::{Checked, Guard};

/// A sentence that a [`Gate`] lets go.
#[derive(Debug, Clone, PartialEq)]
pub struct Gated {
    /// The sentence with the white space before it; all of them together are the answer.
    pub text: String,
    /// What the guard says of it, in bytes of the whole answer. One that does not pass is the caller's to
    /// replace.
    pub checked: Checked,
}

/// Takes an answer in pieces and gives it back in sentences, each as soon as nothing that follows can change
/// where it ends. How the answer was cut into pieces changes nothing.
///
/// ```
/// use rag::guard::{Gate, Guard};
/// let guard = Guard::new("What does it cost?", &["Delivery costs £3.90."]);
/// let mut gate = Gate::default();
/// assert!(gate.push("Delivery costs £3", &guard).is_empty());
/// let sentences = gate.push(".90. It is", &guard);
/// assert_eq!(sentences[0].text, "Delivery costs £3.90.");
/// assert_eq!(gate.pending(), " It is");
/// assert_eq!(gate.finish(&guard).len(), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Gate {
    answer: String,
    /// How much of the answer was let go.
    released: usize,
}

impl Gate {
    /// Takes the next piece of the answer; the sentences that are complete with it.
    pub fn push(&mut self, delta: &str, guard: &Guard) -> Vec<Gated> {
        self.answer.push_str(delta);
        self.release(guard, false)
    }

    /// The rest of the answer, which ends here.
    pub fn finish(&mut self, guard: &Guard) -> Vec<Gated> {
        self.release(guard, true)
    }

    /// What is held back: the sentence being written.
    pub fn pending(&self) -> &str {
        &self.answer[self.released..]
    }

    /// Forgets what is held back, so that another sentence can be written in its place.
    pub fn discard_pending(&mut self) {
        self.answer.truncate(self.released);
    }

    fn release(&mut self, guard: &Guard, is_whole: bool) -> Vec<Gated> {
        let mut sentences = Vec::new();
        while let Some(range) = next_sentence(&self.answer, self.released, is_whole) {
            let text = self.answer[self.released..range.end].to_string();
            self.released = range.end;
            sentences.push(Gated { text, checked: guard.check_at(&self.answer[range.clone()], range) });
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSAGE: &str = "Delivery costs £3.90 and takes 3 days. Ask Mr. Hill by 9 a.m. on Friday.";

    #[test]
    fn a_sentence_is_let_go_as_soon_as_it_is_certain() {
        let guard = Guard::new("What does it cost?", &[PASSAGE]);
        let mut gate = Gate::default();
        let mut passed = Vec::new();
        for delta in ["Delivery costs £3", ".90", ". [", "1", "] ", "It takes ", "9 days", ".", " Bye", "!"]
        {
            passed.extend(
                gate.push(delta, &guard).into_iter().map(|one| (one.text, one.checked.passes(), delta)),
            );
        }
        passed.extend(gate.finish(&guard).into_iter().map(|one| (one.text, one.checked.passes(), "")));
        assert_eq!(
            passed,
            [
                ("Delivery costs £3.90. [1]".to_string(), true, "It takes "),
                (" It takes 9 days.".to_string(), false, " Bye"),
                (" Bye!".to_string(), true, ""),
            ]
        );
    }

    #[test]
    fn what_is_pending_can_be_written_anew() {
        let guard = Guard::new("What does it cost?", &[PASSAGE]);
        let mut gate = Gate::default();
        gate.push("Hello! It costs £4", &guard);
        gate.discard_pending();
        let rest = gate.push(" It costs £3.90. ", &guard).into_iter().chain(gate.finish(&guard));
        assert_eq!(rest.map(|one| one.text).collect::<String>(), " It costs £3.90.");
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            parts in prop::collection::vec(prop::sample::select(vec![
                "Delivery costs £3.90", ". ", ".", "! ", "[1]", " [2]", "\n", "\n\n", "- ", "1. ", "Mr. Hill", " 9 a.m",
                " Monday", "“No.”", "…", "z. B", " it ", "3", " Mai", "。", ")", "Ä",
            ]), 0..30),
            cuts in prop::collection::vec(0usize..200, 0..12),
        ) {
            let guard = Guard::new("What does it cost?", &[PASSAGE]);
            let answer = parts.concat();
            let mut whole = Gate::default();
            whole.push(&answer, &guard);
            let mut expected = Gate::default().push(&answer, &guard);
            expected.extend(whole.finish(&guard));

            let mut cuts: Vec<usize> = cuts.into_iter().filter(|at| answer.is_char_boundary(*at)).collect();
            cuts.extend([0, answer.len()]);
            cuts.sort_unstable();
            let mut gate = Gate::default();
            let mut found = Vec::new();
            for cut in cuts.windows(2) {
                found.extend(gate.push(&answer[cut[0]..cut[1]], &guard));
            }
            found.extend(gate.finish(&guard));
            prop_assert_eq!(&found, &expected);
            let ranges: Vec<_> = found.iter().map(|one| one.checked.range.clone()).collect();
            prop_assert_eq!(ranges, crate::guard::sentences(&answer));
        }
    }
}
