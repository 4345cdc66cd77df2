use super::*;
use crate::bag_of_words::BagOfWords;

fn document(text: &str) -> Document {
    Document {
        id: "d".into(),
        title: "Orders".into(),
        text: text.into(),
        source: "orders.md".into(),
        ..Document::default()
    }
}

fn words(count: usize, word: &str) -> String {
    vec![word; count].join(" ")
}

#[test]
fn a_short_document_is_one_chunk() {
    let text = "# Orders\n\nHow to order.\n\n## Cancel\n\nWithin 24 hours.";
    let chunks = chunk(&document(text), &BagOfWords::default()).unwrap();
    assert_eq!(chunks.len(), 1);
    assert_eq!((chunks[0].text.as_str(), chunks[0].range.clone()), (text, 0..text.len()));
    assert_eq!(chunks[0].headings, ["Orders"]);
}

#[test]
fn sections_are_cut_at_headings_and_remember_where_they_stood() {
    let text = format!(
        "# Orders\n\n{}\n\n## Cancel\n\n{}\n\n### Late\n\n{}\n\n## `Return`\n\n{}",
        words(14, "order"),
        words(14, "cancel"),
        words(14, "late"),
        words(14, "return"),
    );
    let document = document(&text);
    let chunks = chunk(&document, &BagOfWords { max_tokens: 20, ..BagOfWords::default() }).unwrap();
    let paths: Vec<_> = chunks.iter().map(|chunk| chunk.headings.join(" > ")).collect();
    assert_eq!(paths, ["Orders", "Orders > Cancel", "Orders > Cancel > Late", "Orders > Return"]);
    for chunk in &chunks {
        assert_eq!(chunk.text, text[chunk.range.clone()]);
    }
}

#[test]
fn no_chunk_is_longer_than_the_embedder_takes_and_nothing_is_lost() {
    let sentences: Vec<_> = (0..200).map(|n| format!("Sentence number {n} says something.")).collect();
    let text = sentences.join(" ");
    let embedder = BagOfWords { max_tokens: 40, ..BagOfWords::default() };
    let chunks = chunk(&document(&text), &embedder).unwrap();
    for chunk in &chunks {
        assert!(embedder.count_tokens(&chunk.passage(&embedder).unwrap()).unwrap() <= 40);
    }
    for sentence in &sentences {
        assert!(chunks.iter().any(|chunk| chunk.text.contains(sentence)), "{sentence}");
    }
    let repeated = chunks.windows(2).filter(|pair| pair[1].range.start < pair[0].range.end).count();
    assert!(repeated > 0, "neighbours overlap");
}

#[test]
fn a_passage_carries_the_title_and_the_headings_that_the_cut_took() {
    let embedder = BagOfWords::default();
    let mut chunk = Chunk {
        source: "s".into(),
        title: "Orders".into(),
        headings: vec!["Cancel".into(), "Late".into()],
        range: 0..0,
        text: "# Late\n\nAsk us.".into(),
        ..Chunk::default()
    };
    assert_eq!(chunk.passage(&embedder).unwrap(), "Orders › Cancel\n# Late\n\nAsk us.");
    chunk.text = words(embedder.max_tokens(), "word");
    assert_eq!(chunk.passage(&embedder).unwrap(), chunk.text);
}

#[test]
fn empty_text_has_no_chunks() {
    assert_eq!(chunk(&document(" \n\n"), &BagOfWords::default()).unwrap(), []);
}

/// Cuts Markdown with the default embedder's 128 tokens, and checks what holds of all chunks.
fn cut(text: &str) -> Vec<Chunk> {
    cut_as(text, Format::Markdown)
}

fn cut_as(text: &str, format: Format) -> Vec<Chunk> {
    let embedder = BagOfWords::default();
    let document = Document { format, ..document(text) };
    let chunks = chunk(&document, &embedder).unwrap();
    for chunk in &chunks {
        assert!(chunk.text.len() <= 2400, "{} bytes: {}", chunk.text.len(), chunk.text);
        assert!(embedder.count_tokens(&chunk.text).unwrap() <= 200, "{}", chunk.text);
        assert!(text.get(chunk.range.clone()).is_some());
        let is_heading = |line: &str| line.starts_with('#') || line.trim().is_empty();
        assert!(format == Format::Plain || !chunk.text.lines().all(is_heading), "{}", chunk.text);
    }
    let ids: std::collections::HashSet<_> = chunks.iter().map(|chunk| &chunk.id).collect();
    assert_eq!(ids.len(), chunks.len(), "ids are unique");
    chunks
}

const SENTENCE: &str = "You may send back an item that you do not like within thirty days. ";

/// bugs/serve/heading-only-chunk
#[test]
fn no_chunk_is_only_a_heading() {
    let long = SENTENCE.repeat(20);
    let item = format!("- {}\n", SENTENCE.repeat(3));
    let word = "x".repeat(5000);
    let quote = format!("> {long}");
    let code = format!("```\n{}```", "let x = 1;\n".repeat(200));
    let table =
        format!("| a | b |\n|---|---|\n{}", "| a row of the table | and its second cell |\n".repeat(40));
    for body in [long.as_str(), &item.repeat(10), &word, &quote, &code, &table, &long.replace(". ", " ")] {
        let text = format!(
            "# Return policy\n\n{body}\n\n## Refund time\n\n### Details\n\n{body}\n\nSetext\n---\n\n{body}\n\n# Last"
        );
        let chunks = cut(&text);
        assert!(chunks[0].text.starts_with("# Return policy\n\n"), "{}", chunks[0].text);
        assert!(chunks[0].text.len() > 40, "{}", chunks[0].text);
        let details = chunks.iter().find(|chunk| chunk.text.contains("### Details")).unwrap();
        assert!(details.text.starts_with("## Refund time\n\n### Details\n\n"), "{}", details.text);
        assert!(details.text.len() > 60, "{}", details.text);
        assert!(
            chunks
                .iter()
                .all(|chunk| !chunk.text.trim_end().ends_with("---") && !chunk.text.ends_with("# Last"))
        );
    }
    // What reads as a heading without being one.
    for title in ["**Return policy**", "<h2>Return policy</h2>", "Return policy", "The rules are:"] {
        let chunks = cut(&format!("{title}\n\n{long}"));
        assert!(chunks[0].text.starts_with(title) && chunks[0].text.len() > 100, "{}", chunks[0].text);
        let chunks = cut_as(&format!("{title}\n\n{long}"), Format::Plain);
        assert!(chunks[0].text.starts_with(title) && chunks[0].text.len() > 100, "{}", chunks[0].text);
    }
}

/// bugs/serve/embedded-image-hides-passage
#[test]
fn embedded_data_is_in_no_chunk_and_the_words_are() {
    let data =
        "lH8nKh0BGPiTX1rok3ByGRtuVWse5TKz7AngvLw6OCOLMEGEZlWs0eEBSmqiIJalm7CJrOYPaBEcWtsMKE1GvdIwHvacjf0K";
    let blob = data.repeat(120);
    let lines = format!("{data}\n").repeat(120);
    for embedded in [
        format!("![x](data:image/png;base64,{blob})"),
        format!("<img src=\"data:image/png;base64,{blob}\">"),
        format!("[x]: data:image/png;base64,{blob}"),
        format!("```\n{lines}```"),
        lines.clone(),
        format!("<svg><path d=\"{}\"/></svg>", "M 10 10 L 20 20 ".repeat(900)),
        format!("<style>{}</style>", "p { color: red }\n".repeat(900)),
        format!("{{\"image\":\"{blob}\",\"other\":\"{blob}\"}}"),
    ] {
        let text = format!("# Lamp warranty\n\n{embedded}\n\nThe warranty of the lamp is 3 years.\n");
        let chunks = cut(&text);
        assert_eq!(chunks.len(), 1, "{:?}", chunks.iter().map(|chunk| &chunk.text).collect::<Vec<_>>());
        assert!(chunks[0].text.contains("3 years") && chunks[0].text.len() < 200, "{}", chunks[0].text);
        assert_eq!(text[chunks[0].range.clone()].trim(), text.trim(), "offsets are the document's");
    }
}

/// bugs/serve/table-header-lost
#[test]
fn every_piece_of_a_table_has_its_header() {
    let rows = |row: fn(usize) -> String| (4000..4100).map(row).collect::<String>();
    let head = "| Code | Meaning | Repair time |\n|---|---|---|";
    let piped = rows(|n| format!("| ERR-{n} | Fault of module A{n} | {} minutes |\n", n % 7));
    let quoted = rows(|n| format!("> | ERR-{n} | Fault of module A{n} | {} minutes |\n", n % 7));
    let bare = rows(|n| format!("ERR-{n} | Fault of module A{n} | {} minutes\n", n % 7));
    let html = rows(|n| format!("<tr><td>ERR-{n}</td><td>Fault of module A{n}</td></tr>\n"));
    let long = rows(|n| format!("| ERR-{n} | {} | 3 minutes |\n", SENTENCE.repeat(12)));
    for table in [
        format!("{head}\n{piped}"),
        format!("> {}\n{quoted}", head.replace('\n', "\n> ")),
        format!("Code | Meaning | Repair time\n---|---|---\n{bare}"),
        format!("<table>\n<tr><th>Code</th><th>Meaning</th></tr>\n{html}</table>"),
        format!("{head}\n{long}"),
        format!("Some words before it, which end here.\n\n{head}\n{piped}"),
    ] {
        let chunks = cut(&format!("# Fault codes of the P90 printer\n\n{table}\n\nWords after the table."));
        assert!(chunks.len() > 5);
        for chunk in chunks.iter().filter(|chunk| chunk.text.contains("ERR-")) {
            assert_eq!(chunk.text.matches("Meaning").count(), 1, "{}", chunk.text);
        }
        for n in 4000..4100 {
            assert!(chunks.iter().any(|chunk| chunk.text.contains(&format!("ERR-{n}"))), "{n}");
        }
    }
    let tabs = format!("Code\tMeaning\tTime\n{}", rows(|n| format!("ERR-{n}\tFault of A{n}\t3\n")));
    assert!(
        cut_as(&tabs, Format::Plain).iter().all(|chunk| chunk.text.starts_with("Code\tMeaning\tTime\nERR-"))
    );
    let list = format!("These are excluded:\n\n{}", rows(|n| format!("- Goods of the kind number {n}\n")));
    assert!(cut(&list).iter().all(|chunk| chunk.text.starts_with("These are excluded:\n")));
}

#[test]
fn text_without_spaces_and_endless_words_are_cut() {
    let thai = "ลูกค้าสามารถคืนสินค้าได้ภายในสามสิบวันหลังจากได้รับสินค้า";
    let chinese = "顾客可以在收到商品后三十天内退货。";
    for text in [
        thai.repeat(100),
        chinese.repeat(100),
        "返品は三十日以内にお願いします".repeat(100),
        "x".repeat(20_000),
        "ab".repeat(20_000),
    ] {
        for format in [Format::Markdown, Format::Plain] {
            let chunks = cut_as(&format!("{text}\n\nThe end of it."), format);
            assert!(chunks.len() > 5);
            let mut end = 0;
            for chunk in &chunks {
                assert!(chunk.range.start <= end + 4, "nothing is left out");
                end = chunk.range.end;
            }
        }
    }
    // Words of Thai stay whole.
    let words = ["ลูกค้า", "สามารถ", "คืน", "สินค้า", "ได้", "ภายใน", "สาม", "สิบ", "วัน", "หลัง", "จาก", "รับ"];
    for chunk in cut(&thai.repeat(100)) {
        assert!(words.iter().any(|word| chunk.text.starts_with(word)), "{}", chunk.text);
    }
}

#[test]
fn ids_stay_where_a_passage_moves_and_change_with_its_words() {
    let ids = |text: &str| cut(text).into_iter().map(|chunk| chunk.id).collect::<Vec<_>>();
    let long = SENTENCE.repeat(8);
    let before = ids(&format!("# A\n\n{long}\n\n# B\n\nOther words of it.\n\n{long}"));
    let after = ids(&format!("# New\n\n{long}\n\n# A\n\n{long}\n\n# B\n\nOther words of it.\n\n{long}"));
    assert!(before.iter().all(|id| id.starts_with("d#") && after.contains(id)), "{before:?} {after:?}");
    assert_ne!(ids("One."), ids("Two."));
    let twice = ids(&format!("# A\n\n{long}\n\n# A\n\n{long}"));
    assert!(twice.iter().any(|id| id.ends_with("-2")), "{twice:?}");
}

#[test]
fn plain_text_is_not_read_as_markdown() {
    let text = "# 1 is not a heading\n\n    not code\n\n* 5 stars. <!-- shown -->";
    let chunks = cut_as(text, Format::Plain);
    assert_eq!((chunks.len(), chunks[0].text.as_str()), (1, text));
    assert!(chunks[0].headings.is_empty());
}

#[test]
fn much_of_anything_is_cut_in_seconds() {
    let start = std::time::Instant::now();
    let much = |part: &str| part.repeat((200 << 10) / part.len());
    for part in [
        "word ",
        "x",
        "ก",
        "Sentence one here. ",
        "- item\n",
        "# h\n\n",
        "| a | b |\n",
        "data:a/b,c ",
        "data:",
        "<b>",
        "*",
        "[",
        "> ",
        "`",
        "a:\n\n- b\n\n",
        "\n",
    ] {
        let chunks = chunk(&document(&much(part)), &BagOfWords::default()).unwrap();
        assert!(chunks.len() <= 1 << 14, "{part:?}");
        assert!(start.elapsed().as_secs() < 120, "{part:?}: {:?}", start.elapsed());
    }
}
