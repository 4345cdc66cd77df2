//! `{% generation %}` blocks, which mark what the assistant says.
//!
//! They are an extension of Hugging Face's for training masks and print what is in them. Jinja's `if`
//! does the same, and treats the space around its tags alike.

/// Marks the start of a block. Unicode reserves this code point: no text has it.
pub(super) const OPEN: char = '\u{fdd2}';
/// Marks the end of a block.
pub(super) const CLOSE: char = '\u{fdd3}';

/// A tag of the extension.
enum Tag {
    Generation,
    EndGeneration,
}

/// `source` with every `generation` and `endgeneration` tag as an `if true` and its end.
pub(super) fn as_conditions(source: &str) -> String {
    converted(source, |tag, content| {
        let name = content.trim_matches(['-', '+']).trim();
        content.replace(
            name,
            match tag {
                Tag::Generation => "if true",
                Tag::EndGeneration => "endif",
            },
        )
    })
}

/// `source` with every block of the extension between [`OPEN`] and [`CLOSE`], or `None` if it has no
/// such block.
///
/// Each tag becomes two with the mark between them, so that white space on either side is trimmed as before.
pub(super) fn as_marks(source: &str) -> Option<String> {
    let mut found = false;
    let marked = converted(source, |tag, content| {
        found = true;
        let sign = |at: Option<char>| {
            at.filter(|sign| matches!(sign, '-' | '+')).map_or(String::new(), String::from)
        };
        let (left, right) = (sign(content.chars().next()), sign(content.chars().next_back()));
        let (name, mark) = match tag {
            Tag::Generation => ("if true", OPEN),
            Tag::EndGeneration => ("endif", CLOSE),
        };
        format!("{left} {name} %}}{{{{ '{mark}' }}}}{{% {name} {right}")
    });
    found.then_some(marked)
}

/// `source` with the insides of each tag of the extension replaced.
fn converted(source: &str, mut replacement: impl FnMut(Tag, &str) -> String) -> String {
    let mut converted = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        converted.push_str(before);
        converted.push_str("{%");
        let (content, found) = match tag.split_once("%}") {
            Some((content, _)) => (content, true),
            None => (tag, false),
        };
        let kind = match content.trim_matches(['-', '+']).trim() {
            "generation" if found => Tag::Generation,
            "endgeneration" if found => Tag::EndGeneration,
            _ => {
                // Skip only the tag's opening, because a string within the tag may contain its ending.
                rest = tag;
                continue;
            }
        };
        converted.push_str(&replacement(kind, content));
        rest = tag.get(content.len()..).unwrap_or_default();
    }
    converted.push_str(rest);
    converted
}

#[cfg(test)]
mod tests {
    use super::{as_conditions, as_marks};

    #[test]
    fn tags_become_conditions_and_keep_their_whitespace_control() {
        let source = "{%- generation -%}a{% endgeneration +%}{%generation%}b{%endgeneration%}";
        let expected = "{%- if true -%}a{% endif +%}{%if true%}b{%endif%}";
        assert_eq!(as_conditions(source), expected);
    }

    #[test]
    fn everything_else_stays() {
        for source in ["", "plain", "{% if generation %}{% endif %}", "{{ '{% generation' }}", "{% x"] {
            assert_eq!(as_conditions(source), source);
            assert_eq!(as_marks(source), None);
        }
    }

    #[test]
    fn marks_stand_inside_the_blocks() {
        let source = "{%- generation -%}a{% endgeneration +%}";
        let expected = "{%- if true %}{{ '\u{fdd2}' }}{% if true -%}a{% endif %}{{ '\u{fdd3}' }}{% endif +%}";
        assert_eq!(as_marks(source).as_deref(), Some(expected));
    }
}
