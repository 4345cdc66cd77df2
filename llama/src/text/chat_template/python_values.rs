//! Values as Python prints them: `str` and `repr`.

use std::fmt::Write;

use minijinja::value::{Kwargs, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, State, Value, escape_formatter};

/// How deep a value is searched for floats; a template could build one that has no end.
const DEPTH: usize = 64;

/// Prints values as Python does wherever a template turns one into text.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.set_formatter(|out, state, value| {
        if holds_float(value, 0) {
            Ok(out.write_str(&as_str(value))?)
        } else {
            escape_formatter(out, state, value)
        }
    });
    environment.add_filter("string", string);
    environment.add_filter("join", join);
}

fn string(value: Value) -> Value {
    if value.as_str().is_some() { value } else { Value::from(as_str(&value)) }
}

fn join(
    state: &mut State,
    value: Value,
    joiner: Option<Value>,
    attribute: Option<&str>,
    options: Kwargs,
) -> Result<Value, Error> {
    let joiner = match joiner {
        Some(joiner) => joiner,
        None => options.get::<Option<Value>>("d")?.unwrap_or_else(|| Value::from("")),
    };
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => options.get::<Option<&str>>("attribute")?,
    };
    options.assert_all_used()?;
    let value = match attribute {
        None => value,
        Some(attribute) => {
            let attribute = Kwargs::from_iter([("attribute", Value::from(attribute))]);
            state.apply_filter("map", &[value, Value::from(attribute)])?
        }
    };
    let texts: Vec<String> = value.try_iter()?.map(|item| as_str(&item)).collect();
    Ok(Value::from(texts.join(&as_str(&joiner))))
}

/// Python's `str(value)`; undefined is empty text, as Jinja2 prints it.
pub(super) fn as_str(value: &Value) -> String {
    if holds_float(value, 0) { as_repr(value) } else { value.to_string() }
}

/// Python's `repr(value)`.
pub(super) fn as_repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value, 0);
    out
}

fn is_float(value: &Value) -> bool {
    value.kind() == ValueKind::Number && !value.is_integer()
}

/// Whether a float lies in `value`: `minijinja` prints those without Python's exponents.
fn holds_float(value: &Value, depth: usize) -> bool {
    if is_float(value) {
        return true;
    }
    let Some(object) = value.as_object().filter(|_| depth < DEPTH) else { return false };
    match object.repr() {
        // The views of a dict, which iterate only, print themselves.
        ObjectRepr::Seq => {
            object.try_iter().is_some_and(|mut items| items.any(|item| holds_float(&item, depth + 1)))
        }
        ObjectRepr::Map => object
            .try_iter_pairs()
            .is_some_and(|mut items| items.any(|(_, item)| holds_float(&item, depth + 1))),
        _ => false,
    }
}

fn write_repr(out: &mut String, value: &Value, depth: usize) {
    if is_float(value) {
        out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN)));
        return;
    }
    let container = depth < DEPTH && holds_float(value, depth);
    let Some(object) = value.as_object().filter(|_| container) else {
        // What Rust calls the debug form is Python's repr here.
        let _ = write!(out, "{value:?}");
        return;
    };
    match object.repr() {
        ObjectRepr::Map => {
            out.push('{');
            for (at, (key, item)) in object.try_iter_pairs().into_iter().flatten().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_repr(out, &key, depth + 1);
                out.push_str(": ");
                write_repr(out, &item, depth + 1);
            }
            out.push('}');
        }
        _ => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let mut items = 0;
            for item in object.try_iter().into_iter().flatten() {
                out.push_str(if items > 0 { ", " } else { "" });
                write_repr(out, &item, depth + 1);
                items += 1;
            }
            out.push_str(if value.is_tuple() && items == 1 { "," } else { "" });
            out.push(close);
        }
    }
}

/// A float as Python prints it: `1e16` is `1e+16` there, `1e-5` is `1e-05`, and infinity is `inf`.
pub(super) fn float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "nan".into() } else { number.to_string() };
    }
    // Rust's shortest digits are Python's, and so is where its exponents begin.
    let written = format!("{number:?}");
    match written.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => written,
    }
}
