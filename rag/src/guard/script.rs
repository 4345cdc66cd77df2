//! Letters above and below the line, which HTML marks by tags: without these 10<sup>6</sup> would be 106.

/// Where letters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Above,
    Below,
}

impl Script {
    /// What an HTML tag begins.
    pub fn begun_by(tag: &str) -> Option<Script> {
        let name = tag.trim_start_matches('<').split(|c: char| !c.is_ascii_alphabetic()).next();
        match name.unwrap_or_default().to_ascii_lowercase().as_str() {
            "sup" => Some(Script::Above),
            "sub" => Some(Script::Below),
            _ => None,
        }
    }

    /// `text` in figures of this script. Letters mostly have none and stay: `1<sup>st</sup>` is 1st.
    pub fn of(self, text: &str) -> String {
        const ABOVE: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        const BELOW: [char; 10] = ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'];
        let figures = if self == Script::Above { ABOVE } else { BELOW };
        let written = |letter: char| match letter.to_digit(10) {
            Some(digit) => figures.get(digit as usize).copied().unwrap_or(letter),
            None if letter == '-' && self == Script::Above => '⁻',
            None => letter,
        };
        text.chars().map(written).collect()
    }
}
