use std::time::{Duration, Instant};

use super::*;

fn folder<C: AsRef<[u8]>>(files: &[(&str, C)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn titles(knowledge: &Knowledge) -> Vec<[&str; 2]> {
    knowledge.documents.iter().map(|document| [document.title.as_str(), document.text.trim()]).collect()
}

fn skipped(knowledge: &Knowledge, folder: &tempfile::TempDir) -> Vec<String> {
    let folder = format!("{}/", folder.path().display());
    knowledge.skipped.iter().map(|error| error.to_string().replace(&folder, "")).collect()
}

#[test]
fn reads_every_kind_of_file_in_the_order_of_paths() {
    let folder = folder(&[
        ("z.txt", "Plain words."),
        ("a/deep/refund.md", "---\ntitle: 'Refund policy'\n---\n\n# A fair policy\n\nText."),
        (
            "b.jsonl",
            "{\"content\":\"one\"}\n\n{\"id\":7,\"title\":\"Two\",\"text\":\"two\",\"url\":\"https://x/2\"}\n",
        ),
        ("heading.md", "Intro\n\n## Opening *hours*\n"),
        ("page.HTM", "<title>Page</title><h1>Delivery</h1><p>Two days."),
        ("rows.csv", "Title,Text\nParcels,\"One, or two\"\n"),
        ("rows.tsv", "question\tanswer\nOpen?\tAt 9\n"),
        ("list.json", "[{\"text\":\"listed\"}]"),
        (".git/config.md", "hidden"),
        (".hidden.md", "hidden"),
        ("logo.png", "not text"),
    ]);
    let knowledge = Knowledge::read(folder.path()).unwrap();
    let seen: Vec<_> =
        knowledge.documents.iter().map(|d| [d.id.as_str(), &d.title, &d.source, d.text.trim()]).collect();
    assert_eq!(
        seen,
        [
            ["a/deep/refund.md", "Refund policy", "a/deep/refund.md", "# A fair policy\n\nText."],
            ["b.jsonl:1", "b", "b.jsonl", "one"],
            ["7", "Two", "https://x/2", "two"],
            ["heading.md", "Opening hours", "heading.md", "Intro\n\n## Opening *hours*"],
            ["list.json:1", "list", "list.json", "listed"],
            ["page.HTM", "Page", "page.HTM", "# Delivery\n\nTwo days."],
            ["rows.csv:2", "Parcels", "rows.csv", "One, or two"],
            ["rows.tsv:2", "Open?", "rows.tsv", "At 9"],
            ["z.txt", "z", "z.txt", "Plain words."],
        ]
    );
    let plain: Vec<_> =
        knowledge.documents.iter().filter(|document| document.format == Format::Plain).collect();
    assert_eq!((plain.len(), plain[0].id.as_str()), (1, "z.txt"));
    assert_eq!((knowledge.skipped.len(), knowledge.ignored), (0, 1));
}

#[test]
fn a_single_file_is_a_knowledge_base_too() {
    let folder = folder(&[("faq.jsonl", "{\"body\":\"b\"}"), ("a.docx", "PK")]);
    let documents = Knowledge::read_strictly(&folder.path().join("faq.jsonl")).unwrap().documents;
    assert_eq!(documents[0].id, "faq.jsonl:1");
    let message = Knowledge::read(&folder.path().join("a.docx")).unwrap_err().to_string();
    assert!(message.contains("a.docx: files of this kind are not read by this build"), "{message}");
}

/// bugs/serve/one-bad-file
#[test]
fn what_cannot_be_read_is_listed_and_the_rest_is_there() {
    let russian = encoding_rs::WINDOWS_1251.encode("Возврат в течение тридцати дней").0.into_owned();
    let folder = folder(&[
        ("good.md", b"# Good\n\nThirty days.".to_vec()),
        ("win1252.md", b"# Caf\xe9\n\nOur caf\xe9 opens at 8 and costs 5 \x80.\n".to_vec()),
        ("russian.txt", russian),
        ("broken.md", "Café\n".bytes().chain([0xff, 0xfe]).collect()),
        ("empty.md", Vec::new()),
        ("blank.txt", b" \n\n".to_vec()),
        ("headings.md", b"# Only\n\n## Headings\n".to_vec()),
        ("binary.txt", vec![0; 100]),
        ("a.docx", b"PK".to_vec()),
        ("a.xls", b"\xd0\xcf".to_vec()),
        ("lines.jsonl", b"{\"text\":\"ok\"}\n{\"txet\":1}\n[1]\n{\"text\":[]}\n".to_vec()),
        ("columns.csv", b"sku,price\n1,2\n".to_vec()),
        ("short.csv", b"title,text\nA,b\nA\n".to_vec()),
    ]);
    let knowledge = Knowledge::read(folder.path()).unwrap();
    assert_eq!(
        titles(&knowledge),
        [
            ["Good", "# Good\n\nThirty days."],
            ["lines", "ok"],
            ["A", "b"],
            ["Café", "# Café\n\nOur café opens at 8 and costs 5 €."],
        ]
    );
    let skipped = skipped(&knowledge, &folder);
    let expected = [
        "a.docx: files of this kind are not read by this build",
        "a.xls: files of this kind are not read by this build",
        "binary.txt: is binary, not text",
        "blank.txt: is empty",
        "broken.md, line 2: is not UTF-8",
        "columns.csv, line 1: has no column `text`, `content` or `body`, and no `question` and `answer`, but `sku`, `price`",
        "empty.md: is empty",
        "headings.md: has no text but headings",
        "lines.jsonl, line 2: has no `text`, `content` or `body`, and no `question` and `answer`",
        "lines.jsonl, line 3: is not a JSON object",
        "lines.jsonl, line 4: `text` is not text",
        "russian.txt, line 1: is not UTF-8",
        "short.csv, line 3: has 1 fields; the first line has 2",
    ];
    assert_eq!(skipped.len(), expected.len(), "{skipped:#?}");
    for (seen, expected) in skipped.iter().zip(expected) {
        assert!(seen.starts_with(expected), "{seen}");
    }
    let strict = Knowledge::read_strictly(folder.path()).unwrap_err().to_string();
    assert!(strict.contains("a.docx: files of this kind"), "{strict}");
}

/// bugs/serve/question-answer-jsonl
#[test]
fn a_question_and_its_answer_are_a_document() {
    let folder = folder(&[
        ("a.jsonl", "{\"question\":\"What is the wifi password?\",\"answer\":\"Ask at the desk\"}"),
        ("b.jsonl", "{\"Question\":\"Upper?\",\"Answer\":\"Yes\",\"title\":\"FAQ\",\"text\":\"\"}"),
        ("c.jsonl", "{\"prompt\":\"Dialogue?\",\"response\":\"Yes\"}"),
        ("d.csv", "Question;Answer\nSemicolons?;\"Yes;\nthey\"\"re fine\"\n"),
        (
            "e.jsonl",
            "{\"question\":\"No answer?\"}\n{\"question\":\"Null?\",\"answer\":null}\n{\"answer\":\"x\"}",
        ),
    ]);
    let knowledge = Knowledge::read(folder.path()).unwrap();
    assert_eq!(
        titles(&knowledge),
        [
            ["What is the wifi password?", "Ask at the desk"],
            ["Upper?", "Yes"],
            ["Dialogue?", "Yes"],
            ["Semicolons?", "Yes;\nthey\"re fine"],
        ]
    );
    assert_eq!(
        skipped(&knowledge, &folder),
        [
            "e.jsonl, line 1: has a `question` but no `answer`",
            "e.jsonl, line 2: has a `question` but no `answer`",
            "e.jsonl, line 3: has an `answer` but no `question`",
        ]
    );
}

#[test]
fn metadata_comes_from_front_matter_fields_and_columns() {
    let folder = folder(&[
        ("a.md", "---\ntopic: returns\nlang: de\ndate: 2024-05-01\naudience: partners\n---\nText."),
        (
            "b.jsonl",
            "{\"text\":\"t\",\"category\":\"returns\",\"language\":\"de\",\"updated\":\"2024-05-01\",\"audience\":\"partners\"}",
        ),
        ("c.csv", "text,Topic,Language,Updated,Audience\nt,returns,de,2024-05-01,partners\n"),
        ("d.html", "<html lang='de'><p>Text"),
    ]);
    let documents = Knowledge::read_strictly(folder.path()).unwrap().documents;
    let full = Metadata {
        topic: Some("returns".into()),
        language: Some("de".into()),
        updated: Some("2024-05-01".into()),
        audience: Some("partners".into()),
    };
    for document in &documents[..3] {
        assert_eq!(document.metadata, full, "{}", document.id);
    }
    assert_eq!(documents[3].metadata, Metadata { language: Some("de".into()), ..Metadata::default() });
}

#[test]
fn a_folder_without_documents_says_what_is_read() {
    let folder = folder(&[("a.png", ""), ("b.md", "")]);
    let message = Knowledge::read(folder.path()).unwrap_err().to_string();
    assert!(message.contains("no documents; expected .md, .markdown, .txt, .html"), "{message}");
    assert!(message.contains("b.md: is empty"), "{message}");
    let message = Knowledge::read(Path::new("/no/such/folder")).unwrap_err().to_string();
    assert!(message.starts_with("/no/such/folder: "), "{message}");
}

#[test]
fn records_of_the_same_id_are_told_apart() {
    let folder = folder(&[(
        "a.jsonl",
        "{\"id\":1,\"text\":\"a\"}\n{\"id\":1,\"text\":\"b\"}\n{\"id\":1,\"text\":\"c\"}",
    )]);
    let documents = Knowledge::read_strictly(folder.path()).unwrap().documents;
    let ids: std::collections::HashSet<_> = documents.iter().map(|document| &document.id).collect();
    assert_eq!(ids.len(), 3);
}

#[cfg(unix)]
#[test]
fn links_are_followed_once_and_never_in_circles() {
    use std::os::unix::fs::symlink;
    let outside = folder(&[("more/far.md", "Far."), ("one.md", "One.")]);
    let folder = folder(&[("a/near.md", "Near.")]);
    let at = |name: &str| folder.path().join(name);
    symlink(folder.path(), at("a/loop")).unwrap();
    symlink("loop", at("loop")).unwrap(); // a link to itself
    symlink(outside.path().join("more"), at("b")).unwrap();
    symlink(outside.path().join("more"), at("c")).unwrap();
    symlink(outside.path().join("one.md"), at("linked.md")).unwrap();
    symlink(at("a/near.md"), at("again.md")).unwrap();
    symlink("nowhere", at("gone.md")).unwrap();
    let knowledge = Knowledge::read(folder.path()).unwrap();
    let ids: Vec<_> = knowledge.documents.iter().map(|document| document.id.as_str()).collect();
    assert_eq!(ids, ["a/near.md", "b/far.md", "linked.md"]);
    let gone = ["gone.md: is a link that leads nowhere", "loop: is a link that leads nowhere"];
    assert_eq!(skipped(&knowledge, &folder), gone);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let folder = folder(&[("a.md", "Text.")]);
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("b.md")).status();
    if made.is_ok_and(|made| made.success()) {
        let knowledge = Knowledge::read(folder.path()).unwrap();
        assert_eq!(skipped(&knowledge, &folder), ["b.md: is neither a file nor a folder"]);
    }
}

#[test]
fn a_huge_document_is_refused_at_once_and_the_rest_is_read() {
    let folder = folder(&[
        ("good.md", "Good.".to_string()),
        ("huge.md", "Fifty megabytes of words. ".repeat(2 << 20)),
        ("huge.html", "<div>".repeat(2 << 20)),
        ("word.txt", "a".repeat(9 << 20)),
        // Most of this is a picture, which does not count.
        ("picture.md", format!("![x](data:image/png;base64,{})\n\nWords.", "aB3d".repeat(3 << 20))),
    ]);
    let start = Instant::now();
    let knowledge = Knowledge::read(folder.path()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(knowledge.documents.len(), 2);
    let skipped = skipped(&knowledge, &folder);
    for (seen, expected) in
        skipped.iter().zip(["huge.html: has more than 256", "huge.md: has 52 MB", "word.txt: has 9 MB"])
    {
        assert!(seen.starts_with(expected), "{seen}");
    }
}

#[test]
fn one_file_is_read_from_its_bytes() {
    let read = |name: &str, text: &str| Knowledge::read_bytes(name, text.as_bytes().to_vec());
    let knowledge = read("docs/Refunds.MD", "# Refunds\n\nFive days.").unwrap();
    assert_eq!(titles(&knowledge), [["Refunds", "# Refunds\n\nFive days."]]);
    assert_eq!(knowledge.documents[0].id, "Refunds.MD");
    assert_eq!(knowledge.files["Refunds.MD"], SourceFile { name: "Refunds.MD".into(), modified: None });
    let knowledge = read("faq.jsonl", "{\"text\":\"one\"}\n{\"txet\":1}").unwrap();
    assert_eq!((knowledge.documents.len(), knowledge.skipped.len()), (1, 1));
    for (name, text, expected) in [
        ("a.md", "", "a.md: is empty"),
        ("a.png", "x", "a.png: files of this kind are not read"),
        ("noextension", "x", "noextension: files of this kind are not read"),
        ("faq.jsonl", "{}\n[]", "skipped:\n  faq.jsonl, line 1: has no `text`"),
        ("..", "x", "is no file's name"),
    ] {
        let message = read(name, text).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[cfg(all(feature = "pdf", feature = "xlsx"))]
#[test]
fn formats_that_are_read_apart_are_documents_or_say_why_not() {
    let pdf = pdf::tests::document(&["Returns take thirty days."]);
    let folder = folder(&[
        ("good.md", b"Good.".to_vec()),
        ("handbook.pdf", pdf.clone()),
        ("half.pdf", pdf[..pdf.len() / 3].to_vec()),
        ("scan.pdf", pdf::tests::document(&[""])),
        ("empty.pdf", Vec::new()),
        ("text.xlsx", b"no workbook".to_vec()),
    ]);
    let knowledge = Knowledge::read(folder.path()).unwrap();
    assert_eq!(titles(&knowledge), [["good", "Good."], ["handbook", "Returns take thirty days."]]);
    let skipped = skipped(&knowledge, &folder);
    let expected = [
        "empty.pdf: is empty",
        "half.pdf: ",
        "scan.pdf: has no text on its 1 pages",
        "text.xlsx: cannot be read",
    ];
    assert_eq!(skipped.len(), expected.len(), "{skipped:#?}");
    for (seen, expected) in skipped.iter().zip(expected) {
        assert!(seen.starts_with(expected), "{seen}");
    }
    let (file, reason) = knowledge.skipped[2].file_and_reason();
    assert!(file.is_some_and(|file| file.ends_with("scan.pdf")) && reason.starts_with("has no text"));
}

/// What a folder of hostile files becomes: each says why it is refused, or is read, and the rest can be found.
#[test]
fn hostile_files_leave_the_rest_to_be_found() {
    let folder = folder(&[
        ("good.md", b"# Returns\n\nReturns take thirty days.".to_vec()),
        ("zero.md", Vec::new()),
        ("zero.html", Vec::new()),
        ("invalid.md", b"# Caf\xc3\n\n\xff\xfe\x80 text".to_vec()),
        ("broken.html", b"<p>Ret<b>urn <table><tr><td>x</p></div><!-- <script>".to_vec()),
        ("deep.html", "<div>".repeat(100_000).into_bytes()),
        ("word.md", "a".repeat(1 << 20).into_bytes()),
        ("marks.md", "[".repeat(20_000).into_bytes()),
        ("quotes.md", format!("{} words", "> ".repeat(20_000)).into_bytes()),
        ("stars.md", format!("{}words", "*_".repeat(20_000)).into_bytes()),
    ]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
    let start = Instant::now();
    let knowledge = Knowledge::read(folder.path()).unwrap();
    let skipped = skipped(&knowledge, &folder);
    for (seen, expected) in skipped.iter().zip([
        "deep.html: has more than 256",
        "invalid.md, line 1: is not UTF-8",
        "marks.md: has no text",
        "zero.html: is empty",
        "zero.md: is empty",
    ]) {
        assert!(seen.starts_with(expected), "{seen}");
    }
    let embedder = crate::bag_of_words::BagOfWords::default();
    let retriever =
        crate::Retriever::of(&knowledge.documents, Box::new(embedder), Default::default(), None).unwrap();
    let hits = retriever.search("returns take thirty days", 3).unwrap();
    assert_eq!(hits[0].document, "good.md");
    for hit in retriever.passages("quotes.md").iter().chain(&retriever.passages("stars.md")) {
        crate::units(&hit.text);
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn many_bad_lines_of_one_file_are_counted() {
    let folder = folder(&[("a.jsonl", format!("{{\"text\":\"ok\"}}\n{}", "{}\n".repeat(5000)))]);
    let knowledge = Knowledge::read(folder.path()).unwrap();
    assert_eq!(knowledge.skipped.len(), 11);
    assert_eq!(skipped(&knowledge, &folder)[10], "a.jsonl: 4990 more of its lines are skipped");
}
