//! Which evidence makes up an extractive answer.

use super::{Evidence, Findings};

/// How evidence becomes an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Nothing is answered where the probability of no answer is above this, in `[0, 1]`.
    pub most_doubt: f32,
    /// Further evidence is taken from this share of the best one's probability on, in `[0, 1]`.
    pub share_of_best: f32,
    /// The same where the question asks how something is done: instructions are several sentences, while a second
    /// figure is most often that of another case.
    pub share_of_steps: f32,
    /// Sentences of an answer, at most.
    pub most_sentences: usize,
}

impl Default for Choice {
    fn default() -> Self {
        Choice { most_doubt: 0.5, share_of_best: 0.7, share_of_steps: 0.5, most_sentences: 2 }
    }
}

impl Choice {
    /// The evidence that answers, in the order in which it is read; none if there is too much doubt.
    pub fn answer<'a>(&self, findings: &'a Findings) -> Vec<&'a Evidence> {
        // NaN, which is above no bound, answers nothing either.
        if findings.no_answer.is_nan() || findings.no_answer > self.most_doubt {
            return Vec::new();
        }
        let Some(best) = findings.evidence.first() else { return Vec::new() };
        let share = if findings.asks_how { self.share_of_steps } else { self.share_of_best };
        let least = share * best.probability;
        let mut chosen: Vec<&Evidence> = Vec::new();
        for evidence in findings.evidence.iter().take_while(|evidence| evidence.probability >= least) {
            let is_new = chosen.iter().all(|other| other.text != evidence.text);
            if chosen.len() < self.most_sentences && is_new {
                chosen.push(evidence);
            }
        }
        // The best one's passage first, and what stands together in its order.
        let first = best.hit;
        chosen.sort_by_key(|evidence| (evidence.hit != first, evidence.hit, evidence.range.start));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(evidence: &[(usize, usize, f32)], no_answer: f32) -> Findings {
        let one = |&(hit, at, probability): &(usize, usize, f32)| Evidence {
            hit,
            range: at..at + 1,
            text: format!("{hit}.{at}"),
            probability,
        };
        Findings { evidence: evidence.iter().map(one).collect(), no_answer, asks_how: false }
    }

    fn texts(chosen: &[&Evidence]) -> Vec<String> {
        chosen.iter().map(|evidence| evidence.text.clone()).collect()
    }

    #[test]
    fn near_equals_are_taken_together_and_read_in_order() {
        let found = findings(&[(1, 40, 0.4), (0, 7, 0.3), (1, 2, 0.29), (0, 1, 0.01)], 0.0);
        let all = Choice { most_sentences: 3, ..Choice::default() };
        assert_eq!(texts(&all.answer(&found)), ["1.2", "1.40", "0.7"]);
        assert_eq!(texts(&Choice::default().answer(&found)), ["1.40", "0.7"]);
        let strict = Choice { share_of_best: 0.9, ..Choice::default() };
        assert_eq!(texts(&strict.answer(&found)), ["1.40"]);
    }

    #[test]
    fn instructions_are_several_sentences() {
        let mut found = findings(&[(0, 0, 0.5), (0, 9, 0.3)], 0.0);
        assert_eq!(texts(&Choice::default().answer(&found)), ["0.0"]);
        found.asks_how = true;
        assert_eq!(texts(&Choice::default().answer(&found)), ["0.0", "0.9"]);
    }

    #[test]
    fn doubt_answers_nothing() {
        assert!(Choice::default().answer(&findings(&[(0, 0, 0.3)], 0.7)).is_empty());
        assert!(Choice::default().answer(&findings(&[], 0.0)).is_empty());
        assert!(Choice::default().answer(&findings(&[(0, 0, 0.0)], f32::NAN)).is_empty());
    }
}
