//! The model's wording of an answer, as far as the articles say the same.

use llama::{FinishReason, Request};
use rag::guard::Guard;
use rag::{Answer, Cited, join_hits};

use crate::error::ApiError;
use crate::state::AppState;

/// Longest generated answer, in tokens.
const MAX_TOKENS: usize = 192;
/// Share of a generated sentence's words that must stand in the articles' sentences.
const SHARE_OF_WORDS: f32 = 0.85;

/// The prompt with as many of the cited passages as leave room for an answer.
pub fn prompt(state: &AppState, answer: &Answer) -> Result<Vec<u32>, ApiError> {
    let question = &answer.searched;
    let bare = state.prompts.grounded(question, None)?.len();
    let room = state.scheduler.context_length().saturating_sub(bare);
    // In a short context at least a quarter is kept for the answer.
    let budget = room.saturating_sub(MAX_TOKENS.min(room / 4));
    let count =
        |context: &str| state.prompts.grounded(question, Some(context)).map(|tokens| tokens.len() - bare);
    let context = join_hits(&answer.passages, budget, count)?;
    state.prompts.grounded(question, Some(context.as_str()).filter(|context| !context.is_empty()))
}

/// What the model says and the passages say too, `None` if that is nothing; and how many tokens it generated.
pub async fn word(
    state: &AppState,
    prompt: Vec<u32>,
    answer: &Answer,
) -> Result<(Option<(String, Vec<Cited>)>, usize), ApiError> {
    let stop = state.prompts.grounded_stops();
    let generated = state.submit(Request { stop, ..Request::new(prompt, MAX_TOKENS) })?.complete().await?;
    let is_cut = generated.finish == FinishReason::Length;
    Ok((checked(&generated.text, is_cut, answer), generated.tokens.len()))
}

/// What of a generated answer the passages say, with citations; `None` if that is nothing. `is_cut` tells that its
/// end is missing.
///
/// The guard knows figures and words, not meanings, so more is asked for than it asks: nearly all of a sentence's
/// words in the sentences that answer the question, no sentence twice, and no "yes" or "no" that the article does
/// not say.
fn checked(generated: &str, is_cut: bool, answer: &Answer) -> Option<(String, Vec<Cited>)> {
    let passages: Vec<&str> = answer.passages.iter().map(|hit| hit.text.as_str()).collect();
    let guard = Guard::new(&answer.searched, &passages).with_threshold(SHARE_OF_WORDS);
    let mut checked = guard.check(generated);
    if is_cut {
        checked.pop();
    }
    let mut sentences: Vec<Cited> = Vec::new();
    for checked in checked.iter().filter(|checked| checked.is_supported()) {
        let Some(support) = &checked.support else { continue };
        let evidence = answer.sentences.iter().find(|cited| {
            cited.passage == support.passage
                && cited.range.start < support.range.end
                && support.range.start < cited.range.end
        });
        let said = plain(generated.get(checked.range.clone()).unwrap_or_default());
        let is_new = sentences.iter().all(|sentence| sentence.text != said);
        if let Some(evidence) = evidence.filter(|_| is_new && !said.is_empty() && !is_yes_or_no(&said)) {
            sentences.push(Cited { text: said, ..evidence.clone() });
        }
    }
    let cite = |cited: &Cited| format!("{} [{}]", cited.text, cited.passage + 1);
    let text = sentences.iter().map(cite).collect::<Vec<_>>().join(" ");
    (!sentences.is_empty()).then_some((text, sentences))
}

/// A sentence without the marks of a heading or list before it, and without citations of its own.
fn plain(sentence: &str) -> String {
    let text = sentence.trim().trim_start_matches(['#', '-', '*', ' ']);
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let text = number.strip_prefix(". ").filter(|_| number.len() < text.len()).unwrap_or(text).trim_end();
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        let digits = after.trim_start_matches(|c: char| c.is_ascii_digit());
        match digits.strip_prefix(']').filter(|_| digits.len() < after.len()) {
            Some(after) => {
                kept.push_str(before.trim_end());
                rest = after;
            }
            None => {
                kept.push_str(&rest[..=before.len()]);
                rest = after;
            }
        }
    }
    kept + rest
}

/// Whether a sentence begins with a "yes" or "no", whose truth the guard cannot tell.
fn is_yes_or_no(sentence: &str) -> bool {
    let first = sentence.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default().to_lowercase();
    ["yes", "no", "ja", "nein", "sí", "oui", "non"].contains(&first.as_str())
}

#[cfg(test)]
mod tests {
    use super::{checked, plain};
    use crate::testing::answer;

    #[test]
    fn a_models_sentence_is_sent_where_the_article_says_it() {
        let mut answer = answer();
        answer.searched = "When do you open?".into();
        let text = |generated: &str, is_cut| checked(generated, is_cut, &answer).map(|(text, _)| text);
        assert_eq!(text("1. We open at 9 [2].", false).unwrap(), "We open at 9. [1]");
        assert_eq!(text("We open at 9. We open at 9. We open at 10.", false).unwrap(), "We open at 9. [1]");
        assert_eq!(text("Yes, we open at 9.", false), None);
        assert_eq!(text("We open at 10.", false), None);
        assert_eq!(text("We open at 9", true), None);
    }

    #[test]
    fn marks_and_citations_are_taken_off() {
        for (sentence, expected) in [
            ("## Prices", "Prices"),
            ("2. Go [1].", "Go."),
            ("- [x] a [12] b", "[x] a b"),
            ("3.5 kg", "3.5 kg"),
        ] {
            assert_eq!(plain(sentence), expected);
        }
    }
}
