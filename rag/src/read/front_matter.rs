//! Front matter: the block of `key: value` lines at the very top of a Markdown file.

/// Front matter and what follows it: a block between two lines `---` (YAML) or `+++` (TOML).
pub(super) fn split(text: &str) -> (&str, &str) {
    let mut fence = "";
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        end += line.len();
        match (number, line.trim_end()) {
            (0, first @ ("---" | "+++")) => fence = first,
            (0, _) => break,
            (_, line) if line == fence => return text.split_at(end),
            _ => {}
        }
    }
    ("", text)
}

/// The one-line value of a top-level `key:` or `key =`, without its quotes. Titles, dates and addresses
/// need no more of YAML than this.
pub(super) fn field(front_matter: &str, key: &str) -> Option<String> {
    let line = front_matter.lines().find_map(|line| {
        let (name, value) = line.split_once([':', '='])?;
        name.trim_end().eq_ignore_ascii_case(key).then_some(value)
    })?;
    let value = line.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Some(unquoted.unwrap_or(value).to_string()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclosed_fence_is_no_front_matter() {
        assert_eq!(split("---\ntitle: x\n"), ("", "---\ntitle: x\n"));
        assert_eq!(split("---\r\ntitle: x\r\n---\r\nbody"), ("---\r\ntitle: x\r\n---\r\n", "body"));
        assert_eq!(split("+++\ntitle = 'x'\n+++\nbody"), ("+++\ntitle = 'x'\n+++\n", "body"));
    }

    #[test]
    fn values_are_taken_from_yaml_and_toml() {
        assert_eq!(field("---\nsubtitle: no\nTitle: \"Q: why?\"\n", "title").unwrap(), "Q: why?");
        assert_eq!(field("+++\ntitle = 'x'\n", "title").unwrap(), "x");
        assert_eq!(field("---\ntitle:\n", "title"), None);
    }
}
