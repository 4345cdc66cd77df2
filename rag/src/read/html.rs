//! HTML to Markdown.

use std::collections::HashMap;
use std::thread;

use encoding_rs::Encoding;
use htmd::HtmlToMarkdown;

use crate::chunk::without_data_uris;

/// Most elements within each other. The reader calls itself for each, and takes time in their square.
const MAX_DEPTH: usize = 256;

/// Most bytes of HTML, embedded images not counted: its tree takes tens of times as many.
const MAX_HTML: usize = 16 << 20;

/// Stack of the thread that reads, enough for [`MAX_DEPTH`] several times over.
const STACK: usize = 64 << 20;

/// What of a page is not its text.
const LEFT_OUT: [&str; 12] = [
    "head", "script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "button", "select",
    "canvas",
];

/// Elements that are closed by what follows them, or hold nothing, so that their number is not their depth.
const SELF_CLOSING: [&str; 33] = [
    "html", "head", "body", "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup",
    "option", "optgroup", "rt", "rp", "area", "base", "br", "col", "embed", "hr", "img", "input", "link",
    "meta", "param", "source", "track", "wbr", "caption",
];

/// A page.
pub(super) struct Page {
    pub title: Option<String>,
    pub language: Option<String>,
    pub markdown: String,
}

/// Reads a page, however broken; or says why it is too much.
pub(super) fn read(html: &str) -> Result<Page, String> {
    let html = without_data_uris(html);
    if html.len() > MAX_HTML {
        return Err(format!(
            "has {} MB of HTML; the most is {} MB: split it",
            html.len() >> 20,
            MAX_HTML >> 20
        ));
    }
    if is_too_deep(&html) {
        return Err(format!("has more than {MAX_DEPTH} elements within each other; close them"));
    }
    let title = tag(&html, "title")
        .map(|(_, rest)| rest.split("</").next().unwrap_or_default())
        .map(|title| markdown(&format!("<p>{title}</p>")))
        .transpose()?;
    let title = title.map(|title| title.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" "));
    let language = tag(&html, "html").and_then(|(tag, _)| attribute(tag, "lang")).map(str::to_string);
    Ok(Page { title: title.filter(|title| !title.is_empty()), language, markdown: markdown(&html)? })
}

/// The encoding that a page names for itself, as `<meta charset="…">` or within a content type.
pub(super) fn declared_encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = bytes.get(..bytes.len().min(1024)).unwrap_or_default().to_ascii_lowercase();
    let start = String::from_utf8_lossy(&start);
    let (_, after) = start.split_once("charset=")?;
    let name = after.trim_start_matches(['"', '\'', ' ']);
    let end = name.find(['"', '\'', ' ', '>', ';', '/']).unwrap_or(name.len());
    Encoding::for_label(name.get(..end)?.as_bytes())
}

/// Converts on a thread of its own, so that neither a deep page nor a fault of the reader ends the program.
fn markdown(html: &str) -> Result<String, String> {
    let convert = || HtmlToMarkdown::builder().skip_tags(LEFT_OUT.to_vec()).build().convert(html);
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().name("html".into()).stack_size(STACK).spawn_scoped(scope, convert);
        let converted = thread.map_err(|error| format!("has no thread to be read on: {error}"))?.join();
        match converted {
            Ok(Ok(markdown)) => Ok(markdown),
            Ok(Err(error)) => Err(format!("cannot be read as HTML: {error}")),
            Err(_) => Err("cannot be read as HTML: the reader failed".into()),
        }
    })
}

/// Counts the elements that are open at the same time, without building their tree.
fn is_too_deep(html: &str) -> bool {
    let mut open: HashMap<String, usize> = HashMap::new();
    let mut depth = 0;
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let closes = after.starts_with('/');
        let name = after.strip_prefix('/').unwrap_or(after);
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default().to_ascii_lowercase();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || SELF_CLOSING.contains(&name.as_str()) {
            continue;
        }
        if !closes && matches!(name.as_str(), "script" | "style" | "title" | "textarea") {
            // Their content is no markup. Names of elements are ASCII, in either case.
            let content = after.split_once("</").map_or("", |(_, after)| after);
            rest = content;
            continue;
        }
        let count = open.entry(name).or_default();
        if !closes {
            (*count, depth) = (*count + 1, depth + 1);
        } else if *count > 0 {
            (*count, depth) = (*count - 1, depth - 1);
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// The first tag `name`: what is in it after its name, and what follows it.
fn tag<'a>(html: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    html.match_indices('<').find_map(|(at, _)| {
        let after = html.get(at + 1..)?;
        let attributes = after.get(name.len()..)?;
        let is_it = after.get(..name.len())?.eq_ignore_ascii_case(name)
            && attributes.starts_with(|c: char| c == '>' || c.is_ascii_whitespace());
        if is_it { attributes.split_once('>') } else { None }
    })
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = tag.split_once(&format!("{name}="))?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value.get(1..)?.split(quote).next().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_markdown_with_its_title_and_language() {
        let page = read(
            "<!doctype html><html lang=\"de\"><head><title>Fragen &amp; Antworten</title>\
             <style>p{}</style><script>var x = '<p>no</p>'</script></head><body><nav>Home</nav>\
             <h1>Rückgabe</h1><p>Dreißig <b>Tage</b>.</p><ul><li>eins<li>zwei</ul>\
             <table><tr><th>Code</th><th>Dauer</th></tr><tr><td>E1</td><td>3</td></tr></table>",
        )
        .unwrap();
        assert_eq!(page.title.as_deref(), Some("Fragen & Antworten"));
        assert_eq!(page.language.as_deref(), Some("de"));
        assert!(page.markdown.starts_with("# Rückgabe\n\nDreißig **Tage**."), "{}", page.markdown);
        assert!(page.markdown.contains("| Code | Dauer |"), "{}", page.markdown);
        for gone in ["no", "Home", "p{}"] {
            assert!(!page.markdown.contains(gone), "{}", page.markdown);
        }
    }

    #[test]
    fn broken_pages_are_read_as_far_as_they_go() {
        for html in [
            "<p>Return <b>within <i>30 days",
            "<p class='x>No</p><p class='y'>Return within 30 days",
            "Return</div></p>>",
        ] {
            let page = read(html).unwrap();
            assert!(page.markdown.contains("Return"), "{html}: {}", page.markdown);
        }
        read("<").unwrap();
        assert_eq!(read("<title>").unwrap().title, None);
        read("<!-- never closed").unwrap();
    }

    #[test]
    fn a_page_too_deep_is_refused_and_one_with_many_elements_is_not() {
        let deep = "<div>".repeat(1_000_000);
        assert!(read(&deep).err().unwrap().contains("256 elements"));
        let many = "<div><p>one<br><li>two</div>".repeat(10_000);
        assert!(read(&many).unwrap().markdown.contains("two"));
        let bold = format!("{}x{}", "<b>".repeat(250), "</b>".repeat(250));
        assert!(read(&bold).unwrap().markdown.contains('x'));
    }

    #[test]
    fn a_page_names_its_encoding() {
        let name = |html: &str| declared_encoding(html.as_bytes()).map(Encoding::name);
        assert_eq!(name("<meta charset=\"iso-8859-1\">"), Some("windows-1252"));
        assert_eq!(name("<META content='text/html; CHARSET=koi8-r'>"), Some("KOI8-R"));
        assert_eq!(name("<p>charset"), None);
    }
}
