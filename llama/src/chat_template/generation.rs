//! `{% generation %}` blocks, which mark what the assistant says.
//!
//! They are an extension of Hugging Face's for training masks and print what is in them. Jinja's `if`
//! does the same, and treats the space around its tags alike.

/// `source` with every `generation` and `endgeneration` tag as an `if true` and its end.
pub(super) fn as_conditions(source: &str) -> String {
    let mut converted = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        converted.push_str(before);
        converted.push_str("{%");
        let (content, found) = match tag.split_once("%}") {
            Some((content, _)) => (content, true),
            None => (tag, false),
        };
        let name = content.trim_matches(['-', '+']).trim();
        let replacement = match name {
            "generation" if found => "if true",
            "endgeneration" if found => "endif",
            _ => {
                // Only the tag's opening is passed over: a string in it may contain its ending.
                rest = tag;
                continue;
            }
        };
        converted.push_str(&content.replace(name, replacement));
        rest = tag.get(content.len()..).unwrap_or_default();
    }
    converted.push_str(rest);
    converted
}

#[cfg(test)]
mod tests {
    use super::as_conditions;

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
        }
    }
}
