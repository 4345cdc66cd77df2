//! PDF to plain text.

use std::collections::HashMap;

use pdf_extract::{Document, Error, OutputError};

/// Pages from which on a line that most of them begin or end with is taken for their head or foot.
const RUNNING: usize = 3;

/// The text of a PDF, or why there is none.
pub(super) fn text(bytes: &[u8]) -> Result<String, String> {
    if !bytes.get(..bytes.len().min(1024)).is_some_and(|start| start.windows(5).any(|five| five == b"%PDF-"))
    {
        return Err("is not a PDF".into());
    }
    if is_locked(bytes)? {
        return Err("is encrypted; save it without a password".into());
    }
    let pages = pdf_extract::extract_text_from_mem_by_pages(bytes).map_err(|error| match error {
        OutputError::PdfError(Error::Decryption(_)) => "is encrypted; save it without a password".to_string(),
        error => format!("cannot be read as PDF: {error}"),
    })?;
    let text = join(&pages);
    match text.contains(char::is_alphanumeric) {
        true => Ok(text),
        false => Err(format!("has no text on its {} pages, only pictures; scan it with OCR", pages.len())),
    }
}

/// Whether a password is needed. Many PDFs are encrypted with an empty one, so that they can be read but not edited.
fn is_locked(bytes: &[u8]) -> Result<bool, String> {
    let document = Document::load_mem(bytes).map_err(|error| format!("cannot be read as PDF: {error}"))?;
    Ok(document.is_encrypted() && document.authenticate_user_password("").is_err())
}

/// The pages in one text: paragraphs between empty lines, without running heads and page numbers.
fn join(pages: &[String]) -> String {
    let lines: Vec<Vec<&str>> = pages.iter().map(|page| page.lines().map(str::trim).collect()).collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for page in &lines {
        for line in edges(page) {
            *counts.entry(without_numbers(line)).or_default() += 1;
        }
    }
    let is_running = |line: &str| {
        let count = counts.get(&without_numbers(line)).copied().unwrap_or_default();
        count >= RUNNING && 2 * count > pages.len()
    };
    let mut text = String::new();
    for page in &lines {
        let running: Vec<&str> = edges(page).into_iter().filter(|line| is_running(line)).collect();
        for line in page.iter().filter(|line| !running.contains(line)) {
            append(&mut text, line);
        }
        append(&mut text, "");
    }
    text.trim().to_string()
}

/// The first and the last line of a page.
fn edges<'a>(page: &[&'a str]) -> Vec<&'a str> {
    let mut lines = page.iter().copied().filter(|line| !line.is_empty());
    let first = lines.next();
    first.into_iter().chain(lines.next_back()).collect()
}

/// A line with all its numbers alike: `Page 1 of 9` is `Page 2 of 9`.
fn without_numbers(line: &str) -> String {
    let mut plain = line.replace(|c: char| c.is_ascii_digit(), "0");
    while plain.contains("00") {
        plain = plain.replace("00", "0");
    }
    plain
}

/// Appends a line; a word that was divided at its end is made whole, and of empty lines one stays.
fn append(text: &mut String, line: &str) {
    if line.is_empty() {
        text.truncate(text.trim_end().len());
        text.push_str(if text.is_empty() { "" } else { "\n\n" });
        return;
    }
    let divides = text.strip_suffix("-\n").is_some_and(|before| before.ends_with(char::is_alphabetic));
    if divides && line.starts_with(char::is_lowercase) {
        text.truncate(text.len() - 2);
    }
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A PDF with a page for each text, its lines below each other.
    pub fn document(pages: &[&str]) -> Vec<u8> {
        let kids: Vec<String> = (0..pages.len()).map(|page| format!("{} 0 R", 4 + 2 * page)).collect();
        let mut objects = vec![
            "<< /Type /Catalog /Pages 2 0 R >>".to_string(),
            format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_string(),
        ];
        for (number, page) in pages.iter().enumerate() {
            objects.push(format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R \
                 /Resources << /Font << /F1 3 0 R >> >> >>",
                5 + 2 * number
            ));
            let mut content = String::from("BT /F1 12 Tf 50 800 Td ");
            for line in page.lines() {
                let line = line.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
                content.push_str(&format!("({line}) Tj 0 -14 Td "));
            }
            content.push_str("ET");
            objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
        }
        file(&objects, "")
    }

    /// A file of objects, the first of which is its root.
    pub fn file(objects: &[String], trailer: &str) -> Vec<u8> {
        let mut bytes = b"%PDF-1.4\n".to_vec();
        let mut places = Vec::new();
        for (number, object) in objects.iter().enumerate() {
            places.push(bytes.len());
            bytes.extend(format!("{} 0 obj\n{object}\nendobj\n", number + 1).bytes());
        }
        let table = bytes.len();
        bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
        places.iter().for_each(|place| bytes.extend(format!("{place:010} 00000 n \n").bytes()));
        let size = objects.len() + 1;
        let end = format!("trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n");
        bytes.extend(end.bytes());
        bytes
    }

    #[test]
    fn pages_become_one_text_without_heads_and_numbers() {
        let page = |number: usize, text: &str| format!("Acme handbook\n{text}\nPage {number} of 3");
        let pages = [
            page(1, "Returns take thirty days and the la-\nbel is free."),
            page(2, "A refund of (up to) 90 euros takes 5 days."),
            page(3, "Call us."),
        ];
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        let text = text(&document(&pages)).unwrap();
        assert!(text.contains("Returns take thirty days and the label is free."), "{text}");
        assert!(text.contains("A refund of (up to) 90 euros takes 5 days."), "{text}");
        assert!(text.contains("Call us."), "{text}");
        assert!(!text.contains("Acme") && !text.contains("Page"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let scanned = document(&["", ""]);
        assert_eq!(
            text(&scanned).unwrap_err(),
            "has no text on its 2 pages, only pictures; scan it with OCR"
        );
        assert_eq!(text(b"PK\x03\x04 a zip").unwrap_err(), "is not a PDF");
        let whole = document(&["Returns take thirty days."]);
        for broken in [&whole[..40], &whole[..whole.len() / 2], b"%PDF-1.7".as_slice()] {
            let error = text(broken).unwrap_err();
            assert!(error.contains("PDF") || error.contains("no text"), "{error}");
        }
    }

    #[test]
    fn an_encrypted_one_is_named() {
        let mut objects: Vec<String> =
            vec!["<< /Type /Catalog /Pages 2 0 R >>".into(), "<< /Type /Pages /Kids [] /Count 0 >>".into()];
        // Random bytes where a key would be: no password, the empty one neither, gives it.
        let key = "<28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A>";
        objects.push(format!("<< /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -64 >>"));
        let id = "/Encrypt 3 0 R /ID [<00112233445566778899AABBCCDDEEFF> <00112233445566778899AABBCCDDEEFF>]";
        let error = text(&file(&objects, id)).unwrap_err();
        assert_eq!(error, "is encrypted; save it without a password");
    }
}
