//! Filters that Python's Jinja2 and `minijinja` do not agree on, as Jinja2 has them.

use minijinja::value::{Kwargs, StringInput};
use minijinja::{Environment, Error, State, Value, filters};

/// Puts the filters of this module in place of `minijinja`'s.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("sort", sort);
    environment.add_filter("indent", indent);
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
