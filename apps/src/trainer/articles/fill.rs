//! Fills texts: chooses alternatives and draws slots, each once for a whole article.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::draw::Draw;
use super::slot::Slot;
use super::text::{Piece, Slots, Text};
use super::world::World;

/// How often a value is drawn again because another slot of the article has it.
const TRIES: usize = 40;

/// The values of one article's slots in one row.
#[derive(Debug)]
pub struct Filler<'a> {
    world: &'a World,
    slots: &'a Slots,
    values: HashMap<&'a str, Vec<String>>,
    taken: HashSet<String>,
    quoted: Vec<String>,
}

impl<'a> Filler<'a> {
    /// Nothing is drawn yet.
    pub fn new(world: &'a World, slots: &'a Slots) -> Self {
        Self { world, slots, values: HashMap::new(), taken: HashSet::new(), quoted: Vec::new() }
    }

    /// The text as a part of a line.
    pub fn phrase(&mut self, text: &Text, draw: &mut Draw) -> String {
        let mut filled = String::new();
        self.write(text, draw, &mut filled);
        tidy(&filled)
    }

    /// The text as a sentence, which begins with a capital letter.
    pub fn sentence(&mut self, text: &Text, draw: &mut Draw) -> String {
        capitalised(&self.phrase(text, draw))
    }

    /// The values of quoted slots (not of `pick`) that were written since the last call.
    pub fn take_quoted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.quoted)
    }

    fn write(&mut self, text: &Text, draw: &mut Draw, filled: &mut String) {
        for piece in &text.0 {
            match piece {
                Piece::Literal(literal) => filled.push_str(literal),
                Piece::Choice(alternatives) => {
                    if let Some(chosen) = draw.pick(alternatives) {
                        self.write(chosen, draw, filled);
                    }
                }
                Piece::Slot { name, part } => filled.push_str(&self.value(name, *part, draw)),
            }
        }
    }

    /// A slot's value; of several parts the last, if none is named.
    fn value(&mut self, name: &str, part: Option<usize>, draw: &mut Draw) -> String {
        // Parsing has made sure that every slot is defined.
        let Some((name, slot)) = self.slots.get_key_value(name) else { return String::new() };
        if !self.values.contains_key(name.as_str()) {
            let value = self.fresh(slot, draw);
            self.values.insert(name, value);
        }
        let parts = self.values.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let value = part.map_or(parts.last(), |part| parts.get(part)).cloned().unwrap_or_default();
        if slot.is_quoted() {
            self.quoted.push(value.clone());
        }
        value
    }

    fn fresh(&mut self, slot: &Slot, draw: &mut Draw) -> Vec<String> {
        let mut value = slot.draw(self.world, draw);
        if slot.is_distinct() {
            for _ in 0..TRIES {
                if !self.taken.contains(&value.join("~")) {
                    break;
                }
                value = slot.draw(self.world, draw);
            }
            self.taken.insert(value.join("~"));
        }
        value
    }
}

/// Without the double spaces, and the spaces before commas and full stops, that empty alternatives leave.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let joins = matches!(word.chars().next(), Some('.' | ',' | ';'))
            && !word[1..].starts_with(char::is_alphanumeric);
        if !tidied.is_empty() && !joins {
            tidied.push(' ');
        }
        // A sentence whose last alternative brings its own full stop.
        let word =
            if word.ends_with("..") && !word.ends_with("...") { &word[..word.len() - 1] } else { word };
        tidied.push_str(&ordinal(word));
    }
    tidied
}

/// `2th` and the like, of a slot and an ending, as they are written: `2nd`.
fn ordinal(word: &str) -> Cow<'_, str> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = word.split_at(digits);
    let end = rest.get(..2).filter(|end| digits > 0 && matches!(*end, "st" | "nd" | "rd" | "th"));
    let Some(end) = end.filter(|_| !rest[2..].starts_with(char::is_alphanumeric)) else { return word.into() };
    let right = match (
        number.ends_with("11") || number.ends_with("12") || number.ends_with("13"),
        number.as_bytes().last(),
    ) {
        (false, Some(b'1')) => "st",
        (false, Some(b'2')) => "nd",
        (false, Some(b'3')) => "rd",
        _ => "th",
    };
    if right == end { word.into() } else { format!("{number}{right}{}", &rest[2..]).into() }
}

/// With a capital first letter, unless it begins an address or a code.
pub fn capitalised(text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or_default();
    let inner = word.trim_end_matches(['.', ',', ':', ';', '!', '?']);
    if inner.contains(['.', '@', '/', '_']) || inner.contains(|c: char| c.is_ascii_digit()) {
        return text.into();
    }
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(sources: &[&str], seed: u64) -> Vec<String> {
        let (mut slots, mut draw) = (Slots::new(), Draw::new(seed));
        let texts: Vec<Text> =
            sources.iter().map(|source| Text::parse(source, &mut slots).unwrap()).collect();
        let world = World::draw(&mut draw);
        let mut filler = Filler::new(&world, &slots);
        texts.iter().map(|text| filler.sentence(text, &mut draw)).collect()
    }

    #[test]
    fn a_slot_has_one_value_and_others_have_others() {
        for seed in 0..100 {
            let filled = fill(&["{a:int 1 3}", "{b:int 1 3}", "{c:int 1 3}", "{a}{b}{c}"], seed);
            assert_eq!(filled[..3].concat(), filled[3]);
            assert!(filled[0] != filled[1] && filled[1] != filled[2] && filled[0] != filled[2], "{filled:?}");
        }
    }

    #[test]
    fn a_pick_has_parts() {
        for seed in 0..20 {
            let filled = fill(&["{ok:pick yes~it is;no~it is not}", "{ok.0}"], seed);
            let pairs = [["It is", "Yes"], ["It is not", "No"]];
            assert!(pairs.iter().any(|pair| filled == pair), "{filled:?}");
        }
    }

    #[test]
    fn sentences_are_tidy() {
        assert_eq!(fill(&["[|]you pay [|] , then [| ]go ."], 1), ["You pay, then go."]);
        assert_eq!(fill(&["it is [free.|free.]."], 1), ["It is free."]);
        assert_eq!(fill(&["a.example/x is it"], 1), ["a.example/x is it"]);
        assert_eq!(fill(&["no .5 [x|x]"], 1), ["No .5 x"]);
        assert_eq!(
            fill(&["the 1th, 22th, 3th, 4th, 11th, 112th, 5things"], 1),
            ["The 1st, 22nd, 3rd, 4th, 11th, 112th, 5things"]
        );
    }
}
