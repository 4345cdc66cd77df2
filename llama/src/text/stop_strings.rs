//! Stop strings, looked for in the text of an answer, not in its tokens.

/// Searches streamed text for stop strings. Text that could begin a stop string is held back until the text after it
/// decides, so that no part of a stop string is ever given out.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    /// Looks for any of `stops`; empty ones are left out, since every text contains them.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// Adds `text` and returns what can be given out, and whether a stop string ended the text there.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some(start) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), true);
        }
        let undecided = self.held.split_off(self.undecided());
        (std::mem::replace(&mut self.held, undecided), false)
    }

    /// The text that was held back, to be given out when the answer has ended.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Start of the longest suffix of the text that begins a stop string.
    fn undecided(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let earliest = (self.held.len() + 1).saturating_sub(longest);
        let mut starts = self.held.char_indices().map(|(index, _)| index).filter(|&index| index >= earliest);
        starts
            .find(|&start| self.stops.iter().any(|stop| stop.starts_with(&self.held[start..])))
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each push gives out, and a `|` where the text was stopped.
    fn run(stops: &[&str], pieces: &[&str]) -> Vec<String> {
        let mut text = StopStrings::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut out = Vec::new();
        for piece in pieces {
            let (mut given, stopped) = text.push(piece);
            if stopped {
                given.push('|');
                out.push(given);
                return out;
            }
            out.push(given);
        }
        out.push(text.finish());
        out
    }

    #[test]
    fn a_stop_string_in_one_piece() {
        assert_eq!(run(&["END"], &["some text END more"]), ["some text |"]);
    }

    #[test]
    fn a_stop_string_over_several_pieces_is_never_shown() {
        assert_eq!(run(&["\n###"], &["yes", "\n", "#", "## no"]), ["yes", "", "", "|"]);
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_given_out_later() {
        assert_eq!(run(&["\n###"], &["a\n", "##", "b"]), ["a", "", "\n##b", ""]);
        assert_eq!(run(&["aab"], &["aaa", "b"]), ["a", "|"]);
        assert_eq!(run(&["\n###"], &["a\n#"]), ["a", "\n#"]);
    }

    #[test]
    fn the_first_of_several_stop_strings_ends_the_text() {
        assert_eq!(run(&["two", "one"], &["zero one two"]), ["zero |"]);
    }

    #[test]
    fn letters_of_several_bytes() {
        assert_eq!(run(&["é!"], &["caf", "é", " é", "!"]), ["caf", "", "é ", "|"]);
        assert_eq!(run(&["日本"], &["今日", "は日本"]), ["今", "日は|"]);
    }

    #[test]
    fn without_stop_strings_everything_passes() {
        assert_eq!(run(&[], &["a", "b"]), ["a", "b", ""]);
        assert_eq!(run(&[""], &["a", "b"]), ["a", "b", ""]);
    }
}
