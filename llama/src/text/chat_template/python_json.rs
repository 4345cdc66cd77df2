//! JSON as Python's `json.dumps` writes it, which is what models have seen in their prompts: a space
//! after commas and colons, and no character escaped for HTML.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// How deep a value may be nested; a template could build one that has no end.
const DEPTH: usize = 128;

/// The `tojson` filter, with Hugging Face's arguments.
pub(super) fn tojson(value: Value, ensure_ascii: Option<bool>, options: Kwargs) -> Result<Value, Error> {
    let ensure_ascii = match ensure_ascii {
        Some(ensure_ascii) => ensure_ascii,
        None => options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    let indent = match options.get::<Option<Value>>("indent")? {
        None => None,
        Some(indent) if indent.is_none() => None,
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_string(),
            None => " ".repeat(usize::try_from(indent)?.min(DEPTH)),
        }),
    };
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let (comma, colon) = match separators.as_deref() {
        Some([comma, colon]) => (comma.clone(), colon.clone()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "`separators` must be two strings")),
        None if indent.is_some() => (",".into(), ": ".into()),
        None => (", ".into(), ": ".into()),
    };
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut writer = Writer { out: String::new(), ensure_ascii, indent, comma, colon, sort_keys };
    writer.value(&value, 0)?;
    Ok(Value::from(writer.out))
}

struct Writer {
    out: String,
    ensure_ascii: bool,
    indent: Option<String>,
    comma: String,
    colon: String,
    sort_keys: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(Error::new(ErrorKind::InvalidOperation, "the value is nested too deep for JSON"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.block('[', ']', items.len(), depth, |writer, at| match items.get(at) {
                    Some(item) => writer.value(item, depth + 1),
                    None => Ok(()),
                })?;
            }
            ValueKind::Map => {
                let mut keys = value.try_iter()?.collect::<Vec<_>>();
                if self.sort_keys {
                    keys.sort();
                }
                self.block('{', '}', keys.len(), depth, |writer, at| {
                    let Some(key) = keys.get(at) else { return Ok(()) };
                    writer.key(key);
                    let colon = writer.colon.clone();
                    writer.out.push_str(&colon);
                    writer.value(&value.get_item(key)?, depth + 1)
                })?;
            }
            kind => {
                let message = format!("a value of type {kind} cannot be written as JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    /// Items between brackets, on lines of their own if there is an indentation.
    fn block(
        &mut self,
        open: char,
        close: char,
        items: usize,
        depth: usize,
        mut write: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for at in 0..items {
            if at > 0 {
                let comma = self.comma.clone();
                self.out.push_str(&comma);
            }
            self.line(depth + 1);
            write(self, at)?;
        }
        if items > 0 {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(depth));
        }
    }

    /// Python writes keys that are no strings as it would write the values.
    fn key(&mut self, key: &Value) {
        match key.kind() {
            ValueKind::Bool => self.string(if key.is_true() { "true" } else { "false" }),
            ValueKind::None => self.string("null"),
            ValueKind::Number => self.string(&number(key)),
            _ => self.string(&key.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                letter if letter < ' ' || (self.ensure_ascii && letter > '~') => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                letter => self.out.push(letter),
            }
        }
        self.out.push('"');
    }
}

/// A number as Python's `json` writes it, which has names of its own for those that are not finite.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    super::python_values::float(number)
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use minijinja::{Environment, Value, context};

    fn rendered(expression: &str) -> String {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::tojson);
        let value = serde_json::json!({"b": [1, 2.5, null, true], "a": "<é\"\n\u{1}😀>", "e": {}, "f": []});
        let source = format!("{{{{ {expression} }}}}");
        environment.render_str(&source, context! { value => Value::from(Serde(value)) }).unwrap()
    }

    #[test]
    fn spaces_and_characters_are_pythons() {
        let expected = r#"{"b": [1, 2.5, null, true], "a": "<é\"\n\u0001😀>", "e": {}, "f": []}"#;
        assert_eq!(rendered("value|tojson"), expected);
        let ascii = r#""<\u00e9\"\n\u0001\ud83d\ude00>""#;
        assert_eq!(rendered("value.a|tojson(ensure_ascii=true)"), ascii);
    }

    #[test]
    fn indentation_puts_every_item_on_a_line() {
        let expected = "{\n  \"b\": [\n    1,\n    2\n  ],\n  \"e\": {}\n}";
        assert_eq!(rendered("{'b': [1, 2], 'e': {}}|tojson(indent=2)"), expected);
        assert_eq!(rendered("[1, 2]|tojson(separators=(',', ':'))"), "[1,2]");
        assert_eq!(rendered("{'b': 1, 'a': 2}|tojson(sort_keys=true)"), r#"{"a": 2, "b": 1}"#);
    }

    #[test]
    fn numbers_are_pythons() {
        assert_eq!(rendered("[1.0, 0.1, 1e16, 0.00001, -3]|tojson"), "[1.0, 0.1, 1e+16, 1e-05, -3]");
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::tojson);
        let error = environment.render_str("{{ missing|tojson }}", ()).unwrap_err();
        assert!(error.to_string().contains("undefined"), "{error}");
    }
}
