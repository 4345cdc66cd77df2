//! Slips of the hand: what customers type in a hurry.

use super::draw::Draw;

/// `question` as it might be typed: in most draws unchanged, else in lower case without punctuation, or with
/// letters swapped, lost or doubled.
pub fn typed(question: &str, draw: &mut Draw) -> String {
    let mut text = question.to_string();
    if draw.chance(0.22) {
        text = lower(&text);
        if draw.chance(0.6) {
            text = text.replace(['?', '!', ',', '\''], "").trim_end_matches('.').to_string();
        }
    } else if draw.chance(0.08) {
        text = text.trim_end_matches(['?', '.', '!']).to_string();
    }
    if draw.chance(0.12) {
        for _ in 0..=draw.below(2) {
            text = slip(&text, draw);
        }
    }
    text
}

/// In lower case, but for words with digits, which are codes and names of models.
fn lower(text: &str) -> String {
    let word = |word: &str| match word.contains(|c: char| c.is_ascii_digit()) {
        true => word.to_string(),
        false => word.to_lowercase(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Changes one letter inside a word of at least five letters.
fn slip(text: &str, draw: &mut Draw) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_string).collect();
    let long: Vec<usize> = (0..words.len())
        .filter(|index| words[*index].chars().count() > 4 && words[*index].chars().all(char::is_alphabetic))
        .collect();
    let Some(index) = draw.pick(&long).copied() else { return text.into() };
    let mut letters: Vec<char> = words[index].chars().collect();
    let at = 1 + draw.below(letters.len() - 2);
    match draw.below(3) {
        0 => letters.swap(at, at + 1),
        1 => _ = letters.remove(at),
        _ => letters.insert(at, letters[at]),
    }
    words[index] = letters.into_iter().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_questions_stay_and_codes_always_do() {
        let mut draw = Draw::new(1);
        let question = "What does the Lamp X200 mean by ERR-401, please?";
        let typed: Vec<String> = (0..1000).map(|_| typed(question, &mut draw)).collect();
        let same = typed.iter().filter(|text| *text == question).count();
        assert!((550..750).contains(&same), "{same}");
        assert!(typed.iter().all(|text| text.contains("ERR-401") && text.contains("X200")));
        assert!(typed.iter().any(|text| text == "what does the lamp X200 mean by ERR-401 please"));
    }
}
