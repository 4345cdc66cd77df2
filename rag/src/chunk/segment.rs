//! Parts of a Markdown text that must be parsed apart.

use std::ops::Range;

/// The parts of `text`: a new one begins at each table that follows a line of text without an empty line between.
/// CommonMark takes such a table for more of the list item or quotation before it; people, and most programs that
/// show Markdown, do not.
pub(crate) fn segments(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    let mut fence: Option<&str> = None;
    let mut before = "";
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        let begins = fence.is_none()
            && is_row(line)
            && !before.trim().is_empty()
            && !is_row(before)
            && lines.peek().is_some_and(|next| is_rule(next));
        if begins {
            starts.push(at);
        }
        at += line.len();
        before = line;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// A line at the margin that begins with a bar: an indented one may belong to the item above.
fn is_row(line: &str) -> bool {
    line.starts_with('|') && line.trim_end().len() > 1
}

/// The line below the names of a table's columns.
fn is_rule(line: &str) -> bool {
    is_row(line) && line.contains('-') && line.trim().bytes().all(|byte| b"|-: \t".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_right_after_text_is_parsed_apart() {
        let parts =
            |text: &str| segments(text).into_iter().map(|part| text[part].to_string()).collect::<Vec<_>>();
        let table = "| a | b |\n|---|---|\n| 1 | 2 |\n";
        assert_eq!(
            parts(&format!("- one\n- two\n{table}\nEnd.")),
            ["- one\n- two\n", &format!("{table}\nEnd.")]
        );
        for whole in [
            format!("- one\n\n{table}"),
            format!("```\nls\n{table}```\n"),
            format!("- one\n  {}", table.replace('\n', "\n  ")),
            table.to_string(),
            "a\n| no table\n".to_string(),
            String::new(),
        ] {
            assert_eq!(parts(&whole), [whole.as_str()]);
        }
    }
}
