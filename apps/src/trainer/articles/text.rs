//! Text with choices and slots, as templates hold it: `[You|Customers] pay {fee:money 3 12}.`

use std::collections::{BTreeMap, BTreeSet};

use super::slot::Slot;

/// Text that is not yet drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Text(pub Vec<Piece>);

/// A part of a [`Text`].
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// As it stands.
    Literal(String),
    /// One of these.
    Choice(Vec<Text>),
    /// The value of a slot, or the given part of it.
    Slot { name: String, part: Option<usize> },
}

/// The slots that texts have defined, by name.
pub type Slots = BTreeMap<String, Slot>;

impl Text {
    /// Parses `source`, adding the slots that it defines to `slots`.
    ///
    /// # Errors
    /// What is wrong: a bracket without its counterpart, a choice of one, an unknown kind of slot, or a slot
    /// that is defined in two ways.
    pub fn parse(source: &str, slots: &mut Slots) -> Result<Self, String> {
        let mut rest = source;
        let text = Self::until(&mut rest, false, slots)?;
        match rest.chars().next() {
            None => Ok(text),
            Some(stray) => Err(format!("a `{stray}` without its counterpart in `{source}`")),
        }
    }

    /// Reads up to the end or, inside a choice, up to the `|` or `]` that ends the alternative.
    fn until(rest: &mut &str, in_choice: bool, slots: &mut Slots) -> Result<Self, String> {
        let mut pieces = Vec::new();
        loop {
            let special = |c| matches!(c, '[' | ']' | '{' | '}') || in_choice && c == '|';
            let end = rest.find(special).unwrap_or(rest.len());
            let (literal, after) = rest.split_at(end);
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.into()));
            }
            *rest = after;
            if let Some(inner) = after.strip_prefix('[') {
                *rest = inner;
                pieces.push(Self::choice(rest, slots)?);
            } else if let Some(inner) = after.strip_prefix('{') {
                let (inner, after) =
                    inner.split_once('}').ok_or_else(|| format!("a `{{` without `}}` before `{inner}`"))?;
                *rest = after;
                pieces.push(slot(inner, slots)?);
            } else {
                return Ok(Self(pieces));
            }
        }
    }

    fn choice(rest: &mut &str, slots: &mut Slots) -> Result<Piece, String> {
        let before = *rest;
        let mut alternatives = Vec::new();
        loop {
            alternatives.push(Self::until(rest, true, slots)?);
            if let Some(after) = rest.strip_prefix('|') {
                *rest = after;
            } else if let Some(after) = rest.strip_prefix(']') {
                *rest = after;
                break;
            } else {
                return Err(format!("a `[` without `]` before `{before}`"));
            }
        }
        match alternatives.len() {
            1 => {
                Err(format!("a choice of one alternative before `{before}`; write `[one|other]` or `[one|]`"))
            }
            _ => Ok(Piece::Choice(alternatives)),
        }
    }

    /// Names and parts of the slots in it, in every alternative.
    pub fn slots(&self) -> Vec<(String, Option<usize>)> {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(_) => Vec::new(),
            Piece::Choice(alternatives) => alternatives.iter().flat_map(Text::slots).collect(),
            Piece::Slot { name, part } => vec![(name.clone(), *part)],
        };
        self.0.iter().flat_map(piece).collect()
    }

    /// Names of the slots that are in it whatever is chosen.
    pub fn certain_slots(&self) -> BTreeSet<&str> {
        fn of(piece: &Piece) -> BTreeSet<&str> {
            match piece {
                Piece::Literal(_) => BTreeSet::new(),
                Piece::Choice(alternatives) => {
                    let sets = alternatives.iter().map(Text::certain_slots);
                    sets.reduce(|one, other| one.intersection(&other).copied().collect()).unwrap_or_default()
                }
                Piece::Slot { name, .. } => BTreeSet::from([name.as_str()]),
            }
        }
        self.0.iter().flat_map(of).collect()
    }

    /// Its literal text in the first alternatives, with a space for every slot.
    pub fn literal(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Choice(alternatives) => alternatives.first().map(Text::literal).unwrap_or_default(),
            Piece::Slot { .. } => " ".into(),
        };
        self.0.iter().map(piece).collect()
    }

    /// Its literal text in all alternatives, one after the other.
    pub fn all_literals(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Choice(alternatives) => {
                alternatives.iter().map(Text::all_literals).collect::<Vec<_>>().join(" ")
            }
            Piece::Slot { .. } => " ".into(),
        };
        self.0.iter().map(piece).collect()
    }
}

/// `name`, `name.part`, `name:kind arguments`, or the name of a kind that needs no arguments.
fn slot(inner: &str, slots: &mut Slots) -> Result<Piece, String> {
    let (used, kind) = match inner.split_once(':') {
        Some((used, kind)) => (used.trim(), Some(kind.trim())),
        None => (inner.trim(), None),
    };
    let (name, part) = match used.split_once('.') {
        Some((name, part)) => {
            let part =
                part.parse().map_err(|_| format!("`{{{inner}}}`: `.{part}` is no number of a part"))?;
            (name, Some(part))
        }
        None => (used, None),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{{{inner}}}`: a slot's name is made of letters, digits and _"));
    }
    if let Some(kind) = kind {
        let slot = Slot::parse(kind).map_err(|reason| format!("`{{{inner}}}`: {reason}"))?;
        match slots.get(name) {
            Some(defined) if *defined != slot => {
                return Err(format!("`{{{inner}}}`: the slot is defined in another way before"));
            }
            _ => slots.insert(name.into(), slot),
        };
    }
    Ok(Piece::Slot { name: name.into(), part })
}

/// Splits `source` at every `|` that stands outside of brackets.
pub fn split_bars(source: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in source.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                parts.push(source[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(source[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> Result<(Text, Slots), String> {
        let mut slots = Slots::new();
        Ok((Text::parse(source, &mut slots)?, slots))
    }

    #[test]
    fn choices_nest_and_slots_are_defined_once() {
        let (text, slots) = parse("[You [may|can]|Customers] pay {fee:money 3 12} or {fee}.").unwrap();
        assert_eq!(text.slots(), [("fee".into(), None), ("fee".into(), None)]);
        assert_eq!(slots.keys().collect::<Vec<_>>(), ["fee"]);
        let Piece::Choice(alternatives) = &text.0[0] else { unreachable!() };
        assert_eq!(alternatives.len(), 2);
        assert_eq!(alternatives[0].0[0], Piece::Literal("You ".into()));
        let (text, _) = parse("{ok:pick Yes~may;No~cannot}{ok.0}").unwrap();
        assert_eq!(text.0[1], Piece::Slot { name: "ok".into(), part: Some(0) });
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (source, reason) in [
            ("a ] b", "`]` without"),
            ("a } b", "`}` without"),
            ("[a|b", "`[` without `]`"),
            ("{a:int 1 2", "`{` without `}`"),
            ("[a]", "a choice of one"),
            ("{a:colour}", "colour"),
            ("{a:int 1 2} {a:int 1 3}", "in another way"),
            ("{a b}", "letters, digits"),
            ("{a.x}", "no number of a part"),
        ] {
            let error = parse(source).unwrap_err();
            assert!(error.contains(reason), "{source}: {error}");
        }
    }

    #[test]
    fn bars_in_brackets_do_not_split() {
        assert_eq!(split_bars("a [b|c] | {x:pick d;e} |f"), ["a [b|c]", "{x:pick d;e}", "f"]);
    }
}
