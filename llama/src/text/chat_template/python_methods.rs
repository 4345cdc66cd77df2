//! Methods of Python's `str`, `dict` and `list` that templates call and `minijinja-contrib`'s `pycompat` lacks or has
//! otherwise than Python.
//!
//! Methods that change a value (`append`, `update`, …) are refused, as transformers' sandbox refuses them.

use minijinja::value::{Enumerator, Kwargs, Object, ObjectRepr, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::python_letters as letters;
use super::python_values::as_repr;
use std::fmt;
use std::sync::Arc;

/// What a template calls that `minijinja` itself does not know.
pub(super) fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let known = match (value.kind(), value.as_str()) {
        (_, Some(text)) => of_text(text, method, args)?,
        (ValueKind::Map, _) => of_map(value, method, args)?,
        (ValueKind::Seq | ValueKind::Iterable, _) => of_sequence(value, method, args)?,
        (ValueKind::Number, _) => of_number(value, method, args)?,
        _ => None,
    };
    match known {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn of_text(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let check = |test: fn(&str) -> bool| -> Result<Value, Error> {
        let () = from_args(args)?;
        Ok(test(text).into())
    };
    Ok(Some(match method {
        "split" | "rsplit" => split(text, method == "rsplit", args)?,
        "strip" | "lstrip" | "rstrip" => strip(text, method, args)?,
        "splitlines" => {
            let (keep, options): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = named(keep, &options, "keepends")?.unwrap_or(false);
            options.assert_all_used()?;
            letters::lines(text, keep).into_iter().map(Value::from).collect()
        }
        "find" | "rfind" | "index" | "rindex" => {
            let (what, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            let found = window(text, start, end).and_then(|(offset, part)| {
                let at = if method.starts_with('r') { part.rfind(what) } else { part.find(what) }?;
                i64::try_from(offset + part[..at].chars().count()).ok()
            });
            match found {
                Some(at) => at.into(),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(invalid(format!("{method}: substring not found"))),
            }
        }
        "count" => {
            let (what, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
            Value::from(window(text, start, end).map_or(0, |(_, part)| part.matches(what).count()))
        }
        "startswith" | "endswith" if args.len() > 1 => {
            let (what, start, end): (Value, Option<i64>, Option<i64>) = from_args(args)?;
            let affixes = match what.as_str() {
                Some(_) => vec![what],
                None if what.is_tuple() => what.try_iter()?.collect(),
                None => return Err(invalid(format!("{method} takes a string or a tuple of strings"))),
            };
            let part = window(text, start, end).map(|(_, part)| part);
            let has = |affix: &str| {
                part.is_some_and(|part| {
                    if method == "startswith" { part.starts_with(affix) } else { part.ends_with(affix) }
                })
            };
            Value::from(affixes.iter().any(|affix| affix.as_str().is_some_and(has)))
        }
        "removeprefix" | "removesuffix" => {
            let (affix,): (&str,) = from_args(args)?;
            let rest =
                if method == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            Value::from(rest.unwrap_or(text))
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            if separator.is_empty() {
                return Err(invalid(format!("{method}: empty separator")));
            }
            let from_right = method == "rpartition";
            let parts = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
            let parts = match parts {
                Some((before, after)) => [before, separator, after],
                None if from_right => ["", "", text],
                None => [text, "", ""],
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "center" | "ljust" | "rjust" => {
            let (width, fill): (i64, Option<&str>) = from_args(args)?;
            let fill = fill.unwrap_or(" ");
            if fill.chars().count() != 1 {
                return Err(invalid(format!("{method}: the fill must be one character")));
            }
            let (width, length) = (bounded(width)?, text.chars().count());
            let margin = width.saturating_sub(length);
            let left = match method {
                "ljust" => 0,
                "rjust" => margin,
                // CPython puts the odd one so.
                _ => margin / 2 + (margin & width & 1),
            };
            Value::from(format!("{}{text}{}", fill.repeat(left), fill.repeat(margin - left)))
        }
        "zfill" => {
            let (width,): (i64,) = from_args(args)?;
            let zeros = "0".repeat(bounded(width)?.saturating_sub(text.chars().count()));
            let sign = text.len() - text.trim_start_matches(['+', '-']).len();
            let (sign, digits) = text.split_at(sign.min(1));
            Value::from(format!("{sign}{zeros}{digits}"))
        }
        "expandtabs" => {
            let (size, options): (Option<i64>, Kwargs) = from_args(args)?;
            let size = named(size, &options, "tabsize")?.unwrap_or(8);
            options.assert_all_used()?;
            Value::from(letters::tabs_expanded(text, bounded(size)?))
        }
        "join" => {
            let (items,): (Value,) = from_args(args)?;
            let mut joined = String::new();
            for (at, item) in items.try_iter()?.enumerate() {
                let item = item
                    .as_str()
                    .ok_or_else(|| invalid(format!("join: item {at} is a {}, not a string", item.kind())))?;
                joined.push_str(if at > 0 { text } else { "" });
                joined.push_str(item);
            }
            Value::from(joined)
        }
        "title" | "swapcase" | "casefold" => {
            let () = from_args(args)?;
            Value::from(match method {
                "title" => letters::title(text),
                "swapcase" => letters::swapped_case(text),
                _ => letters::folded(text).ok_or_else(|| {
                    invalid("casefold: supported for letters whose folding is their lower case")
                })?,
            })
        }
        "isdecimal" => check(|text| all(text, letters::is_decimal))?,
        "isdigit" => check(|text| all(text, letters::is_digit))?,
        "isnumeric" => check(|text| all(text, letters::is_numeric))?,
        "isalpha" => check(|text| all(text, letters::is_alpha))?,
        "isalnum" => check(|text| all(text, letters::is_alphanumeric))?,
        "isspace" => check(|text| all(text, letters::is_space))?,
        "isprintable" => check(|text| text.chars().all(letters::is_printable))?,
        "isidentifier" => check(letters::is_identifier)?,
        "istitle" => check(letters::is_title)?,
        _ => return Ok(None),
    }))
}

/// Python's `all` of a string's letters: an empty one has none.
fn all(text: &str, test: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

/// An argument given by position, or by its name.
fn named<'a, T>(given: Option<T>, options: &'a Kwargs, name: &'a str) -> Result<Option<T>, Error>
where
    Option<T>: minijinja::value::ArgType<'a, Output = Option<T>>,
{
    Ok(match given {
        Some(given) => Some(given),
        None => options.get::<Option<T>>(name)?,
    })
}

/// A width that a template asks for; what is negative is none.
fn bounded(width: i64) -> Result<usize, Error> {
    const MOST: i64 = 1 << 20;
    if width > MOST {
        return Err(invalid(format!("a width of {width} is more than {MOST}")));
    }
    Ok(usize::try_from(width).unwrap_or(0))
}

/// `text[start:end]` and the offset at which it begins, in characters; none where Python finds nothing, not even "".
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> Option<(usize, &str)> {
    let length = i64::try_from(text.chars().count()).ok()?;
    let bound = |at: i64| if at < 0 { (at + length).max(0) } else { at };
    let (start, end) = (bound(start.unwrap_or(0)), bound(end.unwrap_or(length)).min(length));
    if start > end {
        return None;
    }
    let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    text.get(byte(start)..byte(end)).map(|part| (start, part))
}

fn split(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, most, options): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => options.get::<Option<&str>>("sep")?,
    };
    let most = match most {
        Some(most) => Some(most),
        None => options.get::<Option<i64>>("maxsplit")?,
    };
    options.assert_all_used()?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX).saturating_add(1);
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(invalid("split: empty separator")),
        Some(separator) if from_right => text.rsplitn(most, separator).collect(),
        Some(separator) => text.splitn(most, separator).collect(),
        None => letters::words(text, most, from_right),
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

fn strip(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (set,): (Option<&str>,) = from_args(args)?;
    let stripped = |letter: char| match set {
        Some(set) => set.contains(letter),
        None => letters::is_space(letter),
    };
    Ok(Value::from(match method {
        "strip" => text.trim_matches(stripped),
        "lstrip" => text.trim_start_matches(stripped),
        _ => text.trim_end_matches(stripped),
    }))
}

fn of_map(map: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let items = |item: fn(Value, Value) -> Value| -> Result<Vec<Value>, Error> {
        let () = from_args(args)?;
        let pairs = map.as_object().and_then(|object| object.try_iter_pairs());
        Ok(pairs.into_iter().flatten().map(|(key, value)| item(key, value)).collect())
    };
    let name = match method {
        "keys" => "dict_keys",
        "values" => "dict_values",
        "items" => "dict_items",
        "copy" => {
            let () = from_args(args)?;
            return Ok(Some(map.clone()));
        }
        _ => return Ok(None),
    };
    let items = match method {
        "keys" => items(|key, _| key)?,
        "values" => items(|_, value| value)?,
        _ => items(|key, value| Value::from(Tuple::from([key, value])))?,
    };
    Ok(Some(Value::from_object(View { name, items })))
}

/// What `dict.keys()`, `.values()` and `.items()` give: it can be iterated over and has no items of its own.
#[derive(Debug)]
struct View {
    name: &'static str,
    items: Vec<Value>,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.items.clone())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, as_repr(&Value::from(self.items.clone())))
    }
}

fn of_sequence(sequence: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "count" => {
            let (what,): (&Value,) = from_args(args)?;
            Value::from(sequence.try_iter()?.filter(|item| item == what).count())
        }
        "index" => {
            let (what, start, end): (&Value, Option<usize>, Option<usize>) = from_args(args)?;
            let mut items = sequence.try_iter()?.enumerate().skip(start.unwrap_or(0));
            match items.find(|(at, item)| end.is_none_or(|end| *at < end) && item == what) {
                Some((at, _)) => Value::from(at),
                None => return Err(invalid(format!("index: {} is not in the list", as_repr(what)))),
            }
        }
        "copy" if !sequence.is_tuple() => {
            let () = from_args(args)?;
            sequence.clone()
        }
        _ => return Ok(None),
    }))
}

fn of_number(number: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    if method != "is_integer" {
        return Ok(None);
    }
    let () = from_args(args)?;
    let whole =
        number.is_integer() || f64::try_from(number.clone()).is_ok_and(|number| number.fract() == 0.0);
    Ok(Some(Value::from(whole)))
}
