//! A JSON object read field by field, so that every error names its field and none is lost unseen.

use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The fields of an object that were not read yet. A field that is null counts as absent.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    /// Where the object stands in the body, such as `messages[0].`; empty for the body itself.
    place: String,
    left: Map<String, Value>,
}

impl Fields {
    /// The fields of an object at `place` in the body.
    ///
    /// # Errors
    /// If `value` is no object.
    pub fn of(value: Value, place: &str) -> Result<Self, ApiError> {
        match value {
            Value::Object(left) => Ok(Self { place: format!("{place}."), left }),
            other => {
                let message = format!("{place}: invalid type: {}, expected an object", kind(&other));
                Err(ApiError::bad_request(message).with_param(place.to_owned()))
            }
        }
    }

    /// Where a field stands in the body.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    /// Reads a field.
    ///
    /// # Errors
    /// If its value is of another type.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        match self.left.shift_remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match serde_json::from_value(value) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(self.wrong(name, error)),
            },
        }
    }

    /// Reads a field that has to be there.
    ///
    /// # Errors
    /// If it is not, or its value is of another type.
    pub fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ApiError> {
        let path = self.path(name);
        self.take(name)?.ok_or_else(|| {
            let place = self.place.trim_end_matches('.');
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            ApiError::bad_request(format!("{place}missing field `{name}`")).with_param(path)
        })
    }

    /// Reads a field whose value is an object.
    ///
    /// # Errors
    /// If it is something else.
    pub fn nested(&mut self, name: &str) -> Result<Option<Fields>, ApiError> {
        let path = self.path(name);
        self.take::<Value>(name)?.map(|value| Self::of(value, &path)).transpose()
    }

    /// Reads a field that this server does not support, which may have a value that asks for nothing.
    ///
    /// # Errors
    /// If it has another value; `why` says why that is refused.
    pub fn refuse(
        &mut self,
        name: &str,
        asks_for_nothing: impl Fn(&Value) -> bool,
        why: &str,
    ) -> Result<(), ApiError> {
        match self.take::<Value>(name)? {
            Some(value) if !asks_for_nothing(&value) => Err(self.refused(name, why)),
            _ => Ok(()),
        }
    }

    /// The error that refuses a field.
    pub fn refused(&self, name: &str, why: impl fmt::Display) -> ApiError {
        let path = self.path(name);
        ApiError::bad_request(format!("{path}: {why}")).with_param(path)
    }

    fn wrong(&self, name: &str, error: serde_json::Error) -> ApiError {
        self.refused(name, error)
    }

    /// The paths of the fields that nobody read.
    pub fn unread(&self) -> impl Iterator<Item = String> {
        self.left.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| self.path(name))
    }
}

/// A value's type in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "sequence",
        Value::Object(_) => "map",
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Body)
    }
}

/// Reads the body's object, and refuses a field that is there twice, of which one would be lost.
struct Body;

impl<'de> Visitor<'de> for Body {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
        let mut left = Map::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if left.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            left.insert(name, value);
        }
        Ok(Fields { place: String::new(), left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn null_is_absent_and_what_nobody_reads_is_known() {
        let mut fields = fields(r#"{"a": 1, "b": null, "c": {"d": 2, "e": 3}, "f": 4, "g": null}"#);
        assert_eq!(fields.take::<u32>("a").unwrap(), Some(1));
        assert_eq!(fields.take::<u32>("b").unwrap(), None);
        let mut nested = fields.nested("c").unwrap().unwrap();
        assert_eq!(nested.require::<u32>("d").unwrap(), 2);
        assert_eq!(nested.unread().chain(fields.unread()).collect::<Vec<_>>(), ["c.e", "f"]);
    }

    #[test]
    fn errors_name_their_field() {
        let error = |error: ApiError| {
            let body = error.body();
            (body["error"]["message"].as_str().unwrap().to_owned(), body["error"]["param"].clone())
        };
        let mut fields = fields(r#"{"a": "x", "b": {"c": -1}, "d": 5}"#);
        assert_eq!(
            error(fields.take::<u32>("a").unwrap_err()),
            ("a: invalid type: string \"x\", expected u32".into(), "a".into())
        );
        assert_eq!(error(fields.require::<u32>("a").unwrap_err()), ("missing field `a`".into(), "a".into()));
        let mut nested = fields.nested("b").unwrap().unwrap();
        assert_eq!(
            error(nested.require::<u32>("e").unwrap_err()),
            ("b: missing field `e`".into(), "b.e".into())
        );
        assert_eq!(error(nested.take::<u32>("c").unwrap_err()).1, "b.c");
        assert_eq!(error(fields.nested("d").unwrap_err()).0, "d: invalid type: number, expected an object");
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        let error = serde_json::from_str::<Fields>(r#"{"n": 1, "n": 2}"#).unwrap_err();
        assert!(error.to_string().starts_with("duplicate field `n`"), "{error}");
        assert!(serde_json::from_str::<Fields>("[]").unwrap_err().to_string().contains("a JSON object"));
    }
}
