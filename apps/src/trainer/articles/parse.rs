//! Reads files of templates. The language is described in [`super`].

use super::complete::complete;
use super::template::{
    Answer, Block, BlockKind, Decoy, FactName, FollowUp, Line, Question, Section, Template, TemplateError,
    Wordings,
};
use super::text::{Slots, Text, split_bars};

/// Reads the templates of a file named `file`, which stands in messages and whose stem is the kind of
/// business. What cannot be read is listed; the rest is returned.
pub fn parse(file: &str, source: &str) -> (Vec<Template>, Vec<TemplateError>) {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let business = name.strip_suffix(".txt").unwrap_or(name).to_string();
    let mut reader = Reader {
        file: file.into(),
        business,
        templates: Vec::new(),
        errors: Vec::new(),
        block_is_open: false,
    };
    for (line, number) in source.trim_start_matches('\u{feff}').lines().zip(1..) {
        if let Err(reason) = reader.read(line.trim(), number) {
            reader.errors.push(TemplateError { file: file.into(), line: number, reason });
        }
    }
    for template in &mut reader.templates {
        complete(template, &mut reader.errors);
    }
    reader.errors.sort_by_key(|error| error.line);
    (reader.templates, reader.errors)
}

struct Reader {
    file: String,
    business: String,
    templates: Vec<Template>,
    errors: Vec<TemplateError>,
    /// Whether the next line continues the last block.
    block_is_open: bool,
}

impl Reader {
    fn read(&mut self, line: &str, number: usize) -> Result<(), String> {
        if line.starts_with("//") {
            return Ok(());
        }
        if line.is_empty() {
            self.block_is_open = false;
            return Ok(());
        }
        if let Some(title) = line.strip_prefix("= ") {
            return self.begin(title, number);
        }
        let Some(template) = self.templates.last_mut() else {
            return Err(format!("`{line}` stands before the first article (`= topic | Title`)"));
        };
        let slots = &mut template.slots;
        if let Some(heading) = line.strip_prefix("## ") {
            let heading = Some(Text::parse(heading.trim(), slots)?);
            template.sections.push(Section { heading, blocks: Vec::new() });
            self.block_is_open = false;
        } else if let Some(asked) = line.strip_prefix('?') {
            template.questions.push(question(asked, number, slots)?);
        } else if let Some(asked) = line.strip_prefix("> ") {
            template.follow_ups.push(follow_up(asked, number, slots)?);
        } else if let Some(told) = line.strip_prefix('!') {
            let (fact, told) = fact(told)?;
            template.answers.push(Answer { fact, told: wordings(told, number, slots)? });
        } else if let Some(asked) = line.strip_prefix("x ") {
            template.near.push(wordings(asked, number, slots)?);
        } else if let Some(decoy) = line.strip_prefix('~') {
            let (fact, text) = fact(decoy)?;
            template.decoys.push(Decoy { fact, line: statement(text, Vec::new(), number, slots)? });
        } else {
            let (facts, text) = facts(line);
            let line = statement(text, facts, number, slots)?;
            self.add(line)?;
        }
        Ok(())
    }

    fn begin(&mut self, source: &str, line: usize) -> Result<(), String> {
        self.block_is_open = false;
        let mut template = Template {
            file: self.file.clone(),
            line,
            business: self.business.clone(),
            ..Template::default()
        };
        let (topic, title) =
            source.split_once('|').ok_or("an article begins with `= topic | Title`; the `|` is missing")?;
        template.topic = topic.trim().into();
        template.title = Text::parse(title.trim(), &mut template.slots)?;
        self.templates.push(template);
        Ok(())
    }

    /// Adds a line to the article that is being read.
    fn add(&mut self, line: Line) -> Result<(), String> {
        let Some(template) = self.templates.last_mut() else { return Ok(()) };
        if template.sections.is_empty() {
            template.sections.push(Section::default());
        }
        let Some(section) = template.sections.last_mut() else { return Ok(()) };
        let is_row = line.marker == "|";
        let kind = match line.marker.as_str() {
            "|" => BlockKind::Table(Vec::new()),
            "" => BlockKind::Paragraph,
            _ => BlockKind::List,
        };
        let open = section.blocks.last_mut().filter(|block| {
            self.block_is_open && std::mem::discriminant(&block.kind) == std::mem::discriminant(&kind)
        });
        self.block_is_open = true;
        match open {
            Some(Block { kind: BlockKind::Table(head), lines }) => {
                if head.len() != line.cells.len() {
                    return Err(format!(
                        "the row has {} cells, its table {} columns",
                        line.cells.len(),
                        head.len()
                    ));
                }
                lines.push(line);
            }
            Some(block) => block.lines.push(line),
            None if is_row && !line.facts.is_empty() => {
                return Err("a table begins with a row of column heads, which holds no fact".into());
            }
            None if is_row => {
                section.blocks.push(Block { kind: BlockKind::Table(line.cells), lines: Vec::new() });
            }
            None => section.blocks.push(Block { kind, lines: vec![line] }),
        }
        Ok(())
    }
}

/// The letters of the facts that a line is marked with, and the line without them.
fn facts(line: &str) -> (Vec<FactName>, &str) {
    let (mut facts, mut rest) = (Vec::new(), line);
    while let Some(after) = rest.strip_prefix('*') {
        let mut letters = after.chars();
        let (letter, next) = (letters.next(), letters.next());
        match letter {
            Some(letter)
                if is_fact(letter) && next.is_none_or(|c| matches!(c, ' ' | '*' | '|' | '-' | '[')) =>
            {
                facts.push(letter);
                rest = &after[letter.len_utf8()..];
            }
            _ => break,
        }
    }
    if facts.is_empty() { (facts, line) } else { (facts, rest.trim_start()) }
}

fn is_fact(letter: char) -> bool {
    letter.is_ascii_lowercase()
}

/// A leading fact's letter, and what follows it: after a space, or the row of a table.
fn fact(source: &str) -> Result<(FactName, &str), String> {
    let source = source.trim_start();
    let mut letters = source.chars();
    let letter = letters.next().filter(|letter| is_fact(*letter));
    let rest = letters.as_str();
    let ends = rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '|');
    let word = source.split_whitespace().next().unwrap_or_default();
    let letter =
        letter.filter(|_| ends).ok_or_else(|| format!("a fact's letter is wanted where `{word}` stands"))?;
    Ok((letter, rest.trim()))
}

fn question(source: &str, line: usize, slots: &mut Slots) -> Result<Question, String> {
    let (tag, rest) = source.split_once(char::is_whitespace).unwrap_or((source, ""));
    let (language, rest) = match tag {
        "" => (None, rest),
        tag if tag.len() == 2 && tag.chars().all(|c| c.is_ascii_lowercase()) => (Some(tag.to_string()), rest),
        _ => (None, source),
    };
    let rest = rest.trim_start();
    let (names, asked) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let facts =
        names.split('+').map(|name| fact(name).map(|(fact, _)| fact)).collect::<Result<Vec<_>, _>>()?;
    if facts.len() > 2 || facts.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("`{names}`: a question is about one fact, or about two that differ"));
    }
    Ok(Question { facts, language, asked: wordings(asked, line, slots)? })
}

fn follow_up(source: &str, line: usize, slots: &mut Slots) -> Result<FollowUp, String> {
    let (first, rest) = fact(source)?;
    let rest = rest.strip_prefix('>').ok_or("a follow-up is written `> a > b wording | wording`")?;
    let (then, asked) = fact(rest)?;
    Ok(FollowUp { first, then, asked: wordings(asked, line, slots)? })
}

fn wordings(source: &str, line: usize, slots: &mut Slots) -> Result<Wordings, String> {
    let parts = split_bars(source).into_iter().filter(|wording| !wording.is_empty());
    let wordings = parts.map(|wording| Text::parse(wording, slots)).collect::<Result<Vec<_>, _>>()?;
    match wordings.is_empty() {
        true => Err("there is no wording".into()),
        false => Ok(Wordings { line, wordings }),
    }
}

/// A sentence, an item (`- text`, `1. text`) or a row (`| cell | cell |`).
fn statement(source: &str, facts: Vec<FactName>, line: usize, slots: &mut Slots) -> Result<Line, String> {
    if source.is_empty() {
        return Err("a statement without text".into());
    }
    if let Some(row) = source.strip_prefix('|') {
        let row = row.trim_end();
        let row = row.strip_suffix('|').ok_or("a row of a table ends with `|`")?;
        let cells =
            split_bars(row).into_iter().map(|cell| Text::parse(cell, slots)).collect::<Result<_, _>>()?;
        return Ok(Line { line, facts, marker: "|".into(), cells });
    }
    let marker = source.split(' ').next().filter(|word| {
        let number = word.strip_suffix('.').unwrap_or("x");
        *word == "-" || !number.is_empty() && number.len() < 3 && number.chars().all(|c| c.is_ascii_digit())
    });
    let marker = marker.unwrap_or_default();
    let text = Text::parse(source[marker.len()..].trim(), slots)?;
    Ok(Line { line, facts, marker: marker.into(), cells: vec![text] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "// A small article.
= parking | Parking [at the hotel|here]
*a The garage is {h:dec 1.8 2.4} m high.
It lies behind the house.

## Prices
| Car | Price |
*b| Small | {p:money 3 9} |
| Large | {q:money 10 19} |
- Ask at the desk.
*c 2. Then pay at the {company} desk.
? a how high | max height
? a+b how high and how much
?de b Was kostet es?
> a > b and the price?
! a It is {h} m high.
! b It is {p}.
! c At the desk.
x is it guarded
~b Until 2020 it was {o:money 3 9}.
";

    #[test]
    fn a_template_has_sections_facts_and_questions() {
        let (templates, errors) = parse("articles/hotel.txt", SMALL);
        assert_eq!(errors, []);
        let [template] = templates.as_slice() else { panic!("one template") };
        assert_eq!((template.business.as_str(), template.topic.as_str()), ("hotel", "parking"));
        assert_eq!(template.sections.len(), 2);
        assert_eq!(template.sections[0].blocks[0].lines.len(), 2);
        let [table, list] = template.sections[1].blocks.as_slice() else { panic!("two blocks") };
        assert!(matches!(&table.kind, BlockKind::Table(head) if head.len() == 2));
        assert_eq!((table.lines[0].facts.as_slice(), table.lines.len()), (['b'].as_slice(), 2));
        assert_eq!((list.lines[1].marker.as_str(), list.lines[1].facts.as_slice()), ("2.", ['c'].as_slice()));
        assert_eq!(template.questions[1].facts, ['a', 'b']);
        assert_eq!(template.questions[2].language.as_deref(), Some("de"));
        assert_eq!(template.askable(), ['a'], "b is asked in German or together only, c not at all");
        assert!(template.slots.contains_key("company"), "a bare kind is a slot");
    }

    #[test]
    fn errors_name_their_line() {
        for (line, reason) in [
            ("? a {nope} price", "defined nowhere"),
            ("? d what", "`d` has no answer"),
            ("! d It is so.", "no sentence holds"),
            ("? what is it", "a fact's letter"),
            ("> a b what", "`> a > b"),
            ("*a It is [free.", "`[` without"),
            ("? a {h.1} m", "1 part(s)"),
            ("! a", "no wording"),
        ] {
            let (_, errors) = parse("hotel.txt", &format!("{SMALL}{line}\n"));
            assert_eq!(errors.first().map(|error| error.line), Some(21), "{line}: {errors:?}");
            assert!(
                errors[0].to_string().starts_with("hotel.txt:21: ") && errors[0].reason.contains(reason),
                "{errors:?}"
            );
        }
        let (_, errors) = parse("hotel.txt", "text\n= topic Title\n= t | T\n");
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [1, 2, 3]);
    }
}
