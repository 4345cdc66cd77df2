//! Filters, tests and globals of Python's Jinja2 that `minijinja` lacks or has otherwise, as Jinja2 has them.
//!
//! What is not here (`lipsum`, `random`, `urlize`, `wordwrap`, `xmlattr`, `pprint`) is refused by name when a template that
//! uses it is compiled.

use minijinja::value::{Kwargs, Rest, StringInput, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use minijinja_contrib::{filters as more, globals};

use super::cycler::Cycler;
use super::python_values::as_str;

/// Puts the filters, tests and globals of this module in place of `minijinja`'s.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("sort", sort);
    environment.add_filter("indent", indent);
    environment.add_filter("attr", attr);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("forceescape", |value: Value| escaped(&value));
    environment.add_filter("center", center);
    environment.add_filter("filesizeformat", filesizeformat);
    environment.add_filter("truncate", truncate);
    environment.add_filter("striptags", more::striptags);
    environment.add_filter("wordcount", wordcount);
    environment.remove_filter("pprint");
    environment.add_filter("urlencode", urlencode);
    // Anything with a length and items by number or name, as Jinja2 asks.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    environment.add_test("callable", |value: &Value| {
        // What a template can call is a plain object: a function, a macro, a joiner.
        value.kind() == ValueKind::Plain
    });
    environment.add_function("joiner", |separator: Option<Value>| globals::joiner(separator));
    environment.add_function("cycler", Cycler::new);
}

/// An attribute as Python has them: the items of a dict are none.
fn attr(value: Value, name: &str) -> Result<Value, Error> {
    const OF_DICTS: [&str; 11] = [
        "clear",
        "copy",
        "fromkeys",
        "get",
        "items",
        "keys",
        "pop",
        "popitem",
        "setdefault",
        "update",
        "values",
    ];
    let is_dict = value.as_object().is_some_and(|object| {
        let kind = object.type_name();
        value.kind() == ValueKind::Map
            && !["Loop", "Namespace", "Module"].iter().any(|part| kind.contains(part))
    });
    if !is_dict {
        return value.get_attr(name);
    }
    if OF_DICTS.contains(&name) {
        let message = format!("attr: the method `{name}` of a dict cannot be taken apart from its call");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(Value::UNDEFINED)
}

/// The options may be given by name.
fn default(
    value: Value,
    default_value: Option<Value>,
    boolean: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = match default_value {
        Some(default) => default,
        None => options.get::<Option<Value>>("default_value")?.unwrap_or_else(|| Value::from("")),
    };
    let boolean = match boolean {
        Some(boolean) => boolean,
        None => options.get::<Option<bool>>("boolean")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    Ok(if value.is_undefined() || (boolean && !value.is_true()) { default } else { value })
}

fn escape(value: Value) -> Value {
    if value.is_safe() { value } else { escaped(&value) }
}

/// MarkupSafe writes quotes as decimal references, `minijinja` by name and in hexadecimal, and escapes slashes.
fn escaped(value: &Value) -> Value {
    let mut out = String::new();
    for letter in as_str(value).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            letter => out.push(letter),
        }
    }
    Value::from_safe_string(out)
}

fn center(state: &mut State, value: Value, width: Option<i64>, options: Kwargs) -> Result<Value, Error> {
    let width = match width {
        Some(width) => width,
        None => options.get::<Option<i64>>("width")?.unwrap_or(80),
    };
    options.assert_all_used()?;
    Value::from(as_str(&value)).call_method(state, "center", &[Value::from(width)])
}

/// Text for a path, or the pairs of a query from a dict or a list of pairs.
fn urlencode(value: Value) -> Result<String, Error> {
    let quoted = |value: &Value| -> Result<String, Error> {
        Ok(filters::urlencode(&Value::from(as_str(value)))?.replace("%7E", "~"))
    };
    let in_query = |value: &Value| -> Result<String, Error> {
        Ok(quoted(value)?.replace('/', "%2F").replace("%20", "+"))
    };
    let pairs: Vec<(Value, Value)> = match value.kind() {
        ValueKind::Map => {
            let items = value.as_object().and_then(|object| object.try_iter_pairs());
            items.into_iter().flatten().collect()
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let pair = |pair: Value| Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?));
            value.try_iter()?.map(pair).collect::<Result<_, Error>>()?
        }
        _ => return quoted(&value),
    };
    let pairs = pairs.iter().map(|(key, value)| Ok(format!("{}={}", in_query(key)?, in_query(value)?)));
    Ok(pairs.collect::<Result<Vec<String>, Error>>()?.join("&"))
}

fn filesizeformat(value: Value, binary: Option<bool>, options: Kwargs) -> Result<String, Error> {
    let binary = match binary {
        Some(binary) => binary,
        None => options.get::<Option<bool>>("binary")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let bytes = match value.as_str().map(|text| text.trim().parse::<f64>()) {
        Some(Ok(bytes)) => bytes,
        Some(Err(_)) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("filesizeformat: {value} is no number"),
            ));
        }
        None => f64::try_from(value)?,
    };
    let smallest_unit = if binary { 1024.0 } else { 1000.0 };
    if bytes < smallest_unit && bytes != 1.0 {
        return Ok(format!("{} Bytes", bytes.trunc()));
    }
    Ok(more::filesizeformat(bytes, Some(binary)))
}

/// The options may also be given by position.
fn truncate(state: &mut State, value: Value, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    type Given = Option<Value>;
    let arguments = arguments.into_values();
    let (length, killwords, end, leeway, options): (Given, Given, Given, Given, Kwargs) =
        from_args(&arguments)?;
    let mut named: Vec<(String, Value)> = Vec::new();
    for name in options.args() {
        named.push((name.to_string(), options.get(name)?));
    }
    for (name, given) in [("length", length), ("killwords", killwords), ("end", end), ("leeway", leeway)] {
        named.extend(given.map(|given| (name.to_string(), given)));
    }
    more::truncate(state, &value, named.into_iter().collect())
}

/// Runs of Python's `\\w`.
fn wordcount(value: Value) -> usize {
    let text = as_str(&value);
    let inside = |letter: char| letter == '_' || super::python_letters::is_alphanumeric(letter);
    text.split(|letter| !inside(letter)).filter(|word| !word.is_empty()).count()
}

/// Text that is no number gives `default`, not an error.
fn int(
    state: &State,
    value: Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = default_or(default, &options, Value::from(0))?;
    Ok(filters::int(state, &value, Some(default.clone()), base, options).unwrap_or(default))
}

/// Text that is no number gives `default`, not an error.
fn float(state: &State, value: Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = default_or(default, &options, Value::from(0.0))?;
    Ok(filters::float(state, &value, Some(default.clone()), options).unwrap_or(default))
}

fn default_or(given: Option<Value>, options: &Kwargs, otherwise: Value) -> Result<Value, Error> {
    Ok(match given {
        Some(default) => default,
        None => options.get::<Option<Value>>("default")?.unwrap_or(otherwise),
    })
}

/// The options may also be given by position.
fn sort(
    state: &State,
    value: Value,
    reverse: Option<bool>,
    case_sensitive: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let mut named: Vec<(String, Value)> = Vec::new();
    for name in options.args() {
        named.push((name.to_string(), options.get(name)?));
    }
    named.extend(reverse.map(|reverse| ("reverse".to_string(), reverse.into())));
    named.extend(case_sensitive.map(|sensitive| ("case_sensitive".to_string(), sensitive.into())));
    filters::sort(state, value, named.into_iter().collect())
}

/// A newline at the end stays.
fn indent(
    value: StringInput<'_>,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let flag = |given: Option<bool>, name: &str| match given {
        Some(flag) => Ok::<_, Error>(flag),
        None => Ok(options.get::<Option<bool>>(name)?.unwrap_or(false)),
    };
    let (first, blank) = (flag(first, "first")?, flag(blank, "blank")?);
    let width = match width {
        Some(width) => Some(width),
        None => options.get::<Option<Value>>("width")?,
    };
    options.assert_all_used()?;
    let indentation = match width {
        None => "    ".to_string(),
        Some(width) => match width.as_str() {
            Some(text) => text.to_string(),
            None => " ".repeat(usize::from(u16::try_from(width)?)),
        },
    };
    let mut out = String::new();
    for (at, line) in value.as_str().split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let indented = if at == 0 { first } else { blank || !line.is_empty() };
        if indented {
            out.push_str(&indentation);
        }
        out.push_str(line);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    /// Python: `jinja2.Environment().from_string(source).render()`.
    #[test]
    fn filters_are_jinja2s() {
        let mut environment = Environment::new();
        super::install(&mut environment);
        for (source, expected) in [
            ("{{ '12'|int + 1 }},{{ 'x'|int }},{{ 'x'|int(-1) }},{{ 'x'|int(default=7) }}", "13,0,-1,7"),
            ("{{ '1.5'|float }},{{ 'x'|float }},{{ 'x'|float('y') }}", "1.5,0.0,y"),
            ("{{ [1, 3, 2]|sort(true) }}", "[3, 2, 1]"),
            ("{{ ['b', 'A', 'a']|sort(false, true)|join }}", "Aab"),
            ("{{ [{'n': 2}, {'n': 1}]|sort(attribute='n')|map(attribute='n')|join }}", "12"),
            ("{{ 'a\n\nb\n'|indent }}|", "a\n\n    b\n|"),
            ("{{ 'a\nb'|indent(2, true) }}", "  a\n  b"),
            ("{{ 'a\n\nb'|indent(width='> ', blank=true) }}", "a\n> \n> b"),
        ] {
            assert_eq!(environment.render_str(source, ()).unwrap(), expected, "{source}");
        }
    }
}
