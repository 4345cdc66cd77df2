//! Reading files, broken ones included.

use super::*;

/// Reads one file of this name and content.
fn read(name: &str, content: &[u8], options: &ReadOptions) -> Result<Dataset, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    Dataset::open(&path, options).map_err(|error| {
        let text = error.to_string();
        assert!(!text.contains('\n'), "{text}");
        text.replace(&format!("{}/", folder.path().display()), "")
    })
}

fn rows(name: &str, content: &str) -> Vec<Row> {
    read(name, content.as_bytes(), &ReadOptions::default()).unwrap().rows
}

fn error(name: &str, content: &[u8]) -> String {
    read(name, content, &ReadOptions::default()).unwrap_err()
}

fn skipping() -> ReadOptions {
    ReadOptions { skip_bad_rows: true, ..ReadOptions::default() }
}

/// `question|answer` of each row, and `line: reason` of each that was skipped.
fn skimmed(name: &str, content: &[u8]) -> (Vec<String>, Vec<String>) {
    let dataset = read(name, content, &skipping()).unwrap();
    let row = |row: &Row| format!("{}|{}", row.instruction(), row.response());
    let note = |note: &Note| format!("{}: {}", note.line, note.reason);
    assert_eq!(dataset.skipped.count, dataset.skipped.first.len());
    (dataset.rows.iter().map(row).collect(), dataset.skipped.first.iter().map(note).collect())
}

#[test]
fn a_folder_is_its_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("b.jsonl", "{\"prompt\": \"third\", \"completion\": \"3\"}\n");
    write("a.CSV", "instruction,response\nfirst,1\n,\nsecond,2\n");
    write("notes.txt", "no");
    let dataset = Dataset::open(dir.path(), &ReadOptions::default()).unwrap();
    let instructions: Vec<_> = dataset.rows.iter().map(Row::instruction).collect();
    assert_eq!(instructions, ["first", "second", "third"]);
    assert_eq!(dataset.rows[2].origin, RowOrigin { file: 1, line: 1 });
    assert_eq!((dataset.blank.count, dataset.blank.first[0].line, dataset.conversations), (1, 3, false));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Dataset::open(&dir.path().join("missing.csv"), &ReadOptions::default()).unwrap_err();
    assert!(missing.to_string().contains("missing.csv"));
    let none = Dataset::open(dir.path(), &ReadOptions::default()).unwrap_err();
    assert!(none.to_string().contains("there is no .csv, .tsv, .jsonl or .json file"));
    assert!(error("a.csv", b"instruction,response\n").starts_with("a.csv: there is no row"));
    for name in ["a.csv", "a.jsonl", "a.json"] {
        for content in ["", "\n \r\n", "\u{feff}"] {
            let error = error(name, content.as_bytes());
            assert!(
                error.starts_with(&format!("{name}: ")) && !error.contains("line"),
                "{name} {content:?}: {error}"
            );
        }
    }
}

#[test]
fn columns_of_a_csv_file_are_found_by_name() {
    let text = "\u{feff}Intent,response, Instruction ,context,system,category\r\n\
                x,\"Yes, \"\"today\"\".\",\"Two\r\nlines\", ,,\r\n\
                y,B,A,C,S,why\r\n";
    let rows = rows("a.csv", text);
    assert_eq!((rows[0].instruction(), rows[0].response()), ("Two\r\nlines", "Yes, \"today\"."));
    assert_eq!((rows[0].context(), &rows[0].category), (None, &None), "a category goes before an intent");
    assert_eq!((rows[1].context(), rows[1].category.as_deref()), (Some("S\n\nC"), Some("why")));
    assert_eq!((rows[0].origin.line, rows[1].origin.line), (2, 4));
}

#[test]
fn columns_can_have_names_of_their_own() {
    let named = |name: &str| name.parse::<Column>().unwrap();
    let columns = Columns { named: vec![named("instruction=frage"), named("response=antwort")] };
    let options = ReadOptions { columns, ..ReadOptions::default() };
    for (name, content) in [
        ("a.csv", "response,frage,Antwort\nx,Q,A\n"),
        ("a.jsonl", "{\"frage\": \"Q\", \"antwort\": \"A\", \"messages\": []}"),
    ] {
        let rows = read(name, content.as_bytes(), &options).unwrap().rows;
        assert_eq!((rows[0].instruction(), rows[0].response()), ("Q", "A"));
    }
    let error = read("a.csv", b"instruction,antwort\nQ,A\n", &options).unwrap_err();
    assert_eq!(error, "a.csv: there is no column `frage`; the first line has `instruction`, `antwort`");
}

#[test]
fn json_rows_stand_in_lines_or_in_an_array() {
    let lines = "\u{feff}{\"instruction\": \"Q\", \"output\": \"A\"}\r\n\n{\"instruction\": \"R\", \"output\": \"B\"}";
    let array = "\u{feff}[\n  {\"instruction\": \"Q\", \"output\": \"A\"},\n\n  {\n    \"instruction\": \"}R{\\\"\",\n    \"output\": \"B\"}\n]\n";
    let lines = rows("a.jsonl", lines);
    assert_eq!((lines[0].origin.line, lines[1].origin.line, lines[1].response()), (1, 3, "B"));
    let array = rows("a.json", array);
    assert_eq!((array[0].origin.line, array[1].origin.line, array[1].instruction()), (2, 4, "}R{\""));
}

#[test]
fn conversations_are_written_and_read_again() {
    let text = r#"{"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": " A\n"}], "category": "c"}"#;
    let dataset = read("a.jsonl", text.as_bytes(), &ReadOptions::default()).unwrap();
    assert!(dataset.conversations);
    assert_eq!(rows("b.jsonl", &dataset.rows[0].to_json()), dataset.rows);
}

#[test]
fn fields_are_separated_by_what_the_file_uses() {
    let expected = rows("a.csv", "instruction,response\n\"A, a\",B\n");
    for (name, text) in [
        ("a.tsv", "instruction\tresponse\nA, a\tB\n"),
        ("a.csv", "instruction;response\r\nA, a;B\r\n"),
        ("a.csv", "sep=;\r\ninstruction;response\r\nA, a;B\r\n"),
        ("a.csv", "instruction,response\r\"A, a\",B\r"),
        ("a.jsonl", " [{\"instruction\": \"A, a\", \"response\": \"B\"}]"),
    ] {
        let found = rows(name, text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(
            (found[0].instruction(), found[0].response()),
            (expected[0].instruction(), expected[0].response())
        );
    }
    let (rows, skipped) = skimmed("a.csv", b"sep=;\ninstruction;response\nA;B;C\nD;E\n");
    assert_eq!((rows, skipped.len()), (vec!["D|E".into()], 1));
    assert!(
        skipped[0].starts_with("3: 3 fields where the first line has 2; a quote or semicolon"),
        "{skipped:?}"
    );
}

#[test]
fn what_could_be_meant_twice_is_refused() {
    let twice = error("a.csv", b"instruction,response,Response\nA,B,C\n");
    assert!(twice.contains("`response` and `Response` could both be the response"), "{twice}");
    let usual = error("a.csv", b"instruction,output,completion\nA,B,C\n");
    assert!(usual.contains("`output` and `completion` could both be"), "{usual}");
    let key = error("a.jsonl", br#"{"instruction": "A", "response": "B", "response": "C"}"#);
    assert!(key.starts_with("a.jsonl:1: ") && key.contains("there are two values `response`"), "{key}");
}

#[test]
fn hidden_files_of_a_folder_are_no_data() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), "instruction,response\nA,B\n").unwrap();
    for name in ["._a.csv", ".hidden.jsonl", "~$a.csv", ".DS_Store"] {
        fs::write(dir.path().join(name), b"\0\x05\x16\x07").unwrap();
    }
    assert_eq!(Dataset::open(dir.path(), &ReadOptions::default()).unwrap().files.len(), 1);
    assert!(error("b.csv", b"PK\x03\x04\x14\0").contains("b.csv: is a ZIP archive, as .xlsx workbooks are"));
}

#[test]
fn missing_columns_name_what_is_there() {
    assert_eq!(
        error("a.csv", b"question,response\nA,B\n"),
        "a.csv: there is no column `instruction`; the first line has `question`, `response`"
    );
    assert_eq!(
        error("a.csv", b"question;response\nA;B\n"),
        "a.csv: there is no column `instruction`; the first line has `question`, `response`, separated by a semicolon"
    );
    assert_eq!(
        error("a.csv", b"\"question\nresponse\",A\nA,B\n"),
        "a.csv: there is no column `instruction`; the first line has `question response`, `A`"
    );
    let options = skipping();
    assert!(read("a.csv", b"question,response\nA,B\n", &options).is_err(), "no row can be read without it");
    let all = read("a.jsonl", b"{\"q\": 1}\n{\"q\": 2}\n", &options).unwrap_err();
    assert!(all.contains("2 were skipped, the first (line 1): there is no `instruction`"), "{all}");
}

#[test]
fn broken_csv_lines_are_numbered() {
    for (content, place) in [
        (b"instruction,response\nA,B\nC\xff,D\n".as_slice(), "a.csv:3: not UTF-8"),
        (b"instruction,response\nA,\"B\nC\xff\"\n", "a.csv:3: not UTF-8"),
        (b"\xff\xfei\0n\0", "a.csv: is text in UTF-16"),
        (b"instruction,response\nA,B\nC,\"D\nE,F\n", "a.csv:3: the quote"),
        (b"instruction,response\nA,B\nC,D,E\n", "a.csv:3: 3 fields where the first line has 2"),
        (b"instruction,response\nA,\"B\nC,D\n\"E\",F\n", "a.csv:2: a quoted field ends within line 4"),
        (b"instruction,response\nA,B\nC\0,D\n", "a.csv:3: there is a NUL"),
    ] {
        let error = error("a.csv", content);
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn bad_csv_rows_are_skipped_and_listed() {
    let content = b"instruction,response\nA,B\nC\xff,D\nE,\"F\nG,H\n\"I\",J\nK,L,M\nN\0,O\nP,Q\n";
    let (rows, skipped) = skimmed("a.csv", content);
    assert_eq!(rows, ["A|B", "G|H", "I|J", "P|Q"]);
    let lines: Vec<&str> = skipped.iter().map(|note| &note[..2]).collect();
    assert_eq!(lines, ["3:", "4:", "7:", "8:"], "{skipped:?}");
}

#[test]
fn bad_json_rows_are_skipped_and_listed() {
    let good = r#"{"instruction": "A", "response": "B"}"#;
    let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let lines: [&[u8]; 9] = [
        good.as_bytes(),
        b"{\"instruction\": \"A\", ",
        b"{\"instruction\": \"\xff\", \"response\": \"B\"}",
        b"{\"instruction\": \"A\\u0000\", \"response\": \"B\"}",
        b"{\"instruction\": \"A\x00\", \"response\": \"B\"}",
        b"[1, 2]",
        nested.as_bytes(),
        b"{\"instruction\": \"\\ud800\", \"response\": \"B\"}",
        good.as_bytes(),
    ];
    let (rows, skipped) = skimmed("a.jsonl", &lines.join(&b'\n'));
    assert_eq!((rows.len(), skipped.len()), (2, 7), "{skipped:?}");
    for (index, line) in lines.iter().enumerate() {
        let content = [good.as_bytes(), line].join(&b'\n');
        let found = read("a.jsonl", &content, &ReadOptions::default());
        match (1..8).contains(&index) {
            true => assert!(found.unwrap_err().starts_with("a.jsonl:2: "), "row {index}"),
            false => assert_eq!(found.unwrap().rows.len(), 2),
        }
    }
    let array = format!("[{good}, 7, {good},\n {{\"response\": \"B\"}}, {good}, {{\"instruction\": ");
    let (rows, skipped) = skimmed("a.json", array.as_bytes());
    assert_eq!((rows.len(), skipped.len()), (3, 3), "{skipped:?}");
    assert!(skipped[0].starts_with("1: a JSON object is wanted"), "{skipped:?}");
    assert!(skipped[1].starts_with("2: there is no `instruction`"), "{skipped:?}");
}

#[test]
fn a_huge_cell_is_a_bad_row() {
    let huge = "x".repeat(10 << 20);
    for (name, content) in [
        ("a.csv", format!("instruction,response\nA,B\n{huge},C\nD,E\n")),
        ("b.csv", format!("instruction,response\nA,B\n\"{huge}\",C\nD,E\n")),
        (
            "c.jsonl",
            format!(
                "{{\"prompt\": \"A\", \"completion\": \"B\"}}\n{{\"prompt\": \"{huge}\"}}\n{{\"prompt\": \"D\", \"completion\": \"E\"}}\n"
            ),
        ),
        (
            "d.json",
            format!(
                "[{{\"prompt\": \"A\", \"completion\": \"B\"}},\n{{\"prompt\": \"{huge}\"}}, {{\"prompt\": \"D\", \"completion\": \"E\"}}]"
            ),
        ),
    ] {
        let (rows, skipped) = skimmed(name, content.as_bytes());
        assert_eq!(rows, ["A|B", "D|E"], "{name}");
        assert!(skipped.len() == 1 && skipped[0].contains("bytes; more than 1048576"), "{name}: {skipped:?}");
        assert!(error(name, content.as_bytes()).contains(": the row has 1048"), "{name}");
    }
}

#[test]
fn one_bad_line_in_many_is_found() {
    let mut content = String::from("instruction,response\n");
    for line in 0..100_000 {
        content += if line == 99_990 { "oh\n" } else { "Where is it?,Here.\n" };
    }
    assert!(error("a.csv", content.as_bytes()).starts_with("a.csv:99992: 1 fields"));
    let dataset = read("a.csv", content.as_bytes(), &skipping()).unwrap();
    assert_eq!((dataset.rows.len(), dataset.skipped.count), (99_999, 1));
}

proptest::proptest! {
    /// Bytes that mean something to a reader, in any order: they are rows, or an error of one line.
    #[test]
    fn any_bytes_are_rows_or_an_error(
        bytes in proptest::collection::vec(proptest::sample::select(b"\",\n\r a{}[]:\\\0\xef\xbb\xbf\xff".to_vec()), 0..60),
        name in "a\\.(csv|jsonl|json)",
    ) {
        let content = [b"instruction,response\n".as_slice(), &bytes].concat();
        for content in [&bytes, &content] {
            let strict = read(&name, content, &ReadOptions::default());
            let lenient = read(&name, content, &skipping());
            if let (Ok(strict), Ok(lenient)) = (&strict, &lenient) {
                proptest::prop_assert_eq!(&strict.rows, &lenient.rows);
            }
            proptest::prop_assert!(strict.is_err() || lenient.is_ok());
        }
    }
}
