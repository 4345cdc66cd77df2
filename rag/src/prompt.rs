//! Joins hits to the context of a prompt, for `llama::grounded_prompt`.

use crate::Hit;

/// Joins `hits` to one text of at most `budget` tokens, as `count` counts them: each hit as its title
/// (unless it begins with it) and its passage, with an empty line between hits. Hits are whole or left out; one that does not fit
/// gives way to a later, shorter one.
///
/// # Errors
/// Those of `count`.
pub fn join_hits<E>(
    hits: &[Hit],
    budget: usize,
    count: impl Fn(&str) -> Result<usize, E>,
) -> Result<String, E> {
    let mut context = String::new();
    for hit in hits {
        let gap = if context.is_empty() { "" } else { "\n\n" };
        let text = hit.text.trim();
        let titled = text.trim_start_matches(['#', ' ']).starts_with(&hit.title);
        let title = if titled { String::new() } else { format!("{}\n", hit.title) };
        let longer = format!("{context}{gap}{title}{text}");
        if count(&longer)? <= budget {
            context = longer;
        }
    }
    Ok(context)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn hit(title: &str, text: &str) -> Hit {
        Hit { text: text.into(), title: title.into(), ..Hit::default() }
    }

    fn words(text: &str) -> Result<usize, Infallible> {
        Ok(text.split_whitespace().count())
    }

    #[test]
    fn keeps_the_order_and_leaves_out_what_does_not_fit() {
        let hits = [hit("A", "one two three"), hit("B", "one two three four"), hit("C", "one\n")];
        assert_eq!(
            join_hits(&hits, 11, words).unwrap(),
            "A\none two three\n\nB\none two three four\n\nC\none"
        );
        assert_eq!(join_hits(&hits, 6, words).unwrap(), "A\none two three\n\nC\none");
        assert_eq!(join_hits(&hits, 1, words).unwrap(), "");
        assert_eq!(join_hits(&[], 100, words).unwrap(), "");
        assert_eq!(join_hits(&[hit("A", "# A\n\none")], 9, words).unwrap(), "# A\n\none");
    }
}
