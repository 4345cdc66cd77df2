//! An answer beside the one that was wanted.

/// What was answered, and what should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison<'a> {
    /// The model's answer.
    pub prediction: &'a str,
    /// The answer that was wanted.
    pub reference: &'a str,
}

/// Whether the answer is the one wanted, but for white space around it.
pub fn exact_match(pair: Comparison<'_>) -> bool {
    pair.prediction.trim() == pair.reference.trim()
}

/// White space as Python's `str.split` sees it: Unicode's, and four control characters that separate
/// files, groups, records and units.
pub(super) fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}
