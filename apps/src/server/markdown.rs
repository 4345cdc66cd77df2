//! Markdown of articles and answers as HTML that a page may show.

use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{Event, Options, Parser, html};

/// What may stand in it. Images are left out: a page that shows an article must not call another server.
static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .rm_tags(["img"])
        .url_schemes(["http", "https", "mailto", "tel"].into())
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank");
    builder
});

/// `text` as HTML. Markup that stands in it as HTML is shown as text, so that a customer's `<img onerror=…>` is
/// read and not run.
pub fn to_html(text: &str) -> String {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let shown = events.map(|event| match event {
        Event::Html(markup) | Event::InlineHtml(markup) => Event::Text(markup),
        other => other,
    });
    let mut rendered = String::with_capacity(text.len() * 5 / 4);
    html::push_html(&mut rendered, shown);
    SANITISER.clean(&rendered).to_string()
}

/// A sentence as HTML that can stand within a line: without the paragraph around it.
pub fn to_inline_html(sentence: &str) -> String {
    let html = to_html(sentence);
    let inner = html.trim_end().strip_prefix("<p>").and_then(|html| html.strip_suffix("</p>"));
    inner.filter(|inner| !inner.contains("<p>")).map_or(html.clone(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::{to_html, to_inline_html};

    #[test]
    fn markdown_is_rendered() {
        assert_eq!(to_html("It costs **£3**. [1]").trim(), "<p>It costs <strong>£3</strong>. [1]</p>");
        assert_eq!(to_inline_html("It costs **£3**."), "It costs <strong>£3</strong>.");
        assert!(to_html("|a|b|\n|-|-|\n|1|2|").contains("<td>2</td>"));
    }

    #[test]
    fn nothing_in_it_runs_or_loads() {
        for text in [
            "<img src=x onerror=alert(1)>",
            "<script>alert(1)</script>",
            "a <b onclick=alert(1)>b</b>",
            "![x](https://evil.example/pixel.png)",
            "[x](javascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "<svg><animate onbegin=alert(1)>",
        ] {
            let html = to_html(text);
            let tags: Vec<&str> = html.split('<').skip(1).collect();
            let is_plain = |tag: &&str| {
                ["p>", "/p>", "a rel", "a target", "/a>"].iter().any(|plain| tag.starts_with(plain))
            };
            assert!(tags.iter().all(is_plain), "{text}: {html}");
            assert!(!html.contains("javascript:") && !html.contains("data:"), "{text}: {html}");
        }
    }
}
